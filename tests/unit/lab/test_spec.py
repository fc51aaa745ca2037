# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a lab: what it gives, and what is refused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from lab import Lab, spec
from lab.spec import LabSpec, SpecError


def two(**gw2: object) -> dict[str, t.Any]:
    """Return a good description whose second gateway has these settings besides (None: without that one)."""
    second = {"suite": "trixie", "wan": "192.0.2.2", "lan": "10.2.0.0/24", **gw2}
    return {
        "name": "demo",
        "gateways": {
            "gw1": {"suite": "bookworm", "wan": "192.0.2.1", "lan": "10.1.0.0/24"},
            "gw2": {key: value for key, value in second.items() if value is not None},
        },
    }


def test_what_need_not_be_said() -> None:
    lab = spec.parse(two())
    gw1, gw2 = lab.gateways
    assert (lab.name, str(lab.wan), str(lab.wan_router)) == ("demo", "192.0.2.0/24", "192.0.2.254/24")
    assert (gw1.nat, gw1.memory, gw1.init, gw1.number, gw2.number) == (False, 512, "systemd", 1, 2)
    assert (str(gw2.management), str(gw2.outside)) == ("198.18.0.2/24", "192.0.2.2/24")
    assert (str(gw2.lan_gateway), str(gw2.lan_host)) == ("10.2.0.1/24", "10.2.0.2/24")
    assert not lab.has_ipv6


def test_behind_nat_the_wan_address_is_the_box_s() -> None:
    gateway = spec.parse(two(nat=True)).gateways[1]
    assert str(gateway.wan) == "192.0.2.2/24"
    assert str(gateway.outside) == "100.64.2.2/24"


def test_ipv6() -> None:
    lab = spec.parse(two(wan6="2001:db8::2", lan6="2001:db8:2::/64"))
    gateway = lab.gateways[1]
    assert lab.has_ipv6
    assert (str(gateway.lan6_gateway), str(gateway.lan6_host)) == ("2001:db8:2::1/64", "2001:db8:2::2/64")


def test_suites_are_named_once_each() -> None:
    assert spec.parse(two(suite="bookworm")).suites == ("bookworm",)


def test_only_a_gateway_without_systemd_gets_another_init() -> None:
    lab = Lab(spec.parse(two(init="script")))
    assert ["sbin/init" in lab._seed(gateway, "", "") for gateway in lab.spec.gateways] == [False, True]


def test_name_from_the_command_line_wins() -> None:
    assert spec.parse(two(), "other").name == "other"


@pytest.mark.parametrize(
    "description",
    [two(), two(nat=True, memory=768), two(init="script"), two(wan6="2001:db8::2", lan6="2001:db8:2::/64")],
)
def test_dump_is_read_back_as_the_same(description: dict[str, t.Any], tmp_path: Path) -> None:
    lab: LabSpec = spec.parse(description)
    path = tmp_path / "lab.yml"
    path.write_text(spec.dump(lab))
    assert spec.load(path) == lab


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "the lab: must be a mapping with gateways"),
        ({"gateways": {}, "name": "a"}, "gateways: must be a mapping of at least one gateway"),
        ({"name": "a"}, "the lab: key gateways is missing"),
        ({**two(), "links": []}, "the lab: key 'links' is unknown; allowed: gateways, name, wan"),
        ({**two(), "name": "a-b"}, "name: 'a-b' is no name of a lab"),
        ({**two(), "name": None}, "name: None is no name of a lab"),
        ({**two(), "wan": "192.0.2.0/30"}, "wan: 192.0.2.0/30 is too small"),
        ({**two(), "wan": "192.0.2.1/24"}, "wan: '192.0.2.1/24' is not an IPv4 network"),
        ({"name": "a", "gateways": {"GW": {}}}, "gateways: 'GW' is not a gateway's name"),
        ({"name": "a", "gateways": {"wan": {}}}, "gateways: 'wan' is not a gateway's name"),
        ({"name": "a", "gateways": {"gw1": None}}, "gateways.gw1: must be a mapping with suite, wan, lan"),
        (two(wan=None), "gateways.gw2: key wan is missing"),
        (two(disk=3), "gateways.gw2: key 'disk' is unknown; allowed: suite, wan, lan, wan6, lan6, nat, memory, init"),
        (two(suite="sid"), "gateways.gw2.suite: 'sid' is unknown; allowed: bullseye, bookworm, trixie"),
        (two(nat="maybe"), "gateways.gw2.nat: 'maybe' is not a boolean; allowed: true, false"),
        (two(memory=64), "gateways.gw2.memory: 64 is not enough; allowed: MiB, 192 or more"),
        (two(memory=True), "gateways.gw2.memory: True is not enough"),
        (two(init="openrc"), "gateways.gw2.init: 'openrc' is unknown; allowed: systemd, script"),
        (two(wan="198.51.100.1"), "gateways.gw2.wan: 198.51.100.1 is no host's address in 192.0.2.0/24"),
        (two(wan="192.0.2.255"), "gateways.gw2.wan: 192.0.2.255 is no host's address in 192.0.2.0/24"),
        (two(wan="gw"), "gateways.gw2.wan: 'gw' is not an address"),
        (two(wan="192.0.2.1"), "gateways.gw2.wan: 192.0.2.1 is taken by gateways.gw1"),
        (two(wan="192.0.2.254"), "gateways.gw2.wan: 192.0.2.254 is taken by the WAN's router"),
        (two(wan6="2001:db8::2", nat=True), "gateways.gw2.wan6: a gateway behind a NAT box has no IPv6"),
        (two(lan="10.1.0.128/25"), "gateways.gw2.lan: 10.1.0.128/25 overlaps gateways.gw1.lan (10.1.0.0/24)"),
        (two(lan="198.18.0.0/16"), "gateways.gw2.lan: 198.18.0.0/16 overlaps the management network"),
        (two(lan="10.2.0.0/31"), "gateways.gw2.lan: 10.2.0.0/31 has no room"),
        (two(lan="10.2.0.1/24"), "gateways.gw2.lan: '10.2.0.1/24' is not an IPv4 network; allowed: one like"),
        (two(lan6="10.2.0.0/24"), "gateways.gw2.lan6: '10.2.0.0/24' is not an IPv6 network; allowed: one like"),
    ],
)
def test_refusals_name_the_key_and_what_is_allowed(description: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(description)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not YAML"), ("- 1\n", "the lab: must be a mapping"), (None, "cannot be read: No such file")],
)
def test_refusals_name_the_file(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError) as caught:
        spec.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
