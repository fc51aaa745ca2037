# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from accidents import HEALTHY, STRANGE, Accident, running, several, stopped

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess, report
from fake_host import FakeHost


@pytest.mark.parametrize(
    ("accident", "word", "lsb", "lines"),
    [(running, "running", 0, ["IPsec running", "pluto pid 800"]), (stopped, "stopped", 3, ["IPsec stopped"])],
)
def test_healthy_states_speak_as_the_manual_says(accident: Accident, word: str, lsb: int, lines: list[str]) -> None:
    fake = FakeHost()
    accident(fake)
    facts = report(observe(fake.host()))
    assert (facts["state"], facts["exit_status"], facts["lsb_status"]) == (word, 0, lsb)
    assert facts["lines"] == lines
    assert facts["findings"] == []


@pytest.mark.parametrize("accident", HEALTHY)
def test_healthy_states_have_no_finding(accident: Accident) -> None:
    fake = FakeHost()
    accident(fake)
    assert assess(observe(fake.host())).findings == ()


@pytest.mark.parametrize("accident", STRANGE)
def test_strange_states_are_named(accident: Accident) -> None:
    fake = FakeHost()
    accident(fake)
    word, finding, lsb = STRANGE[accident]
    status = assess(observe(fake.host()))
    assert (status.word, status.lsb_status, status.exit_status) == (word, lsb, 1)
    assert finding in [found.id for found in status.findings]
    assert status.lines[1] == "but..."
    assert all(found.message and found.cure for found in status.findings)


def test_every_pluto_is_listed() -> None:
    fake = FakeHost()
    several(fake)
    assert assess(observe(fake.host())).lines[-2:] == ("pluto pid 800", "pluto pid 801")


@pytest.mark.parametrize(("result", "word"), [("exit-code", "flapping"), ("success", "stopped")])
def test_a_unit_that_cleans_up_between_two_attempts_flaps_and_one_that_is_stopped_does_not(
    result: str, word: str
) -> None:
    state = observe(FakeHost().host())
    assert state.unit is not None
    unit = state.unit._replace(active="deactivating", sub="stop-post", restarts=3, result=result)
    assert assess(state._replace(unit=unit)).word == word


def test_whether_xfrm_can_be_loaded_is_asked_of_a_stopped_gateway_alone_and_not_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def no_modprobe() -> None:
        asked.append(fake.backend)
        raise DependencyError("the command modprobe is not installed on this host")

    fake = FakeHost()
    host = fake.host()
    monkeypatch.setattr(host.kernel, "check_load", no_modprobe)
    assert assess(observe(host)).findings == ()
    fake.xfrm_loaded = False
    assert assess(observe(host)).findings == ()
    assert asked == ["xfrm"]
    fake.backend = "klips"
    assert assess(observe(host)).findings == ()
    fake.backend = "xfrm"
    fake.run_pluto()
    assert assess(observe(host)).word == "backend-missing"
    assert asked == ["xfrm"]
