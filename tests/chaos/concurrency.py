# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs at once: two, and eight, of mixed verbs, against one gateway.

They must be serial in effect. The witness is the gateway's journal, which has the process of each line that a run
writes: the lines of two runs must not mix, and those of each must be the ones that its result tells. And a result must
be what it asked for, or say that another run holds the lock.
"""

from __future__ import annotations

import collections
import collections.abc as c
import concurrent.futures
import itertools
import json
import random
import typing as t

from chaos.gateways import Row, Variant, await_pings, call, converge, install, judged, new_psk, setup, variant
from lab import Lab
from lab.lab import Gateway

VERBS = ("started", "stopped", "restarted", "reloaded", "status", "config")
AT_ONCE = (2, 8)
LOCKED = "another run"
"""What a run says that waited in vain."""
Line = tuple[str, str]
"""A process and what it wrote."""


def begin(lab: Lab, gateway: Gateway, verb: str, wanted: Variant) -> dict[str, t.Any]:
    """One run; its result."""
    if verb == "status":
        return call(lab, "ipsec_status", {}, hosts=gateway.name)[gateway.name]
    if verb == "config":
        return install(lab, wanted, hosts=gateway.name)[gateway.name]
    return setup(lab, verb, hosts=gateway.name)[gateway.name]


def written(gateway: Gateway) -> list[Line]:
    """What runs wrote to the journal since the gateway has booted, in order."""
    said = gateway.run(["journalctl", "-q", "-t", "ipsec_setup", "-o", "json"]).stdout
    lines = map(json.loads, said.splitlines())
    return [(line["_PID"], line["MESSAGE"]) for line in lines]


def mixed(lines: c.Iterable[Line]) -> list[str]:
    """The processes whose lines are not in one piece: others wrote between them."""
    pieces = [pid for pid, _lines in itertools.groupby(lines, key=lambda line: line[0])]
    return sorted(pid for pid, count in collections.Counter(pieces).items() if count > 1)


def untrue(verb: str, result: dict[str, t.Any]) -> str | None:
    """Why a result is none that such a run may bring; None when it is."""
    if result["failed"]:
        return None if LOCKED in result["msg"] else f"{verb} fails: {result['msg']}"
    if verb in ("status", "config"):
        return None
    state, wanted = result["ipsec"]["state"], "stopped" if verb == "stopped" else "running"
    return None if state == wanted else f"{verb} says that it has done it, and that IPsec is {state}"


def differing(lines: c.Iterable[Line], results: c.Iterable[dict[str, t.Any]]) -> bool:
    """Whether what the processes wrote is not what their results say that they wrote."""
    wrote: dict[str, list[str]] = {}
    for pid, line in lines:
        # what ipsec_config installed it tells otherwise
        if not line.startswith("installed "):
            wrote.setdefault(pid, []).append(line)
    told = [result["messages"] for result in results if result.get("messages")]
    return sorted(wrote.values()) != sorted(told)


def once(lab: Lab, gateway: Gateway, verbs: c.Sequence[str], wanted: Variant) -> list[str]:
    """Begin one run for each verb at once; what is wrong with what comes of them."""
    before = len(written(gateway))
    with concurrent.futures.ThreadPoolExecutor(len(verbs)) as pool:
        results = list(pool.map(lambda verb: begin(lab, gateway, verb, wanted), verbs))
    found = [why for verb, result in zip(verbs, results, strict=True) if (why := untrue(verb, result))]
    lines = written(gateway)[before:]
    if mixed(lines):
        found.append(f"the lines of runs are mixed: {lines}")
    if differing(lines, results):
        found.append(f"the journal has other lines than the results: {lines}")
    return found


def campaign(lab: Lab, seed: int, rounds: int, at_once: c.Collection[int] = AT_ONCE) -> list[Row]:
    """So many rounds of each number of runs, on each gateway in turn; a row for each number."""
    walk = random.Random(seed)
    variants = (variant(lab, new_psk()), variant(lab, new_psk(), extra=2))
    converge(lab, variants[0])
    await_pings(lab)
    rows = []
    for count in at_once:
        found = []
        for number in range(rounds):
            gateway = list(lab.gateways.values())[number % len(lab.gateways)]
            verbs = [walk.choice(VERBS) for _run in range(count)]
            wrong = once(lab, gateway, verbs, walk.choice(variants)) + judged(lab, walk.choice(variants))
            where = f"{', '.join(verbs)} on {gateway.name}"
            print(f"concurrent: {where}: {'; '.join(wrong) or 'survived'}", flush=True)
            if wrong:
                found.append(f"{where}: {'; '.join(wrong)}")
        rows.append(Row("concurrent", f"{count} runs at once", rounds, tuple(found)))
    return rows
