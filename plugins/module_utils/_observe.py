# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a host: what every module begins with. Pure."""

from __future__ import annotations

import typing as t

from ._errors import DependencyError, KernelError
from ._model import Leftovers, State

if t.TYPE_CHECKING:
    from ._host import Host


def observe(host: Host, *, patient: bool = False) -> State:
    """One look at the host; reads only. `patient`: pluto has more time to answer, see Pluto.ask."""
    plutos = host.pluto.processes()
    control = host.pluto.control()
    program = host.pluto.program()
    answer = host.pluto.ask(patient=patient) if control.kind == "listening" else None
    deaf = answer is not None and not answer.interfaces
    tables = host.kernel.tables()
    return State(
        at=host.clock.epoch(),
        program=program,
        config=host.pluto.config,
        # a look at a living pluto does not need the configuration, and to parse it is one more program to run
        config_fault=host.pluto.config_fault(parse=not plutos and program is not None),
        manager=host.launcher.name,
        unit=host.launcher.unit(),
        plutos=plutos,
        loading=host.pluto.loading() if plutos else False,
        zombies=() if plutos else host.pluto.zombies(),
        lock=host.pluto.lock(),
        old_locks=host.pluto.old_locks() if not plutos else (),
        log_rules=host.pluto.log_rules() if not plutos else (),
        control=control,
        answer=answer,
        backend=host.kernel.name,
        tables=tables,
        loadable=_loadable(host) if tables is None and program is not None and not plutos else True,
        leftovers=host.kernel.leftovers() if not plutos else Leftovers(),
        strangers=host.pluto.strangers() if deaf or not plutos else (),
    )


def _loadable(host: Host) -> bool:
    """Whether XFRM can be loaded. What KLIPS needs besides costs more than a look should."""
    if host.kernel.name != "xfrm":
        return True
    try:
        host.kernel.check_load()
    except KernelError:
        return False
    except DependencyError:
        return True  # without modprobe, as in a container, nobody can tell
    return True
