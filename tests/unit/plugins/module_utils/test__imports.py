# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a process of its own, with the files in a zip file, as Ansible sends them."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[4] / "plugins/module_utils"
PACKAGE = "ansible_collections/xswan/ipsec/plugins/module_utils"
SCRIPT = f"""
import builtins, json, sys
sys.path.insert(0, sys.argv[1])
from {PACKAGE.replace("/", ".")} import _imports
compiled, compile_ = [], builtins.compile
def counting(source, filename, *args, **options):
    compiled.append(filename)
    return compile_(source, filename, *args, **options)
builtins.compile = counting
if sys.argv[2] == "once":
    _imports.compile_once()
from {PACKAGE.replace("/", ".")} import _errors, _observe
try:
    from {PACKAGE.replace("/", ".")} import _nothing
except ImportError:
    compiled.append("ImportError")
print(json.dumps([compiled, _observe.__file__, _observe.State.__module__]))
"""


@pytest.mark.parametrize(("how", "times"), [("once", 1), ("as ever", 2)])
def test_files_in_a_zip_file_are_compiled_once(how: str, times: int, tmp_path: Path) -> None:
    """The second case is the reason for this file: without it there were no need, nor with a Python that knows."""
    archive = tmp_path / "payload.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for folder in (Path(PACKAGE), *list(Path(PACKAGE).parents)[:-1]):
            file.writestr(f"{folder}/__init__.py", "")
        for name in ("_imports", "_errors", "_observe", "_model"):
            file.write(UTILS / f"{name}.py", f"{PACKAGE}/{name}.py")
    argv = [sys.executable, "-I", "-B", "-c", SCRIPT, str(archive), how]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    compiled, path, module = json.loads(done.stdout)
    assert collections.Counter(name for name in compiled if name.startswith(str(archive))) == {
        f"{archive}/{PACKAGE}/{name}.py": times for name in ("_errors", "_observe", "_model")
    }
    assert compiled[-1] == "ImportError"
    assert path == f"{archive}/{PACKAGE}/_observe.py"
    assert module == f"{PACKAGE.replace('/', '.')}._model"
