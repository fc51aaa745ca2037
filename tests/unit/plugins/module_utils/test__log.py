# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _log
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._log import (
    HISTORY_LINES,
    HISTORY_TAIL,
    LOG_LINES,
    journal,
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


class Journalctl:
    """What systemd 247 and 252 print of a journal of so many lines when they are asked since a time."""

    def __init__(self, lines: int) -> None:
        self.lines = [f"{number}" for number in range(lines)]

    def run(self, *argv: str, timeout: float) -> Completed:
        if argv[0] != "journalctl":
            return Completed(argv, 0, "export configfile='x'\n", "")
        count = next(int(word.partition("=")[2]) for word in argv if word.startswith("--lines="))
        shown = self.lines[::-1] if "--reverse" in argv else self.lines
        return Completed(argv, 0, "".join(f"{line}\n" for line in shown[:count]), "")


def test_the_newest_lines_of_a_journal_count() -> None:
    """Which come in their order."""
    assert journal(Journalctl(5), "--since=@0", "--lines=3", timeout=1) == ["2", "3", "4"]


@pytest.mark.parametrize("lines", [3, HISTORY_LINES + 10])
def test_a_history_by_the_journal_ends_with_the_newest(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "booted_with_systemd", lambda: True)
    history = read_history(Journalctl(lines), "x", 0)
    assert history[-3:] == (f"{lines - 3}", f"{lines - 2}", f"{lines - 1}")
    assert len(history) >= min(lines, HISTORY_LINES)
