# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration wants, and what pluto has made of it. Pure."""

from __future__ import annotations

import typing as t

from ._whack import LOADED_AUTO, parent, printable

if t.TYPE_CHECKING:
    from ._model import Answer, ChildSa, End, IkeSa, Loaded


class Parts:
    """All that pluto holds of one connection."""

    def __init__(self) -> None:
        self.loaded: list[Loaded] = []
        self.children: list[ChildSa] = []
        self.negotiating: list[ChildSa] = []
        self.ike_sas: list[IkeSa] = []

    @property
    def permanent(self) -> list[Loaded]:
        """Those of the configuration, no instances."""
        return [part for part in self.loaded if not part.instance]

    @property
    def up(self) -> set[str]:
        """Names, with their expansions, that have a Child SA."""
        return {child.connection for child in self.children}


def _nothing() -> tuple[str, ...]:
    return ()


def connections(
    configured: t.Mapping[str, str],
    answer: Answer | None,
    *,
    now: float,
    kernel_spis: t.Mapping[tuple[str, int], int] | None = None,
    certificates: t.Mapping[str, int] | None = None,
    loading: bool = False,
    wanted: t.Callable[[str], bool] = bool,
    log: t.Callable[[], t.Iterable[str]] = _nothing,
) -> dict[str, dict[str, t.Any]]:
    """One entry a connection of the configuration or of pluto, by name, JSON-ready; see the module ipsec_status.

    `configured` holds the configuration's names and their auto=, `answer` is what pluto said at `now` (epoch), None
    when it does not run or answer; `loading`: it is still being fed. `kernel_spis` are destination address and SPI of
    the kernel's SAs, and when each was last used (epoch; 0: unknown), looked at after pluto; None: not looked at.
    `certificates` are nicknames and expiry (epoch). Only names for which `wanted` holds are in the result. `log` gives
    the newest lines of pluto's log, oldest first; it is called once at most, and only when a connection is not well.
    """
    parts = _parts(answer)
    ike_sas = {sa.serial: sa for sa in answer.ike_sas} if answer else {}
    missing = {child.serial for child in answer.missing(kernel_spis)} if answer else set()
    result: dict[str, dict[str, t.Any]] = {}
    unwell = []
    for name in sorted({*configured, *parts}):
        if not wanted(name):
            continue
        held = parts.get(name, Parts())
        entry = _entry(configured.get(name), held, ike_sas, certificates or {}, kernel_spis or {}, now)
        entry["state"] = _state(entry, held, pluto=answer is not None)
        cause = _cause(entry, held, missing, now, loading=loading)
        result[name] = entry
        entry["well"] = cause is None
        if cause is not None:
            unwell.append((name, cause, held))
    if unwell:
        # all is well on most gateways, and these are many words
        from ._reasons import reasons

        for name, reason in reasons(unwell, log):
            result[name]["reason"] = reason
    return result


def _parts(answer: Answer | None) -> dict[str, Parts]:
    found: dict[str, Parts] = {}
    if answer is None:
        return found
    for loaded in answer.loaded:
        found.setdefault(parent(loaded.name), Parts()).loaded.append(loaded)
    for child in answer.child_sas:
        found.setdefault(parent(child.connection), Parts()).children.append(child)
    for child in answer.negotiating:
        found.setdefault(parent(child.connection), Parts()).negotiating.append(child)
    for sa in answer.ike_sas:
        found.setdefault(parent(sa.connection), Parts()).ike_sas.append(sa)
    return found


def _entry(
    auto: str | None,
    held: Parts,
    ike_sas: t.Mapping[int, IkeSa],
    certificates: t.Mapping[str, int],
    spis: t.Mapping[tuple[str, int], int],
    now: float,
) -> dict[str, t.Any]:
    """The facts that need no judgement."""
    by_part = {(part.name, part.instance): part for part in held.loaded}
    first = held.permanent[0] if held.permanent else held.loaded[0] if held.loaded else None
    # Openswan tells it; of Libreswan's tunnels the kernel knows
    used = [int(now) - child.used for child in held.children if child.used is not None]
    used += [spis.get(half, 0) for child in held.children for half in child.halves]
    return {
        "declared": auto is not None,
        "auto": auto,
        "loaded": bool(held.loaded),
        "routed": any(part.routing != "unrouted" for part in held.loaded),
        "established": bool(held.children),
        "state": None,
        "well": True,
        "reason": None,
        "local": {
            **_end([part.local for part in held.permanent or held.loaded]),
            "interface": first and first.interface,
            "certificate": first and first.local.certificate,
            "certificate_expires": certificates.get(first.local.certificate or "") if first else None,
        },
        "remote": _end([part.remote for part in held.permanent or held.loaded]),
        "ike": _ike(held, ike_sas, now),
        "child_sas": [_child(child, by_part) for child in held.children],
        "bytes_in": sum(child.bytes_in or 0 for child in held.children),
        "bytes_out": sum(child.bytes_out or 0 for child in held.children),
        "last_traffic": max(used, default=0) or None,
        "instances": len(held.loaded) - len(held.permanent),
        "expansions": sum(part.name != parent(part.name) for part in held.permanent),
    }


def _end(ends: t.Sequence[End]) -> dict[str, t.Any]:
    end = ends[0] if ends else None
    subnets = dict.fromkeys(subnet for each in ends for subnet in each.subnets)
    return {
        "address": end and end.address,
        "id": None if end is None or end.id is None else printable(end.id),
        "subnets": list(subnets),
        "auth": end and end.auth,
    }


def _ike(held: Parts, ike_sas: t.Mapping[int, IkeSa], now: float) -> dict[str, t.Any] | None:
    """The IKE SA of the newest Child SA; else the newest of its own, an established one first.

    A Child SA may live on an IKE SA that another connection between the same hosts has made.
    """
    of_child = [ike_sas[child.ike] for child in held.children if child.ike is not None and child.ike in ike_sas]
    own = sorted(held.ike_sas, key=lambda sa: (sa.established, sa.serial))
    if not of_child and not own:
        return None
    sa = (of_child or own)[-1]
    part = next((part for part in held.loaded if part.ike_algorithms), held.loaded[0] if held.loaded else None)
    version = sa.version or (part and part.version)
    age = None
    if version == 2 and part and part.ike_lifetime and sa.replace_in is not None and sa.replace_in != sa.rekey_in:
        # an IKE SA of IKEv2 is replaced when its lifetime is over; of IKEv1, and up to 4.3, some time before
        age = part.ike_lifetime - sa.replace_in
    return {
        "serial": sa.serial,
        "state": "established" if sa.established else "half-open",
        "version": version,
        "established": None if age is None else int(now) - age,
        "age": age,
        "algorithms": part.ike_algorithms if part and sa.established else None,
        "rekey_in": sa.rekey_in,
        "peer": sa.peer or (held.loaded[0].remote.address if held.loaded else None),
        "initiator": sa.initiator,
    }


def _child(child: ChildSa, by_part: t.Mapping[tuple[str, str], Loaded]) -> dict[str, t.Any]:
    instance, _blank, peer = child.instance.partition(" ")
    part = by_part.get((child.connection, instance)) or by_part.get((child.connection, ""))
    return {
        "serial": child.serial,
        "connection": f'"{child.connection}"{child.instance}',
        "state": child.state,
        "added": child.added,
        "bytes_in": child.bytes_in,
        "bytes_out": child.bytes_out,
        "rekey_in": child.rekey_in,
        "algorithms": part and part.child_algorithms,
        "spi_in": None if child.spi_in is None else f"0x{child.spi_in:08x}",
        "spi_out": None if child.spi_out is None else f"0x{child.spi_out:08x}",
        "reqid": part and part.reqid,
        "peer": child.remote or peer or (part and part.remote.address),
        "lease": child.lease,
        "username": None if child.username is None else printable(child.username),
    }


def _state(entry: t.Mapping[str, t.Any], held: Parts, *, pluto: bool) -> str:
    """The one word."""
    auto = entry["auto"]
    if not pluto:
        return "stopped"
    if not held.loaded:
        return "rejected" if auto in LOADED_AUTO else "unloaded"
    if held.children:
        return "partial" if {part.name for part in held.permanent} - held.up else "established"
    if held.negotiating or any(not sa.established for sa in held.ike_sas):
        return "connecting"
    if any(not part.oriented for part in held.permanent):
        return "down"
    if auto == "start" and not any(part.shunt for part in held.loaded):
        return "down"
    if any(part.routing != "unrouted" for part in held.loaded):
        return "ondemand"
    return "down" if auto == "ondemand" else "waiting"


def _cause(
    entry: t.Mapping[str, t.Any], held: Parts, missing: t.Collection[int], now: float, *, loading: bool
) -> str | None:
    """Id of the cause, as far as pluto's answer tells it; None when it is as the configuration wants it."""
    auto, state = entry["auto"], entry["state"]
    if state == "stopped":
        return "not-started" if auto in LOADED_AUTO else None
    if state == "rejected":
        return "not-started" if loading else "rejected"
    if any(child.serial in missing for child in held.children):
        return "kernel-sa-missing"
    if auto != "ignore" and any(not part.oriented for part in held.permanent):
        return "unoriented"
    if (auto == "start" and state not in ("established", "ondemand")) or (auto == "ondemand" and state == "down"):
        expires = entry["local"]["certificate_expires"]
        if expires is not None and expires < now:
            return "certificate-expired"
        return "not-started" if loading else "unknown"
    return None
