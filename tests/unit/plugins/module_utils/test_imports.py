# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: the outside is reached in a few places only."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins import module_utils
from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired
from fake_host import FakeHost

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
UTILS = sorted((PLUGINS / "module_utils").glob("_*.py"))
MODULES = sorted((PLUGINS / "modules").glob("*.py"))
PURE = {
    *("_errors", "_model", "_host", "_config_host", "_status", "_plan", "_converge", "_observe", "_facts"),
    *("_whack", "_connections", "_reasons", "_owner", "_firewall", "_ipsec_conf", "_candidate", "_faults", "_config"),
    *("_confirm", "_record", "_router", "_sysctl", "_opening", "_certificates", "_nss_host", "_x509"),
    *("_reload", "_reload_host", "_definitions", "_secrecy"),
}
PURE_STDLIB = {
    *("__future__", "base64", "binascii", "contextlib", "dataclasses", "datetime", "fnmatch", "functools", "hashlib"),
    *("ipaddress", "json", "posixpath", "re", "shlex", "struct", "typing"),
}
CONFIG = {
    *("_candidate", "_config", "_config_host", "_config_local", "_confirm", "_faults", "_install", "_ipsec_conf"),
    *("_preflight", "_record", "_rollback", "_baseline", "_stamp"),
}
"""What it takes to give a gateway a configuration, or to try one out."""
RELOAD = {"_reload", "_reload_host", "_reload_local", "_reloader", "_rehearsal", "_definitions", "_unread", "_outdated"}
LATE = {"_rundir", "_endings", "_xfrm_removal", "_unit_failure"}
"""What no look at a pluto that runs needs."""
OUTPUT = PLUGINS.parent / "tests/output"
"""What runs of tests leave."""
CONTROLLER = sorted((PLUGINS / "plugin_utils").glob("_*.py"))
HOSTS = {"_host", "_config_host", "_reload_host", "_router", "_nss_host"}
"""What gathers the ports of a Host: each pure file may import the one that it is given."""
RULE = (
    (PLUGINS.parent / "CONTRIBUTING.md")
    .read_text(encoding="utf-8")
    .split("\n## Who may import whom\n")[1]
    .split("\n## ")[0]
)
ROWS = [
    [set(re.findall(r"\b_\w+", column)) for column in row.split("→")]
    for row in re.findall(r"^   [├└]→(.*)     pure: ", RULE, re.MULTILINE)
]
"""The pure files as CONTRIBUTING.md draws them: rows of columns, whose imports go to the right."""


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports, lazily or not; siblings begin with an underscore."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def siblings(nodes: t.Iterable[ast.AST]) -> set[str]:
    """Files of module_utils that these nodes import."""
    names = {path.stem for path in UTILS}
    found = {node for node in nodes if isinstance(node, ast.ImportFrom)}
    return {
        name
        for node in found
        for name in ((node.module or "").rpartition(".")[2], *(alias.name for alias in node.names))
        if name in names
    }


def reached(module: str, reads: t.Callable[[ast.Module], t.Iterable[ast.AST]]) -> set[str]:
    """Files of module_utils that a module reaches, over others too, when each is read in this way."""
    found: set[str] = set()
    todo = siblings(reads(ast.parse((PLUGINS / "modules" / f"{module}.py").read_text())))
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= siblings(reads(ast.parse((PLUGINS / "module_utils" / f"{name}.py").read_text()))) - found
    return found


def test_what_only_others_need_is_not_sent_with_a_look() -> None:
    """Ansible sends every file that any other one mentions, be it in a function or for type checkers alone."""
    others = RELOAD | CONFIG | {"_converge", "_plan"}
    assert reached("ipsec_status", ast.walk) & others == set()
    assert others <= {path.stem for path in UTILS}


def test_who_installs_a_configuration_brings_along_what_takes_it_back() -> None:
    """But the module does not import that: it is for the gateway's own program."""
    assert reached("ipsec_config", ast.walk) >= RELOAD | {"_converge", "_plan"}
    assert reached("ipsec_config", lambda tree: tree.body) & (RELOAD | {"_converge", "_plan"}) == set()


def test_who_does_not_reload_imports_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when the module is read, nor while it works."""
    assert reached("ipsec_setup", lambda tree: tree.body) & (RELOAD | CONFIG) == set()
    assert reached("ipsec_setup", ast.walk) >= RELOAD
    for name in RELOAD | CONFIG:
        monkeypatch.setitem(sys.modules, f"{module_utils.__name__}.{name}", None)
    for desired in (Desired(running=True), Desired(running=True, restart=True), Desired(running=False)):
        for check_mode in (True, False):
            converge(desired, FakeHost().host(), check_mode=check_mode).to_result()
    with pytest.raises(ImportError):
        converge(Desired(running=True, reload=True), FakeHost().host(), check_mode=True)


@pytest.mark.parametrize("module", ["ipsec_status", "ipsec_setup"])
def test_a_look_imports_nothing_of_what_only_changes_do(module: str) -> None:
    """Neither do the launcher and the kernel that nearly all hosts have, when they are imported."""
    files = reached(module, lambda tree: tree.body) | {"_systemd", "_xfrm"}
    assert {
        name for name in files if siblings(ast.parse((UTILS[0].parent / f"{name}.py").read_text()).body) & LATE
    } == set()
    assert reached(module, ast.walk) >= LATE


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_each_library_has_its_place(path: Path) -> None:
    found = imports(path)
    assert ("ansible" in found) == (path.stem == "_module")
    assert ("psutil" in found) == (path.stem == "_endings")
    assert "subprocess" not in found, "programs run through AnsibleModule.run_command"
    assert ("socket" in found) == (path.stem in ("_netlink", "_xfrm", "_xfrm_list", "_devices", "_network"))
    assert ("time" in found) == (path.stem == "_clock")


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_core_is_pure(name: str) -> None:
    found = imports(PLUGINS / "module_utils" / f"{name}.py")
    siblings = {other for other in found if other.startswith("_") and other != "__future__"}
    assert found - siblings <= PURE_STDLIB
    assert siblings <= PURE | {"_clock", "_ports"}


def executed(path: Path) -> ast.Module:
    """A file without what is for type checkers only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "t.TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def test_the_picture_has_every_file_and_no_other() -> None:
    """And the text says which of them are pure."""
    assert set(re.findall(r"(?<!\w)_[a-z]\w+", RULE)) - {path.stem for path in CONTROLLER} == {
        path.stem for path in UTILS
    }
    (sentence,) = re.findall(r"^- The pure files are those of the last six rows, (.*)\.$", RULE, re.MULTILINE)
    assert len(ROWS) == 6
    assert {name for row in ROWS for column in row for name in column} | set(re.findall(r"`(_\w+)`", sentence)) == PURE


@pytest.mark.parametrize("name", sorted(PURE))
def test_imports_of_the_core_go_to_the_right(name: str) -> None:
    """In the rows of the picture, each as far as it likes."""
    for other in siblings(ast.walk(executed(PLUGINS / f"module_utils/{name}.py"))) & PURE:
        if other in HOSTS | {"_model", "_errors", "_secrecy"}:
            continue
        places = [
            (left, right)
            for row in ROWS
            for left, column in enumerate(row)
            for right, there in enumerate(row)
            if name in column and other in there
        ]
        assert places, f"no row has both {name} and {other}, which it imports"
        assert all(left < right for left, right in places), f"{name} imports {other}, which is not to its right"


def third_party(tree: ast.Module) -> set[str]:
    """What is neither ours, nor Ansible's, nor of the standard library, of what is imported when a file is read."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return {name for name in found - {"ansible"} if not _of_python(name)}


def _of_python(name: str) -> bool:
    """Whether a package is of the standard library: sys.stdlib_module_names is not there before 3.10."""
    spec = importlib.util.find_spec(name)
    return spec is not None and "-packages" not in str(spec.origin)


@pytest.mark.parametrize("path", [*UTILS, *MODULES], ids=lambda path: path.stem)
def test_third_party_packages_are_imported_where_they_are_needed(path: Path) -> None:
    assert third_party(executed(path)) == set()


def test_one_that_is_not_would_be_found() -> None:
    text = "import os\nimport psutil\nclass C:\n  import yaml\n  def f(self):\n    import pyroute2\n"
    assert third_party(ast.parse(text)) == {"psutil", "yaml"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_compiles_its_files_once(path: Path) -> None:
    """Before it imports any of them."""
    body = executed(path).body
    first = next(index for index, node in enumerate(body) if isinstance(node, ast.ImportFrom) and node.level)
    assert ast.unparse(body[first]) == "from ..module_utils._imports import compile_once"
    assert ast.unparse(body[first + 1]) == "compile_once()"


def test_imports_are_relative_inside_and_absolute_outside() -> None:
    """A plugin may be installed by another name; and tests import what users get."""
    for path in sorted(PLUGINS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 2, f"{path}: {ast.unparse(node)}"
                names = [] if node.level else [str(node.module)]
                # a sibling that is not marked as one
                assert node.level or not str(node.module).startswith("_") or node.module == "__future__"
            assert not [name for name in names if name.startswith("ansible_collections")], path
    for path in sorted((PLUGINS.parent / "tests").rglob("*.py")):
        if OUTPUT in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("plugins")):
                # of a package of the tests' own
                assert node.level == 1, f"{path}: {ast.unparse(node)}"
                assert (path.parent / "__init__.py").exists(), f"{path}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_ports_are_for_type_checkers_only(path: Path) -> None:
    """On a gateway each file that is imported costs time."""
    found = [node.module for node in ast.walk(executed(path)) if isinstance(node, ast.ImportFrom)]
    assert "_ports" not in found


def _core(path: Path) -> set[str]:
    """Files of module_utils that a file of the controller imports."""
    found = {node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[2] for name in found if name.startswith("module_utils")}


@pytest.mark.parametrize("path", CONTROLLER, ids=lambda path: path.stem)
def test_what_runs_on_the_controller_is_pure(path: Path) -> None:
    """No Ansible, no clock, no file: only plugins/filter knows the first two."""
    found = imports(path)
    siblings = {other for other in found if other.startswith("_") and other != "__future__"}
    core = _core(path)
    assert core <= PURE, "and of the modules' files only the pure ones"
    harmless = {"base64", "contextlib", "datetime", "functools", "hashlib", "hmac", "markupsafe", "unicodedata"}
    assert found - siblings <= PURE_STDLIB | harmless | ({"module_utils"} if core else set())
    assert siblings <= {other.stem for other in CONTROLLER}
