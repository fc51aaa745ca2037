# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""observe -> plan -> apply -> observe: the only way anything on a host changes."""

from __future__ import annotations

import dataclasses
import typing as t

from ._clock import wait_until
from ._errors import DaemonError, IPsecError, VerifyError
from ._model import Leftovers, State
from ._plan import predict, steps
from ._status import assess, report, summary

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired, Reload

NOT_RUNNING = "stop ordered, but IPsec does not run; cleaning up anyway"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was, what is (in check mode: what would be), and what was done in between."""

    desired: Desired
    before: State
    after: State
    actions: tuple[str, ...]
    messages: tuple[str, ...] = ()
    """The lines that went to the system log."""

    @property
    def needless_stop(self) -> bool:
        """Whether a stop found nothing that ran: ipsec_setup(8) complains, cleans up, and exits with status 1."""
        return self.desired.running is False and not self.before.plutos

    def to_result(self) -> dict[str, t.Any]:
        """The module's result."""
        found, left = assess(self.before).findings, {finding.id for finding in assess(self.after).findings}
        return {
            "changed": bool(self.actions),
            "actions": list(self.actions),
            "repaired": [dataclasses.asdict(finding) for finding in found if finding.id not in left],
            "exit_status": 1 if self.needless_stop else 0,
            "messages": list(self.messages),
            "warnings": [NOT_RUNNING] if self.needless_stop and self.actions else [],
            "restart_required": list(self.after.reload.restart_required) if self.after.reload else [],
            "ipsec": report(self.after),
            "diff": {"before": summary(self.before), "after": summary(self.after)},
        }


def observe(host: Host, desired: Desired | None = None) -> State:
    """One look at the host; reads only. What costs more is looked at only when it is desired to be changed."""
    plutos = host.pluto.processes()
    control = host.pluto.control()
    answer = host.pluto.ask() if control.kind == "listening" else None
    return State(
        program=host.pluto.program(),
        config=host.pluto.config,
        manager=host.launcher.name,
        unit=host.launcher.unit(),
        plutos=plutos,
        loading=host.pluto.loading() if plutos else False,
        zombies=() if plutos else host.pluto.zombies(),
        lock=host.pluto.lock(),
        old_locks=host.pluto.old_locks() if not plutos else (),
        control=control,
        answer=answer,
        backend=host.kernel.name,
        tables=host.kernel.tables(),
        leftovers=host.kernel.leftovers() if not plutos else Leftovers(),
        strangers=host.pluto.strangers() if not plutos else (),
        reload=_compare(host, desired) if desired is not None and desired.reload and answer is not None else None,
    )


def _compare(host: Host, desired: Desired) -> Reload:
    """What pluto holds and should hold, once it has read all that it was last told to."""
    busy = wait_until(lambda: "loading" if host.pluto.loading() else None, desired.start_timeout, host.clock)
    if busy:
        raise DaemonError(f"pluto was still loading connections after {desired.start_timeout:g} s; try again later")
    return host.pluto.reload()


def converge(desired: Desired, host: Host, *, check_mode: bool) -> Outcome:
    """Bring the host to the desired state, or say what would be done.

    An IPsecError names in `done` the steps that were finished before it; one that is raised before the first step has
    changed nothing. Runs on one host wait for each other.
    """
    if check_mode:
        before, plan = _plan(desired, host)
        return Outcome(desired, before, predict(plan, before), tuple(step.title for step in plan))
    with host.guard.exclusive(desired.start_timeout + desired.stop_timeout):
        return _apply(desired, host)


def _plan(desired: Desired, host: Host) -> tuple[State, tuple[t.Any, ...]]:
    before = observe(host, desired)
    plan = steps(desired, before)
    for step in plan:
        step.check(host, before)
    return before, plan


def _apply(desired: Desired, host: Host) -> Outcome:
    before, plan = _plan(desired, host)
    if not plan:
        return Outcome(desired, before, before, ())
    messages: list[str] = []
    done: list[str] = []

    def say(line: str) -> None:
        messages.append(line)
        host.journal.write(line)

    if desired.running is False and not before.plutos:
        say(NOT_RUNNING)
    try:
        for step in plan:
            say(step.title)
            step.apply(host)
            done.append(step.title)
        after = observe(host, desired)
        _verify(desired, before, after)
    except IPsecError as exc:
        say(str(exc))
        exc.done = tuple(done)
        raise
    return Outcome(desired, before, after, tuple(done), tuple(messages))


def _verify(desired: Desired, before: State, after: State) -> None:
    left = [step.title for step in steps(desired.settled(), after)]
    if left:
        raise VerifyError(f"all steps ran, but still to do: {', '.join(left)}", left=left)
    survivors = {process.identity for process in before.plutos} & {process.identity for process in after.plutos}
    if desired.restart and survivors:
        raise VerifyError(f"pluto was restarted, but pid {after.plutos[0].pid} is still the one of before")
