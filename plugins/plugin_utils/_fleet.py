# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet as one picture: what ipsec_status told about each gateway, who is whose peer, and what needs attention.

Pure. All that gateways sent is checked and cleaned here, once: a gateway may be broken, or in the wrong hands.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import ipaddress
import typing as t
import unicodedata

Word = t.Literal["up", "partial", "idle", "down", "none", "unknown"]
"""What a gateway says of its tunnels to a peer. idle: as the configuration wants it, and nothing established;
down: not as the configuration wants it; none: it has no tunnel to that peer; unknown: it was not seen."""
Level = t.Literal["bad", "warn", "good"]

LONGEST = 500
"""Characters of a text that are shown."""
WARN_DAYS = 30
"""A certificate is called soon to expire this many days before it does."""
DAY = 86400
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal or a browser could obey rather than show."""


def clean(value: t.Any) -> str:
    """Return the value as text that can only be read: of one line, no control or direction codes, not endless."""
    text = "" if value is None else str(value)
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    if text.isascii() and text.isprintable():
        return "".join(text)
    return "".join(" " if char in "\t\n\r" else "?" if unicodedata.category(char) in HIDDEN else char for char in text)


def _text(value: t.Any) -> str | None:
    return None if value is None or value == "" else clean(value)


def _count(value: t.Any) -> int | None:
    """A size or a time, None when it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63:
        return None
    return int(value)


def _dict(value: t.Any) -> t.Mapping[t.Any, t.Any]:
    return value if isinstance(value, t.Mapping) else {}


def _dicts(value: t.Any) -> list[t.Mapping[t.Any, t.Any]]:
    return [item for item in value if isinstance(item, t.Mapping)] if isinstance(value, (list, tuple)) else []


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes through the Child SAs that are established now, so they fall when one is replaced."""

    received: int = 0
    sent: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.received + other.received, self.sent + other.sent)


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a tunnel is not well."""

    id: str
    message: str
    cure: str
    log: str | None


@dataclasses.dataclass(frozen=True)
class Child:
    """A Child SA, as far as it tells peers apart."""

    peer: str
    traffic: Traffic


@dataclasses.dataclass(frozen=True)
class Tunnel:
    """A connection as one gateway has it."""

    name: str
    state: str
    well: bool
    declared: bool
    auto: str | None
    reason: Reason | None
    local: str | None
    """The gateway's own address in it."""
    local_id: str | None
    remote: str | None
    """The peer's address, %any for whoever comes."""
    remote_id: str | None
    certificate: str | None
    expires: int | None
    """When the certificate does, in seconds since the epoch."""
    ike: str | None
    """IKE version and algorithms."""
    since: int | None
    """When the IKE SA was established, in seconds since the epoch."""
    last_traffic: int | None
    children: tuple[Child, ...]
    traffic: Traffic

    @property
    def word(self) -> Word:
        """Its state in the words of the matrix."""
        if self.state == "partial":
            return "partial"
        if not self.well:
            return "down"
        return "up" if self.state == "established" else "idle"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding of ipsec_status."""

    id: str
    severity: str
    message: str
    cure: str


@dataclasses.dataclass(frozen=True)
class Gateway:
    """One host of the play: what it told, or why it told nothing."""

    name: str
    word: str
    """The state of ipsec_status; unreachable, failed or not-looked-at when there are no facts."""
    error: str | None
    """Why there are no facts; None when there are."""
    at: int | None = None
    """When it was looked at, in seconds since the epoch."""
    version: str | None = None
    started: int | None = None
    findings: tuple[Finding, ...] = ()
    tunnels: tuple[Tunnel, ...] | None = ()
    """None: nothing was told about single connections."""
    loaded: int | None = None
    up: int | None = None
    """Tunnels with a Child SA."""
    traffic: Traffic = Traffic()
    sas: int | None = None
    larval: int | None = None
    policies: tuple[tuple[str, int], ...] = ()
    """By direction: in, out, fwd, socket."""
    xfrm_errors: tuple[tuple[str, int], ...] = ()
    addresses: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    @property
    def seen(self) -> bool:
        """Whether there are facts."""
        return self.error is None

    @functools.cached_property
    def not_well(self) -> tuple[Tunnel, ...]:
        """Its tunnels that are not as the configuration wants them."""
        return tuple(tunnel for tunnel in self.tunnels or () if not tunnel.well)

    @property
    def level(self) -> Level:
        """How bad it is."""
        if not self.seen or self.word != "running":
            return "bad"
        return "warn" if self.findings or self.not_well else "good"


@dataclasses.dataclass(frozen=True)
class Side:
    """What one gateway says of its tunnels to one peer."""

    word: Word
    tunnels: tuple[Tunnel, ...] = ()
    traffic: Traffic = Traffic()


@dataclasses.dataclass(frozen=True)
class Trouble:
    """One thing that needs attention."""

    level: Level
    where: str
    """The gateway, or both of a pair."""
    kind: t.Literal["gateway", "tunnel", "pair", "certificate"]
    name: str
    """Of the tunnel or the certificate; empty for gateways and pairs."""
    id: str
    """One word for all troubles of this sort."""
    why: str
    cure: str
    log: str | None = None

    @property
    def what(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name}" if self.name else self.kind

    @property
    def line(self) -> str:
        """What is wrong, without its cure."""
        return f"{self.id}: {self.why}" if self.why else self.id


def look_from(name: str, result: t.Any, address: str | None = None) -> Gateway:
    """Read the registered result of ipsec_status for one host; None is a host that was not looked at.

    `address` is where Ansible reaches the host: by it a gateway that told nothing is still known as a peer.
    """
    known = frozenset(filter(None, [_address(address), _address(name)]))
    if result is None:
        return Gateway(clean(name), "not-looked-at", "this run did not look at it", addresses=known)
    result = _dict(result)
    facts = result.get("ipsec")
    if result.get("unreachable") or result.get("failed") or not isinstance(facts, t.Mapping):
        word = "unreachable" if result.get("unreachable") else "failed"
        return Gateway(clean(name), word, clean(result.get("msg")) or "it returned no facts", addresses=known)
    tunnels = _tunnels(facts["connections"]) if isinstance(facts.get("connections"), t.Mapping) else None
    addresses = {_address(place.get("address")) for place in _dicts(facts.get("listening"))}
    addresses |= {_address(tunnel.local) for tunnel in tunnels or ()}
    kernel = _dict(facts.get("kernel"))
    counts = {way: _count(kernel.get("policies_" + way)) for way in ("in", "out", "fwd", "socket")}
    errors = {clean(key): _count(value) for key, value in _dict(kernel.get("statistics")).items()}
    return Gateway(
        name=clean(name),
        word=clean(facts.get("state")) or "unknown",
        error=None,
        at=_count(facts.get("at")),
        version=_text(" ".join(clean(facts.get(key)) for key in ("program", "version")).strip()),
        started=_count(facts.get("pluto_started")),
        findings=tuple(
            Finding(*(clean(finding.get(key)) for key in ("id", "severity", "message", "cure")))
            for finding in _dicts(facts.get("findings"))
        ),
        tunnels=tunnels,
        loaded=_count(facts.get("connections_loaded")),
        up=_count(facts.get("tunnels_up")),
        traffic=Traffic(_count(facts.get("bytes_in")) or 0, _count(facts.get("bytes_out")) or 0),
        sas=_count(kernel.get("sas")),
        larval=_count(kernel.get("larval")),
        policies=tuple((way, count) for way, count in counts.items() if count is not None),
        xfrm_errors=tuple((key, count) for key, count in errors.items() if count is not None),
        addresses=known | frozenset(filter(None, addresses)),
        ids=frozenset(filter(None, (_id(tunnel.local_id) for tunnel in tunnels or ()))),
    )


def _tunnels(connections: t.Mapping[t.Any, t.Any]) -> tuple[Tunnel, ...]:
    found: dict[str, Tunnel] = {}
    for key, value in connections.items():
        name = clean(key)
        while name in found:  # two names that differ in what was cleaned away
            name += "'"
        found[name] = _tunnel(name, _dict(value))
    return tuple(found.values())


def _tunnel(name: str, facts: t.Mapping[t.Any, t.Any]) -> Tunnel:
    local, remote, ike, why = (_dict(facts.get(key)) for key in ("local", "remote", "ike", "reason"))
    well = facts.get("well") is True
    reason = None
    if not well:
        reason = Reason(
            clean(why.get("id")) or "unknown",
            clean(why.get("message")),
            clean(why.get("cure")) or "read pluto's log on the gateway",
            _text(why.get("log")),
        )
    version = _count(ike.get("version"))
    return Tunnel(
        name=name,
        state=clean(facts.get("state")) or "unknown",
        well=well,
        declared=facts.get("declared") is True,
        auto=_text(facts.get("auto")),
        reason=reason,
        local=_text(local.get("address")),
        local_id=_text(local.get("id")),
        remote=_text(remote.get("address")),
        remote_id=_text(remote.get("id")),
        certificate=_text(local.get("certificate")),
        expires=_count(local.get("certificate_expires")),
        ike=_text(" ".join([f"IKEv{version}" if version else "", clean(ike.get("algorithms"))]).strip()),
        since=_count(ike.get("established")),
        last_traffic=_count(facts.get("last_traffic")),
        children=tuple(Child(clean(sa.get("peer")), _traffic(sa)) for sa in _dicts(facts.get("child_sas"))),
        traffic=_traffic(facts),
    )


def _traffic(facts: t.Mapping[t.Any, t.Any]) -> Traffic:
    return Traffic(_count(facts.get("bytes_in")) or 0, _count(facts.get("bytes_out")) or 0)


def _address(text: str | None) -> str | None:
    """An address in one spelling; None for what is none, or says nothing of who it is."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return None
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return None
    return str(address)


def _id(text: str | None) -> str | None:
    """An IKE identity in one spelling; None for what stands for many (%any, %fromcert)."""
    if not text or text.startswith("%"):
        return None
    return _address(text) or text.casefold()


class Fleet:
    """All hosts of the play, in their order, and how they are connected."""

    def __init__(self, gateways: t.Iterable[Gateway], now: float) -> None:
        """`now` is the controller's clock, in seconds since the epoch."""
        self.gateways = tuple(gateways)
        self.now = int(now)
        self._by_address = _owners(self.gateways, lambda gateway: gateway.addresses)
        self._by_id = _owners(self.gateways, lambda gateway: gateway.ids)
        self._by_tunnel = _owners(self.gateways, lambda gateway: (tunnel.name for tunnel in gateway.tunnels or ()))
        self._sides: dict[tuple[str, str | None], list[tuple[Tunnel, Traffic]]] = {}
        for gateway in self.gateways:
            for tunnel in gateway.tunnels or ():
                for peer, traffic in self._peers(gateway, tunnel).items():
                    self._sides.setdefault((gateway.name, peer), []).append((tunnel, traffic))

    def peer(self, gateway: Gateway, tunnel: Tunnel) -> str | None:
        """Name the gateway at the other end of a tunnel; None when that is outside the fleet, or many.

        An address or identity that several gateways claim, as private addresses are, is nobody's. No ends are known
        of a tunnel that pluto does not hold: its peer is the one other gateway that has a tunnel of that name.
        """
        if tunnel.remote is None and tunnel.remote_id is None:
            namesakes = self._by_tunnel.get(tunnel.name, frozenset()) - {gateway.name}
            return next(iter(namesakes)) if len(namesakes) == 1 else None
        by_id = self._by_id.get(_id(tunnel.remote_id) or "", frozenset()) - {gateway.name}
        by_address = self._by_address.get(_address(tunnel.remote) or "", frozenset()) - {gateway.name}
        for candidates in (by_id & by_address, by_id, by_address):
            if len(candidates) == 1:
                return next(iter(candidates))
        return None

    def _peers(self, gateway: Gateway, tunnel: Tunnel) -> dict[str | None, Traffic]:
        """The gateways at the other end, and the traffic with each: several for a connection that takes whoever comes.

        None stands for all that are outside the fleet.
        """
        peer = self.peer(gateway, tunnel)
        if peer is not None:
            return {peer: tunnel.traffic}
        found: dict[str | None, Traffic] = {}
        for child in tunnel.children:
            owners = self._by_address.get(_address(child.peer) or "", frozenset()) - {gateway.name}
            owner = next(iter(owners)) if len(owners) == 1 else None
            found[owner] = found.get(owner, Traffic()) + child.traffic
        return found or {None: tunnel.traffic}

    def side(self, gateway: Gateway, peer: Gateway | None) -> Side:
        """What a gateway says of its tunnels to a peer; the peer None is all that is outside the fleet."""
        if not gateway.seen or gateway.tunnels is None:
            return Side("unknown")
        found = self._sides.get((gateway.name, peer.name if peer else None), [])
        words = {tunnel.word for tunnel, _traffic in found}
        word: Word = "none"
        if words:
            word = "up" if "up" in words else "idle"
            if "partial" in words or {"up", "down"} <= words:
                word = "partial"
            elif "down" in words:
                word = "down"
        total = Traffic()
        for _tunnel, traffic in found:
            total += traffic
        return Side(word, tuple(tunnel for tunnel, _traffic in found), total)

    @functools.cached_property
    def pairs(self) -> dict[tuple[str, str], tuple[Side, Side, str | None]]:
        """Gateways with a tunnel between them, in both orders: what the first says, what the other says, asymmetry."""
        by_name = {gateway.name: gateway for gateway in self.gateways}
        found = {}
        for one, other in sorted({tuple(sorted((a, b))) for a, b in self._sides if b is not None}):
            there, back = self.side(by_name[one], by_name[other]), self.side(by_name[other], by_name[one])
            wrong = _asymmetry(one, there, other, back)
            found[one, other] = (there, back, wrong)
            found[other, one] = (back, there, wrong)
        return found

    @functools.cached_property
    def troubles(self) -> tuple[Trouble, ...]:
        """All that needs attention, the worst first."""
        found = [trouble for gateway in self.gateways for trouble in self._of_gateway(gateway)]
        for (one, other), (_there, _back, wrong) in self.pairs.items():
            if wrong and one < other:
                cure = "look at the tunnel on both, and compare their configurations"
                found.append(Trouble("warn", f"{one}, {other}", "pair", "", "asymmetric", wrong, cure))
        order = ("bad", "warn", "good")
        return tuple(sorted(found, key=lambda trouble: order.index(trouble.level)))

    def _of_gateway(self, gateway: Gateway) -> t.Iterator[Trouble]:
        name = gateway.name
        if gateway.error is not None:
            cure = "mend what the message names, and look again"
            if gateway.word == "unreachable":
                cure = "see that the host is up, and that ansible -m ansible.builtin.ping reaches it"
            yield Trouble("bad", name, "gateway", "", gateway.word, gateway.error, cure)
        elif gateway.word != "running" and not any(finding.severity == "error" for finding in gateway.findings):
            yield Trouble("bad", name, "gateway", "", gateway.word, "", "run ipsec_setup with state started")
        for finding in gateway.findings:
            level: Level = "bad" if finding.severity == "error" else "warn"
            yield Trouble(level, name, "gateway", "", finding.id, finding.message, finding.cure)
        for tunnel in gateway.tunnels or ():
            why = tunnel.reason
            if why is not None:
                yield Trouble("bad", name, "tunnel", tunnel.name, why.id, why.message, why.cure, why.log)
        for certificate, expires in certificates(gateway):
            left = expires - self.now
            if left <= 0:
                yield Trouble("bad", name, "certificate", certificate, "expired", utc(expires), "renew it")
            elif left < WARN_DAYS * DAY:
                when = f"in {duration(left)}, {utc(expires)}"
                yield Trouble("warn", name, "certificate", certificate, "expires", when, "renew it")

    def count(self, word: Word) -> int:
        """How many tunnels of the fleet are in this state, each end counted."""
        return sum(tunnel.word == word for gateway in self.gateways for tunnel in gateway.tunnels or ())

    @property
    def looked(self) -> tuple[int, int]:
        """When the first and the last gateway were looked at; the controller's time when none told."""
        times = [gateway.at for gateway in self.gateways if gateway.at is not None] or [self.now]
        return min(times), max(times)

    @property
    def words(self) -> dict[str, int]:
        """How many gateways are in each state, running first."""
        found: dict[str, int] = {}
        for gateway in self.gateways:
            found[gateway.word] = found.get(gateway.word, 0) + 1
        return dict(sorted(found.items(), key=lambda item: (item[0] != "running", item[0])))


def _owners(gateways: t.Iterable[Gateway], marks: t.Callable[[Gateway], t.Iterable[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for gateway in gateways:
        for mark in marks(gateway):
            found[mark] = found.get(mark, frozenset()) | {gateway.name}
    return found


def _asymmetry(one: str, there: Side, other: str, back: Side) -> str | None:
    """What two gateways contradict each other in; None when nothing, or when one of them was not seen."""
    if "unknown" in (there.word, back.word):
        return None
    for a, mine, b, yours in ((one, there, other, back), (other, back, one, there)):
        if yours.word == "none":
            return f"{a} has a tunnel to {b}, and {b} has none to {a}"
        if mine.word in ("up", "partial") and yours.word not in ("up", "partial"):
            return f"{a} says {mine.word}, {b} says {yours.word}"
    if there.word != back.word:
        return f"{one} says {there.word}, {other} says {back.word}"
    for a, mine, b, yours in ((one, there, other, back), (other, back, one, there)):
        if mine.word == "up" and mine.traffic.sent and not yours.traffic.received:
            return f"{a} sends to {b}, and nothing arrives"
    return None


def certificates(gateway: Gateway) -> list[tuple[str, int]]:
    """The certificates of a gateway and when each expires, the soonest first."""
    found = {
        (tunnel.certificate, tunnel.expires)
        for tunnel in gateway.tunnels or ()
        if tunnel.certificate is not None and tunnel.expires is not None
    }
    return sorted(found, key=lambda item: (item[1], item[0]))


def utc(seconds: int) -> str:
    """A time in seconds since the epoch for people, in UTC; as it is when no calendar reaches that far."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def span(first: int, last: int) -> str:
    """Two times for people, what they share once."""
    start, end = utc(first), utc(last)
    if start == end:
        return start
    if start.endswith(" UTC") and first // DAY == last // DAY:
        return f"{start[:-4]} to {end[11:]}"
    return f"{start} to {end}"


def size(count: int) -> str:
    """Bytes for people, in powers of 1000."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def duration(seconds: int) -> str:
    """A time span for people, in its two largest units."""
    for unit, length, smaller, part in (("d", DAY, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            return f"{seconds // length} {unit} {seconds % length // part} {smaller}"
    return f"{max(0, seconds)} s"
