# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet: what a gateway costs as there are more of them, and what a topology of a thousand costs the controller."""

from __future__ import annotations

import json
import random
import time
import typing as t

from ansible_collections.xswan.ipsec.plugins.plugin_utils._topology import connections
from ansible_collections.xswan.ipsec.plugins.plugin_utils._variables import configuration
from bench.tools import Row, cost, idle, unchanged
from lab.tools import progress

if t.TYPE_CHECKING:
    from lab import Lab

SUITE = "trixie"
MEMORY = 192
"""MiB of each gateway."""
FORKS = (5, 25)
"""How many gateways Ansible works on at once: its default, and what larger fleets set."""


def description(number: int) -> str:
    """So many gateways, in YAML."""
    gateways = {
        f"gw{index}": {"suite": SUITE, "wan": f"192.0.2.{index}", "lan": f"10.{index}.0.0/24", "memory": MEMORY}
        for index in range(1, number + 1)
    }
    return json.dumps({"gateways": gateways})


def variables(number: int, chance: random.Random) -> str:
    """One connection for each, to a peer that is not there, in JSON."""
    one = {"name": "t0", "right": "192.0.2.250", "authby": "secret", "auto": "add"}
    every = {f"gw{index}": [{**one, "left": f"192.0.2.{index}"}] for index in range(1, number + 1)}
    return json.dumps({"bench_connections": every, "bench_psk": f"{chance.getrandbits(160):040x}"})


def measure(lab: Lab, chance: random.Random, sizes: tuple[int, ...], rounds: dict[str, int]) -> list[Row]:
    """A row for each size, number of forks, and work (status, converge), with so many rounds by the work.

    Forks that exceed the gateways change nothing, and so are left out.
    """
    rows = []
    given = lab.state / "bench.json"
    given.touch(0o600)
    given.write_text(variables(max(sizes), chance))
    options = ("-e", f"@{given}", "-f")
    # few at once: a start of pluto has a time limit, and this machine may have two processors for all of them
    with progress(f"fleet: the first converge of {max(sizes)} gateways"):
        cost(lab, "ours.yml", *options, str(FORKS[0]))
    with progress("fleet: idle gateways"):
        quiet = idle(lab)
    names = tuple(lab.gateways)
    for size in sizes:
        for forks in [forks for forks in FORKS if forks == FORKS[0] or size > FORKS[0]]:
            for work, playbook in (("status", "status.yml"), ("converge", "ours.yml")):
                row: Row = {"gateways": size, "forks": forks, "work": work, "wall": [], "controller": []}
                row["gateway"] = []
                for turn in range(rounds[work]):
                    label = f"fleet: {size} gateways, {forks} forks, {work}, round {turn + 1} of {rounds[work]}"
                    with progress(label):
                        found = unchanged(lab, cost(lab, playbook, *options, str(forks), names=names[:size]))
                    row["wall"].append(found.wall)
                    row["controller"].append(found.controller)
                    row["gateway"].append(found.gateways - quiet * found.wall * size / len(names))
                rows.append(row)
    return rows


def topology(number: int, asked: int) -> list[Row]:
    """CPU seconds of one gateway's part in a full mesh of so many: its connections, and all that its files hold.

    `asked` gateways are computed, evenly spread over the mesh; a play computes the part of every gateway.
    """
    every = {
        f"gw{index}": {"address": f"198.18.{index // 250}.{index % 250 + 1}", "subnets": [f"10.{index // 250}.0.0/16"]}
        for index in range(number)
    }
    groups = {"all": list(every)}
    entries = [{"type": "mesh", "groups": ["all"]}]
    given = {"ipsec_topology": entries, "ipsec_psk_master": "of a benchmark, which protects nothing at all"}
    pairs: list[float] = []
    files: list[float] = []
    with progress(f"topology: {asked} of {number} gateways"):
        for host in list(every)[:: max(1, number // asked)][:asked]:
            began = time.process_time()
            found, mistakes = connections(host, entries, groups, every.get)
            pairs.append(time.process_time() - began)
            began = time.process_time()
            mistakes += configuration(given, host, groups, every.get)["mistakes"]
            files.append(time.process_time() - began)
            if mistakes or len(found) != number - 1:
                raise ValueError(f"{host}: {len(found)} connections of a mesh of {number}: {mistakes[:3]}")
    return [{"gateways": number, "topology": pairs, "configuration": files}]
