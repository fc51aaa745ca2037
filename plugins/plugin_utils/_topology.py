# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which connections a gateway has, computed from who is to be connected with whom.

Each gateway computes its own pairs and no others. Both ends come to the same pairs, names and identities, and to
opposite answers to who begins, for they follow the same rules from the same variables.
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t
from dataclasses import dataclass

from ._text import name_mistake, text_mistake

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Connection = dict[str, t.Any]
TYPES: t.Final = {"mesh": ("groups",), "hub_spoke": ("hubs", "spokes"), "pairs": ("pairs",)}
"""The shapes, and the keys that each needs."""

_ENTRY_KEYS: t.Final = ("type", "groups", "hubs", "spokes", "pairs", "connection")
_COMPUTED: t.Final = (
    *("name", "left", "leftid", "leftsubnet", "leftsubnets"),
    *("state", "right", "rightid", "rightsubnet", "rightsubnets"),
)
_GATEWAY_KEYS: t.Final = ("name", "address", "local_address", "id", "subnets", "nat")


class MistakeError(ValueError):
    """A variable that cannot be used: its path, what is wrong, and what is allowed."""


@dataclass(frozen=True)
class Gateway:
    """One end, as its variable ipsec_gateway describes it."""

    name: str
    id: str
    address: str | None
    """Where its peers reach it; None where nobody can know."""
    local: str
    """What the host itself has to say for `address`."""
    subnets: tuple[Network, ...]
    """What it protects; its own address when it protects nothing else."""
    says_subnets: bool
    """Whether the subnets must be written down, because pluto would not come to them by itself."""
    nat: bool


def gateway(host: str, variable: object) -> Gateway:
    """Read the variable ipsec_gateway of an inventory host; MistakeError when it cannot be used."""
    path = f"ipsec_gateway of {host}"
    if not isinstance(variable, t.Mapping):
        raise MistakeError(f"{path}: is missing in the inventory; a host of ipsec_topology needs one with an address")
    for key in variable:
        if key not in _GATEWAY_KEYS:
            raise MistakeError(f"{path}: key {key!r} is unknown; allowed: {', '.join(_GATEWAY_KEYS)}")
    name = variable.get("name") or host
    wrong = name_mistake(name)
    if wrong:
        raise MistakeError(f"{path}.name: {wrong}")
    identity = str(variable.get("id") or f"@{name}")
    wrong = text_mistake(identity)
    if wrong:
        raise MistakeError(f"{path}.id: {wrong}")
    nat = variable.get("nat", False)
    if not isinstance(nat, bool):
        raise MistakeError(f"{path}.nat: {nat!r} is no boolean; allowed: true, false")

    address = _address(f"{path}.address", variable.get("address"))
    inside = _address(f"{path}.local_address", variable.get("local_address"))
    if address is None and not nat:
        raise MistakeError(f"{path}.address: is missing; allowed: the address its peers reach, or none with nat: true")
    given = _subnets(f"{path}.subnets", variable.get("subnets"))
    own = inside or address
    if not given and nat and inside is None:
        raise MistakeError(f"{path}: behind NAT its peers cannot know what it protects; set subnets or local_address")
    return Gateway(
        name=name,
        id=identity,
        address=address,
        local=inside or ("%defaultroute" if nat else str(address)),
        subnets=given or (ipaddress.ip_network(str(own)),),
        says_subnets=bool(given) or inside is not None,
        nat=nat,
    )


def connections(
    me: str,
    topology: t.Sequence[t.Mapping[str, t.Any]],
    groups: t.Mapping[str, t.Sequence[str]],
    variable: t.Callable[[str], object],
) -> tuple[list[Connection], list[str]]:
    """The connections of inventory host `me`, sorted by name, left being this host, and all mistakes that were met.

    `variable` gives a host's ipsec_gateway. It is asked for this host's peers alone, once each, so that the work grows
    with their number and not with that of the pairs. Of a pair that several entries name, the last one counts.
    """
    mistakes: list[str] = []
    peers: dict[str, tuple[bool | None, t.Mapping[str, t.Any]]] = {}
    for index, entry in enumerate(topology):
        try:
            for peer, starts in _peers(me, entry, f"ipsec_topology[{index}]", groups):
                peers[peer] = (starts, entry.get("connection") or {})
        except MistakeError as mistake:
            mistakes.append(str(mistake))
    found: list[Connection] = []
    if not peers:
        return found, mistakes
    try:
        mine = gateway(me, variable(me))
    except MistakeError as mistake:
        return found, [*mistakes, str(mistake)]
    for peer, (starts, keys) in peers.items():
        try:
            found += _pair(mine, gateway(peer, variable(peer)), starts, keys)
        except MistakeError as mistake:
            mistakes.append(str(mistake))
    return sorted(found, key=lambda connection: str(connection["name"])), mistakes


def members(topology: t.Sequence[t.Mapping[str, t.Any]], groups: t.Mapping[str, t.Sequence[str]]) -> dict[str, None]:
    """Every host that the entries name, in their order; what cannot be used is passed over."""
    found: dict[str, None] = {}
    for entry in topology:
        named: list[object] = []
        for key in ("groups", "hubs", "spokes", "pairs"):
            value = entry.get(key)
            for item in value if isinstance(value, (list, tuple)) else ():
                named += item if isinstance(item, (list, tuple)) else [item]
        for name in named:
            with contextlib.suppress(MistakeError):
                found.update(_hosts([name], "", groups))
    return found


def _peers(
    me: str, entry: t.Mapping[str, t.Any], path: str, groups: t.Mapping[str, t.Sequence[str]]
) -> t.Iterator[tuple[str, bool | None]]:
    """Who this host is connected with, and whether it is this host that begins, where the shape decides that."""
    shape = str(entry.get("type"))
    if shape not in TYPES:
        raise MistakeError(f"{path}.type: {entry.get('type')!r} is unknown; allowed: {', '.join(TYPES)}")
    for key in entry:
        if key not in _ENTRY_KEYS or (key in _ENTRY_KEYS[1:5] and key not in TYPES[shape]):
            allowed = ("type", *TYPES[shape], "connection")
            raise MistakeError(f"{path}.{key}: means nothing to {shape}; allowed: {', '.join(allowed)}")
    for key in TYPES[shape]:
        if not isinstance(entry.get(key), (list, tuple)):
            raise MistakeError(f"{path}.{key}: is no list; {shape} needs a list of groups or hosts of the inventory")

    for key in entry.get("connection") or {}:
        if key in _COMPUTED:
            raise MistakeError(f"{path}.connection.{key}: is computed; say it in ipsec_gateway or in ipsec_connections")

    def hosts(names: t.Iterable[object], where: str) -> dict[str, None]:
        return _hosts(names, where, groups)

    if shape == "mesh":
        everyone = hosts(entry["groups"], f"{path}.groups")
        yield from ((peer, None) for peer in everyone if me in everyone and peer != me)
    elif shape == "hub_spoke":
        hubs = hosts(entry["hubs"], f"{path}.hubs")
        spokes = hosts(entry["spokes"], f"{path}.spokes")
        if me in hubs:
            yield from ((peer, False) for peer in spokes if peer not in hubs)
        elif me in spokes:
            yield from ((peer, True) for peer in hubs)
    else:
        for number, pair in enumerate(entry["pairs"]):
            where = f"{path}.pairs[{number}]"
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise MistakeError(f"{where}: is no pair; allowed: a list of two groups or hosts of the inventory")
            one, other = hosts(pair[:1], where), hosts(pair[1:], where)
            peers = {**(other if me in one else {}), **(one if me in other else {})}
            yield from ((peer, None) for peer in peers if peer != me)


def _hosts(names: t.Iterable[object], where: str, groups: t.Mapping[str, t.Sequence[str]]) -> dict[str, None]:
    """The hosts of these groups and hosts of the inventory, each once, in their order."""
    found: dict[str, None] = {}
    for name in names:
        if isinstance(name, str) and name in groups:
            found.update(dict.fromkeys(groups[name]))
        elif isinstance(name, str) and name in groups.get("all", ()):
            found[name] = None
        else:
            raise MistakeError(f"{where}: {name!r} is no group and no host of the inventory")
    return found


def _pair(mine: Gateway, peer: Gateway, starts: bool | None, keys: t.Mapping[str, t.Any]) -> t.Iterator[Connection]:
    """The connection with a peer, one for each address family in which both protect something."""
    first, last = sorted((mine, peer), key=lambda end: end.name)
    name = f"{first.name}-{last.name}"
    if first.name == last.name or first.id == last.id:
        raise MistakeError(f"{name}: both ends have the name {first.name} or the id {first.id}; each needs its own")
    if mine.nat and peer.nat:
        raise MistakeError(
            f"{name}: both ends are behind NAT and none can begin; nat: false is for one whose box forwards"
        )
    families = {network.version for network in mine.subnets} & {network.version for network in peer.subnets}
    if not families:
        raise MistakeError(f"{name}: one end protects IPv4, the other IPv6; give both subnets of one family")
    versions = {ipaddress.ip_address(end.address).version for end in (mine, peer) if end.address is not None}
    if len(versions) > 1:
        raise MistakeError(f"{name}: one end has an IPv4 address, the other an IPv6 address; give both one family")
    if mine.nat or peer.nat:
        # Who cannot be reached has to call.
        starts = mine.nat
    elif starts is None:
        # If both began at the same moment, they could end with SAs that do not match.
        starts = mine is first
    for version in sorted(families):
        yield {
            # A second family needs a connection of its own: Libreswan 4.3 ends at the sight of both in one.
            "name": name if version == min(families) else f"{name}-v{version}",
            "left": mine.local,
            "leftid": mine.id,
            **_protected("left", mine, version),
            "right": peer.address or "%any",
            "rightid": peer.id,
            **_protected("right", peer, version),
            "authby": "secret",
            "auto": "start" if starts else "add",
            **keys,
        }


def _protected(side: str, end: Gateway, version: int) -> dict[str, t.Any]:
    if not end.says_subnets:
        return {}
    networks = [str(network) for network in end.subnets if network.version == version]
    return {f"{side}subnet": networks[0]} if len(networks) == 1 else {f"{side}subnets": networks}


def _address(path: str, value: object) -> str | None:
    if value is None:
        return None
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise MistakeError(f"{path}: {value!r} is no IP address; allowed: one like 192.0.2.1 or 2001:db8::1") from None


def _subnets(path: str, value: object) -> tuple[Network, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise MistakeError(f"{path}: {value!r} is no list; allowed: a list of networks like 10.1.0.0/24")
    try:
        return tuple(dict.fromkeys(ipaddress.ip_network(str(item)) for item in value))
    except ValueError as error:
        raise MistakeError(f"{path}: {error}; allowed: a list of networks like 10.1.0.0/24") from None
