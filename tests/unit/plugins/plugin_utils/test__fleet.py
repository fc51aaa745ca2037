# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

import fleet_facts as made_up
from ansible_collections.xswan.ipsec.plugins.plugin_utils._fleet import (
    Fleet,
    clean,
    duration,
    look_from,
    size,
    span,
    utc,
)
from fleet_facts import NOW, address, connection, fleet, result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gw1", "gw1"),
        ("a\x1b[31mb\x07", "a?[31mb?"),
        ("two\nlines\tand more", "two lines and more"),
        ("\u202eevil\u2066", "?evil?"),
        ("broken \ud800", "broken ?"),
        ("\x9b31m", "?31m"),
        ("Müller · 東京", "Müller · 東京"),
        (None, ""),
        (17, "17"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_text_can_only_be_read(value: t.Any, text: str) -> None:
    assert clean(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")]
)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (0, "2026-11-30 00:53:20 UTC"),
        (70, "2026-11-30 00:53:20 to 00:54:30 UTC"),
        (made_up.DAY, "2026-11-30 00:53:20 UTC to 2026-12-01 00:53:20 UTC"),
    ],
)
def test_spans(later: int, text: str) -> None:
    assert span(NOW, NOW + later) == text


def test_times_that_no_calendar_knows() -> None:
    assert utc(NOW) == "2026-11-30 00:53:20 UTC"
    assert utc(2**62) == str(2**62)


@pytest.mark.parametrize(
    ("registered", "word", "error"),
    [
        (None, "not-looked-at", "this run did not look at it"),
        (made_up.unreachable("no route"), "unreachable", "no route"),
        ({"failed": True, "msg": "not root"}, "failed", "not root"),
        ({"failed": True, "msg": "late", "ipsec": {"state": "running"}}, "failed", "late"),
        ({"skipped": True}, "failed", "it returned no facts"),
        ("nonsense", "failed", "it returned no facts"),
        ({"ipsec": ["nonsense"]}, "failed", "it returned no facts"),
    ],
)
def test_a_gateway_without_facts_is_there(registered: t.Any, word: str, error: str) -> None:
    gateway = look_from("gw1", registered)
    assert (gateway.word, gateway.error, gateway.seen, gateway.level) == (word, error, False, "bad")
    assert [trouble.id for trouble in Fleet([gateway], NOW).troubles] == [word]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"state": 7, "at": "yesterday", "bytes_in": "many", "findings": "x", "connections": {"a": 1, 2: None}},
        {"state": None, "at": -1, "bytes_in": True, "findings": [1, {"id": None}], "connections": {"a": {"ike": []}}},
        {"state": "running", "connections": {"a": {"child_sas": {}, "well": "yes", "local": {"address": [1]}}}},
        {
            "state": "running",
            "kernel": {"statistics": [], "policies_in": {}},
            "listening": [{"address": None}],
            "at": 1e30,
        },
        {"state": "running", "connections": [], "pluto_started": float("nan")},
    ],
)
def test_facts_of_any_shape_make_a_gateway(facts: dict[str, t.Any]) -> None:
    """A gateway in the wrong hands must not take the others out of the picture."""
    seen = look_from("gw1", {"ipsec": facts})
    assert seen.seen
    assert len(Fleet([seen], NOW).troubles) >= len(seen.not_well)


def test_names_that_differ_in_control_characters_only_stay_two() -> None:
    connections = {"a\x01": connection("192.0.2.1", "192.0.2.2"), "a\x02": connection("192.0.2.1", "192.0.2.3")}
    gateway = look_from("gw1", result("192.0.2.1", connections))
    assert [tunnel.name for tunnel in gateway.tunnels or ()] == ["a?", "a?'"]


def test_without_the_subset_of_connections_nothing_is_claimed_of_them() -> None:
    gateway = look_from("gw1", result("192.0.2.1", None, connections_loaded=4, tunnels_up=3))
    assert (gateway.tunnels, gateway.loaded, gateway.up, gateway.level) == (None, 4, 3, "good")


class TestPeers:
    """Who is at the other end."""

    @pytest.mark.parametrize(
        ("remote", "identity", "peer"),
        [
            (address(1), address(1), "gw2"),  # by address
            ("203.0.113.1", "@GW2.example", "gw2"),  # behind NAT: by identity, whose case does not count
            ("%any", "@gw2.example", "gw2"),
            ("2001:DB8:0::2", None, "gw2"),  # an address in another spelling
            (address(1), "@gw3.example", "gw3"),  # an identity is proven, an address is not
            ("203.0.113.1", "@else.example", None),
            ("10.0.0.1", None, None),  # two have it
            ("127.0.0.1", None, None),
            ("%any", "%fromcert", None),
            (address(0), address(0), None),  # itself
            (None, None, None),
        ],
    )
    def test_by_address_and_identity(self, remote: str | None, identity: str | None, peer: str | None) -> None:
        tunnel = connection(address(0), "x")
        tunnel["remote"].update(address=remote, id=identity)
        tunnel["child_sas"] = []
        others: dict[str, t.Any] = {}
        for number, name in ((1, "gw2"), (2, "gw3")):
            own = connection(address(number), "203.0.113.200")
            own["local"]["id"] = f"@{name}.example"
            others[name] = result(address(number), {"out": own})
            others[name]["ipsec"]["listening"].append({"address": "10.0.0.1"})
        others["gw2"]["ipsec"]["listening"].append({"address": "2001:db8::2"})
        picture = fleet({"gw1": result(address(0), {"c": tunnel}), **others})
        gateway = picture.gateways[0]
        assert gateway.tunnels is not None
        assert picture.peer(gateway, gateway.tunnels[0]) == peer

    def test_a_gateway_that_does_not_answer_is_known_by_where_ansible_looks_for_it(self) -> None:
        picture = fleet(
            {"gw1": result(address(0), {"c": connection(address(0), address(1))}), "gw2": made_up.unreachable()}
        )
        there, back, wrong = picture.pairs["gw1", "gw2"]
        assert (there.word, back.word, wrong) == ("up", "unknown", None)

    def test_a_tunnel_that_pluto_does_not_hold_is_known_by_its_name(self) -> None:
        nothing: dict[str, t.Any] = {"address": None, "id": None, "subnets": [], "auth": None}
        lost = {**connection(address(0), "x", up=False), "state": "rejected", "remote": nothing, "local": nothing}
        picture = fleet(
            {
                "gw1": result(address(0), {"gw1-gw2": lost, "mine": lost}),
                "gw2": result(address(1), {"gw1-gw2": connection(address(1), address(0))}),
                "gw3": result(address(2), {}),
            }
        )
        there, back, wrong = picture.pairs["gw1", "gw2"]
        assert (there.word, back.word, wrong) == ("down", "up", "gw2 says up, gw1 says down")
        assert [tunnel.name for tunnel in picture.side(picture.gateways[0], None).tunnels] == ["mine"]

    def test_a_connection_for_whoever_comes_has_the_peers_that_came(self) -> None:
        taker = connection(address(0), "%any")
        taker["remote"]["id"] = None
        sa = taker["child_sas"][0]
        taker["child_sas"] = [
            {**sa, "peer": address(1), "bytes_in": 5, "bytes_out": 7},
            {**sa, "peer": "203.0.113.5", "bytes_in": 1, "bytes_out": 1},
        ]
        caller = connection(address(1), address(0), traffic=(7, 5))
        picture = fleet({"gw1": result(address(0), {"any": taker}), "gw2": result(address(1), {"up": caller})})
        there, back, wrong = picture.pairs["gw1", "gw2"]
        assert (there.word, there.traffic.received, there.traffic.sent) == ("up", 5, 7)
        assert (back.word, wrong) == ("up", None)
        assert picture.side(picture.gateways[0], None).traffic.received == 1


class TestPairs:
    """What two gateways say of each other."""

    def test_a_mesh_that_is_well(self) -> None:
        picture = fleet(made_up.mesh(3))
        assert len(picture.pairs) == 6
        assert {(there.word, back.word, wrong) for there, back, wrong in picture.pairs.values()} == {("up", "up", None)}
        assert picture.troubles == ()

    def test_the_office(self) -> None:
        picture = fleet(made_up.office())
        seen = {names: (there.word, back.word) for names, (there, back, _wrong) in picture.pairs.items()}
        assert seen["gw1", "gw2"] == ("up", "down")
        assert seen["gw2", "gw1"] == ("down", "up")
        assert seen["gw1", "gw3"] == ("down", "down")
        assert seen["gw2", "gw3"] == ("up", "none")
        assert seen["gw2", "gw4"] == ("idle", "idle")
        assert seen["gw5", "gw1"] == ("unknown", "up")
        wrong = {names: why for names, (_there, _back, why) in picture.pairs.items() if why and names[0] < names[1]}
        assert wrong == {
            ("gw1", "gw2"): "gw1 says up, gw2 says down",
            ("gw2", "gw3"): "gw2 has a tunnel to gw3, and gw3 has none to gw2",
            ("gw3", "gw4"): "gw3 sends to gw4, and nothing arrives",
        }
        assert [(trouble.level, trouble.where, trouble.what, trouble.id) for trouble in picture.troubles] == [
            ("bad", "gw1", "tunnel gw1-gw3", "no-proposal"),
            ("bad", "gw1", "tunnel customer-b", "no-answer"),
            ("bad", "gw2", "tunnel gw2-gw1", "no-answer"),
            ("bad", "gw3", "tunnel gw3-gw1", "no-proposal"),
            ("bad", "gw5", "gateway", "unreachable"),
            ("warn", "gw4", "gateway", "upgraded"),
            ("warn", "gw4", "certificate gw4 for gw1", "expires"),
            ("warn", "gw1, gw2", "pair", "asymmetric"),
            ("warn", "gw2, gw3", "pair", "asymmetric"),
            ("warn", "gw3, gw4", "pair", "asymmetric"),
        ]

    @pytest.mark.parametrize(
        ("words", "word"),
        [
            (["up", "up"], "up"),
            (["up", "idle"], "up"),
            (["up", "down"], "partial"),
            (["idle", "down"], "down"),
            (["idle"], "idle"),
            (["partial", "up"], "partial"),
            ([], "none"),
        ],
    )
    def test_several_tunnels_to_a_peer(self, words: list[str], word: str) -> None:
        states: dict[str, dict[str, t.Any]] = {
            "up": {"state": "established", "well": True},
            "idle": {"state": "waiting", "well": True},
            "down": {"state": "down", "well": False},
            "partial": {"state": "partial", "well": False},
        }
        connections = {
            str(number): connection(address(0), address(1), **states[name]) for number, name in enumerate(words)
        }
        picture = fleet({"gw1": result(address(0), connections), "gw2": result(address(1), {})})
        assert picture.side(*picture.gateways).word == word

    def test_a_tunnel_that_pluto_calls_established_and_that_is_not_well_is_down(self) -> None:
        gone = made_up.reason("kernel-sa-missing", "the kernel has no SA for it", "restart it")
        tunnel = connection(address(0), address(1), well=False, reason=gone)
        picture = fleet({"gw1": result(address(0), {"c": tunnel}), "gw2": result(address(1), {})})
        assert picture.side(*picture.gateways).word == "down"


def test_certificates() -> None:
    tunnels = {}
    for name, left in (("old", -1), ("soon", made_up.DAY), ("good", 400 * made_up.DAY)):
        tunnels[name] = connection(address(0), "203.0.113.1")
        tunnels[name]["local"].update(certificate=name, certificate_expires=NOW + left)
    picture = fleet({"gw1": result(address(0), tunnels)}, now=NOW)
    found = [(trouble.level, trouble.name, trouble.id) for trouble in picture.troubles]
    assert found == [("bad", "old", "expired"), ("warn", "soon", "expires")]


def test_a_stopped_gateway_needs_attention() -> None:
    stopped = result(address(0), {}, state="stopped", running=False)
    assert [trouble.id for trouble in fleet({"gw1": stopped}).troubles] == ["stopped"]
