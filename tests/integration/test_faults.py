# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short part of the campaigns of faults on gateways, always the same; `make chaos` runs the long forms."""

from __future__ import annotations

import collections.abc as c
from pathlib import Path

import pytest
from walks import SEED

from chaos import concurrency, controller, leaks, power
from chaos.gateways import FILES, Row
from lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def two(own_lab: c.Callable[[Path, str], Lab]) -> Lab:
    """Two gateways, one of each version of Libreswan; each campaign begins by its own plain run."""
    return own_lab(FILES / "two.yml", "faults")


def assert_survived(rows: list[Row], tried: int) -> None:
    """So many faults were tried, and none was more than the plain run could mend."""
    assert [finding for row in rows for finding in row.findings] == []
    assert sum(row.tried for row in rows) == tried


def test_power_cut_between_two_files(two: Lab) -> None:
    rows = power.campaign(two, SEED, ("config",), lambda what: what.startswith("rename /etc/ipsec.conf.xswan-new"))
    assert_survived(rows, 1)


def test_controller_cut_off(two: Lab) -> None:
    assert_survived(controller.campaign(two, SEED, 1, ("SSH connections cut",)), 1)


def test_runs_at_once(two: Lab) -> None:
    assert_survived(concurrency.campaign(two, SEED, 1, (3,)), 1)


def test_secrets_stand_nowhere(two: Lab) -> None:
    assert_survived(leaks.campaign(two, "--skip-tags", "role"), 1)
