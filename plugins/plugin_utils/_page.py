# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet as one HTML page that needs nothing but itself. Pure.

Every text goes through MarkupSafe, which escapes all that is not Markup already; the page's own policy
(Content-Security-Policy) allows no script but the one it was written with, and no fetch at all.
"""

from __future__ import annotations

import base64
import hashlib
import typing as t

from ._assets import SCRIPT, SHAPES, STYLE
from ._fleet import DAY, WARN_DAYS, certificates, duration, size, span, utc

if t.TYPE_CHECKING:
    from markupsafe import Markup

    from ._fleet import Fleet, Gateway, Side, Trouble, Tunnel

WORDY = 12
"""Up to this many gateways the cells of the matrix have words and numbers, above it only shapes."""
MATRIX = 40
"""Above this many gateways the matrix holds only those with trouble, at most this many."""
ALIKE = 4
"""More troubles of one sort than this are one row that opens."""
ROWS = 1000
"""So many tunnels are listed, those that are not well first."""

LEGEND = {
    "up": "up",
    "partial": "in part",
    "idle": "idle, as configured",
    "down": "down, and should not be",
    "none": "no tunnel",
    "unknown": "not known",
}
LEVELS = {"bad": ("down", "error"), "warn": ("warn", "warning"), "good": ("up", "well")}


def _format(template: str, *values: t.Any, **named: t.Any) -> Markup:
    """Put values into a template, each escaped unless it is Markup."""
    from markupsafe import Markup  # comes with Jinja2, so with Ansible

    return Markup(template).format(*values, **named)


def _join(parts: t.Iterable[t.Any], between: str = "") -> Markup:
    from markupsafe import Markup

    return Markup(between).join(parts)


def page(fleet: Fleet) -> str:
    """The whole page."""
    from markupsafe import Markup

    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    )
    body = [
        _format("<header><h1>IPsec: {}</h1>", _count(len(fleet.gateways), "gateway")),
        _format("<p>Seen {}. The page shows that moment, and stays as it is.</p></header>", span(*fleet.looked)),
        _sums(fleet),
        Markup(
            '<div id="tools" hidden>'
            '<input id="filter" type="search" placeholder="Filter rows" aria-label="Filter rows">'
            '<label><input id="trouble" type="checkbox"> only what is not well</label>'
            '<output id="shown"></output></div>'
        ),
        _troubles(fleet),
        _matrix(fleet),
        _map(fleet),
        _gateways(fleet),
        _tunnels(fleet),
        _versions(fleet),
        _certificates(fleet),
        Markup(
            "<footer>Made by the playbook xswan.ipsec.status. Bytes are those of the Child SAs of the moment.</footer>"
        ),
    ]
    head = _format(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        '<link rel="icon" href="data:,"><title>IPsec: {}</title>\n',
        policy,
        _count(len(fleet.gateways), "gateway"),
    )
    style, shapes, script = (Markup(text) for text in (STYLE, SHAPES, SCRIPT))
    parts = [head, "<style>", style, "</style></head>\n<body>", shapes, _join(body, "\n"), "\n<script>", script]
    return "".join([*parts, "</script></body></html>\n"])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _icon(name: str) -> Markup:
    return _format('<svg class="i" aria-hidden="true"><use href="#{}"/></svg>', name)


def _state(shape: str, word: str, kind: str | None = None) -> Markup:
    return _format('<span class="state {}">{}{}</span>', kind or shape, _icon(shape), word)


def _section(identity: str, title: str, *parts: t.Any) -> Markup:
    return _format('<section id="{}"><h2>{}</h2>{}</section>', identity, title, _join(parts))


def _list(heads: t.Iterable[str], rows: t.Iterable[t.Any]) -> Markup:
    """A table; a head that begins with # is that of numbers."""
    cells = [
        _format('<th scope="col" class="num">{}</th>', head[1:])
        if head.startswith("#")
        else _format('<th scope="col">{}</th>', head)
        for head in heads
    ]
    template = '<table class="list"><thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>'
    return _format(template, _join(cells), _join(rows, "\n"))


def _row(level: str, *cells: t.Any) -> Markup:
    return _format('<tr data-level="{}">{}</tr>', level, _join(cells))


def _cell(value: t.Any, kind: str = "") -> Markup:
    if value is None or value == "":
        return _format('<td class="{} soft">&ndash;</td>', kind)
    return _format('<td class="{}">{}</td>', kind, value)


def _bar(count: int, most: int, kind: str) -> Markup:
    """A number of bytes with its share of the largest one."""
    template = '<span class="bar {}" style="--w:{:.1f}%"></span>'
    share = _format(template, kind, 100 * count / most) if count else ""
    return _format('<td class="num">{}{}</td>', size(count), share)


def _sums(fleet: Fleet) -> Markup:
    running = sum(gateway.word == "running" for gateway in fleet.gateways)
    words = {word: fleet.count(t.cast("t.Any", word)) for word in ("up", "partial", "idle", "down")}
    total = sum(words.values())
    states = ", ".join(f"{count} {word}" for word, count in fleet.words.items() if word != "running") or "all of them"
    others = ", ".join(f"{count:,} {word}" for word, count in words.items() if count and word != "up")
    bad = sum(trouble.level == "bad" for trouble in fleet.troubles)
    mild = len(fleet.troubles) - bad
    severities = ", ".join(_count(count, word) for count, word in ((bad, "error"), (mild, "warning")) if count)
    expiries = [(expires, gateway.name) for gateway in fleet.gateways for _name, expires in certificates(gateway)]
    boxes = [
        ("Gateways running", f"{running:,}", f"of {len(fleet.gateways):,}", states),
        ("Tunnel ends up", f"{words['up']:,}", f"of {total:,}", others or "none is down"),
        ("Needs attention", f"{len(fleet.troubles):,}", "", severities or "all is well"),
        ("Received", size(sum(gateway.traffic.received for gateway in fleet.gateways)), "", "by all gateways"),
        ("Sent", size(sum(gateway.traffic.sent for gateway in fleet.gateways)), "", "by all gateways"),
    ]
    if expiries:
        expires, name = min(expiries)
        boxes.append(("Next certificate expires", _left(expires - fleet.now), "", f"on {name}"))
    return _format(
        '<dl class="sums">{}</dl>',
        _join(
            _format(
                '<div><dt>{}</dt><dd>{} <small>{}</small></dd><dd class="note">{}</dd></div>', name, value, of, note
            )
            for name, value, of, note in boxes
        ),
    )


def _left(seconds: int) -> str:
    return f"in {_count(seconds // DAY, 'day')}" if seconds > 0 else "has expired"


def _troubles(fleet: Fleet) -> Markup:
    title = "Needs attention"
    if not fleet.troubles:
        return _section("attention", title, _format("<p>{} All is well.</p>", _state("up", "Nothing")))
    groups: dict[tuple[str, str, str], list[Trouble]] = {}
    for trouble in fleet.troubles:
        groups.setdefault((trouble.level, trouble.kind, trouble.id), []).append(trouble)
    rows: list[Markup] = []
    for group in groups.values():
        rows += [_trouble_group(group)] if len(group) > ALIKE else map(_trouble, group)
    return _section("attention", title, _list(("Severity", "Where", "What", "Why", "Cure"), rows))


def _trouble(trouble: Trouble) -> Markup:
    shape, word = LEVELS[trouble.level]
    return _row(
        trouble.level,
        _cell(_state(shape, word, trouble.level), "tight"),
        _cell(trouble.where, "tight"),
        _cell(trouble.what),
        _cell(_format("{}{}", trouble.line, _log(trouble))),
        _cell(trouble.cure),
    )


def _trouble_group(group: list[Trouble]) -> Markup:
    """Many troubles of one sort as one row that opens."""
    first = group[0]
    shape, word = LEVELS[first.level]
    places = len({trouble.where for trouble in group})
    what = _count(len(group), "tunnel end" if first.kind == "tunnel" else first.kind)
    where = "" if first.kind in ("gateway", "pair") else f" on {_count(places, 'gateway')}"
    items = (
        _format("<li>{} {}{}</li>", trouble.where, trouble.name or trouble.why, _log(trouble)) for trouble in group
    )
    whys, cures = ({getattr(trouble, key) for trouble in group} for key in ("why", "cure"))
    return _format(
        '<tr data-level="{}"><td class="tight">{}</td><td colspan="2">{}{}</td>{}{}</tr>',
        first.level,
        _state(shape, word, first.level),
        what,
        where,
        _cell(
            _format(
                "{}<details><summary>which</summary><ul>{}</ul></details>",
                first.line if len(whys) == 1 else first.id,
                _join(items),
            )
        ),
        _cell(first.cure if len(cures) == 1 else f"{first.cure} (and the like)"),
    )


def _log(trouble: Trouble) -> Markup | str:
    return _format('<span class="log">{}</span>', trouble.log) if trouble.log else ""


def _trouble_pairs(fleet: Fleet) -> dict[str, int]:
    """By gateway, with how many peers its tunnels are not well, as either of them says."""
    found: dict[str, int] = {}
    for (one, _other), (there, back, wrong) in fleet.pairs.items():
        if wrong or {there.word, back.word} & {"down", "partial", "unknown"}:
            found[one] = found.get(one, 0) + 1
    return found


def _matrix(fleet: Fleet) -> Markup:
    gateways = fleet.gateways
    title, note = "Gateways and their peers", ""
    if len(gateways) > MATRIX:
        troubled = _trouble_pairs(fleet)
        if not troubled:
            return _section("matrix", title, _format("<p>{}</p>", _state("up", "All pairs are well.")))
        gateways = tuple(
            sorted((g for g in gateways if g.name in troubled), key=lambda g: (-troubled[g.name], g.name))[:MATRIX]
        )
        worst = f"the worst {len(gateways)} of the " if len(gateways) < len(troubled) else "the "
        note = (
            f"Here are {worst}{_count(len(troubled), 'gateway')} with a tunnel to another that is not well; "
            f"the picture below has all {len(fleet.gateways)}."
        )
    wide = len(gateways) <= WORDY
    columns = [_format('<th scope="col"><span>{}</span></th>', _head(gateway)) for gateway in gateways]
    rows = []
    for gateway in gateways:
        cells = [_pair(fleet, gateway, other, wide) for other in gateways]
        outside = fleet.side(gateway, None)
        cells.append(_outside(outside, wide))
        key = _format('<tr data-level="{}" data-key="{}">', gateway.level, gateway.name)
        rows.append(_format('{}<th scope="row">{}</th>{}</tr>', key, _head(gateway), _join(cells)))
    legend = _join(
        _format('<li><span class="{}">{}</span>{}</li>', word, _icon(word), text) for word, text in LEGEND.items()
    )
    table = _format(
        '<div class="frame"><table class="matrix {}"><thead><tr><th scope="col">gateway ↓ peer →</th>{}'
        '<th scope="col"><span>outside the fleet</span></th></tr></thead><tbody>\n{}\n</tbody></table></div>',
        "wide" if wide else "compact",
        _join(columns),
        _join(rows, "\n"),
    )
    return _section(
        "matrix",
        title,
        _format(
            "<p>In each cell, left: what the gateway of the row says of its tunnels to the peer of the column; "
            "right: what that peer says. A frame marks two that contradict each other. {}</p>",
            note,
        ),
        _format('<ul class="legend">{}</ul>', legend),
        table,
    )


def _head(gateway: Gateway) -> Markup | str:
    """Its name, marked when no more can be said of it, or IPsec does not run there."""
    if gateway.level != "bad":
        return gateway.name
    return _format('{} <span class="bad" title="{}">{}</span>', gateway.name, gateway.word, _icon(_shape(gateway)))


def _shape(gateway: Gateway) -> str:
    return LEVELS[gateway.level][0] if gateway.seen else "unknown"


def _pair(fleet: Fleet, gateway: Gateway, peer: Gateway, wide: bool) -> Markup:
    if gateway is peer:
        return _format('<td class="self"></td>')
    pair = fleet.pairs.get((gateway.name, peer.name))
    if pair is None:
        return _format('<td class="nothing" title="{} and {}: no tunnel"></td>', gateway.name, peer.name)
    there, back, wrong = pair
    return _format(
        '<td class="{}" data-pair="{} {}"{}><div class="halves">{}{}</div>{}</td>',
        "pair asym" if wrong else "pair",
        gateway.name,
        peer.name,
        _format(' title="{}"', wrong) if wrong else "",
        _half(there, f"{gateway.name} says of {peer.name}", wide),
        _half(back, f"{peer.name} says of {gateway.name}", wide),
        _format('<span class="{}">{}</span>', "why" if wide else "vh", wrong) if wrong else "",
    )


def _outside(side: Side, wide: bool) -> Markup:
    if not side.tunnels:
        return _format('<td class="nothing"></td>')
    up = sum(tunnel.word == "up" for tunnel in side.tunnels)
    count = f"{up} of {len(side.tunnels)} up"
    return _format('<td class="outside">{}</td>', _half(side, count, wide, count))


def _half(side: Side, title: str, wide: bool, words: str = "") -> Markup:
    troubles = [
        f"{tunnel.name}: {tunnel.reason.id}, {tunnel.reason.message}" for tunnel in side.tunnels if tunnel.reason
    ]
    number = ""
    if wide and side.tunnels:
        number = _format("<small>{} in<br>{} out</small>", size(side.traffic.received), size(side.traffic.sent))
    return _format(
        '<div class="h {0}" title="{1}">{2}<b class="{3}">{4}</b>{5}</div>',
        side.word,
        "; ".join([f"{title}: {LEGEND[side.word]}", *troubles]),
        _icon(side.word),
        "w" if wide else "vh",
        words or side.word,
        number,
    )


def _map(fleet: Fleet) -> Markup | str:
    """All pairs of a large fleet as a picture, one point for what one gateway says of one peer."""
    if len(fleet.gateways) <= MATRIX:
        return ""
    order = sorted(fleet.gateways, key=lambda gateway: ("bad", "warn", "good").index(gateway.level))
    place = {gateway.name: number for number, gateway in enumerate(order)}
    points: dict[str, list[tuple[int, int]]] = {}
    for (one, other), (there, _back, _wrong) in fleet.pairs.items():
        points.setdefault(there.word, []).append((place[one], place[other]))
    paths = []
    for word in ("none", "unknown", "idle", "up", "partial", "down"):  # trouble last, so on top
        if word in points:
            drawn = "".join(f"M{column} {row}h1v1h-1z" for row, column in sorted(points[word]))
            title = f"{_count(len(points[word]), 'direction')}: {LEGEND[word]}"
            paths.append(_format('<path class="{}" d="{}"><title>{}</title></path>', word, drawn, title))
    legend = _join(
        (
            _format('<li><span class="{}">{}</span>{:,} {}</li>', word, _icon(word), len(points[word]), text)
            for word, text in LEGEND.items()
            if word in points
        )
    )
    total = len(order)
    return _section(
        "map",
        "All pairs",
        _format(
            "<p>One point for what a gateway (row) says of a peer (column), gateways in the order of the list below. "
            "What is not mirrored at the diagonal is asymmetric.</p>"
        ),
        _format('<ul class="legend">{}</ul>', legend),
        _format(
            '<svg class="map" viewBox="0 0 {0} {0}" role="img" aria-label="All pairs of gateways" '
            'stroke-width="{1:.2f}">{2}</svg>',
            total,
            total / 400,
            _join(paths),
        ),
    )


def _by_level(gateways: t.Iterable[Gateway]) -> list[Gateway]:
    return sorted(gateways, key=lambda gateway: ("bad", "warn", "good").index(gateway.level))


def _gateways(fleet: Fleet) -> Markup:
    most = max([1, *(max(gateway.traffic.received, gateway.traffic.sent) for gateway in fleet.gateways)])
    heads = ("State", "Gateway", "Tunnel ends", "#Received", "#Sent", "Version", "#Uptime", "#Certificate", "#Seen")
    rows = [_gateway(fleet, gateway, most) for gateway in _by_level(fleet.gateways)]
    return _section("gateways", "Gateways", _list(heads, rows))


def _gateway(fleet: Fleet, gateway: Gateway, most: int) -> Markup:
    state = _cell(_state(_shape(gateway), gateway.word, gateway.level), "tight")
    if not gateway.seen:
        return _row("bad", state, _cell(gateway.name), _format('<td colspan="7">{}</td>', gateway.error))
    if gateway.tunnels is None:
        ends: t.Any = None if gateway.up is None else f"{gateway.up} of {gateway.loaded or 0} up"
    else:
        counts = {word: sum(x.word == word for x in gateway.tunnels) for word in ("up", "partial", "idle", "down")}
        ends = _join((_format("{} {}", count, _state(word, word)) for word, count in counts.items() if count), ", ")
    expiries = certificates(gateway)
    expires = _left(expiries[0][1] - fleet.now) if expiries else None
    soon = bool(expiries) and expiries[0][1] - fleet.now < WARN_DAYS * DAY
    uptime = duration((gateway.at or fleet.now) - gateway.started) if gateway.started else None
    return _row(
        gateway.level,
        state,
        _cell(gateway.name),
        _cell(ends, "tight"),
        _bar(gateway.traffic.received, most, "in"),
        _bar(gateway.traffic.sent, most, "out"),
        _cell(gateway.version, "tight"),
        _cell(uptime, "num"),
        _cell(_format('<span class="warn">{}</span>', expires) if soon else expires, "num"),
        _cell(utc(gateway.at)[11:19] if gateway.at is not None else None, "num"),
    )


def _tunnels(fleet: Fleet) -> Markup:
    every = [(gateway, tunnel) for gateway in fleet.gateways for tunnel in gateway.tunnels or ()]
    order = ("down", "partial", "idle", "up")
    every.sort(key=lambda pair: order.index(pair[1].word))
    shown = every[: max(ROWS, sum(not tunnel.well for _gateway, tunnel in every))]
    most = max([1, *(max(tunnel.traffic.received, tunnel.traffic.sent) for _gateway, tunnel in shown)])
    note = ""
    if len(shown) < len(every):
        left = len(every) - len(shown)
        note = _format("<p>{:,} more are left out here, all of them well.</p>", left)
    heads = ("State", "Gateway", "Tunnel", "Peer", "#Received", "#Sent", "IKE SA", "#Established", "#Last traffic")
    rows = [_tunnel_row(fleet, gateway, tunnel, most) for gateway, tunnel in shown]
    return _section("tunnels", "Tunnel ends", note, _list(heads, rows))


def _tunnel_row(fleet: Fleet, gateway: Gateway, tunnel: Tunnel, most: int) -> Markup:
    peer = fleet.peer(gateway, tunnel)
    outside = _format('{} <span class="soft">outside</span>', tunnel.remote or tunnel.remote_id or "?")
    now = gateway.at or fleet.now
    name: t.Any = tunnel.name
    if not tunnel.declared:
        name = _format('{} <span class="warn">not in the configuration</span>', tunnel.name)
    return _row(
        "bad" if not tunnel.well else "good" if tunnel.declared else "warn",
        _cell(_state(tunnel.word, tunnel.state), "tight"),
        _cell(gateway.name),
        _cell(name),
        _cell(peer or outside),
        _bar(tunnel.traffic.received, most, "in"),
        _bar(tunnel.traffic.sent, most, "out"),
        _cell(tunnel.ike, "small"),
        _cell(_ago(now, tunnel.since), "num"),
        _cell(_ago(now, tunnel.last_traffic), "num"),
    )


def _ago(now: int, then: int | None) -> str | None:
    return None if then is None else f"{duration(now - then)} ago"


def _versions(fleet: Fleet) -> Markup:
    found: dict[str, list[str]] = {}
    for gateway in fleet.gateways:
        if gateway.seen:
            found.setdefault(gateway.version or "no IPsec program", []).append(gateway.name)
    rows = [
        _row("good", _cell(version, "tight"), _cell(len(names), "num"), _cell(", ".join(names)))
        for version, names in sorted(found.items())
    ]
    return _section("versions", "Versions", _list(("Version", "#Gateways", "Which"), rows)) if rows else _join(())


def _certificates(fleet: Fleet) -> Markup:
    found = sorted(
        (expires, gateway.name, certificate)
        for gateway in fleet.gateways
        for certificate, expires in certificates(gateway)
    )
    if not found:
        return _join(())
    rows = []
    for expires, name, certificate in found:
        left = expires - fleet.now
        level = "good" if left >= WARN_DAYS * DAY else "warn" if left > 0 else "bad"
        shape, _word = LEVELS[level]
        rows.append(
            _row(
                level, _cell(_state(shape, _left(left), level), "tight"), *map(_cell, (utc(expires), name, certificate))
            )
        )
    heads = ("Expires", "When", "Gateway", "Certificate")
    return _section("certificates", "Certificates", _list(heads, rows))
