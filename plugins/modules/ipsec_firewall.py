#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_firewall
short_description: Let IPsec in through the firewall of a gateway, and take that back
version_added: 0.1.0
description:
  - Lets in IKE (UDP port 500), IKE and ESP behind NAT (UDP port 4500) and ESP, where the firewall refuses them.
  - With V(nftables) the rules are in a chain of their own, C(xswan_ipsec), in the table of O(chain), and the first rule
    of O(chain) jumps there. A table of its own would open nothing, for a packet that one chain accepts is dropped all
    the same by the next one that refuses it.
  - The rules come back whenever C(nftables.service) loads the rules of the host, by C(/etc/xswan-ipsec.nft) and a
    drop-in for that unit. On a host without systemd they last until the rules are loaded again.
  - With V(firewalld) its service C(ipsec) is added to a zone, at once and for good.
  - What this module did is recorded on the gateway, so that it can take back that and nothing else. Rules of others are
    never changed.
  - Rules for what comes out of the tunnels, and for what is forwarded, are left to whoever knows what may pass.
  - When something still refuses IPsec afterwards, for example another table, it warns, and names the rule.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.settings
options:
  tool:
    description:
      - What the firewall of the gateway is.
      - V(none) takes back what a former call has opened.
    type: str
    choices: [nftables, firewalld, none]
    required: true
  chain:
    description:
      - With O(tool=nftables) the base chain that is to be opened, with its family and table. It must be there.
    type: str
    default: inet filter input
  zone:
    description:
      - With O(tool=firewalld) the zone that is to be opened. When not given, the default one.
    type: str
  ah:
    description:
      - With O(tool=nftables) whether AH is let in, too. The service of firewalld always has it.
    type: bool
    default: false
notes:
  - The first rule of a chain comes before everything else in it, and so before what may block certain peers there.
  - What is done in nftables was tried in network namespaces. That the rules come back with C(nftables.service), and the
    part for firewalld, were not tried on a real host.
seealso:
  - module: xswan.ipsec.ipsec_status
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Let IPsec in
  xswan.ipsec.ipsec_firewall:
    tool: nftables
    chain: inet filter input

- name: Take that back
  xswan.ipsec.ipsec_firewall:
    tool: none
"""

RETURN = r"""
about:
  description: What went wrong, if anything did, and for what the module has waited, in one line for a person.
  returned: after a failure, or when it has waited longer than a few seconds
  type: str
  sample: "waited 12 s for another run on this host to end"
actions:
  description: What was done. In check mode, what would be.
  returned: success
  type: list
  elements: str
  sample: [open inet filter input]
error:
  description: What kind of failure it was. The types are those of RV(xswan.ipsec.ipsec_setup#module:error).
  returned: failure
  type: dict
  sample: {type: ConfigError}
"""

import typing as t

from ..module_utils._imports import compile_once

compile_once()

from ..module_utils._commands import LocalCommands
from ..module_utils._module import Module, run
from ..module_utils._opening import Wish, settle
from ..module_utils._router_local import router_host

if t.TYPE_CHECKING:
    from ..module_utils._router import RouterHost


def action(host: RouterHost, params: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Open or close what the parameters of the module ask for."""
    wish = Wish(params["tool"], params["chain"], params["zone"], params["ah"])
    return settle(wish, host, check_mode=check_mode)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "tool": {"type": "str", "choices": ["nftables", "firewalld", "none"], "required": True},
            "chain": {"type": "str", "default": "inet filter input"},
            "zone": {"type": "str"},
            "ah": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    commands = LocalCommands(module.run_command)
    run(module, lambda local: action(router_host(local, commands), module.params, check_mode=module.check_mode))


if __name__ == "__main__":
    main()
