# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a State check mode can foretell, so that it can be compared with what came."""

from __future__ import annotations

import typing as t

from ansible_collections.xswan.ipsec.plugins.module_utils._model import State
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess


def foretold(state: State, before: State) -> dict[str, t.Any]:
    """All but the time, the pid of a pluto that is yet to start, and what it will answer.

    Nor what others have in the kernel, which IKE ports they hold, and zombies: `before`, while a pluto ran, nobody
    looked at them.
    """
    if before.plutos:
        state = state._replace(zombies=(), strangers=())
    unit = state.unit
    return {
        "findings": sorted(finding.id for finding in assess(state).findings),
        "plutos": [process.upgraded for process in state.plutos],
        "lock": state.lock.kind,
        "control": (state.control.kind, len(state.control.pids)),
        "answer": state.answer is not None and bool(state.answer.interfaces),
        "left": (state.old_locks, state.log_rules, *state.leftovers[:3], state.zombies),
        "unit": unit and (unit.active, unit.sub, unit.enabled, unit.masked, not state.plutos and unit.main_pid),
        "kernel": (state.backend, state.tables is None),
        "rest": (state.program, state.config, state.config_fault, state.manager, state.loading),
    }
