# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rules of a firewall refuse what comes in for IPsec: ESP (protocol 50), IKE (UDP 500), NAT-T (UDP 4500). Pure.

Told is only what is sure: a rule, or the policy of a base chain on the hook input, that drops or rejects every packet
of that kind by which a peer begins, with nothing before it that may accept one. So each match has three answers: yes,
no, and perhaps (None), which is that of everything not known here (addresses, sets, marks, limits, ...). A packet by
which a peer begins is new to connection tracking, and does not come over lo; answers to what the gateway itself began
may still pass.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing as t

from ._errors import understood
from ._model import Refusal, Traffic

LISTED = "what `nft --json list ruleset` prints"
UDP, ESP = 17, 50
KINDS: dict[Traffic, tuple[int, int | None]] = {"esp": (ESP, None), "ike": (UDP, 500), "nat-t": (UDP, 4500)}
"""Protocol and destination port of each kind."""
PROTOCOLS = {"esp": ESP, "udp": UDP}
SERVICES = {"isakmp": 500, "ipsec-nat-t": 4500}
"""Names that a port may be written by (services(5))."""
OTHER_STATES = frozenset({"established", "related", "invalid"})
"""States of connection tracking that a new packet does not have."""
OTHER_HEADERS = frozenset({"tcp", "sctp", "dccp", "udplite", "icmp", "icmpv6", "igmp", "gre", "ah", "comp"})
"""Headers, as nft calls them, that no packet for IPsec of these kinds has."""
HARMLESS = frozenset({"counter", "log", "comment", "mangle", "meta", "notrack"})
"""Statements of nft that neither decide nor match."""
PASSING = frozenset(
    {"AUDIT", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "LOG", "MARK", "NFLOG", "SECMARK", "SET", "TCPMSS"}
    | {"TOS", "TRACE", "TTL", "ULOG"}
)
"""Targets of iptables after which the next rule is tried."""
Verdict = t.Literal["accept", "refuse", "return", "jump", "goto", "next"]
Matches = dict[Traffic, t.Optional[bool]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule, as far as it decides."""

    text: str
    matches: Matches
    verdict: Verdict
    """accept is also everything that may accept."""
    target: str = ""
    """The chain of jump and goto."""


@dataclasses.dataclass
class Chain:
    """A chain of rules; only one on the hook input has a policy."""

    policy: str | None = None
    rules: list[Rule] = dataclasses.field(default_factory=list)


class _MaybeAcceptedError(Exception):
    """Something before a refusal may accept a packet of this kind."""


def _refusals(table: str, chains: dict[str, Chain]) -> t.Iterator[Refusal]:
    for name, chain in chains.items():
        if chain.policy is None:
            continue
        for what in KINDS:
            try:
                found = _walk(chains, name, what, True)
            except _MaybeAcceptedError:
                continue
            if found:
                yield Refusal(what, table, found[0], found[1])
            elif chain.policy == "drop":
                yield Refusal(what, table, name, "policy drop")


def _walk(chains: dict[str, Chain], name: str, what: Traffic, sure: bool) -> tuple[str, str] | None:
    """Chain and text of the rule that refuses every packet of this kind; None when they come out at the end.

    `sure` is whether every such packet comes to this chain.
    """
    for rule in chains[name].rules if name in chains else []:
        matches = rule.matches[what]
        if matches is False or rule.verdict == "next":
            continue
        all_of_them = sure and matches is True
        if rule.verdict == "accept":
            raise _MaybeAcceptedError
        if rule.verdict == "refuse" and all_of_them:
            return name, rule.text
        if rule.verdict in ("jump", "goto"):
            found = _walk(chains, rule.target, what, all_of_them)
            if found:
                return found
        if rule.verdict in ("return", "goto"):
            if matches is True:
                return None
            sure = False
    return None


def refused_by_nftables(ruleset: str) -> tuple[Refusal, ...]:
    """From the output of `nft --json list ruleset`: libnftables-json(5)."""
    with understood(LISTED):
        tables: dict[str, dict[str, Chain]] = {}
        for item in json.loads(ruleset)["nftables"]:
            if "chain" in item:
                chain = item["chain"]
                policy = chain.get("policy", "accept") if chain.get("hook") == "input" else None
                tables.setdefault(_table(chain), {})[chain["name"]] = Chain(policy)
            elif "rule" in item:
                rule = item["rule"]
                tables[_table(rule)][rule["chain"]].rules += nft_rules(rule)
        return tuple(
            refusal
            for table, chains in tables.items()
            if table.split()[0] in ("ip", "ip6", "inet")
            for refusal in _refusals(table, chains)
        )


def _table(item: dict[str, t.Any]) -> str:
    return f"{item['family']} {item['table']}"


def nft_rules(rule: dict[str, t.Any]) -> t.Iterator[Rule]:
    """A rule of the output of nft, as far as it decides; as several when it decides by a map."""
    matches: Matches = dict.fromkeys(KINDS, True)
    words: list[str] = []
    for statement in rule["expr"]:
        kind, value = _only(statement)
        if kind == "match":
            matches = _all(matches, {what: _nft_match(value, what, rule["family"]) for what in KINDS})
            words += [
                _text(value["left"]),
                *([value["op"]] if value["op"] not in ("in", "==") else []),
                _text(value["right"]),
            ]
        elif kind in ("accept", "drop", "reject", "return", "jump", "goto", "continue", "queue"):
            target = value["target"] if kind in ("jump", "goto") else ""
            words.append(f"{kind} {target}".strip())
            yield Rule(f"{' '.join(words)} (handle {rule['handle']})", matches, _verdict(kind), target)
            return
        elif kind == "vmap":
            yield from _nft_map(value, matches, rule)
            return
        elif kind == "xt" and value.get("type") == "target" and value.get("name") not in PASSING:
            yield Rule("", matches, "accept")
            return
        elif kind not in HARMLESS and not (kind == "xt" and value.get("type") == "target"):
            matches = _all(matches, dict.fromkeys(KINDS))


def _nft_map(value: dict[str, t.Any], matches: Matches, rule: dict[str, t.Any]) -> t.Iterator[Rule]:
    text = f"{_text(value['key'])} vmap (handle {rule['handle']})"
    elements = value["data"]["set"] if isinstance(value["data"], dict) else None
    if elements is None:
        # a map by name, whose elements are elsewhere
        yield Rule(text, _all(matches, dict.fromkeys(KINDS)), "accept")
        return
    for key, decision in elements:
        kind, where = _only(decision)
        match = {"left": value["key"], "op": "==", "right": key}
        one = {what: _nft_match(match, what, rule["family"]) for what in KINDS}
        target = where["target"] if kind in ("jump", "goto") else ""
        yield Rule(text, _all(matches, one), _verdict(kind), target)


def _only(statement: t.Any) -> tuple[str, t.Any]:
    """Name and content of a statement, which is an object of one key; some are but a word."""
    return next(iter(statement.items())) if isinstance(statement, dict) and statement else (str(statement), None)


def _verdict(kind: str) -> Verdict:
    if kind in ("drop", "reject"):
        return "refuse"
    if kind in ("jump", "goto", "return"):
        return t.cast("Verdict", kind)
    return "next" if kind == "continue" else "accept"


def _all(one: Matches, other: Matches) -> Matches:
    """Whether both match."""
    return {
        what: False if False in (one[what], other[what]) else None if None in (one[what], other[what]) else True
        for what in KINDS
    }


def _nft_match(match: dict[str, t.Any], what: Traffic, family: str) -> bool | None:
    left, op, right = match["left"], match["op"], match["right"]
    proto, port = KINDS[what]
    found: bool | None = None
    if not isinstance(left, dict):
        return None
    meta, payload, tracked = left.get("meta"), left.get("payload"), left.get("ct")
    if meta and meta["key"] == "l4proto":
        found = _among(right, op, proto, PROTOCOLS)
    elif meta and meta["key"] in ("iif", "iifname") and right == "lo":
        found = False
    elif tracked and tracked["key"] == "state":
        found = _new_among(_values(right))
    elif payload and payload.get("protocol") in OTHER_HEADERS:
        # no such header: the rule does not match, whatever it compares
        return False
    elif payload and (payload.get("protocol"), payload.get("field")) in (("ip", "protocol"), ("ip6", "nexthdr")):
        found = _among(right, op, proto, PROTOCOLS)
        if family == "inet" and found is not (op == "!="):
            # true of one of the families
            found = None
    elif payload and payload.get("protocol") in ("udp", "th") and payload.get("field") == "dport" and port:
        found = _among(right, op, port, SERVICES)
    elif payload and payload.get("protocol") == ("udp" if proto == ESP else "esp"):
        return False
    return found if found is None or op != "!=" else not found


def _values(right: t.Any) -> list[t.Any]:
    """What a value is compared with, one by one."""
    if isinstance(right, dict) and "set" in right:
        return list(right["set"])
    return right if isinstance(right, list) else [right]


def _among(right: t.Any, op: str, number: int, names: dict[str, int]) -> bool | None:
    """Whether the number is among these; None when that cannot be told."""
    if op not in ("==", "!=", "in"):
        return None
    found: list[bool | None] = []
    for value in _values(right):
        if isinstance(value, int):
            found.append(value == number)
        elif isinstance(value, str) and not value.startswith("@"):
            found.append(names[value] == number if value in names else False if names is PROTOCOLS else None)
        elif isinstance(value, dict) and isinstance(value.get("range"), list):
            low, high = value["range"]
            both = isinstance(low, int) and isinstance(high, int)
            found.append(low <= number <= high if both else None)
        else:
            found.append(None)
    return True if True in found else None if None in found else False


def _new_among(states: list[t.Any]) -> bool | None:
    """Whether the state of a new packet is among these."""
    if "new" in states:
        return True
    return False if all(isinstance(state, str) and state in OTHER_STATES for state in states) else None


def _text(value: t.Any) -> str:
    """Part of a rule, much as nft writes it."""
    if isinstance(value, dict):
        kind, inner = _only(value)
        if kind == "payload":
            return f"{inner.get('protocol', 'raw')} {inner.get('field', '')}".strip()
        if kind in ("meta", "ct"):
            return f"{kind} {inner['key']}"
        if kind == "set":
            return "{ " + ", ".join(_text(element) for element in inner) + " }"
        if kind == "range":
            return "-".join(_text(end) for end in inner)
        if kind == "prefix":
            return f"{inner['addr']}/{inner['len']}"
        return kind
    return ",".join(_text(element) for element in value) if isinstance(value, list) else str(value)


def refused_by_iptables(saved: str, tool: t.Literal["iptables", "ip6tables"] | str) -> tuple[Refusal, ...]:
    """From the output of `iptables-save` or `ip6tables-save`: iptables-extensions(8)."""
    with understood(f"what `{tool}-save` prints"):
        chains: dict[str, Chain] = {}
        table = ""
        for line in saved.splitlines():
            if line.startswith("*"):
                table = line[1:].strip()
            elif table == "filter" and line.startswith(":"):
                name, policy, *_counters = line[1:].split()
                chains[name] = Chain(policy.lower() if name == "INPUT" else None)
            elif table == "filter" and line.startswith("-A "):
                _add, name, *words = shlex.split(line)
                chains[name].rules.append(_iptables_rule(words, line, frozenset(chains)))
        return tuple(_refusals(f"{'ip6' if tool == 'ip6tables' else 'ip'} filter", chains))


def _iptables_rule(words: list[str], text: str, chains: frozenset[str]) -> Rule:
    matches: Matches = dict.fromkeys(KINDS, True)
    wanted = True
    while words:
        word = words.pop(0)
        if word == "!":
            wanted = False
            continue
        values: list[str] = []
        while words and words[0] != "!" and (not words[0].startswith("-") or (word == "--comment" and not values)):
            values.append(words.pop(0))
        if word in ("-j", "-g"):
            return Rule(text, matches, _target(word, values[0], chains), values[0])
        if word not in ("-m", "--comment"):
            one = {what: _iptables_match(word, values[0] if values else "", what) for what in KINDS}
            if not wanted:
                one = {what: None if answer is None else not answer for what, answer in one.items()}
            matches = _all(matches, one)
        wanted = True
    return Rule(text, matches, "next")


def _target(option: str, name: str, chains: frozenset[str]) -> Verdict:
    if name in ("DROP", "REJECT"):
        return "refuse"
    if name == "RETURN":
        return "return"
    if name in chains:
        return "goto" if option == "-g" else "jump"
    return "next" if name in PASSING else "accept"


def _iptables_match(option: str, value: str, what: Traffic) -> bool | None:
    proto, port = KINDS[what]
    if option == "-p":
        number = int(value) if value.isdecimal() else PROTOCOLS.get(value, -1)
        return number in (proto, 0) or value == "all"
    if option == "-i" and value == "lo":
        return False
    if option in ("--ctstate", "--state"):
        return _new_among([state.lower() for state in value.split(",")])
    if option in ("--dport", "--dports") and port:
        ends = [part.split(":") for part in value.split(",")]
        if all(end.isdecimal() for pair in ends for end in pair):
            return any(int(pair[0]) <= port <= int(pair[-1]) for pair in ends)
    return None
