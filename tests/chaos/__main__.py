# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m chaos CAMPAIGN ...`: the long forms of the campaigns."""

from __future__ import annotations

import argparse
import collections.abc as c
import functools
import os
import platform
import sys
import tempfile
from pathlib import Path

from walks import SEED

from chaos import calls, concurrency, controller, fuzz, leaks, power, soak
from chaos.gateways import FILES, Row, table
from chaos.targets import targets
from lab import Lab

ALONE = ("fuzz", "faults")
"""Campaigns that need no gateway."""
ON_GATEWAYS = ("power", "controller", "concurrent", "secrets", "soak")
ROUNDS = 10
"""Of concurrent runs, for each number of them."""


def main() -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="chaos", description="Campaigns of faults; XSWAN_SEED gives another seed.")
    parser.add_argument("campaigns", nargs="+", choices=(*ALONE, *ON_GATEWAYS), metavar="CAMPAIGN",
                        help=f"{', '.join(ALONE)}, or on gateways of the lab {', '.join(ON_GATEWAYS)}")  # fmt: skip
    parser.add_argument("--cases", type=int, help="fuzz: over all targets (1000000); controller: faults (200); "
                        f"concurrent: rounds (2 x {ROUNDS})")  # fmt: skip
    parser.add_argument("--only", action="append",
                        help="only this target, operation, or verb of power; more than once for more")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=30, help="soak: how long (30)")
    args = parser.parse_args()
    findings = 0
    if "fuzz" in args.campaigns:
        findings += _fuzz(args.cases or 1_000_000, args.only)
    if "faults" in args.campaigns:
        why = calls.missing()
        if why is not None:
            parser.error(why)
        findings += calls.campaign(args.only)
    findings += _on_gateways(args)
    return 1 if findings else 0


def _fuzz(cases: int, only: list[str] | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        chosen = [one for one in targets(Path(folder)) if only is None or one.name in only]
        return fuzz.campaign(chosen, cases, SEED)


def _on_gateways(args: argparse.Namespace) -> int:
    """Campaigns on gateways, each on a lab of its own; the number of findings. It prints a table."""
    chosen: dict[str, tuple[str, c.Callable[[Lab], list[Row]]]] = {
        "power": ("two", functools.partial(power.campaign, seed=SEED, verbs=args.only or ())),
        "controller": ("two", functools.partial(controller.campaign, seed=SEED, cases=args.cases or 200)),
        "concurrent": ("two", functools.partial(concurrency.campaign, seed=SEED, rounds=(args.cases or 20) // 2)),
        "secrets": ("two", leaks.campaign),
        "soak": ("mesh", functools.partial(soak.campaign, seed=SEED, minutes=args.minutes)),
    }
    rows: list[Row] = []
    for name in (name for name in args.campaigns if name in chosen):
        description, campaign = chosen[name]
        with Lab.load(FILES / f"{description}.yml", f"chaos{os.getpid()}") as lab:
            rows += campaign(lab)
    if rows:
        print(table(rows))
        print(f"seed {SEED}, Linux {platform.release()}, {os.cpu_count()} processors")
        for row in rows:
            for finding in row.findings:
                print(f"{row.campaign}: {finding}")
    return sum(len(row.findings) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
