# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a State means: one word, the findings behind it, and the words and codes that ipsec_setup(8) promises. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ._model import State

Severity = t.Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One strange thing about a gateway, with its cure."""

    id: str
    severity: Severity
    message: str
    cure: str


@dataclasses.dataclass(frozen=True)
class Status:
    """The verdict on a State."""

    word: str
    """running, stopped, or the kind of strange state: orphaned, illicit, several, hung, deaf, dead."""
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]
    """What `ipsec setup status` prints by ipsec_setup(8)."""
    exit_status: int
    """0, or 1 when something strange was found: ipsec_setup(8)."""
    lsb_status: int
    """0 running, 1 dead with a lock file, 3 stopped, 4 unclear: LSB init script actions."""


REPLACE_PLUTO = "run ipsec_setup with state restarted to replace it; its tunnels drop"
CLEAN_UP = "run ipsec_setup with state stopped to remove it, or state started to start afresh"


def assess(state: State) -> Status:
    """Name the state of the subsystem and everything that is odd about it."""
    findings = (*_processes(state), *_lock(state), *_control(state), *_answer(state), *_unit(state))
    word = next((f.id for f in findings if f.severity == "error"), "running" if state.plutos else "stopped")
    return Status(
        word=word,
        findings=findings,
        lines=_lines(state, findings),
        exit_status=1 if findings else 0,
        lsb_status=_lsb(word, state),
    )


def _pids(pids: t.Iterable[int | None]) -> str:
    return ", ".join(str(pid) for pid in pids)


def _processes(state: State) -> t.Iterator[Finding]:
    pids = tuple(process.pid for process in state.plutos)
    if len(pids) > 1:
        yield Finding("several", "error", f"Several Plutos are active (pids {_pids(pids)})", REPLACE_PLUTO)
    if any(process.upgraded for process in state.plutos):
        yield Finding(
            "upgraded",
            "warning",
            f"Pluto (pid {_pids(pids)}) still runs a binary that was replaced on disk",
            "run ipsec_setup with state restarted in a maintenance window; its tunnels drop",
        )


def _lock(state: State) -> t.Iterator[Finding]:
    lock, pids = state.lock, tuple(process.pid for process in state.plutos)
    if not pids:
        what = {
            "damaged": "holds no process id",
            "dead": f"names pid {lock.pid}, which does not exist",
            "reused": f"names pid {lock.pid}, which is not a Pluto",
            "pluto": f"names pid {lock.pid}, a Pluto that ended meanwhile",
        }.get(lock.kind)
        if what:
            yield Finding("dead", "error", f"Pluto is dead: its lock file {lock.path} {what}", CLEAN_UP)
    elif lock.kind == "absent":
        yield Finding(
            "orphaned", "error", f"An orphaned Pluto is active (pid {_pids(pids)}): no lock file", REPLACE_PLUTO
        )
    elif lock.pid not in pids:
        named = "no pid" if lock.pid is None else f"pid {lock.pid}"
        yield Finding(
            "illicit",
            "error",
            f"An illicit Pluto is active (pid {_pids(pids)}): its lock file {lock.path} names {named}",
            REPLACE_PLUTO,
        )


def _control(state: State) -> t.Iterator[Finding]:
    path, pids = state.control.path, tuple(process.pid for process in state.plutos)
    if not pids and state.control.kind == "stale":
        yield Finding("stale-socket", "error", f"Nobody listens on the control socket {path}", CLEAN_UP)
    elif pids and not set(pids) & set(state.control.pids):
        yield Finding(
            "unreachable",
            "error",
            f"Pluto (pid {_pids(pids)}) does not listen on its control socket {path}",
            REPLACE_PLUTO,
        )


def _answer(state: State) -> t.Iterator[Finding]:
    if state.control.kind != "listening" or not state.plutos:
        return
    pids = _pids(process.pid for process in state.plutos)
    if state.answer is None:
        yield Finding("hung", "error", f"Pluto (pid {pids}) does not answer on its control socket", REPLACE_PLUTO)
    elif not state.answer.interfaces:
        yield Finding(
            "deaf",
            "error",
            f"Pluto (pid {pids}) listens for IKE on no interface",
            "give the host an address and run `ipsec whack --listen`, or " + REPLACE_PLUTO,
        )


def _unit(state: State) -> t.Iterator[Finding]:
    unit, pids = state.unit, tuple(process.pid for process in state.plutos)
    if unit is None:
        return
    if pids and (unit.active != "active" or unit.main_pid not in pids):
        yield Finding(
            "manager-disagrees",
            "warning",
            f"Pluto (pid {_pids(pids)}) does not belong to {unit.name}, which is {unit.active}",
            "run ipsec_setup with state restarted to hand it over; its tunnels drop",
        )
    elif not pids and unit.active in ("active", "reloading"):
        yield Finding(
            "manager-disagrees",
            "warning",
            f"{unit.name} is {unit.active}, but no Pluto runs",
            "run ipsec_setup with state started or stopped",
        )
    elif not pids and unit.active in ("activating", "failed"):
        yield Finding(
            "unit-failed",
            "warning",
            f"{unit.name} is {unit.active} ({unit.sub}), and no Pluto runs",
            f"read `journalctl -u {unit.name}`, mend the cause, then run ipsec_setup with state started",
        )


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
    return 4 if state.plutos else 1


def summary(state: State) -> dict[str, t.Any]:
    """What a change is about, without noise such as pids: this is compared, predicted and shown as diff."""
    result: dict[str, t.Any] = {"state": assess(state).word}
    if state.unit is not None:
        result["enabled"] = state.unit.enabled
    return result


def report(state: State) -> dict[str, t.Any]:
    """The facts of a gateway, JSON-ready: the value `ipsec` of both modules."""
    status = assess(state)
    answer = state.answer
    sas = answer.child_sas if answer else ()
    return {
        "state": status.word,
        "running": status.word == "running",
        "lines": list(status.lines),
        "exit_status": status.exit_status,
        "lsb_status": status.lsb_status,
        "findings": [dataclasses.asdict(finding) for finding in status.findings],
        "program": state.program.name if state.program else None,
        "version": state.program.version if state.program else None,
        "pluto_pid": state.plutos[0].pid if state.plutos else None,
        "pluto_started": int(state.plutos[0].started) if state.plutos else None,
        "launcher": state.manager,
        "unit": dataclasses.asdict(state.unit) if state.unit else None,
        "enabled": state.unit.enabled if state.unit else None,
        "interfaces": list(answer.interfaces) if answer else [],
        "connections_loaded": answer.loaded if answer else None,
        "tunnels_up": len({sa.connection for sa in sas}),
        "bytes_in": sum(sa.bytes_in for sa in sas),
        "bytes_out": sum(sa.bytes_out for sa in sas),
        "tunnels": [dataclasses.asdict(sa) for sa in sas],
        "xfrm": dataclasses.asdict(state.xfrm) if state.xfrm else None,
    }
