# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration wants, what pluto has made of it, and why a tunnel is not up. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ._whack import parent, printable

if t.TYPE_CHECKING:
    from ._model import Answer, ChildSa, End, IkeSa, Loaded


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a connection is not as the configuration wants it."""

    message: str
    cure: str


CAUSES: t.Final = {
    "not-started": Cause(
        "pluto does not run, does not answer, or is still loading its connections", "run ipsec_setup with state started"
    ),
    "kernel-sa-missing": Cause(
        "pluto holds the tunnel for up, but the kernel has no SA for it: no packet passes",
        "take it down and up again: `ipsec auto --down NAME`, then `ipsec auto --up NAME`",
    ),
    "unoriented": Cause(
        "neither left= nor right= is an address of this host",
        "give it the address, bring up the interface that left= names, or correct left=; then `ipsec whack --listen`",
    ),
    "rejected": Cause(
        "it is in the configuration, but pluto has not loaded it",
        "correct it, then load it with `ipsec auto --add NAME`, which says what is wrong with it",
    ),
    "certificate-expired": Cause(
        "a certificate is expired, or not valid yet", "renew it in the NSS database, and check the host's clock"
    ),
    "certificate-missing": Cause(
        "a certificate that it names is not in the NSS database",
        "import it with `ipsec import FILE.p12`, or correct leftcert=",
    ),
    "interface-missing": Cause(
        "the interface that it needs does not exist and cannot be made",
        "load the kernel module xfrm_interface, or correct ipsec-interface= or left=",
    ),
    "traffic-selectors": Cause(
        "the two ends do not agree on the subnets", "make leftsubnet= and rightsubnet= mirror those of the peer"
    ),
    "no-proposal": Cause("the two ends have no algorithms in common", "make ike= and esp= match those of the peer"),
    "authentication-failed": Cause(
        "the peer, or this host, was not accepted as the one it says to be",
        "compare secrets or certificates, leftid= and rightid= on both ends",
    ),
    "no-answer": Cause(
        "the peer does not answer",
        "check that the peer runs, its address, and that no firewall between drops UDP 500 and 4500",
    ),
    "unknown": Cause("pluto has not said why", "read pluto's log on both ends"),
}
"""By the id of a reason."""

TRACES: t.Final = (
    # The last number says how surely a line names the cause: 3 and more do, 2 is likely, 1 is silence. Seen with
    # Libreswan 4.3, 4.10 and 5.2; what these do not say is from the sources of 3.32, 5.4 and Openswan 2.6
    (r"certificate '.*' is expired or not yet valid", "certificate-expired", 5),
    (r"SEC_ERROR_EXPIRED|[Cc]ertificate has expired|certificate expired", "certificate-expired", 5),
    (r"certificate '.*' not found in the NSS database", "certificate-missing", 5),
    (r"could not open host cert|no (?:private key|RSA key|certificate) (?:found )?for", "certificate-missing", 5),
    (r"ipsec-interface=\S+ (?:is )?not supported|xfrmi is not supported", "interface-missing", 5),
    (r"failed to (?:add|create) ipsec-interface|conflict ipsec\d+ already exist", "interface-missing", 5),
    (r"we cannot identify ourselves with either end|we have no ipsecN interface", "unoriented", 5),
    (r"must specify host IP address for our side", "unoriented", 5),
    (r"TS_UNACCEPTABLE|[Nn]o IKEv2 connection found with compatible Traffic Selectors", "traffic-selectors", 4),
    (r"no connection is known for", "traffic-selectors", 4),
    (r"INVALID_ID_INFORMATION", "invalid-id", 4),
    (r"NO_PROPOSAL_CHOSEN|no acceptable (?:Proposal|Oakley Transform)", "no-proposal", 4),
    (r"[Nn]o proposal chosen|NO_PROPOSAL|no acceptable response.*proposal", "no-proposal", 4),
    (r"perhaps peer likes no proposal", "no-proposal", 2),
    (r"AUTHENTICATION_FAILED|authentication failed: computed hash|AUTH mismatch", "authentication-failed", 3),
    (r"probable authentication failure|Peer ID '.*' mismatched", "authentication-failed", 3),
    (r"we require (?:IKEv\d )?peer to have ID|INVALID_HASH_INFORMATION", "authentication-failed", 3),
    (r"certificate payload rejected|issuer is not recognized|SEC_ERROR_", "authentication-failed", 3),
    (r"no preshared key found|[Nn]o matching PSK|no PSK|missing PSK", "authentication-failed", 3),
    (r"[Pp]ossible authentication failure", "authentication-failed", 2),
    (r"No response \(or no acceptable response\)|asynchronous network error", "no-answer", 1),
    (r"timeout exceeded|max number of retransmissions", "no-answer", 1),
    (r"(?:PARENT_I1|SA_INIT_I|MAIN_I1|AGGR_I1)\w*: retransmission", "no-answer", 0),
    (r"netlink response for Add SA", "unknown", 2),
    (r"failed to add connection|[Ff]ailed to load connection|cannot find conn", "rejected", 2),
    (r"attempt to load incomplete connection|esp string error|ike string error", "rejected", 3),
)
"""What a line of the log tells; of two patterns that match a line the first counts. These and the next are compiled
when there is a log to read: that takes longer than all else on a gateway where all is well."""
TRACES_CONSIDERED = 8
"""The newest ones of a connection; older ones may be of troubles that are over."""
CERTAIN = 3
"""From this weight on a trace names the cause, and the newest of them counts."""
TRYING = 0
"""The weight of a trace that an attempt leaves while it goes on."""
_SUCCESS = r"established Child SA|IPsec SA established|CHILD SA established"
_LINE = (
    # what syslog or logfile= put before it; nothing that a peer may have written
    r"(?:\w{3} +\d+ [\d:.]+:? (?:\S+ \w+\[\d+\]: )?|\d{4}-\S+ \S+ \w+\[\d+\]: )?(?:[A-Z ]+: )?"
    r'(?P<line>"(?P<name>[^"]+)"(?:\[\d+\])*(?: (?!#)\S+?)?(?: #(?P<serial>\d+))?: (?P<text>.*))'
)
_NEEDED = (
    r"(?:addconn, in config '[^']*', (?:ignoring: )?|while loading '[^']*': |ipsec addconn: )?"
    r"cannot find conn '[^']*' needed by conn '(?P<name>[^']+)'"
)
_QUOTED = r"'.*'"
"""What others have chosen, such as a peer its ID: nothing in there tells anything."""

ASK_THE_LOG = ("rejected", "unoriented", "unknown")
"""The causes of which the log may tell more."""
WANTED = ("add", "ondemand", "start", "keep")
"""The values of auto= with which a connection is loaded."""


class _Said(t.NamedTuple):
    """A line of the log that tells why a connection is not up."""

    name: str
    """Of the connection, with its expansion."""
    serial: int
    """Of the SA; 0 for the connection itself."""
    text: str
    """Without what is quoted."""
    line: str


@dataclasses.dataclass
class _Parts:
    """All that pluto holds of one connection."""

    loaded: list[Loaded] = dataclasses.field(default_factory=list)
    children: list[ChildSa] = dataclasses.field(default_factory=list)
    negotiating: list[ChildSa] = dataclasses.field(default_factory=list)
    ike_sas: list[IkeSa] = dataclasses.field(default_factory=list)

    @property
    def permanent(self) -> list[Loaded]:
        """Those of the configuration, no instances."""
        return [part for part in self.loaded if not part.instance]


def _nothing() -> tuple[str, ...]:
    return ()


def connections(
    configured: t.Mapping[str, str],
    answer: Answer | None,
    *,
    now: float,
    kernel_spis: t.Collection[tuple[str, int]] | None = None,
    certificates: t.Mapping[str, int] | None = None,
    loading: bool = False,
    wanted: t.Callable[[str], bool] = bool,
    log: t.Callable[[], t.Iterable[str]] = _nothing,
) -> dict[str, dict[str, t.Any]]:
    """One entry a connection of the configuration or of pluto, by name, JSON-ready; see the module ipsec_status.

    `configured` holds the configuration's names and their auto=, `answer` is what pluto said at `now` (epoch), None
    when it does not run or answer; `loading`: it is still being fed. `kernel_spis` are destination address and SPI of
    the kernel's SAs, looked at after pluto; None: not looked at. `certificates` are nicknames and expiry (epoch).
    Only names for which `wanted` holds are in the result. `log` gives the newest lines of pluto's log, oldest first;
    it is called once at most, and only when a connection is not well.
    """
    parts = _parts(answer)
    ike_sas = {sa.serial: sa for sa in answer.ike_sas} if answer else {}
    missing = {child.serial for child in missing_kernel_sas(answer, kernel_spis)}
    result: dict[str, dict[str, t.Any]] = {}
    unwell = []
    for name in sorted({*configured, *parts}):
        if not wanted(name):
            continue
        held = parts.get(name, _Parts())
        entry = _entry(configured.get(name), held, ike_sas, certificates or {}, now)
        entry["state"] = _state(entry, held, pluto=answer is not None)
        cause = _cause(entry, held, missing, now, loading=loading)
        result[name] = entry
        entry["well"] = cause is None
        if cause is not None:
            unwell.append((name, cause))
    said: dict[str, list[_Said]] = {}
    if any(cause in ASK_THE_LOG for name, cause in unwell):
        said = _by_connection(log(), {name for name, cause in unwell})
    for name, cause in unwell:
        result[name]["reason"] = _reason(name, cause, parts.get(name, _Parts()), said.get(name, []))
    return result


def missing_kernel_sas(answer: Answer | None, kernel_spis: t.Collection[tuple[str, int]] | None) -> tuple[ChildSa, ...]:
    """Established Child SAs of which the kernel lacks a half. Only those whose SPIs and addresses pluto told."""
    if answer is None or kernel_spis is None:
        return ()
    return tuple(child for child in answer.child_sas if any(half not in kernel_spis for half in halves(child)))


def halves(child: ChildSa) -> list[tuple[str, int]]:
    """Destination address and SPI of a Child SA's two kernel SAs, as far as pluto told them."""
    both = ((child.local, child.spi_in), (child.remote, child.spi_out))
    return [(address, spi) for address, spi in both if address is not None and spi is not None]


def _parts(answer: Answer | None) -> dict[str, _Parts]:
    found: dict[str, _Parts] = {}
    if answer is None:
        return found
    for loaded in answer.loaded:
        found.setdefault(parent(loaded.name), _Parts()).loaded.append(loaded)
    for child in answer.child_sas:
        found.setdefault(parent(child.connection), _Parts()).children.append(child)
    for child in answer.negotiating:
        found.setdefault(parent(child.connection), _Parts()).negotiating.append(child)
    for sa in answer.ike_sas:
        found.setdefault(parent(sa.connection), _Parts()).ike_sas.append(sa)
    return found


def _entry(
    auto: str | None, held: _Parts, ike_sas: t.Mapping[int, IkeSa], certificates: t.Mapping[str, int], now: float
) -> dict[str, t.Any]:
    """The facts that need no judgement."""
    by_part = {(part.name, part.instance): part for part in held.loaded}
    first = held.permanent[0] if held.permanent else held.loaded[0] if held.loaded else None
    used = [now - child.used for child in held.children if child.used is not None]
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
        "last_traffic": int(max(used)) if used else None,
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


def _ike(held: _Parts, ike_sas: t.Mapping[int, IkeSa], now: float) -> dict[str, t.Any] | None:
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


def _up(held: _Parts) -> set[str]:
    """Names, with their expansions, that have a Child SA."""
    return {child.connection for child in held.children}


def _state(entry: t.Mapping[str, t.Any], held: _Parts, *, pluto: bool) -> str:
    """The one word."""
    auto = entry["auto"]
    if not pluto:
        return "stopped"
    if not held.loaded:
        return "rejected" if auto in WANTED else "unloaded"
    if held.children:
        return "partial" if {part.name for part in held.permanent} - _up(held) else "established"
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
    entry: t.Mapping[str, t.Any], held: _Parts, missing: t.Collection[int], now: float, *, loading: bool
) -> str | None:
    """Id of the cause, as far as pluto's answer tells it; None when it is as the configuration wants it."""
    auto, state = entry["auto"], entry["state"]
    if state == "stopped":
        return "not-started" if auto in WANTED else None
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


def _by_connection(lines: t.Iterable[str], names: t.Collection[str]) -> dict[str, list[_Said]]:
    """Lines of the log that tell something, by connection; only what came after its last success."""
    found: dict[str, list[_Said]] = {name: [] for name in names}
    tells = re.compile("|".join((_SUCCESS, *(pattern for pattern, cause, weight in TRACES))))
    for line in lines:
        if not tells.search(line):
            continue
        needed = re.match(_NEEDED, line)
        match = needed or re.match(_LINE, line)
        said = found.get(parent(match["name"])) if match else None
        if match is None or said is None:
            continue
        if needed:
            said.append(_Said(match["name"], 0, line, line))
            continue
        text = re.sub(_QUOTED, "''", match["text"])
        if re.search(_SUCCESS, text):
            said[:] = [each for each in said if each.name != match["name"]]
        else:
            said.append(_Said(match["name"], int(match["serial"] or 0), text, match["line"]))
    return found


def _reason(name: str, cause: str, held: _Parts, said: t.Iterable[_Said]) -> dict[str, t.Any]:
    """The cause with its words, and what the log says about it."""
    line = None
    if cause in ASK_THE_LOG:
        up = _up(held)
        traces = [(each, *trace) for each in said for trace in _trace(each.text, held) if each.name not in up]
        if cause == "rejected":
            # what there is of SAs is of former days; and only the last attempt to load it counts
            traces = [trace for trace in traces if trace[0].serial == 0][-1:]
        elif cause == "unoriented":
            traces = [trace for trace in traces if trace[1] in ("unoriented", "interface-missing")]
        best = _best(traces)
        if best is not None:
            cause, line = best[1], printable(best[0].line)
    text = CAUSES[cause]
    return {"id": cause, "message": text.message, "cure": text.cure.replace("NAME", name), "log": line}


def _best(traces: t.Sequence[tuple[_Said, str, int]]) -> tuple[_Said, str, int] | None:
    """The trace that tells the cause: a certain one before what is only likely or silence, and the newest."""
    over = [trace for trace in traces if trace[2] != TRYING][-TRACES_CONSIDERED:]
    certain = [trace for trace in over if trace[2] >= CERTAIN]
    if certain:
        # what exactly was wrong comes before what was done about it, such as AUTHENTICATION_FAILED
        attempt = certain[-1][0].serial
        over = [trace for trace in certain if trace[0].serial == attempt]
    candidates = over or traces
    return max(reversed(candidates), key=lambda trace: trace[2]) if candidates else None


def _trace(text: str, held: _Parts) -> t.Iterator[tuple[str, int]]:
    """What a line tells, and how surely; nothing when its only trace was in quotes."""
    # IKEv1 says INVALID_ID of identities in Main Mode, and of subnets once its SA is established
    known = any(sa.established for sa in held.ike_sas)
    invalid_id = "traffic-selectors" if known else "authentication-failed"
    for pattern, cause, weight in TRACES:
        if re.search(pattern, text):
            yield invalid_id if cause == "invalid-id" else cause, weight
            return
