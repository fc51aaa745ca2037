# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: a long test tells now and then that it is still running."""

from __future__ import annotations

import os
import sys
import threading
import typing as t
from pathlib import Path

import pytest

# As pyproject.toml has it, which `ansible-test units` does not read.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "dev")]

from walks import SEED

HEARTBEAT_S = 5.0
SCREEN = pytest.StashKey[t.TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a way to the screen: during a test pytest captures what is written to the usual places."""
    config.stash[SCREEN] = os.fdopen(os.dup(1), "w", buffering=1)


def pytest_report_header() -> str:
    """Say what makes a random walk the same again."""
    return f"random walks: seed {SEED} (XSWAN_SEED)"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it."""
    config.stash[SCREEN].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> t.Generator[None, t.Any, t.Any]:
    """Write a line every few seconds while a test and its fixtures run, so that the screen is never silent."""
    screen = item.config.stash[SCREEN]
    done = threading.Event()

    def heartbeat() -> None:
        seconds = HEARTBEAT_S
        while not done.wait(HEARTBEAT_S):
            screen.write(f"\n  ... {seconds:.0f} s in {item.nodeid} ")
            screen.flush()
            seconds += HEARTBEAT_S

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        return (yield)
    finally:
        done.set()
        thread.join()
