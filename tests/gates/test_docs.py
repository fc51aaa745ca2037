# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site builds without a warning, and what a guide promises of an inventory is so."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

from examples import EXAMPLES
from gates.tools import BIN, run
from project import ROOT


def test_the_site_builds(tmp_path: Path) -> None:
    run(sys.executable, "dev/docs.py", tmp_path / "site")
    html = tmp_path / "site/html"
    # the guides, and what the collection's parts say of themselves
    for page in ("index", "getting-started", "reference/ipsec_setup_module", "reference/ipsec_role"):
        assert (html / f"{page}.html").is_file()
    setup = (html / "reference/ipsec_setup_module.html").read_text(encoding="utf-8")
    assert "start_timeout" in setup
    from_elsewhere = [
        f"{path.relative_to(html)}: {url}"
        for path in html.rglob("*.html")
        for url in re.findall(
            r"<(?:script|img|link)[^>]* (?:src|href)=\"(https?:[^\"]+)", path.read_text(encoding="utf-8")
        )
    ]
    assert not from_elsewhere, "the site needs the network"


def test_the_mesh_of_the_guide_has_fifty_gateways(tmp_path: Path) -> None:
    """Its inventory and its first play as they stand there; the play asserts 49 connections of each gateway."""
    text = (ROOT / "docs/mesh.md").read_text(encoding="utf-8")
    inventory, play = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[:2]
    (tmp_path / "inventory.yml").write_text(inventory, encoding="utf-8")
    (tmp_path / "play.yml").write_text(play, encoding="utf-8")
    master = "vault_ipsec_psk_master=" + "x" * 32
    some = ["--limit", "gw01,gw26,gw50"]  # each second of theirs is one of `make test`
    output = run(BIN / "ansible-playbook", "-i", tmp_path / "inventory.yml", "-e", master, *some, tmp_path / "play.yml")
    assert len(re.findall(r"^gw\d\d +: ok=1 ", output, re.MULTILINE)) == 3, output


def test_each_pair_has_a_key_of_the_lookup(tmp_path: Path) -> None:
    """The example of the role's README: one key for each pair, the same at both ends, and no other."""
    (example,) = (one.content for one in EXAMPLES if one.name == "roles/ipsec/README.md: ipsec_secrets")
    networks = (["10.1.0.0/24", "fd00:1::/64"], ["10.2.0.0/24", "fd00:2::/64"], ["10.3.0.0/24"])
    hosts = {
        f"gw{number}": {"ipsec_gateway": {"address": f"192.0.2.{number}", "subnets": subnets}}
        for number, subnets in enumerate(networks, 1)
    }
    topology = {"ipsec_topology": [{"type": "mesh", "groups": ["all"]}]}
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (tmp_path / "inventory.yml").write_text(
        yaml.safe_dump({"all": {"hosts": hosts, "vars": {**here, **topology, **example}}})
    )
    variables = {name: f"{{{{ {name} }}}}" for name in ("ipsec_topology", "ipsec_secrets")}
    made = "{{ variables | xswan.ipsec.configuration(inventory_hostname, groups, hostvars) | to_json }}"
    write = {
        "ansible.builtin.copy": {
            "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.json",
            "content": made,
            "mode": "0600",
        },
        "vars": {"variables": variables},
    }
    play = {"hosts": "all", "gather_facts": False, "tasks": [write]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    run(BIN / "ansible-playbook", "-i", tmp_path / "inventory.yml", tmp_path / "play.yml")
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in hosts}
    assert [made["mistakes"] for made in found.values()] == [[], [], []]
    lines = [line for made in found.values() for line in made["secrets"]]
    assert sorted(lines) == sorted(2 * list(dict.fromkeys(lines)))
    assert sorted(re.sub('"[A-Za-z0-9]{40}"', "KEY", line) for line in set(lines)) == [
        "@gw1 @gw2 : PSK KEY",
        "@gw1 @gw3 : PSK KEY",
        "@gw2 @gw3 : PSK KEY",
    ]
    assert len({line.rpartition(" ")[2] for line in lines}) == 3
