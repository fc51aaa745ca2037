# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher systemd: pluto runs in the unit ipsec.service."""

from __future__ import annotations

import os
import typing as t

from ._errors import ConfigError, DaemonError, DependencyError, understood
from ._model import Unit

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._ports import Commands

UNIT = "ipsec.service"
PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result")
QUERY_TIMEOUT = 30.0
"""Seconds; systemd answers in milliseconds, and in seconds on a host that boots or is out of memory."""
LOG_TAIL = 3000
"""Lines of the journal that are looked at: a thousand connections' worth."""


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
            raise DaemonError(f"systemd does not tell about {UNIT}: {done.reason}; see `systemctl status {UNIT}`")
        return parse_show(done.out)

    def check_start(self) -> None:
        """See Launcher.check_start."""
        self.check_enable()
        unit = self.unit()
        if unit is not None and unit.masked:
            raise ConfigError(f"{UNIT} is masked; run `systemctl unmask {UNIT}` first")

    def check_enable(self) -> None:
        """See Launcher.check_enable."""
        if self.unit() is None:
            raise DependencyError(f"systemd has no unit {UNIT}; install the package libreswan")

    def start(self, timeout: float) -> None:
        """See Launcher.start."""
        unit = self.unit()
        if unit is not None and unit.active == "failed":
            # the start that is asked for now does not count among those that systemd had enough of
            self._order("reset-failed", timeout)
        done = self._systemctl("start", UNIT, timeout=timeout)
        if done.status != 0:
            what = f"did not start in {timeout:g} s" if done.status is None else "failed to start"
            log = self.log()
            reason = f"; its last words: {last_words(log)}" if log else ""
            raise DaemonError(f"{UNIT} {what}{reason}; see `journalctl -u {UNIT}`", log=list(log), output=done.said)

    def stop(self, timeout: float) -> bool:
        """See Launcher.stop."""
        unit = self.unit()
        if unit is None or unit.active in ("inactive", "failed"):
            return True
        self._order("stop", timeout)
        unit = self.unit()
        return unit is None or unit.active in ("inactive", "failed")

    def enable(self, enabled: bool) -> None:
        """See Launcher.enable."""
        verb = "enable" if enabled else "disable"
        done = self._systemctl(verb, UNIT, timeout=QUERY_TIMEOUT)
        if done.status != 0:
            raise ConfigError(f"cannot {verb} {UNIT}: {done.reason}; run `systemctl {verb} {UNIT}` to see more")

    def _order(self, verb: str, timeout: float) -> None:
        done = self._systemctl(verb, UNIT, timeout=timeout)
        if done.status not in (0, None):
            raise DaemonError(
                f"systemd refused to {verb} {UNIT}: {done.reason}; read its log, `journalctl -u {UNIT}`",
                log=list(self.log()),
            )

    def log(self, about: str = "") -> tuple[str, ...]:
        """See Launcher.log."""
        from ._log import LOG_LINES, telling

        done = self._commands.run(
            "journalctl",
            "--no-pager",
            "--quiet",
            "--output=cat",
            f"--lines={LOG_TAIL}",
            f"--unit={UNIT}",
            timeout=QUERY_TIMEOUT,
        )
        return telling(done.out.splitlines(), about)[-LOG_LINES:]

    def _systemctl(self, *argv: str, timeout: float) -> Completed:
        return self._commands.run("systemctl", "--no-ask-password", "--no-pager", *argv, timeout=timeout)


def last_words(log: tuple[str, ...]) -> str:
    """The line of a unit's log that says why it failed: what pluto calls fatal, else the newest.

    After it come systemd's own lines, and those of its next attempt.
    """
    return ([line for line in log if "FATAL ERROR" in line] or log)[-1]


def parse_show(text: str) -> Unit | None:
    """Read `systemctl show`; None when there is no such unit. systemctl(1): lines of KEY=VALUE."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    load = values.get("LoadState", "")
    if load == "not-found":
        return None
    with understood(f"what systemd tells about {UNIT}", DaemonError):
        main_pid, restarts = int(values.get("MainPID") or 0), int(values.get("NRestarts") or 0)
    return Unit(
        name=UNIT,
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        enabled=values.get("UnitFileState", "").startswith("enabled"),
        masked=load == "masked",
        main_pid=main_pid or None,
        restarts=restarts,
        result=values.get("Result", "success"),
    )
