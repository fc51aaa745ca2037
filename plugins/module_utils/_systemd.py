# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher systemd: pluto runs in the unit ipsec.service."""

from __future__ import annotations

import os
import typing as t

from ._clock import SystemClock
from ._errors import ConfigError, DaemonError, DependencyError, understood
from ._model import Unit

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._ports import Commands

UNIT = "ipsec.service"
PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result")
END = ("Description", "Result", "ExecMainCode", "ExecMainStatus")
"""What is asked for besides after a start that failed."""
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

    def __init__(self, commands: Commands, config: str) -> None:
        self._commands = commands
        self._config = config

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
        began = SystemClock().epoch()
        done = self._systemctl("start", UNIT, timeout=timeout)
        if done.status != 0:
            what = f"did not start in {timeout:g} s" if done.status is None else "failed to start"
            log = self._log("", began)
            raise DaemonError(
                f"{UNIT} {what}{self._why(log, done)}; see `journalctl -u {UNIT}`", log=list(log), output=done.said
            )

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
        return self._log(about, 0)

    def _log(self, about: str, since: float) -> tuple[str, ...]:
        """What was logged since then (epoch): in the unit's journal, then by pluto where logfile= sends its words."""
        from ._log import LOG_LINES, journal, read_own_log, telling

        which = (f"--lines={LOG_TAIL}", f"--since=@{since:.6f}", f"--unit={UNIT}")
        lines = journal(self._commands, *which, timeout=QUERY_TIMEOUT)
        return (*telling(lines, about)[-LOG_LINES:], *read_own_log(self._commands, self._config, about, since))

    def _why(self, log: tuple[str, ...], done: Completed) -> str:
        """How the processes of a start that failed have ended, and their last words."""
        from ._unit_failure import how_it_ended, last_words

        asked = self._systemctl("show", f"--property={','.join(END)}", UNIT, timeout=QUERY_TIMEOUT)
        values = parse_properties(asked.out)
        end = how_it_ended(values, log)
        words = last_words(log, values.get("Description", ""))
        if not end and not words:
            # it did not come to a process, or still waits for one
            result = values.get("Result", "success")
            end = f"systemd says {result}" if result != "success" else ""
            words = log[-1] if log else done.reason
        return (f": {end}" if end else "") + (f"; its last words: {words}" if words else "")

    def _systemctl(self, *argv: str, timeout: float) -> Completed:
        return self._commands.run("systemctl", "--no-ask-password", "--no-pager", *argv, timeout=timeout)


def parse_properties(text: str) -> dict[str, str]:
    """Lines of KEY=VALUE: systemctl(1), show."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse_show(text: str) -> Unit | None:
    """Read `systemctl show`; None when there is no such unit."""
    values = parse_properties(text)
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
