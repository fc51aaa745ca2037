# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users meet it: names, documentation, action group, tarball."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import typing as t
from pathlib import Path

import pytest

from examples import commands
from gates.tools import BIN, copy_checkout, environment, run
from project import files

MODULES = ("ipsec_setup", "ipsec_status")


def module_result(output: str) -> dict[str, t.Any]:
    """Return the JSON in the output of an ad-hoc ansible command."""
    result = json.loads(output[output.index("=> {") + 3 : output.rindex("}") + 1])
    assert isinstance(result, dict)
    return result


@pytest.fixture
def only_localhost(tmp_path: Path) -> dict[str, str]:
    """An environment in which Ansible knows this machine alone, whatever lab is up, with an interpreter that works."""
    inventory = tmp_path / "inventory.yml"
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": variables}}}), encoding="utf-8")
    return environment(ANSIBLE_INVENTORY=str(inventory))


@pytest.mark.parametrize("name", ["ipsec_status", "xswan.ipsec.ipsec_status"])
def test_status_by_both_names_in_the_checkout(name: str, only_localhost: dict[str, str]) -> None:
    result = module_result(run(BIN / "ansible", "localhost", "-m", name, env=only_localhost))
    assert not result["changed"]
    assert isinstance(result["ipsec"]["lines"], list)


@pytest.mark.parametrize("name", ["ipsec_setup", "xswan.ipsec.ipsec_setup"])
def test_setup_by_both_names_in_the_checkout(name: str, only_localhost: dict[str, str]) -> None:
    """A value that no state has: the module answers, and this machine is left alone."""
    command = ["localhost", "-m", name, "-a", "state=asunder"]
    result = module_result(run(BIN / "ansible", *command, env=only_localhost, status=2))
    assert "value of state must be one of: started, stopped" in result["msg"]


def test_the_first_line_tells_what_happened(tmp_path: Path, only_localhost: dict[str, str]) -> None:
    """As the callbacks that come with Ansible print it; of this machine, whatever runs there, in check mode."""
    command = ["localhost", "-m", "xswan.ipsec.ipsec_setup", "-a", "state=stopped", "--check"]
    header, first, *_rest = run(BIN / "ansible", *command, env=only_localhost).splitlines()
    assert header.startswith("localhost | ")
    told = re.fullmatch(r' +("about": "IPsec (is|would) .+"),', first)
    assert told, first
    playbook = tmp_path / "stopped.yml"
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"xswan.ipsec.ipsec_setup": {"state": "stopped"}}]}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    output = run(BIN / "ansible-playbook", "-v", "--check", playbook, env=only_localhost)
    assert f": [localhost] => {{{told[1]}, " in output, output

    command = ["localhost", "-m", "xswan.ipsec.ipsec_setup", "-a", "state=started config=/not/there", "--check"]
    failed = run(BIN / "ansible", *command, env=only_localhost, status=2)
    assert re.search(r'^localhost \| FAILED! => \{\n +"about": "', failed, re.MULTILINE), failed
    assert module_result(failed)["about"] == module_result(failed)["msg"]


@pytest.mark.parametrize(("module", "arguments"), [("ipsec_setup", {"state": "started"}), ("ipsec_status", {})])
def test_action_group(module: str, arguments: dict[str, str], tmp_path: Path, only_localhost: dict[str, str]) -> None:
    """module_defaults of the group reach each module: one that no module knows is refused by all."""
    playbook = tmp_path / "group.yml"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {"group/xswan.ipsec.ipsec": {"not_an_option": 1}},
        "check_mode": True,  # should the option be taken after all, nothing is to happen
        "tasks": [{f"xswan.ipsec.{module}": arguments}],
    }
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    output = run(BIN / "ansible-playbook", playbook, env=only_localhost, status=2)
    assert re.search(rf"Unsupported parameters for .*{module}.*not_an_option", output), output


@pytest.mark.parametrize("name", [*MODULES, *(f"xswan.ipsec.{module}" for module in MODULES)])
def test_ansible_doc_of_modules(name: str) -> None:
    output = run(BIN / "ansible-doc", "--type", "module", "--json", name)
    (doc,) = json.loads(output[output.index("{") :]).values()
    assert doc["doc"]["short_description"]
    assert doc["doc"]["attributes"]["check_mode"], "the documentation fragment was not found"
    assert doc["return"]["ipsec"]["description"]


@pytest.mark.parametrize(
    "name", ["configuration", "fleet_metrics", "fleet_page", "fleet_table", "gateways", "psk", "topology"]
)
def test_ansible_doc_of_filters(name: str) -> None:
    output = run(BIN / "ansible-doc", "--type", "filter", "--json", f"xswan.ipsec.{name}")
    (doc,) = json.loads(output[output.index("{") :]).values()
    assert doc["doc"]["short_description"]
    assert doc["return"]["_value"]["description"]


def test_ansible_doc_of_the_role() -> None:
    output = run(BIN / "ansible-doc", "--type", "role", "--json", "xswan.ipsec.ipsec")
    role = json.loads(output[output.index("{") :])["xswan.ipsec.ipsec"]
    assert role["entry_points"]["main"]["options"]


def test_antsibull_docs() -> None:
    run(BIN / "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", ".")


def test_antsibull_changelog() -> None:
    run(BIN / "antsibull-changelog", "lint")


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built in the checkout as it is, with whatever lies about in it."""
    folder = tmp_path_factory.mktemp("tarball")
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", folder)
    (path,) = folder.glob("xswan-ipsec-*.tar.gz")
    return path


def test_tarball_holds_the_project_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        packed = {member.name for member in archive if not member.isdir()}
    litter = packed - set(files()) - {"MANIFEST.json", "FILES.json"}
    assert not litter, "build_ignore of galaxy.yml does not know these"
    product = {path for path in files() if path.startswith(("plugins/", "playbooks/", "roles/", "meta/", "LICENSES/"))}
    assert not product - packed
    assert {"README.md", "COPYING", "CHANGELOG.rst"} <= packed
    assert not {path for path in packed if path.startswith((".", "dev/", "demo/", "tests/output/"))}


def test_installed_as_the_documents_say(tmp_path: Path) -> None:
    """Their lines as they stand, in a clone; no release makes them wrong."""
    collections = tmp_path / "collections"
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(collections))
    lines = [command for command in commands() if command.startswith("ansible-galaxy ")]
    assert [line.split()[2] for line in lines] == ["build", "install"]
    clone = copy_checkout(tmp_path / "clone")
    for line in lines:
        run("bash", "-c", line, cwd=clone, env=env)
    assert (collections / "ansible_collections/xswan/ipsec/plugins/modules/ipsec_setup.py").is_file()


def test_installed_from_the_tarball(tarball: Path, tmp_path: Path, only_localhost: dict[str, str]) -> None:
    """In an empty folder, with nothing of the checkout in reach."""
    collections = tmp_path / "collections"
    env = {**only_localhost, "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    install = ["collection", "install", str(tarball), "--offline", "--collections-path", str(collections)]
    run(BIN / "ansible-galaxy", *install, cwd=tmp_path, env=env)
    run(BIN / "ansible-galaxy", "collection", "verify", "xswan.ipsec", "--offline", cwd=tmp_path, env=env)
    command = ["localhost", "-m", "xswan.ipsec.ipsec_status"]
    result = module_result(run(BIN / "ansible", *command, cwd=tmp_path, env=env))
    assert not result["changed"]
    assert result["ipsec"]["running"] in (True, False)
    assert result["ipsec"]["lines"]
    page = tmp_path / "fleet.html"
    playbook = ["xswan.ipsec.status", "-e", "ipsec_become=false", "-e", f"ipsec_report={page}"]
    assert "GATEWAY" in run(BIN / "ansible-playbook", *playbook, cwd=tmp_path, env=env)
    assert "localhost" in page.read_text(encoding="utf-8")
