# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired, Leftovers, Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._plan import Listen, StartPluto, not_ready, steps
from ansible_collections.xswan.ipsec.plugins.module_utils._status import summary
from fake_host import FakeHost


def test_a_manager_that_does_not_finish_its_stop_is_told_when_no_pluto_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    fake.run_pluto()
    host = fake.host()

    def never(timeout: float) -> bool:
        for pluto in tuple(fake.plutos):
            fake.kill_pluto(pluto)
        fake.unit_active = "deactivating"
        return False

    monkeypatch.setattr(host.launcher, "stop", never)
    with pytest.raises(DaemonError, match=r"no pluto runs, .* but systemd has not finished its stop in 20 s") as caught:
        converge(Desired(running=False, stop_timeout=20), host, check_mode=False)
    # it has cleaned up all the same, and says so
    assert (fake.lock_present, fake.control_present, fake.leftovers) == (False, False, Leftovers())
    assert (caught.value.done, caught.value.changed) == ((), True)
    assert caught.value.messages == ("stop pluto", str(caught.value))


@pytest.mark.parametrize("phase", ["activating", "deactivating"])
def test_a_unit_between_two_attempts_is_stopped_only_to_stay_down(phase: str) -> None:
    """What is done must not depend on the moment of a look at a crash loop."""
    fake = FakeHost()
    unit = Unit("ipsec.service", phase, "stop-post", restarts=3, result="exit-code")
    state = observe(fake.host())._replace(unit=unit)
    assert [step.title for step in steps(Desired(running=True), state)] == ["start pluto"]
    assert [step.title for step in steps(Desired(running=True, restart=True), state)] == ["start pluto"]
    assert [step.title for step in steps(Desired(running=False), state)] == ["stop pluto"]


def test_an_order_to_listen_that_finds_no_interface() -> None:
    fake = FakeHost()
    fake.addresses = False
    fake.run_pluto()
    with pytest.raises(DaemonError, match="finds no interface to listen on"):
        Listen().apply(fake.host())


def test_a_connection_that_is_still_rejected_when_the_time_is_over() -> None:
    """It was not quiet for long enough to be sure, but there is no more time."""
    fake = FakeHost()
    fake.declared = {"add": ("one", "two"), "start": ()}
    fake.log = ['"two": failed to add connection: it is wrong']
    with pytest.raises(DaemonError, match=r"has not loaded two: .*it is wrong"):
        StartPluto(2, "loaded").apply(fake.host())


def test_what_a_fresh_pluto_lacks() -> None:
    fake = FakeHost()
    host = fake.host()

    def lacks() -> str:
        missing = not_ready(host, "loaded", fake.declared)
        return missing.what if missing else ""

    assert lacks() == "no pluto process was there"
    fake.run_pluto()
    assert lacks() == ""
    fake.control_present = False
    assert lacks() == "it had no control socket"


def test_a_host_without_a_manager_has_no_word_on_the_next_boot() -> None:
    fake = FakeHost()
    fake.manager = "direct"
    assert summary(observe(fake.host())) == {"state": "stopped"}


def test_a_unit_in_the_way_of_launcher_direct_is_stopped_and_never_enabled() -> None:
    fake = FakeHost()
    fake.manager = "direct"
    unit = Unit("ipsec.service", "activating", "auto-restart", enabled=True, restarts=3)
    state = observe(fake.host())._replace(unit=unit)
    (stop,) = steps(Desired(running=False), state)
    assert stop.title == "stop pluto"
    assert summary(state) == {"state": "flapping"}
    assert summary(stop.predict(state)) == {"state": "stopped"}
    (enable,) = steps(Desired(enabled=True), state)
    assert enable.title == "enable at boot"
