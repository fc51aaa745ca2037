# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port PacketFilter against this machine's nft, in network and mount namespaces of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

MODULE_UTILS = "ansible_collections.xswan.ipsec.plugins.module_utils"
ROOT = Path(__file__).resolve().parents[2]
RUN = f"""
import dataclasses, json, subprocess, sys
from contract.contract import run_command
from fake_host import FakeHost
from {MODULE_UTILS}._commands import LocalCommands
from {MODULE_UTILS}._errors import IPsecError
from {MODULE_UTILS}._filter import LocalFilter
from {MODULE_UTILS}._install import LocalFiles
from {MODULE_UTILS}._network import LocalNetwork
from {MODULE_UTILS}._opening import Wish, settle
commands = LocalCommands(run_command)
real = dict(files=LocalFiles(commands), filter=LocalFilter(commands), network=LocalNetwork(commands))
host = dataclasses.replace(FakeHost().router(), **real)
said = []
for step in json.loads(sys.argv[1]):
    if isinstance(step, str):
        done = subprocess.run(["sh", "-ec", step], check=True, capture_output=True, text=True)
        said.append(done.stdout)
        continue
    tool, chain, ah = step
    try:
        result = settle(Wish(tool, chain, None, ah), host, check_mode=False)
        said.append([result["changed"], result["warnings"]])
    except IPsecError as error:
        said.append(str(error))
print(json.dumps(said))
"""
RULES = """
nft -f - <<END
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        tcp dport 22 accept
        counter drop
    }
}
END
"""
SEND = """
python3 - <<END
import socket
KINDS = {"ike": (socket.SOCK_DGRAM, 0, 500), "nat-t": (socket.SOCK_DGRAM, 0, 4500), "dns": (socket.SOCK_DGRAM, 0, 53)}
KINDS.update(esp=(socket.SOCK_RAW, 50, 0), ah=(socket.SOCK_RAW, 51, 0))
for family, address, other in ((socket.AF_INET, "127.0.0.1", "127.0.0.2"), (socket.AF_INET6, "::1", "::2")):
    for name, (kind, protocol, port) in KINDS.items():
        with socket.socket(family, kind, protocol) as there, socket.socket(family, kind, protocol) as here:
            there.bind((address, port))
            # from another address, for else the packet would be an answer to itself
            here.bind((other, 0))
            here.sendto(b"x" * 32, (address, port))
            # over lo a packet has come, or was dropped, when it is sent
            try:
                there.recv(64, socket.MSG_DONTWAIT)
                print(f"{name}{4 if family == socket.AF_INET else 6}", end=" ")
            except BlockingIOError:
                pass
END
"""
"""What comes in of one packet of each kind, which the host sends to itself."""
LIST = "nft --stateless list ruleset; find /etc /var/lib -type f"
INPUT = "inet filter input"
ALL = ("ike", "nat-t", "esp", "ah", "dns")
"""Those of SEND."""


def run(*steps: object) -> list[t.Any]:
    """What each step brings: a shell script, or the arguments of a Wish; in a namespace with a /etc of its own."""
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "sh", "-ec"),
            'for dir in /etc /var/lib; do mount -t tmpfs -o mode=755 tmpfs $dir; done; exec "$@"',
            *("sh", sys.executable, "-c", RUN, json.dumps(steps)),
        ],
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
    said: list[t.Any] = json.loads(done.stdout)
    return said


def test_a_chain_that_refuses_is_opened_and_is_then_as_before() -> None:
    _rules, before, opened, listed, again, closed, after, still = run(
        RULES,
        LIST,
        ("nftables", INPUT, True),
        LIST,
        ("nftables", INPUT, True),
        ("none", INPUT, False),
        LIST,
        ("none", INPUT, False),
    )
    # nothing refuses any more
    assert opened == [True, []]
    assert listed.index("jump xswan_ipsec") < listed.index("tcp dport 22")
    assert "udp dport { 500, 4500 } accept" in listed
    assert again == [False, []]
    assert closed == [True, []]
    assert after == before
    assert still == [False, []]


@pytest.mark.parametrize(("ah", "kinds"), [(False, ("ike", "nat-t", "esp")), (True, ("ike", "nat-t", "esp", "ah"))])
def test_packets_of_ipsec_come_in_and_no_others(ah: bool, kinds: tuple[str, ...]) -> None:
    """What the kernel lets through, not what nft lists."""
    _up, nothing_refuses, _rules, refused, _opened, let_in, _closed, again = run(
        "ip link set lo up; ip address add ::2/128 dev lo",
        SEND,
        RULES,
        SEND,
        ("nftables", INPUT, ah),
        SEND,
        ("none", INPUT, ah),
        SEND,
    )
    assert sorted(nothing_refuses.split()) == sorted(f"{name}{version}" for name in ALL for version in "46")
    assert (refused, again) == ("", "")
    assert sorted(let_in.split()) == sorted(f"{kind}{version}" for kind in kinds for version in "46")


def test_what_the_file_says_is_what_was_done() -> None:
    """As when the host loads its rules again: flush, theirs, then ours; and also when ours are loaded twice."""
    *_before, loaded, twice, mended, listed = run(
        RULES,
        ("nftables", INPUT, False),
        "nft flush ruleset",
        RULES,
        "nft -f /etc/xswan-ipsec.nft",
        ("nftables", INPUT, False),
        "nft -f /etc/xswan-ipsec.nft",
        ("nftables", INPUT, False),
        "nft list ruleset",
    )[4:]
    assert (loaded, twice) == ([False, []], "")
    assert mended == [True, []]
    assert listed.count("jump xswan_ipsec") == 1
    assert listed.count("udp dport") == 1


@pytest.mark.parametrize("lost", ["nft flush chain inet filter xswan_ipsec", "nft flush ruleset; " + RULES])
def test_lost_rules_come_back(lost: str) -> None:
    *_before, mended, again = run(
        RULES, ("nftables", INPUT, False), lost, ("nftables", INPUT, False), ("nftables", INPUT, False)
    )
    assert (mended, again) == ([True, []], [False, []])


def test_another_table_that_refuses_is_told_and_left_alone() -> None:
    other = "nft 'table ip more { chain in { type filter hook input priority 5; udp dport 500 drop; }; }'"
    *_before, opened, moved, listed = run(
        RULES, other, ("nftables", INPUT, False), ("nftables", "ip more in", False), "nft list ruleset"
    )
    changed, warnings = opened
    assert changed
    assert [warning.partition(";")[0].partition(" (handle")[0] for warning in warnings] == [
        "the firewall still refuses ike: ip more in, udp dport 500 drop"
    ]
    # the wish names one chain
    assert moved[0] is True
    assert listed.count("jump xswan_ipsec") == 1
    assert "udp dport 500 drop" in listed


def test_a_chain_that_is_not_there() -> None:
    (refused,) = run(("nftables", INPUT, False))
    assert refused.startswith("nftables has no base chain inet filter input on the hook input; it has none. ")
