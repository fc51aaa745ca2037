# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the gates run the real tools: by subprocess, from the environment of .venv/dev, away from the user's home."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from project import DEV, ROOT, VENVS, files

BIN = DEV.path / "bin"
# Tools keep caches and temporary files in the home; it stays, so that the next run is faster.
HOME = VENVS / "gates-home"


def environment(**extra: str) -> dict[str, str]:
    """Return this process' environment, less what would steer the tools, plus `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON", "MYPY"))}
    HOME.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(BIN), kept.get("PATH", os.defpath)])
    ours = {"HOME": str(HOME), "PATH": path, "NO_COLOR": "1", "ANSIBLE_REMOTE_TMP": str(HOME / "remote-tmp")}
    return {**kept, **ours, **extra}


def copy_checkout(tree: Path) -> Path:
    """Copy the project without its litter into this folder, and return it."""
    for path in files():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
    return tree


def run(
    *argv: str | Path, cwd: Path = ROOT, status: int = 0, env: t.Mapping[str, str] | None = None, timeout: float = 1500
) -> str:
    """Run a command and return its output, stdout and stderr as they came; any other exit status fails the test."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=timeout,
    )
    if done.returncode != status:
        command = " ".join(str(argument) for argument in argv)
        pytest.fail(f"{command}: exit status {done.returncode}, not {status}\n{done.stdout}", pytrace=False)
    return done.stdout
