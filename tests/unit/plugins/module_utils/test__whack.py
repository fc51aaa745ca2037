# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures are what `ipsec whack` printed on gateways of the lab, one connection up between two of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._model import ChildSa, Program
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import (
    parent,
    parse_connections,
    parse_interfaces,
    parse_traffic,
    parse_version,
)

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = ("4.3", "4.10", "5.2")


def recorded(version: str, command: str) -> str:
    return (FIXTURES / f"whack-{version}-{command}.txt").read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_status_of_every_version(version: str) -> None:
    status = recorded(version, "status")
    assert parse_interfaces(status) == ("eth0", "eth1", "eth2", "lo")
    assert parse_connections(status) == ("gw1-gw2",)


@pytest.mark.parametrize(
    ("version", "sas"),
    [
        ("4.3", (ChildSa("gw1-gw2", 3, 1795440680, 0, 0), ChildSa("gw1-gw2", 4, 1795440682, 504, 504))),
        ("4.10", (ChildSa("gw1-gw2", 2, 1795439718, 1008, 1008),)),
        ("5.2", (ChildSa("gw1-gw2", 4, 1795439717, 1008, 1008),)),
    ],
)
def test_traffic_of_every_version(version: str, sas: tuple[ChildSa, ...]) -> None:
    assert parse_traffic(recorded(version, "trafficstatus")) == sas


@pytest.mark.parametrize(
    ("line", "connection"),
    [
        ('#7: "road"[2] 192.0.2.9, username=u, type=ESP, add_time=5, inBytes=1, outBytes=2, lease=10.9.0.1/32', "road"),
        ("006 #8: \"net/1x2\", type=ESP, add_time=5, inBytes=1, outBytes=2, maxBytes=2^63B, id='@a, b'", "net/1x2"),
    ],
)
def test_instances_and_expansions(line: str, connection: str) -> None:
    (sa,) = parse_traffic(line)
    assert (sa.connection, sa.bytes_in, sa.bytes_out) == (connection, 1, 2)


def test_instances_and_expansions_belong_to_their_connection() -> None:
    status = (
        '000 "net/1x2": 10.1.0.0/24===...\n000 "net/2x2": ...\n"road"[2] 192.0.2.9: ...\n000 "net/1x2":   oriented\n'
    )
    assert [parent(name) for name in parse_connections(status)] == ["net", "road"]


def test_nothing_in_nothing() -> None:
    assert (parse_interfaces(""), parse_connections(""), parse_traffic(""), parse_version("")) == ((), (), (), None)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Linux Libreswan 4.3 (netkey) on 6.1.176\n", Program("Libreswan", "4.3")),
        ("Libreswan 4.10\n", Program("Libreswan", "4.10")),
        ("Libreswan 5.2\n", Program("Libreswan", "5.2")),
        ("Linux Openswan U2.6.32/K2.6.32-754.el6.x86_64 (netkey)\n", Program("Openswan", "2.6.32")),
        ("Linux strongSwan U5.9.8/K6.1.0\n", Program("strongSwan", "5.9.8")),
    ],
)
def test_versions(text: str, program: Program) -> None:
    assert parse_version(text) == program
