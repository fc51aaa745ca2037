# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converges of a gateway by number of connections: one that has nothing to do, and the first one of all."""

from __future__ import annotations

import time
import typing as t

from bench.pair import FILES, by_hand
from bench.tools import Row, cost, idle, unchanged
from lab import LabError
from lab.tools import progress

if t.TYPE_CHECKING:
    from bench.pair import Pair


def nothing_to_do(made: Pair, rounds: dict[int, tuple[int, int]]) -> list[Row]:
    """A row for each number of connections and each playbook; so many rounds of ours, and of the plain one.

    Of one gateway, `near`: on two at once they would share the processors of this machine. Its tunnels are up.
    """
    rows = []
    names = (made.near.name,)
    for number, (ours, plain) in rounds.items():
        made.have(number)
        by_hand(made, "converge")
        with progress(f"converge: {number} connections, an idle gateway"):
            quiet = idle(made.lab, names)
        # that of the plain layout first; the role's first run makes one file of many
        for name, times in (("plain", plain), ("ours", ours)):
            if name == "ours":
                with progress(f"converge: {number} connections, the role's first run"):
                    made.both(lambda gateway: gateway.run("rm -f /etc/ipsec.d/*.conf"))
                    made.playbook("ours.yml")
                    made.mend()
            row: Row = {"connections": number, "method": name, "wall": [], "controller": [], "gateway": []}
            for turn in range(times):
                with progress(f"converge: {number} connections, {name}, round {turn + 1} of {times}"):
                    found = unchanged(made.lab, cost(made.lab, f"{name}.yml", "-e", f"@{made.variables}", names=names))
                row["wall"].append(found.wall)
                row["controller"].append(found.controller)
                row["gateway"].append(found.gateways - quiet * found.wall)
            rows.append({**row, "idle": quiet})
        with progress(f"converge: {number} connections, taking the role's part away"):
            made.playbook("ours.yml", "-e", "bench_state=absent")
    return rows


def first(made: Pair, rounds: dict[int, int]) -> list[Row]:
    """A row for each number of connections and each way, with so many rounds by that number."""
    rows: list[Row] = []
    for number, times in rounds.items():
        made.have(number)
        found: dict[str, Row] = {
            method: {"connections": number, "method": method, "wall": [], "missing": []} for method in ("ours", "hand")
        }
        for turn in range(times):
            for method, row in found.items():
                with progress(f"first: {number} connections, {method}, round {turn + 1} of {times}"):
                    made.clear()
                    row["wall"].append(start(made, method))
                    row["missing"].append(len(made.missing()))
                if method == "ours":
                    with progress(f"first: {number} connections, taking the role's part away"):
                        made.playbook("ours.yml", "-e", "bench_state=absent")
        rows += found.values()
    return rows


def start(made: Pair, method: str) -> float:
    """Seconds from gateways without files and pluto until all tunnels are up, or patience is at its end."""
    left = made.near.run(f"ls {FILES}", check=False).stdout + made.near.run("pidof pluto", check=False).stdout
    if left:
        raise LabError(f"a first converge begins with nothing, but there is: {left}")
    began = time.monotonic()
    if method == "ours":
        made.playbook("ours.yml")
    else:
        made.both(made.write)
        made.both(lambda gateway: gateway.run("systemctl enable --now ipsec", timeout=300))
    made.wait()
    return time.monotonic() - began
