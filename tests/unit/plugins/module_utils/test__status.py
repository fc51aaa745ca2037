# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, Process
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess, report
from fake_host import FakeHost


def running(fake: FakeHost) -> None:
    fake.run_pluto()


def orphaned(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.lock_present, fake.lock_pid = False, None


def illicit(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.lock_pid = 12


def empty_lock(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.lock_pid = None


def several(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.run_pluto(by_unit=False)


def dead(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.kill_pluto()


def reused(fake: FakeHost) -> None:
    dead(fake)
    fake.foreign_pids = {800}


def damaged(fake: FakeHost) -> None:
    fake.lock_present = True


def stale_socket(fake: FakeHost) -> None:
    fake.control_present = True


def unreachable(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.control_present, fake.control_pid = False, None


def hung(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.hung = True


def deaf(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.answer = Answer()


def by_hand(fake: FakeHost) -> None:
    fake.run_pluto(by_unit=False)


def unit_without_pluto(fake: FakeHost) -> None:
    fake.unit_active = "active"


def upgraded(fake: FakeHost) -> None:
    pluto = fake.run_pluto()
    fake.plutos = [Process(pluto.pid, pluto.started, upgraded=True)]


Accident = t.Callable[[FakeHost], None]
HEALTHY: list[tuple[Accident, str, int, int, list[str]]] = [
    (running, "running", 0, 0, ["IPsec running", "pluto pid 800"]),
    (lambda fake: None, "stopped", 0, 3, ["IPsec stopped"]),
]
STRANGE: list[tuple[Accident, str, str, int]] = [
    (orphaned, "orphaned", "orphaned", 4),
    (illicit, "illicit", "illicit", 4),
    (empty_lock, "illicit", "illicit", 4),
    (several, "several", "several", 4),
    (dead, "dead", "dead", 1),
    (reused, "dead", "dead", 1),
    (damaged, "dead", "dead", 1),
    (stale_socket, "stale-socket", "stale-socket", 1),
    (unreachable, "unreachable", "unreachable", 4),
    (hung, "hung", "hung", 4),
    (deaf, "deaf", "deaf", 4),
    (by_hand, "running", "manager-disagrees", 0),
    (unit_without_pluto, "stopped", "manager-disagrees", 3),
    (upgraded, "running", "upgraded", 0),
]


@pytest.mark.parametrize(("accident", "word", "exit_status", "lsb", "lines"), HEALTHY)
def test_healthy_states_speak_as_the_manual_says(
    accident: Accident, word: str, exit_status: int, lsb: int, lines: list[str]
) -> None:
    fake = FakeHost()
    accident(fake)
    facts = report(observe(fake.host()))
    assert (facts["state"], facts["exit_status"], facts["lsb_status"]) == (word, exit_status, lsb)
    assert facts["lines"] == lines
    assert facts["findings"] == []


@pytest.mark.parametrize(("accident", "word", "finding", "lsb"), STRANGE)
def test_strange_states_are_named(accident: Accident, word: str, finding: str, lsb: int) -> None:
    fake = FakeHost()
    accident(fake)
    status = assess(observe(fake.host()))
    assert status.word == word
    assert finding in [found.id for found in status.findings]
    assert status.exit_status == 1
    assert status.lsb_status == lsb
    assert status.lines[1] == "but..."
    assert all(found.message and found.cure for found in status.findings)


def test_every_pluto_is_listed() -> None:
    fake = FakeHost()
    several(fake)
    assert [line for line in assess(observe(fake.host())).lines if line.startswith("pluto pid")] == [
        "pluto pid 800",
        "pluto pid 801",
    ]
