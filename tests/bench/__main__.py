# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench`: what the collection costs beside what others cost, on gateways of the lab; see `--help`."""

from __future__ import annotations

import argparse
import collections.abc as c
import functools
import json
import os
import random
import re
import signal
import sys
import time
import typing as t
from pathlib import Path

from walks import SEED

from bench import anatomy, converge, fleet, reload
from bench.pair import pair
from bench.plot import svg
from bench.report import PARTS, as_history, charts, machine, ratios, report
from bench.tools import CHECKOUT, OUTPUT, Row, up, versions
from lab import LabError
from lab.tools import run

if t.TYPE_CHECKING:
    from bench.pair import Pair

DOCS = CHECKOUT / "docs"
REPORT, PICTURE, HISTORY = "benchmarks.md", "benchmarks.svg", "benchmarks.json"


class Form(t.NamedTuple):
    """How much is measured: rounds by number of tunnels or connections, sizes of the fleet."""

    reload: dict[int, int]
    converge: dict[int, tuple[int, int]]
    """Rounds of the role, and of the plain playbook."""
    first: dict[int, int]
    anatomy: int
    sizes: tuple[int, ...]
    fleet: dict[str, int]
    topology: tuple[int, int]
    """Gateways of the mesh, and of how many of them the part is computed."""


FULL = Form(
    reload={10: 3, 50: 1, 200: 1},
    converge={10: (3, 2), 50: (2, 1), 200: (2, 1)},
    first={10: 3, 50: 1, 200: 1},
    anatomy=2,
    sizes=(1, 4, 16, 32),
    fleet={"status": 1, "converge": 1},
    topology=(1000, 50),
)
SMALL = Form(
    reload={10: 1},
    converge={10: (1, 1)},
    first={10: 1},
    anatomy=1,
    sizes=(1, 2),
    fleet={"status": 1, "converge": 1},
    topology=(1000, 5),
)


class Keeper:
    """Keeps what each part has found, as soon as it has, so that a run that ends early was not for nothing."""

    def __init__(self, folder: Path, common: Row) -> None:
        self.folder = folder
        self.common = common

    def part(self, name: str, gateways: dict[str, str], work: c.Callable[[], list[Row]]) -> None:
        """Run a part and keep its rows, with what is to be known about the run."""
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        about = {"machine": machine(), "load": os.getloadavg()[0], "when": when}
        began = time.monotonic()
        rows = work()
        found = {**self.common, **about, "gateways": gateways, "seconds": time.monotonic() - began, "rows": rows}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.json").write_text(json.dumps(found, indent=1))

    def parts(self) -> dict[str, Row]:
        """All that are there, in the order of the report."""
        paths = {name: self.folder / f"{name}.json" for name in PARTS}
        return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def measure(keeper: Keeper, form: Form, wanted: c.Collection[str]) -> None:
    """Run these parts. Each has a seed of its own, so that it does the same alone as among others."""
    on_pair: dict[str, c.Callable[[Pair], list[Row]]] = {
        "reload": lambda made: reload.measure(made, chance("reload"), form.reload),
        "converge": lambda made: converge.nothing_to_do(made, form.converge),
        "first": lambda made: converge.first(made, form.first),
        "anatomy": lambda made: anatomy.measure(made, form.anatomy),
    }

    def chance(name: str) -> random.Random:
        return random.Random(f"{keeper.common['seed']} {name}")

    if "topology" in wanted:
        keeper.part("topology", {}, lambda: fleet.topology(*form.topology))
    if any(name in wanted for name in on_pair):
        with pair(chance("pair")) as made:
            seen = versions(made.lab)
            for name, work in on_pair.items():
                if name in wanted:
                    keeper.part(name, seen, functools.partial(work, made))
    if "fleet" in wanted:
        with up(fleet.description(max(form.sizes)), "fleet") as lab:
            work = functools.partial(fleet.measure, lab, chance("fleet"), form.sizes, form.fleet)
            keeper.part("fleet", versions(lab), work)


def publish(keeper: Keeper, version: str, *, small: bool) -> Path:
    """Write report and picture, and return the report's path.

    They go to docs/, with the ratios for later versions, when everything was measured in one run; else to tests/output.
    """
    parts = keeper.parts()
    kept = DOCS / HISTORY
    history: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    whole = not small and set(parts) == set(PARTS) and len({part["run"] for part in parts.values()}) == 1
    folder = DOCS if whole else OUTPUT
    (folder / PICTURE).write_text(svg(charts(parts), "Benchmarks of xswan.ipsec"))
    (folder / REPORT).write_text(report(parts, history, version, small=small))
    if whole:
        kept.write_text(json.dumps({**history, version: as_history(ratios(parts))}, indent=1) + "\n")
    return folder / REPORT


def main() -> None:
    """Measure what is asked for, and make the report of all that is there."""
    parser = argparse.ArgumentParser(prog="bench", description="What the collection costs beside what others do.")
    parser.add_argument("--small", action="store_true", help="a few minutes; writes to tests/output only")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; more than once for more")
    parser.add_argument("--resume", action="store_true", help="go on with a run that ended early")
    parser.add_argument("--report", action="store_true", help="measure nothing; make the report of what is there")
    options = parser.parse_args()
    # so that labs end with us, whoever ends us
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("bench: ended by SIGTERM"))
    (version,) = re.findall(r"^version: (\S+)$", (CHECKOUT / "galaxy.yml").read_text(), re.MULTILINE)
    controller = run([str(Path(sys.executable).parent / "ansible"), "--version"]).stdout.splitlines()[0]
    common = {
        "run": f"{time.time():.0f}", "seed": SEED, "version": version,
        "controller": f"{controller}, Python {sys.version.split()[0]}",
    }  # fmt: skip
    keeper = Keeper(OUTPUT / "bench" / ("small" if options.small else "full"), common)
    form = SMALL if options.small else FULL
    wanted = list(options.only or PARTS)
    there = keeper.parts()
    if options.resume and there:
        last = max(there.values(), key=lambda part: part["run"])
        common |= {key: last[key] for key in ("run", "seed")}
        wanted = [name for name in wanted if name not in there or there[name]["run"] != last["run"]]
    elif not options.only and not options.report:
        for name in there:
            (keeper.folder / f"{name}.json").unlink()
    print(
        f"bench: seed {common['seed']} (XSWAN_SEED), {'nothing' if options.report else ', '.join(wanted)}", flush=True
    )
    try:
        if not options.report:
            measure(keeper, form, wanted)
    finally:
        if keeper.parts():
            path = publish(keeper, version, small=options.small)
            print(path.read_text(), end="")
            print(f"\nbench: written to {path.relative_to(CHECKOUT)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
