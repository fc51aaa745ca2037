# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's molecule scenarios, run as a person would run them."""

from __future__ import annotations

import collections.abc as c
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab import processes
from lab.lab import RUNTIME, build_images, known_labs, remove
from lab.machine import of_lab

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.lab


@pytest.fixture
def name(lab_name: c.Callable[[str], str]) -> c.Iterator[str]:
    """A name for the scenario's lab; what is left of the lab is removed after the test."""
    chosen = lab_name("molecule")
    yield chosen
    remove(chosen)


# `make molecule` runs all of them. What the others show, make test shows elsewhere: default in the demonstration.
@pytest.mark.parametrize("scenario", ["mesh", "removal"])
def test_scenario(scenario: str, name: str, tmp_path: Path) -> None:
    # Inside of molecule nobody would see how long that takes.
    build_images(["bullseye", "trixie"])
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))}
    done = subprocess.run(
        [BIN / "molecule", "test", "--scenario-name", scenario],
        cwd=ROOT,
        env={
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "XSWAN_MOLECULE_LAB": name,
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    # A playbook that is missing is only a warning to molecule.
    steps = re.findall(rf"^INFO +\[{scenario} > (\w+)\] Executed: Successful$", done.stdout, re.MULTILINE)
    assert steps == ["destroy", "create", "prepare", "converge", "idempotence", "verify", "destroy"], done.stdout

    assert name not in known_labs()
    assert processes.find(of_lab(name)) == []
    assert not (RUNTIME / name).exists()
    copies = [path for path in tmp_path.rglob("*") if path.name in ("galaxy.yml", "MANIFEST.json")]
    assert copies == [], "molecule installed the collection"
