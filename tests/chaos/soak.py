# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A soak: a mesh of four with traffic, and random operations on all of it for as long as is asked.

Two gateways are steady: their pluto is reloaded, looked at, and given other configurations, and never ended. Of the
traffic between them nothing may be lost, and at the end it is the same process, whose memory and descriptors are
compared. The other two are stopped, started and restarted as well. At the end one plain run brings all back to where
they began, and what is there then must be what was there at the start.
"""

from __future__ import annotations

import collections
import collections.abc as c
import concurrent.futures
import contextlib
import itertools
import random
import time
import typing as t

from plutos import PLUTOS

from chaos.gateways import (
    LEFT_OVER,
    Pings,
    Results,
    Row,
    Variant,
    await_pings,
    call,
    converge,
    each,
    install,
    left_over,
    new_psk,
    setup,
    variant,
)
from lab import Lab, LabError
from lab.lab import Gateway
from lab.tools import wait_until

A_MINUTE = 24
"""Operations, on all gateways together."""
CALM = ("reloaded", "started", "status", "config")
ROUGH = (*CALM, "stopped", "restarted")
MOST_EXTRA = 5
"""Connections that come and go with a configuration."""
GROWTH = 4096
"""KiB that a pluto may be larger at the end. It is what the allocator keeps of its largest moment, some hundred KiB for
each thread (glibc's arenas), and pluto's own caches; what leaks with every operation comes to more in half an hour."""
SETTLED = 120
"""Seconds after the last plain run in which doubled tunnels must have ended."""
# not our marks in /run: which are there depends on what was done last
THINGS = r"""
ip -o xfrm state | grep -c '^src' || :
ip -o xfrm policy list nosock | grep -c '^src' || :
ip -brief link | cut -d' ' -f1 | paste -sd' '
ls -d /etc/ipsec.* /etc/ipsec.d/* /run/pluto/* /var/lib/xswan* 2>/dev/null | grep -v '~$' | paste -sd' '
"""
PROCESS = r"""
pid=$(plutos)
echo $pid; sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/${pid% }/status; ls /proc/${pid% }/fd | wc -l
"""


class Things(t.NamedTuple):
    """What a gateway has, by the shell's word."""

    sas: int
    policies: int
    links: str
    files: str

    @classmethod
    def of(cls, gateway: Gateway) -> Things:
        """Look."""
        sas, policies, links, files = gateway.run(THINGS).stdout.splitlines()
        return cls(int(sas), int(policies), links, files)


class Pluto(t.NamedTuple):
    """A pluto's process."""

    pid: int
    memory: int
    """KiB that are resident."""
    descriptors: int

    @classmethod
    def of(cls, gateway: Gateway) -> Pluto:
        """Look."""
        return cls(*map(int, gateway.run(PLUTOS + PROCESS).stdout.split()))


def steady(lab: Lab) -> list[Gateway]:
    """Those that are never stopped."""
    return [gateway for name, gateway in lab.gateways.items() if name.startswith("steady")]


def operations(walk: random.Random, names: c.Sequence[str]) -> c.Iterator[str]:
    """Which, for ever. A gateway that was stopped is soon started: else there were nothing to try on it."""
    while True:
        what = walk.choice(names)
        yield what
        if what == "stopped":
            yield "started"


def operate(lab: Lab, gateway: Gateway, what: str, wanted: Variant) -> str | None:
    """One operation; the words of its failure."""
    results: Results
    if what == "status":
        results = call(lab, "ipsec_status", {}, hosts=gateway.name)
    elif what == "config":
        results = install(lab, wanted, hosts=gateway.name)
    else:
        results = setup(lab, what, hosts=gateway.name)
    result = results[gateway.name]
    return f"{gateway.name}: {what}: {result['msg']}" if result["failed"] else None


def busy(lab: Lab, gateway: Gateway, seed: int, variants: c.Sequence[Variant], until: float) -> tuple[int, list[str]]:
    """Operations on one gateway until then; how many, and what failed."""
    walk = random.Random(f"{seed} {gateway.name}")
    every = 60 * len(lab.gateways) / A_MINUTE
    count, failed = 0, []
    for what in operations(walk, CALM if gateway in steady(lab) else ROUGH):
        began = time.monotonic()
        if began >= until:
            break
        failure = operate(lab, gateway, what, walk.choice(variants))
        count += 1
        if failure:
            failed.append(failure)
            print(f"soak: {failure}", flush=True)
        time.sleep(max(0.0, min(began + every, until) - time.monotonic()))
    return count, failed


def differences(before: Things, after: Things) -> c.Iterator[str]:
    """What there is more, or less, than before."""
    if before != after:
        for field, old, new in zip(Things._fields, before, after, strict=True):
            if old != new:
                yield f"{LEFT_OVER}{field}: {old} at the start, {new} at the end"


def grown(before: Pluto, after: Pluto) -> c.Iterator[str]:
    """How a pluto is not what it was."""
    if after.pid != before.pid:
        yield f"pluto {before.pid} is {after.pid} now"
    if after.memory > before.memory + GROWTH:
        yield f"pluto has grown from {before.memory} to {after.memory} KiB"
    if after.descriptors != before.descriptors:
        yield f"pluto had {before.descriptors} descriptors, and has {after.descriptors}"


def campaign(lab: Lab, seed: int, minutes: float) -> list[Row]:
    """Soak the mesh for so long: a row for the operations, and one for what is compared."""
    psk = new_psk()
    base, *others = variants = [variant(lab, psk, extra) for extra in range(MOST_EXTRA + 1)]
    # each reader and allocator has been at work once before the first look
    for wanted in (base, others[-1], base):
        converge(lab, wanted)
    await_pings(lab)
    time.sleep(5)
    things, plutos = each(lab, Things.of), each(lab, Pluto.of)
    with contextlib.ExitStack() as stack:
        pings = {pair: stack.enter_context(Pings(*pair)) for pair in itertools.combinations(lab.gateways.values(), 2)}
        until = time.monotonic() + minutes * 60
        with concurrent.futures.ThreadPoolExecutor(len(lab.gateways)) as pool:
            done = list(pool.map(lambda gateway: busy(lab, gateway, seed, variants, until), lab.gateways.values()))
    # the pings have ended first: what is lost while restless gateways come back is of no interest
    found = [failure for _count, failed in done for failure in failed]
    compared = _compared(lab, base, things, plutos)
    lost: collections.Counter[str] = collections.Counter()
    sent: collections.Counter[str] = collections.Counter()
    calm = steady(lab)
    for (here, there), ping in pings.items():
        kind = "steady" if here in calm and there in calm else "restless"
        lost[kind] += ping.lost
        sent[kind] += ping.sent
    if lost["steady"]:
        compared.append(f"{lost['steady']} of {sent['steady']} packets between steady gateways are lost")
    print(f"soak: seed {seed}, {minutes:g} minutes; packets sent: {dict(sent)}, lost: {dict(lost)}", flush=True)
    for name, (before, after) in _memory(lab, plutos).items():
        print(f"soak: {name}: pluto {before} at the start, {after} at the end", flush=True)
    return [
        Row("soak", "random operations", sum(count for count, _failed in done), tuple(found)),
        Row("soak", "gateways compared", len(lab.gateways), tuple(compared), lost["steady"]),
    ]


def _memory(lab: Lab, plutos: dict[str, Pluto]) -> dict[str, tuple[Pluto, Pluto]]:
    return {name: (plutos[name], now) for name, now in each(lab, Pluto.of).items()}


def _compared(lab: Lab, base: Variant, things: dict[str, Things], plutos: dict[str, Pluto]) -> list[str]:
    """One plain run, and what is not as it was."""
    try:
        converge(lab, base)
        await_pings(lab)
    except LabError as error:
        return [str(error)]
    with contextlib.suppress(LabError):
        wait_until(lambda: each(lab, Things.of) == things, SETTLED, "all is as it was", every=2)
    found = []
    for name, gateway in lab.gateways.items():
        wrong = [*differences(things[name], Things.of(gateway)), *(LEFT_OVER + path for path in left_over(gateway))]
        if gateway in steady(lab):
            wrong += grown(plutos[name], Pluto.of(gateway))
        if wrong:
            found.append(f"{name}: {'; '.join(wrong)}")
    return found
