# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet as lines for a terminal. Pure."""

from __future__ import annotations

import typing as t

from ._fleet import duration, size, span

if t.TYPE_CHECKING:
    from ._fleet import Fleet, Gateway

HEAD = ("GATEWAY", "STATE", "UP", "TUNNELS", "IN", "OUT", "UPTIME", "VERSION")
RIGHT = frozenset({"UP", "TUNNELS", "IN", "OUT", "UPTIME"})
TROUBLES = ("NOT WELL", "WHAT", "WHY, AND ITS CURE")


def table(fleet: Fleet) -> list[str]:
    """One line a gateway, then one for each thing that needs attention.

    Double quotes become single ones: Ansible prints lines as JSON, which would put backslashes before them.
    """
    states = ", ".join(f"{count} {word}" for word, count in fleet.words.items())
    ends = ", ".join(f"{fleet.count(word)} {word}" for word in ("up", "partial", "idle", "down") if fleet.count(word))
    lines = [f"Gateways: {states or 'none'}. Tunnel ends: {ends or 'none'}. Seen {span(*fleet.looked)}.", ""]
    lines += _align([HEAD, *(_row(fleet, gateway) for gateway in fleet.gateways)], RIGHT)
    rows = [
        (trouble.where, trouble.what, f"{trouble.line.rstrip('. ')}. Cure: {trouble.cure}")
        for trouble in fleet.troubles
    ]
    if rows:
        lines += ["", *_align([TROUBLES, *rows], frozenset())]
    else:
        lines += ["", "All is well."]
    return [line.replace('"', "'") for line in lines]


def _row(fleet: Fleet, gateway: Gateway) -> tuple[str, ...]:
    if not gateway.seen:
        return (gateway.name, gateway.word, *"-" * (len(HEAD) - 2))
    tunnels = gateway.loaded if gateway.tunnels is None else len(gateway.tunnels)
    up = gateway.up if gateway.tunnels is None else sum(tunnel.word == "up" for tunnel in gateway.tunnels)
    uptime = duration((gateway.at or fleet.now) - gateway.started) if gateway.started else "-"
    return (
        gateway.name,
        gateway.word,
        "-" if up is None else str(up),
        "-" if tunnels is None else str(tunnels),
        size(gateway.traffic.received),
        size(gateway.traffic.sent),
        uptime,
        gateway.version or "-",
    )


def _align(rows: t.Sequence[t.Sequence[str]], right: t.Collection[str]) -> list[str]:
    """Columns with two blanks between them; the first row is the head, and names those that are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.rjust(width) if head in right else cell.ljust(width) for cell, width, head in zip(row, widths, rows[0])
        ).rstrip()
        for row in rows
    ]
