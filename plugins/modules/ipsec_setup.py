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
  - Reloads the connections of a pluto that runs, and leaves alone those that did not change.
  - The module looks at processes, lock file, control socket, unit and kernel, does only what is missing,
    and looks again. It is done when the gateway is seen to be as asked.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.changes
options:
  state:
    description:
      - V(started) starts pluto unless it runs. A healthy pluto is never touched. One that lost its lock file,
        or was started before the host had an address, is repaired, and no tunnel drops.
        One that hangs, or has lost its control socket, and several at once, are ended and replaced.
      - V(stopped) ends every pluto of the host, also one that the service manager does not know, and removes what it
        or a dead one left in files and in the kernel.
      - V(restarted) checks that a start can work, then always stops and starts, and so drops every tunnel.
      - V(reloaded) makes the connections of a running pluto those of its configuration, one by one. New ones are added,
        those that the configuration does not have are deleted, and those whose definition differs are replaced.
        All others keep their SAs. Secrets are read again when their files have changed. So are policy groups, and the
        connections for these are replaced then.
        Tunnels with C(auto=start) that are down are started. Whether they come up is not waited for.
        A pluto that does not run is started. The notes tell more.
      - Before the first change it is checked what a start needs. That is the program, the configuration,
        the run directory, the NSS database, the IKE ports, and what starts pluto.
      - At least one of O(state) and O(enabled) is needed.
    type: str
    choices: [started, stopped, restarted, reloaded]
  allow_restart:
    description:
      - Whether O(state=reloaded) may restart pluto, and so drop every tunnel, when C(config setup) has changed.
        Pluto reads that only when it starts.
      - When not, the keys that differ are in RV(restart_required), and nothing is done about them.
    type: bool
    default: false
  enabled:
    description:
      - Whether the subsystem starts at boot.
      - When not given, this stays as it is.
    type: bool
  config:
    description:
      - Path of ipsec.conf on the gateway. It is checked before a start, and says which connections have to be loaded.
      - The service manager starts pluto with the configuration that its own unit or script names, usually the default.
        So give another path only where that names it too, or with O(launcher=direct).
    type: path
    default: /etc/ipsec.conf
  launcher:
    description:
      - What starts and stops pluto.
      - V(auto) is systemd where it runs the host, else the init script C(ipsec) where there is one,
        else pluto by itself.
      - Use V(direct) in a container, or for a pluto that the host's service manager is not to know of.
        It cannot be combined with O(enabled). A pluto that systemd runs, or is about to start again, is stopped by
        systemd all the same.
      - Use V(systemd) or V(script) to have the task fail on a host that has been set up otherwise.
    type: str
    choices: [auto, systemd, script, direct]
    default: auto
  backend:
    description:
      - The kernel's IPsec part that is made ready for pluto, and cleaned up after it.
      - V(auto) is what the program makes of C(protostack=) in its configuration.
        That is V(xfrm) for Libreswan 4 and later.
      - V(klips) is for Openswan and Libreswan 3 on hosts whose kernel has the module ipsec. A stop unloads that module,
        where nothing else uses it. It was never tested on a real one, for no such kernel could be had.
      - Use V(none) where the kernel is looked after by others, for example on the host of a container.
    type: str
    choices: [auto, xfrm, klips, none]
    default: auto
  wait:
    description:
      - What a start waits for.
      - V(loaded) is that pluto answers, listens on a network interface, and holds every connection that its
        configuration loads. A connection that pluto rejects makes the task fail after a few seconds, and name it with
        the reason from pluto's log.
      - Use V(listening) where a connection is known to be rejected, for example as its certificate comes later.
      - Use V(established) to go on only when every connection with C(auto=start) has its tunnel. That needs the peers.
      - V(none) goes on as soon as the service manager has started pluto.
    type: str
    choices: [none, listening, loaded, established]
    default: loaded
  flush:
    description:
      - Which policies and SAs leave the kernel when IPsec is stopped, or when a dead pluto is cleaned up after.
      - V(own) are those of pluto. It leaves those of other programs and of the administrator in place.
      - Use V(all) for what C(ipsec setup stop) does by its manual, everything in this network namespace.
      - Use V(none) to keep traffic blocked by the policies that a dead pluto left, until you have looked at them.
      - The unit of Libreswan 4 and the pluto of Libreswan 5 flush everything by themselves at every start and stop,
        whatever is said here. The result then has a warning that counts what is gone and was not pluto's.
      - Policies and SAs of a connection with C(reqid=) in its configuration count as not pluto's.
    type: str
    choices: [own, all, none]
    default: own
  start_timeout:
    description:
      - Seconds that a start may take, including what O(wait) asks for. With O(state=reloaded), also those that a pluto
        which is still loading connections has to end with that.
      - Give more to a gateway with thousands of connections or with names in them that are slow to resolve.
    type: int
    default: 90
  stop_timeout:
    description:
      - Seconds that a stop may take. pluto tells every peer good-bye and runs a script for every connection.
      - Give more to a gateway with thousands of tunnels.
    type: int
    default: 90
notes:
  - With O(state=reloaded) a throw-away pluto of the same version loads the configuration first, in namespaces of its
    own, as M(xswan.ipsec.ipsec_config) does. What it refuses changes nothing, and where there can be no namespaces
    the task fails. What it holds is compared with what the living pluto holds.
  - Connections between the same two hosts with the same identities share one IKE SA. When the one that set it up is
    replaced or deleted, O(state=reloaded) replaces those that share it too, for pluto and its peer end them with it.
    RV(actions) names them, in check mode too.
  - Connections with C(auto=ignore) count as not in the configuration. O(state=reloaded) deletes one that was loaded by
    hand.
  - What pluto does not tell of its connections, O(state=reloaded) does not change, for example C(reqid=), or up to
    Libreswan 4 C(rightaddresspool=). A warning names connections and keys whose text in the configuration has changed.
    Where that has to count, run C(ipsec whack --delete --name NAME) and reload again, or restart.
  - What the configuration said when pluto read it, O(state=reloaded) and M(xswan.ipsec.ipsec_config) note in C(/run),
    as long as it is older than that pluto. Where it was changed before, a warning says that what pluto does not tell
    could not be compared.
  - O(state=reloaded) replaces the connections whose certificate M(xswan.ipsec.ipsec_certificates) has replaced. It does
    not see one that was replaced under its nickname by hand. pluto does not tell which one it has loaded, and up to
    Libreswan 4.10 it crashes when it is told to read certificates again while tunnels are up
    (C(whack --rereadcerts)). Give such a certificate another nickname, or restart.
seealso:
  - module: xswan.ipsec.ipsec_config
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

- name: Take over a new configuration, and leave the tunnels alone whose connections did not change
  xswan.ipsec.ipsec_setup:
    state: reloaded

- name: The same, and restart where nothing less will do
  xswan.ipsec.ipsec_setup:
    state: reloaded
    allow_restart: true

- name: Stop IPsec
  xswan.ipsec.ipsec_setup:
    state: stopped
"""

RETURN = r"""
about:
  description:
    - What happened, in one line for a person. In check mode, what would happen. Ansible sorts the keys of a result, so
      it is the first thing to be read where that is printed, with C(ansible), and with C(ansible-playbook -v).
    - It also tells for what the module has waited longer than a few seconds.
    - Its words may change. For programs there are the other keys.
  returned: always
  type: str
  sample: "IPsec was stopped and is running now: start pluto; waited 12 s for pluto to start and load its connections"
actions:
  description: What was done, in order. In check mode, what would be done. After a failure, what was done before it.
  returned: always
  type: list
  elements: str
  sample: [load the kernel's XFRM interface, start pluto]
messages:
  description: The lines that went to the system log, with the tag ipsec_setup and the priority that C(syslog=) of
    C(config setup) names, by default daemon.error. After a failure, its message is the last one; a refusal before the
    first change writes none.
  returned: always
  type: list
  elements: str
  sample: [stop pluto, start pluto]
repaired:
  description: What was strange about the gateway before, and is no more. The keys are those of a finding in RV(ipsec).
  returned: success
  type: list
  elements: dict
  sample:
    - id: orphaned
      severity: error
      message: "An orphaned Pluto is active (pid 814): no lock file"
      cure: "run ipsec_setup with state started: it repairs this, and no tunnel drops"
restart_required:
  description:
    - Keys of C(config setup) that have changed since pluto has read them. It takes them over when it is restarted.
    - Where a warning says that the configuration was changed before anybody noted it, those that pluto tells.
    - They do not count as changes.
  returned: success, with O(state=reloaded)
  type: list
  elements: str
  sample: [nhelpers]
exit_status:
  description:
    - What C(ipsec setup) exits with for this command by its manual.
    - V(1) for a stop of what does not run, else V(0).
  returned: success
  type: int
  sample: 0
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

from ..module_utils._imports import compile_once

compile_once()

from ..module_utils._converge import converge
from ..module_utils._model import Desired
from ..module_utils._module import Module, run

if t.TYPE_CHECKING:
    from ..module_utils._host import Host


def desired_from(params: dict[str, t.Any]) -> Desired:
    """Translate the module's parameters."""
    state = params["state"]
    return Desired(
        running=None if state is None else state != "stopped",
        restart=state == "restarted",
        reload=state == "reloaded",
        allow_restart=params["allow_restart"],
        enabled=params["enabled"],
        wait=params["wait"],
        flush=params["flush"],
        start_timeout=params["start_timeout"],
        stop_timeout=params["stop_timeout"],
    )


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "restarted", "reloaded"]},
            "allow_restart": {"type": "bool", "default": False},
            "enabled": {"type": "bool"},
            "config": {"type": "path", "default": "/etc/ipsec.conf"},
            "launcher": {"type": "str", "choices": ["auto", "systemd", "script", "direct"], "default": "auto"},
            "backend": {"type": "str", "choices": ["auto", "xfrm", "klips", "none"], "default": "auto"},
            "wait": {"type": "str", "choices": ["none", "listening", "loaded", "established"], "default": "loaded"},
            "flush": {"type": "str", "choices": ["own", "all", "none"], "default": "own"},
            "start_timeout": {"type": "int", "default": 90},
            "stop_timeout": {"type": "int", "default": 90},
        },
        required_one_of=[("state", "enabled")],
        supports_check_mode=True,
    )
    desired = desired_from(module.params)

    def action(local: Host) -> dict[str, t.Any]:
        if not desired.reload:
            return converge(desired, local, check_mode=module.check_mode).to_result()
        # the other states do without it, and without what it costs
        from ..module_utils._commands import LocalCommands
        from ..module_utils._reload_local import reload_host

        host = reload_host(local, LocalCommands(module.run_command))
        return converge(desired, host, check_mode=module.check_mode).to_result()

    run(module, action)


if __name__ == "__main__":
    main()
