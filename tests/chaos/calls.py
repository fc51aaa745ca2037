# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls that fail: `make faults`, and a short fixed part with the contract tests.

strace counts the calls of a good run of an operation; then each of them is made to fail, once in a run of its own, by
each error that it may have. Every run is a fork of one process, in a network and mount namespace of its own, to which
strace is attached when all is ready: so nothing but the operation is counted.

What is held against an operation: that it ends with another error than one of ours, that a file is neither old nor new,
that something is left that the next run does not remove, that the next run does not come to the end of a good one, and
that what it says about having changed something is not so.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing as t
from pathlib import Path

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import IPsecError, system_errors
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import BUFFER
from chaos.operations import OPERATIONS, Operation, State, state

FAULTS: dict[str, tuple[str, ...]] = {
    "openat": ("error=EMFILE", "error=EACCES", "error=ENOSPC", "error=EROFS", "error=EINTR"),
    "read": ("error=EIO", "error=EINTR"),
    "write": ("error=ENOSPC", "error=EIO", "error=EINTR"),
    "newfstatat": ("error=EACCES", "error=ENOMEM"),
    "readlink": ("error=EACCES",),
    "getdents64": ("error=EIO",),
    "unlink": ("error=EROFS", "error=EACCES"),
    "rename": ("error=ENOSPC", "error=EROFS"),
    "linkat": ("error=EMLINK", "error=ENOSPC"),
    "mkdir": ("error=ENOSPC", "error=EROFS"),
    "rmdir": ("error=EROFS",),
    "fsync": ("error=EIO",),
    "ftruncate": ("error=EIO",),
    "fchmod": ("error=EPERM",),
    "chmod": ("error=EPERM",),
    "fchown": ("error=EPERM",),
    "getxattr": ("error=EIO",),
    "statfs": ("error=EIO",),
    "flock": ("error=ENOLCK", "error=EINTR"),
    "socket": ("error=EMFILE", "error=ENOBUFS"),
    "bind": ("error=ENOBUFS",),
    "sendto": ("error=ENOBUFS", "error=EPERM", "error=EINTR"),
    # a message that is cut short
    "recvmsg": ("error=ENOBUFS", "error=EINTR", "retval=20", "retval=0"),
    # the time is over
    "poll": ("retval=0", "error=EINTR"),
    "pipe2": ("error=EMFILE",),
    "vfork": ("error=EAGAIN", "error=ENOMEM"),
    "fork": ("error=EAGAIN",),
    "clone": ("error=EAGAIN",),
    "clone3": ("error=EAGAIN",),
    "wait4": ("error=EINTR",),
}
"""The system calls of a 64-bit Linux that are made to fail, and how (strace(1), inject=)."""
MARK = "getpgid"
"""A call that the operations do not make: it says that the run is over."""
AT_ONCE = 2 * (os.cpu_count() or 1)
"""Runs."""
TIMEOUT = 60.0
"""Seconds that a run may take; none takes one."""
RECORD = "record.json"
"""What was before is recorded before anything is changed: by itself that is no change."""
TEMPORARY = re.compile(r"\.(xswan-new|xswan-old|new)$")

CLONE_NEWNS, CLONE_NEWNET, MS_REC, MS_PRIVATE = 0x20000, 0x40000000, 0x4000, 0x40000
LIBC = ctypes.CDLL(None, use_errno=True)


class Fault(t.NamedTuple):
    """One call that fails."""

    call: str
    number: int
    """Which of the calls of this name, from 1."""
    how: str
    line: str
    """The call of the good run, as strace writes it."""

    def __str__(self) -> str:
        return f"{self.call} {self.number} {self.how} ({self.line})"


class Run(t.NamedTuple):
    """What came of a run."""

    calls: tuple[str, ...]
    """As strace writes them."""
    injected: bool
    said: dict[str, t.Any]
    """What the fork told of it; empty when it came to no end."""


class Finding(t.NamedTuple):
    """What an operation does wrong."""

    operation: str
    fault: str
    what: str


def _isolate() -> None:
    """Give this process a network and a mount namespace of its own, with an empty /run."""
    if LIBC.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for source, target, kind, flags in ((b"none", b"/", None, MS_REC | MS_PRIVATE), (b"none", b"/run", b"tmpfs", 0)):
        if LIBC.mount(source, target, kind, flags, None) != 0:
            raise OSError(ctypes.get_errno(), "mount")


def _tried(operation: Operation, folder: Path) -> dict[str, t.Any]:
    """Do it as a module would, and say what came of it."""
    try:
        with system_errors():
            found = operation.run(folder)
    except IPsecError as exc:
        return {"error": str(exc), "changed": bool(exc.done) or exc.changed, "details": exc.details}
    except (Exception, SystemExit):  # noqa: BLE001 - it is what is looked for
        return {"traceback": traceback.format_exc()}
    return {"found": repr(found).replace(str(folder), "PLACE"), "changed": found if operation.reports else None}


def _forked(operation: Operation, folder: Path, out: int) -> t.NoReturn:
    """The fork: get all ready, wait for strace, and tell what came of it. It never returns."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        _isolate()
        # what is imported on the way, once, elsewhere
        warm = folder / "warm"
        warm.mkdir()
        operation.prepare(warm)
        _tried(operation, warm)
        _isolate()
        place = folder / "place"
        place.mkdir()
        operation.prepare(place)
        before = state(operation, place)
        os.write(out, b"ready\n")
        signal.sigwait({signal.SIGUSR1})
        first = _tried(operation, place)
        os.getpgid(0)
        after = state(operation, place)
        second = _tried(operation, place) if operation.again or "error" in first else first
        told = {"before": before, "first": first, "after": after, "second": second, "end": state(operation, place)}
        os.write(out, json.dumps(told, default=repr).encode() + b"\n")
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(0)


def once(operation: Operation, fault: Fault | None) -> Run:
    """Run it, with this fault or none."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            _forked(operation, folder, theirs)
        os.close(theirs)
        with open(ours, encoding="utf-8") as said:
            try:
                if said.readline() != "ready\n":
                    raise RuntimeError(f"{operation.name}: cannot be prepared")
                log = folder / "strace"
                _traced(pid, log, fault)
                line = said.readline()
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return _read(log, line)


def _traced(pid: int, log: Path, fault: Fault | None) -> None:
    """Attach strace to the fork, let it go on, and wait until it has ended, or is ended."""
    inject = [f"--inject={fault.call}:{fault.how}:when={fault.number}"] if fault else []
    calls = ",".join(f"?{call}" for call in (*FAULTS, MARK))
    command = ["strace", f"--attach={pid}", f"--output={log}", f"--trace={calls}", *inject]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()
        if "attached" not in first:
            raise RuntimeError(f"strace: {first.strip()}")
        os.kill(pid, signal.SIGUSR1)
        try:
            strace.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)
            strace.wait(TIMEOUT)


def _read(log: Path, line: str) -> Run:
    calls = []
    lines = log.read_text(errors="replace").splitlines()
    injected = any("(INJECTED)" in call for call in lines)
    for call in lines:
        if call.startswith(f"{MARK}("):
            break
        if re.match(r"\w+\(", call):
            calls.append(call)
    return Run(tuple(calls), injected, json.loads(line) if line else {})


def faults_of(good: Run) -> t.Iterator[Fault]:
    """Each call of a good run, by each error that it may have."""
    counts: dict[str, int] = {}
    for line in good.calls:
        call = line.partition("(")[0]
        counts[call] = counts.get(call, 0) + 1
        for how in FAULTS.get(call, ()):
            # the C library ends a program whose kernel sends less than a whole message
            if how.startswith("retval") and call == "recvmsg" and f"iov_len={BUFFER}" not in line:
                continue
            yield Fault(call, counts[call], how, line[:150])


def judged(operation: Operation, good: Run, run: Run) -> str | None:
    """What is wrong with a run in which a call failed; None when nothing is."""
    if not run.injected:
        return "the call did not come"
    if not run.said:
        return "it came to no end"
    before, after, end = (run.said[key] for key in ("before", "after", "end"))
    first, second = run.said["first"], run.said["second"]
    for tried in (first, second):
        if "traceback" in tried:
            return f"it ends with another error than ours: {tried['traceback'].strip().splitlines()[-1]}"
    wanted: State = good.said["after"]
    between = _between(before, after, wanted)
    if between:
        return f"neither old nor new: {between}"
    if "error" not in first:
        if first["found"] != good.said["first"]["found"]:
            return f"it says nothing, and has found something else: {first['found'][:200]}"
        if _without_backups(after) != _without_backups(wanted):
            return f"it says nothing, and has not done it: {_differing(after, wanted)}"
    if "error" in first:
        told = [name for name in after if TEMPORARY.search(name) and name in first["error"]]
        now = {name: content for name, content in _without_backups(after).items() if name not in told}
        changed = bool(_differing({**before, **dict.fromkeys(told)}, {**after, **dict.fromkeys(told)}))
        if operation.atomic and changed and now != _without_backups(wanted):
            return f"done in part: {_differing(after, wanted)}"
        if (operation.reports or operation.atomic) and changed != first["changed"]:
            return f"changed is {first['changed']}, and it is not so: {_differing(before, after)}: {first['error']}"
    if "error" in second:
        return f"the next run fails: {second['error']}"
    if _without_backups(end) != _without_backups(good.said["end"]):
        left = [name for name in end if TEMPORARY.search(name)]
        if left and all(name.rpartition("/")[2] in str(first.get("error")) for name in left):
            return None  # told, for somebody to remove
        return f"the next run does not come to the same: {_differing(end, good.said['end'])}"
    return None


def _between(before: State, after: State, wanted: State) -> list[str]:
    """Files that are neither as they were nor as they are to be; temporary ones may be half."""
    return [
        name
        for name, content in after.items()
        if isinstance(content, str)
        and not TEMPORARY.search(name)
        and content not in (before.get(name), wanted.get(name))
        and not _is_backup(name)
        and name != RECORD
    ]


def _is_backup(name: str) -> bool:
    return name.endswith(".TIME~")


def _without_backups(found: State) -> State:
    return {name: content for name, content in found.items() if not _is_backup(name)}


def _differing(one: State, other: State) -> list[str]:
    names = {name for name in (*one, *other) if one.get(name) != other.get(name)}
    return sorted(name for name in names if not _is_backup(name) and name != RECORD)


def inject(operation: Operation, choose: t.Callable[[Fault], bool] = lambda _fault: True) -> tuple[int, list[Finding]]:
    """Make the chosen calls fail in turn; how many it were, and what was found."""
    good = once(operation, None)
    if not good.said or "found" not in good.said["first"]:
        raise RuntimeError(f"{operation.name}: the good run fails: {good.said.get('first')}")
    chosen = [fault for fault in faults_of(good) if choose(fault)]
    # in processes of their own, which can fork; many a run only waits for a time limit
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(AT_ONCE, context, Worker.begin, (operation, good)) as pool:
        whats = list(pool.map(Worker.what, chosen))
    told = zip(chosen, whats, strict=True)
    return len(chosen), [Finding(operation.name, str(fault), what) for fault, what in told if what]


class Worker:
    """What a process of the pool has from the fork that made it, for operations cannot be sent to it."""

    operation: t.ClassVar[Operation]
    good: t.ClassVar[Run]

    @classmethod
    def begin(cls, operation: Operation, good: Run) -> None:
        """Know what is tried."""
        cls.operation, cls.good = operation, good

    @classmethod
    def what(cls, fault: Fault) -> str | None:
        """What is wrong when this call fails."""
        return judged(cls.operation, cls.good, once(cls.operation, fault))


def campaign(names: t.Collection[str] | None = None) -> int:
    """The long form: the number of findings. It prints a table."""
    total = findings = 0
    began = time.monotonic()
    print(f"{'operation':32}{'faults':>8}{'findings':>10}{'seconds':>9}", flush=True)
    for operation in OPERATIONS:
        if names is not None and operation.name not in names:
            continue
        start = time.monotonic()
        count, found = inject(operation)
        total, findings = total + count, findings + len(found)
        print(f"{operation.name:32}{count:>8}{len(found):>10}{time.monotonic() - start:>9.0f}", flush=True)
        for finding in found:
            print(f"    {finding.fault}\n        {finding.what}", flush=True)
    print(f"{'all':32}{total:>8}{findings:>10}{time.monotonic() - began:>9.0f}")
    return findings


def missing() -> str | None:
    """Why this machine cannot do it; None when it can."""
    if shutil.which("strace") is None:
        return "the Debian package strace is not installed"
    return None if os.geteuid() == 0 and sys.platform == "linux" else "this takes root on Linux"
