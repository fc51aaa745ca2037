# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import typing as t

import pytest
from accidents import (
    HEALTHY,
    STRANGE,
    UNSTARTABLE,
    Accident,
    by_hand,
    damaged_lock,
    dead,
    deaf,
    deaf_by_stranger,
    deaf_orphan,
    enabled,
    flapping,
    foreign_kernel_state,
    hung,
    hung_by_hand,
    illicit,
    leftover_interface,
    log_rules,
    no_xfrm,
    not_installed,
    old_lock,
    orphaned,
    reborn,
    running,
    several,
    stale_kernel_state,
    stopped,
    stranger,
    unit_failed,
    unit_without_pluto,
    unreachable,
    upgraded,
    upgraded_and_silent,
)
from foretold import foretold

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import Outcome, converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    DependencyError,
    IPsecError,
    KernelError,
    VerifyError,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Backend, Desired, Flush, Leftovers, Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._plan import steps
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess
from fake_host import FakeHost

START = Desired(running=True)
STOP = Desired(running=False)
RESTART = Desired(running=True, restart=True)

FLUSHES: tuple[Flush, ...] = ("own", "all", "none")
TARGETS = tuple(
    Desired(running=running_, restart=restart, enabled=enabled_, flush=flush)
    for (running_, restart), enabled_, flush in itertools.product(
        [(None, False), (True, False), (False, False), (True, True)], [None, True, False], FLUSHES
    )
)
ORIGINS = tuple(accident for accident in (*HEALTHY, *STRANGE) if accident not in UNSTARTABLE)


@pytest.mark.parametrize("origin", ORIGINS)
def test_from_any_state_the_dry_run_is_the_truth_and_the_second_run_is_empty(origin: Accident) -> None:
    for target in TARGETS:
        if target.flush == "none" and origin in (hung, hung_by_hand, upgraded_and_silent):
            continue  # what a pluto that has to be killed leaves in the kernel cannot be predicted
        fake = FakeHost()
        origin(fake)
        dry = converge(target, fake.host(), check_mode=True)
        assert fake.calls == [], f"check mode changes nothing: {target}"
        wet = converge(target, fake.host(), check_mode=False)
        assert dry.actions == wet.actions, target
        assert foretold(dry.after, dry.before) == foretold(wet.after, wet.before), target
        assert dry.to_result()["diff"] == wet.to_result()["diff"]
        assert steps(target.settled(), wet.after) == ()
        again = converge(target.settled(), fake.host(), check_mode=False)
        assert again.to_result()["changed"] is False, target
        if target.running is not None:
            assert bool(fake.plutos) is target.running, target
            assert len(fake.plutos) <= 1


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("desired", [START, STOP, RESTART, Desired(running=True, enabled=True)])
def test_a_failure_at_any_step_is_told_truthfully_and_the_next_run_converges(
    origin: Accident, desired: Desired
) -> None:
    rehearsal = FakeHost()
    origin(rehearsal)
    whole = converge(desired, rehearsal.host(), check_mode=False)
    for call in rehearsal.calls:
        fake = FakeHost()
        origin(fake)
        before = whole_of(fake)
        fake.fail = call
        with pytest.raises(IPsecError) as caught:
            converge(desired, fake.host(), check_mode=False)
        assert whole.actions[: len(caught.value.done)] == caught.value.done
        assert len(caught.value.done) < len(whole.actions)
        assert caught.value.changed is (bool(caught.value.done) or whole_of(fake) != before)
        fake.fail = None
        converge(desired, fake.host(), check_mode=False)
        assert bool(fake.plutos) is desired.running
        assert assess(observe(fake.host())).errors == frozenset()


def test_a_unit_that_goes_round_by_itself_was_not_changed_by_a_start_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeHost()
    flapping(fake)
    host = fake.host()

    def start(timeout: float) -> None:
        after = Unit("ipsec.service", "deactivating", "stop-post", restarts=1, result="exit-code")
        monkeypatch.setattr(host.launcher, "unit", lambda: after)
        raise DaemonError("ipsec.service failed to start")

    monkeypatch.setattr(host.launcher, "start", start)
    with pytest.raises(DaemonError) as caught:
        converge(START, host, check_mode=False)
    assert (caught.value.done, caught.value.changed) == ((), False)


def whole_of(fake: FakeHost) -> dict[str, str]:
    """The gateway itself, without what the fake keeps about its use."""
    return {
        name: repr(value)
        for name, value in vars(fake).items()
        if name not in ("clock", "_pids", "calls", "log", "fail")
    }


@pytest.mark.parametrize(
    ("origin", "desired", "calls"),
    [
        (stopped, START, ["start"]),
        (stopped, STOP, []),
        (stopped, RESTART, ["start"]),
        (running, START, []),
        (running, STOP, ["stop", "remove_leftovers", "clean"]),
        (running, RESTART, ["stop", "remove_leftovers", "clean", "start"]),
        (dead, START, ["remove_leftovers", "clean", "start"]),
        (dead, STOP, ["remove_leftovers", "clean"]),
        (damaged_lock, STOP, ["remove_leftovers", "clean"]),
        (old_lock, STOP, ["remove_leftovers", "clean"]),
        (log_rules, STOP, ["remove_leftovers", "clean"]),
        (log_rules, Desired(running=False, flush="none"), ["remove_leftovers", "clean"]),
        (orphaned, START, ["write_lock"]),
        (illicit, START, ["write_lock"]),
        (deaf, START, ["listen"]),
        (deaf_orphan, START, ["write_lock", "listen"]),
        (upgraded, START, []),
        (upgraded_and_silent, START, []),
        (by_hand, START, []),
        (by_hand, STOP, ["stop", "end", "remove_leftovers", "clean"]),
        (by_hand, RESTART, ["stop", "end", "remove_leftovers", "clean", "start"]),
        (unreachable, START, ["stop", "remove_leftovers", "clean", "start"]),
        (several, START, ["stop", "end", "remove_leftovers", "clean", "start"]),
        (hung, START, ["stop", "end", "stop", "remove_leftovers", "clean", "start"]),
        (no_xfrm, START, ["load", "start"]),
        (unit_without_pluto, START, ["stop", "remove_leftovers", "clean", "start"]),
        (unit_without_pluto, STOP, ["stop", "remove_leftovers", "clean"]),
        (unit_failed, START, ["start"]),
        (unit_failed, STOP, []),
        (flapping, START, ["start"]),
        (reborn, START, ["start"]),
        (reborn, RESTART, ["start"]),
        (reborn, STOP, ["stop", "remove_leftovers", "clean"]),
        (flapping, STOP, ["stop", "remove_leftovers", "clean"]),
        (foreign_kernel_state, STOP, []),
        (foreign_kernel_state, Desired(running=False, flush="all"), ["remove_leftovers", "clean"]),
        (stale_kernel_state, Desired(running=False, flush="none"), []),
        (stopped, Desired(enabled=True), ["enable"]),
        (enabled, Desired(enabled=True), []),
    ],
)
def test_only_what_is_missing_is_done(origin: Accident, desired: Desired, calls: list[str]) -> None:
    fake = FakeHost()
    origin(fake)
    converge(desired, fake.host(), check_mode=False)
    assert fake.calls == calls


@pytest.mark.parametrize(
    ("backend", "loaded", "calls"),
    [
        ("xfrm", True, ["start"]),
        ("xfrm", False, ["load", "start"]),
        ("klips", True, ["load", "start"]),
        ("klips", False, ["load", "start"]),
        ("none", False, ["start"]),
    ],
)
def test_each_backend_is_made_ready_in_its_own_way(backend: Backend, loaded: bool, calls: list[str]) -> None:
    fake = FakeHost()
    fake.backend = backend
    fake.xfrm_loaded = loaded
    outcome = converge(START, fake.host(), check_mode=False)
    assert fake.calls == calls
    assert assess(outcome.after).findings == ()
    assert converge(START, fake.host(), check_mode=False).actions == ()


def test_what_is_not_plutos_survives() -> None:
    for desired in (STOP, START, RESTART):
        fake = FakeHost()
        stale_kernel_state(fake)
        converge(desired, fake.host(), check_mode=False)
        assert fake.leftovers == Leftovers(foreign_policies=5, foreign_sas=4)


def test_repairs_keep_the_process_and_are_told() -> None:
    for origin in (orphaned, illicit, deaf):
        fake = FakeHost()
        origin(fake)
        before = fake.plutos[0].identity
        result = converge(START, fake.host(), check_mode=False).to_result()
        assert [pluto.identity for pluto in fake.plutos] == [before]
        assert [finding["id"] for finding in result["repaired"]] == [origin.__name__]


def test_a_pluto_that_is_busy_for_a_moment_keeps_its_tunnels() -> None:
    fake = FakeHost()
    fake.run_pluto()
    fake.busy_until = fake.clock.now() + 1
    assert converge(START, fake.host(), check_mode=False).actions == ()
    assert fake.calls == []


def test_an_upgraded_pluto_that_does_not_understand_the_new_whack_is_left_alone_and_told() -> None:
    fake = FakeHost()
    upgraded_and_silent(fake)
    before = list(fake.plutos)
    result = converge(START, fake.host(), check_mode=False).to_result()
    assert (result["changed"], fake.plutos, result["ipsec"]["state"]) == (False, before, "running")
    (warning,) = result["warnings"]
    assert "still runs a binary that was replaced on disk, and does not answer" in warning
    assert "left alone: run ipsec_setup with state restarted" in warning
    assert converge(RESTART, fake.host(), check_mode=False).to_result()["warnings"] == []


@pytest.mark.parametrize("origin", [orphaned, dead])
def test_what_an_init_script_will_say_is_foretold(origin: Accident) -> None:
    """It looks at the lock file."""
    for target in (START, STOP):
        fake = FakeHost()
        fake.manager = "script"
        origin(fake)
        dry = converge(target, fake.host(), check_mode=True)
        wet = converge(target, fake.host(), check_mode=False)
        assert dry.before.unit is not None
        assert foretold(dry.after, dry.before) == foretold(wet.after, wet.before), target


def test_a_busy_pluto_without_lock_file_is_repaired_and_not_replaced() -> None:
    fake = FakeHost()
    orphaned(fake)
    fake.busy_until = fake.clock.now() + 1
    assert converge(START, fake.host(), check_mode=False).actions == ("write the lock file anew",)


@pytest.mark.parametrize(
    ("origin", "desired", "foretold", "told"),
    [
        (
            stopped,
            START,
            "IPsec is stopped and would be running: start pluto",
            "IPsec was stopped and is running now: start pluto",
        ),
        (
            dead,
            START,
            "IPsec is stopped (dead) and would be running: clean up after a dead pluto, start pluto",
            "IPsec was stopped (dead) and is running now: clean up after a dead pluto, start pluto",
        ),
        (
            running,
            Desired(running=True, restart=True, enabled=False),
            "IPsec would stay running: stop pluto, start pluto",
            "IPsec is running: stop pluto, start pluto",
        ),
        (running, START, "IPsec is running, nothing is to be done", "IPsec is running, nothing was to be done"),
    ],
)
def test_what_happened_in_one_line(origin: Accident, desired: Desired, foretold: str, told: str) -> None:
    fake = FakeHost()
    origin(fake)
    assert converge(desired, fake.host(), check_mode=True).to_result()["about"] == foretold
    assert converge(desired, fake.host(), check_mode=False).to_result()["about"] == told


def test_one_line_is_enough_for_many_actions() -> None:
    fake = FakeHost()
    state = observe(fake.host())
    many = Outcome(START, state, state, tuple(f"add connection c{number}" for number in range(1000)))
    assert many.about == "IPsec is stopped: add connection c0, add connection c1, add connection c2 and 997 more"


def test_a_long_wait_is_told() -> None:
    fake = FakeHost()
    fake.busy_until = fake.clock.now() + 8
    converge(START, fake.host(), check_mode=False)
    (wait,) = fake.clock.waits
    assert wait == "8 s for pluto to start and load its connections"


def test_a_stop_of_what_does_not_run_complains_and_cleans() -> None:
    fake = FakeHost()
    clean = converge(STOP, fake.host(), check_mode=False).to_result()
    assert (clean["changed"], clean["exit_status"], clean["warnings"]) == (False, 1, [])
    dead(fake)
    dirty = converge(STOP, fake.host(), check_mode=False).to_result()
    assert (dirty["changed"], dirty["exit_status"]) == (True, 1)
    assert dirty["warnings"] == ["stop ordered, but IPsec does not run; cleaning up anyway"]
    assert dirty["messages"] == [*dirty["warnings"], "clean up after a dead pluto"]
    running(fake)
    assert converge(STOP, fake.host(), check_mode=False).to_result()["exit_status"] == 0


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


def test_a_pluto_that_answers_late_keeps_its_tunnels() -> None:
    """As on a host with too much to do: only one that says nothing for a minute is replaced."""
    fake = FakeHost()
    running(fake)
    fake.slow = True
    before = list(fake.plutos)
    for check_mode in (True, False):
        outcome = converge(Desired(running=True), fake.host(), check_mode=check_mode)
        assert (outcome.actions, fake.plutos) == ((), before)


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ({"installed": False}, DependencyError, "install the package libreswan"),
        ({"masked": True}, ConfigError, "systemctl unmask ipsec.service"),
        ({"config_error": "/etc/ipsec.conf is not valid"}, ConfigError, "not valid"),
        ({"config_missing": True}, ConfigError, "does not exist"),
        ({"rundir_error": "the run directory /run/pluto is read-only"}, DependencyError, "read-only"),
        ({"nss_error": "pluto's NSS database is damaged"}, DependencyError, "NSS database is damaged"),
    ],
)
@pytest.mark.parametrize("origin", [stopped, running, hung])
def test_a_start_that_cannot_work_is_refused_before_anything_changes(
    origin: Accident,
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


def test_a_port_that_another_daemon_holds_is_named_before_anything_changes() -> None:
    fake = FakeHost()
    stranger(fake)
    with pytest.raises(ConfigError, match=r"UDP port 500.*charon \(pid 77\)"):
        converge(START, fake.host(), check_mode=False)
    assert fake.calls == []
    assert converge(STOP, fake.host(), check_mode=False).actions == ()


def test_what_a_start_leaves_undone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for check_mode in (True, False):
        host = FakeHost().host()
        monkeypatch.setattr(host.launcher, "check_start", lambda: ("not this",))
        assert converge(START, host, check_mode=check_mode).to_result()["warnings"] == ["not this"]


NO_ALSO = "cannot find conn 'gone' needed by conn 'one'"
OBSOLETE = "ipsec addconn: /etc/ipsec.conf:2: warning: obsolete keyword ignored: dpdaction=hold"


def told(said: str, text: str) -> FakeHost:
    """A gateway with this configuration, which the program accepts with these words."""
    fake = FakeHost()
    fake.run_pluto()
    fake.config_said = said
    fake.files["/etc/ipsec.conf"] = (0o644, text)
    return fake


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_connection_that_will_not_be_loaded_is_named_before_a_working_pluto_is_stopped(check_mode: bool) -> None:
    fake = told(NO_ALSO, "conn one\n also=gone\n auto=start\n")
    with pytest.raises(ConfigError, match="one takes over connection gone, which does not exist") as caught:
        converge(RESTART, fake.host(), check_mode=check_mode)
    assert fake.calls == []
    assert caught.value.details["output"] == NO_ALSO
    assert converge(START, fake.host(), check_mode=check_mode).actions == (), "what runs is no business of a start"


@pytest.mark.parametrize(
    ("said", "auto", "warnings"),
    [
        (OBSOLETE, "start", 0),
        (NO_ALSO, "ignore", 1),
        ("duplicate key 'ike' in conn one while processing def one", "start", 1),
        ("ipsec addconn: /etc/ipsec.conf:2: warning: first decimal digit invalid, keyword ignored: mtu=a", "start", 1),
        ("a sentence that nobody has heard of", "start", 1),
    ],
)
def test_what_may_work_is_restarted_with_a_warning_or_none(said: str, auto: str, warnings: int) -> None:
    for check_mode in (True, False):
        fake = told(said, f"conn one\n ike=aes\n auto={auto}\n")
        result = converge(RESTART, fake.host(), check_mode=check_mode).to_result()
        assert result["actions"] == ["stop pluto", "start pluto"]
        assert len(result["warnings"]) == warnings
        assert all(warning.startswith("/etc/ipsec.conf: ") for warning in result["warnings"])


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("desired", [START, RESTART])
def test_a_daemon_that_makes_pluto_deaf_is_named_before_anything_changes(desired: Desired, check_mode: bool) -> None:
    fake = FakeHost()
    deaf_by_stranger(fake)
    fake.lock_present, fake.lock_pid = False, None
    with pytest.raises(ConfigError, match=r"UDP port 500 .*charon \(pid 77\)"):
        converge(desired, fake.host(), check_mode=check_mode)
    assert (fake.calls, len(fake.plutos)) == ([], 1)
    assert converge(STOP, fake.host(), check_mode=False).actions == ("stop pluto",)


@pytest.mark.parametrize("desired", [START, STOP])
def test_a_device_that_cannot_be_removed_is_named_before_anything_changes(desired: Desired) -> None:
    fake = FakeHost()
    leftover_interface(fake)
    fake.pyroute2 = False
    with pytest.raises(DependencyError, match="ipsec1"):
        converge(desired, fake.host(), check_mode=False)
    assert fake.calls == []
    keep = desired._replace(flush="none")
    converge(keep, fake.host(), check_mode=False)
    assert fake.leftovers.interfaces == ("ipsec1",)


@pytest.mark.parametrize("origin", [dead, orphaned])
def test_files_that_cannot_be_written_or_removed_are_named_before_anything_changes(origin: Accident) -> None:
    fake = FakeHost()
    origin(fake)
    fake.rundir_error = "the run directory /run/pluto is read-only"
    with pytest.raises(DependencyError, match="read-only"):
        converge(START, fake.host(), check_mode=False)
    assert fake.calls == []


def test_a_socket_that_refuses_root_ends_everything_before_anything_changes() -> None:
    for desired in (START, STOP, RESTART):
        fake = FakeHost()
        running(fake)
        fake.denied = True
        with pytest.raises(DependencyError, match="refuses root"):
            converge(desired, fake.host(), check_mode=False)
        assert fake.calls == []


@pytest.mark.parametrize(
    ("origin", "desired", "flushes", "warned"),
    [
        (stopped, START, True, True),
        (running, STOP, True, True),
        (running, RESTART, True, True),
        (running, START, True, False),
        (running, STOP, False, False),
        (running, Desired(running=False, flush="all"), True, False),
        (orphaned, START, True, False),
    ],
)
def test_what_the_distribution_flushes_is_told(origin: Accident, desired: Desired, flushes: bool, warned: bool) -> None:
    fake = FakeHost()
    origin(fake)
    fake.flushes = flushes
    fake.leftovers = Leftovers(foreign_policies=5, foreign_sas=4)
    result = converge(desired, fake.host(), check_mode=False).to_result()
    said = [line for line in result["warnings"] if line.startswith("5 policies and 4 SAs that pluto had not made")]
    assert len(said) == warned
    assert [line for line in result["messages"] if line in said] == said


def test_nothing_to_enable_where_nothing_is_installed() -> None:
    fake = FakeHost()
    not_installed(fake)
    with pytest.raises(DependencyError):
        converge(Desired(enabled=True), fake.host(), check_mode=True)


def test_a_kernel_that_has_no_xfrm_is_named_before_anything_changes() -> None:
    fake = FakeHost()
    dead(fake)
    fake.xfrm_loaded = fake.xfrm_available = False
    with pytest.raises(KernelError):
        converge(START, fake.host(), check_mode=False)
    assert fake.calls == []


def test_a_run_that_meets_another_one_fails_and_touches_nothing() -> None:
    fake = FakeHost()
    fake.guarded = True
    with pytest.raises(DaemonError, match="another run"):
        converge(START, fake.host(), check_mode=False)
    assert fake.calls == []


def test_what_is_done_is_logged() -> None:
    fake = FakeHost()
    converge(RESTART, fake.host(), check_mode=False)
    fake.fail = "start"
    with pytest.raises(DaemonError):
        converge(RESTART, fake.host(), check_mode=False)
    assert fake.log == ["start pluto", "stop pluto", "start pluto", "ipsec.service failed to start"]


def test_check_mode_logs_nothing() -> None:
    fake = FakeHost()
    converge(RESTART, fake.host(), check_mode=True)
    assert fake.log == []


def test_start_waits_until_connections_are_loaded() -> None:
    fake = FakeHost()
    fake.loading_looks = 20
    began = fake.clock.now()
    outcome = converge(START, fake.host(), check_mode=False)
    assert outcome.after.loading is False
    assert 3 < fake.clock.now() - began < 5, "20 looks, 0.2 s apart"


@pytest.mark.parametrize(
    ("wait", "fault", "says"),
    [
        ("listening", {"hung": True}, "it did not answer on its control socket after 7 s"),
        ("listening", {"addresses": False}, "it listened on no interface after 7 s"),
        ("listening", {"disk_full": True}, "its lock file .* held no process id, as on a full file system, after 7 s"),
        ("loaded", {"loading_looks": 10**6}, "it was still loading connections after 7 s"),
        ("established", {"declared": {"add": ("one",), "start": ("one",)}}, "there was no tunnel for one after 7 s"),
    ],
)
def test_a_start_that_does_not_get_ready_says_what_is_missing(wait: t.Any, fault: dict[str, t.Any], says: str) -> None:
    fake = FakeHost()
    for name, value in fault.items():
        setattr(fake, name, value)
    with pytest.raises(DaemonError, match=says) as caught:
        converge(Desired(running=True, start_timeout=7, wait=wait), fake.host(), check_mode=False)
    assert caught.value.done == ()


REJECTION = '"two": failed to add connection: IKE encryption algorithm "nosuch" is not recognized'


@pytest.mark.parametrize("wait", ["loaded", "established"])
@pytest.mark.parametrize(
    ("log", "why"),
    [
        ([], "has not loaded two; correct /etc/ipsec.conf"),
        (
            ['"two": IKE SA proposals', REJECTION, f"addconn: {REJECTION}", '"twofold": failed to add'],
            f"has not loaded two: {REJECTION}; correct",
        ),
    ],
)
def test_a_start_whose_connection_is_rejected_ends_soon_and_says_why(wait: t.Any, log: list[str], why: str) -> None:
    fake = FakeHost()
    fake.loading_looks = 20
    fake.declared = {"add": ("one", "two"), "start": ()}
    fake.log = log
    began = fake.clock.now()
    with pytest.raises(DaemonError, match=why) as caught:
        converge(Desired(running=True, wait=wait), fake.host(), check_mode=False)
    assert 9 <= fake.clock.now() - began < 10, "20 looks while addconn runs, then 5 quiet seconds"
    assert caught.value.details["connections"] == ["two"]
    assert (caught.value.done, caught.value.changed) == ((), True), "pluto runs now"


def test_a_connection_that_comes_late_was_not_rejected() -> None:
    fake = FakeHost()
    fake.answer = fake.answer._replace(connections=())
    fake.arrivals = {fake.clock.now() + 4.5: "one"}
    assert converge(START, fake.host(), check_mode=False).actions == ("start pluto",)


def test_a_start_that_waits_for_tunnels_waits_to_the_end() -> None:
    fake = FakeHost()
    fake.declared = {"add": ("one",), "start": ("one",)}
    began = fake.clock.now()
    with pytest.raises(DaemonError, match="no tunnel for one after 90 s"):
        converge(Desired(running=True, wait="established"), fake.host(), check_mode=False)
    assert fake.clock.now() - began >= 90


@pytest.mark.parametrize(
    ("wait", "fault"),
    [
        ("none", {"hung": True}),
        ("listening", {"loading_looks": 10**6}),
        ("listening", {"declared": {"add": ("one", "two"), "start": ()}}),
        ("loaded", {"declared": {"add": ("one",), "start": ("one",)}}),
    ],
)
def test_a_start_waits_for_no_more_than_it_was_asked_for(wait: t.Any, fault: dict[str, t.Any]) -> None:
    fake = FakeHost()
    for name, value in fault.items():
        setattr(fake, name, value)
    assert converge(Desired(running=True, start_timeout=7, wait=wait), fake.host(), check_mode=False).actions


def test_a_host_that_cannot_be_looked_at_after_a_failure_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    fake.fail = "start"
    host = fake.host()

    def start(timeout: float) -> None:
        fake.run_pluto()
        fake.denied = True
        raise DaemonError("ipsec.service failed to start")

    monkeypatch.setattr(host.launcher, "start", start)
    with pytest.raises(DaemonError) as caught:
        converge(Desired(running=True), host, check_mode=False)
    assert caught.value.changed
