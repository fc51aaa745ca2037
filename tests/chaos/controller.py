# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers that are cut off: at a random moment of a random playbook, and then one plain run has to mend it.

What is cut off is Ansible itself, by SIGKILL of all its processes; every SSH connection, by the end of its relay; or
the management network, for some seconds or for longer than SSH waits. The module on the gateway lives on when its
connection goes: it comes to its own end, holds the lock until then, and the plain run waits for that.
"""

from __future__ import annotations

import collections.abc as c
import contextlib
import json
import random
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import psutil

from chaos.gateways import BACKUPS, Row, Variant, await_pings, converge, judged, new_psk, variables, variant
from lab import Lab, LabError, processes
from lab.ansible import playbook, start_playbook
from lab.network import namespace
from lab.tools import run

STATES = ("started", "stopped", "restarted", "reloaded")
TASKS = 3
"""Of a playbook."""
OUTAGES = (2.0, 10.0, 45.0)
"""Seconds without a network; SSH of the lab gives up after 30."""
LONGEST_END = 240.0
"""Seconds after the fault in which Ansible itself must have ended."""


def kill(_lab: Lab, process: subprocess.Popen[bytes], _walk: random.Random) -> None:
    """SIGKILL of ansible-playbook and all that it has started, whatever sessions they are in."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for one in (*parent.children(recursive=True), parent):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def cut_ssh(lab: Lab, _process: subprocess.Popen[bytes], _walk: random.Random) -> None:
    """The end of every SSH connection to the lab."""
    inside = processes.in_namespace(namespace(lab.name))
    processes.end(
        lambda pid: inside(pid) and str(processes.program(pid)).startswith("nc"), "the relays of SSH connections"
    )


def cut_network(lab: Lab, _process: subprocess.Popen[bytes], walk: random.Random) -> None:
    """The management network is gone for a while."""
    _links(lab, "down")
    try:
        time.sleep(walk.choice(OUTAGES))
    finally:
        _links(lab, "up")


def _links(lab: Lab, state: str) -> None:
    for gateway in lab.gateways:
        run(["ip", "-n", namespace(lab.name), "link", "set", f"{gateway}-eth2", state])


Fault = c.Callable[[Lab, "subprocess.Popen[bytes]", random.Random], None]
FAULTS: dict[str, Fault] = {
    "SIGKILL of ansible-playbook": kill,
    "SSH connections cut": cut_ssh,
    "management network cut": cut_network,
}


def play(walk: random.Random, variants: c.Sequence[str]) -> list[dict[str, t.Any]]:
    """A playbook of random verbs; `variants` are the names of variables that hold one."""
    tasks: list[dict[str, t.Any]] = []
    for number in range(TASKS):
        what = walk.choice((*STATES, "config", "status"))
        if what == "config":
            wanted = walk.choice(variants)
            args = {"content": f"{{{{ {wanted}.texts[inventory_hostname] }}}}", "secrets": f"{{{{ {wanted}.secret }}}}"}
            module: dict[str, t.Any] = {"ipsec_config": {**args, "record": True, "backups": BACKUPS}}
        elif what == "status":
            module = {"ipsec_status": {}}
        else:
            module = {"ipsec_setup": {"state": what, "start_timeout": 300}}
        tasks.append({"name": f"Task {number}", **{f"xswan.ipsec.{name}": args for name, args in module.items()}})
    return [{"name": "Mixed verbs", "hosts": "gateways", "gather_facts": False, "tasks": tasks}]


def told(plays: list[dict[str, t.Any]]) -> str:
    """The verbs of a playbook, for a line."""
    modules = [next((name, args) for name, args in task.items() if name != "name") for task in plays[0]["tasks"]]
    return ", ".join(args.get("state") or name.rpartition("_")[2] for name, args in modules)


def once(lab: Lab, path: Path, given: str, fault: Fault, moment: float, walk: random.Random) -> list[str]:
    """Run the playbook, and let the fault come after `moment` seconds; what is wrong with how Ansible ends."""
    process = start_playbook(lab, path, "-e", given, apart=True)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moment)
        fault(lab, process, walk)
        process.communicate(timeout=LONGEST_END)
    except subprocess.TimeoutExpired:
        return [f"ansible-playbook does not end in {LONGEST_END:g} s"]
    finally:
        kill(lab, process, walk)
        process.wait()
    return []


def campaign(lab: Lab, seed: int, cases: int, faults: c.Collection[str] = tuple(FAULTS)) -> list[Row]:
    """So many faults, each kind in turn; a row for each kind."""
    walk = random.Random(seed)
    variants = {"one": variant(lab, new_psk()), "other": variant(lab, new_psk(), extra=2)}
    tried: dict[str, int] = dict.fromkeys(faults, 0)
    found: dict[str, list[str]] = {name: [] for name in faults}
    with tempfile.TemporaryDirectory() as folder, variables(**_plain(variants)) as given:
        path = Path(folder, "mixed.yml")
        converge(lab, variants["one"])
        await_pings(lab)
        longest = _measured(lab, path, given)
        for case in range(cases):
            name = tuple(faults)[case % len(faults)]
            plays = play(walk, tuple(variants))
            path.write_text(json.dumps(plays))
            moment = walk.uniform(0, longest)
            wrong = once(lab, path, given, FAULTS[name], moment, walk)
            wrong += judged(lab, variants[walk.choice(tuple(variants))])
            where = f"{name} after {moment:.1f} s of {told(plays)}"
            print(f"controller: {case + 1} of {cases}: {where}: {'; '.join(wrong) or 'survived'}", flush=True)
            tried[name] += 1
            if wrong:
                found[name].append(f"{where}: {'; '.join(wrong)}")
    return [Row("controller", name, tried[name], tuple(found[name])) for name in faults]


def _plain(variants: dict[str, Variant]) -> dict[str, t.Any]:
    return {name: one._asdict() for name, one in variants.items()}


def _measured(lab: Lab, path: Path, given: str) -> float:
    """Seconds of a playbook that nothing befalls."""
    path.write_text(json.dumps(play(random.Random(0), ("one",))))
    began = time.monotonic()
    whole = playbook(lab, path, "-e", given)
    if whole.status != 0:
        raise LabError(f"a playbook fails that nothing befalls: {whole.text}")
    return time.monotonic() - began
