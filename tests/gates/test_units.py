# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests once more, as others run them: by ansible-test, and counting what they reach.

All leave out the walks and the product of states: they take longer than all else, and have run before.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from gates.tools import BIN, environment, run
from project import OLDEST, ROOT, find_python

UNITS = "tests/unit/plugins"
WALKS = [f"{UNITS}/module_utils/test__{name}.py" for name in ("product", "walks")]


def test_ansible_test_units() -> None:
    """Those of all plugins, in an environment of ansible-test's own, with no settings of ours."""
    command = [
        "dev/ansible_test.py",
        "dev",
        "units",
        "--venv",
        "--color",
        "no",
        f"{UNITS}/",
        *(word for path in WALKS for word in ("--exclude", path)),
    ]
    output = run(sys.executable, *command)
    for part in ("modules", "module_utils", "controller"):
        assert f"python3.{sys.version_info.minor}-{part}-units.xml" in output, output


def test_units_on_the_oldest_python() -> None:
    """Those of what runs on gateways, by the Python of a Debian 11 gateway."""
    if find_python(OLDEST.pythons) is None:
        pytest.skip("no Python 3.9 is installed (the Debian 11 gateway of the lab runs the modules with it)")
    options = ["-p", "gates.oldest"]
    left_out = [word for path in WALKS for word in ("--ignore", path)]
    env = environment(PYTHONPATH="tests:dev")
    output = run(OLDEST.path / "bin/pytest", *options, f"{UNITS}/module_utils", f"{UNITS}/modules", *left_out, env=env)
    assert "Python 3.9." in output, output


def test_coverage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every branch of the pure core is reached; what is reached of all module_utils is printed."""
    pure = sorted(runpy.run_path(str(ROOT / f"{UNITS}/module_utils/test_imports.py"))["PURE"])
    data = f"--data-file={tmp_path / 'coverage'}"
    left_out = [word for path in WALKS for word in ("--ignore", path)]
    measured = ["run", data, "--source", "plugins/module_utils", "-m", "pytest", "-q", f"{UNITS}/module_utils"]
    run(BIN / "coverage", *measured, *left_out)
    total = run(BIN / "coverage", "report", data, "--format=total").strip()
    with capsys.disabled():
        print(f"\nmodule_utils by unit tests alone, lines and branches: {total} % ")
    files = ",".join(f"plugins/module_utils/{name}.py" for name in pure)
    run(BIN / "coverage", "report", data, f"--include={files}", "--fail-under=100")
