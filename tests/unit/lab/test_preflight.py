# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must have: each refusal, from a description of a machine that lacks just that."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from lab import preflight
from lab.preflight import GIB, Machine

GOOD = Machine(
    uid=0,
    tun=None,
    system=frozenset({"debian"}),
    free={"/var/cache/xswan-lab": 5 * GIB, "/srv/.lab": 5 * GIB},
    memory=3 * GIB,
    missing=(),
)


def test_a_good_machine_has_no_problem() -> None:
    assert preflight.host_problems(GOOD) == []
    assert preflight.tool_problems(GOOD) == []


@pytest.mark.parametrize(
    ("lacks", "problem", "cure"),
    [
        ({"uid": 1000}, "not root", "sudo"),
        ({"tun": "No such file or directory"}, "no /dev/net/tun (No such file or directory)", "modprobe tun"),
        ({"system": frozenset({"fedora"})}, "not Debian or Ubuntu", "use a Debian 12 machine"),
        ({"free": {"/small": 4 * GIB - 1}}, "disk: 4.0 GiB free for /small, 4 GiB are needed", "XSWAN_LAB_CACHE"),
        ({"memory": GIB}, "memory: 1.0 GiB available, 2 GiB are needed", "end some programs"),
        ({"registry": "no route"}, "no package registry reachable (no route)", "apt-get update"),
    ],
)
def test_each_problem_of_the_host_is_one_line_with_its_cure(lacks: dict[str, t.Any], problem: str, cure: str) -> None:
    [line] = preflight.host_problems(dataclasses.replace(GOOD, **lacks))
    assert line.startswith(problem)
    assert cure in line
    assert "\n" not in line


def test_all_problems_are_told_at_once() -> None:
    assert len(preflight.host_problems(dataclasses.replace(GOOD, uid=1, memory=0, tun="gone"))) == 3


def test_a_missing_tool_is_named_with_its_package() -> None:
    [line] = preflight.tool_problems(dataclasses.replace(GOOD, missing=("linux.uml",)))
    assert line.startswith("no linux.uml: ")
    assert "apt-get install user-mode-linux" in line


def test_set_up_installs_every_tool() -> None:
    listed = Path(__file__).parents[3].joinpath("dev/apt-packages.txt").read_text().splitlines()
    assert set(preflight.TOOLS.values()) <= set(listed)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('ID=debian\nVERSION_ID="12"\n', {"debian"}),
        ('NAME=x\nID="linuxmint"\nID_LIKE="ubuntu debian"\n', {"linuxmint", "ubuntu", "debian"}),
        ("", set()),
    ],
)
def test_system_ids(text: str, names: set[str]) -> None:
    assert preflight.system_ids(text) == names


def test_available_memory() -> None:
    assert preflight.available_memory("MemTotal: 9 kB\nMemAvailable:    2048 kB\n") == 2 * 1024 * 1024
    assert preflight.available_memory("") == 0


def test_a_look_at_this_machine_finds_its_folders_and_memory(tmp_path: Path) -> None:
    machine = preflight.look(cache=tmp_path / "not/yet/there", state=tmp_path, ask_registry=False)
    assert machine.memory > 0
    assert all(free > 0 for free in machine.free.values())
    assert machine.registry is None


def test_as_a_script_it_needs_no_virtual_environment() -> None:
    script = Path(preflight.__file__)
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "nonsense"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "usage: preflight.py [host] [tools]; unknown: nonsense" in result.stderr
