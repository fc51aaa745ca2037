# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How pluto defines each connection and its own settings, so that two plutos can be compared. Pure.

`ipsec whack --status` tells what the configuration made of a connection, and what has come of it since. Without the
latter, two plutos of one version that read the same configuration say the same, whatever has happened to one of them.
Seen: Libreswan 4.3, 4.10, 5.2.
"""

from __future__ import annotations

import re
import typing as t

from ._whack import parent

if t.TYPE_CHECKING:
    from ._model import Answer

_CODE = re.compile(r"^\d{3} ?")
_CONNECTION = re.compile(r'^"(?P<name>[^"]+)": (?P<rest>.*)')
"""An instance has its number and its peer between name and colon: it is what has come of a connection."""
_BECAME = re.compile(
    r"(un)?oriented$|(host|local|remote|left|right|routing|owner|eroute owner|aliases|conn serial): ?"
    r"|interface: [^@]*$|(left|right)updown=|(un)?routed|(prospective )?erouted|fail (erouted|prospective)"
    r"|(negotiating|established|routing) |newest |session resume ticket:|expires-in:|debug: "
)
"""programs/pluto/connections.c of 4.3 and 4.10, whack_connectionstatus.c of 5.2."""
_ALGORITHM = re.compile(r" +(IKE|IKEv1|IKEv2|ESP|AH) algorithm newest: ")
_DEVICE = re.compile(r"(?<=@).*")
"""Below one of `ipsec-interface=`: found by address."""
_POLICY = "policy: "
_ORDERS = frozenset({"UP", "ROUTE", "KEEP", "GROUTED"})
"""Flags that a connection also has for having been started or routed."""
_RESOLVED = re.compile(r"(?<![^\s=<\[\]])[^\s=<\[\]]*<(?P<name>[^<>\s]+)>")
"""A host given by name: `%dns<name>` until it is resolved, then `address<name>`."""
_OF_ADDRESS = re.compile(r"(our|their) id(type: |=)|conn_prio: ")
_KEEPALIVE = re.compile(r"^keepalive:\d+s$")
"""Seconds of `config setup`, though told with each connection."""
_CLIENT = re.compile(r"modecfg info: us:(client|BOTH)")
"""A connection that is given its address by the peer: its own subnet and `my_ip=` are what it was given last."""
_OWN_SUBNET = re.compile(r"^\S+===(?=[^=]*\.\.\.)")

_CERTIFICATE = re.compile(r"\b(?:my|his|peer)cert=([^;]+)")
"""`his` up to 3.x."""

_FROM_CERT = "%fromcert"
_THEIR_ID = re.compile(r"(?P<host>\.\.\.[^\[]*)\[.*\]")
"""In `...192.0.2.2[CN=gw2]===10.2.1.0/24`."""
_HOST = r"\g<host>"

_SETUP_BEGINS = "config setup options:"
_SETUP_ENDS = "Kernel algorithms supported:"
_SETTING = re.compile(r"([A-Za-z][\w-]*)=('[^']*'|<[^>]*>|\S*?)(?:, |,?$)")
_DEBUG, _IMPAIR = "debug:", "impair:"
"""What plutodebug= says, and what no configuration does: show_debug_status() of pluto's server.c, 4.3 to 5.x."""
_PRIVATE = re.compile(r"- (allowed|excluded) subnets?: ")
"""virtual-private=, in lines of its own: pluto's virtual_ip.c, likewise."""
_NO_SETTINGS = frozenset({"configdir", "configfile", "sbindir", "libexecdir", "pluto_version", "pluto_vendorid"})


def definitions(status: str) -> dict[str, frozenset[str]]:
    """Read `ipsec whack --status`.

    The expansions of a connection (`name/1x2`) together define their parent. The members of a policy group
    (`name#192.0.2.0/24`) define nothing: pluto makes them of the group's file when it is told to listen.
    """
    found: dict[str, set[str]] = {}
    clients = set()
    by_name = False
    for line in status.splitlines():
        match = _CONNECTION.match(_CODE.sub("", line))
        if match is None or "#" in match["name"] or _ALGORITHM.match(match["rest"]):
            continue
        name = match["name"]
        if _CLIENT.match(match["rest"].strip()):
            clients.add(parent(name))
        first, *others = (part.strip() for part in match["rest"].split(";"))
        if not match["rest"].startswith(" "):
            by_name = bool(_RESOLVED.search(first))
            first = "...".join(_RESOLVED.sub(r"<\g<name>>", end) for end in first.split("..."))
        declared = parent(name)
        expansion = name[len(declared) :]
        fields = found.setdefault(declared, set())
        fields.update(f"{expansion} {_told(field)}" for field in (first, *others) if _defines(field, by_name))
    return {name: frozenset(map(_unassigned, fields) if name in clients else fields) for name, fields in found.items()}


def _told(field: str) -> str:
    """A field without what the order to start the connection adds to it, and without what is no connection's own."""
    if _KEEPALIVE.match(field):
        return "keepalive:yes"
    if field.startswith("interface: "):
        return _DEVICE.sub("", field)
    if not field.startswith(_POLICY):
        return field
    return _POLICY + "+".join(flag for flag in field[len(_POLICY) :].split("+") if flag not in _ORDERS)


def _unassigned(field: str) -> str:
    """A field of a connection that is given its address, without that."""
    expansion, _space, told = field.partition(" ")
    return f"{expansion} {'my_ip=' if told.startswith('my_ip=') else _OWN_SUBNET.sub('', told)}"


def _defines(field: str, by_name: bool) -> bool:
    if not field or _BECAME.match(field):
        return False
    return not (by_name and _OF_ADDRESS.match(field))


def nicknames(status: str) -> dict[str, frozenset[str]]:
    """The nicknames of the certificates of each connection that has any, its own and the peer's."""
    found: dict[str, frozenset[str]] = {}
    for name, fields in definitions(status).items():
        names = frozenset(match for field in fields for match in _CERTIFICATE.findall(field))
        found.update({name: names} if names else {})
    return found


def setup(status: str) -> dict[str, str]:
    """The keys and values of `config setup` that `ipsec whack --status` tells."""
    _head, _begins, rest = status.partition(_SETUP_BEGINS)
    lines = [_CODE.sub("", line) for line in rest.partition(_SETUP_ENDS)[0].splitlines()]
    found = {key: value for line in lines for key, value in _SETTING.findall(line) if key not in _NO_SETTINGS}
    for line in lines:
        if line.startswith(_DEBUG):
            found["plutodebug"] = line[len(_DEBUG) :].partition(_IMPAIR)[0].strip()
        elif _PRIVATE.match(line):
            found["virtual-private"] = f"{found.get('virtual-private', '')}{line}"
    return found


def alike(held: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether a living pluto has what is wanted. Of a peer's identity %fromcert its certificate may have made one."""
    if held == wanted:
        return True
    if not any(_FROM_CERT in field for field in wanted):
        return False
    return set(map(_without_their_id, held)) == set(map(_without_their_id, wanted))


def _without_their_id(field: str) -> str:
    expansion, _space, told = field.partition(" ")
    return f"{expansion} {'' if told.startswith('their id') else _THEIR_ID.sub(_HOST, told)}"


def sharers(answer: Answer) -> dict[str, tuple[str, ...]]:
    """By connection that owns an established IKE SA: the other connections with a Child SA below it."""
    owners = {ike.serial: _declared(ike.connection) for ike in answer.ike_sas if ike.established}
    found: dict[str, set[str]] = {}
    for child in (*answer.child_sas, *answer.negotiating):
        owner, name = owners.get(child.ike or 0), _declared(child.connection)
        if owner is not None and owner != name:
            found.setdefault(owner, set()).add(name)
    return {owner: tuple(sorted(names)) for owner, names in found.items()}


def stranded(answer: Answer) -> tuple[str, ...]:
    """Connections with an IKEv2 Child SA whose IKE SA is gone. That of IKEv1 may go."""
    alive = {ike.serial for ike in answer.ike_sas}
    second = {loaded.name for loaded in answer.loaded if loaded.version == 2}
    lost = (child for child in answer.child_sas if child.ike is not None and child.ike not in alive)
    return tuple(sorted({_declared(child.connection) for child in lost if child.connection in second}))


def up(answer: Answer) -> frozenset[str]:
    """Connections with a Child SA, established or not yet, or with an IKE SA on the way to one."""
    children = {_declared(child.connection) for child in (*answer.child_sas, *answer.negotiating)}
    return frozenset(children | {_declared(ike.connection) for ike in answer.ike_sas if not ike.established})


def _declared(name: str) -> str:
    """The connection of the configuration that an expansion, or a member of a policy group, comes from."""
    return parent(name.partition("#")[0])
