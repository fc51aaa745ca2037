# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening a gateway's firewall for IPsec, and closing it again.

In nftables a packet is dropped as soon as one base chain drops it, whatever another one accepts. So a table of our own
could open nothing. Our rules are in a chain of our own, in the table whose chain refuses, and one rule of that chain,
its first, jumps there.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ._candidate import File
from ._errors import ConfigError, IPsecError, VerifyError, after_changes, system_errors
from ._record import record, recorded
from ._router import Opening

if t.TYPE_CHECKING:
    from ._router import Place, RouterHost

OWN = "xswan_ipsec"
"""Name of our chain, by which our rules are known."""
RULES = "/etc/xswan-ipsec.nft"
DROP_IN = "/etc/systemd/system/nftables.service.d/xswan-ipsec.conf"
HEADER = "# Managed by Ansible (xswan.ipsec.ipsec_firewall): changes made here are lost.\n"
ORDERS = f"""{HEADER}# Whenever the host loads its rules, ours come back. The minus is vital: without it
# systemd would take the whole firewall down when ours cannot be loaded.
[Service]
ExecStartPost=-nft -f {RULES}
ExecReload=-nft -f {RULES}
"""
PLACES: tuple[Place, ...] = ("permanent", "runtime")
TIMEOUT = 60.0
"""Seconds to wait for another run."""

_CHAIN = re.compile(r"(ip|ip6|inet)( [A-Za-z_][A-Za-z0-9_.-]*){2}")

Tool = t.Literal["nftables", "firewalld", "none"]


def chain_mistake(chain: str) -> str | None:
    """What is wrong with the name of a chain."""
    if _CHAIN.fullmatch(chain):
        return None
    return f"{chain!r} is no chain; allowed: ip, ip6 or inet, a table and a name, as inet filter input"


@dataclasses.dataclass(frozen=True)
class Wish:
    """What the task asks for."""

    tool: Tool
    chain: str
    zone: str | None
    """None: firewalld's default one."""
    ah: bool

    def check(self) -> None:
        """ConfigError when it cannot be meant."""
        wrong = chain_mistake(self.chain)
        if wrong:
            raise ConfigError(f"chain: {wrong}")

    @property
    def openings(self) -> tuple[Opening, ...]:
        """What nftables is to have of ours."""
        return (Opening(self.chain, self.ah),) if self.tool == "nftables" else ()

    @property
    def files(self) -> tuple[File, ...]:
        """What does the same when the host loads its rules again."""
        if self.tool != "nftables":
            return File(DROP_IN, None), File(RULES, None)
        return File(RULES, rules(self.chain, self.ah)), File(DROP_IN, ORDERS)


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to become of the firewall."""

    openings: bool
    """Our rules in nftables are not as they are to be."""
    files: tuple[File, ...]
    olds: tuple[File, ...]
    services: tuple[tuple[str, Place, bool], ...]
    """Zone and place of firewalld, and whether its service is to be let in."""
    before: dict[str, t.Any]
    """The record as it is to be."""
    actions: tuple[str, ...]
    was: tuple[str, ...]
    """What lets IPsec in and is ours to change, in words."""
    will_be: tuple[str, ...]


def rules(chain: str, ah: bool) -> str:
    """Commands of nft(8) that open a chain. Protocols by number: not every host has their names."""
    table = chain.rpartition(" ")[0]
    lines = [
        f"add chain {table} {OWN}",
        f"flush chain {table} {OWN}",
        f"add rule {table} {OWN} udp dport {{ 500, 4500 }} accept",
        f"add rule {table} {OWN} meta l4proto 50 accept",
        *([f"add rule {table} {OWN} meta l4proto 51 accept"] if ah else []),
        f"insert rule {chain} jump {OWN}",
    ]
    return HEADER + "".join(f"{line}\n" for line in lines)


def settle(wish: Wish, host: RouterHost, *, check_mode: bool) -> dict[str, t.Any]:
    """Open the firewall as wished, and close what a former call opened elsewhere; in check mode only say so."""
    wish.check()
    if check_mode:
        return _result(_change(wish, host))
    with host.guard.exclusive(TIMEOUT):
        change = _change(wish, host)
        if change.actions:
            try:
                with system_errors():
                    _apply(wish, change, host)
            except IPsecError as exc:
                exc.changed = exc.changed or _differs(wish, change, host)
                raise
        with after_changes(bool(change.actions)):
            record(host.files, "firewall", change.before)
        return {**_result(change), "warnings": list(_refusals(host)) if wish.tool != "none" else []}


def _differs(wish: Wish, change: Change, host: RouterHost) -> bool:
    """Whether something was done of what was to be; what cannot be looked at may have changed."""
    try:
        with system_errors():
            return _change(wish, host).actions != change.actions
    except IPsecError:
        return True


def _result(change: Change) -> dict[str, t.Any]:
    files = [
        {"before_header": new.path, "after_header": new.path, "before": old.text or "", "after": new.text or ""}
        for new, old in zip(change.files, change.olds)
    ]
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (change.was, change.will_be))
    rules_of_host = {"before_header": "firewall", "after_header": "firewall", "before": before, "after": after}
    return {
        "changed": bool(change.actions),
        "actions": list(change.actions),
        "diff": [*([rules_of_host] if before != after else []), *files],
    }


def _refusals(host: RouterHost) -> t.Iterator[str]:
    for refusal in host.network.firewall().refuses:
        yield (
            f"the firewall still refuses {refusal.what}: {refusal.table} {refusal.chain}, {refusal.rule}; "
            "let it in there, or name that chain"
        )


def _change(wish: Wish, host: RouterHost) -> Change:
    known = recorded(host.files, "firewall")
    actions = []
    if wish.openings:
        host.filter.check_chain(wish.chain)
    # where we never opened anything nothing is looked at: that would load the kernel's modules
    found = host.filter.openings() if wish.openings or "chain" in known else ()
    openings = found != wish.openings
    olds = tuple(File(file.path, host.files.read(file.path)) for file in wish.files)
    pairs = [(new, old) for new, old in zip(wish.files, olds) if new != old]
    if openings or pairs:
        actions += [f"open {wish.chain}"] if wish.openings else ["close nftables"]
    zone = wish.zone or host.filter.default_zone() if wish.tool == "firewalld" else None
    services = tuple(_services(zone, known, host))
    actions += [f"{'open' if present else 'close'} zone {name} ({place})" for name, place, present in services]
    opened = {*_opened(known), *((name, place) for name, place, _present in services)}
    zones = sorted(f"{name}/{place}" for name, place in opened if name == zone)
    before = {**({"chain": wish.chain} if wish.openings else {}), **({"zones": zones} if zones else {})}
    was, will_be = (
        (
            *map(_in_words, chains),
            *(f"zone {name} ({place}) lets IPsec in" for name, place, now in services if now is new),
        )
        for chains, new in ((found, False), (wish.openings, True))
    )
    return Change(
        openings,
        *(tuple(new for new, _old in pairs), tuple(old for _new, old in pairs), services, before, tuple(actions)),
        *(was, will_be),
    )


def _in_words(opening: Opening) -> str:
    return f"{opening.chain} lets IPsec in{', with AH' if opening.ah else ''}"


def _opened(known: dict[str, t.Any]) -> list[tuple[str, Place]]:
    """Zones and places of firewalld that a former call opened."""
    words = [entry.rpartition("/") for entry in known.get("zones", [])]
    return [(zone, "permanent" if place == "permanent" else "runtime") for zone, _slash, place in words]


def _services(zone: str | None, known: dict[str, t.Any], host: RouterHost) -> t.Iterator[tuple[str, Place, bool]]:
    """What firewalld has to be told so that this zone is open, and no other one by us."""
    if zone:
        for place in PLACES:
            if not host.filter.has_service(zone, place):
                yield zone, place, True
    for other, place in _opened(known):
        if other != zone and host.filter.has_service(other, place):
            yield other, place, False


def _apply(wish: Wish, change: Change, host: RouterHost) -> None:
    known = recorded(host.files, "firewall")
    # what was opened before must not be forgotten when this does not come to its end
    zones = sorted({*known.get("zones", []), *change.before.get("zones", [])})
    record(host.files, "firewall", {**known, **change.before, **({"zones": zones} if zones else {})})
    for zone, place, present in change.services:
        host.filter.set_service(zone, place, present)
    if change.files:
        host.files.install(change.files, 0)
    try:
        if change.openings:
            host.filter.close()
        if change.openings and wish.openings:
            host.filter.load(RULES)
    except IPsecError:
        host.files.install(change.olds, 0)
        raise
    if DROP_IN in (file.path for file in change.files):
        host.filter.reload_units()
    if wish.openings and host.filter.openings() != wish.openings:
        raise VerifyError(f"opened {wish.chain}, but our rules are not there as they are to be")
    host.journal.write(f"firewall: {', '.join(change.actions)}")
