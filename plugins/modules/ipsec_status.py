#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_status
short_description: Tell the state of the IPsec subsystem of a Linux gateway
version_added: 0.1.0
description:
  - Returns what C(ipsec setup status) should tell. Whether IPsec runs, what is strange about it,
    and which tunnels are up.
  - It looks at processes, lock file, control socket, unit and kernel each by itself,
    so that one that lies is found out.
  - It changes nothing, and needs root on the gateway.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.facts
seealso:
  - module: xswan.ipsec.ipsec_setup
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Look at IPsec
  xswan.ipsec.ipsec_status:
  register: status

- name: Show the words of ipsec setup status
  ansible.builtin.debug:
    var: status.ipsec.lines

- name: Wait until two tunnels are up
  xswan.ipsec.ipsec_status:
  register: status
  until: status.ipsec.tunnels_up >= 2
  retries: 30
  delay: 1
"""

RETURN = r"""
ansible_facts:
  description: Facts to add.
  returned: success
  type: dict
  contains:
    ipsec:
      description: The same as RV(ipsec).
      type: dict
      returned: success
      sample: {state: running, tunnels_up: 1}
ipsec:
  description: The gateway as it was seen.
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(running) or V(stopped), or what is strange.
        - With a Pluto, V(orphaned) has no lock file, V(illicit) is not the one that the lock file names,
          V(several) are more than one, V(unreachable) has no control socket, V(hung) does not answer,
          V(deaf) listens on no interface, V(backend-missing) has no XFRM in the kernel.
        - Without a Pluto, V(dead), V(reused-pid) and V(damaged-lock) are a lock file that names nobody,
          another program, or nothing, V(stale-socket) is a control socket, V(stale-kernel-state) are policies or SAs,
          V(leftover-interface) is an ipsecN device, V(leftover-lock) a lock file of Openswan or of an init script.
        - V(flapping) is a unit that its manager starts again and again.
      type: str
      returned: success
      sample: running
    running:
      description: Whether RV(ipsec.state) is V(running).
      type: bool
      returned: success
      sample: true
    lines:
      description: The lines that C(ipsec setup status) prints by its manual.
      type: list
      elements: str
      returned: success
      sample: [IPsec running, pluto pid 814]
    exit_status:
      description: What C(ipsec setup status) exits with by its manual. V(1) when something is strange, else V(0).
      type: int
      returned: success
      sample: 0
    lsb_status:
      description:
        - The exit status of an LSB init script.
        - V(0) running, V(1) dead with a lock file, V(3) stopped, V(4) unclear.
      type: int
      returned: success
      sample: 0
    findings:
      description: Everything that is strange, the worst first.
      type: list
      elements: dict
      returned: success
      sample:
        - id: dead
          severity: error
          message: "Pluto is dead: its lock file /run/pluto/pluto.pid names pid 814, which does not exist"
          cure: run ipsec_setup with state stopped to remove it, or state started to start afresh
    program:
      description: The IPsec program, null when none is installed.
      type: str
      returned: success
      sample: Libreswan
    version:
      description: Its version, null when none is installed.
      type: str
      returned: success
      sample: "4.10"
    pluto_pid:
      description: Process id of pluto, null when none runs.
      type: int
      returned: success
      sample: 814
    pluto_started:
      description: When pluto was started, in seconds since the epoch, null when none runs.
      type: int
      returned: success
      sample: 1796000000
    config:
      description: Path of ipsec.conf.
      type: str
      returned: success
      sample: /etc/ipsec.conf
    launcher:
      description: What starts pluto on this host, V(systemd), V(script) or V(direct).
      type: str
      returned: success
      sample: systemd
    unit:
      description: The service manager's own view, null when it has no unit for pluto.
      type: dict
      returned: success
      sample: {name: ipsec.service, active: active, sub: running, enabled: true, main_pid: 814, restarts: 0}
    enabled:
      description: Whether IPsec starts at boot, null when the service manager has no unit for pluto.
      type: bool
      returned: success
      sample: true
    interfaces:
      description: Network interfaces on which pluto listens for IKE.
      type: list
      elements: str
      returned: success
      sample: [eth0, lo]
    connections_loaded:
      description: Connections that pluto holds, null when it does not answer.
      type: int
      returned: success
      sample: 1
    tunnels_up:
      description: Connections with at least one established Child SA.
      type: int
      returned: success
      sample: 1
    bytes_in:
      description: Bytes that came in through all established Child SAs.
      type: int
      returned: success
      sample: 168
    bytes_out:
      description: Bytes that went out through all established Child SAs.
      type: int
      returned: success
      sample: 168
    tunnels:
      description: The established Child SAs, each with when it was added in seconds since the epoch.
      type: list
      elements: dict
      returned: success
      sample: [{connection: office, serial: 2, added: 1796000001, bytes_in: 168, bytes_out: 168}]
    backend:
      description: The kernel's IPsec part, V(xfrm), V(klips) or V(none).
      type: str
      returned: success
      sample: xfrm
    tables:
      description:
        - Sizes of the kernel's SA and policy tables, whoever filled them.
        - Null when the backend is not loaded.
      type: dict
      returned: success
      sample: {sas: 2, policies_in: 1, policies_out: 1, policies_fwd: 1, policies_socket: 8}
    leftovers:
      description:
        - What is in the kernel while no Pluto runs. Policies, SAs and devices of a Pluto that is gone, and how many
          policies and SAs are somebody else's.
      type: dict
      returned: success
      sample: {policies: 3, sas: 2, interfaces: [], foreign_policies: 0, foreign_sas: 0}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import Host
from ..module_utils._module import run
from ..module_utils._observe import observe
from ..module_utils._status import report


def status(host: Host) -> dict[str, t.Any]:
    """One look at the host, as module result and as facts."""
    facts = report(observe(host))
    return {"changed": False, "ipsec": facts, "ansible_facts": {"ipsec": facts}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    run(module, status)


if __name__ == "__main__":
    main()
