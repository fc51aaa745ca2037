# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port Network against this machine's kernel and nft, in network namespaces of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

MODULE_UTILS = "ansible_collections.xswan.ipsec.plugins.module_utils"
ROOT = Path(__file__).resolve().parents[2]
LOOK = f"""
import json, socket, subprocess, sys
from contract.contract import run_command
from {MODULE_UTILS}._commands import LocalCommands
from {MODULE_UTILS}._facts import firewall_facts, host_facts
from {MODULE_UTILS}._network import LocalNetwork
subprocess.run(["sh", "-ec", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as two:
    one.bind(("127.0.0.1", 500))
    two.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    two.bind(("::1", 4500))
    network = LocalNetwork(LocalCommands(run_command))
    print(json.dumps([host_facts(network.settings()), firewall_facts(network.firewall())]))
"""
UP = "ip link set lo up; ip link add eth0 type bridge; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0; "


def look(script: str) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Settings and firewall in a fresh network namespace after this script."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LOOK, UP + script],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"{ROOT / '.ansible/collections'}:{ROOT / 'tests'}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settings, firewall = json.loads(done.stdout)
    return settings, firewall


def test_settings_are_those_of_the_namespace() -> None:
    settings, firewall = look(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.all.send_redirects=0 "
        "net.ipv4.conf.eth0.accept_redirects=0 net.ipv4.conf.lo.accept_redirects=1;"
        "ip route add default via 192.0.2.254 metric 7; ip route add default dev eth0 metric 9;"
        "ip -6 addr add 2001:db8::1/64 dev eth0 nodad; ip -6 route add default via 2001:db8::fe metric 5;"
        "ip route add blackhole default metric 1"
    )
    assert settings["ip_forward"] == {"ipv4": True, "ipv6": False}
    assert settings["rp_filter"]["eth0"] == 2
    assert settings["send_redirects"]["all"] == 0
    assert {"all", "default", "eth0", "lo"} <= set(settings["accept_redirects"])
    assert (settings["accept_redirects"]["eth0"], settings["accept_redirects"]["lo"]) == (0, 1)
    assert settings["default_route"] == [
        {"family": "ipv4", "interface": "eth0", "gateway": "192.0.2.254", "metric": 7},
        {"family": "ipv4", "interface": "eth0", "gateway": None, "metric": 9},
        {"family": "ipv6", "interface": "eth0", "gateway": "2001:db8::fe", "metric": 5},
    ]
    assert [(port["port"], port["address"]) for port in settings["ike_ports"]] == [(500, "127.0.0.1"), (4500, "::1")]
    assert all(port["pid"] and port["name"].startswith("python") for port in settings["ike_ports"])
    assert firewall == {"tool": "nftables", "refuses": []}


INPUT = (
    "nft add table inet filter; nft 'add chain inet filter input { type filter hook input priority 0; policy %s; }'; "
)
ALL = ["esp", "ike", "nat-t"]
STATES = "ct state vmap { established : accept, invalid : drop }"


@pytest.mark.parametrize(
    ("policy", "rules", "refused"),
    [
        ("drop", [], ALL),
        (
            "drop",
            ["iif lo accept", "ct state established,related accept", "tcp dport 22 accept"],
            ALL,
        ),
        ("drop", ["meta l4proto esp accept", "udp dport { 500, 4500 } accept"], []),
        (
            "drop",
            [STATES, "udp dport 500-600 accept"],
            ["esp", "nat-t"],
        ),
        ("accept", ["meta l4proto { ah, esp } counter drop"], ["esp"]),
        ("accept", ["ip saddr 192.0.2.7 udp dport 500 drop"], []),
        ("accept", ["iifname lo accept", "udp dport isakmp reject"], ["ike"]),
        ("accept", ["limit rate 10/second accept", "drop"], []),
        ("accept", ['log prefix x counter drop comment \\"all\\"'], ALL),
    ],
)
def test_what_nft_refuses(policy: str, rules: list[str], refused: list[str]) -> None:
    commands = "".join(f'nft "add rule inet filter input {rule}"; ' for rule in rules)
    _settings, firewall = look(INPUT % policy + commands)
    assert firewall["tool"] == "nftables"
    assert sorted(refusal["what"] for refusal in firewall["refuses"]) == refused
