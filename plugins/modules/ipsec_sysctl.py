#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_sysctl
short_description: Set the kernel parameters that a gateway needs, and put back what was before
version_added: 0.1.0
description:
  - Sets parameters of the kernel's network now, and in one file of its own, C(/etc/sysctl.d/99-xswan-ipsec.conf), for
    every boot.
  - The values that it found are recorded on the gateway. A parameter that is no longer given gets its old value back,
    unless somebody else has changed it in the meantime.
  - All parameters are set, or none. One that the kernel does not have, or whose value it refuses, fails before anything
    is different.
  - C(net.ipv4.ip_forward) changes others when it changes, namely C(forwarding) of every interface and
    C(accept_redirects) of C(all). These get their old values back with it.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.settings
options:
  settings:
    description:
      - Parameters by their names, as sysctl(8) spells them, with their values. They begin with C(net).
      - In the name of an interface with a dot, write a slash for the dot, or slashes between all parts.
      - A C(*) stands for every interface that is there, and for C(all) and C(default). A name without comes before it.
      - Booleans become 1 and 0.
      - An empty dictionary puts everything back.
    type: dict
    default: {}
  purge:
    description:
      - Whether to put back what a former call has set and O(settings) does not name.
      - When not, it stays, and is set at boot.
    type: bool
    default: true
notes:
  - Which value counts for C(rp_filter) is the greater one of the interface's and that of C(all). Redirects are sent
    when either says so.
  - What other files of C(sysctl.d) say is not looked at. Where it says otherwise, it had the word before, and this file
    has the last one.
seealso:
  - module: xswan.ipsec.ipsec_status
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Let the gateway forward, and not tell hosts of a way around the tunnel
  xswan.ipsec.ipsec_sysctl:
    settings:
      net.ipv4.ip_forward: true
      net.ipv4.conf.*.rp_filter: 2
      net.ipv4.conf.eth1.rp_filter: 1
      net.ipv4.conf.*.send_redirects: false
      net.ipv4.conf.*.accept_redirects: false

- name: Put back what was before
  xswan.ipsec.ipsec_sysctl:
    settings: {}
"""

RETURN = r"""
about:
  description: What went wrong, if anything did, and for what the module has waited, in one line for a person.
  returned: after a failure, or when it has waited longer than a few seconds
  type: str
  sample: "waited 12 s for another run on this host to end"
settings:
  description: The parameters whose values were changed, with the value before and after. In check mode, that would be.
  returned: success
  type: dict
  sample:
    net.ipv4.ip_forward: {before: "0", after: "1"}
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
from ..module_utils._router_local import router_host
from ..module_utils._sysctl import settle, wanted_from

if t.TYPE_CHECKING:
    from ..module_utils._router import RouterHost


def action(host: RouterHost, params: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Set what the parameters of the module ask for."""
    wanted = wanted_from(params["settings"])
    return settle(wanted, host, purge=params["purge"], check_mode=check_mode).to_result()


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "purge": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    commands = LocalCommands(module.run_command)
    run(module, lambda local: action(router_host(local, commands), module.params, check_mode=module.check_mode))


if __name__ == "__main__":
    main()
