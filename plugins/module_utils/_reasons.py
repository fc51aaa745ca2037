# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a tunnel is not up, by what pluto holds and what its log says. Pure."""

from __future__ import annotations

import re
import typing as t

from ._whack import parent, printable

if t.TYPE_CHECKING:
    from ._connections import Parts


class Cause(t.NamedTuple):
    """Why a connection is not as the configuration wants it."""

    message: str
    cure: str


CAUSES: t.Final = {
    "not-started": Cause(
        "pluto does not run, does not answer, or is still loading its connections", "run ipsec_setup with state started"
    ),
    "kernel-sa-missing": Cause(
        "pluto holds the tunnel for up, but the kernel has no SA for it: no packet passes",
        "take it down and up again: `ipsec whack --terminate --name NAME`, then `ipsec whack --initiate --name NAME`",
    ),
    "unoriented": Cause(
        "neither left= nor right= is an address of this host",
        "give it the address, bring up the interface that left= names, or correct left=; then `ipsec whack --listen`",
    ),
    "rejected": Cause(
        "it is in the configuration, but pluto has not loaded it",
        "correct it, then run ipsec_setup with state reloaded, which says what is wrong with it",
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
"""What a line of the log tells; of two patterns that match a line the first counts."""
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


class _Said(t.NamedTuple):
    """A line of the log that tells why a connection is not up."""

    name: str
    """Of the connection, with its expansion."""
    serial: int
    """Of the SA; 0 for the connection itself."""
    text: str
    """Without what is quoted."""
    line: str


def reasons(
    unwell: t.Sequence[tuple[str, str, Parts]], log: t.Callable[[], t.Iterable[str]]
) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Name and reason of every connection that is not well.

    Given are its name, the id of the cause as far as pluto's answer tells it, and what pluto holds of it.
    `log` gives the newest lines of pluto's log, oldest first; it is called once at most.
    """
    said: dict[str, list[_Said]] = {}
    if any(cause in ASK_THE_LOG for name, cause, held in unwell):
        said = _by_connection(log(), {name for name, cause, held in unwell})
    for name, cause, held in unwell:
        yield name, _reason(name, cause, held, said.get(name, []))


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


def _reason(name: str, cause: str, held: Parts, said: t.Iterable[_Said]) -> dict[str, t.Any]:
    """The cause with its words, and what the log says about it."""
    line = None
    if cause in ASK_THE_LOG:
        up = held.up
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


def _trace(text: str, held: Parts) -> t.Iterator[tuple[str, int]]:
    """What a line tells, and how surely; nothing when its only trace was in quotes."""
    # IKEv1 says INVALID_ID of identities in Main Mode, and of subnets once its SA is established
    known = any(sa.established for sa in held.ike_sas)
    invalid_id = "traffic-selectors" if known else "authentication-failed"
    for pattern, cause, weight in TRACES:
        if re.search(pattern, text):
            yield invalid_id if cause == "invalid-id" else cause, weight
            return
