# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How others reach the gateways: an ssh_config of the lab's own and an Ansible inventory that uses it."""

from __future__ import annotations

import shlex
import typing as t
from pathlib import Path

import yaml

from .network import namespace
from .spec import GatewaySpec, LabSpec


def ssh_config(spec: LabSpec, state: Path, sockets: Path) -> str:
    """The ssh_config: plain `ssh -F FILE gw1` works from outside of the lab's namespace."""
    hosts = (
        f"Host {gateway.name} {gateway.management.ip}\n"
        f"  HostName {gateway.management.ip}\n"
        f"  HostKeyAlias {gateway.name}\n"
        f"  ControlPath {sockets / gateway.name}\n"
        for gateway in spec.gateways
    )
    return "\n".join([
        *hosts,
        "Host *",
        "  User root",
        f'  IdentityFile "{state / "id_ed25519"}"',
        "  IdentitiesOnly yes",
        f'  UserKnownHostsFile "{state / "known_hosts"}"',
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        f"  ProxyCommand ip netns exec {namespace(spec.name)} nc %h %p",
        # The first session opens the connection, the others ride on it: a tenth of the time.
        "  ControlMaster auto",
        "  ControlPersist 10m",
        "  ConnectTimeout 15",
        # A gateway that was cut off must not hold a session for ever.
        "  ServerAliveInterval 5",
        "  ServerAliveCountMax 6",
        "",
    ])  # fmt: skip


def inventory(spec: LabSpec, state: Path, sockets: Path) -> dict[str, t.Any]:
    """The Ansible inventory, with facts of the lab as host variables."""

    def host(gateway: GatewaySpec) -> dict[str, t.Any]:
        variables = {
            "ansible_host": str(gateway.management.ip),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(state / "id_ed25519"),
            # The control path is said here too: Ansible's own choice depends on the address alone, and two labs have
            # the same addresses.
            "ansible_ssh_common_args": shlex.join(
                ["-F", str(state / "ssh_config"), "-o", f"ControlPath={sockets / gateway.name}"]
            ),
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_suite": gateway.suite,
            "lab_wan": str(gateway.wan.ip),
            "lab_wan_local": str(gateway.outside.ip),
            "lab_nat": gateway.nat,
            "lab_lan": str(gateway.lan),
            "lab_lan_gateway": str(gateway.lan_gateway.ip),
            "lab_lan_host": str(gateway.lan_host.ip),
        }
        if gateway.wan6 is not None:
            variables["lab_wan6"] = str(gateway.wan6.ip)
        if gateway.lan6 is not None and gateway.lan6_gateway is not None and gateway.lan6_host is not None:
            variables["lab_lan6"] = str(gateway.lan6)
            variables["lab_lan6_gateway"] = str(gateway.lan6_gateway.ip)
            variables["lab_lan6_host"] = str(gateway.lan6_host.ip)
        return variables

    return {
        "gateways": {
            "hosts": {gateway.name: host(gateway) for gateway in spec.gateways},
            "vars": {"lab_name": spec.name, "lab_namespace": namespace(spec.name)},
        }
    }


def inventory_yaml(spec: LabSpec, state: Path, sockets: Path) -> str:
    """The inventory as the text of a YAML file."""
    return yaml.safe_dump(inventory(spec, state, sockets), sort_keys=False, explicit_start=True)
