# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies: every pair exactly once, ends that mirror each other, one of them that begins."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.xswan.ipsec.plugins.plugin_utils._topology import Connection, connections, members

Entry = dict[str, t.Any]
MIRROR = {"left": "right", "right": "left"}


def gateway(number: int, **more: object) -> dict[str, object]:
    return {"address": f"192.0.2.{number}", "subnets": [f"10.{number}.0.0/24"], **more}


GATEWAYS: dict[str, dict[str, object]] = {f"gw{number}": gateway(number) for number in range(1, 7)}
GROUPS = {"all": list(GATEWAYS), "hubs": ["gw1", "gw2"], "branches": ["gw3", "gw4"], "some": ["gw1", "gw2", "gw3"]}
MESH = {"type": "mesh", "groups": ["some"]}
STAR = {"type": "hub_spoke", "hubs": ["hubs"], "spokes": ["branches"]}


def of(host: str, *entries: Entry, gateways: t.Mapping[str, object] = GATEWAYS) -> dict[str, Connection]:
    found, mistakes = connections(host, entries, GROUPS, gateways.get)
    assert mistakes == []
    assert len({connection["name"] for connection in found}) == len(found)
    return {connection["name"]: connection for connection in found}


def everywhere(*entries: Entry, gateways: t.Mapping[str, object] = GATEWAYS) -> dict[str, dict[str, Connection]]:
    return {host: of(host, *entries, gateways=gateways) for host in gateways}


def mistakes_of(host: str, *entries: Entry, gateways: t.Mapping[str, object] = GATEWAYS) -> list[str]:
    return connections(host, entries, GROUPS, gateways.get)[1]


def test_a_connection_of_a_mesh() -> None:
    assert of("gw2", {**MESH, "connection": {"ike": "aes256-sha2"}})["gw1-gw2"] == {
        "name": "gw1-gw2",
        "left": "192.0.2.2",
        "leftid": "@gw2",
        "leftsubnet": "10.2.0.0/24",
        "right": "192.0.2.1",
        "rightid": "@gw1",
        "rightsubnet": "10.1.0.0/24",
        "authby": "secret",
        "auto": "add",
        "ike": "aes256-sha2",
    }


def test_mesh() -> None:
    assert {host: list(found) for host, found in everywhere(MESH).items()} == {
        "gw1": ["gw1-gw2", "gw1-gw3"],
        "gw2": ["gw1-gw2", "gw2-gw3"],
        "gw3": ["gw1-gw3", "gw2-gw3"],
        "gw4": [],
        "gw5": [],
        "gw6": [],
    }


def test_hub_spoke_does_not_connect_hubs_or_spokes_with_each_other() -> None:
    found = everywhere(STAR)
    assert list(found["gw1"]) == ["gw1-gw3", "gw1-gw4"]
    assert list(found["gw3"]) == ["gw1-gw3", "gw2-gw3"]
    assert found["gw3"]["gw1-gw3"]["auto"] == "start"
    assert found["gw1"]["gw1-gw3"]["auto"] == "add"


def test_a_hub_among_the_spokes_is_none() -> None:
    assert list(of("gw1", {**STAR, "spokes": ["all"]})) == ["gw1-gw3", "gw1-gw4", "gw1-gw5", "gw1-gw6"]


def test_pairs_of_hosts_and_groups() -> None:
    found = everywhere({"type": "pairs", "pairs": [["gw6", "gw5"], ["gw5", "hubs"]]})
    assert {host: list(names) for host, names in found.items() if names} == {
        "gw1": ["gw1-gw5"],
        "gw2": ["gw2-gw5"],
        "gw5": ["gw1-gw5", "gw2-gw5", "gw5-gw6"],
        "gw6": ["gw5-gw6"],
    }


def test_the_last_entry_counts_for_a_pair() -> None:
    found = everywhere(MESH, {"type": "pairs", "pairs": [["gw1", "gw2"]], "connection": {"ike": "a", "auto": "route"}})
    for host in ("gw1", "gw2"):
        assert found[host]["gw1-gw2"]["ike"] == "a"
        assert found[host]["gw1-gw2"]["auto"] == "route"
        assert len(found[host]) == 2


def test_behind_nat() -> None:
    gateways = {**GATEWAYS, "gw1": {"nat": True, "subnets": ["10.1.0.0/24"]}, "gw2": gateway(2, nat=True)}
    found = everywhere({"type": "pairs", "pairs": [["hubs", "gw3"]]}, gateways=gateways)
    inside, outside = found["gw1"]["gw1-gw3"], found["gw3"]["gw1-gw3"]
    assert (inside["left"], inside["right"], inside["auto"]) == ("%defaultroute", "192.0.2.3", "start")
    assert (outside["left"], outside["right"], outside["auto"]) == ("192.0.2.3", "%any", "add")
    inside, outside = found["gw2"]["gw2-gw3"], found["gw3"]["gw2-gw3"]
    assert (inside["left"], outside["right"]) == ("%defaultroute", "192.0.2.2")
    (mistake,) = mistakes_of("gw1", {"type": "mesh", "groups": ["hubs"]}, gateways=gateways)
    assert mistake.startswith("gw1-gw2: both ends are behind NAT")


def test_a_hub_behind_nat_calls_its_spokes() -> None:
    gateways = {**GATEWAYS, "gw1": gateway(1, nat=True)}
    assert of("gw1", STAR, gateways=gateways)["gw1-gw3"]["auto"] == "start"
    assert of("gw3", STAR, gateways=gateways)["gw1-gw3"]["auto"] == "add"


def test_one_to_one_nat() -> None:
    """Both ends name what the host itself has: a peer would not come to it from the address it calls."""
    gateways = {
        **GATEWAYS,
        "gw1": {"address": "192.0.2.1", "local_address": "10.9.9.9"},
        "gw2": {"address": "192.0.2.2"},
    }
    found = everywhere({"type": "mesh", "groups": ["hubs"]}, gateways=gateways)
    assert found["gw1"]["gw1-gw2"]["left"] == "10.9.9.9"
    assert found["gw2"]["gw1-gw2"]["right"] == "192.0.2.1"
    assert found["gw1"]["gw1-gw2"]["leftsubnet"] == found["gw2"]["gw1-gw2"]["rightsubnet"] == "10.9.9.9/32"
    assert "rightsubnet" not in found["gw1"]["gw1-gw2"]


def test_host_to_host() -> None:
    gateways = {"gw1": {"address": "2001:db8::1"}, "gw2": {"address": "2001:db8::2"}}
    found = of("gw1", {"type": "mesh", "groups": ["hubs"]}, gateways=gateways)["gw1-gw2"]
    assert (found["left"], found["right"]) == ("2001:db8::1", "2001:db8::2")
    assert not {"leftsubnet", "leftsubnets", "rightsubnet", "rightsubnets"} & set(found)


def test_each_family_has_a_connection_of_its_own() -> None:
    both = ["10.1.0.0/24", "2001:db8:1::/64", "10.2.0.0/24"]
    gateways = {"gw1": gateway(1, subnets=both), "gw2": gateway(2, subnets=["2001:db8:2::/64", "10.3.0.0/24"])}
    found = of("gw1", {"type": "mesh", "groups": ["hubs"]}, gateways=gateways)
    assert list(found) == ["gw1-gw2", "gw1-gw2-v6"]
    assert found["gw1-gw2"]["leftsubnets"] == ["10.1.0.0/24", "10.2.0.0/24"]
    assert found["gw1-gw2-v6"]["leftsubnet"] == "2001:db8:1::/64"
    assert found["gw1-gw2-v6"]["rightsubnet"] == "2001:db8:2::/64"
    gateways["gw2"] = gateway(2, subnets=["2001:db8:2::/64"])
    assert list(of("gw1", {"type": "mesh", "groups": ["hubs"]}, gateways=gateways)) == ["gw1-gw2"]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        (None, "ipsec_gateway of gw2: is missing in the inventory"),
        ({}, "ipsec_gateway of gw2.address: is missing"),
        ({"nat": True}, "ipsec_gateway of gw2: behind NAT its peers cannot know"),
        (gateway(2, adress="x"), "ipsec_gateway of gw2: key 'adress' is unknown; allowed: name, address"),
        (gateway(2, address="gw2.example"), "ipsec_gateway of gw2.address: 'gw2.example' is no IP address"),
        (gateway(2, local_address="x"), "ipsec_gateway of gw2.local_address: 'x' is no IP address"),
        (gateway(2, subnets=["10.0.0.1/8"]), "ipsec_gateway of gw2.subnets: 10.0.0.1/8 has host bits set"),
        (gateway(2, subnets="10.0.0.0/8"), "ipsec_gateway of gw2.subnets: '10.0.0.0/8' is no list"),
        (gateway(2, nat="no"), "ipsec_gateway of gw2.nat: 'no' is no boolean"),
        (gateway(2, id='@"'), "ipsec_gateway of gw2.id: holds a double quote"),
        (gateway(2, name="a b"), "ipsec_gateway of gw2.name: 'a b' is no name"),
        (gateway(2, name="gw1"), "gw1-gw1: both ends have the name gw1"),
        (gateway(2, id="@gw1"), "gw1-gw2: both ends have the name gw1 or the id @gw1"),
        (gateway(2, address="2001:db8::2"), "gw1-gw2: one end has an IPv4 address"),
        (gateway(2, subnets=["2001:db8::/64"]), "gw1-gw2: one end protects IPv4, the other IPv6"),
    ],
)
def test_mistakes_of_a_gateway(variable: object, said: str) -> None:
    (mistake,) = mistakes_of("gw1", {"type": "mesh", "groups": ["hubs"]}, gateways={**GATEWAYS, "gw2": variable})
    assert mistake.startswith(said)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "ipsec_topology[1].type: None is unknown; allowed: mesh, hub_spoke, pairs"),
        ({"type": "ring"}, "ipsec_topology[1].type: 'ring' is unknown"),
        ({"type": "mesh"}, "ipsec_topology[1].groups: is no list"),
        ({"type": "mesh", "groups": "all"}, "ipsec_topology[1].groups: is no list"),
        ({"type": "mesh", "groups": ["gw9"]}, "ipsec_topology[1].groups: 'gw9' is no group and no host"),
        ({**MESH, "hubs": ["gw1"]}, "ipsec_topology[1].hubs: means nothing to mesh; allowed: type, groups, connection"),
        ({**MESH, "ike": "aes"}, "ipsec_topology[1].ike: means nothing to mesh"),
        ({**MESH, "connection": {"leftid": "x"}}, "ipsec_topology[1].connection.leftid: is computed"),
        ({"type": "pairs", "pairs": [["gw1"]]}, "ipsec_topology[1].pairs[0]: is no pair"),
        ({"type": "pairs", "pairs": [["gw1", "gw2"], ["gw1", "x"]]}, "ipsec_topology[1].pairs[1]: 'x' is no group"),
    ],
)
def test_mistakes_of_an_entry(entry: Entry, said: str) -> None:
    (mistake,) = mistakes_of("gw1", MESH, entry)
    assert mistake.startswith(said)


def test_members() -> None:
    entries: list[Entry] = [STAR, {"type": "pairs", "pairs": [["gw6", "hubs"], 7]}, {"type": "mesh", "groups": ["gw9"]}]
    assert list(members(entries, GROUPS)) == ["gw1", "gw2", "gw3", "gw4", "gw6"]


def test_a_gateway_asks_its_own_peers_alone_and_each_once() -> None:
    """The work of one among a thousand grows with its peers, not with the pairs of all."""
    names = [f"gw{number}" for number in range(1000)]
    gateways = {name: {"address": f"10.1.{number // 250}.{number % 250}"} for number, name in enumerate(names)}
    asked: list[str] = []

    def variable(host: str) -> object:
        asked.append(host)
        return gateways[host]

    groups = {"all": names, "hub": ["gw0"]}
    found, mistakes = connections("gw7", [{"type": "mesh", "groups": ["all"]}], groups, variable)
    assert (len(found), mistakes) == (999, [])
    assert sorted(asked) == sorted(names)
    asked.clear()
    connections("gw7", [{"type": "hub_spoke", "hubs": ["hub"], "spokes": ["all"]}], groups, variable)
    assert sorted(asked) == ["gw0", "gw7"]


# Random gateways of random topologies ------------------------------------------------------------------------------

NAMES = sorted(GATEWAYS)
SUBNETS = st.lists(st.sampled_from(["10.1.0.0/24", "10.2.0.0/24", "2001:db8:1::/64"]), unique=True)
HOSTS = st.lists(st.sampled_from([*NAMES, *GROUPS]), max_size=3)
ENTRIES = st.lists(
    st.fixed_dictionaries({"type": st.just("mesh"), "groups": HOSTS})
    | st.fixed_dictionaries({"type": st.just("hub_spoke"), "hubs": HOSTS, "spokes": HOSTS})
    | st.fixed_dictionaries(
        {
            "type": st.just("pairs"),
            "pairs": st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, *GROUPS])), max_size=4),
        }
    ),
    min_size=1,
    max_size=3,
)
RANDOM = st.tuples(
    *[
        st.fixed_dictionaries(
            {
                "address": st.just(f"192.0.2.{number}"),
                "local_address": st.none() | st.just(f"10.9.9.{number}"),
                "subnets": SUBNETS,
                "nat": st.sampled_from([False, False, False, True]),
            }
        )
        for number in range(1, 7)
    ]
).map(lambda made: dict(zip(NAMES, made)))


def pairs_of(entry: Entry) -> set[frozenset[str]]:
    """The pairs that an entry means, said in another way than the code says it."""

    def hosts(names: t.Iterable[str]) -> set[str]:
        return {host for name in names for host in GROUPS.get(name, [name])}

    if entry["type"] == "mesh":
        product = [(one, other) for one in hosts(entry["groups"]) for other in hosts(entry["groups"])]
    elif entry["type"] == "hub_spoke":
        hubs = hosts(entry["hubs"])
        product = [(one, other) for one in hubs for other in hosts(entry["spokes"]) - hubs]
    else:
        product = [(one, other) for a, b in entry["pairs"] for one in hosts([a]) for other in hosts([b])]
    return {frozenset(pair) for pair in product if pair[0] != pair[1]}


@given(ENTRIES, RANDOM)
def test_every_pair_once_and_its_ends_mirror_each_other(entries: list[Entry], gateways: dict[str, Entry]) -> None:
    wanted = set().union(*map(pairs_of, entries))
    found: dict[str, dict[str, Connection]] = {}
    refused: set[str] = set()
    for host in NAMES:
        made, mistakes = connections(host, entries, GROUPS, gateways.get)
        found[host] = {connection["name"]: connection for connection in made}
        assert len(found[host]) == len(made)
        refused |= {mistake.partition(":")[0] for mistake in mistakes}
    seen: dict[frozenset[str], int] = {}
    for host, made_here in found.items():
        for name, connection in made_here.items():
            peer = connection["rightid"].removeprefix("@")
            assert connection["leftid"] == f"@{host}"
            twin = found[peer][name]
            assert {connection["auto"], twin["auto"]} == {"start", "add"}
            for key in ("id", "subnet", "subnets"):
                assert connection.get(f"left{key}") == twin.get(f"right{key}")
                assert connection.get(f"right{key}") == twin.get(f"left{key}")
            assert connection["right"] == gateways[peer]["address"]
            if gateways[peer]["nat"]:
                assert connection["auto"] == "add"
            pair = frozenset((host, peer))
            seen[pair] = seen.get(pair, 0) + (0 if name.endswith("-v6") else 1)
    assert set(seen.values()) <= {2}, "once at each end"
    assert set(seen) <= wanted
    for pair in wanted - set(seen):
        one, other = sorted(pair)
        assert {f"{one}-{other}", f"ipsec_gateway of {one}", f"ipsec_gateway of {other}"} & refused


def test_everything_is_the_same_whatever_the_order_of_the_inventory() -> None:
    shuffled = {name: list(reversed(hosts)) for name, hosts in GROUPS.items()}
    for host in NAMES:
        assert connections(host, [MESH, STAR], GROUPS, GATEWAYS.get) == connections(
            host, [MESH, STAR], shuffled, GATEWAYS.get
        )
