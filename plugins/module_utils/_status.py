# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a State means: one word, the findings behind it, and the words and codes that ipsec_setup(8) promises. Pure."""

from __future__ import annotations

import typing as t

from ._model import Answer
from ._whack import parent

if t.TYPE_CHECKING:
    from ._model import State, Unit

Severity = t.Literal["error", "warning"]


class Finding(t.NamedTuple):
    """One strange thing about a gateway, with its cure. An error makes the word; a warning does not."""

    id: str
    severity: Severity
    message: str
    cure: str


class Status(t.NamedTuple):
    """The verdict on a State."""

    word: str
    """running or stopped, or the id of the worst finding."""
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]
    """What `ipsec setup status` prints by ipsec_setup(8)."""
    exit_status: int
    """0, or 1 when something strange was found: ipsec_setup(8)."""
    lsb_status: int
    """0 running, 1 dead with a lock file, 2 dead with a subsystem lock, 3 stopped, 4 unclear: LSB, init script actions.
    """

    @property
    def errors(self) -> frozenset[str]:
        """The ids of the findings that are errors."""
        return frozenset(finding.id for finding in self.findings if finding.severity == "error")


REPAIR = "run ipsec_setup with state started: it repairs this, and no tunnel drops"
REPLACE = "run ipsec_setup with state started: it replaces this Pluto, and its tunnels drop"
CLEAN_UP = "run ipsec_setup with state stopped to remove it, or state started to start afresh"


def assess(state: State, more: tuple[Finding, ...] = ()) -> Status:
    """Name the state of the subsystem and everything that is odd about it; `more` are warnings from elsewhere."""
    processes = _alive(state) if state.plutos else _left(state)
    findings = (*processes, *_strangers(state), *_unit(state), *_config(state), *more)
    findings = tuple(sorted(findings, key=lambda finding: finding.severity))
    word = next((f.id for f in findings if f.severity == "error"), "running" if state.plutos else "stopped")
    return Status(
        word=word,
        findings=findings,
        lines=_lines(state, findings),
        exit_status=1 if findings else 0,
        lsb_status=_lsb(word, state),
    )


def _alive(state: State) -> t.Iterator[Finding]:
    """What is odd about the plutos that live."""
    pids = tuple(process.pid for process in state.plutos)
    who = f"pid {pids[0]}" if len(pids) == 1 else f"pids {', '.join(map(str, pids))}"
    lock, control = state.lock, state.control
    upgraded = any(process.upgraded for process in state.plutos)
    if len(pids) > 1:
        yield Finding("several", "error", f"Several Plutos are active ({who})", REPLACE)
    if not set(pids) & set(control.pids):
        yield Finding(
            "unreachable", "error", f"Pluto ({who}) does not listen on its control socket {control.path}", REPLACE
        )
    elif state.answer is None and not upgraded:
        yield Finding("hung", "error", f"Pluto ({who}) does not answer on its control socket", REPLACE)
    elif state.answer is not None and not state.answer.interfaces:
        yield Finding(
            "deaf",
            "error",
            f"Pluto ({who}) listens for IKE on no interface",
            ("stop what holds its ports, then " if state.strangers else "give the host an address, then ") + REPAIR,
        )
    if lock.kind in ("absent", "damaged"):
        what = "no lock file" if lock.kind == "absent" else f"its lock file {lock.path} holds no process id"
        yield Finding("orphaned", "error", f"An orphaned Pluto is active ({who}): {what}", REPAIR)
    elif lock.pid not in pids:
        yield Finding(
            "illicit",
            "error",
            f"An illicit Pluto is active ({who}): its lock file {lock.path} names pid {lock.pid}",
            REPAIR,
        )
    if state.tables is None and state.backend != "none":
        yield Finding(
            "backend-missing",
            "error",
            f"Pluto ({who}) runs on a kernel that has not loaded {state.backend.upper()}",
            "run ipsec_setup with state started: it loads that and replaces this Pluto, and its tunnels drop",
        )
    if upgraded:
        # that the new whack gets no answer says nothing of the old pluto: what they speak differs between versions
        silent = "" if state.answer else ", and does not answer to what is installed now; its tunnels may well be up"
        yield Finding(
            "upgraded",
            "warning",
            f"Pluto ({who}) still runs a binary that was replaced on disk{silent}",
            "run ipsec_setup with state restarted in a maintenance window; its tunnels drop",
        )


def _left(state: State) -> t.Iterator[Finding]:
    """What is odd while no pluto lives."""
    lock, left = state.lock, state.leftovers
    if lock.kind == "damaged":
        yield Finding(
            "damaged-lock", "error", f"Pluto is dead: its lock file {lock.path} holds no process id", CLEAN_UP
        )
    elif lock.kind == "reused":
        yield Finding(
            "reused-pid",
            "error",
            f"Pluto is dead: its lock file {lock.path} names pid {lock.pid}, which belongs to another program",
            CLEAN_UP,
        )
    elif lock.kind != "absent":
        yield Finding(
            "dead", "error", f"Pluto is dead: its lock file {lock.path} names pid {lock.pid}, which is gone", CLEAN_UP
        )
    if state.control.kind != "absent":
        yield Finding("stale-socket", "error", f"Nobody listens on the control socket {state.control.path}", CLEAN_UP)
    if left.policies or left.sas:
        yield Finding(
            "stale-kernel-state",
            "error",
            f"The kernel still holds {left.policies} policies and {left.sas} SAs of a Pluto that is gone: "
            "they swallow traffic",
            CLEAN_UP,
        )
    if left.interfaces:
        names = ", ".join(left.interfaces)
        yield Finding("leftover-interface", "error", f"A Pluto that is gone has left the interface {names}", CLEAN_UP)
    if state.log_rules:
        rules = ", ".join(state.log_rules)
        yield Finding(
            "leftover-log-rule", "error", f"No Pluto runs, but packets are still logged for it: {rules}", CLEAN_UP
        )
    if state.old_locks:
        names = ", ".join(state.old_locks)
        yield Finding("leftover-lock", "error", f"No Pluto runs, but its files are still there: {names}", CLEAN_UP)
    if not state.loadable:
        yield Finding(
            "backend-missing",
            "warning",
            f"IPsec cannot be started: this kernel has not loaded {state.backend.upper()}, and has no module for it",
            "install the modules of the running kernel, or load xfrm_user on the host of this container",
        )
    for pid in state.zombies:
        yield Finding(
            "zombie",
            "warning",
            f"Pluto (pid {pid}) has ended, but its parent has not taken notice",
            "nothing: it is dead",
        )


def _strangers(state: State) -> t.Iterator[Finding]:
    """Who has the ports that a pluto, which runs or is to run, needs."""
    for stranger in state.strangers:
        yield Finding("foreign-ike", "warning", stranger.message, "stop it before you start IPsec")


def _unit(state: State) -> t.Iterator[Finding]:
    """What the service manager believes, where it is wrong or in trouble."""
    unit, pids = state.unit, tuple(process.pid for process in state.plutos)
    if unit is None:
        return
    # the unit is active only when pluto has said so, and reloading while that reads its connections
    belongs = unit.active == "active" if unit.main_pid is None else unit.main_pid in pids
    if pids and not belongs:
        yield Finding(
            "manager-disagrees",
            "warning",
            f"Pluto does not belong to {unit.name}, which is {unit.active}",
            "run ipsec_setup with state restarted to hand it over; its tunnels drop",
        )
    elif not pids and flaps(unit):
        yield Finding(
            "flapping",
            "error",
            f"{unit.name} does not come up: {unit.sub}, started again {unit.restarts} times",
            f"read the log of {unit.name}, mend the cause, then run ipsec_setup with state started, or stopped",
        )
    elif not pids and unit.active in ("active", "reloading"):
        yield Finding(
            "manager-disagrees",
            "warning",
            f"{unit.name} is {unit.active}, but no Pluto runs",
            "run ipsec_setup with state started or stopped",
        )
    elif not pids and unit.active == "failed":
        yield Finding(
            "unit-failed",
            "warning",
            f"{unit.name} has failed ({unit.result})",
            f"read the log of {unit.name}, mend the cause, then run ipsec_setup with state started",
        )


def _config(state: State) -> t.Iterator[Finding]:
    """What would make the next start fail. A host without the program needs no configuration."""
    fault = state.config_fault
    if fault is not None and state.program is not None:
        yield Finding(
            f"config-{fault.kind}",
            "warning",
            f"IPsec cannot be {'restarted' if state.plutos else 'started'}: {fault.reason}",
            "write it, for example with the role xswan.ipsec.ipsec" if fault.kind == "missing" else "correct it",
        )


def flaps(unit: Unit) -> bool:
    """Whether the manager is between two attempts, or at one that is not its first."""
    if unit.active == "deactivating":  # it cleans up after the last one; a stop that was asked for has succeeded
        return unit.restarts > 0 and unit.result != "success"
    return unit.active == "activating" and (unit.sub == "auto-restart" or unit.restarts > 0)


def _lines(state: State, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    lines = ["IPsec running" if state.plutos else "IPsec stopped"]
    if findings:
        lines.append("but...")
        lines.extend(finding.message for finding in findings)
    lines.extend(f"pluto pid {process.pid}" for process in state.plutos if process.pid is not None)
    return tuple(lines)


def _lsb(word: str, state: State) -> int:
    if word == "running":
        return 0
    if word == "stopped":
        return 3
    if state.plutos:
        return 4
    if state.lock.kind != "absent":
        return 1
    return 2 if any("subsys" in path for path in state.old_locks) else 4


def summary(state: State) -> dict[str, t.Any]:
    """What a change is about, without noise such as pids: this is compared, predicted and shown as diff."""
    result: dict[str, t.Any] = {"state": assess(state).word}
    # with launcher direct a unit is seen only while it is in the way
    if state.unit is not None and state.manager != "direct":
        result["enabled"] = state.unit.enabled
    return result


def report(state: State) -> dict[str, t.Any]:
    """The facts that both modules return in `ipsec`, JSON-ready: the subsets min and daemon."""
    return {**minimum(state), **daemon(state)}


def minimum(state: State, more: tuple[Finding, ...] = ()) -> dict[str, t.Any]:
    """The facts of the subset min. `more` are findings that are not seen in the State alone."""
    status = assess(state, more)
    answer = state.answer
    sas = answer.child_sas if answer else ()
    return {
        "state": status.word,
        "running": status.word == "running",
        "lines": list(status.lines),
        "exit_status": status.exit_status,
        "lsb_status": status.lsb_status,
        "findings": [finding._asdict() for finding in status.findings],
        "program": state.program.name if state.program else None,
        "version": state.program.version if state.program else None,
        "pluto_pid": state.plutos[0].pid if state.plutos else None,
        "pluto_started": int(state.plutos[0].started) if state.plutos else None,
        "config": state.config,
        "launcher": state.manager,
        "unit": state.unit._asdict() if state.unit else None,
        "enabled": state.unit.enabled if state.unit else None,
        "backend": state.backend,
        "connections_loaded": len(answer.connections) if answer else None,
        "tunnels_up": len({parent(sa.connection) for sa in sas}),
        "bytes_in": sum(sa.bytes_in or 0 for sa in sas),
        "bytes_out": sum(sa.bytes_out or 0 for sa in sas),
    }


def daemon(state: State) -> dict[str, t.Any]:
    """The facts of the subset daemon: what pluto says of itself; null is what it does not say."""
    answer = state.answer or Answer()
    pluto = state.plutos[0] if state.plutos else None
    return {
        "uptime": max(0, int(state.at - pluto.started)) if pluto and state.at else None,
        "upgraded": any(process.upgraded for process in state.plutos),
        "interfaces": list(answer.interfaces),
        "listening": [listening._asdict() for listening in answer.listening],
        "nat_t": answer.nat_t,
        "fips": answer.fips,
        "seccomp": answer.seccomp,
        "selinux": answer.selinux,
        "nssdir": answer.nssdir,
        "secrets_file": answer.secrets_file,
        "unknown_lines": answer.unknown_lines,
        "unknown": list(answer.unknown),
    }
