# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of `make bench` keeps, and where its report goes."""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.report import PARTS
from lab import LabError

TOPOLOGY = [{"gateways": 1000, "topology": [0.02], "configuration": [0.05]}]
FIRST = [
    {"connections": 10, "method": "ours", "wall": [15.0], "missing": [0]},
    {"connections": 10, "method": "hand", "wall": [10.0], "missing": [0]},
]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Those of documents and of output, both empty."""
    found = tmp_path / "docs", tmp_path / "output"
    for name, folder in zip(("DOCS", "OUTPUT"), found, strict=True):
        folder.mkdir()
        monkeypatch.setattr(bench, name, folder)
    return found


def keeper(folder: Path, run: str = "1") -> bench.Keeper:
    return bench.Keeper(folder, {"run": run, "seed": 3, "version": "0.2.0", "controller": "a controller"})


def keep(kept: bench.Keeper, *names: str) -> None:
    rows: dict[str, list[dict[str, t.Any]]] = {"topology": TOPOLOGY, "first": FIRST}
    for name in names:
        kept.part(name, {}, functools.partial(rows.__getitem__, name))


def test_a_part_is_kept_as_soon_as_it_is_done_and_the_next_one_may_fail(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    keep(kept, "first")

    def fails() -> list[dict[str, t.Any]]:
        raise LabError("a gateway died")

    with pytest.raises(LabError):
        kept.part("topology", {}, fails)
    assert list(kept.parts()) == ["first"]
    assert kept.parts()["first"]["rows"] == FIRST


@pytest.fixture
def two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of two parts."""
    assert {"first", "topology"} <= set(PARTS)
    monkeypatch.setattr(bench, "PARTS", ("first", "topology"))


@pytest.mark.usefixtures("two_parts")
def test_a_whole_run_is_published_and_its_ratios_kept(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    docs, _output = folders
    (docs / "benchmarks.json").write_text('{"0.1.0": {"first.10.wall.hand": 1.13}}')
    kept = keeper(tmp_path / "parts")
    keep(kept, "first", "topology")
    assert bench.publish(kept, "0.2.0", small=False) == docs / "benchmarks.md"
    assert "Last release: 0.1.0." in (docs / "benchmarks.md").read_text()
    assert json.loads((docs / "benchmarks.json").read_text()) == {
        "0.1.0": {"first.10.wall.hand": 1.13},
        "0.2.0": {"first.10.wall.hand": 1.5},
    }


@pytest.mark.usefixtures("two_parts")
@pytest.mark.parametrize("why", ["small", "a part is missing", "several runs"])
def test_anything_else_goes_to_output(tmp_path: Path, folders: tuple[Path, Path], why: str) -> None:
    docs, output = folders
    keep(keeper(tmp_path / "parts"), "first")
    kept = keeper(tmp_path / "parts", run="2" if why == "several runs" else "1")
    if why != "a part is missing":
        keep(kept, "topology")
    assert bench.publish(kept, "0.2.0", small=why == "small") == output / "benchmarks.md"
    assert sorted(path.name for path in output.iterdir()) == ["benchmarks.md", "benchmarks.svg"]
    assert list(docs.iterdir()) == []
