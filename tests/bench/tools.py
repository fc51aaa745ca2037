# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run on a lab costs: wall time, the controller's CPU time, and that of the machines of gateways."""

from __future__ import annotations

import collections.abc as c
import contextlib
import os
import re
import time
import typing as t
from pathlib import Path

from lab import Lab, LabError, processes
from lab.ansible import Run, start_playbook
from lab.lab import known_labs, remove
from lab.machine import of_lab
from lab.tools import wait_until

CHECKOUT = Path(__file__).parents[2]
OUTPUT = CHECKOUT / "tests/output"
PLAYBOOKS = Path(__file__).with_name("playbooks")
TICK = 1 / os.sysconf("SC_CLK_TCK")
QUIET = 5.0
"""Seconds over which a gateway is watched that has nothing to do."""


Row = dict[str, t.Any]
"""Figures of one kind in one situation, a list of them with a value for each round; as JSON has them."""


VERSIONS = """
ipsec --version; python3 --version; uname -sr
"""


def versions(lab: Lab) -> dict[str, str]:
    """What runs on the gateways, by suite."""
    return {
        gateway.spec.suite: "; ".join(gateway.run(VERSIONS).stdout.split("\n")[:-1])
        for gateway in {gateway.spec.suite: gateway for gateway in lab.gateways.values()}.values()
    }


class Cost(t.NamedTuple):
    """What a run of ansible-playbook took, in seconds."""

    run: Run
    wall: float
    controller: float
    """CPU of ansible-playbook and all that it waited for, which are its workers and their ssh clients: wait4(2).

    The shared connections of ssh, which outlive it, are not in it.
    """
    gateways: float
    """CPU of the machines; see machine_cpu()."""


@contextlib.contextmanager
def up(text: str, purpose: str) -> c.Iterator[Lab]:
    """A lab of this run, from its description in YAML; it is down afterwards, whatever happens.

    Those that a run left behind which was killed are taken down first. The console logs of one that failed are kept.
    """
    for name in known_labs():
        run = re.fullmatch(r"bench(\d+)[a-z]*", name)
        if run and not Path("/proc", run[1]).exists():
            remove(name)
    name = f"bench{os.getpid()}{purpose}"
    path = OUTPUT / "bench" / f"{purpose}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    lab = Lab.load(path, name)
    logs: Path | None = OUTPUT / "lab" / name
    try:
        lab.up()
        yield lab
        logs = None
    finally:
        lab.down(keep_logs=logs)


def machine_cpu(lab: Lab, names: c.Collection[str] = ()) -> float:
    """CPU seconds of this machine that gateways have used since they were powered on, all of the lab or these.

    A gateway is one process namespace, of the kernel's processes and its programs'. What has ended there is counted by
    the parent that waited for it: proc(5), utime to cstime. What gateways tell of themselves, in /proc/stat, is no
    measure: User-mode Linux counts ticks of the wall, also when this machine had its processors elsewhere.
    """
    spaces = set()
    for name in names or lab.gateways:
        for number in processes.find(of_lab(lab.name, name)):
            # a process may end while it is looked at
            with contextlib.suppress(OSError):
                spaces.add(os.readlink(f"/proc/{number}/ns/pid"))
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") in spaces:
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(word) for word in words[11:15])
    return ticks * TICK


def idle(lab: Lab, names: c.Collection[str] = ()) -> float:
    """CPU seconds a second of gateways that have nothing to do."""
    before, began = machine_cpu(lab, names), time.monotonic()
    time.sleep(QUIET)
    return (machine_cpu(lab, names) - before) / (time.monotonic() - began)


def cost(lab: Lab, playbook: str, *options: str, names: c.Collection[str] = (), **more: str) -> Cost:
    """Run a playbook of ours on the lab, or on these gateways of it; LabError when it fails."""
    limit = ["--limit", ",".join(names)] if names else []
    before, began = machine_cpu(lab, names), time.monotonic()
    process = start_playbook(lab, PLAYBOOKS / playbook, *limit, *options, more=more)
    output = t.cast("t.BinaryIO", process.stdout)
    try:
        text = output.read().decode(errors="replace")
        _pid, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        output.close()
    wall = time.monotonic() - began
    gateways = machine_cpu(lab, names) - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise LabError(f"{playbook} ended with status {process.returncode}:\n{_odd(text)}")
    return Cost(Run(process.returncode, text), wall, used.ru_utime + used.ru_stime, gateways)


def unchanged(lab: Lab, found: Cost) -> Cost:
    """The same; LabError if it has changed anything, for then it is no measure of a run that has nothing to do."""
    changed = {
        host: lab.gateways[host].run("journalctl -q -t ipsec_setup -n 9 -o short-iso").stdout
        for host, counts in found.run.recap.items()
        if counts["changed"]
    }
    if changed:
        raise LabError(f"a run that has nothing to do has changed something: {changed}:\n{_odd(found.run.text)}")
    return found


def _odd(text: str) -> str:
    """What Ansible says of tasks that changed something or failed, each after its name, and the end of all it says."""
    lines, task = [], ""
    for line in text.splitlines():
        if line.startswith("TASK ["):
            task = line
        elif line.startswith(("changed: ", "fatal: ", "[ERROR]")):
            lines += [task, line[:2000]]
    return "\n".join([*lines, text[-1000:]])


def until(probe: c.Callable[[], bool], seconds: float) -> bool:
    """Wait until it is true; whether it became so in time."""
    with contextlib.suppress(LabError):
        wait_until(probe, seconds, "", every=0.5)
        return True
    return False
