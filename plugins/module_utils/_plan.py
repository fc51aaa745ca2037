# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From State to Desired: the steps, each able to do its work, to predict it, and to refuse before anything changes."""

from __future__ import annotations

import typing as t

from ._clock import wait_until
from ._errors import ConfigError, DaemonError, DependencyError
from ._model import Answer, Control, Leftovers, Lock, Process, Tables
from ._status import assess, flaps
from ._whack import parent

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, Flush, State, Unit, Wait

REPAIRABLE = frozenset({"orphaned", "illicit", "deaf"})
"""Errors of a living pluto that are mended without ending it; all others cost its tunnels."""

LOAD = {
    "xfrm": "load the kernel's XFRM interface",
    "klips": "load KLIPS and attach its interfaces",
}

QUIET = 5.0
"""Seconds after which a connection that nobody is loading was rejected: pluto starts its addconn before it answers, and
the newest version goes on by itself for a moment when that has ended."""
REASONS = 3
"""Rejected connections whose reason is looked for in the log, and told."""

BRIEF = 1.0
"""Seconds that the manager has for an orderly stop of a pluto that does not answer: it cannot succeed."""


class Step(t.Protocol):
    """One change of the host."""

    @property
    def title(self) -> str:
        """What it does, for the result's `actions`."""

    def check(self, host: Host, state: State) -> tuple[str, ...] | None:
        """Raise an IPsecError when this step cannot work; reads only, and runs before the first change.

        What it returns are warnings: what may be wrong, and does not hinder.
        """

    def apply(self, host: Host) -> None:
        """Do it, and return when it is done."""

    def predict(self, state: State) -> State:
        """The state it leaves behind."""


class StopPluto(t.NamedTuple):
    """End every pluto, whoever started it, and clean up after those that could not do so themselves."""

    timeout: float
    answers: bool
    flush: Flush
    title: str = "stop pluto"

    def check(self, host: Host, state: State) -> None:
        """A pluto that ends in peace takes all away; what another leaves must be removable. Else nothing hinders."""
        if not self.answers and self.flush != "none":
            host.kernel.check_clean()

    def apply(self, host: Host) -> None:
        """The manager first, so that it starts nothing again; then every pluto that is left; then what they left.

        DaemonError when the manager does not come to an end. What no pluto needs any more is removed all the same.
        """
        deadline = host.clock.now() + self.timeout
        stopped = host.launcher.stop(self.timeout / 2 if self.answers else BRIEF)
        if host.pluto.processes():
            host.pluto.end(max(3.0, deadline - host.clock.now()))
        stopped = stopped or host.launcher.stop(max(3.0, deadline - host.clock.now()))
        host.pluto.remove_leftovers()
        host.kernel.clean(self.flush)
        if not stopped:
            raise DaemonError(
                f"no pluto runs, and what it left is removed, but {host.launcher.name} has not finished its stop in "
                f"{self.timeout:g} s; give it more time with stop_timeout",
                log=list(host.launcher.log()),
            )

    def predict(self, state: State) -> State:
        """No process, no file, nothing in the kernel; the unit is inactive, or remembers a failure."""
        unit = state.unit
        # one that listens and does not answer takes SIGKILL
        killed = unit is not None and state.answer is None and unit.main_pid in state.control.pids
        return _cleaned(state, self.flush)._replace(
            plutos=(),
            loading=False,
            answer=None,
            reload=None,
            unit=unit and _at_rest(unit, failed=state.manager == "systemd" and (killed or unit.active == "failed")),
        )


class CleanUp(t.NamedTuple):
    """Remove what a pluto that died left: lock files, control socket, and what it had in the kernel."""

    flush: Flush
    title: str = "clean up after a dead pluto"

    def check(self, host: Host, state: State) -> None:
        """Refuse where files or devices that are to be removed cannot be."""
        if _has_files(state):
            host.pluto.check_rundir(room=False)
        if self.flush != "none":
            host.kernel.check_clean()

    def apply(self, host: Host) -> None:
        """Remove it."""
        host.pluto.remove_leftovers()
        host.kernel.clean(self.flush)

    def predict(self, state: State) -> State:
        """None of it is there; what an init script calls failed was a lock file."""
        unit = state.unit
        if unit is not None and unit.active == "failed" and state.manager == "script":
            unit = _at_rest(unit, failed=False)
        return _cleaned(state, self.flush)._replace(unit=unit)


def _at_rest(unit: Unit, *, failed: bool) -> Unit:
    active, sub = ("failed", "failed") if failed else ("inactive", "dead")
    return unit._replace(active=active, sub=sub, main_pid=None)


def _cleaned(state: State, flush: Flush) -> State:
    left = state.leftovers
    return state._replace(
        lock=Lock(state.lock.path),
        old_locks=(),
        log_rules=(),
        control=Control(state.control.path),
        leftovers={
            "own": Leftovers(foreign_policies=left.foreign_policies, foreign_sas=left.foreign_sas),
            "all": Leftovers(),
            "none": left,
        }[flush],
    )


class RepairLock(t.NamedTuple):
    """Give a living pluto the lock file back that it lost: nothing else is wrong with it, and its tunnels stay."""

    process: Process
    title: str = "write the lock file anew"

    def check(self, host: Host, state: State) -> None:
        """Refuse where it cannot be written."""
        host.pluto.check_rundir(room=True)

    def apply(self, host: Host) -> None:
        """Write it."""
        host.pluto.write_lock(self.process)

    def predict(self, state: State) -> State:
        """The lock file names the pluto, and an init script believes it."""
        unit, pid = state.unit, self.process.pid
        if unit is not None and state.manager == "script":
            unit = unit._replace(active="active", sub="running", main_pid=pid)
        return state._replace(lock=Lock(state.lock.path, "pluto", pid), unit=unit)


class Listen(t.NamedTuple):
    """Have a pluto that listens nowhere look at the network interfaces again."""

    title: str = "listen on the network interfaces"

    def check(self, host: Host, state: State) -> None:
        """Refuse while another holds its ports; whether there is an address to listen on is pluto's to find out."""
        _refuse_strangers(state)

    def apply(self, host: Host) -> None:
        """DaemonError when it still finds none."""
        host.pluto.listen()
        answer = host.pluto.ask()
        if answer is None or not answer.interfaces:
            raise DaemonError("pluto finds no interface to listen on; give the host an address, see `listen=` too")

    def predict(self, state: State) -> State:
        """It listens."""
        return state._replace(answer=state.answer and state.answer._replace(interfaces=("?",)))


class LoadBackend(t.NamedTuple):
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
        return state._replace(tables=Tables())


class StartPluto(t.NamedTuple):
    """Start pluto through the manager and wait until it is as ready as asked."""

    timeout: float
    wait: Wait
    title: str = "start pluto"

    def check(self, host: Host, state: State) -> tuple[str, ...]:
        """Refuse without what can be seen to be missing, be it a program, a folder or a configuration that parses."""
        if state.program is None:
            raise DependencyError("there is no `ipsec` command on this host; install the package libreswan")
        said = host.pluto.check_config()
        doubts = _doubts(host, said) if said else ()
        doubts += host.launcher.check_start() or ()
        host.pluto.check_rundir(room=True)
        host.pluto.check_nss()
        _refuse_strangers(state)
        return doubts

    def apply(self, host: Host) -> None:
        """Return when nothing is missing; DaemonError names what is, when the time is over or it will not come."""
        deadline = host.clock.now() + self.timeout
        host.launcher.start(self.timeout)
        if self.wait == "none":
            return
        declared = host.pluto.declared()
        quiet_since: float | None = None

        def look() -> Missing | None:
            nonlocal quiet_since
            missing = not_ready(host, self.wait, declared)
            if missing is None or not missing.rejected:
                quiet_since = None
                return missing
            quiet_since = host.clock.now() if quiet_since is None else quiet_since
            if host.clock.now() - quiet_since >= QUIET:
                raise _rejection(host, missing.rejected)
            return missing

        missing = wait_until(look, deadline - host.clock.now(), host.clock)
        if missing is not None and missing.rejected:
            raise _rejection(host, missing.rejected)
        if missing is not None:
            log = host.launcher.log()
            last = f"; last logged: {log[-1]}" if log else ""
            raise DaemonError(
                f"pluto was started, but {missing.what} after {self.timeout:g} s; "
                f"give it more time with start_timeout, or read its log{last}",
                timeout=self.timeout,
                log=list(log),
            )

    def predict(self, state: State) -> State:
        """A pluto of which neither pid nor interfaces are known yet; and beside it nothing is looked for."""
        pluto = Process(None)
        return state._replace(
            plutos=(pluto,),
            zombies=(),
            old_locks=(),
            log_rules=(),
            leftovers=Leftovers(),
            strangers=(),
            lock=Lock(state.lock.path, "pluto"),
            control=Control(state.control.path, "listening", (None,)),
            answer=Answer(interfaces=("?",)),
            unit=state.unit and state.unit._replace(active="active", sub="running", main_pid=None),
        )


class Enable(t.NamedTuple):
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
        return state._replace(unit=state.unit and state.unit._replace(enabled=self.enabled))


class Missing(t.NamedTuple):
    """What a freshly started pluto still lacks."""

    what: str
    rejected: tuple[str, ...] = ()
    """Connections that it does not hold, though nobody is loading any."""


def not_ready(host: Host, wait: Wait, declared: dict[str, tuple[str, ...]]) -> Missing | None:
    """What a freshly started pluto still lacks; None when it is as ready as `wait` asks."""
    if not host.pluto.processes():
        return Missing("no pluto process was there")
    lock = host.pluto.lock()
    if lock.kind == "damaged":
        return Missing(f"its lock file {lock.path} held no process id, as on a full file system,")
    if host.pluto.control().kind != "listening":
        return Missing("it had no control socket")
    # asked before the connections are: none that is loaded in between must look rejected
    loading = host.pluto.loading()
    answer = host.pluto.ask()
    if answer is None:
        return Missing("it did not answer on its control socket")
    if not answer.interfaces:
        return Missing("it listened on no interface")
    if wait == "listening":
        return None
    if loading:
        return Missing("it was still loading connections")
    rejected = tuple(sorted(set(declared["add"]) - set(answer.connections)))
    if rejected:
        return Missing(f"it had not loaded {', '.join(rejected)}", rejected)
    up = {parent(sa.connection) for sa in answer.child_sas}
    down = sorted(set(declared["start"]) - up)
    if wait == "established" and down:
        return Missing(f"there was no tunnel for {', '.join(down)}")
    return None


def _refuse_strangers(state: State) -> None:
    for stranger in state.strangers:
        raise ConfigError(f"{stranger.message}, and pluto needs it; stop that first")


def _doubts(host: Host, said: str) -> tuple[str, ...]:
    """What may be wrong with a configuration that parses; ConfigError where a connection will not be loaded."""
    # what it takes to judge is seldom needed
    from ._faults import spoken_of
    from ._ipsec_conf import read_conf

    sure, doubts = spoken_of(read_conf(host.pluto, host.pluto.config), said)
    if sure:
        more = f" (and {len(sure) - 1} more)" if len(sure) > 1 else ""
        raise ConfigError(
            f"{host.pluto.config} parses, but a connection of it will not be loaded as it is written, so nothing was "
            f"changed: {sure[0].message}; {sure[0].cure}{more}",
            output=said,
        )
    return tuple(f"{host.pluto.config}: {fault.message}; {fault.cure}" for fault in doubts)


def _rejection(host: Host, names: tuple[str, ...]) -> DaemonError:
    """Which connections pluto did not take, and why, by its log."""
    reasons = []
    for name in names[:REASONS]:
        # an expansion of subnets is logged as "name/1x2"; from 5.0 addconn repeats what pluto says
        lines = [
            line
            for line in host.launcher.log(f'"{name}')
            if (f'"{name}"' in line or f'"{name}/' in line) and 'addconn: "' not in line
        ]
        reasons += ([line for line in lines if "failed" in line] or lines)[-1:]
    why = f": {'; '.join(reasons)}" if reasons else ""
    return DaemonError(
        f"pluto was started, but has not loaded {', '.join(names)}{why}; correct {host.pluto.config}, and restart",
        connections=list(names),
        log=reasons,
    )


def steps(desired: Desired, state: State) -> tuple[Step, ...]:
    """What leads from this state to the desired one; empty when nothing is to be done."""
    return (*_running(desired, state), *_enabled(desired, state))


def _running(desired: Desired, state: State) -> t.Iterator[Step]:
    if desired.running is None:
        return
    errors = assess(state).errors
    repairs = desired.running and not desired.restart and bool(state.plutos) and errors <= REPAIRABLE
    if repairs:
        if errors & {"orphaned", "illicit"}:
            yield RepairLock(state.plutos[0])
        if "deaf" in errors:
            yield Listen()
        return
    if state.plutos or (state.unit is not None and _in_the_way(desired, state.unit)):
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


def _in_the_way(desired: Desired, unit: Unit) -> bool:
    """Whether a unit without a pluto has to be stopped first.

    One that is about to start a pluto, or between two attempts, has to be stopped as one that has done so, but not in
    order to start it.
    """
    if desired.running and flaps(unit):
        return False
    return unit.active in {"active", "reloading", "deactivating"} | (set() if desired.running else {"activating"})


def _removable(desired: Desired, state: State) -> bool:
    """Whether anything that the errors name may be removed: `flush: none` leaves the kernel as it is."""
    return _has_files(state) or bool(state.log_rules) or (desired.flush != "none" and state.leftovers.own)


def _has_files(state: State) -> bool:
    """Whether files are there that only a pluto should have."""
    return state.lock.kind != "absent" or state.control.kind != "absent" or bool(state.old_locks)


def _coming(desired: Desired, state: State) -> bool:
    """Whether the manager is about to start a pluto: it takes over what a dead one left, and must not lose it then."""
    return bool(desired.running) and state.unit is not None and state.unit.active == "activating"


def _enabled(desired: Desired, state: State) -> t.Iterator[Step]:
    # with launcher direct a unit is seen only while it is in the way, and is not what is meant
    unit = None if state.manager == "direct" else state.unit
    if desired.enabled is not None and (unit is None or unit.enabled != desired.enabled):
        yield Enable(desired.enabled)


def predict(plan: t.Iterable[Step], state: State) -> State:
    """The state that a plan leaves."""
    for step in plan:
        state = step.predict(state)
    return state
