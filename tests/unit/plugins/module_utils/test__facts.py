# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from recorded_xfrm import ESP, TUNNEL

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError
from ansible_collections.xswan.ipsec.plugins.module_utils._facts import DEFAULT, SUBSETS, Request, chosen, gather
from ansible_collections.xswan.ipsec.plugins.module_utils._model import (
    Answer,
    ChildSa,
    Contents,
    Firewall,
    IkeSa,
    Interface,
    Listening,
    Listing,
    Loaded,
    Owner,
    Refusal,
    Tables,
    Total,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm_list import read_policy, read_sa
from ansible_collections.xswan.ipsec.plugins.modules import ipsec_status
from fake_host import FakeHost, FakePluto


@pytest.mark.parametrize(
    ("words", "subsets"),
    [
        (list(DEFAULT), {"min", *DEFAULT}),
        (["all"], {"min", *SUBSETS}),
        (["min"], {"min"}),
        (["!all"], {"min"}),
        (["!all", "kernel"], {"min", "kernel"}),
        (["!all", "!min", "kernel"], {"kernel"}),
        (["!min", "kernel"], {"kernel"}),
        (["!kernel"], {"min", *DEFAULT} - {"kernel"}),
        (["all", "!links", "!firewall"], {"min", *DEFAULT}),
        (["kernel", "!kernel"], {"min", "kernel"}),
        (["links"], {"min", "links"}),
        ([], {"min", *DEFAULT}),
    ],
)
def test_subsets_are_chosen_as_in_setup(words: list[str], subsets: set[str]) -> None:
    assert chosen(words) == subsets


@pytest.mark.parametrize("word", ["everything", "!everything", "network", "", "!"])
def test_unknown_subsets_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="write any of all, min, daemon"):
        chosen([word])


def gathered(fake: FakeHost, *subsets: str, **options: t.Any) -> dict[str, t.Any]:
    facts = gather(fake.host(), Request(frozenset(subsets), **options))
    json.dumps(facts)
    return facts


@pytest.fixture
def fake() -> FakeHost:
    """A gateway with a tunnel."""
    made = FakeHost()
    made.run_pluto()
    child = ChildSa(
        connection="one", serial=2, added=1, bytes_in=10, bytes_out=20,
        local="192.0.2.1", remote="192.0.2.2", spi_in=0x11, spi_out=0x22,
    )  # fmt: skip
    made.answer = Answer(("eth0",), ("one",), (child,), loaded=(Loaded("one"),))
    spis = dict.fromkeys((("192.0.2.1", 0x11), ("192.0.2.2", 0x22)), 1_796_000_900)
    made.contents = Contents(
        Tables(2, 1, 1, 1, 8),
        totals=(Total(16389, 2, 30, 2),),
        spis=spis,
        own_spis=frozenset(spis),
        asked=frozenset({16389}),
    )
    return made


KEYS = {
    "min": {"state", "findings", "tunnels_up", "bytes_in", "pluto_pid", "unit"},
    "daemon": {"uptime", "interfaces", "listening", "fips"},
    "connections": {"connections"},
    "kernel": {"kernel"},
    "links": {"kernel"},
    "host": {"host"},
    "firewall": {"host"},
}


@pytest.mark.parametrize("subset", KEYS)
def test_only_what_was_asked_for_is_gathered(fake: FakeHost, subset: str) -> None:
    facts = gathered(fake, subset)
    assert facts["gathered"] == [subset]
    assert facts["at"] == int(fake.clock.epoch())
    assert KEYS[subset] <= set(facts)
    others = set().union(*(keys for other, keys in KEYS.items() if other != subset)) - KEYS[subset]
    assert not others & set(facts)


def test_all_together(fake: FakeHost) -> None:
    fake.interfaces = (Interface("ipsec1", "xfrm", 1, "eth0", True, 1400, ("10.9.0.1/30",)),)
    facts = gathered(fake, "min", *SUBSETS)
    assert (facts["state"], facts["findings"]) == ("running", [])
    assert facts["kernel"]["totals"] == [{"reqid": 16389, "sas": 2, "bytes": 30, "packets": 2}]
    assert (facts["kernel"]["sas"], facts["kernel"]["policies_socket"]) == (2, 8)
    assert facts["kernel"]["interfaces"][0]["if_id"] == 1
    assert facts["host"]["firewall"] == {"tool": "nftables", "refuses": []}
    assert facts["host"]["ip_forward"] == {"ipv4": True, "ipv6": None}
    assert facts["connections"]["one"]["well"] is True
    assert facts["connections"]["one"]["last_traffic"] == 1_796_000_900
    assert "sa_list" not in facts["kernel"]


def undocumented(facts: t.Any, about: dict[str, t.Any], path: str = "ipsec") -> list[str]:
    """Keys of facts that RETURN does not have, and the reverse, at every depth: by contains, else by the sample."""
    if isinstance(facts, list):
        return [line for fact in facts for line in undocumented(fact, about, path)]
    if not isinstance(facts, dict) or path in OF_THE_HOST:
        return []
    contains = about["contains"] if "contains" in about else by_sample(about["sample"])
    if set(contains) == {"NAME"}:
        return [line for fact in facts.values() for line in undocumented(fact, contains["NAME"], path)]
    wrong = [f"{path}.{key}" for key in set(facts) ^ set(contains)]
    for key in set(facts) & set(contains):
        wrong += undocumented(facts[key], contains[key], f"{path}.{key}")
    return wrong


def by_sample(sample: t.Any) -> dict[str, t.Any]:
    """What a sample says of the keys of a fact, in the form of contains."""
    first = sample[0] if isinstance(sample, list) and sample else sample
    return {key: {"sample": value} for key, value in first.items()} if isinstance(first, dict) else {}


OF_THE_HOST = {
    "ipsec.kernel.statistics",
    *(f"ipsec.host.{name}" for name in ("rp_filter", "send_redirects", "accept_redirects")),
}
"""Their keys are names of interfaces or of counters."""


def test_every_fact_is_documented(fake: FakeHost) -> None:
    documented = yaml.safe_load(ipsec_status.RETURN)["ipsec"]
    listing = Listing(5)
    fake.configured = {"one": "start", "gone": "start"}
    fake.answer = fake.answer._replace(
        ike_sas=(IkeSa("one", 1, established=True),),
        listening=(Listening("eth0", "192.0.2.1", 500),),
    )
    fake.contents = fake.contents._replace(
        # what no SA has: a finding
        own_spis=frozenset({*fake.contents.own_spis, ("192.0.2.1", 0x99)}),
        sa_list=(read_sa(memoryview(ESP)[16:]),),
        policy_list=(t.cast("dict[str, t.Any]", read_policy(memoryview(TUNNEL)[16:], None)),),
    )
    fake.interfaces = (Interface("ipsec1", "xfrm", 1, "eth0", True, 1400, ("10.9.0.1/30",)),)
    fake.settings = fake.settings._replace(ike_ports=(Owner(500, "192.0.2.1", 814, "pluto"),))
    fake.firewall = Firewall("nftables", (Refusal("esp", "inet filter", "input", "policy drop"),))
    facts = gathered(fake, "min", *SUBSETS, listing=listing)
    assert fake.listing == listing
    assert undocumented(facts, documented) == []
    # so that there was something to compare
    kernel, host = facts["kernel"], facts["host"]
    one, gone = facts["connections"]["one"], facts["connections"]["gone"]
    assert all((facts["findings"], facts["unit"], facts["listening"], one["ike"], one["child_sas"], gone["reason"]))
    assert all((kernel["totals"], kernel["sa_list"], kernel["policy_list"][0]["templates"], kernel["interfaces"]))
    assert all((host["default_route"], host["ike_ports"], host["firewall"]["refuses"]))


def test_a_fact_without_documentation_is_found(fake: FakeHost) -> None:
    """At each depth of a connection, of a list, and of the whole."""
    documented = yaml.safe_load(ipsec_status.RETURN)["ipsec"]
    fake.answer = fake.answer._replace(ike_sas=(IkeSa("one", 1, established=True),))
    facts = gathered(fake, "min", *SUBSETS, listing=Listing(5))
    one = facts["connections"]["one"]
    for place in (facts, facts["kernel"], facts["kernel"]["totals"][0], facts["unit"], one, one["local"]):
        place["new"] = 1
        assert [line.rpartition(".")[2] for line in undocumented(facts, documented)] == ["new"]
        del place["new"]
    for place in (one["remote"], one["ike"], one["child_sas"][0]):
        key, value = place.popitem()
        assert [line.rpartition(".")[2] for line in undocumented(facts, documented)] == [key]
        place[key] = value


def test_samples_have_the_form_of_the_facts() -> None:
    documented = yaml.safe_load(ipsec_status.RETURN)["ipsec"]["contains"]
    connections = documented["connections"]
    assert undocumented(connections["sample"], connections) == []


def test_a_backend_that_is_not_loaded(fake: FakeHost) -> None:
    fake.xfrm_loaded = False
    facts = gathered(fake, "min", "kernel")
    assert facts["state"] == "backend-missing"
    assert (facts["kernel"]["loaded"], facts["kernel"]["sas"]) == (False, 0)


def test_connections_are_filtered_by_globs_and_sums_are_not(fake: FakeHost) -> None:
    fake.configured = {"one": "start", "other": "add", "net-a": "add", "net-b": "add"}
    facts = gathered(fake, "min", "connections", connections=("net-*", "o?e"))
    assert sorted(facts["connections"]) == ["net-a", "net-b", "one"]
    assert (facts["tunnels_up"], facts["bytes_in"]) == (1, 10)
    assert gathered(fake, "min", "connections", connections=("none",))["connections"] == {}


def test_a_configuration_that_cannot_be_read_hides_nothing_of_pluto(fake: FakeHost) -> None:
    fake.config_error = "ipsec.conf: syntax error"
    facts = gathered(fake, "min", "connections")
    assert facts["state"] == "running"
    assert facts["connections"]["one"]["established"] is True
    (finding,) = facts["findings"]
    assert (finding["id"], finding["severity"]) == ("config-invalid", "warning")
    assert "syntax error" in finding["message"]


GONE, NEW = frozenset({("192.0.2.1", 0x11)}), frozenset({("192.0.2.1", 0x99)})


@pytest.mark.parametrize(
    ("change", "ids", "words"),
    [
        ({"spis": dict.fromkeys(GONE, 0), "own_spis": GONE}, ["child-sa-without-kernel-sa"], "one (#2)"),
        ({"own_spis": GONE | NEW}, ["kernel-sa-without-child-sa"], "0x00000099 to 192.0.2.1"),
        ({"asked": frozenset({16389, 16393})}, ["policy-without-sa"], "reqid 16393"),
        ({"foreign_sas": 3, "foreign_policies": 4, "larval": 2}, [], ""),
    ],
)
def test_where_pluto_and_the_kernel_disagree(
    fake: FakeHost, change: dict[str, t.Any], ids: list[str], words: str
) -> None:
    fake.contents = fake.contents._replace(**change)
    facts = gathered(fake, "min", "kernel")
    assert facts["state"] == "running"
    assert [finding["id"] for finding in facts["findings"]] == ids
    assert all(words in finding["message"] and finding["severity"] == "warning" for finding in facts["findings"])
    assert facts["exit_status"] == len(ids)


def test_a_child_sa_without_a_kernel_sa_is_not_well(fake: FakeHost) -> None:
    fake.contents = fake.contents._replace(spis={}, own_spis=frozenset())
    entry = gathered(fake, "min", "connections")["connections"]["one"]
    assert (entry["well"], entry["reason"]["id"]) == (False, "kernel-sa-missing")


def test_a_backend_of_which_only_sizes_are_known_lacks_nothing(fake: FakeHost) -> None:
    """KLIPS."""
    fake.contents = Contents(fake.contents.tables)
    facts = gathered(fake, "min", "connections", "kernel")
    assert facts["findings"] == []
    assert (facts["connections"]["one"]["well"], facts["connections"]["one"]["last_traffic"]) == (True, None)


def test_what_differs_only_at_the_first_look_is_not_told(fake: FakeHost) -> None:
    """An SA that was replaced between the looks at pluto and at the kernel."""
    settled = fake.contents
    fake.contents = settled._replace(spis=dict.fromkeys(GONE, 0), own_spis=GONE)
    host = fake.host()
    ask, looks = host.pluto.ask, []

    def settle(*, patient: bool = False) -> Answer | None:
        looks.append(1)
        if len(looks) == 2:
            fake.contents = settled
        return ask(patient=patient)

    object.__setattr__(host.pluto, "ask", settle)
    facts = gather(host, Request(frozenset({"min", "kernel", "connections"})))
    assert len(looks) == 2
    assert facts["findings"] == []
    assert facts["connections"]["one"]["well"] is True


def test_a_stopped_gateway_has_nothing_to_disagree_about() -> None:
    fake = FakeHost()
    fake.contents = Contents(Tables(), own_spis=NEW)
    facts = gathered(fake, "min", "kernel", "connections", "daemon")
    assert (facts["state"], facts["findings"], facts["uptime"]) == ("stopped", [], None)
    assert facts["connections"]["one"]["state"] == "stopped"


def test_a_pluto_that_answers_no_more_at_the_second_look(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who disagrees is not told by one look alone."""
    fake.contents = Contents(Tables(sas=1), spis={}, own_spis=frozenset({("192.0.2.1", 0xABC)}))
    assert [finding["id"] for finding in gathered(fake, "min", "kernel")["findings"]] == [
        "child-sa-without-kernel-sa",
        "kernel-sa-without-child-sa",
    ]
    answers = iter((fake.answer,))
    monkeypatch.setattr(FakePluto, "ask", lambda self, *, patient=False: next(answers, None))
    assert gathered(fake, "min", "kernel")["findings"] == []


def test_a_broken_configuration_of_a_stopped_gateway_is_told_once() -> None:
    stopped = FakeHost()
    stopped.config_error = "syntax error"
    ids = [finding["id"] for finding in gathered(stopped, "min", "connections")["findings"]]
    assert ids == ["config-invalid"]
