# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection is changed among many that are up: what happens to the others, by three ways to take the change over.

The change is to one end's salifetime=, on the gateway that begins the tunnels. Its peer is the witness: by the SPIs of
each tunnel and the serial numbers of IKE SAs it tells what was negotiated anew.
"""

from __future__ import annotations

import random
import statistics
import time
import typing as t

from bench.pair import by_hand
from lab.tools import progress
from traffic import ike_sas, spis, streams

if t.TYPE_CHECKING:
    from bench.pair import Pair
    from bench.tools import Row
    from traffic import Tunnel

RATE = 200.0
"""Questions a second through all tunnels together: what simulated machines can answer beside all else they do."""
BEFORE, AFTER = 3.0, 5.0
"""Seconds of streams before the change, and after it when all tunnels are up."""
LIFETIMES = ("7h", "6h")
METHODS = ("ours", "plain", "hand")


def measure(made: Pair, chance: random.Random, rounds: dict[int, int]) -> list[Row]:
    """A row for each number of tunnels and each way, with so many rounds by that number."""
    rows = []
    for number, times in rounds.items():
        made.have(number)
        by_hand(made, "reload")
        found: dict[str, list[Row]] = {method: [] for method in METHODS}
        for turn in range(times):
            for method in METHODS:
                with progress(f"reload: {number} tunnels, {method}, round {turn + 1} of {times}"):
                    found[method].append(one(made, method, chance.choice(made.tunnels)))
                    made.mend()
        rows += [{"tunnels": number, "method": method, "rounds": values} for method, values in found.items()]
    return rows


def one(made: Pair, method: str, changed: Tunnel) -> Row:
    """Change a tunnel, and tell what happened to all others."""
    others = [tunnel for tunnel in made.tunnels if tunnel is not changed]
    names = {tunnel.name for tunnel in others}
    # another one than last time, or nothing changes
    lifetime = LIFETIMES[made.near.run(f"cat /etc/ipsec.d/{changed.name}.conf").stdout.count(LIFETIMES[0])]
    old_spis, old_ike = spis(made.far), ike_sas(made.far)
    with streams(made.lab, others, len(made.tunnels) / RATE, window=1_000_000) as counts:
        time.sleep(BEFORE)
        began = time.monotonic()
        take_over(made, method, changed, lifetime)
        took = time.monotonic() - began
        made.wait()
        missing = made.missing()
        time.sleep(AFTER)
    new_spis, new_ike = spis(made.far), ike_sas(made.far)
    return {
        "seconds": took,
        "sent": sum(sent.questions for sent in counts.values()),
        "lost": sum(sent.lost for sent in counts.values()),
        "pause": max(sent.pause for sent in counts.values()),
        "median_pause": statistics.median(sent.pause for sent in counts.values()),
        "spis": sum(new_spis.get(name) != old_spis[name] for name in names),
        "ike": sum(name in names for serial, name in new_ike.items() if serial not in old_ike),
        "missing": len(missing & names),
        "changed_again": new_spis.get(changed.name) != old_spis[changed.name],
    }


def take_over(made: Pair, method: str, changed: Tunnel, lifetime: str) -> None:
    """Write the change, and have pluto take it over."""
    if method == "plain":
        # spared: its loop over connections that are as they were, which is in another part of the benchmark
        made.tell(only=(changed.name,), salifetime=lifetime)
        made.playbook("plain.yml", "--limit", made.near.name)
        return
    made.change(changed, salifetime=lifetime)
    if method == "ours":
        made.playbook("reload.yml", "--limit", made.near.name)
    else:
        made.near.run("ipsec restart", timeout=300)
