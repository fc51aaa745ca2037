# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of `make bench`, from figures that nobody measured."""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree

import pytest

from bench.pair import connection, section
from bench.plot import NAMESPACE, Chart, figure, svg
from bench.report import PARTS, Ratio, as_history, charts, each, former, ratios, report, spread, table
from lab import Lab
from lab.spec import parse
from traffic import Tunnel

ABOUT = {
    "run": "1", "seed": 3, "machine": "a machine", "controller": "a controller", "when": "2026-11-29 00:00 UTC",
    "seconds": 60.0, "load": 0.1, "gateways": {"trixie": "Libreswan 5.2"},
}  # fmt: skip
NOTHING = {
    "seconds": 1.0, "sent": 900, "lost": 0, "pause": 0.1, "median_pause": 0.1, "spis": 0, "ike": 0, "missing": 0,
}  # fmt: skip


def taken(**seconds: list[float]) -> dict[str, t.Any]:
    return {"wall": [1.0], "controller": [1.0], "gateway": [1.0], "idle": 0.01, **seconds}


ROWS: dict[str, list[dict[str, t.Any]]] = {
    "reload": [
        {"tunnels": 10, "method": "ours", "rounds": [NOTHING] * 3},
        {"tunnels": 10, "method": "plain", "rounds": [{**NOTHING, "lost": lost, "spis": 9} for lost in (90, 80, 100)]},
        {"tunnels": 10, "method": "hand", "rounds": [{**NOTHING, "pause": 4.0}]},
    ],
    "converge": [
        {"connections": 10, "method": "plain", **taken(wall=[30.0, 20.0, 40.0])},
        {"connections": 10, "method": "ours", **taken(wall=[6.0])},
        {"connections": 200, "method": "plain", **taken(wall=[400.0])},
        {"connections": 200, "method": "ours", **taken(wall=[9.0])},
    ],
    "first": [
        {"connections": 10, "method": "ours", "wall": [15.0], "missing": [0]},
        {"connections": 10, "method": "hand", "wall": [10.0], "missing": [0]},
    ],
    "anatomy": [
        {
            "connections": 10,
            "start": [1.0, 1.2],
            "tasks": [[["Look", "xswan.ipsec.ipsec_status", 2.0]]] * 2,
            "words": [[["By a module", "ansible.builtin.ping", 0.5]]] * 2,
            "modules": [
                {"module": "python3", "bytes": 0, "cpu": [0.1], "ours": 0.0, "others": 0.0},
                {"module": "ping", "bytes": 2048, "cpu": [0.3], "ours": 0.0, "others": 0.1},
                {"module": "ipsec_status", "bytes": 4096, "cpu": [0.45], "ours": 0.05, "others": 0.2},
            ],
        }
    ],
    "fleet": [
        {"gateways": size, "forks": forks, "work": work, **taken(wall=[wall])}
        for work in ("status", "converge")
        for size, forks, wall in ((1, 5, 3.0), (16, 5, 40.0), (16, 25, 32.0))
    ],
    "topology": [{"gateways": 1000, "topology": [0.02, 0.02], "configuration": [0.05]}],
}
WHOLE = {name: {**ABOUT, "rows": ROWS[name]} for name in PARTS}
FOUND = {one.key: one for one in ratios(WHOLE)}


def test_every_part_has_figures_here() -> None:
    assert set(ROWS) == set(PARTS)


@pytest.mark.parametrize(
    ("key", "mine", "others", "value", "reached"),
    [
        ("reload.10.lost.plain", 0, 90, 0.0, "yes"),
        ("reload.10.spis.hand", 0, 0, None, "yes"),
        ("reload.10.pause.hand", 0.1, 4.0, 0.025, ""),
        ("converge.10.wall.plain", 6.0, 30.0, 0.2, "yes"),
        ("converge.10.controller.plain", 1.0, 1.0, 1.0, "no"),
        ("converge.growth", 9.0, 6.0, 1.5, ""),
        ("first.10.wall.hand", 15.0, 10.0, 1.5, "no"),
        ("fleet.status.growth", 2.0, 3.0, 2 / 3, ""),
    ],
)
def test_ratios_are_of_medians(key: str, mine: float, others: float, value: float | None, reached: str) -> None:
    one = FOUND[key]
    assert (one.mine, one.others, one.value, one.reached) == (mine, others, value, reached)


def test_a_packet_lost_misses_a_goal_of_none_whatever_the_other_one_loses() -> None:
    assert Ratio("", "", "", 1, 1000, "", 0).reached == "no"


def test_what_was_not_measured_has_no_ratio() -> None:
    assert ratios({}) == []
    assert ratios({"first": {**ABOUT, "rows": ROWS["first"][:1]}}) == []


def test_a_gateway_of_a_fleet_takes_its_part_of_the_wall() -> None:
    assert each(WHOLE, "status", 16, 5) == 2.5
    assert each(WHOLE, "status", 16) == 2.0
    assert each(WHOLE, "status", 1, 25) is None


def test_history_has_the_ratios_that_there_are() -> None:
    kept = as_history(FOUND.values())
    assert kept["first.10.wall.hand"] == 1.5
    assert kept["reload.10.lost.plain"] == 0.0
    assert "reload.10.spis.hand" not in kept


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], None),
        (["0.2.0"], None),
        (["0.1.0", "0.2.0"], "0.1.0"),
        (["0.9.0", "0.10.0", "0.2.0"], "0.10.0"),
    ],
)
def test_the_last_release_is_the_newest_other_version(versions: list[str], expected: str | None) -> None:
    assert former({version: {} for version in versions}, "0.2.0") == expected


def line_of(text: str, begin: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {begin} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_report_begins_with_ratios_beside_those_of_the_last_release() -> None:
    text = report(WHOLE, {"0.1.0": {"first.10.wall.hand": 1.13}, "0.2.0": {}}, "0.2.0", small=False)
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads[0] == "Ratios"
    assert len(heads) == 1 + len(PARTS)
    assert "Last release: 0.1.0." in text
    what = "10 connections, first converge until all are up"
    assert line_of(text, what) == [what, "by hand over SSH", "15 s", "10 s", "**1.50**", "1.2", "no", "1.13"]
    assert "small form" not in text
    assert "Not measured" not in text
    for fact in ("a machine", "a controller", "Libreswan 5.2", "Seed: 3", "Version: 0.2.0", "30 (20 to 40), n 3"):
        assert fact in text


def test_a_report_says_what_it_lacks() -> None:
    parts = {"first": WHOLE["first"], "fleet": {**WHOLE["fleet"], "run": "2"}}
    text = report(parts, {}, "0.2.0", small=True)
    assert "**This is the small form" in text
    assert "**Not measured: reload, converge, anatomy, topology.**" in text
    assert "from several runs" in text
    assert "Last release: none yet." in text


def test_every_table_has_as_many_cells_as_heads() -> None:
    text = report(WHOLE, {}, "0.2.0", small=False)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 9
    for lines in tables:
        assert len({line.count("|") for line in lines.splitlines()}) == 1


def test_figures() -> None:
    assert [figure(value) for value in (0, 0.123, 3.14, 42.0, 6050)] == ["0", "0.12", "3.1", "42", "6,050"]
    assert spread([1.5]) == "1.5, n 1"
    assert spread([1.0, 3.5, 2.0]) == "2 (1 to 3.5), n 3"
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def drawn(picture: str, what: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(f".//{{{NAMESPACE}}}{what}")


def test_the_picture_is_xml_whatever_the_words() -> None:
    picture = svg([Chart('<&"> title', ["a < b"], {"x & y": [1.0]})], "all & more")
    texts = [element.text for element in drawn(picture, "text")]
    assert texts == ['<&"> title', "x & y", "a < b", "1"]


def test_bars_are_as_high_as_their_values_and_missing_ones_are_not_drawn() -> None:
    picture = svg([Chart("t", ["one", "two"], {"ours": [10.0, 0.0], "other": [5.0, None]})], "t")
    bars = [element for element in drawn(picture, "rect") if element.get("width") == "42.0"]
    heights = [float(element.get("height", "")) for element in bars]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.1)
    assert heights[2:] == [0.0]


def test_the_picture_has_a_chart_for_each_comparison() -> None:
    titles = [chart.title for chart in charts(WHOLE)]
    assert len(titles) == len(set(titles)) == 6
    picture = svg(charts(WHOLE), "Benchmarks")
    assert [element.text for element in drawn(picture, "text") if element.get("font-weight")] == titles
    assert drawn(svg(charts({}), "Benchmarks"), "text") == []


def test_a_connection_is_written_as_its_two_ends_see_it() -> None:
    data = {
        "name": "x",
        "gateways": {
            "near": {"suite": "bookworm", "wan": "192.0.2.1", "lan": "10.1.0.0/24"},
            "far": {"suite": "trixie", "wan": "192.0.2.2", "lan": "10.2.0.0/24"},
        },
    }
    near, far = Lab(parse(data)).gateways.values()
    tunnel = Tunnel("t7", near, far)
    here, there = connection(tunnel, near, salifetime="6h"), connection(tunnel, far)
    assert (here["left"], here["leftid"], here["leftsubnet"]) == ("192.0.2.1", "@t7.near", "10.1.8.1/32")
    assert [here[f"left{key}"] for key in ("", "id", "subnet")] == [
        there[f"right{key}"] for key in ("", "id", "subnet")
    ]
    assert (here["auto"], there["auto"]) == ("start", "add")
    text = section(here)
    assert text.startswith("conn t7\n    left=192.0.2.1\n")
    assert text.endswith("    salifetime=6h\n")
