# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging what the configuration wants with what pluto says; the fixtures are described in fixtures/README.md."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._connections import connections
from ansible_collections.xswan.ipsec.plugins.module_utils._facts import LOOK_AGAIN
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, ChildSa, End, IkeSa, Loaded
from ansible_collections.xswan.ipsec.plugins.module_utils._reasons import CAUSES, TRACES
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import (
    parse_auto,
    parse_certificates,
    parse_status,
)

FIXTURES = Path(__file__).parent / "fixtures"
PAIRS = {"4.3": "bk", "4.10": "kt", "5.2": "tb"}
"""The pair of gateways whose connections this version begins."""
NOW = 1795451900.0


def recorded(version: str, command: str) -> str:
    return (FIXTURES / f"mesh-{version}-{command}.txt").read_text()


def facts(version: str, **options: t.Any) -> dict[str, dict[str, t.Any]]:
    """The facts of a gateway of the mesh."""
    return connections(
        parse_auto(recorded(version, "readwriteconf")),
        parse_status(recorded(version, "status"), recorded(version, "trafficstatus")),
        **{
            "now": NOW,
            "certificates": parse_certificates(recorded(version, "listcerts")),
            "log": lambda: recorded(version, "log").splitlines(),
            **options,
        },
    )


@pytest.mark.parametrize("version", PAIRS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("badalg", "rejected"),
        ("badid", "authentication-failed"),
        ("badpsk", "authentication-failed"),
        ("noanswer", "no-answer"),
        ("nocert", "certificate-missing"),
        ("nochild", "no-proposal"),
        ("noiface", "unoriented"),
        ("noprop", "no-proposal"),
        ("refused", "no-answer"),
        ("ts", "traffic-selectors"),
        ("unoriented", "unoriented"),
        ("v1badpsk", "authentication-failed"),
        ("v1noanswer", "no-answer"),
        ("v1nochild", "no-proposal"),
        ("v1noprop", "no-proposal"),
        ("v1ts", "traffic-selectors"),
        ("x509alien", "authentication-failed"),
        ("x509old", "certificate-expired"),
        ("xfrmi", "interface-missing"),
    ],
)
def test_why_it_is_not_up(version: str, name: str, reason: str) -> None:
    full = f"{name}-{PAIRS[version]}"
    entry = facts(version)[full]
    assert (entry["declared"], entry["auto"], entry["well"]) == (True, "start", False)
    rejected = ("badalg", "nocert", "x509old", "xfrmi")
    assert entry["state"] in (("rejected",) if name in rejected else ("down", "connecting"))
    assert entry["loaded"] is (name not in rejected)
    assert entry["reason"]["id"] == reason
    assert entry["reason"]["message"] == CAUSES[reason].message
    if reason == "unoriented" and version == "5.2":
        assert entry["reason"]["log"] is None, "5.2 does not log it, but tells it in its status"
    else:
        assert entry["reason"]["log"].startswith(f'"{full}"')


@pytest.mark.parametrize("version", PAIRS)
@pytest.mark.parametrize(
    ("name", "state", "instances", "expansions"),
    [
        ("good", "established", 0, 0),
        ("many", "established", 0, 4),
        ("narrow", "established", 1, 0),
        ("natt", "established", 0, 0),
        ("road", "established", 0, 0),
        ("ondemand", "ondemand", 0, 0),
        ("keep", "waiting", 0, 0),
        ("ignored", "unloaded", 0, 0),
    ],
)
def test_what_is_well(version: str, name: str, state: str, instances: int, expansions: int) -> None:
    entry = facts(version)[f"{name}-{PAIRS[version]}"]
    assert (entry["state"], entry["well"], entry["reason"]) == (state, True, None)
    assert (entry["instances"], entry["expansions"]) == (instances, expansions)
    assert entry["established"] is bool(entry["child_sas"]) is (state == "established")
    assert entry["routed"] is (state in ("established", "ondemand"))


def test_an_entry() -> None:
    entry = facts("4.10")["good-kt"]
    assert entry["local"] == {
        "address": "192.0.2.2",
        "id": "@k",
        "subnets": ["10.2.0.0/24"],
        "auth": "secret",
        "interface": "eth0",
        "certificate": None,
        "certificate_expires": None,
    }
    assert entry["remote"] == {"address": "192.0.2.3", "id": "@t", "subnets": ["10.3.0.0/24"], "auth": "secret"}
    ike = entry["ike"]
    assert (ike["serial"], ike["state"], ike["version"], ike["peer"]) == (18, "established", 2, "192.0.2.3")
    # ike_life: 28800s, REPLACE in 27734s
    assert (ike["age"], ike["established"]) == (1066, 1795450834)
    (child,) = entry["child_sas"]
    assert child["connection"] == '"good-kt"'
    assert (child["serial"], child["added"], child["bytes_in"], child["bytes_out"]) == (41, 1795450763, 336, 336)
    assert (child["spi_in"], child["spi_out"]) == ("0x06813af0", "0x22ab17d8")
    assert (child["algorithms"], child["peer"]) == ("AES_GCM_16_256-NONE", "192.0.2.3")
    assert (entry["bytes_in"], entry["bytes_out"]) == (336, 336)
    certified = facts("4.10")["x509-kt"]["local"]
    assert (certified["certificate"], certified["certificate_expires"]) == ("k-good", 1798042653)


@pytest.mark.parametrize(
    ("version", "name", "age"),
    [("4.3", "good-bk", None), ("4.10", "good-kt", 1066), ("5.2", "good-kt", 1086)]
    + [(version, f"v1good-{pair}", None) for version, pair in (("4.3", "bk"), ("4.10", "bk"), ("5.2", "tb"))],
)
def test_the_age_of_an_ike_sa_where_pluto_tells_enough(version: str, name: str, age: int | None) -> None:
    """The status has the lifetime of 28800 s, and of IKEv2 the seconds to its end, but not of every version."""
    ike = facts(version)[name]["ike"]
    assert (ike["state"], ike["age"]) == ("established", age)
    assert ike["established"] == (None if age is None else 1795451900 - age)


def test_the_entry_is_json_and_its_form_is_always_the_same() -> None:
    forms = set()
    for version in PAIRS:
        for entry in json.loads(json.dumps(facts(version))).values():
            forms.add((tuple(entry), tuple(entry["local"]), tuple(entry["remote"])))
    for answer in (None, Answer()):
        entry = connections({"x": "start"}, answer, now=NOW)["x"]
        forms.add((tuple(entry), tuple(entry["local"]), tuple(entry["remote"])))
    assert len(forms) == 1


LOADED = Loaded("c", local=End("192.0.2.1"), remote=End("192.0.2.2"))
CHILD = ChildSa("c", 2, 5, 10, 20, ike=1, local="192.0.2.1", remote="192.0.2.2", spi_in=0x10, spi_out=0x20)
UP = Answer(connections=("c",), loaded=(LOADED._replace(routing="tunnel"),), child_sas=(CHILD,))
HALF_OPEN = IkeSa("c", 1, established=False)
DOWN = Answer(loaded=(LOADED,))


def one(auto: str | None, answer: Answer | None, **options: t.Any) -> dict[str, t.Any]:
    found = connections({"c": auto} if auto else {}, answer, now=NOW, **options)
    assert list(found) == ["c"]
    return found["c"]


@pytest.mark.parametrize(
    ("auto", "answer", "state", "reason"),
    [
        ("start", None, "stopped", "not-started"),
        ("ignore", None, "stopped", None),
        ("start", Answer(), "rejected", "rejected"),
        ("keep", Answer(), "rejected", "rejected"),
        ("ignore", Answer(), "unloaded", None),
        ("start", Answer(loaded=(LOADED,)), "down", "unknown"),
        ("start", Answer(loaded=(LOADED,), ike_sas=(HALF_OPEN,)), "connecting", "unknown"),
        ("add", Answer(loaded=(LOADED,), ike_sas=(HALF_OPEN,)), "connecting", None),
        ("add", Answer(loaded=(LOADED,)), "waiting", None),
        ("ignore", Answer(loaded=(LOADED,)), "waiting", None),
        (None, Answer(loaded=(LOADED,)), "waiting", None),
        ("ondemand", Answer(loaded=(LOADED,)), "down", "unknown"),
        ("ondemand", Answer(loaded=(LOADED._replace(routing="trap"),)), "ondemand", None),
        ("add", Answer(loaded=(LOADED._replace(oriented=False),)), "down", "unoriented"),
        ("start", Answer(loaded=(LOADED._replace(routing="routed", shunt=True),)), "ondemand", None),
        ("start", UP, "established", None),
        (None, UP, "established", None),
    ],
)
def test_states(auto: str | None, answer: Answer | None, state: str, reason: str | None) -> None:
    entry = one(auto, answer)
    assert (entry["state"], entry["reason"] and entry["reason"]["id"]) == (state, reason)
    assert entry["well"] is (reason is None)
    assert entry["declared"] is (auto is not None)


def test_some_of_the_expansions() -> None:
    parts = tuple(LOADED._replace(name=name) for name in ("c/1x1", "c/1x2"))
    answer = Answer(loaded=parts, child_sas=(CHILD._replace(connection="c/1x1"),))
    log = ('"c/1x1" #7: NO_PROPOSAL_CHOSEN', '"c/1x2" #8: TS_UNACCEPTABLE', '"c/1x1" #9: IPsec SA established')
    entry = one("start", answer, log=lambda: log)
    assert (entry["state"], entry["well"], entry["expansions"]) == ("partial", False, 2)
    assert (entry["reason"]["id"], entry["reason"]["log"]) == ("traffic-selectors", log[1])
    assert one("add", answer)["well"] is True


def test_while_pluto_is_still_loading_nothing_is_rejected() -> None:
    entry = one("start", Answer(), loading=True)
    assert (entry["state"], entry["reason"]["id"]) == ("rejected", "not-started")


def test_a_kernel_without_a_half_of_a_tunnel() -> None:
    both = dict.fromkeys(CHILD.halves, 0)
    assert list(both) == [("192.0.2.1", 0x10), ("192.0.2.2", 0x20)]
    assert one("add", UP, kernel_spis=both)["well"] is True
    assert one("add", UP, kernel_spis=None)["well"] is True
    for lost in both:
        rest = {half: used for half, used in both.items() if half != lost}
        entry = one("add", UP, kernel_spis=rest)
        assert (entry["state"], entry["well"]) == ("established", False)
        assert entry["reason"]["id"] == "kernel-sa-missing"
        assert "`ipsec whack --initiate --name c`" in entry["reason"]["cure"]
        assert UP.missing(rest) == (CHILD,)
    unknown = UP._replace(child_sas=(CHILD._replace(spi_in=None, spi_out=None),))
    assert unknown.missing(frozenset()) == ()


HERE, THERE = CHILD.halves
OPENSWAN = UP._replace(child_sas=(CHILD._replace(used=40),))


@pytest.mark.parametrize(
    ("answer", "spis", "last"),
    [
        (UP, {HERE: 1_795_451_000, THERE: 1_795_451_007}, 1_795_451_007),
        (UP, {HERE: 1_795_451_009, THERE: 0, ("192.0.2.1", 0x99): 1_795_451_800}, 1_795_451_009),
        (UP, {HERE: 0, THERE: 0}, None),
        (UP, {}, None),
        (UP, None, None),
        (OPENSWAN, None, 1_795_451_860),
        (DOWN, {HERE: 1_795_451_000}, None),
        (None, None, None),
    ],
)
def test_when_a_connection_last_carried_something(
    answer: Answer | None, spis: dict[tuple[str, int], int] | None, last: int | None
) -> None:
    assert one("add", answer, kernel_spis=spis)["last_traffic"] == last


def test_cures_are_for_every_version() -> None:
    """Libreswan 5 has no `ipsec auto`."""
    assert [cure for cure in (LOOK_AGAIN, *(cause.cure for cause in CAUSES.values())) if "ipsec auto" in cure] == []


def test_the_log_costs_and_is_read_only_when_it_can_help() -> None:
    asked = []

    def log() -> list[str]:
        asked.append("")
        return []

    one("start", UP, log=log)
    one("start", None, log=log)
    one("add", UP, log=log, kernel_spis={})
    assert asked == []
    connections({"a": "start", "b": "start"}, Answer(), now=NOW, log=log)
    assert asked == [""]


def test_only_what_is_wanted() -> None:
    assert list(connections({"a": "add", "b": "add"}, UP, now=NOW, wanted=lambda name: name in "bc")) == ["b", "c"]


@pytest.mark.parametrize(
    ("lines", "reason", "said"),
    [
        ((), "unknown", None),
        # the newest certain one, and the one that tells most of an attempt
        (('"c" #1: NO_PROPOSAL_CHOSEN', '"c" #2: TS_UNACCEPTABLE'), "traffic-selectors", 1),
        (('"c" #1: TS_UNACCEPTABLE', '"c" #2: AUTHENTICATION_FAILED'), "authentication-failed", 1),
        (('"c" #2: SEC_ERROR_EXPIRED_CERTIFICATE', '"c" #2: AUTHENTICATION_FAILED'), "certificate-expired", 0),
        # silence after an answer is the same trouble, but not for ever
        (('"c" #1: NO_PROPOSAL_CHOSEN', '"c" #1: 60 second timeout exceeded'), "no-proposal", 0),
        (('"c" #1: NO_PROPOSAL_CHOSEN', *['"c" #2: 60 second timeout exceeded'] * 8), "no-answer", 8),
        # the beginning of an attempt tells nothing yet
        (('"c" #1: TS_UNACCEPTABLE', '"c" #2: STATE_PARENT_I1: retransmission; will wait'), "traffic-selectors", 0),
        (('"c" #2: STATE_PARENT_I1: retransmission; will wait',), "no-answer", 0),
        # what was before a success is over
        (('"c" #1: NO_PROPOSAL_CHOSEN', '"c" #2: initiator established Child SA using #1'), "unknown", None),
        # a line of another connection, a peer's name for itself, and a line of nobody
        (('"d" #1: NO_PROPOSAL_CHOSEN', '"d" #1: \'"c" #1: TS_UNACCEPTABLE\'', "TS_UNACCEPTABLE"), "unknown", None),
        (('packet from 192.0.2.9:500: "c" #1: AUTHENTICATION_FAILED',), "unknown", None),
        (('"c" #1: Peer ID \'x\' AUTHENTICATION_FAILED \'\' is odd',), "unknown", None),
        (('"c" #1: TS_UNACCEPTABLE', '"c" #2: Peer ID \'IPsec SA established\' is odd'), "traffic-selectors", 0),
        (('"d" #1: \'cannot find conn \'x\' needed by conn \'c\'\'',), "unknown", None),
        # instances, and the forms of syslog and logfile=
        (('"c"[2] 2001:db8::9 #1: TS_UNACCEPTABLE',), "traffic-selectors", 0),
        (('Nov 23 16:20:01.123456: "c" #1: TS_UNACCEPTABLE',), "traffic-selectors", 0),
        (('Nov  3 16:20:01 gw pluto[77]: "c" #1: TS_UNACCEPTABLE',), "traffic-selectors", 0),
        (('2026-11-23T16:20:01.1+00:00 gw pluto[77]: ERROR: "c" #1: netlink response for Add SA',), "unknown", 0),
        # IKEv1 has one word for a wrong identity and for wrong subnets
        (('"c" #1: INVALID_ID_INFORMATION',), "authentication-failed", 0),
    ],
)  # fmt: skip
def test_of_many_lines_the_one_that_tells_why(lines: tuple[str, ...], reason: str, said: int | None) -> None:
    found = one("start", DOWN, log=lambda: lines)["reason"]
    assert found["id"] == reason
    assert found["log"] == (None if said is None else lines[said][lines[said].index('"c"') :])


def test_a_line_of_the_log_is_shown_harmless() -> None:
    line = f"\"c\" #1: Peer ID '\x1b[2J\u202e{'x' * 9999}' mismatched on first found connection"
    shown = one("start", DOWN, log=lambda: [line])["reason"]["log"]
    assert shown.startswith('"c" #1: Peer ID \'?[2J?xxx')
    assert len(shown) == 300


def test_the_last_attempt_to_load_it_counts() -> None:
    log = [
        "\"c\": failed to add connection: left certificate 'x' not found in the NSS database",
        "\"c\": failed to add connection: ESP encryption algorithm 'x' is not recognized",
        '"c" #1: AUTHENTICATION_FAILED',
    ]
    assert one("start", Answer(), log=lambda: log[:1])["reason"]["id"] == "certificate-missing"
    found = one("start", Answer(), log=lambda: log)["reason"]
    assert (found["id"], found["log"]) == ("rejected", log[1])


def test_a_section_that_pluto_never_saw() -> None:
    line = "addconn, in config '/etc/ipsec.conf', ignoring: cannot find conn 'x' needed by conn 'c'"
    found = one("start", Answer(), log=lambda: ['"c" #1: NO_PROPOSAL_CHOSEN', line])["reason"]
    assert (found["id"], found["log"]) == ("rejected", line)


@pytest.mark.parametrize(("expires", "reason"), [(NOW + 1, "unknown"), (NOW - 1, "certificate-expired")])
def test_a_certificate_that_has_expired_since_it_was_loaded(expires: float, reason: str) -> None:
    loaded = LOADED._replace(local=End("192.0.2.1", certificate="mine"))
    entry = one("start", Answer(loaded=(loaded,)), certificates={"mine": int(expires)})
    assert (entry["local"]["certificate_expires"], entry["reason"]["id"]) == (int(expires), reason)


def test_every_trace_names_a_cause() -> None:
    assert {cause for _pattern, cause, _weight in TRACES} <= {*CAUSES, "invalid-id"}


def test_a_thousand_connections_stay_small() -> None:
    """The result's size is part of the promise: it travels from every gateway to the controller."""
    parts = tuple(
        Loaded(f"site-{n}", local=End("192.0.2.1", "@hub", ("10.0.0.0/8",)), remote=End(f"192.0.2.{n % 250}", f"@s{n}"))
        for n in range(1000)
    )
    children = tuple(CHILD._replace(connection=part.name, serial=n) for n, part in enumerate(parts))
    result = connections({}, Answer(loaded=parts, child_sas=children), now=NOW)
    assert len(result) == 1000
    assert len(json.dumps(result)) < 2_000_000
