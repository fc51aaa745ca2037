# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of the checkout as it is could be made, Galaxy would take it, and an execution environment can be built."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

from gates.tools import BIN, copy_checkout, environment, run
from project import ROOT, VENVS

RELEASE = "dev/release.py"


def next_version() -> str:
    """One that the version of galaxy.yml allows, whatever the fragments hold."""
    version: str = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    return f"{int(version.partition('.')[0]) + 1}.0.0"


def test_a_release_in_a_copy(tmp_path: Path) -> None:
    """Changelog, version, tarball, and the tarball at work in an environment of its own; nothing is kept.

    A fragment of the test's own is there, for right after a release there is none.
    """
    tree = copy_checkout(tmp_path / "tree")
    run("git", "init", "--quiet", cwd=tree)
    if not (tree / ".venv").exists():
        (tree / ".venv").symlink_to(VENVS)
    header = "".join((ROOT / "galaxy.yml").read_text(encoding="utf-8").splitlines(keepends=True)[:3])
    fragment = tree / "changelogs/fragments/of-a-test.yml"
    fragment.write_text(f"---\n{header}bugfixes:\n  - It can be released.\n", encoding="utf-8")
    before = tree_of(tree)
    output = run(sys.executable, RELEASE, next_version(), "--dry-run", cwd=tree)
    assert "in a clean virtual environment: ansible -m xswan.ipsec.ipsec_status" in output
    assert "nothing was kept" in output
    assert tree_of(tree) == before
    for left in (tree / "changelogs/fragments").glob("*.yml"):
        left.unlink()
    assert "no fragment" in run(sys.executable, RELEASE, next_version(), "--dry-run", cwd=tree, status=1)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file of a copy of the checkout, but for what git and Python keep there."""
    found = (path for path in folder.rglob("*") if path.is_file() and not {".git", "__pycache__"} & set(path.parts))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_galaxy_would_take_it(tmp_path: Path) -> None:
    """The check that Galaxy itself makes of an upload: of names, metadata, documentation, changelog, playbooks, lint.

    Galaxy takes no collection without the address of its repository. Until there is one, the test puts one in.
    """
    tree = copy_checkout(tmp_path / "tree")
    galaxy = tree / "galaxy.yml"
    text = galaxy.read_text(encoding="utf-8")
    galaxy.write_text(text.replace('repository: ""', "repository: https://example.com/xswan.ipsec"), encoding="utf-8")
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path, cwd=tree)
    (tarball,) = tmp_path.glob("*.tar.gz")
    env = environment(ANSIBLE_LOCAL_TEMP=str(tmp_path / "local-tmp"))
    output = run(BIN / "python", "-m", "galaxy_importer.main", tarball, cwd=tmp_path, env=env)
    assert "Importer processing completed successfully" in output, output
    complaints = [line for line in output.splitlines() if re.match(r"\W*(WARNING|ERROR)", line)]
    assert not complaints, "\n".join(complaints)


def test_execution_environment(tmp_path: Path) -> None:
    """What ansible-builder finds in the collection, and the build context it makes; an image would need the network."""
    collections = tmp_path / "ansible_collections/xswan"
    collections.mkdir(parents=True)
    (collections / "ipsec").symlink_to(ROOT)
    found = yaml.safe_load(run(BIN / "ansible-builder", "introspect", tmp_path))
    assert found["python"] == []
    packages = [line.partition("#")[0].strip() for line in found["system"]]
    assert packages == ["openssh-client [platform:dpkg]", "openssh-clients [platform:rpm]"]
    # the controller of these tests is one, too
    run(BIN / "bindep", "--brief", "--file", ROOT / "bindep.txt")

    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path)
    (tarball,) = tmp_path.glob("*.tar.gz")
    definition = {
        "version": 3,
        "images": {"base_image": {"name": "localhost/base:latest"}},
        "dependencies": {"galaxy": {"collections": [{"name": str(tarball), "type": "file"}]}},
    }
    (tmp_path / "definition.yml").write_text(json.dumps(definition), encoding="utf-8")
    context = ["--context", str(tmp_path / "context"), "--output-filename", "Containerfile"]
    run(BIN / "ansible-builder", "create", "--file", tmp_path / "definition.yml", *context)
    assert "RUN" in (tmp_path / "context/Containerfile").read_text(encoding="utf-8")
