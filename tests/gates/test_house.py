# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules on the text of the project itself."""

from __future__ import annotations

import os
import re

import pytest

from gates.tools import run
from project import ROOT, files

# What is wrong with a line, and the pattern of such lines.
FORBIDDEN = {
    "the host of a package registry": r"\b(deb|security|snapshot|archive|ftp\.\w+)\.(debian|ubuntu)\.(org|com)\b"
    r"|\b(pypi|pythonhosted|npmjs|docker|quay)\.(org|io|com)\b"
    r"|\b(galaxy\.ansible|ci-files\.testing\.ansible)\.com\b",
    "a path of one machine": r"(^|[\s\"'=:(])/(work|home/\w+|Users/\w+)/|/root/\.(pyenv|cache|venv|config)\b",
}
HEADER = ("Copyright (c)", "GNU General Public License v3.0+", "SPDX-License-Identifier: GPL-3.0-or-later")
GATE = "tests/gates/test_house.py"


def text_files() -> list[str]:
    """Return the project's own texts."""
    return [path for path in files() if (ROOT / path).is_file() and not path.startswith(("COPYING", "LICENSES/"))]


@pytest.mark.parametrize("wrong", FORBIDDEN)
def test_forbidden_words(wrong: str) -> None:
    expression = re.compile(FORBIDDEN[wrong])
    found = [
        f"{path}:{number}: {wrong}: {line.strip()}"
        for path in text_files()
        if path != GATE  # it has to name them
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if expression.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_python_and_shell_file_has_the_header() -> None:
    for path in text_files():
        if path.endswith((".py", ".sh", ".yml", ".yaml", ".cfg")) and "/fixtures/" not in path:
            head = "\n".join((ROOT / path).read_text(encoding="utf-8").splitlines()[:6])
            assert all(part in head for part in HEADER), f"{path}: its first lines lack one of {HEADER}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_only_make_targets_that_exist(document: str) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8")))
    named |= set(re.findall(r"^ *make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


def test_ci_runs_the_command_of_the_readme() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_make_help_names_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    listed = set(re.findall(r"^  ([a-z-]+) ", run("make", "--no-print-directory", "help"), re.MULTILINE))
    assert listed == targets
