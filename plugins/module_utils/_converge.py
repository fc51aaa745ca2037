# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""observe -> plan -> apply -> observe: the only way anything on a host changes."""

from __future__ import annotations

import typing as t

from ._clock import wait_until
from ._errors import IPsecError, VerifyError, system_errors
from ._model import Leftovers
from ._observe import observe
from ._plan import StartPluto, StopPluto, predict, steps
from ._status import assess, flaps, report, summary

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, State
    from ._plan import Step

CONFIRM = 2.0
"""Seconds between the two looks that it takes to replace a pluto that lives."""
SETTLE = 30.0
"""Seconds that a host may take to look as asked when all steps are done, for example while pluto runs its scripts.

Thrice what pluto has for an answer: one that it does not give in time must not be the last word on a busy host.
"""
NOT_RUNNING = "stop ordered, but IPsec does not run; cleaning up anyway"
TOLD = 3
"""Actions that the line for a person names; a reload can have thousands."""
AWAITED = {
    "none": "the service manager to start pluto",
    "listening": "pluto to start and listen",
    "loaded": "pluto to start and load its connections",
    "established": "pluto to start and its tunnels to come up",
}
"""What a start waits for, by Desired.wait."""


class Outcome(t.NamedTuple):
    """What was, what is (in check mode: what would be), and what was done in between."""

    desired: Desired
    before: State
    after: State
    actions: tuple[str, ...]
    messages: tuple[str, ...] = ()
    """The lines that went to the system log."""
    flushed: str = ""
    """What disappeared from the kernel that no pluto had made, in words."""
    doubts: tuple[str, ...] = ()
    """What may be wrong with the configuration, and did not hinder."""
    foretold: bool = False
    """Nothing was done: check mode."""

    @property
    def needless_stop(self) -> bool:
        """Whether a stop found nothing that ran: ipsec_setup(8) complains, cleans up, and exits with status 1."""
        return self.desired.running is False and not self.before.plutos

    @property
    def about(self) -> str:
        """What happened, in one line for a person."""
        before, after = _in_words(self.before), _in_words(self.after)
        if not self.actions:
            return f"IPsec is {after}, nothing {'is' if self.foretold else 'was'} to be done"
        more = f" and {len(self.actions) - TOLD} more" if len(self.actions) > TOLD else ""
        todo = ", ".join(self.actions[:TOLD]) + more
        if before == after:
            return f"IPsec {'would stay' if self.foretold else 'is'} {after}: {todo}"
        if self.foretold:
            return f"IPsec is {before} and would be {after}: {todo}"
        return f"IPsec was {before} and is {after} now: {todo}"

    def _left_alone(self) -> t.Iterable[str]:
        """What a start does not mend, for it would cost the tunnels of a pluto that is well, and may be in the dark."""
        if not self.desired.running or not self.after.plutos or self.after.answer is not None:
            return ()
        found = [finding for finding in assess(self.after).findings if finding.id == "upgraded"]
        return [f"{finding.message}; it is left alone: {finding.cure}" for finding in found]

    def to_result(self) -> dict[str, t.Any]:
        """The module's result."""
        found, left = assess(self.before).findings, {finding.id for finding in assess(self.after).findings}
        return {
            # callbacks sort the keys, so that this is what a person reads first
            "about": self.about,
            "changed": bool(self.actions),
            "actions": list(self.actions),
            "repaired": [finding._asdict() for finding in found if finding.id not in left],
            "exit_status": 1 if self.needless_stop else 0,
            "messages": list(self.messages),
            "warnings": [
                *([NOT_RUNNING] if self.needless_stop and self.actions else []),
                *([self.flushed] if self.flushed else []),
                *self.doubts,
                *self._left_alone(),
                *_untold(self.desired, self.after),
            ],
            "ipsec": report(self.after),
            **_told(self.desired, self.before, self.after),
        }


def converge(desired: Desired, host: Host, *, check_mode: bool) -> Outcome:
    """Bring the host to the desired state, or say what would be done.

    An IPsecError names in `done` the steps that were finished before it; one that is raised before the first step has
    changed nothing. Runs on one host wait for each other.
    """
    if check_mode:
        before, plan, doubts = _plan(desired, host)
        titles = tuple(step.title for step in plan)
        return Outcome(desired, before, predict(plan, before), titles, doubts=doubts, foretold=True)
    with host.guard.exclusive(desired.start_timeout + desired.stop_timeout):
        return _apply(desired, host)


def _in_words(state: State) -> str:
    """The manual's word for it, and what is strange."""
    word, runs = assess(state).word, "running" if state.plutos else "stopped"
    return runs if word == runs else f"{runs} ({word})"


def _awaited(step: Step) -> str:
    """What the time of a step goes to."""
    if isinstance(step, StartPluto):
        return AWAITED[step.wait]
    return "pluto to end" if isinstance(step, StopPluto) else f"this: {step.title}"


# A reload looks at more, and does more. What it needs is not imported where it is not asked for.


def _look(desired: Desired, host: Host, *, patient: bool = False) -> State:
    if not desired.reload:
        return observe(host, patient=patient)
    from ._reload import look

    return look(desired, host, patient=patient)


def _steps(desired: Desired, state: State) -> tuple[Step, ...]:
    if not desired.reload:
        return steps(desired, state)
    from ._reload import reload_steps

    return reload_steps(desired, state)


def _told(desired: Desired, before: State, after: State) -> dict[str, t.Any]:
    if not desired.reload:
        return {"diff": {"before": summary(before), "after": summary(after)}}
    from ._reload import reload_summary, restart_required

    return {
        "diff": {"before": reload_summary(before), "after": reload_summary(after)},
        "restart_required": restart_required(after),
    }


def _untold(desired: Desired, state: State) -> t.Iterable[str]:
    if not desired.reload:
        return ()
    from ._reload import warnings

    return warnings(state)


def _unchanged(desired: Desired, state: State) -> t.Iterable[str]:
    """Why a reload would restart again."""
    if not desired.reload:
        return ()
    from ._reload import restart_required

    keys = restart_required(state)
    return [f"pluto and its configuration differ in config setup, {', '.join(keys)}"] if keys else ()


def _plan(desired: Desired, host: Host) -> tuple[State, tuple[t.Any, ...], tuple[str, ...]]:
    """The look, what is to be done, and what its checks warn of."""
    began = host.clock.now()
    before = _look(desired, host)
    host.clock.waited(began, "a throw-away pluto to load the configuration" if desired.reload else "a look at the host")
    plan = _steps(desired, before)
    if desired.running and not desired.restart and any(isinstance(step, StopPluto) for step in plan):
        # what looks strange in one moment of a busy host must not cost a pluto its tunnels
        host.clock.sleep(CONFIRM)
        before = _look(desired, host, patient=True)
        plan = _steps(desired, before)
    doubts = tuple(doubt for step in plan for doubt in step.check(host, before) or ())
    return before, plan, doubts


def _apply(desired: Desired, host: Host) -> Outcome:
    before, plan, doubts = _plan(desired, host)
    if not plan:
        return Outcome(desired, before, before, ())
    messages: list[str] = []
    done: list[str] = []

    def say(line: str) -> None:
        messages.append(line)
        host.journal.write(line)

    if desired.running is False and not before.plutos:
        say(NOT_RUNNING)
    # only a start or a stop can be the distribution's, and looking costs time on a gateway with many SAs
    risky = desired.flush != "all" and any(isinstance(step, (StartPluto, StopPluto)) for step in plan)
    foreign = host.kernel.leftovers() if risky else Leftovers()
    try:
        with system_errors():
            for step in plan:
                say(step.title)
                began = host.clock.now()
                try:
                    step.apply(host)
                finally:
                    host.clock.waited(began, _awaited(step))
                done.append(step.title)
            after = _settled(desired, host)
            _verify(desired, before, after)
    except IPsecError as exc:
        say(str(exc))
        exc.done, exc.messages = tuple(done), tuple(messages)
        exc.changed = bool(done) or _differs(before, host)
        raise
    flushed = _flushed(foreign, host.kernel.leftovers()) if foreign.foreign_policies or foreign.foreign_sas else ""
    if flushed:
        say(flushed)
    return Outcome(desired, before, after, tuple(done), tuple(messages), flushed, doubts)


def _flushed(before: Leftovers, after: Leftovers) -> str:
    """What is gone that was not pluto's. Our own steps leave it: Libreswan's units, and the pluto of 5.x, do not."""
    policies = before.foreign_policies - after.foreign_policies
    sas = before.foreign_sas - after.foreign_sas
    if policies <= 0 and sas <= 0:
        return ""
    return (
        f"{max(policies, 0)} policies and {max(sas, 0)} SAs that pluto had not made are gone from the kernel: this "
        "version of Libreswan flushes everybody's when it starts or stops; let their owner make them again"
    )


def _differs(before: State, host: Host) -> bool:
    """Whether a step that failed has changed the host all the same; one that cannot be looked at may have changed."""
    try:
        with system_errors():
            return _marks(observe(host)) != _marks(before)
    except IPsecError:
        return True


def _marks(state: State) -> tuple[t.Any, ...]:
    """What changes by steps, and not by itself."""
    return (
        [process.identity for process in state.plutos],
        *(state.lock, state.control, state.old_locks, state.log_rules, state.leftovers, state.tables is None),
        # one that does not come up goes round by itself
        state.unit and ("flapping" if flaps(state.unit) else state.unit.active, state.unit.enabled),
        state.answer and state.answer.connections,
    )


def _settled(desired: Desired, host: Host) -> State:
    """The host once nothing is left to do, or as it still is after a while."""
    after: State

    def left() -> bool | None:
        nonlocal after
        after = _look(desired, host)
        return bool(_steps(desired.settled(), after)) or None

    began = host.clock.now()
    wait_until(left, SETTLE, host.clock)
    host.clock.waited(began, "the host to settle")
    return after


def _verify(desired: Desired, before: State, after: State) -> None:
    left = [step.title for step in _steps(desired.settled(), after)]
    if left:
        told = [*(finding.message for finding in assess(after).findings), *_unchanged(desired, after)]
        why = "; ".join(told) or f"it is {assess(after).word}"
        raise VerifyError(f"all steps ran, but still to do: {', '.join(left)}; {why}", left=left)
    survivors = {process.identity for process in before.plutos} & {process.identity for process in after.plutos}
    if desired.restart and survivors:
        raise VerifyError(f"pluto was restarted, but pid {after.plutos[0].pid} is still the one of before")
