# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only place that knows Ansible: builds the real Host and turns results and errors into the module's answer."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ._clock import SystemClock
from ._commands import LocalCommands
from ._errors import ConfigError, DependencyError, IPsecError, VerifyError, system_errors
from ._host import Host
from ._network import LocalNetwork
from ._pluto import CONFIG, LocalPluto
from ._system import LockFile, SystemLog

if t.TYPE_CHECKING:
    from ._ports import Kernel, Launcher


def local_host(commands: LocalCommands, *, config: str = CONFIG, launcher: str = "auto", backend: str = "auto") -> Host:
    """The host that the module runs on; refuses where it could not tell the truth."""
    if os.geteuid() != 0:
        raise ConfigError("not root: pluto and the kernel's IPsec state are for root only; add `become: true`")
    if "\0" in config:
        raise ConfigError(f"config: {config!r} is no path of a file; give another one")
    # looked for, not imported: only a host with a process to identify needs it, but it must not lack it half-way
    if importlib.util.find_spec("psutil") is None:
        raise DependencyError(missing_required_lib("psutil"))
    # SELinux denies pluto and its tools other folders
    os.chdir("/")
    clock = SystemClock()
    pluto = LocalPluto(commands, config=config)
    return Host(
        launcher=_launcher(launcher, commands, clock, config),
        pluto=pluto,
        kernel=_kernel(backend, commands, pluto),
        journal=SystemLog(lambda: _priority(commands, config)),
        guard=LockFile(clock),
        clock=clock,
        network=LocalNetwork(commands),
    )


def _priority(commands: LocalCommands, config: str) -> str | None:
    """`syslog=`; None where nothing says so, also because the configuration cannot be read: that is told elsewhere."""
    from ._settings import config_setup

    try:
        return config_setup(commands, config).get("syslog")
    except (ConfigError, DependencyError):
        return None


# Below, what a host does not need is not imported: it would be compiled anew at every run.


def _launcher(name: str, commands: LocalCommands, clock: SystemClock, config: str) -> Launcher:
    """The launcher of that name; `auto` takes the one that starts IPsec when this host boots, else none but pluto."""
    from ._systemd import SystemdLauncher, booted_with_systemd

    if name == "systemd" and not booted_with_systemd():
        raise ConfigError("launcher systemd: this host was not booted with systemd; use launcher auto")
    if name == "systemd" or (name == "auto" and booted_with_systemd()):
        return SystemdLauncher(commands, config)
    if name in ("auto", "script"):
        from ._script import ScriptLauncher, find_script

        script = find_script()
        if script is not None:
            return ScriptLauncher(commands, clock, script, config=config)
    if name == "script":
        raise ConfigError(
            "launcher script: there is no init script ipsec, or systemd runs this host; use launcher auto"
        )
    from ._direct import DirectLauncher

    # a pluto of a unit that is ended behind systemd's back comes again (Restart=)
    return DirectLauncher(
        commands, clock, config, manager=SystemdLauncher(commands, config) if booted_with_systemd() else None
    )


def _kernel(name: str, commands: LocalCommands, pluto: LocalPluto) -> Kernel:
    program = pluto.program() if name == "auto" else None
    if program is not None and not program.knows_klips:
        name = "xfrm"
    if name == "xfrm":
        from ._xfrm import XfrmKernel

        return XfrmKernel(commands)
    from ._klips import KlipsKernel, NoKernel, auto_backend

    if name == "auto":
        name = auto_backend(commands, pluto.config, program)
    if name == "xfrm":
        return _kernel(name, commands, pluto)
    return KlipsKernel(commands, config=pluto.config) if name == "klips" else NoKernel()


class Module(AnsibleModule):
    r"""An AnsibleModule that keeps secrets of several lines out of what it logs of its own call.

    Ansible takes secrets out of that by their text, and writes a list of options as str() does, with `\n` for the end
    of a line: so it does not find them (`_log_invocation` of ansible-core 2.18 to 2.21).
    """

    def __init__(self, argument_spec: dict[str, t.Any], **rules: t.Any) -> None:
        AnsibleModule.__init__(self, argument_spec, **rules)

    def _log_invocation(self) -> None:
        self.no_log_values.update([repr(value)[1:-1] for value in self.no_log_values])
        AnsibleModule._log_invocation(self)


def alone(argument_spec: dict[str, t.Any]) -> Module:
    """A module that Ansible does not run: it reads its parameters, as JSON, out of the program's first argument."""
    return Module(argument_spec)


def shown(value: t.Any) -> t.Any:
    """A result that can only be read: a peer chooses its identity, and programs quote what they were given.

    What a terminal could obey becomes a question mark; the ends of lines and tabs stay.
    """
    if _printable(value):
        return value
    if isinstance(value, str):
        return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    return [shown(item) for item in value]


def _printable(value: t.Any) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(_printable(key) and _printable(item) for key, item in value.items())
    return all(map(_printable, value)) if isinstance(value, (list, tuple)) else True


def run(module: AnsibleModule, action: t.Callable[[Host], dict[str, t.Any]]) -> None:
    """Do `action` on this host and end the module with its result, or with the one clear error it met."""
    # before it ends, Python looks several times through all that was imported for garbage: a twelfth of a look's time
    atexit.register(gc.freeze)
    options = {name: module.params[name] for name in ("config", "launcher", "backend") if name in module.params}
    host: Host | None = None
    try:
        with system_errors():
            host = local_host(LocalCommands(module.run_command), **options)
            result = shown(action(host))
    except IPsecError as exc:
        failure: dict[str, t.Any] = {
            "about": _about(str(exc), host),
            "msg": str(exc),
            "error": {"type": type(exc).__name__, **exc.details},
            "changed": bool(exc.done) or exc.changed,
            "actions": list(exc.done),
            "messages": list(exc.messages),
        }
        if isinstance(exc, VerifyError):
            failure["exception"] = traceback.format_exc()
        module.fail_json(**shown(failure))
    about = _about(result.pop("about", ""), host)
    if about:
        result["about"] = about
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


def _about(what: str, host: Host | None) -> str:
    """What happened, and what was waited for. Ansible sorts the keys of a result: this is what a person reads first."""
    waits = host.clock.waits if host else ()
    return "; ".join([*([what] if what else []), *([f"waited {', '.join(waits)}"] if waits else [])])
