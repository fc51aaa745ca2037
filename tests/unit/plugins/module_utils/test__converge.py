# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge, observe
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    DependencyError,
    IPsecError,
    KernelError,
    VerifyError,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, Desired
from ansible_collections.xswan.ipsec.plugins.module_utils._plan import steps
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess, summary
from fake_host import FakeHost

START = Desired(running=True)
STOP = Desired(running=False)
RESTART = Desired(running=True, restart=True)


def stopped(fake: FakeHost) -> None:
    pass


def running(fake: FakeHost) -> None:
    fake.run_pluto()


def dead(fake: FakeHost) -> None:
    fake.run_pluto()
    fake.kill_pluto()


def by_hand(fake: FakeHost) -> None:
    fake.run_pluto(by_unit=False)


def no_xfrm(fake: FakeHost) -> None:
    fake.xfrm_loaded = False


def enabled(fake: FakeHost) -> None:
    fake.enabled = True


def unit_without_pluto(fake: FakeHost) -> None:
    fake.unit_active = "active"


ORIGINS = (stopped, running, dead, by_hand, no_xfrm, enabled)
TARGETS = tuple(
    Desired(running=running_, restart=bool(restart), enabled=enabled_)
    for (running_, restart), enabled_ in itertools.product(
        [(None, False), (True, False), (False, False), (True, True)], [None, True, False]
    )
)


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("origin", ORIGINS)
def test_the_dry_run_is_the_truth_and_the_second_run_is_empty(
    origin: t.Callable[[FakeHost], None], target: Desired
) -> None:
    fake = FakeHost()
    origin(fake)
    dry = converge(target, fake.host(), check_mode=True)
    assert fake.calls == [], "check mode changes nothing"
    wet = converge(target, fake.host(), check_mode=False)
    assert dry.actions == wet.actions
    assert summary(dry.after) == summary(wet.after)
    assert steps(target.settled(), wet.after) == ()
    assert dry.to_result()["diff"] == wet.to_result()["diff"]
    again = converge(target.settled(), fake.host(), check_mode=False)
    assert again.to_result()["changed"] is False


@pytest.mark.parametrize(
    ("origin", "desired", "calls"),
    [
        (stopped, START, ["start"]),
        (stopped, STOP, []),
        (stopped, RESTART, ["start"]),
        (running, START, []),
        (running, STOP, ["stop"]),
        (running, RESTART, ["stop", "start"]),
        (dead, START, ["remove_leftovers", "start"]),
        (dead, STOP, ["remove_leftovers"]),
        (by_hand, STOP, ["stop", "shutdown"]),
        (no_xfrm, START, ["load_xfrm", "start"]),
        (unit_without_pluto, STOP, ["stop"]),
        (stopped, Desired(enabled=True), ["enable"]),
        (enabled, Desired(enabled=True), []),
    ],
)
def test_only_what_is_missing_is_done(origin: t.Callable[[FakeHost], None], desired: Desired, calls: list[str]) -> None:
    fake = FakeHost()
    origin(fake)
    converge(desired, fake.host(), check_mode=False)
    assert fake.calls == calls


def test_restart_leaves_another_process() -> None:
    fake = FakeHost()
    before = fake.run_pluto()
    outcome = converge(RESTART, fake.host(), check_mode=False)
    assert outcome.after.plutos[0].identity != before.identity


def test_a_restart_that_leaves_the_old_process_is_not_believed() -> None:
    fake = FakeHost()
    fake.run_pluto()
    fake.immortal = True
    with pytest.raises(VerifyError, match="pid 800 is still the one of before"):
        converge(RESTART, fake.host(), check_mode=False)


def test_a_stop_that_stops_nothing_is_not_believed() -> None:
    fake = FakeHost()
    fake.run_pluto()
    fake.immortal = True
    with pytest.raises(VerifyError, match="still to do: stop pluto"):
        converge(STOP, fake.host(), check_mode=False)


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ({"installed": False}, DependencyError, "install the package libreswan"),
        ({"masked": True}, ConfigError, "systemctl unmask ipsec.service"),
        ({"config_error": "/etc/ipsec.conf is not valid"}, ConfigError, "not valid"),
    ],
)
@pytest.mark.parametrize("origin", [stopped, running])
def test_a_start_that_cannot_work_is_refused_before_anything_changes(
    origin: t.Callable[[FakeHost], None],
    fault: dict[str, t.Any],
    error: type[IPsecError],
    says: str,
    check_mode: bool,
) -> None:
    fake = FakeHost()
    origin(fake)
    for name, value in fault.items():
        setattr(fake, name, value)
    with pytest.raises(error, match=says) as caught:
        converge(RESTART, fake.host(), check_mode=check_mode)
    assert fake.calls == []
    assert caught.value.done == ()


def test_a_living_but_strange_pluto_is_not_replaced_by_started() -> None:
    fake = FakeHost()
    fake.run_pluto()
    fake.lock_present, fake.lock_pid = False, None
    with pytest.raises(DaemonError, match=r"orphaned.*state restarted"):
        converge(START, fake.host(), check_mode=False)
    assert fake.calls == []
    assert len(fake.plutos) == 1


@pytest.mark.parametrize(
    ("origin", "desired", "fail", "done"),
    [
        (dead, START, "remove_leftovers", []),
        (dead, START, "start", ["remove the files a dead pluto left"]),
        (running, RESTART, "stop", []),
        (running, RESTART, "start", ["stop pluto"]),
        (no_xfrm, START, "load_xfrm", []),
        (no_xfrm, START, "start", ["load the kernel's XFRM interface"]),
        (stopped, Desired(running=True, enabled=True), "enable", ["start pluto"]),
    ],
)
def test_a_failure_tells_what_was_done_and_the_next_run_converges(
    origin: t.Callable[[FakeHost], None], desired: Desired, fail: str, done: list[str]
) -> None:
    fake = FakeHost()
    origin(fake)
    fake.fail = fail
    with pytest.raises(IPsecError) as caught:
        converge(desired, fake.host(), check_mode=False)
    assert list(caught.value.done) == done
    fake.fail = None
    converge(desired, fake.host(), check_mode=False)
    assert assess(observe(fake.host())).word == "running"


def test_no_xfrm_in_the_kernel_is_the_kernels_error() -> None:
    fake = FakeHost()
    fake.xfrm_loaded = fake.xfrm_available = False
    with pytest.raises(KernelError):
        converge(START, fake.host(), check_mode=False)
    assert fake.plutos == []


def test_start_waits_until_connections_are_loaded() -> None:
    fake = FakeHost()
    fake.loading_looks = 20
    began = fake.clock.now()
    outcome = converge(START, fake.host(), check_mode=False)
    assert outcome.after.loading is False
    assert 3 < fake.clock.now() - began < 5, "20 looks, 0.2 s apart"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"hung": True}, "it did not answer on its control socket after 7 s"),
        ({"answer": Answer()}, "it listened on no interface after 7 s"),
        ({"loading_looks": 10**6}, "it was still loading connections after 7 s"),
    ],
)
def test_a_start_that_does_not_get_ready_says_what_is_missing(fault: dict[str, t.Any], says: str) -> None:
    fake = FakeHost()
    for name, value in fault.items():
        setattr(fake, name, value)
    with pytest.raises(DaemonError, match=says) as caught:
        converge(Desired(running=True, start_timeout=7), fake.host(), check_mode=False)
    assert caught.value.done == ()
