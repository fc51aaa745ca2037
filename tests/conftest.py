# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: a long test tells now and then that it is still running."""

from __future__ import annotations

import threading
import typing as t

import pytest

HEARTBEAT_S = 5.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> t.Generator[None, t.Any, t.Any]:
    """Write a line every few seconds while a test and its fixtures run, so that the screen is never silent."""
    reporter: pytest.TerminalReporter | None = item.config.pluginmanager.get_plugin("terminalreporter")
    done = threading.Event()

    def heartbeat() -> None:
        seconds = HEARTBEAT_S
        while not done.wait(HEARTBEAT_S):
            if reporter is not None:  # -p no:terminal
                reporter.write_line(f"  ... {seconds:.0f} s in {item.nodeid}")
            seconds += HEARTBEAT_S

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        return (yield)
    finally:
        done.set()
        thread.join()
