# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From State to Desired: the steps, each able to do its work, to predict it, and to refuse before anything changes."""

from __future__ import annotations

import dataclasses
import typing as t

from ._clock import wait_until
from ._errors import ConfigError, DaemonError, DependencyError
from ._model import Answer, Control, Lock, Process, Xfrm
from ._status import assess

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, State


class Step(t.Protocol):
    """One change of the host."""

    @property
    def title(self) -> str:
        """What it does, for the result's `actions`."""

    def check(self, host: Host, state: State) -> None:
        """Raise an IPsecError when this step cannot work; reads only, and runs before the first change."""

    def apply(self, host: Host) -> None:
        """Do it, and return when it is done."""

    def predict(self, state: State) -> State:
        """The state it leaves behind."""


@dataclasses.dataclass(frozen=True)
class StopPluto:
    """End every pluto: the manager's own way first, then over the control socket what the manager does not know."""

    timeout: float
    title: str = "stop pluto"

    def check(self, host: Host, state: State) -> None:
        """Stopping is possible from any state."""

    def apply(self, host: Host) -> None:
        """Return when no pluto is left; DaemonError otherwise."""
        deadline = host.clock.now() + self.timeout
        host.launcher.stop(self.timeout)
        if host.pluto.processes():
            host.pluto.shutdown(max(1.0, deadline - host.clock.now()))

    def predict(self, state: State) -> State:
        """No process; pluto takes its lock file and control socket away, the unit is inactive."""
        return dataclasses.replace(
            state,
            plutos=(),
            loading=False,
            lock=Lock(state.lock.path),
            control=Control(state.control.path),
            answer=None,
            unit=state.unit and dataclasses.replace(state.unit, active="inactive", sub="dead", main_pid=None),
        )


@dataclasses.dataclass(frozen=True)
class RemoveLeftovers:
    """Remove the lock file and control socket of a pluto that died without doing so."""

    title: str = "remove the files a dead pluto left"

    def check(self, host: Host, state: State) -> None:
        """Nothing can be in the way but the file system itself."""

    def apply(self, host: Host) -> None:
        """Remove them."""
        host.pluto.remove_leftovers()

    def predict(self, state: State) -> State:
        """Neither file is there."""
        return dataclasses.replace(state, lock=Lock(state.lock.path), control=Control(state.control.path))


@dataclasses.dataclass(frozen=True)
class LoadXfrm:
    """Load xfrm_user: Libreswan 5 loads no module itself and aborts without it."""

    title: str = "load the kernel's XFRM interface"

    def check(self, host: Host, state: State) -> None:
        """Whether a module can be loaded is known only by trying."""

    def apply(self, host: Host) -> None:
        """Load it; KernelError when the kernel has none."""
        host.kernel.load_xfrm()

    def predict(self, state: State) -> State:
        """The tables are there, and empty."""
        return dataclasses.replace(state, xfrm=Xfrm())


@dataclasses.dataclass(frozen=True)
class StartPluto:
    """Start pluto through the manager and wait until it answers, listens, and has its connections loaded."""

    timeout: float
    title: str = "start pluto"

    def check(self, host: Host, state: State) -> None:
        """Refuse without a program, a unit to start it, or a configuration that parses."""
        if state.program is None:
            raise DependencyError("there is no `ipsec` command on this host; install the package libreswan")
        if state.unit is None:
            raise DependencyError(
                f"there is no unit to start {state.program.name} with (service manager: {host.launcher.name}); "
                "install the package libreswan on a host that was booted with systemd"
            )
        if state.unit.masked:
            raise ConfigError(f"{state.unit.name} is masked; run `systemctl unmask {state.unit.name}` first")
        host.pluto.check_config()

    def apply(self, host: Host) -> None:
        """Return when nothing is missing; DaemonError names what was missing when the time was over."""
        deadline = host.clock.now() + self.timeout
        host.launcher.start(self.timeout)
        missing = wait_until(lambda: not_ready(host), deadline - host.clock.now(), host.clock)
        if missing:
            raise DaemonError(
                f"pluto was started, but {missing} after {self.timeout:g} s; read its log, "
                "or give it more time with start_timeout",
                timeout=self.timeout,
            )

    def predict(self, state: State) -> State:
        """A pluto of which neither pid nor interfaces are known yet."""
        pluto = Process(None)
        return dataclasses.replace(
            state,
            plutos=(pluto,),
            lock=Lock(state.lock.path, "pluto"),
            control=Control(state.control.path, "listening", (None,)),
            answer=Answer(interfaces=("(known when it runs)",)),
            unit=state.unit and dataclasses.replace(state.unit, active="active", sub="running", main_pid=None),
        )


@dataclasses.dataclass(frozen=True)
class EnableUnit:
    """Start the subsystem at boot, or do not."""

    enabled: bool

    @property
    def title(self) -> str:
        """Enable or disable, in the manager's word."""
        return "enable at boot" if self.enabled else "disable at boot"

    def check(self, host: Host, state: State) -> None:
        """Refuse where the manager has no unit."""
        if state.unit is None:
            raise DependencyError(
                f"there is no unit to enable or disable (service manager: {host.launcher.name}); "
                "install the package libreswan on a host that was booted with systemd"
            )

    def apply(self, host: Host) -> None:
        """Tell the manager."""
        host.launcher.enable(self.enabled)

    def predict(self, state: State) -> State:
        """Only the unit's enablement differs."""
        return dataclasses.replace(state, unit=state.unit and dataclasses.replace(state.unit, enabled=self.enabled))


def not_ready(host: Host) -> str | None:
    """What a freshly started pluto still lacks, in words; None when it is ready."""
    if not host.pluto.processes():
        return "no pluto process was there"
    if host.pluto.control().kind != "listening":
        return "it had no control socket"
    if host.pluto.loading():
        return "it was still loading connections"
    answer = host.pluto.ask()
    if answer is None:
        return "it did not answer on its control socket"
    if not answer.interfaces:
        return "it listened on no interface"
    return None


def steps(desired: Desired, state: State) -> tuple[Step, ...]:
    """What leads from this state to the desired one; empty when nothing is to be done.

    A pluto that lives but is not healthy still carries traffic, so `started` alone never replaces it: DaemonError.
    """
    plan: list[Step] = []
    status = assess(state)
    alive = bool(state.plutos)
    if desired.running is False or desired.restart:
        if alive or (state.unit is not None and state.unit.active in ("active", "activating", "reloading")):
            plan.append(StopPluto(desired.stop_timeout))
    elif desired.running and alive and status.word != "running":
        finding = next(finding for finding in status.findings if finding.severity == "error")
        raise DaemonError(
            f"{finding.message}; {finding.cure}", findings=[dataclasses.asdict(f) for f in status.findings]
        )
    if desired.running is not None and not alive and (state.lock.kind != "absent" or state.control.kind != "absent"):
        plan.append(RemoveLeftovers())
    if desired.running and (desired.restart or not alive):
        if state.xfrm is None:
            plan.append(LoadXfrm())
        plan.append(StartPluto(desired.start_timeout))
    if desired.enabled is not None and (state.unit is None or state.unit.enabled != desired.enabled):
        plan.append(EnableUnit(desired.enabled))
    return tuple(plan)


def predict(plan: t.Iterable[Step], state: State) -> State:
    """The state that a plan leaves."""
    for step in plan:
        state = step.predict(state)
    return state
