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

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, State
    from ._plan import Step


class Holding(t.NamedTuple):
    """The connections that a pluto holds, and its settings, as it was told to make them."""

    connections: t.Mapping[str, frozenset[str]]
    """What defines each, by name; comparable between plutos of one version. Expansions belong to their parent."""
    setup: t.Mapping[str, str]
    """Keys and values of `config setup`, as far as pluto tells them."""


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
class RereadSecrets:
    """Have pluto read the secrets' files again; no SA is touched."""

    title: str = "read the secrets again"

    def check(self, host: Host, state: State) -> None:
        """Pluto answered a moment ago."""

    def apply(self, host: Host) -> None:
        """Read them."""
        host.pluto.reread_secrets()

    def predict(self, state: State) -> State:
        """They are those of the files."""
        return _with(state, new_secrets=False)


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
        host.pluto.delete(self.name)

    def predict(self, state: State) -> State:
        """It is not held."""
        return _held(state, self.name, None)


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
        if self.replace:
            host.pluto.delete(self.name)
        host.pluto.load(self.name)
        if self.order == "start":
            host.pluto.start(self.name)
        elif self.order == "route":
            host.pluto.route(self.name)

    def predict(self, state: State) -> State:
        """It is held as it is wanted."""
        if state.reload is None:
            return state
        up = state.reload.up - {self.name} | ({self.name} if self.order == "start" else set())
        return _held(_with(state, up=up), self.name, state.reload.wanted.connections[self.name])


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
        host.pluto.start(self.name)

    def predict(self, state: State) -> State:
        """It is on its way."""
        return _with(state, up=state.reload.up | {self.name}) if state.reload else state


def _held(state: State, name: str, definition: frozenset[str] | None) -> State:
    if state.reload is None:
        return state
    held = {other: fields for other, fields in state.reload.held.connections.items() if other != name}
    if definition is not None:
        held[name] = definition
    sharers = {owner: others for owner, others in state.reload.sharers.items() if owner != name}
    stranded = tuple(other for other in state.reload.stranded if other != name)
    return _with(state, held=state.reload.held._replace(connections=held), sharers=sharers, stranded=stranded)


def _with(state: State, **changes: t.Any) -> State:
    return state._replace(reload=state.reload and state.reload._replace(**changes))


def reload_steps(desired: Desired, reload: Reload) -> t.Iterator[Step]:
    """What makes the connections of a running pluto those of its configuration; empty when they are."""
    if reload.new_secrets:
        yield RereadSecrets()
    ending = (*reload.undeclared, *reload.different)
    why = dict.fromkeys(reload.stranded, ", whose IKE SA is gone")
    for owner in ending:
        why.update(dict.fromkeys(reload.sharers.get(owner, ()), f", which shares the IKE SA of {owner}"))
    for name in reload.undeclared:
        yield DeleteConnection(name)
    # an IKE SA must not end below a connection that has just been loaded
    for name in sorted(reload.different, key=lambda name: name not in reload.sharers):
        yield LoadConnection(name, _order(reload, name), replace=True)
    for name in sorted(set(why) - set(ending)):
        yield LoadConnection(name, _order(reload, name), replace=True, why=why[name])
    for name in reload.missing:
        yield LoadConnection(name, _order(reload, name))
    for name in sorted(set(reload.held.connections) - {*ending, *why} - reload.up):
        if desired.start_idle and reload.auto[name] == "start":
            yield StartConnection(name)


def _order(reload: Reload, name: str) -> t.Literal["", "start", "route"]:
    if reload.auto[name] == "start" or name in reload.up:
        return "start"
    return "route" if reload.auto[name] == "ondemand" else ""


def reloaded(reload: Reload) -> Reload:
    """What a pluto holds that was started just now."""
    started = frozenset(name for name, auto in reload.auto.items() if auto == "start")
    return reload._replace(held=reload.wanted, sharers={}, stranded=(), up=started, new_secrets=False)
