# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet filter of this host: nftables by nft(8), firewalld by firewall-cmd(1)."""

from __future__ import annotations

import json
import typing as t

from ._errors import ConfigError, DaemonError, KernelError, understood
from ._firewall import KINDS, LISTED, nft_rules
from ._opening import OWN
from ._router import Opening
from ._systemd import booted_with_systemd

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._ports import Commands
    from ._router import Place

TIMEOUT = 30.0
"""Seconds."""
AH = ("ah", 51)
SERVICE = "ipsec"
NOT_RUNNING = 252
INVALID_ZONE = 112
"""Exit statuses of firewall-cmd(1)."""


class LocalFilter:
    """See the port `PacketFilter`."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def check_chain(self, chain: str) -> None:
        """See PacketFilter.check_chain."""
        with understood(LISTED):
            known = [_name(item["chain"]) for item in self._ruleset() if item.get("chain", {}).get("hook") == "input"]
        if chain not in known:
            raise ConfigError(
                f"nftables has no base chain {chain} on the hook input; it has {', '.join(known) or 'none'}. "
                "Name the chain that refuses, or open nothing where nothing is refused"
            )

    def openings(self) -> tuple[Opening, ...]:
        """See PacketFilter.openings."""
        with understood(LISTED):
            return openings(self._ruleset())

    def load(self, path: str) -> None:
        """See PacketFilter.load."""
        self._nft("-f", path)

    def close(self) -> None:
        """See PacketFilter.close."""
        with understood(LISTED):
            orders = removal(self._ruleset())
        if orders:
            self._nft("; ".join(orders))

    def reload_units(self) -> None:
        """See PacketFilter.reload_units."""
        if booted_with_systemd():
            done = self._commands.run("systemctl", "daemon-reload", timeout=TIMEOUT)
            if done.status != 0:
                raise DaemonError(
                    f"systemd does not read its units again: {done.reason}; run `systemctl daemon-reload`"
                )

    def default_zone(self) -> str:
        """See PacketFilter.default_zone."""
        return self._firewalld("--get-default-zone").out.strip()

    def has_service(self, zone: str, place: Place) -> bool:
        """See PacketFilter.has_service."""
        return self._firewalld(*_where(zone, place), f"--query-service={SERVICE}", no=True).status == 0

    def set_service(self, zone: str, place: Place, present: bool) -> None:
        """See PacketFilter.set_service."""
        self._firewalld(*_where(zone, place), f"--{'add' if present else 'remove'}-service={SERVICE}")

    def _ruleset(self) -> list[dict[str, t.Any]]:
        done = self._commands.run("nft", "--json", "list", "ruleset", timeout=TIMEOUT)
        if done.status != 0:
            raise KernelError(
                f"`nft --json list ruleset` cannot list the firewall: {done.reason}; load the kernel module nf_tables"
            )
        found: list[dict[str, t.Any]] = json.loads(done.out)["nftables"]
        return found

    def _nft(self, *words: str) -> None:
        done = self._commands.run("nft", *words, timeout=TIMEOUT)
        if done.status != 0:
            # its first line says what is wrong, the others where
            reason = (done.err.strip() or done.reason).splitlines()[0]
            raise ConfigError(
                f"nft refuses `{' '.join(words)}`: {reason}; correct the rules of that table, or name another chain"
            )

    def _firewalld(self, *words: str, no: bool = False) -> Completed:
        """`no`: whether status 1 is an answer."""
        done = self._commands.run("firewall-cmd", *words, timeout=TIMEOUT)
        if done.status == NOT_RUNNING:
            raise ConfigError("firewalld does not run; start it, or do not ask for firewalld")
        if done.status == INVALID_ZONE:
            raise ConfigError(f"firewalld has no such zone: {done.reason}; `firewall-cmd --get-zones` lists them")
        if done.status != 0 and not (no and done.status == 1):
            raise DaemonError(f"`firewall-cmd {' '.join(words)}`: {done.reason}; read the log of firewalld")
        return done


def openings(ruleset: list[dict[str, t.Any]]) -> tuple[Opening, ...]:
    """From the list that libnftables-json(5) calls nftables. Rules of ours that are not whole count for none."""
    own: dict[str, list[dict[str, t.Any]]] = {}
    for item in ruleset:
        if item.get("rule", {}).get("chain") == OWN:
            own.setdefault(_table(item["rule"]), []).append(item["rule"])
    jumps = [item["rule"] for item in ruleset if "rule" in item and _jumps(item["rule"])]
    return tuple(
        Opening(_name({**rule, "name": rule["chain"]}), any(map(_lets_ah_in, own[_table(rule)])))
        for rule in jumps
        if _whole(own.get(_table(rule), []))
    )


def removal(ruleset: list[dict[str, t.Any]]) -> list[str]:
    """Commands of nft(8) that remove all that is ours."""
    rules = [item["rule"] for item in ruleset if "rule" in item and _jumps(item["rule"])]
    chains = [item["chain"] for item in ruleset if item.get("chain", {}).get("name") == OWN]
    return [
        *(f"delete rule {_table(rule)} {rule['chain']} handle {rule['handle']}" for rule in rules),
        *(f"{order} chain {_name(chain)}" for chain in chains for order in ("flush", "delete")),
    ]


def _whole(rules: list[dict[str, t.Any]]) -> bool:
    accepted = [one.matches for rule in rules for one in nft_rules(rule) if one.verdict == "accept"]
    return all(any(matches[kind] for matches in accepted) for kind in KINDS)


def _lets_ah_in(rule: dict[str, t.Any]) -> bool:
    match, *verdict = rule["expr"]
    return match.get("match", {}).get("right") in AH and verdict == [{"accept": None}]


def _jumps(rule: dict[str, t.Any]) -> bool:
    return bool(rule["expr"] == [{"jump": {"target": OWN}}])


def _table(item: dict[str, t.Any]) -> str:
    return f"{item['family']} {item['table']}"


def _name(chain: dict[str, t.Any]) -> str:
    return f"{_table(chain)} {chain['name']}"


def _where(zone: str, place: Place) -> tuple[str, ...]:
    return (*(["--permanent"] if place == "permanent" else []), f"--zone={zone}")
