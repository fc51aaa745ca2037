# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents say of the rest of the project: links that lead somewhere, and lists that are whole."""

from __future__ import annotations

import ast
import re
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._faults import CURES
from ansible_collections.xswan.ipsec.plugins.module_utils._reasons import CAUSES
from project import CORES, DEV, ROOT, Venv, files

MARKDOWN = [path for path in files() if path.endswith(".md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UTILS = ROOT / "plugins/module_utils"
LINK = re.compile(r"""\]\(([^)\s]+)\)|<\w+\b[^>]*?\s(?:src|href)=["']([^"']+)["']""")


def text_of(path: str) -> str:
    """A document without what stands in its fences, where nothing is a link or a headline."""
    return re.sub(r"^```.*?^```$", "", (ROOT / path).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: str) -> set[str]:
    """The anchors that a forge and the site make of a document's headlines."""
    heads = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def targets(text: str) -> list[str]:
    """What the links and pictures of a text lead to, in Markdown or HTML."""
    return [of_markdown or of_html for of_markdown, of_html in re.findall(LINK, text)]


@pytest.mark.parametrize("path", MARKDOWN)
def test_links_within_the_project_lead_somewhere(path: str) -> None:
    dead = []
    for target in targets(text_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _hash, anchor = target.partition("#")
        there = (ROOT / path).parent / name if name else ROOT / path
        if not there.exists() or (anchor and anchor not in anchors(str(there.resolve().relative_to(ROOT)))):
            dead.append(target)
    assert not dead


def test_a_dead_link_would_be_found() -> None:
    assert "what-it-takes" in anchors("docs/getting-started.md")
    assert "what-it-never-took" not in anchors("docs/getting-started.md")
    assert len(MARKDOWN) > 10
    assert targets('[a](b.md#c), ![d](e.png) <img alt="" src="f.png" width="9"> <a href=\'g\'>') == [
        *("b.md#c", "e.png", "f.png", "g"),
    ]
    assert "docs/fleet.png" in targets(text_of("README.md"))


def test_the_first_playbook_has_ten_lines() -> None:
    (text,) = re.findall(r"^## The first playbook\n\n```yaml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert len(text.splitlines()) == 10


def findings() -> set[str]:
    """The ids of all findings, by the calls of `Finding` in the source."""
    found = set()
    for path in UTILS.glob("_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
                else:
                    # only of a configuration: f"config-{fault.kind}"
                    assert ast.unparse(first) == "f'config-{fault.kind}'", ast.unparse(first)
                    found |= {"config-missing", "config-invalid"}
    return found


def listed(section: str) -> set[str]:
    """The ids in the first column of the table below a headline of docs/troubleshooting.md."""
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    body = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([a-z-]+)` \|", body, re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "ids"),
    [
        ("Findings of a gateway", findings),
        ("Reasons of a tunnel", lambda: set(CAUSES)),
        ("What `ipsec_config` refuses", lambda: set(CURES)),
    ],
    ids=["findings", "reasons", "refusals"],
)
def test_the_guide_has_every_id_and_no_other(section: str, ids: t.Callable[[], set[str]]) -> None:
    assert len(ids()) > 10
    assert listed(section) == ids()


def supported(what: str) -> str:
    """What the table of README.md says was proven of something."""
    (row,) = re.findall(rf"^\| {what} \|([^|]*)\|", README, re.MULTILINE)
    return str(row)


def pinned(venv: Venv) -> str:
    """The ansible-core of an environment in which tests run."""
    (version,) = re.findall(r"^ansible-core==(\d+\.\d+)", venv.requirements.read_text(encoding="utf-8"), re.MULTILINE)
    return str(version)


def test_the_readme_names_the_versions_of_the_tests() -> None:
    """Those of gateways are compared with the gateways, in tests/integration."""
    cores = list(CORES)
    with_gateways, sanity, tarball = supported("ansible-core").split(";")
    assert [pinned(venv) for venv in CORES.values()] == cores
    assert re.findall(r"\d\.\d+", with_gateways) == [pinned(DEV)]
    assert re.findall(r"\d\.\d+", sanity) == cores
    assert re.findall(r"\d\.\d+", tarball) == [cores[0]]
    assert f'CORES["{cores[0]}"].requirements' in (ROOT / "dev/release.py").read_text(encoding="utf-8")
    assert f'requires_ansible: ">={cores[0]}.0"' in (ROOT / "meta/runtime.yml").read_text(encoding="utf-8")
    common, newest = re.findall(r"\d\.\d+", supported("Python of the controller").partition(" for ")[0])
    assert (common, newest) == (DEV.pythons[0], CORES[cores[-1]].pythons[0])


def mapped() -> list[str]:
    """The folders in the map of CONTRIBUTING.md, but for those that `make` makes."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("\n## The map of the house\n")[1].split("\n## ")[0]
    rows = [first for first, rest in re.findall(r"^\| (`.*?) \|(.*)", table, re.MULTILINE) if "not in git" not in rest]
    return [folder for row in rows for folder in re.findall(r"`([^`]+/)`", row)]


def test_every_folder_has_its_line_in_the_map() -> None:
    """To the depth of the map: of a folder whose parts have lines, every part has one."""
    folders = {path.rpartition("/")[0] + "/" for path in files() if "/" in path}
    lines = mapped()
    assert sorted(lines) == sorted(set(lines)), "a folder has two lines"
    divided = {folder for folder in folders if any(line != folder and line.startswith(folder) for line in lines)}
    lost = {folder for folder in folders - divided if not folder.startswith(tuple(lines))}
    assert not lost, "folders without a line"
    assert not [line for line in lines if not any(folder.startswith(line) for folder in folders)], (
        "lines without folder"
    )


def test_every_page_of_the_site_is_in_its_index() -> None:
    """Sphinx finds a page that is in no index; this finds one that the index of a guide names in vain."""
    index = (ROOT / "docs/index.rst").read_text(encoding="utf-8")
    pages = {
        path.removeprefix("docs/").rpartition(".")[0] for path in files() if re.match(r"docs/[\w-]+\.(md|rst)$", path)
    }
    assert set(re.findall(r"^   ([\w-]+)$", index, re.MULTILINE)) == pages - {"index"}
