# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: topology
author: The xswan.ipsec authors (@xswan)
version_added: 0.1.0
short_description: The connections of one gateway of a mesh, of hubs and spokes, or of pairs
description:
  - Computes from the variable C(ipsec_topology) of the role P(xswan.ipsec.ipsec#role) the connections of one gateway.
  - Both ends of a pair come to one name, to identities and subnets that mirror each other, and to opposite answers to
    which of them begins.
positional: host, groups, hostvars
options:
  _input:
    description: Who is to be connected with whom, as in the role's C(ipsec_topology).
    type: list
    elements: dict
    required: true
  host:
    description: The inventory name of the gateway.
    type: str
    required: true
  groups:
    description: Ansible's variable of that name.
    type: dict
    required: true
  hostvars:
    description: Ansible's variable of that name. Of each host the variable C(ipsec_gateway) is read.
    type: dict
    required: true
seealso:
  - plugin: xswan.ipsec.configuration
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which connections this gateway is to have
  ansible.builtin.debug:
    msg: "{{ ipsec_topology | xswan.ipsec.topology(inventory_hostname, groups, hostvars) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The connections, sorted by name, as they could stand in the role's C(ipsec_connections).
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..plugin_utils._text import shown
from ..plugin_utils._topology import connections


def topology(
    entries: t.Sequence[t.Mapping[str, t.Any]],
    host: str,
    groups: t.Mapping[str, t.Sequence[str]],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
) -> list[dict[str, t.Any]]:
    """The connections of a host."""
    found, mistakes = connections(host, entries, groups, lambda name: hostvars[name].get("ipsec_gateway"))
    if mistakes:
        raise AnsibleFilterError(shown(f"xswan.ipsec.topology: {'; '.join(mistakes)}"))
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"topology": topology}
