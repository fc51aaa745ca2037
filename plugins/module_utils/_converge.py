# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""observe -> plan -> apply -> observe: the only way anything on a host changes."""

from __future__ import annotations

import dataclasses
import typing as t

from ._errors import IPsecError, VerifyError
from ._model import State
from ._plan import predict, steps
from ._status import report, summary

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Desired


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was, what is (in check mode: what would be), and what was done in between."""

    before: State
    after: State
    actions: tuple[str, ...]

    def to_result(self) -> dict[str, t.Any]:
        """The module's result."""
        return {
            "changed": bool(self.actions),
            "actions": list(self.actions),
            "ipsec": report(self.after),
            "diff": {"before": summary(self.before), "after": summary(self.after)},
        }


def observe(host: Host) -> State:
    """One look at the host; reads only."""
    plutos = host.pluto.processes()
    control = host.pluto.control()
    return State(
        program=host.pluto.program(),
        manager=host.launcher.name,
        unit=host.launcher.unit(),
        plutos=plutos,
        loading=host.pluto.loading() if plutos else False,
        lock=host.pluto.lock(),
        control=control,
        answer=host.pluto.ask() if control.kind == "listening" else None,
        xfrm=host.kernel.xfrm(),
    )


def converge(desired: Desired, host: Host, *, check_mode: bool) -> Outcome:
    """Bring the host to the desired state, or say what would be done.

    An IPsecError names in `done` the steps that were finished before it; one that is raised before the first step has
    changed nothing.
    """
    before = observe(host)
    plan = steps(desired, before)
    for step in plan:
        step.check(host, before)
    titles = tuple(step.title for step in plan)
    if check_mode or not plan:
        return Outcome(before, predict(plan, before), titles)

    done: list[str] = []
    try:
        for step in plan:
            step.apply(host)
            done.append(step.title)
        after = observe(host)
        _verify(desired, before, after)
    except IPsecError as exc:
        exc.done = tuple(done)
        raise
    return Outcome(before, after, titles)


def _verify(desired: Desired, before: State, after: State) -> None:
    left = [step.title for step in steps(desired.settled(), after)]
    if left:
        raise VerifyError(f"all steps ran, but still to do: {', '.join(left)}", left=left)
    survivors = {process.identity for process in before.plutos} & {process.identity for process in after.plutos}
    if desired.restart and survivors:
        raise VerifyError(f"pluto was restarted, but pid {after.plutos[0].pid} is still the one of before")
