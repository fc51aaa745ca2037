# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity: all of its tests, without an ignore file, on each ansible-core that the collection supports."""

from __future__ import annotations

import sys

import pytest

from gates.tools import run
from project import CORES, OLDEST, ROOT, files, find_python

# All that ansible-test has for a collection, the same in each of these versions: none may be left out silently.
EXPECTED = """
action-plugin-docs ansible-doc changelog compile empty-init ignores import line-endings no-assert
no-get-exception no-illegal-filenames no-smart-quotes pep8 pslint pylint replace-urlopen runtime-metadata
shebang shellcheck symlinks use-argspec-type-path use-compat-six validate-modules yamllint
"""


@pytest.mark.parametrize("core", CORES)
def test_sanity(core: str) -> None:
    venv = CORES[core]
    if find_python(venv.pythons) is None:
        pytest.skip(f"ansible-core {core} needs a Python {' or '.join(venv.pythons)}, and none is installed")
    output = run(sys.executable, "dev/ansible_test.py", venv.name, "sanity", "--color", "no")
    ran = {line.split('"')[1] for line in output.splitlines() if line.startswith('Running sanity test "')}
    left_out = set(EXPECTED.split()) - ran
    assert not left_out, output
    # For example a missing shellcheck: a warning, and success.
    assert "Required program" not in output, output


def test_no_ignore_files() -> None:
    assert [path for path in files() if path.startswith("tests/sanity/")] == []


def test_utilities_import_on_the_oldest_python() -> None:
    """Every module_util and plugin_util imports on Python 3.9, with warnings as errors, as on a Debian 11 gateway."""
    python = find_python(OLDEST.pythons)
    if python is None:
        pytest.skip("no Python 3.9 is installed (the Debian 11 gateway of the lab shows the same)")
    folders = ("module_utils", "plugin_utils")
    names = [f"{folder}.{path.stem}" for folder in folders for path in sorted((ROOT / "plugins" / folder).glob("*.py"))]
    assert names
    program = f"""
import importlib, sys
sys.path[:0] = {[str(ROOT / folder) for folder in ("tests", "dev", ".ansible/collections")]!r}
import gates.oldest
for name in {names!r}:
    importlib.import_module("ansible_collections.xswan.ipsec.plugins." + name)
"""
    run(python, "-I", "-W", "error", "-c", program)
