# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reload on three gateways with 20 tunnels: what did not change keeps its SPIs and loses no packet.

The witnesses are pluto's SPIs, and a datagram every 10 ms through each of the 19 tunnels that do not change, and back.
`make test` changes one tunnel, between 4.10 and 5.2; `make reload` one of each pair, and more.
"""

from __future__ import annotations

import collections.abc as c
import functools
import itertools
import os
import re
import secrets
import typing as t
from pathlib import Path

import pytest

import traffic
from lab.ansible import ad_hoc
from lab.tools import LabError, wait_until
from traffic import INTERVAL, carries, give_addresses, ike_sas, spis, started, streams

if t.TYPE_CHECKING:
    from lab.lab import Gateway, Lab

LONG = os.environ.get("XSWAN_RELOAD") == "all"
"""Also what takes minutes: `make reload`."""
PAIRS, OTHERS = 3, 19
CHANGED = PAIRS if LONG else 1
ENOUGH = 0.9
"""The part of the questions of stream.py that must have been sent in the long form."""


class Tunnel(traffic.Tunnel):
    """A tunnel with its text."""

    def subnet(self, end: Gateway, changed: bool) -> str:
        """What it leads to."""
        return self.address(end).removesuffix(".1") + (".0/30" if changed else ".1/32")

    def section(self, own: Gateway, changed: bool) -> str:
        """Its part of a gateway's ipsec.conf. IKE is pinned: 4.x and 5.x guess different groups first.

        What changes are the subnets. A change of esp= alone would not do: the pluto of 5.2 judges the proposal for a
        further Child SA by the connection that owns the IKE SA.
        """
        other = self.right if own is self.left else self.left
        return f"""
conn {self.name}
    left={own.spec.wan.ip}
    leftid=@{own.name}
    leftsubnet={self.subnet(own, changed)}
    right={other.spec.wan.ip}
    rightid=@{other.name}
    rightsubnet={self.subnet(other, changed)}
    authby=secret
    ikev2=insist
    ike=aes256-sha2_256;dh19
    esp=aes256-sha2_256
    auto={"start" if own is self.left else "add"}
"""


def configure(tunnels: c.Iterable[Tunnel], changed: c.Collection[Tunnel] = ()) -> None:
    """Write every gateway's ipsec.conf."""
    texts: dict[str, str] = {}
    gateways = {end.name: end for tunnel in tunnels for end in (tunnel.left, tunnel.right)}
    for tunnel, own in itertools.product(tunnels, gateways.values()):
        if own in (tunnel.left, tunnel.right):
            texts[own.name] = texts.get(own.name, "config setup\n") + tunnel.section(own, tunnel in changed)
    for name, text in texts.items():
        gateways[name].run("cat >/etc/ipsec.conf", stdin=text)


@pytest.fixture(scope="module")
def tunnels(lab: c.Callable[[Path, str], Lab]) -> c.Iterator[tuple[Lab, tuple[Tunnel, ...]]]:
    """Gateways of all suites with all tunnels up; stopped and without secret afterwards."""
    made = lab(Path(__file__).with_name("labs") / "suites.yml", "suites")
    pairs = itertools.cycle(itertools.combinations(made.gateways.values(), 2))
    found = tuple(Tunnel(f"t{number}", *next(pairs)) for number in range(OTHERS + CHANGED))
    secret = f': PSK "{secrets.token_hex(20)}"\n'
    configure(found)
    for gateway in made.gateways.values():
        give_addresses(gateway, found)
        gateway.run("umask 077; cat >/etc/ipsec.secrets", stdin=secret)
    try:
        for gateway in reversed(made.gateways.values()):
            gateway.run("systemctl restart ipsec", timeout=120)
        for tunnel in found:
            wait_until(functools.partial(started, tunnel), 300, f"{tunnel.name} up")
        yield made, found
    finally:
        for gateway in made.gateways.values():
            gateway.run(
                "systemctl stop ipsec; rm /etc/ipsec.secrets; ip address flush dev lo scope global", timeout=120
            )


def ends(tunnel: Tunnel) -> set[str]:
    """The names of its gateways."""
    return {tunnel.left.name, tunnel.right.name}


def owners(gateway: Gateway) -> set[str]:
    """Connections that have set up an IKE SA, which others may share."""
    return set(ike_sas(gateway).values())


def assert_up(tunnels: c.Iterable[Tunnel]) -> None:
    """All of these tunnels carry a ping, soon."""
    for tunnel in tunnels:
        where = f"a ping through {tunnel.name}, from {tunnel.left.name} to {tunnel.right.name}"
        wait_until(functools.partial(carries, tunnel), 120, where)


def reload(lab: Lab, *gateways: Gateway) -> dict[str, list[str]]:
    """Reload these gateways, or all, at once; what was done, by gateway."""
    hosts = ",".join(gateway.name for gateway in gateways or lab.gateways.values())
    results = ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded start_timeout=120", hosts=hosts)
    assert [result["msg"] for result in results.values() if result["failed"]] == []
    return {name: result["actions"] for name, result in results.items()}


def settle(lab: Lab) -> None:
    """Reload until there is nothing left to do: what one gateway ends another one may have to start."""
    actions: dict[str, list[str]] = {}

    def settled() -> bool:
        nonlocal actions
        actions = reload(lab)
        return not any(actions.values())

    try:
        wait_until(settled, 150, "no gateway has anything to do", every=2)
    except LabError as error:
        raise AssertionError(f"still to do: {actions}") from error


def test_only_what_changed_is_touched(tunnels: tuple[Lab, tuple[Tunnel, ...]]) -> None:
    """Tunnels are changed, removed and added; 19 others carry traffic all the time, and keep their SPIs."""
    lab, all_tunnels = tunnels
    taken = set().union(*(owners(gateway) for gateway in lab.gateways.values()))
    by_pair = {frozenset(ends(tunnel)): tunnel for tunnel in all_tunnels if tunnel.name not in taken}
    assert len(by_pair) == PAIRS, f"between each two gateways one that owns no IKE SA; these do: {sorted(taken)}"
    victims = tuple(by_pair.values())[-CHANGED:]
    touched = set().union(*map(ends, victims))
    others = [tunnel for tunnel in all_tunnels if tunnel not in victims]

    def untouched() -> dict[str, dict[str, frozenset[str]]]:
        kept = {tunnel.name for tunnel in others}
        return {
            gateway.name: {name: found for name, found in spis(gateway).items() if name in kept}
            for gateway in lab.gateways.values()
        }

    before = untouched()
    assert all(
        set(found) == {tunnel.name for tunnel in others if name in ends(tunnel)} for name, found in before.items()
    )
    with streams(lab, others) as counts:
        for step, present, changed in (
            ("replace", all_tunnels, victims),
            ("delete", others, ()),
            ("add", all_tunnels, ()),
        ):
            old = {victim.name: spis(victim.left).get(victim.name) for victim in victims}
            configure(present, changed)
            # the one that starts a tunnel comes after the other one: its peer knows it then
            for gateway in (gateway for gateway in reversed(lab.gateways.values()) if gateway.name in touched):
                own = sorted(victim.name for victim in victims if gateway.name in ends(victim))
                assert reload(lab, gateway) == {gateway.name: [f"{step} connection {name}" for name in own]}
            for victim in victims:
                if victim in present:
                    assert_up([victim])
                    assert spis(victim.left)[victim.name] != old[victim.name]
                else:
                    assert victim.name not in {**spis(victim.left), **spis(victim.right)}
            assert untouched() == before
        assert reload(lab) == {name: [] for name in lab.gateways}
    assert untouched() == before
    for name, sent in sorted(counts.items()):
        print(f"{name}: {sent.questions} questions in {sent.seconds:.0f} s, {sent.rate:.1f} a second, {sent.lost} lost")
    assert len(counts) == OTHERS
    assert {name: sent.lost for name, sent in counts.items() if sent.lost} == {}
    assert all(sent.questions > 500 for sent in counts.values())
    if LONG:
        # fewer were no stream of 10 ms: then the machine was too busy, and nothing is proven
        assert {name: sent.rate for name, sent in counts.items() if sent.rate < ENOUGH / INTERVAL} == {}


MANY = """
conn many
    left={own}
    right=192.0.2.99
    leftsubnets={{{subnets}}}
    rightsubnet=10.99.0.0/24
    authby=secret
    ikev2=insist
    auto=add
"""
BAD = """
conn bad
    left={own}
    right=192.0.2.98
    esp=nonsense
    auto=add
"""
GROUP = """
conn group
    left={own}
    right=%group
    type=passthrough
    authby=never
    auto=ondemand
"""

if LONG:

    def test_those_that_share_an_ike_sa_with_what_changed_come_back(tunnels: tuple[Lab, tuple[Tunnel, ...]]) -> None:
        """It is foretold which they are, and they carry traffic again.

        4.3 takes minutes: when the first Child SA of an IKE SA is refused, as the peer has not changed yet, it waits
        for the end of that attempt before it begins another.
        """
        lab, all_tunnels = tunnels
        victim = next(tunnel for tunnel in all_tunnels if tunnel.name in owners(tunnel.left))
        sharing = {tunnel.name for tunnel in all_tunnels if ends(tunnel) == ends(victim) and tunnel is not victim}
        configure(all_tunnels, (victim,))
        check = ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded", "--check", hosts=victim.left.name)
        foretold = check[victim.left.name]["actions"]
        assert foretold[0] == f"replace connection {victim.name}"
        named = [
            re.fullmatch(r"replace connection (\S+), which shares the IKE SA of (\S+)", action) for action in foretold
        ]
        assert {(match[1], match[2]) for match in named if match} == {(name, victim.name) for name in sharing}
        assert len(foretold) == len(sharing) + 1
        assert reload(lab, victim.left) == {victim.left.name: foretold}
        settle(lab)
        assert_up(all_tunnels)

    def test_what_is_refused_what_is_left_over_and_what_takes_a_restart(
        tunnels: tuple[Lab, tuple[Tunnel, ...]],
    ) -> None:
        """What the program refuses changes nothing; a subnet less is one; `config setup` is named, or taken."""
        lab, all_tunnels = tunnels

        def install(setup: str, *sections: str, subnets: str = "") -> None:
            configure(all_tunnels)
            for gateway in lab.gateways.values():
                more = "".join(sections).format(own=gateway.spec.wan.ip, subnets=subnets)
                gateway.run(
                    f"sed -i 's/^config setup$/config setup\\n{setup}/' /etc/ipsec.conf; cat >>/etc/ipsec.conf",
                    stdin=more,
                )

        def loaded() -> dict[str, set[str]]:
            status = {name: gateway.run("ipsec whack --status").stdout for name, gateway in lab.gateways.items()}
            return {name: set(re.findall(r'"many[^"]*": ([^=\s]+)===', text)) for name, text in status.items()}

        install("", MANY, subnets="10.98.1.0/24 10.98.2.0/24")
        settle(lab)
        assert loaded() == {name: {"10.98.1.0/24", "10.98.2.0/24"} for name in lab.gateways}

        before = {name: spis(gateway) for name, gateway in lab.gateways.items()}
        install("", MANY, BAD, subnets="10.98.1.0/24")
        for name, result in ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded").items():
            assert (name, result["failed"], result["changed"]) == (name, True, False)
            assert result["error"]["type"] == "ConfigError"
            assert "nonsense" in result["msg"]
        assert {name: spis(gateway) for name, gateway in lab.gateways.items()} == before

        install("    uniqueids=no", MANY, subnets="10.98.1.0/24")
        results = ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded")
        assert {name: (result["actions"], result["restart_required"]) for name, result in results.items()} == {
            name: (["replace connection many"], ["uniqueids"]) for name in lab.gateways
        }
        assert loaded() == {name: {"10.98.1.0/24"} for name in lab.gateways}
        assert {name: spis(gateway) for name, gateway in lab.gateways.items()} == before

        results = ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded allow_restart=true")
        assert {name: (result["actions"], result["restart_required"]) for name, result in results.items()} == {
            name: (["stop pluto", "start pluto"], []) for name in lab.gateways
        }

        # 4.3 and 4.10 do not tell it, so it is what was noted when they started that counts
        install("    uniqueids=no\\n    logfile=\\/var\\/log\\/pluto.log", MANY, subnets="10.98.1.0/24")
        results = ad_hoc(lab, "xswan.ipsec.ipsec_setup", "state=reloaded start_timeout=120")
        assert {name: result["restart_required"] for name, result in results.items()} == {
            name: ["logfile"] for name in lab.gateways
        }

    def test_a_policy_group_is_read_again(tunnels: tuple[Lab, tuple[Tunnel, ...]]) -> None:
        """When it has changed, and when the connection that it is for comes; tunnels keep their SPIs."""
        lab, all_tunnels = tunnels

        def members(*addresses: str) -> None:
            for gateway in lab.gateways.values():
                gateway.run(
                    "cat >/etc/ipsec.d/policies/group", stdin="".join(f"{address}/32\n" for address in addresses)
                )

        def loaded() -> list[set[str]]:
            texts = [gateway.run("ipsec whack --status").stdout for gateway in lab.gateways.values()]
            return [set(re.findall(r'"group#(192\.0\.2\.\d+)/32"', text)) for text in texts]

        configure(all_tunnels)
        settle(lab)
        before = {name: spis(gateway) for name, gateway in lab.gateways.items()}
        members("192.0.2.97")
        for gateway in lab.gateways.values():
            gateway.run("cat >>/etc/ipsec.conf", stdin=GROUP.format(own=gateway.spec.wan.ip))
        try:
            assert list(reload(lab).values()) == [["add connection group", "read the policy groups again"]] * 3
            assert loaded() == [{"192.0.2.97"}] * 3
            members("192.0.2.96", "192.0.2.98")
            replaced = "replace connection group, whose policy group has changed"
            assert list(reload(lab).values()) == [[replaced, "read the policy groups again"]] * 3
            assert loaded() == [{"192.0.2.96", "192.0.2.98"}] * 3
            assert list(reload(lab).values()) == [[]] * 3
            assert {name: spis(gateway) for name, gateway in lab.gateways.items()} == before
        finally:
            for gateway in lab.gateways.values():
                gateway.run("rm /etc/ipsec.d/policies/group")
