# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: the outside is reached in a few places only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
UTILS = sorted((PLUGINS / "module_utils").glob("_*.py"))
PURE = {
    *("_errors", "_model", "_host", "_config_host", "_status", "_plan", "_converge", "_observe", "_facts"),
    *("_whack", "_connections", "_reasons", "_owner", "_firewall", "_ipsec_conf", "_candidate", "_faults", "_config"),
}
PURE_STDLIB = {
    *("__future__", "dataclasses", "fnmatch", "functools", "ipaddress", "json", "posixpath", "re", "shlex"),
    *("struct", "typing"),
}
CONTROLLER = sorted((PLUGINS / "plugin_utils").glob("_*.py"))


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports, lazily or not; siblings begin with an underscore."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_each_library_has_its_place(path: Path) -> None:
    found = imports(path)
    assert ("ansible" in found) == (path.stem == "_module")
    assert ("psutil" in found) == (path.stem == "_processes")
    assert "subprocess" not in found, "programs run through _commands"
    assert ("socket" in found) == (path.stem in ("_netlink", "_xfrm", "_xfrm_list", "_devices", "_network"))
    assert ("time" in found) == (path.stem == "_clock")


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_core_is_pure(name: str) -> None:
    found = imports(PLUGINS / "module_utils" / f"{name}.py")
    siblings = {other for other in found if other.startswith("_") and other != "__future__"}
    assert found - siblings <= PURE_STDLIB
    assert siblings <= PURE | {"_clock", "_ports"}


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_ports_are_for_type_checkers_only(path: Path) -> None:
    """On a gateway each file that is imported costs time."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "t.TYPE_CHECKING":
            node.body.clear()
    found = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "_ports" not in found


@pytest.mark.parametrize("path", CONTROLLER, ids=lambda path: path.stem)
def test_what_runs_on_the_controller_is_pure(path: Path) -> None:
    """No Ansible, no clock, no file: only plugins/filter knows the first two."""
    found = imports(path)
    siblings = {other for other in found if other.startswith("_") and other != "__future__"}
    harmless = {"base64", "contextlib", "datetime", "functools", "hashlib", "hmac", "markupsafe", "unicodedata"}
    assert found - siblings <= PURE_STDLIB | harmless
    assert siblings <= {other.stem for other in CONTROLLER}
