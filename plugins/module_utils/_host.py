# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports: everything outside of this collection is reached through these, and through nothing else."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ._model import (
        Answer,
        Backend,
        Control,
        Flush,
        Leftovers,
        Lock,
        Process,
        Program,
        Reload,
        Stranger,
        Tables,
        Unit,
    )


class Launcher(t.Protocol):
    """The service manager that runs pluto."""

    @property
    def name(self) -> str:
        """Name of the manager, as in the results."""

    def unit(self) -> Unit | None:
        """The subsystem's unit; None when this manager does not know it."""

    def check_start(self) -> None:
        """Raise what makes a start impossible (nothing to start it with, masked); reads only."""

    def check_enable(self) -> None:
        """Raise what makes it impossible to start pluto at boot, or not to; reads only."""

    def start(self, timeout: float) -> None:
        """Start the unit and wait for the manager's word; DaemonError with the reason otherwise."""

    def stop(self, timeout: float) -> bool:
        """Have the unit stopped, and not started again; whether it is inactive before `timeout` seconds are over.

        DaemonError when the manager refuses. A stop that takes longer goes on.
        """

    def enable(self, enabled: bool) -> None:
        """Start, or do not start, the unit at boot."""

    def log(self) -> tuple[str, ...]:
        """The last lines that pluto and those who start it have logged, the newest last."""


class Pluto(t.Protocol):
    """The pluto daemon: its program, processes, files and control socket."""

    @property
    def config(self) -> str:
        """Path of ipsec.conf."""

    def program(self) -> Program | None:
        """The installed program; None when there is no `ipsec` command."""

    def check_config(self) -> None:
        """Let the program parse its configuration; ConfigError with its words when it will not."""

    def declared(self) -> dict[str, tuple[str, ...]]:
        """Names of the connections that the configuration has loaded: all under "add", those to be up under "start"."""

    def processes(self) -> tuple[Process, ...]:
        """Every living pluto of the host's own pid and network namespace, oldest first."""

    def zombies(self) -> tuple[int, ...]:
        """Pids of plutos that have ended, and whose parent has not taken notice."""

    def loading(self) -> bool:
        """True while `addconn` feeds connections to pluto."""

    def lock(self) -> Lock:
        """The lock file and what it means now."""

    def control(self) -> Control:
        """The control socket, looked at without a connection: nothing that pluto would log or wait for."""

    def ask(self) -> Answer | None:
        """What pluto says of itself; None when it does not answer in time."""

    def old_locks(self) -> tuple[str, ...]:
        """Files that are there only while IPsec is up: locks of scripts, and the saved resolv.conf."""

    def strangers(self) -> tuple[Stranger, ...]:
        """Who else holds UDP port 500 or 4500."""

    def reload(self) -> Reload:
        """What the living pluto holds, beside what its configuration asks for; changes nothing.

        ConfigError when the configuration, or a connection in it that should be loaded, is refused by the program;
        DaemonError when pluto does not answer.
        """

    def reread_secrets(self) -> None:
        """Have pluto read the secrets' files again; DaemonError when it does not."""

    def delete(self, name: str) -> None:
        """Delete a connection, and with it its SAs."""

    def load(self, name: str, auto: str) -> None:
        """Load a connection that pluto does not hold, then start it or set its trap as `auto=` says; DaemonError."""

    def listen(self) -> None:
        """Tell pluto to look at the network interfaces again; DaemonError when it does not answer."""

    def write_lock(self, process: Process) -> None:
        """Write the lock file that this living pluto has lost."""

    def end(self, timeout: float) -> None:
        """End every pluto: asked over its control socket, then SIGTERM, then SIGKILL; DaemonError when one is left.

        Before each the identity (pid, start time) is looked at again: nothing else is ever signalled.
        """

    def remove_leftovers(self) -> None:
        """Put resolv.conf back, and remove lock files and control socket that no living pluto owns."""


class Kernel(t.Protocol):
    """The kernel's IPsec part."""

    @property
    def name(self) -> Backend:
        """Which of the kernel's IPsec parts this is."""

    def tables(self) -> Tables | None:
        """Sizes of its tables; None when it is not loaded. Never loads a module."""

    def check_load(self) -> None:
        """Raise what makes it impossible to load, as far as that can be known; reads only."""

    def load(self) -> None:
        """Make it ready for a pluto; KernelError when this kernel has no such part."""

    def leftovers(self) -> Leftovers:
        """What is in the kernel, own and foreign apart. To be asked only while no pluto runs."""

    def clean(self, flush: Flush) -> None:
        """Remove a pluto's policies, SAs and ipsecN devices, in this order; with `all` everybody's policies and SAs."""


class Journal(t.Protocol):
    """The system log."""

    def write(self, line: str) -> None:
        """Log one line, as `ipsec setup` does: tag ipsec_setup, priority daemon.error."""


class Guard(t.Protocol):
    """The lock that makes runs of this collection on one host wait for each other."""

    def exclusive(self, timeout: float) -> t.ContextManager[None]:
        """Hold the lock inside the `with` block; DaemonError when another run holds it for `timeout` seconds."""


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
    journal: Journal
    guard: Guard
    clock: Clock
