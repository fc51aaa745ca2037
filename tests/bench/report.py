# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a benchmark: ratios first, then what was measured. Pure, but for what it tells of this machine."""

from __future__ import annotations

import collections.abc as c
import os
import platform
import re
import statistics
import typing as t
from pathlib import Path

from bench.plot import Chart, figure

Row = dict[str, t.Any]
Parts = t.Mapping[str, Row]
"""What each part of the benchmark has found, by its name; `rows` are its figures."""
History = t.Mapping[str, t.Mapping[str, float]]
"""Ratios by version."""

PARTS = ("reload", "converge", "first", "anatomy", "fleet", "topology")
NAMES = {"ours": "xswan.ipsec", "plain": "template and restart", "hand": "by hand over SSH"}
QUARTER, FIRST = 0.25, 1.2
"""Goals: the ratio of a converge without change to the plain playbook's, and of a first converge to that by hand."""


class Ratio(t.NamedTuple):
    """What we take, compared with what another one takes for the same."""

    key: str
    """Its name among those of other versions."""
    what: str
    other: str
    """Whom it is compared with."""
    mine: float
    others: float
    unit: str
    goal: float | None
    """The ratio that is not to be exceeded, if there is one."""

    @property
    def value(self) -> float | None:
        """None where the other one takes nothing, so that there is no ratio."""
        return self.mine / self.others if self.others else None

    @property
    def reached(self) -> str:
        """Whether it is as it should be. A goal of 0 is about what we take, whatever the other one does."""
        if self.goal is None:
            return ""
        if self.goal == 0:
            return "yes" if self.mine == 0 else "no"
        return "" if self.value is None else "yes" if self.value <= self.goal else "no"


def table(head: c.Sequence[str], rows: c.Iterable[c.Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def machine() -> str:
    """What this machine is."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    return f"{cpu}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def spread(values: c.Sequence[float]) -> str:
    """The median of a figure's rounds, least and most of them, and how many there were."""
    if len(values) == 1:
        return f"{figure(values[0])}, n 1"
    return f"{figure(statistics.median(values))} ({figure(min(values))} to {figure(max(values))}), n {len(values)}"


def _select(parts: Parts, part: str, **wanted: object) -> list[Row]:
    rows: list[Row] = parts[part]["rows"] if part in parts else []
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _numbers(parts: Parts, part: str, key: str) -> list[int]:
    """The situations of a part, in their order."""
    return sorted({row[key] for row in _select(parts, part)})


def _values(parts: Parts, part: str, key: str, **wanted: object) -> list[float]:
    """The rounds of one figure; of a part with rows of rounds that figure of each."""
    for row in _select(parts, part, **wanted):
        return [one[key] for one in row["rounds"]] if "rounds" in row else row[key]
    return []


def _median(parts: Parts, part: str, key: str, **wanted: object) -> float | None:
    values = _values(parts, part, key, **wanted)
    return statistics.median(values) if values else None


def ratios(parts: Parts) -> list[Ratio]:
    """All that these parts allow."""
    found: list[Ratio | None] = []
    for number in _numbers(parts, "reload", "tunnels"):
        for key, what, unit in (
            ("lost", "packets lost on the others", ""),
            ("spis", "of the others negotiated anew", ""),
            ("pause", "longest time without an answer on the others", "s"),
        ):
            text = f"{number} tunnels, one changed: {what}"
            goal = None if key == "pause" else 0
            found += [
                _ratio(parts, "reload", key, text, method, unit, goal, tunnels=number) for method in ("plain", "hand")
            ]
    for number in _numbers(parts, "converge", "connections"):
        for key, what in (
            ("wall", "wall time"),
            ("controller", "CPU of the controller"),
            ("gateway", "CPU of the gateway"),
        ):
            text = f"{number} connections, nothing to do: {what}"
            found.append(_ratio(parts, "converge", key, text, "plain", "s", QUARTER, connections=number))
    for number in _numbers(parts, "first", "connections"):
        text = f"{number} connections, first converge until all are up"
        found.append(_ratio(parts, "first", "wall", text, "hand", "s", FIRST, connections=number))
    return [one for one in found if one is not None] + growth(parts)


def _ratio(
    parts: Parts, part: str, key: str, what: str, method: str, unit: str, goal: float | None, **wanted: int
) -> Ratio | None:
    mine = _median(parts, part, key, method="ours", **wanted)
    others = _median(parts, part, key, method=method, **wanted)
    if mine is None or others is None:
        return None
    number = next(iter(wanted.values()))
    return Ratio(f"{part}.{number}.{key}.{method}", what, NAMES[method], mine, others, unit, goal)


def growth(parts: Parts) -> list[Ratio]:
    """How what we take grows with connections, and how what a gateway takes does with the fleet."""
    found = []
    numbers = _numbers(parts, "converge", "connections")
    if len(numbers) > 1:
        few, many = (
            _median(parts, "converge", "wall", method="ours", connections=number)
            for number in (numbers[0], numbers[-1])
        )
        if few is not None and many is not None:
            what = f"nothing to do: wall time of {numbers[-1]} connections"
            found.append(Ratio("converge.growth", what, f"xswan.ipsec, {numbers[0]} connections", many, few, "s", None))
    sizes = _numbers(parts, "fleet", "gateways")
    if len(sizes) > 1:
        for work in ("status", "converge"):
            one, many = (each(parts, work, size) for size in (sizes[0], sizes[-1]))
            if one is not None and many is not None:
                what = f"fleet, {WORKS[work]}: wall time for each of {sizes[-1]} gateways"
                found.append(
                    Ratio(f"fleet.{work}.growth", what, f"xswan.ipsec, {sizes[0]} gateway", many, one, "s", None)
                )
    return found


WORKS = {"status": "a look by ipsec_status", "converge": "a converge with nothing to do"}


def each(parts: Parts, work: str, size: int, forks: int | None = None) -> float | None:
    """Wall seconds for each gateway of a fleet, with so many forks or the most that were measured."""
    rows = [row for row in _select(parts, "fleet", work=work, gateways=size) if forks in (None, row["forks"])]
    return statistics.median(max(rows, key=lambda row: row["forks"])["wall"]) / size if rows else None


def as_history(found: c.Iterable[Ratio]) -> dict[str, float]:
    """What of a run is kept for later versions."""
    return {one.key: round(one.value, 3) for one in found if one.value is not None}


def former(history: History, version: str) -> str | None:
    """The newest version in the history that is not this one."""
    others = [name for name in history if name != version]
    return max(others, key=lambda name: [int(part) for part in re.findall(r"\d+", name)], default=None)


def report(parts: Parts, history: History, version: str, *, small: bool) -> str:
    """The whole report."""
    sections = {
        "reload": _reload, "converge": _converge, "first": _first, "anatomy": _anatomy, "fleet": _fleet,
        "topology": _topology,
    }  # fmt: skip
    lines = [*_head(parts, version, small=small), "", *_summary(parts, history, version)]
    for name, section in sections.items():
        if name in parts:
            lines += ["", *section(parts)]
    return "\n".join([*lines, ""])


def _head(parts: Parts, version: str, *, small: bool) -> list[str]:
    missing = [name for name in PARTS if name not in parts]
    runs = {part["run"] for part in parts.values()}
    gateways = {suite: text for part in parts.values() for suite, text in part["gateways"].items()}
    lines = ["# Benchmarks", "", f"Made by `make bench{' ARGS=--small' if small else ''}`; do not edit.", ""]
    if small:
        lines += [
            "**This is the small form: few connections, few gateways, one round. It shows that the benchmark works, "
            "and its figures prove nothing.** `make bench` has the full one.",
            "",
        ]
    if missing:
        lines += [f"**Not measured: {', '.join(missing)}.**", ""]
    if len(runs) > 1:
        lines += ["**The parts are from several runs, so their figures must not be compared with each other.**", ""]
    lines += [
        "Gateways are User-mode Linux machines of the lab"
        " beside the controller, on the same processors. A system call costs a multiple there. So figures are for "
        "comparison within this page, and what counts are ratios; what a look costs on a kernel of its own is in "
        "[what a look costs](benchmarks-status.md).",
        "",
        "Figures are the median of n rounds (least to most). In a round each way is tried once, one after the other.",
        "",
        f"- Version: {version}.",
        *(f"- Machine: {text}." for text in sorted({part["machine"] for part in parts.values()})),
        *(f"- Controller: {text}." for text in sorted({part["controller"] for part in parts.values()})),
        *(f"- Gateways, {suite}: {text}." for suite, text in sorted(gateways.items())),
        *(f"- Seed: {text} (`XSWAN_SEED`)." for text in sorted({str(part["seed"]) for part in parts.values()})),
        "- Measured, and the load before: " + ", ".join(map(_when, parts, parts.values())) + ".",
    ]
    return lines


def _when(name: str, part: Row) -> str:
    return f"{name} {part['when']} in {part['seconds']:.0f} s ({part['load']:.1f})"


def _summary(parts: Parts, history: History, version: str) -> list[str]:
    last = former(history, version)
    old = history[last] if last else {}
    rows = [
        [
            one.what, one.other, _with_unit(one.mine, one.unit), _with_unit(one.others, one.unit),
            "" if one.value is None else f"**{one.value:.2f}**",
            "" if one.goal is None else f"{one.goal:g}", one.reached,
            f"{old[one.key]:.2f}" if one.key in old else "",
        ]
        for one in ratios(parts)
    ]  # fmt: skip
    return [
        "## Ratios",
        "",
        "What we take divided by what the other one takes; less than 1 is less. A goal of 0 is about the number "
        f"itself. Last release: {last or 'none yet'}.",
        "",
        *table(["what", "compared with", "ours", "the other", "ratio", "goal", "reached", "last release"], rows),
        "",
        "![The same as bars](benchmarks.svg)",
    ]


def _with_unit(value: float, unit: str) -> str:
    return f"{figure(value)} {unit}".rstrip()


def _reload(parts: Parts) -> list[str]:
    rows = []
    for row in _select(parts, "reload"):
        every = row["rounds"]
        columns = ("lost", "sent", "pause", "median_pause", "spis", "ike", "missing", "seconds")
        cells = [spread([one[key] for one in every]) for key in columns]
        rows.append([str(row["tunnels"]), NAMES[row["method"]], *cells])
    head = [
        "tunnels", "way", "packets lost", "of", "longest time without an answer, s", "the same, median of tunnels, s",
        "tunnels with new SPIs", "new IKE SAs", "not up again", "the change took, s",
    ]  # fmt: skip
    return [
        "## One connection is changed among many that are up",
        "",
        "Two gateways, each tunnel with an IKE SA of its own. `salifetime` of one tunnel is changed on the gateway "
        "that begins them all. Through all others goes a stream of datagrams, together about 200 a second, which the "
        "other end answers; a packet is lost when there is no answer. What was negotiated anew is what the peer tells. "
        "*xswan.ipsec* writes the file and has `ipsec_setup` with `state: reloaded` take it over; *template and "
        "restart* is tests/bench/playbooks/plain.yml, spared its loop over the connections that stay as they are; "
        "*by hand* is `ipsec restart` over SSH. "
        "A time without an answer is at least the interval of the stream, which is the number of tunnels / 200 s.",
        "",
        *table(head, rows),
    ]


def _converge(parts: Parts) -> list[str]:
    rows = [
        [
            str(row["connections"]),
            NAMES[row["method"]],
            *(spread(row[key]) for key in ("wall", "controller", "gateway")),
        ]
        for row in _select(parts, "converge")
    ]
    quiet = ", ".join(
        f"{row['idle'] * 1000:.0f} ms a second with {row['connections']}"
        for row in _select(parts, "converge", method="ours")
    )
    return [
        "## A converge that has nothing to do",
        "",
        "One gateway, whose tunnels are up. The role against a playbook with a template for each connection "
        "(tests/bench/playbooks/plain.yml). CPU of the controller is ansible-playbook with all its workers and ssh "
        f"clients; CPU of the gateway is that of its machine, less what it takes when idle ({quiet}). "
        "The start of Ansible and of each module is in both: with few connections the plain playbook does little more.",
        "",
        *table(["connections", "playbook", "wall, s", "CPU of the controller, s", "CPU of the gateway, s"], rows),
    ]


def _first(parts: Parts) -> list[str]:
    rows = [
        [str(row["connections"]), NAMES[row["method"]], spread(row["wall"]), spread(row["missing"])]
        for row in _select(parts, "first")
    ]
    return [
        "## The first converge",
        "",
        "Both gateways at once, from no files and no pluto until both tell traffic counters of every tunnel. "
        "The role against the same connections written over SSH, and `systemctl enable --now ipsec`. "
        "What is before a first converge, the package, is there in both. What the role takes more is what Ansible and "
        "its modules take (a converge with nothing to do takes that too), and a throw-away pluto, which loads the "
        "configuration before it is installed; by hand neither is there.",
        "",
        *table(["connections", "way", "wall, s", "not up when patience ended"], rows),
    ]


def _anatomy(parts: Parts) -> list[str]:
    (row,) = _select(parts, "anatomy")
    whole = [start + sum(task[2] for task in tasks) for start, tasks in zip(row["start"], row["tasks"], strict=True)]
    rows = [["start of the controller, until the first task", "", spread(row["start"])]]
    rows += [
        [name, action, spread([tasks[place][2] for tasks in row["tasks"]])]
        for place, (name, action, _seconds) in enumerate(row["tasks"][0])
    ]
    rows += [["all", "", spread(whole)]]
    words = [
        [name, spread([tasks[place][2] for tasks in row["words"]])]
        for place, (name, _action, _seconds) in enumerate(row["words"][0])
    ]
    python = statistics.median(next(one["cpu"] for one in row["modules"] if one["module"] == "python3"))
    empty = statistics.median(next(one["cpu"] for one in row["modules"] if one["module"] == "ping"))
    inside = [
        [
            one["module"], f"{one['bytes'] / 1024:.0f}", spread([1000 * value for value in one["cpu"]]),
            f"{1000 * (statistics.median(one['cpu']) - (python if one['module'] == 'ping' else empty)):.0f}"
            if one["bytes"] else "",
            f"{1000 * one['ours']:.0f}" if one["bytes"] else "", f"{1000 * one['others']:.0f}" if one["bytes"] else "",
        ]
        for one in row["modules"]
    ]  # fmt: skip
    return [
        "## Where the time of a converge goes",
        "",
        f"One gateway with {row['connections']} connections, nothing to do, by the wall; a task lasts until the next "
        "one begins. What has the action of a module of Ansible's own that needs no gateway (set_fact, assert, "
        "include_tasks) is work of the controller alone.",
        "",
        *table(["task", "action", "wall, s"], rows),
        "",
        "Tasks that do next to nothing: SSH alone, and what a module adds to it (building and sending it, Python, "
        "Ansible's own part).",
        "",
        *table(["task", "wall, s"], words),
        "",
        "The modules again, as they were sent, run on the gateway by themselves. CPU is that of its machine, "
        "Python's start included. `besides` is what is more than that of ping, and of ping what is more than "
        "Python's start. Imports are what `python3 -X importtime` tells once, in milliseconds of the wall: of our "
        "own files, and of all others.",
        "",
        *table(["module", "KiB", "CPU, ms", "besides, ms", "imports of ours, ms", "other imports, ms"], inside),
    ]


def _fleet(parts: Parts) -> list[str]:
    rows = [
        [
            str(row["gateways"]), str(row["forks"]), WORKS[row["work"]], spread(row["wall"]),
            *(figure(statistics.median(row[key]) / row["gateways"]) for key in ("wall", "controller", "gateway")),
        ]
        for work in WORKS
        for row in _select(parts, "fleet", work=work)
    ]  # fmt: skip
    head = [
        "gateways", "forks", "work", "wall, s", "wall for each, s", "CPU of the controller for each, s",
        "CPU of the gateways for each, s",
    ]  # fmt: skip
    return [
        "## A fleet",
        "",
        "Gateways with one connection each, and nothing to do. All of them share the processors of this machine with "
        "the controller, so with two processors no number of forks can bring the wall below half of the CPU; "
        "on real gateways what remains is the CPU of the controller. More forks than gateways are the same as fewer.",
        "",
        *table(head, rows),
    ]


def _topology(parts: Parts) -> list[str]:
    (row,) = _select(parts, "topology")
    rows = [
        [what, spread([1000 * value for value in row[key]]), f"{statistics.mean(row[key]) * row['gateways']:.0f}"]
        for key, what in (
            ("topology", "its connections (`xswan.ipsec.topology`)"),
            (
                "configuration",
                "all that its files hold, with a derived key for each pair (`xswan.ipsec.configuration`)",
            ),
        )
    ]
    return [
        "## A topology",
        "",
        f"A full mesh of {row['gateways']:,} gateways, {row['gateways'] * (row['gateways'] - 1) // 2:,} pairs, on the "
        "controller. CPU time.",
        "",
        *table(["of one gateway", "ms", "all gateways, s (computed from that)"], rows),
    ]


def charts(parts: Parts) -> list[Chart]:
    """What the picture shows."""

    def bars(title: str, part: str, key: str, by: str, methods: c.Sequence[str]) -> Chart:
        numbers = _numbers(parts, part, by)
        series = {
            NAMES[method]: [_median(parts, part, key, method=method, **{by: number}) for number in numbers]
            for method in methods
        }
        return Chart(title, [f"{number} {by}" for number in numbers], series)

    found = []
    if "reload" in parts:
        found += [
            bars("One changed: packets lost on the others", "reload", "lost", "tunnels", tuple(NAMES)),
            bars("One changed: seconds without traffic on the others", "reload", "pause", "tunnels", tuple(NAMES)),
        ]
    if "converge" in parts:
        title = "Nothing to do: seconds of a converge"
        found.append(bars(title, "converge", "wall", "connections", ("ours", "plain")))
    if "first" in parts:
        found.append(bars("First converge: seconds until all are up", "first", "wall", "connections", ("ours", "hand")))
    if "fleet" in parts:
        sizes = _numbers(parts, "fleet", "gateways")
        for work, words in WORKS.items():
            series = {
                f"{forks} forks": [each(parts, work, size, forks) for size in sizes]
                for forks in _numbers(parts, "fleet", "forks")
            }
            title = f"Fleet, {words}: seconds a gateway"
            found.append(Chart(title, [str(size) for size in sizes], series))
    return found
