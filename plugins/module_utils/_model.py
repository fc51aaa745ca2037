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
Wait = t.Literal["none", "listening", "loaded", "established"]
Flush = t.Literal["own", "all", "none"]
Backend = t.Literal["xfrm", "klips", "none"]


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
    connections: tuple[str, ...] = ()
    """Names of the connections it holds, sorted; instances and expansions (`name/1x2`) belong to their parent."""
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
    """How often the manager itself started it again since the last start that was asked for."""
    result: str = "success"
    """systemd's Result: success, exit-code, signal, core-dump, timeout, start-limit-hit."""


@dataclasses.dataclass(frozen=True)
class Stranger:
    """A process that is no pluto and holds an IKE port."""

    port: int
    """UDP port, 500 or 4500."""
    pid: int | None
    """None: not visible, for example a process in a container that shares the network namespace."""
    name: str


@dataclasses.dataclass(frozen=True)
class Leftovers:
    """What is in the kernel while no pluto runs. Own is what a pluto made, foreign is everybody else's."""

    policies: int = 0
    sas: int = 0
    interfaces: tuple[str, ...] = ()
    """ipsecN devices."""
    foreign_policies: int = 0
    foreign_sas: int = 0

    @property
    def own(self) -> bool:
        """Whether a pluto left something."""
        return bool(self.policies or self.sas or self.interfaces)


@dataclasses.dataclass(frozen=True)
class Tables:
    """Sizes of the kernel's SA and policy tables, larval SAs and the sockets' own policies included."""

    sas: int = 0
    policies_in: int = 0
    policies_out: int = 0
    policies_fwd: int = 0
    policies_socket: int = 0


@dataclasses.dataclass(frozen=True)
class Holding:
    """The connections that a pluto holds, and its settings, as it was told to make them."""

    connections: t.Mapping[str, frozenset[str]]
    """What defines each, by name; comparable between plutos of one version. Expansions belong to their parent."""
    setup: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Keys and values of `config setup`, as far as pluto tells them."""


@dataclasses.dataclass(frozen=True)
class Reload:
    """What the living pluto holds, beside what its configuration asks for."""

    held: Holding
    wanted: Holding
    """What a throw-away pluto of the same program made of the configuration."""
    auto: t.Mapping[str, str]
    """The `auto=` of each connection that is wanted."""
    sharers: t.Mapping[str, tuple[str, ...]]
    """By connection that owns an IKE SA: the other connections with a Child SA below it, which end with it."""
    stranded: tuple[str, ...]
    """Connections whose IKEv2 Child SA has lost its IKE SA: the peer has given it up."""
    new_secrets: bool
    """The secrets' files have changed since pluto read them."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Connections that are to be added."""
        return tuple(sorted(set(self.wanted.connections) - set(self.held.connections)))

    @property
    def undeclared(self) -> tuple[str, ...]:
        """Connections that are to be deleted."""
        return tuple(sorted(set(self.held.connections) - set(self.wanted.connections)))

    @property
    def different(self) -> tuple[str, ...]:
        """Connections that are to be replaced."""
        both = set(self.held.connections) & set(self.wanted.connections)
        return tuple(sorted(n for n in both if self.held.connections[n] != self.wanted.connections[n]))

    @property
    def restart_required(self) -> tuple[str, ...]:
        """Keys of `config setup` that a pluto takes only when it starts, and that differ."""
        held, wanted = self.held.setup, self.wanted.setup
        return tuple(sorted(key for key in {**held, **wanted} if held.get(key) != wanted.get(key)))


@dataclasses.dataclass(frozen=True)
class State:
    """One look at the host, from independent sources."""

    program: Program | None
    config: str
    """Path of ipsec.conf."""
    manager: str
    unit: Unit | None
    plutos: tuple[Process, ...]
    loading: bool
    """`ipsec addconn` is still loading connections."""
    zombies: tuple[int, ...]
    """Plutos that have ended, and whose parent has not taken notice."""
    lock: Lock
    old_locks: tuple[str, ...]
    """Files that are there only while IPsec is up: ipsec_setup.pid and ipsec.info of Openswan's setup script,
    the subsystem lock of init scripts, and the saved resolv.conf."""
    control: Control
    answer: Answer | None
    """None: no control socket, or no answer in time."""
    backend: Backend
    tables: Tables | None
    """None: the backend is not loaded (XFRM: the module xfrm_user)."""
    leftovers: Leftovers
    """Only looked for while no pluto runs."""
    strangers: tuple[Stranger, ...]
    """Only looked for while no pluto runs."""
    reload: Reload | None = None
    """Only looked for when asked to reload, and while a pluto answers."""


@dataclasses.dataclass(frozen=True)
class Desired:
    """What the task asks for; None leaves that part as it is."""

    running: bool | None = None
    restart: bool = False
    reload: bool = False
    """The connections of a running pluto are made those of its configuration."""
    allow_restart: bool = False
    """Restart for what cannot be reloaded."""
    enabled: bool | None = None
    start_timeout: float = 90.0
    """Seconds."""
    stop_timeout: float = 90.0
    """Seconds."""
    wait: Wait = "loaded"
    flush: Flush = "own"

    def settled(self) -> Desired:
        """What must hold afterwards: a restart is an event, not a state, and who does not wait cannot know."""
        unknown = self.running and self.wait == "none"
        return dataclasses.replace(self, restart=False, running=None if unknown else self.running)
