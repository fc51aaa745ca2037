# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports: everything outside of this collection is reached through these, and through nothing else."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ._model import Answer, Control, Lock, Process, Program, Unit, Xfrm


class Launcher(t.Protocol):
    """The service manager that runs pluto."""

    @property
    def name(self) -> str:
        """Name of the manager, as in the results."""

    def unit(self) -> Unit | None:
        """The subsystem's unit; None when this manager does not know it."""

    def start(self, timeout: float) -> None:
        """Start the unit and wait for the manager's word; DaemonError with the reason otherwise."""

    def stop(self, timeout: float) -> None:
        """Stop the unit and wait until it is inactive; DaemonError with the reason otherwise."""

    def enable(self, enabled: bool) -> None:
        """Start, or do not start, the unit at boot."""


class Pluto(t.Protocol):
    """The pluto daemon: its program, processes, files and control socket."""

    def program(self) -> Program | None:
        """The installed program; None when there is no `ipsec` command."""

    def check_config(self) -> None:
        """Let the program parse its configuration; ConfigError with its words when it will not."""

    def processes(self) -> tuple[Process, ...]:
        """Every living pluto of the host's own pid and network namespace, oldest first."""

    def loading(self) -> bool:
        """True while `addconn` feeds connections to pluto."""

    def lock(self) -> Lock:
        """The lock file and what it means now."""

    def control(self) -> Control:
        """The control socket, looked at without a connection: nothing that pluto would log or wait for."""

    def ask(self) -> Answer | None:
        """What pluto says of itself; None when it does not answer in time."""

    def shutdown(self, timeout: float) -> None:
        """Ask pluto over its control socket to end and wait; DaemonError when it did not."""

    def remove_leftovers(self) -> None:
        """Remove lock file and control socket that no living pluto owns."""


class Kernel(t.Protocol):
    """The kernel's IPsec part."""

    def xfrm(self) -> Xfrm | None:
        """Sizes of its tables; None without XFRM interface. Never loads a module."""

    def load_xfrm(self) -> None:
        """Load the XFRM interface; KernelError when this kernel has none."""


class Clock(t.Protocol):
    """Time, which tests must be able to move."""

    def now(self) -> float:
        """Monotonic seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclasses.dataclass(frozen=True)
class Host:
    """A gateway as this collection can reach it."""

    launcher: Launcher
    pluto: Pluto
    kernel: Kernel
    clock: Clock
