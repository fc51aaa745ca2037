# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one look at a gateway finds (State) and what a task asks for (Desired).

Everything here is frozen and ordered, so that `==` is the only comparison; nothing here ever holds key material.
"""

from __future__ import annotations

import dataclasses
import typing as t

LockKind = t.Literal["absent", "damaged", "dead", "reused", "pluto"]
ControlKind = t.Literal["absent", "stale", "listening"]


@dataclasses.dataclass(frozen=True)
class Program:
    """The IPsec program of the host as `ipsec --version` names it."""

    name: str
    version: str


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of the host's own pid and network namespace.

    Identity is (pid, started), never the pid alone: pids are reused.
    A pid of None belongs to a process that is only predicted.
    """

    pid: int | None
    started: float = 0.0
    """Seconds since the epoch."""
    upgraded: bool = False
    """The binary on disk is no longer the one that runs (`/proc/PID/exe` ends in ` (deleted)`)."""

    @property
    def identity(self) -> tuple[int | None, float]:
        """What makes this process the same one at the next look."""
        return (self.pid, self.started)


@dataclasses.dataclass(frozen=True)
class Lock:
    """pluto's lock file, pluto.pid, and what its content means now."""

    path: str
    kind: LockKind = "absent"
    """damaged: no pid in it; dead: no such process; reused: the pid belongs to a program that is not pluto."""
    pid: int | None = None


@dataclasses.dataclass(frozen=True)
class Control:
    """pluto's control socket, pluto.ctl, and who listens on it."""

    path: str
    kind: ControlKind = "absent"
    """stale: the file is there and nobody listens."""
    pids: tuple[int | None, ...] = ()


@dataclasses.dataclass(frozen=True)
class ChildSa:
    """An established Child SA (IPsec SA) as pluto counts it."""

    connection: str
    serial: int
    added: int
    """Seconds since the epoch."""
    bytes_in: int
    bytes_out: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """What pluto itself said over its control socket."""

    interfaces: tuple[str, ...] = ()
    """Network interfaces on which it listens for IKE."""
    loaded: int = 0
    """Connections it holds."""
    child_sas: tuple[ChildSa, ...] = ()


@dataclasses.dataclass(frozen=True)
class Unit:
    """The service manager's view of the subsystem."""

    name: str
    active: str
    """systemd's ActiveState: active, inactive, activating, deactivating, failed, reloading."""
    sub: str = ""
    enabled: bool = False
    masked: bool = False
    main_pid: int | None = None
    restarts: int = 0


@dataclasses.dataclass(frozen=True)
class Xfrm:
    """Sizes of the kernel's SA and policy tables, larval SAs and the sockets' own policies included."""

    sas: int = 0
    policies_in: int = 0
    policies_out: int = 0
    policies_fwd: int = 0
    policies_socket: int = 0


@dataclasses.dataclass(frozen=True)
class State:
    """One look at the host, from independent sources."""

    program: Program | None
    manager: str
    unit: Unit | None
    plutos: tuple[Process, ...]
    loading: bool
    """`ipsec addconn` is still loading connections."""
    lock: Lock
    control: Control
    answer: Answer | None
    """None: no control socket, or no answer in time."""
    xfrm: Xfrm | None
    """None: the kernel has no XFRM interface (module xfrm_user is not loaded)."""


@dataclasses.dataclass(frozen=True)
class Desired:
    """What the task asks for; None leaves that part as it is."""

    running: bool | None = None
    restart: bool = False
    enabled: bool | None = None
    start_timeout: float = 90.0
    """Seconds."""
    stop_timeout: float = 90.0
    """Seconds."""

    def settled(self) -> Desired:
        """What must hold afterwards: a restart is an event, not a state."""
        return dataclasses.replace(self, restart=False)
