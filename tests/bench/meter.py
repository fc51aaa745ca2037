# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands in turn and prints what CPU time each took, with its children, as JSON; for status.py, in the box.

Standard input is a JSON object: rounds, and commands as lists by name. One round runs each of them once, so that what
disturbs the machine disturbs all alike. The first round warms caches and does not count.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys


def cost(argv: list[str]) -> tuple[float, int]:
    """CPU milliseconds (user and system) of a command and all its children, and the size of its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{argv}: exit status {done.returncode}: {done.stderr.decode()[-500:]}{done.stdout.decode()[-500:]}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds * 1000, len(done.stdout)


def main() -> None:
    """Measure."""
    order = json.load(sys.stdin)
    found: dict[str, dict[str, list[float]]] = {name: {"ms": [], "bytes": []} for name in order["commands"]}
    for turn in range(order["rounds"] + 1):
        for name, argv in order["commands"].items():
            milliseconds, size = cost(argv)
            if turn:
                found[name]["ms"].append(milliseconds)
                found[name]["bytes"].append(size)
    print(json.dumps({"kernel": os.uname().release, "found": found}))


if __name__ == "__main__":
    main()
