# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gateways
author: The xswan.ipsec authors (@xswan)
version_added: 0.1.0
short_description: What the gateways of a topology say of themselves
description:
  - Reads the variable C(ipsec_gateway) of every host that C(ipsec_topology) of the role P(xswan.ipsec.ipsec#role)
    names.
  - To read a variable of another host takes Ansible milliseconds. The role does it once for all gateways of a play,
    so that a thousand of them do not ask a thousand times each.
positional: groups, hostvars
options:
  _input:
    description: Who is to be connected with whom, as in the role's C(ipsec_topology).
    type: list
    elements: dict
    required: true
  groups:
    description: Ansible's variable of that name.
    type: dict
    required: true
  hostvars:
    description: Ansible's variable of that name.
    type: dict
    required: true
seealso:
  - plugin: xswan.ipsec.configuration
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read them once
  ansible.builtin.set_fact:
    gateways: "{{ ipsec_topology | xswan.ipsec.gateways(groups, hostvars) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: Each host's C(ipsec_gateway), or null, by its inventory name.
  type: dict
"""

import typing as t

from ..plugin_utils._topology import members


def gateways(
    entries: t.Sequence[t.Mapping[str, t.Any]],
    groups: t.Mapping[str, t.Sequence[str]],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """What each host that the entries name says of itself."""
    return {host: hostvars[host].get("ipsec_gateway") for host in members(entries, groups)}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"gateways": gateways}
