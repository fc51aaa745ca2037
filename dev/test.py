# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every test: the gates at low priority in the background, beside all others, which leave a core idle at times.

Run by `make test`, in .venv/dev. Arguments go to both runs of pytest. What the gates say is shown at the end.
"""

from __future__ import annotations

import subprocess
import sys

from project import DEV, ROOT

OUTPUT = ROOT / "tests/output"
OTHERS = ("tests/unit", "tests/contract", "tests/integration")
NONE_COLLECTED = 5
"""Exit status of pytest."""
HEARTBEAT_S = 5.0


def pytest(*args: str, name: str) -> list[str]:
    """The command of one run."""
    return [str(DEV.path / "bin/pytest"), f"--junitxml={OUTPUT / name}.xml", *args]


def main() -> int:
    """Run them; 0 when both runs went well, and one of them had something to do."""
    args = sys.argv[1:]
    OUTPUT.mkdir(exist_ok=True)
    log = OUTPUT / "gates.log"
    with log.open("wb") as out:
        command = ["nice", *pytest("tests/gates", *args, name="gates")]
        gates = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        others = subprocess.run(pytest(*OTHERS, *args, name="junit"), cwd=ROOT, check=False).returncode
        print("The gates:", flush=True)
        while gates.poll() is None:
            try:
                gates.wait(HEARTBEAT_S)
            except subprocess.TimeoutExpired:
                print("  ... still running", flush=True)
    finally:
        # only after an interruption
        gates.terminate()
        gates.wait()
    print(log.read_text(encoding="utf-8", errors="replace"))
    statuses = {others, gates.returncode} - {NONE_COLLECTED}
    return max(statuses, default=NONE_COLLECTED)


if __name__ == "__main__":
    sys.exit(main())
