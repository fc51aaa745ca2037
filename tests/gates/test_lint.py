# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linters and types: each tool is run as a person would run it, with its rules in its own file at the root."""

from __future__ import annotations

import re

import pytest

from gates.tools import BIN, run
from project import ROOT, files

GATE = "tests/gates/test_lint.py"
SHELLS = {b"sh", b"bash", b"dash"}


def shell_scripts() -> list[str]:
    """Return the project's files whose first line names a shell, and those called *.sh."""
    found = []
    for path in files():
        file = ROOT / path
        if file.is_symlink() or not file.is_file():
            continue
        with open(file, "rb") as stream:
            first = stream.readline()
        words = first[2:].replace(b"/", b" ").split() if first.startswith(b"#!") else []
        if path.endswith(".sh") or SHELLS.intersection(words):
            found.append(path)
    return found


def test_no_line_silences_a_linter() -> None:
    """But for one: a campaign of faults has to catch whatever comes."""
    silent = re.compile("# ?noqa|type: ignore|(pylint|shellcheck|yamllint):? disable|pragma: no")
    found = [
        (path, match[0])
        for path in files()
        if path.endswith((".py", ".sh", ".yml", ".yaml")) and path != GATE  # it has to name them
        for match in silent.finditer((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == [("tests/chaos/calls.py", "# noqa")]


def test_ruff_check() -> None:
    run(BIN / "ruff", "check", "--output-format", "concise", ".")


def test_ruff_format() -> None:
    run(BIN / "ruff", "format", "--check", "--diff", ".")


@pytest.mark.parametrize(
    "what",
    [
        # 3.10 is the oldest that mypy knows; the oldest on gateways is 3.9
        ["--python-version", "3.10", "--package", "ansible_collections.xswan.ipsec.plugins"],
        ["tests", "dev"],
    ],
    ids=["plugins", "tests-and-dev"],
)
def test_mypy_strict(what: list[str]) -> None:
    run(BIN / "mypy", *what)


def test_yamllint() -> None:
    run(BIN / "yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    run(BIN / "ansible-lint", "--profile", "production", "--offline", "--strict", "-q")


def test_shellcheck() -> None:
    scripts = shell_scripts()
    assert ".ci/run" in scripts
    run(BIN / "shellcheck", *scripts)


def test_reuse() -> None:
    """Every file says whose it is and under which licence (the REUSE specification)."""
    run(BIN / "reuse", "lint", "--lines")
