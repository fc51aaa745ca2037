#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_setup
short_description: Control the IPsec subsystem of a Linux gateway
version_added: 0.1.0
description:
  - Starts, stops and restarts the IPsec subsystem, the kernel part (XFRM) and the pluto daemon, as C(ipsec setup) does.
  - The module looks at processes, lock file, control socket, unit and kernel, does only what is missing,
    and looks again. It is done when the gateway is seen to be as asked.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.changes
options:
  state:
    description:
      - V(started) starts pluto unless it runs, and waits until it answers, listens, and has loaded its connections.
        A healthy pluto is never touched. One that lives but is not healthy may still carry tunnels,
        so it is not replaced either. The task then fails and names what is wrong.
      - V(stopped) ends every pluto of the host and removes what a dead one left behind.
      - V(restarted) always stops and starts, and so drops every tunnel.
      - At least one of O(state) and O(enabled) is needed.
    type: str
    choices: [started, stopped, restarted]
  enabled:
    description:
      - Whether the subsystem starts at boot.
      - When not given, this stays as it is.
    type: bool
  start_timeout:
    description:
      - Seconds that a start may take, until every connection is loaded.
      - Give more to a gateway with thousands of connections or with names in them that are slow to resolve.
    type: int
    default: 90
  stop_timeout:
    description:
      - Seconds that a stop may take. pluto tells every peer good-bye and runs a script for every connection.
      - Give more to a gateway with thousands of tunnels.
    type: int
    default: 90
seealso:
  - module: xswan.ipsec.ipsec_status
  - module: ansible.builtin.service
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Run IPsec now and at every boot
  xswan.ipsec.ipsec_setup:
    state: started
    enabled: true

- name: Restart IPsec on a gateway with many connections
  xswan.ipsec.ipsec_setup:
    state: restarted
    start_timeout: 600

- name: Stop IPsec
  xswan.ipsec.ipsec_setup:
    state: stopped
"""

RETURN = r"""
actions:
  description: What was done, in order. In check mode, what would be done. After a failure, what was done before it.
  returned: always
  type: list
  elements: str
  sample: [load the kernel's XFRM interface, start pluto]
ipsec:
  description:
    - The gateway as it was seen at the end, in check mode as it would be.
    - The keys are those of the return value RV(xswan.ipsec.ipsec_status#module:ipsec).
  returned: success
  type: dict
  sample: {state: running, running: true, lines: [IPsec running, pluto pid 814], exit_status: 0}
error:
  description:
    - What kind of failure it was, and details of it.
    - Its C(type) is DependencyError (install something), ConfigError (change the task or ipsec.conf), KernelError,
      DaemonError (pluto or systemd did not do it in time) or VerifyError (a bug of this collection).
  returned: failure
  type: dict
  sample: {type: ConfigError, output: "cannot load config '/etc/ipsec.conf'"}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._converge import converge
from ..module_utils._model import Desired
from ..module_utils._module import run


def desired_from(params: dict[str, t.Any]) -> Desired:
    """Translate the module's parameters."""
    state = params["state"]
    return Desired(
        running=None if state is None else state != "stopped",
        restart=state == "restarted",
        enabled=params["enabled"],
        start_timeout=params["start_timeout"],
        stop_timeout=params["stop_timeout"],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "restarted"]},
            "enabled": {"type": "bool"},
            "start_timeout": {"type": "int", "default": 90},
            "stop_timeout": {"type": "int", "default": 90},
        },
        required_one_of=[("state", "enabled")],
        supports_check_mode=True,
    )
    desired = desired_from(module.params)
    run(module, lambda host: converge(desired, host, check_mode=module.check_mode).to_result())


if __name__ == "__main__":
    main()
