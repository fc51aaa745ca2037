# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that make the connections of a running pluto those of its configuration, one by one.

A connection whose definition did not change is never named to pluto, and keeps its SAs. With one exception, which is
pluto's: connections between the same two hosts with the same identities share one IKE SA, and when the connection that
set it up is deleted, the IKE SA ends, and the peer ends all Child SAs below it (seen: Libreswan 4.10 and 5.2). Up to
4.x our pluto keeps its half of them and sends into the void. So these are replaced too, at once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._clock import wait_until
from ._definitions import alike
from ._errors import DaemonError
from ._observe import observe
from ._plan import StartPluto, steps
from ._reload_host import ReloadHost
from ._status import summary

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, State
    from ._plan import Step
    from ._reload_host import Reloader


Unread = t.Literal["secrets", "policy groups"]
"""What pluto reads only when it is told to."""
TOLD = 3
"""Connections that a warning names."""
GROUPS = ("%group", "%opportunisticgroup")
"""Peers that stand for those of a policy group: ipsec.conf(5)."""


class Holding(t.NamedTuple):
    """The connections that a pluto holds, and its settings, as it was told to make them."""

    connections: t.Mapping[str, frozenset[str]]
    """What defines each, by name; comparable between plutos of one version. Expansions belong to their parent."""
    setup: t.Mapping[str, str]
    """Keys and values of `config setup`, as pluto has read them; where that is not known, as far as it tells them."""


class Reload(t.NamedTuple):
    """What the living pluto holds, beside what its configuration asks for."""

    held: Holding
    wanted: Holding
    """What a throw-away pluto of the same program made of the configuration."""
    auto: t.Mapping[str, str]
    """The `auto=` of each connection that is wanted."""
    sharers: t.Mapping[str, tuple[str, ...]]
    """By connection that owns an IKE SA: the other connections with a Child SA below it, which end with it."""
    up: frozenset[str]
    """Connections with a tunnel, or on the way to one."""
    stranded: tuple[str, ...]
    """Connections whose IKEv2 Child SA has lost its IKE SA: the peer has given it up."""
    unread: tuple[Unread, ...]
    """What has changed in files since pluto read them."""
    outdated: frozenset[str] = frozenset()
    """Connections whose certificate has been replaced since they were loaded."""
    rewritten: tuple[tuple[str, tuple[str, ...]], ...] | None = ()
    """Connections whose text has changed since they were loaded, with the keys; None where the former is not known."""

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
        held, wanted = self.held.connections, self.wanted.connections
        return tuple(sorted(name for name in set(held) & set(wanted) if not alike(held[name], wanted[name])))

    @property
    def restart_required(self) -> tuple[str, ...]:
        """Keys of `config setup` that a pluto takes only when it starts, and that differ."""
        held, wanted = self.held.setup, self.wanted.setup
        return tuple(sorted(key for key in {**held, **wanted} if held.get(key) != wanted.get(key)))

    @property
    def untold(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Connections with keys that have changed, for which pluto's own words do not differ; none is replaced."""
        known = set(self.held.connections) & set(self.wanted.connections) - set(self.different)
        return tuple((name, keys) for name, keys in self.rewritten or () if name in known)

    def for_group(self, name: str) -> bool:
        """Whether a connection that is wanted stands for the members of a policy group."""
        return any(group in told for told in self.wanted.connections[name] for group in GROUPS)

    def without(self, name: str) -> Reload:
        """What is left when a connection is deleted, and with it the IKE SA that it owns."""
        return self._replace(
            held=self.held._replace(connections={n: told for n, told in self.held.connections.items() if n != name}),
            sharers={owner: names for owner, names in self.sharers.items() if owner != name},
            up=self.up - {name},
            stranded=tuple(other for other in self.stranded if other != name),
            outdated=self.outdated - {name},
            rewritten=self.rewritten and tuple((other, keys) for other, keys in self.rewritten if other != name),
        )


@dataclasses.dataclass(frozen=True)
class Reread:
    """Have pluto read files again; no SA is touched."""

    what: Unread
    route: tuple[str, ...] = ()
    """Connections for policy groups, whose members are there only now."""

    @property
    def title(self) -> str:
        """What is read."""
        return f"read the {self.what} again"

    def check(self, host: Host, state: State) -> None:
        """Pluto answered a moment ago."""

    def apply(self, host: Host) -> None:
        """Read them, and set the traps of new members."""
        reloader = _reloader(host)
        reloader.reread(self.what)
        for name in self.route:
            reloader.route(name)

    def predict(self, state: State) -> State:
        """They are those of the files."""
        compared = _compared(state)
        return state._replace(reload=compared._replace(unread=tuple(w for w in compared.unread if w != self.what)))


@dataclasses.dataclass(frozen=True)
class DeleteConnection:
    """Delete a connection that the configuration does not have."""

    name: str

    @property
    def title(self) -> str:
        """What goes."""
        return f"delete connection {self.name}"

    def check(self, host: Host, state: State) -> None:
        """Pluto answered a moment ago."""

    def apply(self, host: Host) -> None:
        """Delete it."""
        _reloader(host).delete(self.name)

    def predict(self, state: State) -> State:
        """It is not held."""
        return state._replace(reload=_compared(state).without(self.name))


@dataclasses.dataclass(frozen=True)
class LoadConnection:
    """Add a connection, or replace one: deleted first, for a new definition alone would leave its old subnets."""

    name: str
    order: t.Literal["", "start", "route"]
    """What follows: `auto=` says so, or there was a tunnel, whichever end had started it."""
    replace: bool = False
    why: str = ""
    """Why a connection is replaced that has not changed."""

    @property
    def title(self) -> str:
        """What comes, or comes anew."""
        return f"{'replace' if self.replace else 'add'} connection {self.name}{self.why}"

    def check(self, host: Host, state: State) -> None:
        """A throw-away pluto has taken it."""

    def apply(self, host: Host) -> None:
        """Load it, and start it or set its trap."""
        reloader = _reloader(host)
        if self.replace:
            reloader.delete(self.name)
        reloader.load(self.name)
        if self.order == "start":
            reloader.start(self.name)
        elif self.order == "route":
            reloader.route(self.name)

    def predict(self, state: State) -> State:
        """It is held as it is wanted."""
        loaded = _compared(state).without(self.name)
        held = {**loaded.held.connections, self.name: loaded.wanted.connections[self.name]}
        up = loaded.up | {self.name} if self.order == "start" else loaded.up
        return state._replace(reload=loaded._replace(held=loaded.held._replace(connections=held), up=up))


@dataclasses.dataclass(frozen=True)
class StartConnection:
    """Start a tunnel that should be up and that pluto has given up, for example as its peer was changed before us."""

    name: str

    @property
    def title(self) -> str:
        """What is tried."""
        return f"start connection {self.name}"

    def check(self, host: Host, state: State) -> None:
        """Whether the peer answers is not ours to know."""

    def apply(self, host: Host) -> None:
        """Start it."""
        _reloader(host).start(self.name)

    def predict(self, state: State) -> State:
        """It is on its way."""
        compared = _compared(state)
        return state._replace(reload=compared._replace(up=compared.up | {self.name}))


def look(desired: Desired, host: Host, *, patient: bool = False) -> State:
    """One look at the host, which compares once a pluto that answers has read all that it was last told to."""
    state = observe(host, patient=patient)
    if state.answer is None:
        return state
    busy = wait_until(lambda: "loading" if host.pluto.loading() else None, desired.start_timeout, host.clock)
    if busy:
        raise DaemonError(f"pluto was still loading connections after {desired.start_timeout:g} s; try again later")
    return state._replace(reload=_reloader(host).compare())


def reload_steps(desired: Desired, state: State) -> tuple[Step, ...]:
    """What leads to a pluto that holds what its configuration says; a pluto that is started does so by itself."""
    if not isinstance(state.reload, Reload):
        return steps(desired, state)
    restart = desired.restart or (desired.allow_restart and bool(state.reload.restart_required))
    plan = steps(desired._replace(restart=restart), state)
    if any(isinstance(step, StartPluto) for step in plan):
        return plan
    return (*plan, *_connection_steps(desired, state.reload))


def reload_summary(state: State) -> dict[str, t.Any]:
    """What summary() tells, and the connections that pluto does not hold as its configuration has them, and how."""
    found = summary(state)
    if isinstance(state.reload, Reload):
        amiss = {
            **dict.fromkeys(state.reload.stranded, "without its IKE SA"),
            **dict.fromkeys(state.reload.outdated, "loaded with a certificate that has been replaced"),
            **dict.fromkeys(state.reload.undeclared, "loaded, but not in the configuration"),
            **dict.fromkeys(state.reload.different, "loaded with another definition"),
            **dict.fromkeys(state.reload.missing, "not loaded"),
        }
        found.update({"connections": amiss} if amiss else {})
    return found


def restart_required(state: State) -> list[str]:
    """See Reload.restart_required; none where there was nothing to compare, for that pluto has just been started."""
    return list(state.reload.restart_required) if isinstance(state.reload, Reload) else []


def warnings(state: State) -> t.Iterator[str]:
    """What may be another in pluto than in the configuration, and cannot be told."""
    if not isinstance(state.reload, Reload):
        return
    if state.reload.rewritten is None:
        yield (
            "the configuration was changed after pluto had started, and nobody noted what it had said: it is not known "
            "whether keys differ that pluto does not tell, such as logfile and reqid; if one does, restart IPsec"
        )
    untold = [f"{name} ({', '.join(keys)})" for name, keys in state.reload.untold]
    if untold:
        more = f" and {len(untold) - TOLD} more" if len(untold) > TOLD else ""
        yield (
            f"changed in the configuration, but in pluto's words the same: {', '.join(untold[:TOLD])}{more}; "
            "where that has to count, run `ipsec whack --delete --name NAME` and reload again, that tunnel drops once"
        )


def _compared(state: State) -> Reload:
    if not isinstance(state.reload, Reload):
        raise TypeError("these steps are for a State that holds a Reload")
    return state.reload


def _reloader(host: Host) -> Reloader:
    if not isinstance(host, ReloadHost):
        raise TypeError("to reload takes a ReloadHost")
    return host.reloader


def _connection_steps(desired: Desired, reload: Reload) -> t.Iterator[Step]:
    if "secrets" in reload.unread:
        yield Reread("secrets")
    ending = (*reload.undeclared, *reload.different)
    why = _reasons(reload, ending)
    for name in reload.undeclared:
        yield DeleteConnection(name)
    # an IKE SA must not end below a connection that has just been loaded
    for name in sorted(reload.different, key=lambda name: name not in reload.sharers):
        yield LoadConnection(name, _order(reload, name), replace=True)
    for name in sorted(why, key=lambda name: name not in reload.sharers):
        yield LoadConnection(name, _order(reload, name), replace=True, why=why[name])
    for name in reload.missing:
        yield LoadConnection(name, _order(reload, name))
    groups = tuple(filter(reload.for_group, (*reload.different, *why, *reload.missing)))
    if groups:
        yield Reread("policy groups", tuple(name for name in groups if reload.auto[name] in ("ondemand", "start")))
    for name in sorted(set(reload.held.connections) - {*ending, *why} - reload.up):
        if desired.start_idle and reload.auto[name] == "start" and not reload.for_group(name):
            yield StartConnection(name)


def _reasons(reload: Reload, ending: tuple[str, ...]) -> dict[str, str]:
    """Connections that are to be replaced though they did not change, and why; in turn those below their IKE SAs."""
    why = dict.fromkeys(reload.stranded, ", whose IKE SA is gone")
    why.update(dict.fromkeys(reload.outdated, ", whose certificate was replaced"))
    if "policy groups" in reload.unread:
        # 5.2 aborts when it reads a group again that has lost a member: double free in lib/libswan/alloc.c
        why.update(
            dict.fromkeys(filter(reload.for_group, reload.wanted.connections), ", whose policy group has changed")
        )
    todo = [*ending, *why]
    while todo:
        owner = todo.pop()
        for name in reload.sharers.get(owner, ()):
            if name not in why:
                todo.append(name)
            why[name] = f", which shares the IKE SA of {owner}"
    kept = set(reload.held.connections) - set(ending)
    return {name: reason for name, reason in sorted(why.items()) if name in kept}


def _order(reload: Reload, name: str) -> t.Literal["", "start", "route"]:
    if reload.for_group(name):
        return ""  # once it has members
    if reload.auto[name] == "start" or name in reload.up:
        return "start"
    return "route" if reload.auto[name] == "ondemand" else ""
