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
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        look = task_vars["made_up"]
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
        hosts = {
            name: {"ansible_host": made_up.address(number), "made_up": value}
            for number, (name, value) in enumerate(results.items())
        }
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "ssh", **variables}}}
        (self.folder / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")

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
    output = controller.run("-e", "ipsec_report=made/fleet.html", "-e", "ipsec_metrics=made", status=2)

    lines = shown(output)
    assert lines[0].startswith("Gateways: 4 running, 1 unreachable.")
    assert [line.split()[:2] for line in lines[3:8]] == [
        ["gw1", "running"],
        ["gw2", "running"],
        ["gw3", "running"],
        ["gw4", "running"],
        ["gw5", "unreachable"],
    ]
    assert "\\" not in "".join(lines)
    assert recap(output, "gw5")["failed"] == 1, "a gateway that could not be looked at is an error, after all is shown"
    assert recap(output, "gw2") | {"skipped": 0} == recap(output, "gw2") | {"skipped": 0, "changed": 0, "failed": 0}

    page = made / "fleet.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    metrics = made / "xswan_ipsec.prom"
    assert stat.S_IMODE(metrics.stat().st_mode) == 0o644
    families = {family.name for family in text_string_to_metric_families(metrics.read_text(encoding="utf-8"))}
    assert "xswan_ipsec_look_success" in families
    assert sorted(path.name for path in made.iterdir()) == ["fleet.html", "xswan_ipsec.prom"]


def test_all_well_ends_well(controller: Controller) -> None:
    controller.fleet(made_up.mesh(3))
    output = controller.run()
    assert shown(output)[-1] == "All is well."
    assert {host: recap(output, host)["changed"] for host in ("gw1", "gw2", "gw3")} == {"gw1": 0, "gw2": 0, "gw3": 0}
