# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How others reach the gateways: the inventory, the ssh_config, and the addresses the gateways really get."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from lab import inventory, network, spec

LAB = spec.parse(
    {
        "name": "demo",
        "gateways": {
            "gw1": {"suite": "bookworm", "wan": "192.0.2.1", "lan": "10.1.0.0/24", "nat": True},
            "gw2": {
                "suite": "trixie",
                "wan": "192.0.2.2",
                "lan": "10.2.0.0/24",
                "wan6": "2001:db8::2",
                "lan6": "2001:db8:2::/64",
            },
        },
    }
)
STATE = Path("/srv/a b/.lab/demo")
SOCKETS = Path("/run/xswan-lab/demo")


def test_inventory() -> None:
    text = inventory.inventory_yaml(LAB, STATE, SOCKETS)
    group = yaml.safe_load(text)["gateways"]
    assert group["vars"] == {"lab_name": "demo", "lab_namespace": "xswan-demo"}
    gw1 = group["hosts"]["gw1"]
    arguments = shlex.split(gw1.pop("ansible_ssh_common_args"))
    assert arguments == ["-F", f"{STATE}/ssh_config", "-o", f"ControlPath={SOCKETS}/gw1"]
    assert gw1 == {
        "ansible_host": "198.18.0.1",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": f"{STATE}/id_ed25519",
        "ansible_python_interpreter": "/usr/bin/python3",
        "lab_suite": "bookworm",
        "lab_wan": "192.0.2.1",
        "lab_wan_local": "100.64.1.2",
        "lab_nat": True,
        "lab_lan": "10.1.0.0/24",
        "lab_lan_gateway": "10.1.0.1",
        "lab_lan_host": "10.1.0.2",
    }
    gw2 = group["hosts"]["gw2"]
    assert (gw2["lab_wan"], gw2["lab_wan_local"], gw2["lab_nat"]) == ("192.0.2.2", "192.0.2.2", False)
    assert (gw2["lab_wan6"], gw2["lab_lan6"]) == ("2001:db8::2", "2001:db8:2::/64")


def test_ssh_config_is_strict_and_goes_through_the_namespace() -> None:
    text = inventory.ssh_config(LAB, STATE, SOCKETS)
    assert "Host gw1 198.18.0.1\n" in text
    assert "  StrictHostKeyChecking yes\n" in text
    assert f'  UserKnownHostsFile "{STATE}/known_hosts"\n' in text
    assert "  ProxyCommand ip netns exec xswan-demo nc %h %p\n" in text


def test_a_gateway_gets_the_addresses_of_the_inventory() -> None:
    gw1, gw2 = LAB.gateways
    assert network.gateway_commands(LAB, gw1) == [
        "link set lo up",
        "addr add 100.64.1.2/24 dev eth0",
        "link set eth0 up",
        "addr add 10.1.0.1/24 dev eth1",
        "link set eth1 up",
        "addr add 198.18.0.1/24 dev eth2",
        "link set eth2 up",
        "route add default via 100.64.1.1",
    ]
    assert "addr add 2001:db8:2::1/64 dev eth1 nodad" in network.gateway_commands(LAB, gw2)


def test_longest_names_fit_the_kernel() -> None:
    gateway = "g" * 10
    assert spec.GATEWAY_NAME.fullmatch(gateway)
    assert all(len(name) <= 15 for name in (f"{gateway}-eth0", f"{gateway}-out", f"lan-{gateway}", f"nat-{gateway}"))
    # ssh appends a dot and 16 characters to the path while it makes the socket.
    assert len(f"/run/xswan-lab/{'n' * 20}/{gateway}") + 17 <= 107


@pytest.mark.parametrize(
    ("name", "demo", "any_lab"),
    [
        (network.namespace("demo"), True, True),
        (network.namespace("demo", "gw1", "lan"), True, True),
        (network.namespace("demo", "gw1", "nat"), True, True),
        (network.namespace("demo2"), False, True),
        (network.namespace("other", "demo", "lan"), False, True),
        ("xswan-demo-gw1", False, False),
        ("xswan-", False, False),
        ("demo", False, False),
    ],
)
def test_whose_namespace(name: str, demo: bool, any_lab: bool) -> None:
    assert (network.belongs(name, "demo"), network.belongs(name)) == (demo, any_lab)
