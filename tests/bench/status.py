# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look by ipsec_status costs a gateway: `make bench-status` prints it, and writes docs/benchmarks-status.md.

Measured is CPU time (user and system, children included) on this machine's own kernel, in a box: namespaces in which
the Debian 12 of the lab's image runs with its systemd, its Python and its pluto. A User-mode Linux gateway would do as
well, but there every system call costs a multiple, and so ratios would be those of User-mode Linux.

The kernel of this machine need not have ESP. Where it has, SAs in the kernel have keys, else they are larval ones, as
`ip xfrm state allocspi` makes them; the report says which. They have pluto's reqids, and each has its policy. What a
look does with SAs that have keys is measured in any case, on messages of such a one that a kernel sent once: the parser
gets them over a socket, and `ip -s xfrm monitor file` prints the same ones as `ip -s xfrm state` would.
Connections are loaded by pluto, and none is up.

What Ansible sends to a gateway is kept (ANSIBLE_KEEP_REMOTE_FILES) and run in the box, as Ansible would.
"""

from __future__ import annotations

import argparse
import collections.abc as c
import contextlib
import functools
import json
import os
import pickle
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from recorded_xfrm import DONE, ESP, SADINFO, SPDINFO, TUNNEL

from bench.report import machine, table
from lab import LabError, image
from lab.tools import environment, progress, run

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
REPORT = CHECKOUT / "docs/benchmarks-status.md"
SUITE = "bookworm"
SAS = (0, 100, 1_000, 10_000)
CONNECTIONS = (10, 100, 1_000)
ROUNDS = 11
KEYED = f"mode tunnel aead rfc4106(gcm(aes)) 0x{'5a' * 20} 128"
"""What makes an SA of `ip xfrm state add` a mature one; the key protects nothing."""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MODULE = "xswan.ipsec.ipsec_status"
PAYLOADS = {
    "ping": ("ansible.builtin.ping", ""),
    "service_facts": ("ansible.builtin.service_facts", ""),
    "ipsec_status": (MODULE, ""),
    "min": (MODULE, "gather_subset=min"),
    # in check mode, for it is also run where it must change nothing; on a gateway that runs the work is the same
    "ipsec_setup": ("xswan.ipsec.ipsec_setup", "state=started", "--check"),
    # the one that reads every definition of every connection
    "reloaded": ("xswan.ipsec.ipsec_setup", "state=reloaded", "--check"),
}
TOTALS = """
import sys, time
sys.path.insert(0, "/tmp/collections")
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Listing
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmKernel
kernel, work = XfrmKernel(None), sys.argv[1]
look = kernel.tables if work == "counts" else lambda: kernel.contents(Listing())
look()
began = time.process_time()
look()
print((time.process_time() - began) * 1000)
"""
DATAGRAM = 32_256
"""Bytes that the kernel fills when a dump is read as the module reads it."""
REPLAYED = """
import os, pickle, socket, sys, time
sys.path.insert(0, "/tmp/collections")
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import NetlinkSocket
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmSocket
near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
kernel = os.fork()
if not kernel:
    # not counted: the part of the kernel
    near.close()
    with open("/tmp/replay.pickle", "rb") as file:
        datagrams = pickle.load(file)
    for datagram in datagrams * 2:
        far.send(datagram)
    os._exit(0)
xfrm = XfrmSocket(NetlinkSocket(near))
xfrm.contents()
began = time.process_time()
found = xfrm.contents()
took = time.process_time() - began
os.waitpid(kernel, 0)
number = int(sys.argv[1])
assert (found.larval, found.foreign_sas, found.foreign_policies) == (0, 0, 0)
assert (sum(total.sas for total in found.totals), len(found.spis), len(found.own_spis)) == (number,) * 3
print(took * 1000)
"""
PARSE = """
import subprocess, sys, time
sys.path.insert(0, "/tmp/collections")
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import parse_status
text = subprocess.run(["ipsec", "whack", "--status"], capture_output=True, text=True, check=True).stdout
began = time.process_time()
parse_status(text, "")
print((time.process_time() - began) * 1000)
"""


class Measured(t.NamedTuple):
    """What one command took in each round."""

    ms: list[float]
    size: int
    """Bytes of its output."""
    kib: int = 0
    """The largest resident set of a round."""

    @property
    def median(self) -> float:
        return statistics.median(self.ms)

    def __str__(self) -> str:
        return f"{self.median:.1f} ({min(self.ms):.1f} to {max(self.ms):.1f})"


class Box:
    """A Debian 12 with systemd and pluto in namespaces of this machine."""

    def __init__(self, pid: int, root: Path) -> None:
        self._pid = pid
        self._root = root
        self.files = Path(f"/proc/{pid}/root")

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs a command in the box."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"]
        return [*enter, "chroot", str(self._root), "env", "-i", f"PATH={PATH}", "LC_ALL=C.UTF-8", *command]

    def run(self, *command: str, stdin: str = "", timeout: float = 300) -> str:
        """Run a command in the box; LabError with its words when it fails."""
        done = subprocess.run(
            self.argv(*command), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            raise LabError(f"in the box: {' '.join(command)[:200]}: {done.stderr[-500:] or done.stdout[-500:]}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file in the box."""
        (self.files / path.lstrip("/")).write_text(text)

    def measure(self, rounds: int, commands: dict[str, list[str]]) -> dict[str, Measured]:
        """Run the commands in turn, so many rounds."""
        order = json.dumps({"rounds": rounds, "commands": commands})
        found = json.loads(self.run("python3", "/tmp/meter.py", stdin=order, timeout=1800))["found"]
        return {
            name: Measured(values["ms"], int(values["bytes"][-1]), int(max(values["kib"])))
            for name, values in found.items()
        }

    def own_time(self, rounds: int, script: str, *arguments: str) -> Measured:
        """What a script says of its own CPU milliseconds, so many rounds."""
        times = [float(self.run("python3", "-c", script, *arguments)) for _round in range(rounds)]
        return Measured(times, 0)


@contextlib.contextmanager
def booted() -> c.Iterator[Box]:
    """Boot a box; everything of it ends with the `with` block."""
    (disk,) = image.build([SUITE]).values()
    kinds = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup")
    with tempfile.TemporaryDirectory(prefix="xswan-bench") as top:
        argv = ["unshare", *kinds, "--fork", "--kill-child=KILL", str(HERE / "box"), str(disk), top]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                box = Box(_child(process), Path(top) / "root")
                _wait(lambda: box.run("systemctl", "is-active", "multi-user.target"))
                yield box
            finally:
                process.kill()


def _child(process: subprocess.Popen[bytes]) -> int:
    """Pid of systemd: the one child of unshare."""

    def booting() -> int:
        (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if "systemd" not in os.readlink(f"/proc/{pid}/exe"):
            raise LabError("not yet systemd")
        return int(pid)

    return _wait(booting)


Found = t.TypeVar("Found")


def _wait(look: c.Callable[[], Found], seconds: float = 60) -> Found:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return look()
        except (LabError, OSError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def payloads(box: Box) -> dict[str, int]:
    """Put what Ansible would send into the box; return the sizes in bytes."""
    sizes = {}
    for name, (module, args, *options) in PAYLOADS.items():
        with tempfile.TemporaryDirectory(prefix="xswan-bench") as folder:
            env = {
                **{key: value for key, value in environment().items() if not key.startswith("ANSIBLE_")},
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_KEEP_REMOTE_FILES": "1",
                "ANSIBLE_PIPELINING": "0",
                "ANSIBLE_REMOTE_TMP": folder,
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "LC_ALL": "C.UTF-8",
            }
            # it also runs here, where it only looks; whether it can is not of interest
            local = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
            what = ["-m", module, *(["-a", args] if args else []), *options]
            argv = [str(Path(sys.executable).parent / "ansible"), "localhost", *local, *what]
            subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, check=False, timeout=120)
            (payload,) = Path(folder).glob("*/AnsiballZ_*.py")
            shutil.copy(payload, box.files / f"tmp/{name}.py")
            sizes[name] = payload.stat().st_size
    return sizes


def modules(*names: str) -> dict[str, list[str]]:
    """Return the command lines of modules."""
    return {name: ["python3", f"/tmp/{name}.py"] for name in names}


def main(rounds: int, out: Path, *, small: bool) -> None:
    """Measure, print, and write the report; `small`: only print what an idle gateway takes."""
    lines: list[str] = []

    def say(*texts: str) -> None:
        for text in texts:
            print(text, flush=True)
            lines.append(text)

    # so that the box ends with us, whoever ends us
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("bench: ended by SIGTERM"))
    with booted() as box:
        shutil.copy(HERE / "meter.py", box.files / "tmp/meter.py")
        utils = box.files / "tmp/collections/ansible_collections/xswan/ipsec/plugins/module_utils"
        shutil.copytree(CHECKOUT / "plugins/module_utils", utils, ignore=shutil.ignore_patterns("__pycache__"))
        sizes = payloads(box)
        say(*headline(box, rounds, sizes))
        box.write("/etc/ipsec.conf", configuration(0))
        box.run("systemctl", "stop", "ipsec")
        with progress("stopped"):
            stopped = box.measure(rounds, modules("ping", "ipsec_status", "min"))
        box.run("systemctl", "start", "ipsec")
        with progress("running"):
            others = () if small else ("service_facts",)
            services = box.measure(rounds, modules("ping", "ipsec_status", "min", "ipsec_setup", *others))
        say("", *of_modules(services, stopped))
        if small:
            return
        say("", *of_sas(box, rounds, services["service_facts"]))
        say("", *of_recorded_sas(box, rounds))
        say("", *of_connections(box, rounds, services["service_facts"]))
    out.write_text("\n".join((*lines, "")))


def headline(box: Box, rounds: int, sizes: dict[str, int]) -> list[str]:
    """What was measured where."""
    versions = [
        box.run("ipsec", "--version").strip(),
        box.run("ip", "-V").strip(),
        box.run("python3", "--version").strip(),
        run([str(Path(sys.executable).parent / "ansible"), "--version"]).stdout.splitlines()[0],
    ]
    return [
        "# What a look costs",
        "",
        "Made by `make bench-status`. CPU milliseconds (user and system, with all children), "
        f"median of {rounds} rounds (least to most). In a round every command runs once.",
        "",
        f"- Machine: {machine()}, load {os.getloadavg()[0]:.1f} before.",
        f"- Gateway: {'; '.join(versions)}.",
        "- Sent by Ansible: " + ", ".join(f"{name} {size // 1024} KiB" for name, size in sizes.items()) + ".",
    ]


def of_modules(running: dict[str, Measured], stopped: dict[str, Measured]) -> list[str]:
    """Return the table of an idle gateway."""
    rows = [
        [name, pluto, str(found[name]), str(own(found, name)), ratio(found[name], found["ping"]),
         ratio(found[name], running["service_facts"]) if "service_facts" in running else "", memory(found[name])]
        for pluto, found in (("running", running), ("stopped", stopped))
        for name in ("ping", "service_facts", "ipsec_status", "min", "ipsec_setup")
        if name in found
    ]  # fmt: skip
    return [
        "## Modules, no connections, no SAs",
        "",
        "`own work` is a module less ansible.builtin.ping, round by round: what it does besides starting Python and "
        "Ansible's own part. `min` is ipsec_status with `gather_subset: min`, `ipsec_setup` is `state: started` in "
        "check mode. Memory is the largest resident set.",
        "",
        *table(["module", "pluto", "CPU", "own work", "to ping", "to service_facts", "memory"], rows),
    ]


def of_sas(box: Box, rounds: int, services: Measured) -> list[str]:
    """Return the table by number of SAs."""
    keyed = takes_keys(box)
    kind = (
        "The SAs have keys (ESP, AES-GCM)."
        if keyed
        else "**The SAs are larval**, for this machine's kernel has no ESP: of such a one the module reads whose it "
        "is, but adds up nothing, and `ip` prints less. What both do with SAs that have keys is in the next table."
    )
    lines = [
        "## By SAs in the kernel",
        "",
        "`counts` and `totals` are the module's own work for them: sizes of the tables, and totals by reqid with "
        f"ownership of every SA and policy. {kind} Each has a policy. No connections.",
        "",
    ]
    rows = []
    for number in SAS:
        with progress(f"{number} SAs"):
            fill(box, number, keyed=keyed)
            others = {"ip": ["ip", "-s", "xfrm", "state"], "status": ["ipsec", "status"]}
            found = box.measure(rounds, {**others, **modules("ping", "ipsec_status", "ipsec_setup", "reloaded")})
            counts, totals = (box.own_time(rounds, TOTALS, work) for work in ("counts", "totals"))
            empty(box)
        ip = found["ip"]
        rows.append(
            [
                f"{number:,}", str(ip), str(counts), str(totals), ratio(totals, ip), str(found["status"]),
                str(found["ping"]), str(found["ipsec_status"]), str(own(found)),
                ratio(own(found), ip), ratio(own(found), found["status"]),
                ratio(found["ipsec_status"], found["ping"]), ratio(found["ipsec_status"], services),
                *memories(found),
            ]
        )  # fmt: skip
    head = [
        "SAs", "`ip -s xfrm state`", "counts", "totals", "totals to ip", "`ipsec status`", "ping", "ipsec_status",
        "own work", "own work to ip", "own work to ipsec status", "ipsec_status to ping", "to service_facts", *MEMORIES,
    ]  # fmt: skip
    return [*lines, *table(head, rows)]


def of_recorded_sas(box: Box, rounds: int) -> list[str]:
    """Return the table of SAs with keys, which needs no ESP in the kernel."""
    lines = [
        "## By SAs with keys, from recorded messages",
        "",
        "A message of an ESP SA with AES-GCM, as a kernel sent it, stands here for each SA, with an address, SPI, "
        "reqid, traffic and last use, and a message of a tunnel's policy likewise. `totals` is what the module does "
        "with both, which come over a socket: totals by reqid, ownership, address, SPI and last use of every SA. `ip` "
        "prints the SAs alone, from a file (`ip -s xfrm monitor file`), in the form of `ip -s xfrm state`; its own "
        "start is included (see 0), that of Python is not. The kernel's part in a dump is in neither.",
        "",
    ]
    rows = []
    for number in SAS:
        with progress(f"{number} recorded SAs"):
            sas, datagrams = recorded(number)
            (box.files / "tmp/sas.bin").write_bytes(sas)
            (box.files / "tmp/replay.pickle").write_bytes(pickle.dumps(datagrams))
            ip = box.measure(rounds, {"ip": ["ip", "-s", "xfrm", "monitor", "file", "/tmp/sas.bin"]})["ip"]
            totals = box.own_time(rounds, REPLAYED, str(number))
        rows.append([f"{number:,}", str(ip), str(totals), ratio(totals, ip)])
    return [*lines, *table(["SAs", "`ip` prints them", "totals", "totals to ip"], rows)]


def recorded(number: int) -> tuple[bytes, list[bytes]]:
    """Return messages of so many SAs, and the datagrams that bring them, a policy for each, and the tables' sizes.

    Offsets are those of struct xfrm_usersa_info and xfrm_userpolicy_info after a netlink header (linux/xfrm.h).
    """
    last_used = struct.pack("=HHQ", 12, 15, 1_796_000_000)
    sas, policies = [], []
    for index in range(number):
        reqid = 16389 + 4 * (index // 2)
        sa = bytearray(ESP + last_used)
        struct.pack_into("=I", sa, 0, len(sa))
        # id.daddr, id.spi, curlft.bytes and packets, reqid
        struct.pack_into("!I", sa, 16 + 56, 0x0A000000 + index)
        struct.pack_into("!I", sa, 16 + 72, 0x1000 + index)
        struct.pack_into("=QQ", sa, 16 + 160, 1000 * index, index)
        struct.pack_into("=I", sa, 16 + 208, reqid)
        sas.append(bytes(sa))
        policy = bytearray(TUNNEL)
        # curlft.use_time; the reqid of the first attribute, XFRMA_TMPL
        struct.pack_into("=Q", policy, 16 + 144, 1_796_000_000)
        struct.pack_into("=I", policy, 16 + 168 + 4 + 44, reqid)
        policies.append(bytes(policy))
    return b"".join(sas), [*_datagrams(sas), DONE, *_datagrams(policies), DONE, SADINFO, SPDINFO]


def _datagrams(messages: list[bytes]) -> list[bytes]:
    """Messages of one length, as many in a datagram as the kernel puts there."""
    each = DATAGRAM // len(messages[0]) if messages else 1
    return [b"".join(messages[start : start + each]) for start in range(0, len(messages), each)]


def of_connections(box: Box, rounds: int, services: Measured) -> list[str]:
    """Return the table by number of connections."""
    lines = ["## By connections", "", "Loaded by pluto (`auto=add`), none up, no SAs.", ""]
    rows = []
    for number in CONNECTIONS:
        with progress(f"{number} connections"):
            box.write("/etc/ipsec.conf", configuration(number))
            box.run("systemctl", "restart", "ipsec")
            _wait(functools.partial(loaded, box, number), 300)
            others = {"ip": ["ip", "-s", "xfrm", "state"], "status": ["ipsec", "status"]}
            found = box.measure(rounds, {**others, **modules("ping", "ipsec_status", "min", "ipsec_setup", "reloaded")})
            parse = box.own_time(rounds, PARSE)
        rows.append(
            [
                f"{number:,}", str(found["status"]), str(parse), str(found["ip"]), str(found["ping"]),
                str(found["ipsec_status"]), str(own(found)), ratio(own(found), found["status"]),
                ratio(own(found), found["ip"]), ratio(found["ipsec_status"], found["ping"]),
                ratio(found["ipsec_status"], services), f"{found['ipsec_status'].size / 2 / 1024:.0f} KiB",
                f"{found['min'].size / 2 / 1024:.1f} KiB", str(own(found, "min")), *memories(found),
            ]
        )  # fmt: skip
    head = [
        "connections", "`ipsec status`", "parsing it", "`ip -s xfrm state`", "ping", "ipsec_status", "own work",
        "own work to ipsec status", "own work to ip", "ipsec_status to ping", "to service_facts", "result",
        "result of min", "own work of min", *MEMORIES,
    ]  # fmt: skip
    return [*lines, *table(head, rows)]


def own(found: dict[str, Measured], name: str = "ipsec_status") -> Measured:
    """What a module takes besides an empty one."""
    return Measured([mine - empty for mine, empty in zip(found[name].ms, found["ping"].ms, strict=True)], 0)


def ratio(one: Measured, other: Measured) -> str:
    """How much of the other one takes."""
    return f"{one.median / other.median:.2f}"


MEMORIES = ("memory of ipsec_status", "of ipsec_setup started", "of ipsec_setup reloaded")


def memories(found: dict[str, Measured]) -> list[str]:
    """Of the modules whose memory may grow with the gateway, in check mode, so that the gateway stays as it is."""
    return [memory(found[name]) for name in ("ipsec_status", "ipsec_setup", "reloaded")]


def memory(one: Measured) -> str:
    """Of the round that took most."""
    return f"{one.kib / 1024:.0f} MiB"


def takes_keys(box: Box) -> bool:
    """Whether the kernel has ESP, and so takes an SA with a key."""
    ends = "src 192.0.2.1 dst 192.0.2.9 proto esp spi 0x999"
    try:
        box.run("ip", "xfrm", "state", "add", *f"{ends} {KEYED}".split())
    except LabError as refusal:
        # the algorithm is looked for first
        if "not supported" in str(refusal) or "algorithm not found" in str(refusal):
            return False
        raise
    box.run("ip", "xfrm", "state", "delete", *ends.split())
    return True


def fill(box: Box, number: int, *, keyed: bool) -> None:
    """Make SAs in pairs of a reqid of pluto's, each with a policy."""
    sas, policies = [], []
    for index in range(number):
        peer = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        reqid = 16389 + 4 * (index // 2)
        ends = f"src 192.0.2.1 dst {peer} proto esp"
        if keyed:
            sas.append(f"xfrm state add {ends} spi {0x1000 + index:#x} reqid {reqid} {KEYED}")
        else:
            sas.append(f"xfrm state allocspi {ends} mode tunnel reqid {reqid}")
        policies.append(
            f"xfrm policy add src 10.200.0.0/16 dst {peer} dir out "
            f"tmpl src 192.0.2.1 dst {peer} proto esp mode tunnel reqid {reqid}"
        )
    for batch in (sas, policies):
        box.run("ip", "-batch", "-", stdin="\n".join(batch), timeout=600)


def empty(box: Box) -> None:
    """Remove them."""
    box.run("ip", "xfrm", "policy", "flush")
    box.run("ip", "xfrm", "state", "flush")


def configuration(number: int) -> str:
    """Return an ipsec.conf with so many connections."""
    conns = (
        f"conn net{index}\n    left=192.0.2.1\n    right=10.{index >> 8 & 255}.{index & 255}.1\n"
        f"    leftsubnet=10.200.0.0/16\n    rightsubnet=10.201.{index & 255}.0/24\n    authby=secret\n"
        "    ikev2=insist\n    auto=add\n"
        for index in range(number)
    )
    return "config setup\n" + "".join(conns)


def loaded(box: Box, number: int) -> None:
    """LabError unless pluto has loaded so many connections."""
    said = box.run("ipsec", "whack", "--status")
    if f"Total IPsec connections: loaded {number}," not in said:
        raise LabError(f"pluto has not loaded {number} connections")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what a look by ipsec_status costs a gateway.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each command runs; 9 at least to publish")
    parser.add_argument("--out", type=Path, default=REPORT, help="the report, in Markdown")
    parser.add_argument("--small", action="store_true", help="only an idle gateway, in a minute; writes no report")
    options = parser.parse_args()
    try:
        main(options.rounds, options.out, small=options.small)
    except LabError as error:
        sys.exit(f"bench: {error}")
