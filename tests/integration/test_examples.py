# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documents and of EXAMPLES at work on gateways of the lab, in the order that a reader might take.

What cannot run there has its reason in ELSEWHERE. tests/unit/docs checks the arguments of all. To run them takes
minutes, so that `make test` leaves it to `make examples` (XSWAN_EXAMPLES=all).
"""

from __future__ import annotations

import ast
import collections.abc as c
import json
import os
import re
import shlex
import typing as t
from pathlib import Path

import pytest
import yaml

from examples import EXAMPLES, commands
from lab import Lab
from lab.ansible import Run, line
from project import COLLECTION_LINK, ROOT

Play = dict[str, t.Any]
CONTENT: t.Final = {example.name: example.content for example in EXAMPLES}
PSK: t.Final = "made-for-a-test-of-examples-0123456789"

FIFTY = "it takes fifty gateways; tests/gates/test_docs.py computes what each is to have"
NFTABLES = "the lab's kernel has no nftables for IP; tests/contract/test_filter.py opens chains of network namespaces"
KEYS = "tests/gates/test_docs.py computes the keys of three gateways"
TARBALL = "tests/gates/test_collection.py runs it, in a copy of the checkout"
ELSEWHERE = {
    "docs/mesh.md: gateways": FIFTY,
    "docs/mesh.md: Test the inventory": FIFTY,
    "roles/ipsec/README.md: ipsec_secrets": KEYS,
    "docs/site-to-site.md: ipsec_firewall": NFTABLES,
    "plugins/modules/ipsec_firewall.py": NFTABLES,
    "ansible-galaxy collection build": TARBALL,
    "ansible-galaxy collection install xswan-ipsec-*.tar.gz": TARBALL,
    "ansible-playbook -i inventory.yml site.yml --forks 25": FIFTY,
    "ansible-playbook site.yml -e ipsec_state=absent": "molecule does it, in the scenario removal",
    "make demo": "tests/integration/test_demo.py",
    "make test": "it is what runs this test",
}
"""Examples and commands that are not run here, and why."""


class Reader:
    """Somebody with two gateways, who tries one example after the other in a folder; `tried` has what was run."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.tried: set[str] = set()
        hosts = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))["gateways"]["hosts"]
        self._connections = {name: variables for name, variables in hosts.items() if name in ("gw1", "gw2")}
        (folder / "ipsec.conf.j2").write_text(CONF, encoding="utf-8")
        (folder / "ipsec.secrets.j2").write_text(f': PSK "{PSK}"\n', encoding="utf-8")
        (folder / "ansible.cfg").write_text("[defaults]\nhost_key_checking = true\n", encoding="utf-8")

    def content(self, name: str) -> t.Any:
        """An example, which counts as tried; what it writes to the controller goes into the folder."""
        self.tried.add(name)
        return json.loads(self._here(json.dumps(CONTENT[name])))

    def _here(self, text: str) -> str:
        for path in ("/srv/reports", "/var/lib/prometheus/node-exporter"):
            text = text.replace(path, str(self.folder))
        return text

    def tasks(self, name: str, **words: t.Any) -> Play:
        """A play on all gateways of the tasks of an example."""
        return {"name": name, "hosts": "gateways", "gather_facts": False, **words, "tasks": self.content(name)}

    def role(self, hosts: str, *names: str, **variables: t.Any) -> Play:
        """A play of the role with the variables of examples; lists of the same name are added up."""
        for name in names:
            for key, value in self.content(name).items():
                old = variables.get(key)
                variables[key] = [*old, *value] if isinstance(old, list) else value
        role = {"role": "xswan.ipsec.ipsec"}
        return {"name": str(names), "hosts": hosts, "gather_facts": False, "vars": variables, "roles": [role]}

    def inventory(self, name: str, aliases: dict[str, str], *contents: dict[str, t.Any]) -> Path:
        """Write an inventory of such contents, in which these hosts are gateways of the lab."""
        hosts = {alias: self._connections[gateway] for alias, gateway in aliases.items()}
        folder = self.folder / name
        folder.mkdir()
        for number, content in enumerate((*contents, {"all": {"hosts": hosts}})):
            (folder / f"{number}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return folder

    def run(self, command: str, **more: str) -> Run:
        """Run a command of a document as it stands there; it must succeed on every gateway."""
        self.tried.add(command)
        env = {
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION_LINK.parents[2]),
            "ANSIBLE_PIPELINING": "true",
            # a reader's plays gather facts; once is enough to see that they may
            "ANSIBLE_GATHERING": "smart",
            "ANSIBLE_LOG_PATH": str(self.folder / "log"),
            "HOME": str(self.folder),
            **more,
        }
        stdin = env.pop("stdin", "")
        run = line(self._here(command), self.folder, stdin=stdin, **env)
        assert run.status == 0, f"{command}\n{run.text}"
        return run

    def play(self, inventory: Path, *plays: Play, **more: str) -> Run:
        """Run plays, in one run of ansible-playbook; no task may fail, nor be rescued."""
        path = self.folder / "plays.yml"
        path.write_text(yaml.safe_dump(list(plays), sort_keys=False), encoding="utf-8")
        run = self.run(f"ansible-playbook -i {shlex.quote(str(inventory))} plays.yml", **more)
        for host, counts in run.recap.items():
            bad = {key: counts[key] for key in ("failed", "unreachable", "rescued", "ignored") if counts[key]}
            assert not bad, f"{host}: {bad}\n{run.text}"
        return run


CONF = """\
config setup

conn %default
    left={{ hostvars.gw1.lab_wan }}
    leftid=@gw1
    right={{ hostvars.gw2.lab_wan }}
    rightid=@gw2
    authby=secret
    retransmit-timeout=5s
    auto={{ 'start' if inventory_hostname == 'gw1' else 'add' }}

conn gateways

conn lans
    leftsubnet={{ hostvars.gw1.lab_lan }}
    rightsubnet={{ hostvars.gw2.lab_lan }}

include /etc/ipsec.d/*.conf
"""


def named() -> set[str]:
    """The examples that the functions here name; commands they take from the documents by themselves."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    words = (node.value for function in functions for node in ast.walk(function) if isinstance(node, ast.Constant))
    return {word for word in words if isinstance(word, str) and re.match(r"[\w./-]+\.(md|py|yml)(: .|$)", word)}


def test_every_example_has_its_place() -> None:
    """Whether they are run or not: a new one is run here, or its reason is in ELSEWHERE."""
    assert sorted(CONTENT.keys() - named() - ELSEWHERE.keys()) == [], "neither run here, nor in ELSEWHERE"
    assert sorted(named() & ELSEWHERE.keys()) == []


def test_nothing_is_named_in_vain() -> None:
    assert ELSEWHERE.keys() | {P12, LISTING} <= CONTENT.keys() | set(commands())
    assert sorted(name for name in named() - CONTENT.keys() if name.startswith(("docs/", "plugins/", "roles/"))) == []


if os.environ.get("XSWAN_EXAMPLES") == "all":

    @pytest.mark.lab
    @pytest.mark.timeout(5400)
    def test_examples(own_lab: c.Callable[[Path, str], Lab], tmp_path: Path) -> None:
        reader = Reader(own_lab(ROOT / "demo/lab.yml", "examples"), tmp_path)
        modules_and_guides(reader)
        hand_written(reader)
        site_to_site(reader)
        by_hand(reader)
        other_inventories(reader)
        certificates(reader)
        everything = CONTENT.keys() | set(commands())
        assert sorted(everything - reader.tried - ELSEWHERE.keys()) == [], "neither run here, nor in ELSEWHERE"
        assert sorted(reader.tried & ELSEWHERE.keys()) == []


def up(number: int) -> dict[str, t.Any]:
    """A task that waits until so many tunnels are up."""
    return {
        "xswan.ipsec.ipsec_status": {"gather_subset": ["min"]},
        "register": "status",
        "until": f"status.ipsec.tunnels_up == {number}",
        "retries": 30,
        "delay": 1,
    }


def modules_and_guides(reader: Reader) -> None:
    """What works on any two gateways."""
    groups = {
        "gateways": {
            "hosts": {"gw1": {}, "gw2": {}},
            "vars": {
                **reader.content("roles/ipsec/README.md: ipsec_gateway, ipsec_topology, ipsec_psk_master"),
                "wan_address": "{{ lab_wan }}",
                "lan_network": "{{ lab_lan }}",
                "vault_ipsec_psk_master": PSK,
                "vault_psk": PSK,
                "branch_psk": PSK,
            },
        },
        "headquarters": {"hosts": {"gw1": {}}},
        "reachable": {"hosts": {"gw1": {}}},
        "branches": {"hosts": {"gw2": {}}},
        # nobody logs in there
        "partners": {"hosts": {"partner1": {"ipsec_gateway": {"address": "198.51.100.7"}}}},
        "others": {"hosts": {"gw7": {"ipsec_gateway": {"address": "198.51.100.8"}}}},
    }
    inventory = reader.inventory("modules", {"gw1": "gw1", "gw2": "gw2"}, groups)
    unknown = "conn c\n    left=%defaultroute\n    right=198.51.100.9\n    leftcert=berlin\n    auto=add\n"
    reader.play(
        inventory,
        *reader.content("README.md: hosts: gateways"),
        *reader.content("roles/ipsec/README.md: hosts: gateways"),
        *reader.content("docs/mesh.md: A mesh"),
        reader.tasks("plugins/filter/configuration.py"),
        reader.tasks("plugins/filter/gateways.py"),
        reader.tasks("plugins/filter/psk.py"),
        reader.tasks("plugins/filter/topology.py"),
        reader.tasks("plugins/filter/fleet_metrics.yml"),
        reader.tasks("plugins/filter/fleet_page.yml"),
        reader.tasks("plugins/filter/fleet_table.yml"),
        reader.role(
            "gateways",
            *("docs/mesh.md: ipsec_topology", "roles/ipsec/README.md: ipsec_topology", "docs/nat.md: ipsec_topology"),
        ),
        *reader.content("docs/own-tunnel.md: Change gateways that are reached through their tunnels"),
        *reader.content("docs/getting-started.md: IPsec runs on all gateways, now and after a reboot"),
        *reader.content("docs/own-tunnel.md: Change a gateway that is reached through its tunnel"),
        *reader.content("docs/reloading.md: Change a connection"),
        reader.tasks("docs/reloading.md: Take the new configuration over, by a restart if config setup has changed"),
        reader.tasks("plugins/modules/ipsec_status.py"),
        reader.tasks("plugins/modules/ipsec_sysctl.py"),
        reader.tasks("plugins/modules/ipsec_setup.py"),
        {
            "hosts": "gateways",
            "tasks": [{"ansible.builtin.copy": {"dest": "/root/ipsec.conf", "content": unknown, "mode": "0644"}}],
        },
        reader.tasks("docs/certificates.md: Install a configuration whose certificate is still to come"),
        reader.tasks("plugins/modules/ipsec_config.py"),
    )


def hand_written(reader: Reader) -> None:
    """The guide, up to its last step, on gateways with tunnels: pluto, SAs and files stay as they are."""
    names = ("gw1", "gw2")
    inventory = reader.inventory("hand", {name: name for name in names}, {"gateways": {"hosts": dict.fromkeys(names)}})
    files = ({"src": f"ipsec.{kind}.j2", "dest": f"/etc/ipsec.{kind}", "mode": mode} for kind, mode in MODES.items())
    start = {"state": "restarted", "enabled": True}
    reader.play(
        inventory,
        {"hosts": "gateways", "tasks": [{"ansible.builtin.template": file} for file in files]},
        {"hosts": "gateways", "gather_facts": False, "tasks": [{"xswan.ipsec.ipsec_setup": start}, up(2)]},
    )
    before = untouched(reader)
    assert all(len(re.findall("spi 0x", look)) == 4 for look in before.values()), before
    for command in ("ansible gateways -m xswan.ipsec.ipsec_status", "ansible-playbook xswan.ipsec.status"):
        reader.run(command, ANSIBLE_INVENTORY=str(inventory))
        assert untouched(reader) == before
    fetch = {"src": "/etc/ipsec.secrets", "dest": "gateways/{{ inventory_hostname }}/ipsec.secrets", "flat": True}
    steps = (
        (0, reader.content("docs/from-hand-written.md: Try the configuration that is there")),
        (0, reader.content("docs/from-hand-written.md: IPsec runs")),
        # a file is new to the controller
        (1, reader.content("docs/from-hand-written.md: Fetch the configuration of each gateway, once")),
        (1, [{"hosts": "gateways", "gather_facts": False, "tasks": [{"ansible.builtin.fetch": fetch}]}]),
        (0, reader.content("docs/from-hand-written.md: Install what is under version control")),
    )
    for changed, plays in steps:
        run = reader.play(inventory, *plays)
        assert {host: counts["changed"] for host, counts in run.recap.items()} == dict.fromkeys(names, changed), (
            run.text
        )
        assert untouched(reader) == before


MODES: t.Final = {"conf": "0644", "secrets": "0600"}
"""The files that people write by hand, as they should be."""


def untouched(reader: Reader) -> dict[str, str]:
    """By gateway what must not change: who pluto is, its SAs by their SPIs, and when the files were written."""
    files = "stat -c '%n %a %i %y' /etc/ipsec.conf /etc/ipsec.secrets"
    look = f"pidof pluto; {files}; ip xfrm state | grep -o 'spi 0x.*' | sort"
    return {name: gateway.run(look).stdout for name, gateway in reader.lab.gateways.items()}


def site_to_site(reader: Reader) -> None:
    """The guide from its first line to its last, by a newcomer with a password for the vault."""
    (reader.folder / "password").write_text("a password\n", encoding="utf-8")
    secret = reader.run(
        "openssl rand -base64 48 | ansible-vault encrypt_string --stdin-name vault_ipsec_psk_master",
        ANSIBLE_VAULT_PASSWORD_FILE="password",
    )
    inventory = reader.inventory(
        "sites", {"berlin": "gw1", "lisbon": "gw2"}, reader.content("docs/site-to-site.md: gateways")
    )
    variables = secret.text[secret.text.index("vault_ipsec_psk_master: !vault") :].partition("\nEncryption")[0]
    (inventory / "group_vars").mkdir()
    (inventory / "group_vars/gateways.yml").write_text(variables, encoding="utf-8")
    (reader.folder / "inventory.yml").symlink_to(inventory)
    (reader.folder / "site.yml").write_text(
        yaml.safe_dump(reader.content("docs/site-to-site.md: A tunnel between two sites")), encoding="utf-8"
    )
    run = reader.run("ansible-playbook -i inventory.yml site.yml --ask-vault-pass", stdin="a password\n")
    assert run.text.count('"1 up"') == 2, run.text


def by_hand(reader: Reader) -> None:
    """What the documents have to be typed, on the sites of the guide."""
    (reader.folder / "inventory.yml").unlink()
    inventory = reader.inventory(
        "look", {"berlin": "gw1", "lisbon": "gw2"}, reader.content("docs/getting-started.md: gateways")
    )
    (reader.folder / "inventory.yml").symlink_to(inventory)
    for command in commands():
        if command not in reader.tried | ELSEWHERE.keys() | {P12, LISTING}:
            reader.run(command, ANSIBLE_INVENTORY="inventory.yml", ANSIBLE_VAULT_PASSWORD_FILE="password")


def other_inventories(reader: Reader) -> None:
    """Inventories of guides with names of their own for the two gateways."""
    inventory = reader.inventory(
        "others",
        {"hq": "gw1", "branch1": "gw2", "cloud1": "gw2", "bastion_east": "gw1", "bastion_west": "gw2"},
        reader.content("docs/nat.md: branches, headquarters, all"),
        {"clouds": {"hosts": reader.content("docs/nat.md: cloud1")}},
        reader.content("docs/from-linux-system-roles.md: bastions"),
        {"all": {"vars": dict.fromkeys(("ipsec_psk_master", "vault_ipsec_psk_master", "vault_office_psk"), PSK)}},
        # one inventory has another config setup than the next, on the same gateways
        {"all": {"vars": {"vault_partner_psk": PSK, "ipsec_packages": [], "ipsec_allow_restart": True}}},
    )
    old = "/etc/ipsec.d/{{ inventory_hostname }}-to-other"
    reader.play(
        inventory,
        reader.role("hq:branch1"),
        {"hosts": "hq:branch1", "gather_facts": False, "tasks": [up(1)]},
        reader.role(
            "hq",
            *("docs/nat.md: ipsec_config_setup", "docs/site-to-site.md: ipsec_connections, ipsec_secrets"),
            "docs/site-to-site.md: ipsec_sysctl",
            *("docs/from-hand-written.md: ipsec_connections", "docs/from-hand-written.md: ipsec_secrets"),
        ),
        {
            "hosts": "cloud1",
            "gather_facts": False,
            "tasks": [
                {"ansible.builtin.command": "ip address add 172.31.5.10/32 dev lo", "changed_when": True},
                {"xswan.ipsec.ipsec_setup": {"state": "stopped"}},
            ],
        },
        reader.role("cloud1", ipsec_topology=[{"type": "pairs", "pairs": [["cloud1", "hq"]]}]),
        {
            "hosts": "bastions",
            "gather_facts": False,
            "tasks": [
                {
                    "ansible.builtin.copy": {"dest": old + ".conf", "content": "conn old\n", "mode": "0644"},
                }
            ],
        },
        *reader.content("docs/from-linux-system-roles.md: Move from fedora.linux_system_roles.vpn"),
        {"hosts": "bastions", "gather_facts": False, "tasks": [up(1)]},
    )


def certificates(reader: Reader) -> None:
    """The guide of a reader whose CA is that of molecule's scenario, with the peer of its connection as it must be."""
    (reader.folder / "passphrase").write_text(PSK, encoding="utf-8")
    made = line(f"ISSUE={shlex.quote(str(ISSUE))}\n{ISSUED}", reader.folder)
    assert made.status == 0, made.text
    vault = {"ANSIBLE_VAULT_PASSWORD_FILE": "password"}
    secret = reader.run(P12, **vault).text
    others = {"vault_berlin_passphrase": PSK, "vault_berlin_key": (reader.folder / "berlin.key").read_text("utf-8")}
    inventory = reader.inventory("pki", {"berlin": "gw1", "lisbon": "gw2"}, {"all": {"vars": others}})
    (inventory / "group_vars").mkdir()
    variables = secret[secret.index("vault_berlin_p12: !vault") :].partition("\nEncryption")[0]
    (inventory / "group_vars/all.yml").write_text(variables, encoding="utf-8")

    connection = dict(reader.content("docs/certificates.md: ipsec_connections")["ipsec_connections"][0])
    for key in ("leftcert", "rightca"):
        del connection[key]
    p12 = {"name": "lisbon", "pkcs12": "{{ lookup('pipe', 'base64 -w 0 lisbon.p12') }}", "passphrase": PSK}
    ca = {"name": "our-ca", "content": "{{ lookup('ansible.builtin.file', 'our-ca.pem') }}"}
    peer = {
        "ipsec_certificates": [p12, ca],
        "ipsec_connections": [{**connection, "rightcert": "lisbon", "leftca": "%same", "auto": "add"}],
    }
    copy = {"src": "lisbon.pem", "dest": "/root/lisbon.pem", "mode": "0644"}
    reader.play(
        inventory,
        # a pluto that runs remembers that there was no CA, as the guide says
        {"hosts": "all", "gather_facts": False, "tasks": [{"xswan.ipsec.ipsec_setup": {"state": "stopped"}}]},
        reader.role("lisbon", **peer),
        reader.role("berlin", "docs/certificates.md: ipsec_certificates", "docs/certificates.md: ipsec_connections"),
        {"hosts": "all", "gather_facts": False, "tasks": [up(1)]},
        **vault,
    )
    # typed on the gateway
    reader.tried.add(LISTING)
    listed = reader.lab.gateways["gw1"].run(LISTING).stdout
    assert re.search(r"^berlin +u,u,u *$", listed, re.MULTILINE), listed
    assert re.search(r"^our-ca +CT,, *$", listed, re.MULTILINE), listed
    reader.play(
        inventory,
        reader.role(
            "berlin",
            "docs/certificates.md: ipsec_certificates (2)",
            "docs/certificates.md: ipsec_connections",
            # the certificate is there already, and so nothing needs openssl, which no gateway could install
            ipsec_packages=[],
        ),
        {"hosts": "all", "gather_facts": False, "tasks": [up(1)]},
        {"hosts": "berlin", "gather_facts": False, "tasks": [{"ansible.builtin.copy": copy}]},
        reader.tasks("docs/certificates.md: Have the certificates", hosts="berlin"),
        reader.tasks("plugins/modules/ipsec_certificates.py", hosts="berlin"),
        **vault,
    )


P12: t.Final = "base64 -w 0 berlin.p12 | ansible-vault encrypt_string --stdin-name vault_berlin_p12"
LISTING: t.Final = "certutil -L -d sql:/var/lib/ipsec/nss"
"""Commands of the guide, which only make sense in it."""
ISSUE: t.Final = ROOT / "extensions/molecule/certificates/issue.sh"
ISSUED: t.Final = """\
for name in berlin lisbon; do
    sh "$ISSUE" $name our-ca
    openssl pkcs12 -in $name.p12 -passin file:passphrase -nokeys -out $name.pem
done
openssl pkcs12 -in berlin.p12 -passin file:passphrase -nocerts -nodes -out berlin.key
cp our-ca.pem ca.pem
"""
"""What the reader has from the CA: of each a PKCS #12 file, and a PEM with its chain."""
