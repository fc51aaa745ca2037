# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink port against this machine's kernel, in network namespaces of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

MODULE_UTILS = "ansible_collections.xswan.ipsec.plugins.module_utils"
LOOK = f"""
import json, subprocess, sys
from {MODULE_UTILS}._xfrm import XfrmKernel
for argv in json.loads(sys.argv[1]):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
print(json.dumps(XfrmKernel(None).tables()._asdict()))
"""
CLEAN = f"""
import json, os, socket, subprocess, sys
from {MODULE_UTILS}._errors import IPsecError
from {MODULE_UTILS}._devices import remove_device
from {MODULE_UTILS}._xfrm import XfrmKernel
commands, steps = json.loads(sys.argv[1]), sys.argv[2:]
for argv in commands:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
kernel = XfrmKernel(None)

def look():
    listed = []
    for argv in (["ip", "xfrm", "policy", "list", "nosock"], ["ip", "xfrm", "state", "list", "nokeys"]):
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        listed += [line.strip() for line in text.splitlines() if line.startswith("src ")]
    devices = [name for _index, name in socket.if_nameindex() if name != "lo"]
    return {{"leftovers": kernel.leftovers()._asdict(), "listed": listed, "devices": devices}}

looks = [look()]
for step in steps:
    if step.startswith("device "):
        remove_device(step.split()[1])
    else:
        kernel.clean(step)
    looks.append(look())
os.setuid(65534)
refusals = []
for request in (kernel.leftovers, lambda: kernel.clean("own"), lambda: kernel.clean("all")):
    try:
        request()
    except IPsecError as exc:
        refusals.append({{"msg": str(exc), **exc.details}})
print(json.dumps([looks, refusals]))
"""
ROOT = Path(__file__).resolve().parents[2]


def inside(script: str, commands: t.Iterable[str], *arguments: str) -> t.Any:
    """What a script prints, as JSON, in a fresh network namespace; it runs these commands first."""
    argv = [sys.executable, "-c", script, json.dumps([command.split() for command in commands]), *arguments]
    done = subprocess.run(
        ["unshare", "--net", *argv],
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
    return json.loads(done.stdout)


def sizes(*commands: str) -> dict[str, int]:
    """What the port sees in a fresh network namespace after these commands."""
    answer: dict[str, int] = inside(LOOK, commands)
    return answer


POLICY = "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir"
TEMPLATE = "tmpl src 127.0.0.1 dst 127.0.0.2 proto esp mode tunnel"


def test_empty() -> None:
    assert set(sizes().values()) == {0}


def test_policies_and_sas_are_counted_by_kind() -> None:
    assert sizes(
        f"{POLICY} in {TEMPLATE}",
        f"{POLICY} out {TEMPLATE}",
        f"{POLICY} out {TEMPLATE}".replace("10.2.0.0", "10.3.0.0"),
        f"{POLICY} fwd {TEMPLATE}",
        # larval, for the machine's own kernel may lack ESP; the gateways of the lab have real ones
        "ip xfrm state allocspi src 127.0.0.1 dst 127.0.0.2 proto esp mode tunnel",
    ) == {"sas": 1, "policies_in": 1, "policies_out": 2, "policies_fwd": 1, "policies_socket": 0}


def test_what_xfrm_dropped_and_how_long_a_larval_sa_lives() -> None:
    """A policy that blocks, and a packet that meets it on the loopback."""
    script = f"""
import json, socket, subprocess, sys
from {MODULE_UTILS}._model import Listing
from {MODULE_UTILS}._xfrm import XfrmKernel
kernel = XfrmKernel(None)
looks = [kernel.contents(Listing())]
for argv in json.loads(sys.argv[1]):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for _packet in range(2):
        try:
            sock.sendto(b"", ("127.0.0.2", 9))
        except PermissionError:
            pass
looks.append(kernel.contents(Listing()))
print(json.dumps([[dict(look.statistics), look.acq_expires] for look in looks]))
"""
    commands = (
        # as on other devices
        "sysctl -qw net.ipv4.conf.lo.disable_xfrm=0",
        "ip link set lo up",
        "ip xfrm policy add src 127.0.0.0/8 dst 127.0.0.2 dir out action block",
        "sysctl -qw net.core.xfrm_acq_expires=77",
    )
    assert inside(script, commands) == [[{}, 30], [{"XfrmOutPolBlock": 2}, 77]]


def test_pyroute2_is_imported_for_links_alone() -> None:
    script = f"""
import json, sys
from contract.contract import run_command
from {MODULE_UTILS}._commands import LocalCommands
from {MODULE_UTILS}._errors import DependencyError
from {MODULE_UTILS}._facts import DEFAULT, SUBSETS, Request, gather
from {MODULE_UTILS}._module import local_host

class Absent:
    asked = []
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyroute2":
            self.asked.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
found = []
for subsets in (("min",), ("min", *DEFAULT), ("min", *set(SUBSETS) - {{"links"}}), ("links",)):
    try:
        gathered = gather(local_host(LocalCommands(run_command), backend="xfrm"), Request(frozenset(subsets)))
        said = sorted(set(gathered["gathered"]) - {{"min"}})
    except DependencyError as exc:
        said = "pyroute2" in str(exc)
    found.append([said, bool(Absent.asked)])
print(json.dumps(found))
"""
    default = ["connections", "daemon", "host", "kernel"]
    every = ["connections", "daemon", "firewall", "host", "kernel"]
    assert inside(script, ()) == [[[], False], [default, False], [every, False], [True, True]]


ADD = "ip xfrm policy add"
SA = "ip xfrm state allocspi mode tunnel min 0x1000 max 0x1fff proto"
OWN = (
    f"{ADD} src 10.1.0.0/24 dst 10.2.0.0/24 dir out {TEMPLATE} reqid 16389",
    f"{ADD} src 10.1.0.0/24 dst 10.2.0.0/24 dir out mark 12 mask 0xffffff {TEMPLATE} reqid 16393",
    f"{ADD} src 10.2.0.0/24 dst 10.1.0.0/24 dir fwd if_id 7 {TEMPLATE} reqid 16397",
    f"{ADD} src 2001:db8:1::/64 dst 2001:db8:2::/64 dir in tmpl src 2001:db8::1 dst 2001:db8::2 proto ah mode tunnel "
    "reqid 16388",
    # as pluto makes them without a reqid: trap, passthrough, drop, the holes for neighbour discovery
    f"{ADD} src 10.77.0.0/16 dst 10.88.0.0/24 dir out priority 1761489 tmpl proto esp mode transport",
    f"{ADD} src 10.99.0.0/16 dst 10.77.0.0/16 dir fwd priority 1761505",
    f"{ADD} src 10.99.0.0/24 dst 10.77.0.0/16 dir in priority 1761489",
    f"{ADD} src 10.77.0.0/16 dst 10.97.0.0/16 dir out action block priority 77 tmpl proto esp mode transport",
    *(
        f"{ADD} src ::/0 dst ::/0 proto ipv6-icmp type {icmp} dir {direction} priority 1"
        for icmp in (135, 136)
        for direction in ("in", "fwd", "out")
    ),
    f"{SA} esp src 127.0.0.1 dst 127.0.0.2 reqid 16389",
    f"{SA} esp src 127.0.0.1 dst 127.0.0.3 reqid 16393 mark 12 mask 0xffffff",
    f"{SA} ah src 2001:db8::1 dst 2001:db8::2 reqid 16388",
)
FOREIGN = (
    f"{ADD} src 10.1.0.0/24 dst 10.3.0.0/24 dir out {TEMPLATE} reqid 16383",
    f"{ADD} src 10.1.0.0/24 dst 10.3.0.0/24 dir in {TEMPLATE}",
    # the selector of an own one, and another mark
    f"{ADD} src 10.1.0.0/24 dst 10.2.0.0/24 dir out mark 13 mask 0xffffff {TEMPLATE} reqid 1",
    f"{ADD} src 10.1.0.0/24 dst 10.4.0.0/24 dir out",
    f"{ADD} src 10.1.0.0/24 dst 10.5.0.0/24 dir out action block priority 2000",
    f"{ADD} src 10.99.0.0/24 dst 10.77.0.0/16 dir fwd priority 1761505",
    f"{ADD} src ::/0 dst ::/0 proto ipv6-icmp type 133 dir in priority 1",
    f"{ADD} src ::/0 dst ::/0 proto ipv6-icmp type 135 dir in mark 3 mask 0xff priority 1",
    f"{SA} esp src 127.0.0.1 dst 127.0.0.4 reqid 16383",
    f"{SA} esp src 2001:db8::1 dst 2001:db8::3",
    f"{SA} esp src 127.0.0.1 dst 127.0.0.3 reqid 5 mark 13 mask 0xffffff",
)
NOTHING: dict[str, t.Any] = {"policies": 0, "sas": 0, "interfaces": [], "foreign_policies": 0, "foreign_sas": 0}
BOTH: dict[str, t.Any] = {"policies": 14, "sas": 3, "interfaces": [], "foreign_policies": 8, "foreign_sas": 3}
THEIRS = {**BOTH, "policies": 0, "sas": 0}


def test_nothing_is_left_and_nothing_is_cleaned() -> None:
    looks, refusals = inside(CLEAN, (), "own", "all", "none")
    assert looks == [{"leftovers": NOTHING, "listed": [], "devices": []}] * 4
    assert {refusal["errno"] for refusal in refusals} == {1}


def test_own_goes_and_foreign_stays_and_twice_is_once() -> None:
    looks, refusals = inside(CLEAN, OWN + FOREIGN, "none", "own", "own")
    before, untouched, after, again = looks
    assert before["leftovers"] == BOTH
    assert len(before["listed"]) == len(OWN + FOREIGN)
    assert untouched == before
    (alone,), _refusals = inside(CLEAN, FOREIGN)
    assert after == again == alone == {"leftovers": THEIRS, "listed": alone["listed"], "devices": []}
    assert len(alone["listed"]) == len(FOREIGN)
    # a user who is not root
    assert [refusal["errno"] for refusal in refusals] == [1, 1, 1]
    names = ["XFRM_MSG_GETPOLICY", "XFRM_MSG_GETPOLICY", "XFRM_MSG_FLUSHPOLICY"]
    assert [refusal["request"] for refusal in refusals] == names
    assert "failed: Operation not permitted; this needs root" in refusals[0]["msg"]


def test_all_goes() -> None:
    sub = f"{ADD} src 10.1.0.0/24 dst 10.2.0.0/24 dir out ptype sub"
    (before, after), _refusals = inside(CLEAN, (*OWN, *FOREIGN, sub), "all")
    assert before["leftovers"] == {**BOTH, "foreign_policies": BOTH["foreign_policies"] + 1}
    assert after == {"leftovers": NOTHING, "listed": [], "devices": []}


def test_own_sub_policies_go() -> None:
    sub = f"{ADD} src 10.1.0.0/24 dst 10.2.0.0/24 dir out ptype sub {TEMPLATE} reqid 16389"
    (before, after), _refusals = inside(CLEAN, (OWN[0], sub), "own")
    assert before["leftovers"] == {**NOTHING, "policies": 2}
    assert after["leftovers"] == NOTHING


def test_policies_of_sockets_are_neither_counted_nor_touched() -> None:
    """A socket's bypass, as pluto has one on each of its own."""
    script = f"""
import json, socket, struct
from {MODULE_UTILS}._xfrm import XfrmKernel
kernel = XfrmKernel(None)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    # IP_XFRM_POLICY with a struct xfrm_userpolicy_info: family 2, out
    sock.setsockopt(0, 17, bytes(40) + struct.pack("=H", 2) + bytes(118) + struct.pack("=B7x", 1))
    looks = [kernel.tables(), kernel.leftovers()]
    for flush in ("own", "all"):
        kernel.clean(flush)
        looks.append(kernel.tables())
print(json.dumps([look._asdict() for look in looks]))
"""
    first, leftovers, own, every = inside(script, ())
    assert first["policies_socket"] == 1
    assert leftovers == NOTHING
    assert own == every == first


@pytest.mark.parametrize("flush", ["own", "all"])
def test_a_device_that_pluto_did_not_make_stays(flush: str) -> None:
    """Its name alone says nothing; removal itself is shown on it, for no kernel at hand has xfrm devices."""
    looks, _refusals = inside(CLEAN, ["ip link add ipsec1 type bridge"], flush, "device ipsec1", "device ipsec1")
    assert [look["devices"] for look in looks] == [["ipsec1"], ["ipsec1"], [], []]
    assert [look["leftovers"] for look in looks] == [NOTHING] * 4


@pytest.mark.parametrize(
    ("before", "device", "error", "words"),
    [
        ("", "lo", "KernelError", "RTM_DELLINK failed for lo: Operation not supported"),
        ("sys.modules['pyroute2'] = None", "ipsec1", "DependencyError", "install the package python3-pyroute2"),
    ],
)
def test_a_device_that_cannot_be_removed_is_named(before: str, device: str, error: str, words: str) -> None:
    script = f"""
import json, sys
from {MODULE_UTILS}._errors import IPsecError
from {MODULE_UTILS}._devices import remove_device
{before}
try:
    remove_device("{device}")
except IPsecError as exc:
    print(json.dumps([type(exc).__name__, str(exc)]))
"""
    name, msg = inside(script, ())
    assert name == error
    assert words in msg
