# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands in turn and prints what CPU time and memory each took, as JSON; for status.py, in the box.

Standard input is a JSON object: rounds, and commands as lists by name. One round runs each of them once, so that what
disturbs the machine disturbs all alike. The first round warms caches and does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile


def cost(argv: list[str]) -> tuple[float, int, int]:
    """CPU milliseconds (user and system) of a command and all its children, bytes of its output, KiB of its memory.

    Memory is the largest resident set of the command or of one of its children: getrusage(2), ru_maxrss.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode != 0:
        sys.exit(f"{argv}: exit status {process.returncode}: {said.decode()[-1000:]}")
    return (used.ru_utime + used.ru_stime) * 1000, len(said), used.ru_maxrss


def main() -> None:
    """Measure."""
    order = json.load(sys.stdin)
    found: dict[str, dict[str, list[float]]] = {name: {"ms": [], "bytes": [], "kib": []} for name in order["commands"]}
    for turn in range(order["rounds"] + 1):
        for name, argv in order["commands"].items():
            for what, value in zip(("ms", "bytes", "kib"), cost(argv)):
                if turn:
                    found[name][what].append(value)
    print(json.dumps({"kernel": os.uname().release, "found": found}))


if __name__ == "__main__":
    main()
