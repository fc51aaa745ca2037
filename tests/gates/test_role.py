# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role refuses mistakes in its variables before its first task on the gateway, and shows no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from gates.tools import BIN, environment, run
from project import ROOT

ROLE = ROOT / "roles/ipsec"
SECRET = "hush hush hush hush hush"


def test_no_task_loops() -> None:
    """However many connections there are, the same few tasks: what is many goes to one call of a module, as a list."""
    paths = (*ROLE.glob("tasks/*.yml"), *ROLE.glob("handlers/*.yml"))
    tasks = [task for path in paths for task in yaml.safe_load(path.read_text(encoding="utf-8"))]
    assert len(tasks) > 20
    looping = [task["name"] for task in tasks if any(key == "loop" or key.startswith("with_") for key in task)]
    assert looping == []


def test_templates_loop_and_print_and_nothing_more() -> None:
    for path in sorted(ROLE.glob("templates/*.j2")):
        text = path.read_text(encoding="utf-8")
        statements = set(re.findall(r"{%-? *(\w+)", text))
        assert statements <= {"for", "endfor", "if", "endif"}, path
        printed = re.findall(r"{{(.*?)}}", text)
        assert printed, path
        assert all(re.fullmatch(r" [\w.]+ ", one) for one in printed), path


def refused(variables: dict[str, object], tmp_path: Path) -> str:
    """Run the role with these variables on a host that nobody can reach; its output."""
    # Should it go on after all, nobody listens there.
    hosts = {"gw1": {"ansible_host": "127.0.0.1"}, "gw2": {"ansible_host": "127.0.0.2"}}
    inventory = tmp_path / "inventory.yml"
    everywhere: dict[str, object] = {"ansible_port": 1}
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": {**everywhere, **variables}}}), encoding="utf-8")
    playbook = tmp_path / "role.yml"
    play = {"hosts": "gw1", "gather_facts": False, "roles": ["xswan.ipsec.ipsec"]}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    output = run(BIN / "ansible-playbook", "-vvv", "--diff", "-i", inventory, playbook, env=environment(), status=2)
    assert "UNREACHABLE" not in output
    assert SECRET not in output
    return output


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ipsec_state": "begun"}, "value of ipsec_state must be one of: started, stopped, absent, got: begun"),
        ({"ipsec_package_state": "absent"}, "ipsec_package_state: absent goes with ipsec_state absent"),
        ({"ipsec_policies": {"private": ["10.0.0.1/8"]}}, "ipsec_policies.private[0]: 10.0.0.1/8 has host bits set"),
        (
            {"ipsec_certificates": [{"name": "a", "pkcs12": SECRET, "content": "x", "passphrase": SECRET}]},
            "ipsec_certificates[0]: has content and pkcs12; allowed: one of content, src, pkcs12, pkcs12_src",
        ),
        (
            {"ipsec_certificates": [{"name": "a", "pkcs12": f"{SECRET}!", "passphrase": SECRET}]},
            "ipsec_certificates[0].pkcs12: is no base64; allowed: a PKCS #12 file in base64",
        ),
        (
            {"ipsec_confirm_timeout": -5, "ipsec_firewall_chain": "input"},
            "ipsec_confirm_timeout: is -5; allowed: one second or more, or 0 for a change that stays; "
            "ipsec_firewall_chain: 'input' is no chain; allowed",
        ),
        ({"ipsec_sysctl": {"kernel.panic": 1}}, "ipsec_sysctl.kernel.panic: is no name of a parameter of the network"),
        (
            {"ipsec_connections": [{"name": "a"}, {"name": "b", "left": "x\nconn c"}]},
            "ipsec_connections[1].left: holds a line break, a tab or another control character; allowed: one line",
        ),
        ({"ipsec_secrets": [{"psk": f'{SECRET}"'}]}, "ipsec_secrets[0].psk: holds a double quote"),
        ({"ipsec_secrets": [{"psk": {SECRET: 1}}]}, "ipsec_secrets[0].psk: is no text"),
        (
            {
                "ipsec_topology": [{"type": "pairs", "pairs": [["gw1", "gw2"]]}],
                "ipsec_gateway": {"name": "{{ inventory_hostname }}", "address": "{{ ansible_host }}"},
                "ipsec_psk_master": SECRET,
            },
            "ipsec_psk_master: has 24 characters; allowed: 32 or more",
        ),
    ],
)
def test_refused(variables: dict[str, object], said: str, tmp_path: Path) -> None:
    assert said in refused(variables, tmp_path)
