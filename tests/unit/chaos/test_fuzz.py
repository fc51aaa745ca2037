# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short part of fuzzing: always the same cases, and all that the long one (`make fuzz`) has ever found."""

from __future__ import annotations

import tempfile
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import IPsecError
from chaos import fuzz
from chaos.targets import Shown, Target, targets

CASES = 80
"""Of each target."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {target.name: target for target in targets(tmp_path_factory.mktemp("fuzz"))}


with tempfile.TemporaryDirectory() as _folder:
    NAMES = [target.name for target in targets(Path(_folder))]


@pytest.mark.parametrize("name", NAMES)
def test_no_error_but_ours_no_hang_and_a_result_that_can_be_shown(readers: dict[str, Target], name: str) -> None:
    count, found = fuzz.fuzz(readers[name], CASES, None)
    assert count >= CASES
    assert not found, "\n".join(f"{finding.what}: {finding.text!r}" for finding in found)


def test_what_was_found_is_mended(readers: dict[str, Target]) -> None:
    kept = fuzz.kept()
    assert len(kept) > 50
    with fuzz.watched():
        found = {f"{name}: {text[:200]!r}": fuzz.wrong(readers[name], text) for name, text in kept}
    assert not {case: what for case, what in found.items() if what}


@pytest.mark.parametrize("name", NAMES)
def test_the_seeds_are_read(readers: dict[str, Target], name: str) -> None:
    """At least one is understood: a target that refuses everything would find nothing."""
    target = readers[name]
    results = []
    for text in target.seeds:
        try:
            results.append(target.read(target.case(text)))
        except IPsecError:
            continue
    assert results


def _spins(_text: str) -> t.NoReturn:
    while True:
        time.process_time()


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (int, "ValueError in wrong"),
        (_spins, "HangError"),
        (lambda _text: [float("nan")], "ValueError in iterencode"),
        (lambda text: text * 1000, "WrongError in _judge"),
        (lambda _text: [Shown("\x1b[2J")], "WrongError in _judge"),
        (lambda _text: None, None),
    ],
)
def test_each_sort_of_finding_would_be_found(
    monkeypatch: pytest.MonkeyPatch, read: t.Callable[[str], object], what: str | None
) -> None:
    monkeypatch.setattr(fuzz, "CPU_S", 0.2)
    with fuzz.watched():
        assert fuzz.wrong(Target("made-up", read, ("x",)), "x" * 1000) == what


def test_a_finding_is_made_smaller_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path)

    def read(text: str) -> None:
        if "k" in text:
            raise KeyError(text)

    target = Target("made-up", read, ("many words and a key among them\n" * 9,))
    _count, (finding,) = fuzz.fuzz(target, 50, 1)
    assert (finding.target, finding.what, finding.text) == ("made-up", "KeyError in read", "k")
    fuzz.keep(finding)
    assert fuzz.kept() == [("made-up", "k")]
