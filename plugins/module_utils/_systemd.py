# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher systemd: pluto runs in the unit ipsec.service."""

from __future__ import annotations

import os
import typing as t

from ._errors import ConfigError, DaemonError, DependencyError
from ._model import Unit

if t.TYPE_CHECKING:
    from ._commands import Commands, Completed

UNIT = "ipsec.service"
PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts")
QUERY_TIMEOUT = 30.0
"""Seconds; systemd answers in milliseconds, and in seconds on a host that boots or is out of memory."""
LOG_LINES = 15


def booted_with_systemd() -> bool:
    """sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")


class SystemdLauncher:
    """See the port `Launcher`."""

    name = "systemd"

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def unit(self) -> Unit | None:
        """See Launcher.unit."""
        done = self._systemctl("show", f"--property={','.join(PROPERTIES)}", UNIT, timeout=QUERY_TIMEOUT)
        if done.status != 0:
            raise DaemonError(f"systemd does not tell about {UNIT}: {done.reason}")
        return parse_show(done.out)

    def start(self, timeout: float) -> None:
        """See Launcher.start."""
        self._job("start", timeout)

    def stop(self, timeout: float) -> None:
        """See Launcher.stop."""
        if self.unit() is not None:
            self._job("stop", timeout)

    def enable(self, enabled: bool) -> None:
        """See Launcher.enable."""
        verb = "enable" if enabled else "disable"
        done = self._systemctl(verb, UNIT, timeout=QUERY_TIMEOUT)
        if done.status != 0:
            raise ConfigError(f"cannot {verb} {UNIT}: {done.reason}")

    def _job(self, verb: str, timeout: float) -> None:
        done = self._systemctl(verb, UNIT, timeout=timeout)
        if done.status == 0:
            return
        # to the caller a job that failed and one that hangs differ only in the first words
        what = f"did not {verb} in {timeout:g} s" if done.status is None else f"failed to {verb}"
        log = self._log()
        reason = f"; its last words: {log[-1]}" if log else ""
        raise DaemonError(f"{UNIT} {what}{reason}; see `journalctl -u {UNIT}`", log=log, output=done.err.strip())

    def _log(self) -> list[str]:
        done = self._commands.run(
            "journalctl",
            "--no-pager",
            "--quiet",
            "--output=cat",
            f"--lines={LOG_LINES}",
            f"--unit={UNIT}",
            timeout=QUERY_TIMEOUT,
        )
        return done.out.splitlines()

    def _systemctl(self, *argv: str, timeout: float) -> Completed:
        return self._commands.run("systemctl", "--no-ask-password", "--no-pager", *argv, timeout=timeout)


class NoLauncher:
    """A host without a service manager that is known: pluto can be seen and stopped there, not started."""

    name = "none"

    def unit(self) -> None:
        """There is none."""

    def start(self, timeout: float) -> None:
        """DependencyError: nothing to start it with."""
        raise DependencyError("this host was not booted with systemd, and ipsec_setup starts pluto with nothing else")

    def stop(self, timeout: float) -> None:
        """Nothing runs in a unit here."""

    def enable(self, enabled: bool) -> None:
        """DependencyError: nothing to enable."""
        raise DependencyError("this host was not booted with systemd: there is no unit to enable or disable")


def parse_show(text: str) -> Unit | None:
    """Read `systemctl show`; None when there is no such unit. systemctl(1): lines of KEY=VALUE."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    load = values.get("LoadState", "")
    if load == "not-found":
        return None
    main_pid = int(values.get("MainPID") or 0)
    return Unit(
        name=UNIT,
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        enabled=values.get("UnitFileState", "").startswith("enabled"),
        masked=load == "masked",
        main_pid=main_pid or None,
        restarts=int(values.get("NRestarts") or 0),
    )
