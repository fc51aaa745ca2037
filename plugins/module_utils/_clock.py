# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only loop of this collection that waits."""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    from ._ports import Clock

POLL_INTERVAL = 0.2
"""Seconds between two looks: short against a start of pluto (1 to 5 s), long against the cost of a look (10 ms)."""


LONG = 3.0
"""Seconds from which on a wait is worth telling."""


class SystemClock:
    """The host's own clock, and what the run has waited for by it: a module cannot print while it runs."""

    def __init__(self) -> None:
        self.waits: list[str] = []

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def epoch(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def waited(self, since: float, what: str) -> None:
        """See the port Clock."""
        seconds = self.now() - since
        if seconds >= LONG:
            self.waits.append(f"{seconds:.0f} s for {what}")


Missing = t.TypeVar("Missing")


def wait_until(missing: t.Callable[[], Missing | None], timeout: float, clock: Clock) -> Missing | None:
    """Look until nothing is missing or `timeout` seconds are over; at least one look. Returns what is still missing."""
    deadline = clock.now() + timeout
    while True:
        what = missing()
        if what is None or clock.now() >= deadline:
            return what
        clock.sleep(POLL_INTERVAL)
