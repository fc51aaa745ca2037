# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of one gateway's converge goes that has nothing to do: task by task, and inside each module."""

from __future__ import annotations

import json
import re
import time
import typing as t
from pathlib import Path

from bench.pair import by_hand
from bench.tools import Row, cost, machine_cpu, unchanged
from lab.tools import progress

if t.TYPE_CHECKING:
    from bench.pair import Pair

CONNECTIONS = 10
KEPT = "/tmp/kept"
"""The folder on the gateway in which Ansible leaves what it sent."""
CALLBACKS = str(Path(__file__).with_name("callbacks"))
IMPORT = re.compile(r"^import time: +(?P<self>\d+) \| +\d+ \| +(?P<name>\S+)", re.MULTILINE)
OURS = "ansible_collections.xswan."


class Task(t.NamedTuple):
    """What a task of a playbook took, in seconds."""

    name: str
    action: str
    seconds: float


def measure(made: Pair, rounds: int) -> list[Row]:
    """One row: controller start and tasks by round, those of next to nothing, and the modules."""
    made.have(CONNECTIONS)
    by_hand(made, "anatomy")
    with progress("anatomy: the role's first run"):
        made.both(lambda gateway: gateway.run("rm -f /etc/ipsec.d/*.conf"))
        made.playbook("ours.yml")
        made.mend()
    row: Row = {"connections": CONNECTIONS, "start": [], "tasks": [], "words": []}
    for turn in range(rounds):
        with progress(f"anatomy: round {turn + 1} of {rounds}"):
            start, tasks = timed(made, "ours.yml")
            row["start"].append(start)
            row["tasks"].append(tasks)
            row["words"].append(timed(made, "words.yml")[1])
    with progress("anatomy: what is sent to the gateway"):
        kept = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0", "ANSIBLE_REMOTE_TMP": KEPT}
        for playbook in ("ours.yml", "words.yml"):
            run(made, playbook, **kept)
    row["modules"] = modules(made, rounds)
    made.near.run(f"rm -r {KEPT}")
    return [row]


def run(made: Pair, playbook: str, **more: str) -> None:
    """A run on `near` that changes nothing."""
    unchanged(made.lab, cost(made.lab, playbook, "-e", f"@{made.variables}", names=(made.near.name,), **more))


def timed(made: Pair, playbook: str) -> tuple[float, list[Task]]:
    """Seconds before the first task, and the tasks; the last one ends with the play."""
    said = made.lab.state / "times.json"
    more = {"ANSIBLE_CALLBACK_PLUGINS": CALLBACKS, "ANSIBLE_CALLBACKS_ENABLED": "bench_times", "BENCH_TIMES": str(said)}
    began = time.monotonic()
    run(made, playbook, **more)
    moments = json.loads(said.read_text())
    tasks = [
        Task(name.rpartition(" : ")[2], action, following[2] - moment)
        for (name, action, moment), following in zip(moments, moments[1:], strict=False)
    ]
    return moments[0][2] - began, tasks


def modules(made: Pair, rounds: int) -> list[Row]:
    """A row for each module that the role has sent, with its real arguments; CPU seconds of the gateway's machine."""
    python = spent(made, "python3 -c pass", rounds)
    rows: list[Row] = [{"module": "python3", "bytes": 0, "cpu": python, "ours": 0.0, "others": 0.0}]
    found = made.near.run(f"ls -tr {KEPT}/*/AnsiballZ_*.py").stdout.split()
    by_name = {path.rpartition("AnsiballZ_")[2].removesuffix(".py"): path for path in found}
    for name, path in by_name.items():
        size = int(made.near.run(["stat", "-c", "%s", path]).stdout)
        timing = made.near.run(["python3", "-X", "importtime", path], timeout=120).stderr
        own = {"ours": 0, "others": 0}
        for match in IMPORT.finditer(timing):
            own["ours" if match["name"].startswith(OURS) else "others"] += int(match["self"])
        cpu = spent(made, f"python3 {path}", rounds)
        rows.append({"module": name, "bytes": size, "cpu": cpu, **{key: value / 1e6 for key, value in own.items()}})
    return rows


TIMES = 3
"""Runs of a command in a row: one alone takes few ticks of the clock that CPU time is counted by."""


def spent(made: Pair, command: str, rounds: int) -> list[float]:
    """CPU seconds of a command on `near`, of each round the mean of a few runs."""
    found = []
    for _round in range(rounds):
        with progress(f"anatomy: {command.rpartition('/')[2]}"):
            before = machine_cpu(made.lab, (made.near.name,))
            made.near.run(f"for turn in $(seq {TIMES}); do {command}; done", timeout=300)
            found.append((machine_cpu(made.lab, (made.near.name,)) - before) / TIMES)
    return found
