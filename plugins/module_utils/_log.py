# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where pluto's words are found: the file that logfile= names, else the journal or the system log's files.

All lines go through `telling`, which leaves out what may be secret.
"""

from __future__ import annotations

import os
import typing as t

from ._errors import ConfigError
from ._secrecy import safe
from ._settings import config_setup
from ._systemd import UNIT, booted_with_systemd

if t.TYPE_CHECKING:
    from ._ports import Commands

LOG = "/var/log/pluto.log"
"""Where Libreswan's own `ipsec setup` has pluto log when it was built for no init system."""
SYSLOGS = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages")
"""Where the system log's facility authpriv, pluto's, goes: Debian, Red Hat, others."""
LOG_LINES = 15
LOG_TAIL = 262144
"""Bytes of a log that are looked at for its last lines: a thousand connections' worth."""

HISTORY_LINES = 5000
HISTORY_TAIL = 1048576
"""Lines of the journal and bytes of a file that are looked at for what became of the connections."""
LOADING_LINES = 20000
LOADING_TIME = 120
"""Lines, and seconds after pluto's start, in which it tells why it does not load a connection."""
TIMEOUT = 10.0
"""Seconds that journalctl has."""


def read_log(commands: Commands, config: str, about: str = "") -> tuple[str, ...]:
    """The last lines of pluto's log that hold `about`, on a host without a journal."""
    named = _named(commands, config)
    paths = [named] if named else [*SYSLOGS, LOG] if os.path.exists("/dev/log") else [LOG]
    return _first(paths, LOG_TAIL, about)[-LOG_LINES:]


def read_own_log(commands: Commands, config: str, about: str, since: float) -> tuple[str, ...]:
    """The last lines that hold `about` of the file that logfile= names; none if nothing was written since (epoch)."""
    path = _named(commands, config)
    # the kernel stamps files with a clock that is some milliseconds late
    if path is None or not os.path.exists(path) or os.stat(path).st_mtime < since - 1:
        return ()
    return last_lines(path, about)[-LOG_LINES:]


def read_history(commands: Commands, config: str, since: float) -> tuple[str, ...]:
    """The log of a pluto that was started at `since` (epoch), oldest line first.

    When that is too long: what it said when it loaded its connections, and the newest lines.
    """
    named = _named(commands, config)
    if named or not booted_with_systemd():
        return _first([named] if named else [*SYSLOGS, LOG], HISTORY_TAIL)
    # the kernel counts a process's start in ticks since boot, which drifts a little from the clock
    begin = int(since) - 1
    newest = _journal(commands, f"--since=@{begin}", f"--lines={HISTORY_LINES}")
    if len(newest) < HISTORY_LINES:
        return telling(newest)
    window = (f"--since=@{begin}", f"--until=@{begin + LOADING_TIME}", f"--lines={LOADING_LINES}")
    return telling((*_journal(commands, *window), *newest))


def last_lines(path: str, *words: str, size: int = LOG_TAIL) -> tuple[str, ...]:
    """The lines that hold these words at the end of a file, in its last `size` bytes."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        text = file.read().decode(errors="replace")
    return telling(text.splitlines(), *words)


def telling(lines: t.Iterable[str], *words: str) -> tuple[str, ...]:
    """Those that hold all of these words, without what may be secret."""
    return tuple(line for line in safe(lines) if all(word in line for word in words))


def _first(paths: t.Iterable[str], size: int, about: str = "") -> tuple[str, ...]:
    for path in filter(os.path.exists, paths):
        lines = last_lines(path, "pluto" if path in SYSLOGS else "", about, size=size)
        if lines:
            return lines
    return ()


def _named(commands: Commands, config: str) -> str | None:
    try:
        return config_setup(commands, config).get("logfile")
    except ConfigError:
        return None  # whoever reads the log has a worse problem to tell of


def _journal(commands: Commands, *which: str) -> list[str]:
    # the unit's, with the words of addconn; and those of a pluto that somebody else has started
    return journal(commands, *which, f"_SYSTEMD_UNIT={UNIT}", "+", "_COMM=pluto", timeout=TIMEOUT)


def journal(commands: Commands, *which: str, timeout: float) -> list[str]:
    """The lines that journalctl(1) finds, oldest first; with `--lines` the newest so many."""
    # asked forwards, up to systemd 252 it takes the oldest when there is --since too (seen with 247 and 252, not 257)
    options = ("--no-pager", "--quiet", "--output=cat", "--reverse")
    done = commands.run("journalctl", *options, *which, timeout=timeout)
    return done.out.splitlines()[::-1]
