# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every combination of what can be observed, times every verb, on the fake gateway.

How each fact becomes one of the fake, and why some need no gateway of their own:

- lock file: none; empty, a newline and garbage are all a lock file without a pid, to the product as well
  (test__pluto.py, test_lock_files: kind `damaged`), so the three are one gateway; dead, reused, live as they are; the
  pid of a zombie is that of a process which no longer lives, and the zombie is seen besides.
- other pluto: none; one in the same network namespace. One in another is no gateway of its own, for no port of `Host`
  ever shows it: that is held against real processes (test__pluto.py, test_a_pluto_in_another_namespace_is_not_ours) and
  on real gateways.
- socket: none; live; refused, that is a file without a listener; denied, which is an error before anything is looked at
  further; hanging, that is a listener that does not answer. The last three but refused need a pluto that listens.
- locks: none; those of Openswan's setup script and of the subsystem, which are one list to the product.
- kernel: nothing, own, foreign.
- manager: none (launcher direct); systemd's unit inactive, active, failed or activating; an init script, whose state is
  what the lock file says.
- program: Openswan 2.6 with KLIPS; Libreswan 3 with XFRM; Libreswan 4, whose unit flushes everybody's policies and SAs
  at every start and stop; Libreswan 5, which flushes too, and before which nobody has loaded xfrm_user.

What a combination makes of the fake is compared, and each gateway is tried once.
"""

from __future__ import annotations

import itertools
import typing as t

import pytest
from foretold import foretold

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DependencyError, IPsecError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired, Leftovers, Program
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._plan import steps
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess
from fake_host import FakeHost

FAILING = ("Libreswan 3", "Libreswan 5")
"""With these, each step is made to fail once: between them they do all that the others do, load and flush included."""
VERBS = (Desired(running=True), Desired(running=False), Desired(running=True, restart=True))


class Facts(t.NamedTuple):
    """One combination, in the words above."""

    lock: str
    other: str
    socket: str
    locks: str
    kernel: str
    manager: str
    program: str


LOCKS = ("none", "empty", "newline", "garbage", "dead", "reused", "zombie", "live")
OTHERS = ("no", "same netns")
SOCKETS = ("none", "live", "refused", "denied", "hanging")
OLD_LOCKS = ("none", "left")
LEFT = {
    "none": Leftovers(),
    "own": Leftovers(policies=3, sas=2, interfaces=("ipsec1",)),
    "foreign": Leftovers(foreign_policies=5, foreign_sas=4),
}
MANAGERS = ("none", "inactive", "active", "failed", "activating", "script")
PROGRAMS = {
    "Openswan 2.6": Program("Openswan", "2.6.52"),
    "Libreswan 3": Program("Libreswan", "3.32"),
    "Libreswan 4": Program("Libreswan", "4.10"),
    "Libreswan 5": Program("Libreswan", "5.2"),
}


def gateway(facts: Facts) -> FakeHost | None:
    """The fake that the facts describe; None when they contradict each other."""
    fake = FakeHost()
    fake.program = PROGRAMS[facts.program]
    fake.manager = "direct" if facts.manager == "none" else "script" if facts.manager == "script" else "systemd"
    fake.leftovers = LEFT[facts.kernel]
    fake.old_lock = facts.locks == "left"
    fake.flushes = facts.program in ("Libreswan 4", "Libreswan 5")
    fake.backend = "klips" if facts.program == "Openswan 2.6" else "xfrm"
    owner = fake.run_pluto(by_unit=facts.manager == "active") if facts.lock == "live" else None
    other = fake.run_pluto(by_unit=False) if facts.other == "same netns" else None
    fake.xfrm_loaded = bool(fake.plutos) or facts.program != "Libreswan 5"
    if facts.manager in ("inactive", "active", "failed", "activating"):
        fake.unit_active = facts.manager
    fake.restarts = int(facts.manager == "activating")
    fake.lock_present = facts.lock != "none"
    fake.lock_pid = owner.pid if owner else {"dead": 4242, "reused": 12, "zombie": 790}.get(facts.lock)
    fake.foreign_pids = {12}
    fake.zombies = (790,) if facts.lock == "zombie" else ()
    listener = owner or other
    fake.control_present = facts.socket != "none"
    fake.control_pid = None
    if facts.socket in ("live", "denied", "hanging"):
        if listener is None:
            return None
        fake.control_pid = listener.pid
    fake.denied = facts.socket == "denied"
    fake.hung = facts.socket == "hanging"
    fake.calls.clear()
    return fake


def same(fake: FakeHost) -> str:
    """What tells one gateway from another: all of the fake but its clock and the source of its pids."""
    return repr([(name, value) for name, value in vars(fake).items() if name not in ("clock", "_pids")])


def gateway_of(fake: FakeHost) -> dict[str, t.Any]:
    """The gateway itself, without what the fake keeps about its use."""
    kept = ("clock", "_pids", "calls", "log", "fail")
    mutable = (list, dict, set)
    return {
        name: value.copy() if isinstance(value, mutable) else value
        for name, value in vars(fake).items()
        if name not in kept
    }


def gateways(manager: str) -> list[Facts]:
    """Every gateway with this manager once, by the first combination that describes it."""
    found: dict[str, Facts] = {}
    for combination in itertools.product(LOCKS, OTHERS, SOCKETS, OLD_LOCKS, LEFT, [manager], PROGRAMS):
        facts = Facts(*combination)
        fake = gateway(facts)
        if fake is not None:
            found.setdefault(same(fake), facts)
    return list(found.values())


def made(facts: Facts) -> FakeHost:
    """The gateway of facts that describe one."""
    fake = gateway(facts)
    assert fake is not None
    return fake


@pytest.mark.parametrize("manager", MANAGERS)
def test_every_gateway_by_every_verb(manager: str) -> None:
    every = gateways(manager)
    assert len(every) > 500
    for facts, desired in itertools.product(every, VERBS):
        if facts.socket == "denied":
            assert_refused(facts, desired)
        else:
            plan, calls = assert_converges(facts, desired)
            for call in dict.fromkeys(calls) if facts.program in FAILING else ():
                assert_failure_is_told(facts, desired, call, plan)


def assert_refused(facts: Facts, desired: Desired) -> None:
    """A gateway that cannot be looked at is left alone."""
    fake = made(facts)
    before = same(fake)
    with pytest.raises(DependencyError, match="refuses root"):
        converge(desired, fake.host(), check_mode=False)
    assert same(fake) == before


def assert_converges(facts: Facts, desired: Desired) -> tuple[tuple[str, ...], list[str]]:
    """The plan ends as asked and as foretold, and a second one is empty; titles and changing calls are returned."""
    fake = made(facts)
    where = (facts, desired)
    identities = {pluto.identity for pluto in fake.plutos}
    dry = converge(desired, fake.host(), check_mode=True)
    assert fake.calls == [], where
    wet = converge(desired, fake.host(), check_mode=False)
    calls = list(fake.calls)
    assert dry.actions == wet.actions, where
    assert foretold(dry.after, dry.before) == foretold(wet.after, wet.before), where
    assert assess(wet.after).errors == frozenset(), where
    assert steps(desired.settled(), wet.after) == (), where
    assert converge(desired.settled(), fake.host(), check_mode=False).actions == (), where
    assert len(fake.plutos) == bool(desired.running), where
    if desired.restart:
        assert not identities & {pluto.identity for pluto in fake.plutos}, where
    if not fake.flushes:
        left = LEFT[facts.kernel]
        assert fake.leftovers.foreign_policies == left.foreign_policies, where
        assert fake.leftovers.foreign_sas == left.foreign_sas, where
    assert bool(wet.flushed) == (wet.actions != () and lost(facts, fake)), where
    return wet.actions, calls


def lost(facts: Facts, fake: FakeHost) -> bool:
    """Whether something foreign disappeared."""
    return LEFT[facts.kernel].foreign_sas > fake.leftovers.foreign_sas


def assert_failure_is_told(facts: Facts, desired: Desired, call: str, plan: tuple[str, ...]) -> None:
    """What was done before a failure is a beginning of the plan; the next run ends as asked."""
    fake = made(facts)
    where = (facts, desired, call)
    before = gateway_of(fake)
    fake.fail = call
    with pytest.raises(IPsecError) as caught:
        converge(desired, fake.host(), check_mode=False)
    assert plan[: len(caught.value.done)] == caught.value.done, where
    assert len(caught.value.done) < len(plan), where
    assert caught.value.changed is (bool(caught.value.done) or gateway_of(fake) != before), where
    fake.fail = None
    converge(desired, fake.host(), check_mode=False)
    assert len(fake.plutos) == bool(desired.running), where
    assert assess(observe(fake.host())).errors == frozenset(), where


@pytest.mark.parametrize("manager", MANAGERS)
def test_no_plan_depends_on_the_name_or_version_of_the_program(manager: str) -> None:
    """What differs between programs is observed, so a version that nobody has seen yet is treated as what it does."""
    for facts in gateways(manager):
        if facts.socket != "denied":
            state = observe(made(facts).host())
            for desired, program in itertools.product(VERBS, PROGRAMS.values()):
                assert steps(desired, state._replace(program=program)) == steps(desired, state)
