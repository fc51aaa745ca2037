# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: psk
author: The xswan.ipsec authors (@xswan)
version_added: 0.1.0
short_description: Derive the pre-shared key of a pair
description:
  - Derives a pre-shared key from a master secret and the IKE identities of those who share it, by HKDF with SHA-256
    (RFC 5869). The same master and identities always give the same key, whatever the order of the identities.
  - So both ends of a pair, and a gateway that was built anew, come to the same key, and nothing has to be stored
    but the master.
  - The role P(xswan.ipsec.ipsec#role) does this by itself. The filter tells the key of a pair to whoever looks after
    a peer that the role does not manage.
positional: master
options:
  _input:
    description: The identities, as the connection's C(leftid) and C(rightid) spell them.
    type: list
    elements: str
    required: true
  master:
    description: The secret, 32 random characters or more. Keep it in a vault. Who has it has every key.
    type: str
    required: true
seealso:
  - plugin: xswan.ipsec.configuration
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Tell the key that a firewall of another maker needs
  ansible.builtin.debug:
    msg: "{{ ['@gw1', '@other'] | xswan.ipsec.psk(ipsec_psk_master) }}"
"""

RETURN = r"""
_value:
  description: The key, of 43 letters, digits, C(-) and C(_). It holds 256 bits.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..plugin_utils._keys import pair_key


def psk(ids: t.Sequence[str], master: str) -> str:
    """The key of those who have these identities."""
    if isinstance(ids, str) or len(ids) < 2:
        raise AnsibleFilterError("xswan.ipsec.psk: the input is no list of two identities or more")
    try:
        return pair_key(str(master), map(str, ids))
    except ValueError as error:
        raise AnsibleFilterError(f"xswan.ipsec.psk: master {error}") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"psk": psk}
