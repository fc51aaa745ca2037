# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports: everything outside of this collection is reached through these, and through nothing else.

Protocols are for type checkers: no file imports this one when it runs.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import (
        Answer,
        Backend,
        ConfigFault,
        Contents,
        Control,
        Firewall,
        Flush,
        Interface,
        Leftovers,
        Listing,
        Lock,
        Process,
        Program,
        Settings,
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

    def check_start(self) -> tuple[str, ...] | None:
        """Raise what makes a start impossible (nothing to start it with, masked); reads only.

        What it returns are warnings: what a start will leave undone.
        """

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

    def log(self, about: str = "") -> tuple[str, ...]:
        """The last lines that pluto and those who start it have logged and that hold `about`, the newest last.

        pluto's debug lines are left out: they may hold keys.
        """


class Pluto(t.Protocol):
    """The pluto daemon: its program, processes, files and control socket."""

    @property
    def config(self) -> str:
        """Path of ipsec.conf."""

    def program(self) -> Program | None:
        """The installed program; None when there is no `ipsec` command."""

    def config_fault(self, *, parse: bool) -> ConfigFault | None:
        """What is wrong with the configuration: whether it is there, and with `parse` whether the program parses it."""

    def check_config(self) -> str:
        """Let the program parse its configuration; ConfigError with its words when it will not.

        Else what it says all the same, which may be that a connection will not be loaded; empty when it says nothing.
        """

    def read(self, path: str) -> str | None:
        """The text of a file of the configuration; None when there is none."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The files of the configuration that a shell's pattern matches, sorted."""

    def check_rundir(self, *, room: bool) -> None:
        """DependencyError when no file can be made or removed in the run directory; with `room`, also when it is full.

        One that is missing is fine. Reads only.
        """

    def check_nss(self) -> None:
        """DependencyError when there is an NSS database and it cannot be read, or no folder for one; reads only."""

    def declared(self) -> dict[str, tuple[str, ...]]:
        """Names of the connections that the configuration has loaded: all under "add", those to be up under "start"."""

    def configured(self) -> dict[str, str]:
        """Every connection of the configuration and its auto=: ignore, add, ondemand, start or keep.

        ConfigError when the configuration cannot be read.
        """

    def certificates(self) -> dict[str, int]:
        """Nicknames of the certificates in pluto's NSS database and when they expire (epoch); none if it is silent."""

    def log(self, since: float) -> tuple[str, ...]:
        """What a pluto that was started at `since` (epoch) has logged, oldest first; bounded, without debug lines."""

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

    def ask(self, *, patient: bool = False) -> Answer | None:
        """What pluto says of itself; None when it does not answer in time; DependencyError without the right to ask.

        `patient`: it has a minute, as on a host with too much to do, unless a signal has stopped it.
        """

    def old_locks(self) -> tuple[str, ...]:
        """Files that are there only while IPsec is up: locks of scripts, and the saved resolv.conf."""

    def log_rules(self) -> tuple[str, ...]:
        """The firewall's rules of `nflog-all=`, which pluto's start scripts made, in words."""

    def strangers(self) -> tuple[Stranger, ...]:
        """Who else holds UDP port 500 or 4500: everybody but the plutos of our own namespaces."""

    def listen(self) -> None:
        """Tell pluto to look at the network interfaces again; DaemonError when it does not answer."""

    def write_lock(self, process: Process) -> None:
        """Write the lock file that this living pluto has lost."""

    def end(self, timeout: float) -> None:
        """End every pluto: asked over its control socket, then SIGTERM, then SIGKILL; DaemonError when one is left.

        Before each the identity (pid, start time) is looked at again: nothing else is ever signalled.
        """

    def remove_leftovers(self) -> None:
        """Remove the rules of `nflog-all=`, put resolv.conf back, remove control socket and lock files, in this order.

        DaemonError when a pluto lives, or something cannot be removed.
        """


class Kernel(t.Protocol):
    """The kernel's IPsec part."""

    @property
    def name(self) -> Backend:
        """Which of the kernel's IPsec parts this is."""

    def tables(self) -> Tables | None:
        """Sizes of its tables; None when it is not loaded. Never loads a module."""

    def contents(self, listing: Listing) -> Contents | None:
        """What is in its tables; None when it is not loaded. Never loads a module, and never holds a key."""

    def interfaces(self) -> tuple[Interface, ...]:
        """The network devices through which IPsec routes, by name, whoever made them."""

    def check_load(self) -> None:
        """Raise what makes it impossible to load, as far as that can be known; reads only."""

    def load(self) -> None:
        """Make it ready for a pluto; KernelError when this kernel has no such part."""

    def leftovers(self) -> Leftovers:
        """What is in the kernel, own and foreign apart. What is own is only left over while no pluto runs."""

    def check_clean(self) -> None:
        """Raise what makes it impossible to remove the ipsecN devices that are there now; reads only."""

    def clean(self, flush: Flush) -> None:
        """Remove a pluto's policies, SAs and ipsecN devices, with `all` everybody's policies and SAs; unload KLIPS."""


class Network(t.Protocol):
    """The host's own network settings and firewall, which IPsec depends on and never changes."""

    def settings(self) -> Settings:
        """Forwarding, redirects, default routes, and who holds the IKE ports."""

    def firewall(self) -> Firewall:
        """Which of its rules refuse IPsec; runs the tools of nftables, or of iptables."""


class Journal(t.Protocol):
    """The system log."""

    def write(self, line: str) -> None:
        """Log one line, as `ipsec setup` does: tag ipsec_setup, priority as `syslog=` says, else daemon.error."""


class Guard(t.Protocol):
    """The lock that makes runs of this collection on one host wait for each other."""

    def exclusive(self, timeout: float) -> t.ContextManager[None]:
        """Hold the lock inside the `with` block; DaemonError when another run holds it for `timeout` seconds."""


class Clock(t.Protocol):
    """Time, which tests must be able to move."""

    waits: list[str]
    """The long waits of this run, in words: result and person are told of them at its end."""

    def now(self) -> float:
        """Monotonic seconds."""

    def epoch(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def waited(self, since: float, what: str) -> None:
        """The time since then (as of now()) went to a wait for this; it is one of `waits` if it was long."""


class Commands(t.Protocol):
    """What the other ports need in order to run programs."""

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run a program; DependencyError when it is not installed."""


class CommandsApart(Commands, t.Protocol):
    """What the sandbox needs besides."""

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        """Run a program as root of namespaces of its own, which end with it and with us; `data` is its stdin.

        What it mounts, configures or starts there is gone when this returns.
        """


class RunCommand(t.Protocol):
    """AnsibleModule.run_command, as far as it is used here."""

    def __call__(
        self,
        args: list[str],
        *,
        environ_update: dict[str, str],
        errors: str,
        expand_user_and_vars: bool,
        handle_exceptions: bool,
        data: bytes | None = None,
        binary_data: bool = False,
    ) -> tuple[int, str, str]:
        """Run a program to its end; return its status and what it printed on stdout and stderr.

        OSError when it cannot be run, if exceptions are not to be handled by ending the module.
        """
