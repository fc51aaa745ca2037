# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gateway takes a configuration back with, alone: a record of the old files, this code, and a timer.

With systemd it is a transient timer, and a unit that does it at the next boot, before pluto starts. Without systemd it
is a process that waits, and nothing is done after a boot.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import typing as t
import zipimport

from ._candidate import File
from ._clock import SystemClock
from ._confirm import Pending, take_back
from ._errors import ConfigError, DaemonError, DependencyError, IPsecError, understood
from ._systemd import booted_with_systemd

if t.TYPE_CHECKING:
    from ._config_host import ConfigHost
    from ._ports import Commands
    from ._reload_host import ReloadHost

FOLDER = "/var/lib/xswan-ipsec"
UNIT = "xswan-ipsec-rollback"
BOOT_UNIT = f"/etc/systemd/system/{UNIT}-at-boot.service"
BOOT_UNIT_TEXT = """\
# Made by xswan.ipsec.ipsec_config, and removed when the configuration is confirmed.
[Unit]
Description=Take an IPsec configuration back that nobody has confirmed
ConditionPathExists={record}
Before=ipsec.service

[Service]
Type=oneshot
Environment=PYTHONPATH={code}
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
NOT_LOADED = 5
"""Exit status of `systemctl stop` for a unit that is not there: systemctl(1), LSB."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks of the process that waits."""
COMMAND_TIMEOUT = 30.0


class LocalRollback:
    """See the port `Rollback`."""

    def __init__(self, commands: Commands, folder: str = FOLDER) -> None:
        self._commands = commands
        self._record = f"{folder}/rollback.json"
        self._code = f"{folder}/rollback.zip"
        self._past = f"{folder}/rolled-back"

    def pending(self) -> Pending | None:
        """See Rollback.pending."""
        said = self._read()
        if said is None:
            return None
        with self._understood():
            return _record(said)

    def past(self) -> str | None:
        """See Rollback.past."""
        try:
            with open(self._past, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def forget(self) -> None:
        """See Rollback.forget."""
        _remove(self._past)
        if self._read() is None:
            # what is there all the same, an arming left that was cut off
            self.disarm()

    def arm(self, record: Pending, seconds: int) -> None:
        """See Rollback.arm."""
        loader = getattr(__spec__, "loader", None)
        if not isinstance(loader, zipimport.zipimporter):
            raise DependencyError(
                "confirm_timeout needs this module to run as Ansible sends it, out of a zip file; leave it out"
            )
        said = {
            **record._asdict(),
            "files": [[file.path, file.text, file.secret, file.permissions] for file in record.files],
            "boot": _boot(),
            "token": os.urandom(8).hex(),
        }
        earlier = self._read()
        try:
            self.forget()
            os.makedirs(os.path.dirname(self._record), mode=0o700, exist_ok=True)
            with open(loader.archive, "rb") as code:
                _write(self._code, code.read())
            if booted_with_systemd():
                self._arm_boot()
            # only now: where there is a record, something takes it back, also after a power failure
            _write(self._record, json.dumps(said).encode())
            if booted_with_systemd():
                self._arm_timer(seconds)
            else:
                _detach(self._command(said["token"], seconds), self._code)
        except (OSError, DaemonError) as exc:
            if earlier is None:
                # nothing was changed, so nothing may be put back
                self.disarm()
            if isinstance(exc, DaemonError):
                raise
            raise DaemonError(
                f"cannot prepare to take the configuration back: {exc.filename}: {exc.strerror}; nothing was changed",
                errno=exc.errno,
            ) from exc

    def _command(self, token: str = "", seconds: int = 0) -> tuple[str, ...]:
        said = {"ANSIBLE_MODULE_ARGS": {"token": token, "seconds": seconds}}
        return (sys.executable, "-m", __name__, json.dumps(said))

    def _arm_boot(self) -> None:
        command = shlex.join(self._command())
        text = BOOT_UNIT_TEXT.format(record=self._record, code=self._code, command=command)
        _write(BOOT_UNIT, text.encode(), 0o644)
        self._systemctl("enable", os.path.basename(BOOT_UNIT))

    def _arm_timer(self, seconds: int) -> None:
        self._systemctl("stop", f"{UNIT}.timer", fine=NOT_LOADED)
        done = self._commands.run(
            *("systemd-run", f"--unit={UNIT}", f"--on-active={seconds}", "--timer-property=AccuracySec=100ms"),
            *("--collect", f"--setenv=PYTHONPATH={self._code}", *self._command()),
            timeout=COMMAND_TIMEOUT,
        )
        if done.status != 0:
            raise DaemonError(
                f"systemd does not set the timer to take the configuration back: {done.reason}; "
                "mend that, or leave confirm_timeout out"
            )

    def _systemctl(self, *args: str, fine: int = 0) -> None:
        done = self._commands.run("systemctl", *args, timeout=COMMAND_TIMEOUT)
        if done.status not in (0, fine):
            raise DaemonError(f"systemctl {' '.join(args)}: {done.reason}; run it by hand to see more")

    def disarm(self, past: str | None = None) -> None:
        """See Rollback.disarm."""
        if past is not None:
            _write(self._past, past.encode())
        # first of all, so that nothing comes back, whatever else fails; a process that waits ends when it is gone
        _remove(self._record)
        _sync(os.path.dirname(self._record))
        if os.path.exists(BOOT_UNIT):
            self._systemctl("stop", f"{UNIT}.timer", fine=NOT_LOADED)
            self._systemctl("disable", os.path.basename(BOOT_UNIT))
            _remove(BOOT_UNIT)
            self._systemctl("daemon-reload")
        _remove(self._code)
        self._leave_no_folder()

    def _leave_no_folder(self) -> None:
        try:
            os.rmdir(os.path.dirname(self._record))
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise

    def due(self, token: str, seconds: float) -> bool:
        """Wait so many seconds; whether what was armed with this token still waits to be confirmed then."""
        clock = SystemClock()
        end = clock.now() + seconds
        while (self._read() or {}).get("token") == token:
            if clock.now() >= end:
                return True
            clock.sleep(LOOK_INTERVAL)
        return False

    def carry_out(self, hosts: t.Callable[[str], tuple[ConfigHost, ReloadHost]]) -> None:
        """Take the configuration back, if there is still one to confirm; `hosts` makes the host of an ipsec.conf."""
        said = self._read()
        if said is None:
            return
        here, reload = hosts(said["config"])
        try:
            told = take_back(here, reload, booted=said["boot"] != _boot())
        except IPsecError as exc:
            here.journal.write(f"cannot take back the configuration that nobody has confirmed: {exc}")
            raise
        if told is not None:
            here.journal.write(told)

    def _read(self) -> dict[str, t.Any] | None:
        try:
            with open(self._record, encoding="utf-8") as file, self._understood():
                return dict(json.load(file))
        except FileNotFoundError:
            return None

    def _understood(self) -> t.ContextManager[None]:
        return understood(self._record, ConfigError, "remove it, and the configuration stays as it is now")


def _record(said: dict[str, t.Any]) -> Pending:
    files = tuple(
        File(str(path), None if text is None else str(text), bool(secret), None if mode is None else int(mode))
        for path, text, secret, mode in said["files"]
    )
    if not all(file.permissions is None or 0 <= file.permissions <= 0o7777 for file in files):
        raise ValueError("no mode")
    until = float(said["until"])
    if not 0 <= until < 2**63:
        raise ValueError("no time")
    purged = tuple(str(path) for path in said["purged"])
    return Pending(str(said["config"]), files, bool(said["running"]), until, int(said["keep"]), purged)


def _boot() -> str:
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def _write(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a file that is there whole or not at all, also after a power failure."""
    new = f"{path}.new"
    _remove(new)
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.replace(new, path)
    except OSError:
        _remove(new)
        raise
    _sync(os.path.dirname(path))


def _sync(folder: str) -> None:
    """A power failure shall not undo what was made, renamed or removed there; where there is none, nothing was."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _detach(argv: tuple[str, ...], code: str) -> None:
    """Run a program that nobody waits for, in a session of its own."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir("/")
            os.execve(argv[0], argv, {**os.environ, "PYTHONPATH": code})
    finally:
        # only here when there was no other program to become; Ansible's own must not go on in it
        os._exit(0)


def main() -> None:
    """Take back what nobody has confirmed: at once, or for a token after so many seconds."""
    from ._commands import LocalCommands
    from ._config_local import config_host
    from ._module import alone, local_host
    from ._reload_local import reload_host

    module = alone({"token": {"type": "str", "no_log": False}, "seconds": {"type": "int"}})
    commands = LocalCommands(module.run_command)
    rollback = LocalRollback(commands)
    if module.params["token"] and not rollback.due(module.params["token"], module.params["seconds"]):
        return

    def hosts(config: str) -> tuple[ConfigHost, ReloadHost]:
        local = local_host(commands, config=config)
        return config_host(local, commands), reload_host(local, commands)

    rollback.carry_out(hosts)


if __name__ == "__main__":
    main()
