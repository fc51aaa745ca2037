# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only place that knows Ansible: builds the real Host and turns results and errors into the module's answer."""

from __future__ import annotations

import importlib.util
import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ._clock import SystemClock
from ._commands import LocalCommands
from ._errors import ConfigError, DependencyError, IPsecError, VerifyError
from ._host import Host
from ._pluto import LocalPluto
from ._systemd import NoLauncher, SystemdLauncher, booted_with_systemd
from ._xfrm import LocalKernel

if t.TYPE_CHECKING:
    from ._commands import RunCommand


def local_host(run_command: RunCommand) -> Host:
    """The host that the module runs on; refuses where it could not tell the truth."""
    if os.geteuid() != 0:
        raise ConfigError("not root: pluto and the kernel's IPsec state are for root only; add `become: true`")
    # looked for, not imported: only a host with a process to identify needs it, but it must not lack it half-way
    if importlib.util.find_spec("psutil") is None:
        raise DependencyError(missing_required_lib("psutil"))
    commands = LocalCommands(run_command)
    return Host(
        launcher=SystemdLauncher(commands) if booted_with_systemd() else NoLauncher(),
        pluto=LocalPluto(commands),
        kernel=LocalKernel(commands),
        clock=SystemClock(),
    )


def run(module: AnsibleModule, action: t.Callable[[Host], dict[str, t.Any]]) -> None:
    """Do `action` on this host and end the module with its result, or with the one clear error it met."""
    try:
        result = action(local_host(module.run_command))
    except IPsecError as exc:
        failure: dict[str, t.Any] = {
            "msg": str(exc),
            "error": {"type": type(exc).__name__, **exc.details},
            "changed": bool(exc.done),
            "actions": list(exc.done),
        }
        if isinstance(exc, VerifyError):
            failure["exception"] = traceback.format_exc()
        module.fail_json(**failure)
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)
