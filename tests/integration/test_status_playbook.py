# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook xswan.ipsec.status, run as a person would run it, on gateways that are made up.

A copy of the collection gets an action plugin in front of ipsec_status, which answers with what the inventory says.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import typing as t
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import fleet_facts as made_up
from gates.tools import BIN, environment
from project import ROOT, files

IN_FRONT = """
import json
import pathlib

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

LOOKS = pathlib.Path(__file__).parents[5] / "looks.json"


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        # from a file, as from a gateway: what the inventory says Ansible would trust
        look = json.loads(LOOKS.read_text())[task_vars["inventory_hostname"]]
        if look.get("unreachable"):
            raise AnsibleConnectionFailure(look["msg"])
        return look
"""


class Controller:
    """A folder with an inventory, from which the playbook is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        collection = folder / "collections/ansible_collections/xswan/ipsec"
        for path in files():
            if path.startswith(("plugins/", "playbooks/", "meta/")) or path == "galaxy.yml":
                (collection / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, collection / path)
        (collection / "plugins/action").mkdir()
        (collection / "plugins/action/ipsec_status.py").write_text(IN_FRONT)
        self.fleet(made_up.office())

    def fleet(self, results: dict[str, dict[str, t.Any]], **variables: t.Any) -> None:
        """Make an inventory of hosts that give these results, all of them with these variables."""
        hosts = {name: {"ansible_host": made_up.address(number)} for number, name in enumerate(results)}
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "ssh", **variables}}}
        (self.folder / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (self.folder / "collections/looks.json").write_text(json.dumps(results), encoding="utf-8")

    def run(self, *arguments: str, status: int = 0, cwd: Path | None = None) -> str:
        """Run the playbook by its name and return what it printed."""
        done = subprocess.run(
            [BIN / "ansible-playbook", "xswan.ipsec.status", "-i", self.folder / "inventory.yml", *arguments],
            cwd=cwd or self.folder,
            env=environment(ANSIBLE_COLLECTIONS_PATH=str(self.folder / "collections"), LC_ALL="C.UTF-8"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def shown(output: str) -> list[str]:
    """Return the lines of the table, as they are in the output."""
    found = re.search(r'"msg": \[\n(.*?)\n +\]', output, re.DOTALL)
    assert found, output
    return [line.strip().removesuffix(",")[1:-1] for line in found[1].splitlines()]


def recap(output: str, host: str) -> dict[str, int]:
    found = re.search(rf"^{host} +: (.*)$", output, re.MULTILINE)
    assert found, output
    return {key: int(value) for key, value in (pair.split("=") for pair in found[1].split())}


def test_table_page_and_metrics(controller: Controller) -> None:
    made = controller.folder / "made"
    made.mkdir()
    arguments = ["-e", "ipsec_report=made/fleet.html", "-e", "ipsec_metrics=made"]

    output = controller.run("--check", *arguments, status=2)
    assert list(made.iterdir()) == [], "check mode writes nothing"
    assert recap(output, "gw1")["changed"] == 2, "and foretells what a real run writes"

    output = controller.run(*arguments, status=2)
    lines = shown(output)
    assert lines[0].startswith("Gateways: 4 running, 1 unreachable.")
    assert [line.split()[:2] for line in lines[3:8]] == [
        ["gw1", "running"],
        ["gw2", "running"],
        ["gw3", "running"],
        ["gw4", "running"],
        ["gw5", "unreachable"],
    ]
    assert "\\" not in "".join(lines), "JSON has not spoiled a line"
    assert recap(output, "gw1")["changed"] == 2
    assert {name: recap(output, name)["changed"] for name in ("gw2", "gw3", "gw4")} == {"gw2": 0, "gw3": 0, "gw4": 0}
    assert recap(output, "gw5")["failed"] == 1, "a gateway that could not be looked at is an error, after all is shown"

    page = made / "fleet.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    metrics = made / "xswan_ipsec.prom"
    assert stat.S_IMODE(metrics.stat().st_mode) == 0o644
    families = {family.name: family for family in text_string_to_metric_families(metrics.read_text(encoding="utf-8"))}
    seen = {sample.labels["gateway"]: sample.value for sample in families["xswan_ipsec_look_success"].samples}
    assert seen == {"gw1": 1, "gw2": 1, "gw3": 1, "gw4": 1, "gw5": 0}
    assert sorted(path.name for path in made.iterdir()) == ["fleet.html", "xswan_ipsec.prom"], "no temporary file stays"

    looks = made_up.office()
    for look in looks.values():
        look.get("ipsec", {}).update(at=made_up.NOW + 60)
    controller.fleet(looks)
    output = controller.run("--diff", *arguments, status=2)
    assert recap(output, "gw1")["changed"] == 2, "they hold the time of the look"
    assert "2026-11-30 00:54:20 UTC" in page.read_text(encoding="utf-8")
    assert "DOCTYPE" not in output, "no diff of a page"


def test_all_well_ends_well_wherever_the_inventory_leads(controller: Controller) -> None:
    """Variables for all gateways are not for the controller, and nothing is written unless asked for."""
    controller.fleet(
        made_up.mesh(3),
        ansible_python_interpreter="/nowhere/python",
        ansible_become=True,
        ansible_become_exe="/nowhere/sudo",
        ansible_user="nobody",
    )
    elsewhere = controller.folder / "elsewhere"
    elsewhere.mkdir()
    output = controller.run(cwd=elsewhere)
    assert shown(output)[-1] == "All is well."
    assert list(elsewhere.iterdir()) == []
    controller.run("-e", "ipsec_report=fleet.html", cwd=elsewhere)
    assert [path.name for path in elsewhere.iterdir()] == ["fleet.html"]


def test_limit_and_a_first_gateway_that_does_not_answer(controller: Controller) -> None:
    looks = made_up.mesh(4)
    controller.fleet({**looks, "gw1": made_up.unreachable(), "gw2": {"failed": True, "msg": "not root"}})
    output = controller.run("--limit", "gw1,gw2,gw3", "-e", "ipsec_report=fleet.html", status=2)
    rows = [line.split()[:2] for line in shown(output)[3:6]]
    assert rows == [["gw1", "unreachable"], ["gw2", "failed"], ["gw3", "running"]]
    assert "gw4" not in output
    assert "not root" in (controller.folder / "fleet.html").read_text(encoding="utf-8")


def test_no_gateway_answers(controller: Controller) -> None:
    controller.fleet({"gw1": made_up.unreachable(), "gw2": made_up.unreachable()})
    output = controller.run("-e", "ipsec_metrics=.", status=2)
    assert shown(output)[0].startswith("Gateways: 2 unreachable.")
    assert "gw2" in (controller.folder / "xswan_ipsec.prom").read_text(encoding="utf-8")


def test_other_hosts_are_left_alone(controller: Controller) -> None:
    controller.fleet(made_up.mesh(3))
    output = controller.run("-e", "ipsec_hosts=gw2:gw3")
    assert shown(output)[0].startswith("Gateways: 2 running.")


def test_a_folder_that_is_not_there_is_an_error(controller: Controller) -> None:
    controller.fleet(made_up.mesh(2))
    output = controller.run("-e", "ipsec_metrics=nowhere", status=2)
    assert "Destination directory" in output
    assert "nowhere does not exist" in output
    assert shown(output), "the table comes first"


def test_what_a_gateway_says_is_never_a_template(controller: Controller) -> None:
    evil = "{{ lookup('ansible.builtin.pipe', 'echo own''ed') }}{% raw %}{# x #}"
    looks = made_up.mesh(2)
    wrong = made_up.reason(evil, evil, evil, evil)
    looks["gw1"]["ipsec"]["connections"][evil] = made_up.connection("a", "b", up=False, reason=wrong)
    controller.fleet({**looks, "gw2": {"failed": True, "msg": evil}})
    output = controller.run("-e", "ipsec_report=fleet.html", "-e", "ipsec_metrics=.", status=2)
    for text in (output, *((controller.folder / name).read_text() for name in ("fleet.html", "xswan_ipsec.prom"))):
        assert "owned" not in text
        assert "lookup(" in text
