# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher direct: pluto is started by itself, on hosts without a service manager, such as containers."""

from __future__ import annotations

import os
import typing as t

from ._errors import ConfigError, DaemonError
from ._log import LOG, read_log
from ._pluto import RUNDIR
from ._settings import config_setup
from ._unit_failure import EXITS

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import Unit
    from ._ports import Clock, Commands, Launcher


ACQ_EXPIRES = "/proc/sys/net/core/xfrm_acq_expires"
"""Seconds that a packet's request for an SA stays in the kernel."""


class DirectLauncher:
    """See the port `Launcher`. For Libreswan only: Openswan's pluto takes its settings from its init script."""

    name = "direct"

    def __init__(
        self,
        commands: Commands,
        clock: Clock,
        config: str,
        *,
        rundir: str = RUNDIR,
        acq_expires: str = ACQ_EXPIRES,
        manager: Launcher | None = None,
    ) -> None:
        """`manager` is the one that this host has all the same: what it runs, only it can stop for good."""
        self._commands = commands
        self._manager = manager
        self._acq_expires = acq_expires
        self._clock = clock
        self._config = config
        self._rundir = rundir

    def unit(self) -> Unit | None:
        """There is none, for nobody but pluto itself knows that it runs; unless the manager is at work on its own."""
        unit = self._manager.unit() if self._manager else None
        return None if unit is None or unit.active in ("inactive", "failed") else unit

    def check_start(self) -> tuple[str, ...]:
        """An `ipsec` command is enough. As _stackmanager does, it is only told what the kernel will not take."""
        lifetime = self._lifetime()
        if lifetime is None or os.access(self._acq_expires, os.W_OK):
            return ()
        return (
            f"xfrmlifetime={lifetime} cannot be written to {self._acq_expires}; "
            "write it on the host of this container, or leave it out of config setup",
        )

    def check_enable(self) -> None:
        """ConfigError: nothing starts pluto at boot."""
        raise ConfigError(
            "launcher direct can start nothing at boot; leave `enabled` out, and let what starts this host "
            "(a container's entry point, /etc/rc.local) run `ipsec pluto`"
        )

    def start(self, timeout: float) -> None:
        """See Launcher.start. The steps of the distribution's unit; pluto forks into a session of its own.

        Of `ipsec _stackmanager start` of Libreswan up to 4.x only `xfrmlifetime=` is done: the rest flushes SAs that
        are not pluto's, and loads modules that the kernel loads by itself when pluto needs them.
        """
        deadline = self._clock.now() + timeout
        # a manager that is between two attempts would start a second one
        if not self.stop(timeout):
            raise DaemonError(
                f"pluto was not started: the unit of this host has not finished its stop in {timeout:g} s; "
                "use launcher systemd, or give it more time with start_timeout"
            )

        def ipsec(*argv: str) -> Completed:
            return self._commands.run("ipsec", *argv, timeout=max(1.0, deadline - self._clock.now()))

        self._make_rundir()
        for check in ("--checknss", "--checknflog"):
            done = ipsec(check)
            if done.status != 0:
                raise DaemonError(
                    f"pluto was not started: `ipsec {check}` failed: {done.reason}; mend that and start again",
                    output=done.said,
                )
        self._set_lifetime()
        # without a system log its words would be lost; what the configuration says later on the line wins
        log = () if os.path.exists("/dev/log") else ("--logfile", LOG)
        done = ipsec("pluto", *log, "--config", self._config)
        if done.status is None:
            raise DaemonError(
                f"pluto did not start in {timeout:g} s; give it more time with start_timeout", output=done.said
            )
        if done.status != 0:
            what = EXITS.get(done.status, f"exit status {done.status}")
            raise DaemonError(
                f"pluto did not start: {what}: {done.reason}; mend that and start again", output=done.said
            )
        # It forks before it opens the NSS database and the kernel. An answer comes when it is ready; if it dies first,
        # whack's connection breaks.
        done = ipsec("whack", "--status")
        if done.status is None:
            raise DaemonError(
                f"pluto was started, but does not answer after {timeout:g} s; "
                "read its log, or give it more time with start_timeout",
                log=list(self.log()),
            )
        if done.status != 0:
            lines = self.log()
            raise DaemonError(
                f"pluto ended while it started; its last words: {lines[-1] if lines else done.reason}", log=list(lines)
            )

    def stop(self, timeout: float) -> bool:
        """Ending pluto is for Pluto.end, and nothing starts one again here, but for a manager: it stops its own."""
        return self._manager is None or self._manager.stop(timeout)

    def enable(self, enabled: bool) -> None:
        """Never reached: see check_enable."""
        self.check_enable()

    def log(self, about: str = "") -> tuple[str, ...]:
        """See Launcher.log."""
        return read_log(self._commands, self._config, about)

    def _lifetime(self) -> str | None:
        """`xfrmlifetime=`, where the kernel has another value; None also where the kernel has no such parameter."""
        if not os.path.exists(self._acq_expires):
            return None
        wanted = config_setup(self._commands, self._config).get("xfrmlifetime", "")
        with open(self._acq_expires, encoding="ascii") as file:
            # in another form it is of a version whose pluto writes it by itself, as all do from 5.0 on
            return wanted if wanted.isdigit() and wanted != file.read().strip() else None

    def _set_lifetime(self) -> None:
        lifetime = self._lifetime()
        if lifetime is not None and os.access(self._acq_expires, os.W_OK):
            with open(self._acq_expires, "w", encoding="ascii") as file:
                file.write(lifetime)

    def _make_rundir(self) -> None:
        if os.path.isdir(self._rundir):
            return
        try:
            # pluto makes this folder itself, but not its parents
            os.makedirs(self._rundir)
            os.chmod(self._rundir, 0o755)
        except OSError as exc:
            raise DaemonError(
                f"cannot make the folder {self._rundir}: {exc.strerror}; make the file system below it writable",
                errno=exc.errno,
            ) from exc
