# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._log import (
    HISTORY_TAIL,
    LOG_LINES,
    last_lines,
    read_history,
    read_log,
)


class Logs:
    """A host whose configuration names this log file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *argv: str, timeout: float) -> Completed:
        return Completed(argv, 0, f"export configfile='x'\nexport logfile='{self.path}'\n", "")


@pytest.mark.parametrize(
    ("text", "word", "lines"),
    [
        ("", "", ()),
        ("one\ntwo", "", ("one", "two")),
        ("a sshd[1]: x\na pluto[2]: y\n", "pluto", ("a pluto[2]: y",)),
        # with plutodebug=private a debug line can be a key
        ("| key: 00 11\nNov 23: | key: 00\na pluto[2]: | key\nfine a | b\n", "", ("fine a | b",)),
    ],
)
def test_the_end_of_a_log(text: str, word: str, lines: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    assert last_lines(str(path), word) == lines


def test_only_the_last_lines_are_last_words(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{n}\n" for n in range(100)))
    assert read_log(Logs(path), "x") == tuple(str(n) for n in range(100 - LOG_LINES, 100))


def test_a_history_is_longer_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('Nov 23 16:20:01.5: "old" #1: x\n' + f'Nov 23 16:20:02.5: "one" #2: {"x" * 1000}\n| key\n' * 2000)
    history = read_history(Logs(path), "x", 0)
    assert 100 < len(history) < 2000
    assert sum(map(len, history)) <= HISTORY_TAIL
    assert not any("key" in line or "old" in line for line in history)
    assert read_history(Logs(tmp_path / "none"), "x", 0) == ()
