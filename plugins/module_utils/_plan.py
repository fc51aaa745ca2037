# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From State to Desired: the steps, each able to do its work, to predict it, and to refuse before anything changes."""

from __future__ import annotations

import dataclasses
import typing as t

from ._clock import wait_until
from ._errors import ConfigError, DaemonError, DependencyError
from ._model import Answer, Control, Leftovers, Lock, Process, Tables
from ._reload import reload_steps, reloaded
from ._status import assess
from ._whack import parent

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, Flush, State, Wait

REPAIRABLE = frozenset({"orphaned", "illicit", "deaf"})
"""Errors of a living pluto that are mended without ending it; all others cost its tunnels."""

LOAD = {
    "xfrm": "load the kernel's XFRM interface",
    "klips": "load KLIPS and attach its interfaces",
}

BRIEF = 1.0
"""Seconds that the manager has for an orderly stop of a pluto that does not answer: it cannot succeed."""


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
    """End every pluto, whoever started it, and clean up after those that could not do so themselves."""

    timeout: float
    answers: bool
    flush: Flush
    title: str = "stop pluto"

    def check(self, host: Host, state: State) -> None:
        """Stopping is possible from any state."""

    def apply(self, host: Host) -> None:
        """The manager first, so that it starts nothing again; then every pluto that is left."""
        deadline = host.clock.now() + self.timeout
        stopped = host.launcher.stop(self.timeout / 2 if self.answers else BRIEF)
        if host.pluto.processes():
            host.pluto.end(max(3.0, deadline - host.clock.now()))
        if not stopped and not host.launcher.stop(max(3.0, deadline - host.clock.now())):
            raise DaemonError(
                f"no pluto runs, but {host.launcher.name} has not finished its stop in {self.timeout:g} s; "
                "give it more time with stop_timeout",
                log=list(host.launcher.log()),
            )
        host.pluto.remove_leftovers()
        host.kernel.clean(self.flush)

    def predict(self, state: State) -> State:
        """No process, no file, nothing in the kernel; the unit is inactive."""
        return dataclasses.replace(
            _cleaned(state, self.flush),
            plutos=(),
            loading=False,
            answer=None,
            unit=state.unit and dataclasses.replace(state.unit, active="inactive", sub="dead", main_pid=None),
        )


@dataclasses.dataclass(frozen=True)
class CleanUp:
    """Remove what a pluto that died left: lock files, control socket, and what it had in the kernel."""

    flush: Flush
    title: str = "clean up after a dead pluto"

    def check(self, host: Host, state: State) -> None:
        """Nothing can be in the way but the file system itself."""

    def apply(self, host: Host) -> None:
        """Remove it."""
        host.pluto.remove_leftovers()
        host.kernel.clean(self.flush)

    def predict(self, state: State) -> State:
        """None of it is there."""
        return _cleaned(state, self.flush)


def _cleaned(state: State, flush: Flush) -> State:
    left = state.leftovers
    return dataclasses.replace(
        state,
        lock=Lock(state.lock.path),
        old_locks=(),
        control=Control(state.control.path),
        leftovers={
            "own": Leftovers(foreign_policies=left.foreign_policies, foreign_sas=left.foreign_sas),
            "all": Leftovers(),
            "none": left,
        }[flush],
    )


@dataclasses.dataclass(frozen=True)
class RepairLock:
    """Give a living pluto the lock file back that it lost: nothing else is wrong with it, and its tunnels stay."""

    process: Process
    title: str = "write the lock file anew"

    def check(self, host: Host, state: State) -> None:
        """Nothing can be in the way but the file system itself."""

    def apply(self, host: Host) -> None:
        """Write it."""
        host.pluto.write_lock(self.process)

    def predict(self, state: State) -> State:
        """The lock file names the pluto."""
        return dataclasses.replace(state, lock=Lock(state.lock.path, "pluto", self.process.pid))


@dataclasses.dataclass(frozen=True)
class Listen:
    """Have a pluto that listens nowhere look at the network interfaces again."""

    title: str = "listen on the network interfaces"

    def check(self, host: Host, state: State) -> None:
        """Whether there is an interface with an address is pluto's to find out."""

    def apply(self, host: Host) -> None:
        """DaemonError when it still finds none."""
        host.pluto.listen()
        answer = host.pluto.ask()
        if answer is None or not answer.interfaces:
            raise DaemonError("pluto finds no interface to listen on; give the host an address, see `listen=` too")

    def predict(self, state: State) -> State:
        """It listens."""
        return dataclasses.replace(state, answer=state.answer and dataclasses.replace(state.answer, interfaces=("?",)))


@dataclasses.dataclass(frozen=True)
class LoadBackend:
    """Make the kernel ready for pluto. XFRM: Libreswan 5 loads no module itself and aborts without xfrm_user.

    KLIPS: the module, and its devices attached as `interfaces=` says.
    """

    title: str

    def check(self, host: Host, state: State) -> None:
        """Refuse what can be known before."""
        host.kernel.check_load()

    def apply(self, host: Host) -> None:
        """Load it; KernelError when the kernel has none."""
        host.kernel.load()

    def predict(self, state: State) -> State:
        """The tables are there, and empty."""
        return dataclasses.replace(state, tables=Tables())


@dataclasses.dataclass(frozen=True)
class StartPluto:
    """Start pluto through the manager and wait until it is as ready as asked."""

    timeout: float
    wait: Wait
    title: str = "start pluto"

    def check(self, host: Host, state: State) -> None:
        """Refuse without a program, a way to start it, a free IKE port, or a configuration that parses."""
        if state.program is None:
            raise DependencyError("there is no `ipsec` command on this host; install the package libreswan")
        host.launcher.check_start()
        for stranger in state.strangers:
            who = f"{stranger.name} (pid {stranger.pid})" if stranger.pid else "a process that cannot be seen from here"
            raise ConfigError(f"UDP port {stranger.port}, which pluto needs, is held by {who}; stop that first")
        host.pluto.check_config()

    def apply(self, host: Host) -> None:
        """Return when nothing is missing; DaemonError names what was missing when the time was over."""
        deadline = host.clock.now() + self.timeout
        host.launcher.start(self.timeout)
        if self.wait == "none":
            return
        declared = host.pluto.declared()
        missing = wait_until(lambda: not_ready(host, self.wait, declared), deadline - host.clock.now(), host.clock)
        if missing:
            log = host.launcher.log()
            last = f"; last logged: {log[-1]}" if log else ""
            raise DaemonError(
                f"pluto was started, but {missing} after {self.timeout:g} s{last}", timeout=self.timeout, log=list(log)
            )

    def predict(self, state: State) -> State:
        """A pluto of which neither pid nor interfaces are known yet."""
        pluto = Process(None)
        return dataclasses.replace(
            state,
            plutos=(pluto,),
            lock=Lock(state.lock.path, "pluto"),
            control=Control(state.control.path, "listening", (None,)),
            answer=Answer(interfaces=("?",)),
            unit=state.unit and dataclasses.replace(state.unit, active="active", sub="running", main_pid=None),
            reload=state.reload and reloaded(state.reload),
        )


@dataclasses.dataclass(frozen=True)
class Enable:
    """Start the subsystem at boot, or do not."""

    enabled: bool

    @property
    def title(self) -> str:
        """Enable or disable, in the manager's word."""
        return "enable at boot" if self.enabled else "disable at boot"

    def check(self, host: Host, state: State) -> None:
        """Refuse where the manager cannot."""
        host.launcher.check_enable()

    def apply(self, host: Host) -> None:
        """Tell the manager."""
        host.launcher.enable(self.enabled)

    def predict(self, state: State) -> State:
        """Only the unit's enablement differs."""
        return dataclasses.replace(state, unit=state.unit and dataclasses.replace(state.unit, enabled=self.enabled))


def not_ready(host: Host, wait: Wait, declared: dict[str, tuple[str, ...]]) -> str | None:
    """What a freshly started pluto still lacks, in words; None when it is as ready as `wait` asks."""
    if not host.pluto.processes():
        return "no pluto process was there"
    lock = host.pluto.lock()
    if lock.kind == "damaged":
        return f"its lock file {lock.path} held no process id, as on a full file system,"
    if host.pluto.control().kind != "listening":
        return "it had no control socket"
    answer = host.pluto.ask()
    if answer is None:
        return "it did not answer on its control socket"
    if not answer.interfaces:
        return "it listened on no interface"
    if wait == "listening":
        return None
    if host.pluto.loading():
        return "it was still loading connections"
    rejected = sorted(set(declared["add"]) - set(answer.connections))
    if rejected:
        return f"it had not loaded {', '.join(rejected)}"
    up = {parent(sa.connection) for sa in answer.child_sas}
    down = sorted(set(declared["start"]) - up)
    if wait == "established" and down:
        return f"there was no tunnel for {', '.join(down)}"
    return None


def steps(desired: Desired, state: State) -> tuple[Step, ...]:
    """What leads from this state to the desired one; empty when nothing is to be done."""
    running = tuple(_running(desired, state))
    reload = reload_steps(state.reload) if state.reload and not any(isinstance(s, StartPluto) for s in running) else ()
    return (*running, *reload, *_enabled(desired, state))


def _running(desired: Desired, state: State) -> t.Iterator[Step]:
    if desired.running is None:
        return
    errors = assess(state).errors
    repairs = desired.running and not desired.restart and bool(state.plutos) and errors <= REPAIRABLE
    if repairs and not (desired.allow_restart and state.reload and state.reload.restart_required):
        if errors & {"orphaned", "illicit"}:
            yield RepairLock(state.plutos[0])
        if "deaf" in errors:
            yield Listen()
        return
    # a unit that is about to start a pluto has to be stopped as one that has done so, but not in order to start it
    busy = {"active", "reloading", "deactivating"} | (set() if desired.running else {"activating"})
    if state.plutos or (state.unit is not None and state.unit.active in busy):
        yield StopPluto(desired.stop_timeout, answers=state.answer is not None, flush=desired.flush)
    elif errors - {"flapping"} and _removable(desired, state) and not _coming(desired, state):
        yield CleanUp(desired.flush)
    elif desired.flush == "all" and (state.leftovers.foreign_policies or state.leftovers.foreign_sas):
        yield CleanUp(desired.flush, title="flush the kernel's policies and SAs, whoever made them")
    if desired.running:
        # the devices of KLIPS are attached anew at every start
        if state.backend == "klips" or (state.backend == "xfrm" and state.tables is None):
            yield LoadBackend(LOAD[state.backend])
        yield StartPluto(desired.start_timeout, desired.wait)


def _removable(desired: Desired, state: State) -> bool:
    """Whether anything that the errors name may be removed: `flush: none` leaves the kernel as it is."""
    files = state.lock.kind != "absent" or state.control.kind != "absent" or state.old_locks
    return bool(files) or (desired.flush != "none" and state.leftovers.own)


def _coming(desired: Desired, state: State) -> bool:
    """Whether the manager is about to start a pluto: it takes over what a dead one left, and must not lose it then."""
    return bool(desired.running) and state.unit is not None and state.unit.active == "activating"


def _enabled(desired: Desired, state: State) -> t.Iterator[Step]:
    if desired.enabled is not None and (state.unit is None or state.unit.enabled != desired.enabled):
        yield Enable(desired.enabled)


def predict(plan: t.Iterable[Step], state: State) -> State:
    """The state that a plan leaves."""
    for step in plan:
        state = step.predict(state)
    return state
