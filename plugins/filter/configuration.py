# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: configuration
author: The xswan.ipsec authors (@xswan)
version_added: 0.1.0
short_description: What the files of a gateway are to hold, or all that is wrong with the variables
description:
  - Checks the variables of the role P(xswan.ipsec.ipsec#role) and says what the files of a gateway are to hold.
    The role's templates print that and nothing else.
  - It makes no connection to the gateway, and so can be used to test an inventory.
positional: host, groups, hostvars, gateways
options:
  _input:
    description:
      - Variables of the role by their names. These are C(ipsec_config_setup), C(ipsec_connection_defaults),
        C(ipsec_connections), C(ipsec_topology), C(ipsec_secrets), C(ipsec_psk_master), C(ipsec_psk_minimum),
        C(ipsec_policies), C(ipsec_certificates), C(ipsec_sysctl), C(ipsec_confirm_timeout), C(ipsec_firewall_chain) and
        C(ipsec_package_state). The last five are only checked.
    type: dict
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
  gateways:
    description:
      - What P(xswan.ipsec.gateways#filter) gave. Of a host that is not in it O(hostvars) is asked.
    type: dict
    default: {}
seealso:
  - plugin: xswan.ipsec.topology
    plugin_type: filter
  - plugin: xswan.ipsec.psk
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Test the inventory
  ansible.builtin.assert:
    that: checked.mistakes == []
    fail_msg: "{{ checked.mistakes | join('; ') }}"
  vars:
    checked: "{{ variables | xswan.ipsec.configuration(inventory_hostname, groups, hostvars) }}"
    variables:
      ipsec_topology: "{{ ipsec_topology }}"
      ipsec_psk_master: "{{ ipsec_psk_master }}"
"""

RETURN = r"""
_value:
  description:
    - A dictionary of C(mistakes), C(sections), C(secrets), C(policies) and C(ah).
    - C(mistakes) is a list of texts. Each begins with the path of a variable, and none holds a secret.
      As long as there is one, the others are empty.
    - C(sections) is a list of the sections of ipsec.conf, each with C(title) and C(lines).
    - C(secrets) is the list of the lines of ipsec.secrets. Hand it to options alone that are never logged.
    - C(policies) has the text of the file of each policy group by the group's name.
    - C(ah) says whether a connection asks for AH.
  type: dict
"""

import typing as t

from ..plugin_utils._variables import configuration as checked


def configuration(
    variables: t.Mapping[str, t.Any],
    host: str,
    groups: t.Mapping[str, t.Sequence[str]],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    gateways: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """What the files of a host are to hold."""
    known = gateways or {}

    def variable(name: str) -> object:
        return known[name] if name in known else hostvars[name].get("ipsec_gateway")

    return {**checked(variables, host, groups, variable)}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"configuration": configuration}
