# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars as an SVG that needs nothing but itself. Pure."""

from __future__ import annotations

import collections.abc as c
import typing as t
from xml.etree import ElementTree

COLOURS = ("#0b7285", "#e8590c", "#868e96", "#5f3dc4")
"""Of the series in their order, ours first."""
INK, SOFT, LINE, PAPER = "#212529", "#495057", "#dee2e6", "#ffffff"
COLUMNS = 2
WIDTH, HEIGHT = 460, 260
"""Of a chart, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 20, 20, 64, 34
"""Its margins."""
NAMESPACE = "http://www.w3.org/2000/svg"


class Chart(t.NamedTuple):
    """One picture: a group of bars for each situation, in it a bar for each series."""

    title: str
    groups: list[str]
    series: dict[str, list[float | None]]
    """A value for each group; None: was not measured."""


def figure(value: float) -> str:
    """A number with as many digits as a reader needs."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def svg(charts: c.Sequence[Chart], title: str) -> str:
    """All charts in one picture."""
    rows = -(-len(charts) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    root = ElementTree.Element(
        "svg",
        {"xmlns": NAMESPACE, "viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
        | {"role": "img", "font-family": "sans-serif", "font-size": "12"},
    )
    ElementTree.SubElement(root, "title").text = title
    _box(root, 0, 0, width, height, PAPER)
    for index, chart in enumerate(charts):
        row, column = divmod(index, COLUMNS)
        group = ElementTree.SubElement(root, "g", {"transform": f"translate({column * WIDTH} {row * HEIGHT})"})
        _chart(group, chart)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _chart(into: ElementTree.Element, chart: Chart) -> None:
    _text(into, LEFT, 22, chart.title, {"font-weight": "bold", "fill": INK})
    across = LEFT
    for colour, name in zip(COLOURS, chart.series, strict=False):
        _box(into, across, 34, 10, 10, colour)
        _text(into, across + 14, 43, name, {"fill": SOFT})
        across += 30 + 7 * len(name)
    most = max((value for values in chart.series.values() for value in values if value is not None), default=0) or 1
    floor = HEIGHT - BOTTOM
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(chart.groups))
    breadth = min(44.0, wide * 0.85 / max(1, len(chart.series)))
    for number, name in enumerate(chart.groups):
        middle = LEFT + wide * (number + 0.5)
        _text(into, middle, floor + 18, name, {"fill": SOFT, "text-anchor": "middle"})
        begin = middle - breadth * len(chart.series) / 2
        for place, (colour, values) in enumerate(zip(COLOURS, chart.series.values(), strict=False)):
            value = values[number]
            if value is None:
                continue
            high = (floor - TOP - 14) * max(0.0, value) / most
            _box(into, begin + breadth * place + 1, floor - high, breadth - 2, high, colour)
            where = begin + breadth * (place + 0.5)
            _text(into, where, floor - high - 4, figure(value), {"fill": INK, "text-anchor": "middle"})
    ElementTree.SubElement(
        into, "path", {"d": f"M{LEFT} {floor + 0.5}H{WIDTH - RIGHT}", "stroke": LINE, "fill": "none"}
    )


def _box(into: ElementTree.Element, x: float, y: float, width: float, height: float, colour: str) -> None:
    sizes = {"x": x, "y": y, "width": width, "height": height}
    ElementTree.SubElement(into, "rect", {**{key: f"{value:.1f}" for key, value in sizes.items()}, "fill": colour})


def _text(into: ElementTree.Element, x: float, y: float, text: str, more: dict[str, str]) -> None:
    ElementTree.SubElement(into, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", **more}).text = text
