# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pluto of this host: its program, processes, files and control socket."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import typing as t

from ._commands import ENVIRONMENT
from ._errors import ConfigError, DaemonError, DependencyError, understood
from ._model import ConfigFault, Control, Lock, Stranger
from ._processes import find_program, running, runs, since_boot, socket_owners, sockets, stopped, zombies
from ._whack import LOADED_AUTO, holds_sas, parse_auto, parse_certificates, parse_script, parse_status, parse_version

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import Answer, Process, Program
    from ._ports import Commands
    from ._rundir import RunFiles

CONFIG = "/etc/ipsec.conf"
RUNDIR = "/run/pluto"
"""Libreswan 3.22 and later; older ones use /var/run/pluto, which leads to the same place on every host with /run."""

ANSWER_TIMEOUT = 10.0
"""Seconds that pluto has for an answer. It has a single thread: while it loads connections, whack waits."""
PATIENCE = 60.0
"""Seconds that it has before it is replaced because it does not answer."""

NSS_FILES = ("cert9.db", "key4.db")
"""Of an NSS database; its third file, pkcs11.txt, may be missing."""

NO_RIGHT = "no right to communicate with pluto"
"""What whack says when the control socket refuses it for the lack of a permission: programs/whack/whack.c, 3.x to 5.x.
"""
DIRECT = ("addconn", "readwriteconf", "whack")
"""Programs that the script `ipsec` only hands over to, as the units of Libreswan know: they call these directly."""

IKE_PORTS = (500, 4500)
SO_ACCEPTCON = 0x10000
"""Flag of a listening socket in /proc/net/unix (linux/net.h)."""


class LocalPluto:
    """See the port `Pluto`."""

    def __init__(
        self,
        commands: Commands,
        *,
        rundir: str = RUNDIR,
        config: str = CONFIG,
        resolv_conf: str = "/etc/resolv.conf",
    ) -> None:
        self._commands = commands
        self._resolv_conf = resolv_conf
        self._lock = f"{rundir}/pluto.pid"
        self._rundir = rundir
        self._control = f"{rundir}/pluto.ctl"
        self.config = config

    def program(self) -> Program | None:
        """See Pluto.program; DependencyError for a program of the same name that has no pluto."""
        return self._program

    @functools.cached_property
    def _program(self) -> Program | None:
        # a look does not run what it can read
        written = parse_script(self.read(self._command) or "")
        if written is not None:
            return written
        try:
            done = self._ipsec("--version", timeout=ANSWER_TIMEOUT)
        except DependencyError:
            return None
        program = parse_version(done.out)
        if program is None or program.name == "strongSwan":
            what = f"{program.name} {program.version}" if program else (done.out.strip() or done.reason)
            raise DependencyError(
                f"the command `ipsec` of this host belongs to another program ({what}); "
                "remove it and install the package libreswan"
            )
        return program

    def config_fault(self, *, parse: bool) -> ConfigFault | None:
        """See Pluto.config_fault."""
        if not os.path.exists(self.config):
            return ConfigFault("missing", f"{self.config} does not exist")
        return self._parsed()[0] if parse else None

    def _parsed(self) -> tuple[ConfigFault | None, str]:
        """What the program says of the configuration: why it is none, else what else it says."""
        done = self._ipsec("addconn", "--checkconfig", "--config", self.config, timeout=60)
        if done.status == 0:
            return None, done.said
        return ConfigFault("invalid", f"{self.config} is not valid: {done.reason}", done.said), ""

    def check_config(self) -> str:
        """See Pluto.check_config."""
        fault, said = self.config_fault(parse=False), ""
        if fault is None:
            fault, said = self._parsed()
        if fault is not None and fault.kind == "missing":
            raise ConfigError(f"{fault.reason}; write it, for example with the role xswan.ipsec.ipsec")
        if fault is not None:
            raise ConfigError(f"{fault.reason}; nothing was changed", output=fault.output)
        return said

    def read(self, path: str) -> str | None:
        """See Pluto.read."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See Pluto.glob."""
        import glob

        return tuple(sorted(path for path in glob.glob(pattern) if os.path.isfile(path)))

    def check_rundir(self, *, room: bool) -> None:
        """See Pluto.check_rundir."""
        self._files().check(room=room)

    def check_nss(self) -> None:
        """See Pluto.check_nss. Where it is, says the program: since Libreswan 3.20 as a value of `config setup`."""
        from ._settings import config_setup

        folder = config_setup(self._commands, self.config).get("nssdir")
        if folder is None:
            return
        if not os.path.isdir(folder):
            raise DependencyError(f"there is no folder {folder} for pluto's NSS database; run `mkdir -m 700 {folder}`")
        if not any(os.path.exists(f"{folder}/{name}") for name in NSS_FILES):
            return
        try:
            done = self._commands.run("certutil", "-L", "-d", f"sql:{folder}", timeout=ANSWER_TIMEOUT)
        except DependencyError:
            return  # only who makes a database needs certutil
        if done.status != 0:
            raise DependencyError(
                f"pluto's NSS database in {folder} is damaged: {done.reason.rstrip('.')}; put it back from a backup, "
                "or move its files away and run `ipsec initnss` (its keys and certificates are lost then)"
            )

    def declared(self) -> dict[str, tuple[str, ...]]:
        """See Pluto.declared."""
        wanted = {"add": LOADED_AUTO, "start": ("start",)}
        configured = sorted(self.configured().items())
        return {kind: tuple(name for name, auto in configured if auto in autos) for kind, autos in wanted.items()}

    def configured(self) -> dict[str, str]:
        """See Pluto.configured.

        Of all programs that read ipsec.conf only this one tells every auto= at once, in Openswan 2.6 to Libreswan 5.x.
        """
        done = self._ipsec("readwriteconf", "--config", self.config, timeout=60)
        if done.status != 0:
            raise ConfigError(f"`ipsec readwriteconf` cannot read {self.config}: {done.reason}; correct it")
        return parse_auto(done.out)

    def certificates(self) -> dict[str, int]:
        """See Pluto.certificates."""
        return parse_certificates(self._ipsec("whack", "--listcerts", timeout=ANSWER_TIMEOUT).out)

    def log(self, since: float) -> tuple[str, ...]:
        """See Pluto.log."""
        from ._log import read_history

        return read_history(self._commands, self.config, since)

    def processes(self) -> tuple[Process, ...]:
        """See Pluto.processes."""
        return find_program("pluto")

    def zombies(self) -> tuple[int, ...]:
        """See Pluto.zombies. A zombie has no /proc/PID/exe any more, so its name must do."""
        return tuple(sorted(pid for pid, name in zombies() if name == "pluto"))

    def old_locks(self) -> tuple[str, ...]:
        """See Pluto.old_locks."""
        return self._files().old_locks()

    def log_rules(self) -> tuple[str, ...]:
        """See Pluto.log_rules."""
        from ._nflog import LogRules

        return tuple(rule.title for rule in LogRules(self._commands).find())

    def strangers(self) -> tuple[Stranger, ...]:
        """See Pluto.strangers."""
        found = []
        for family in ("udp", "udp6"):
            with open(f"/proc/net/{family}", encoding="ascii") as table:
                found += [(port, inode) for port, inode in bound_ports(table.read()) if port in IKE_PORTS]
        owners = socket_owners({inode for _port, inode in found}) if found else {}
        strangers = {Stranger(port, *owners.get(inode, (None, ""))) for port, inode in found}
        # by process, not by name: a pluto of another pid namespace is no process of ours, and stands in the way of ours
        return tuple(
            stranger
            for stranger in sorted(strangers, key=lambda s: (s.port, s.pid or 0))
            if stranger.pid is None or runs(str(stranger.pid), "pluto") is None
        )

    def loading(self) -> bool:
        """See Pluto.loading."""
        return any(True for _found in running("addconn"))

    def lock(self) -> Lock:
        """See Pluto.lock."""
        try:
            # neither a link that somebody planted is followed, nor is a pipe waited for
            with open(os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                content = file.read(64)
        except FileNotFoundError:
            return Lock(self._lock)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                return Lock(self._lock, "damaged")
            raise DaemonError(
                f"cannot read {self._lock}: {exc.strerror}; look at its mode and its file system", errno=exc.errno
            ) from exc
        if not content.strip().isdigit():
            return Lock(self._lock, "damaged")
        pid = int(content)
        if runs(str(pid), "pluto") is not None:
            return Lock(self._lock, "pluto", pid)
        return Lock(self._lock, "reused" if since_boot(pid) is not None else "dead", pid)

    def control(self) -> Control:
        """See Pluto.control.

        Who listens, its descriptors tell. SO_PEERCRED of a connection names who called listen(2): 4.10 does that before
        it forks into the background, so not the pluto that runs; and it takes a connection without an order for an
        error, which it logs.
        """
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            inodes = listening_inodes(table.read(), os.path.realpath(self._control))
        pids = tuple(pid for pid, _upgraded in running("pluto") if inodes & set(sockets(pid))) if inodes else ()
        if not there(self._control):
            return Control(self._control)
        return Control(self._control, "listening" if pids else "stale", pids)

    def ask(self, *, patient: bool = False) -> Answer | None:
        """See Pluto.ask."""
        waits = patient and not all(stopped(process.pid) for process in self.processes())
        timeout = PATIENCE if waits else ANSWER_TIMEOUT
        status = self._ipsec("whack", "--status", timeout=timeout)
        if NO_RIGHT in status.err + status.out:
            raise DependencyError(
                f"pluto's control socket {self._control} refuses root: {status.reason}; "
                "look at SELinux's log (`ausearch -m avc`), and in a container give it CAP_DAC_OVERRIDE"
            )
        if status.status != 0:
            return None
        program = self._program
        if not holds_sas(status.out) or (program is not None and program.name == "Openswan"):
            # there is no traffic, or its whack cannot ask for it
            return parse_status(status.out, "")
        traffic = self._ipsec("whack", "--trafficstatus", timeout=timeout)
        if traffic.status != 0:
            return None
        return parse_status(status.out, traffic.out)

    def listen(self) -> None:
        """See Pluto.listen."""
        done = self._ipsec("whack", "--listen", timeout=ANSWER_TIMEOUT)
        if done.status != 0:
            raise DaemonError(f"pluto does not take the order to listen: {done.reason}; restart it")

    def write_lock(self, process: Process) -> None:
        """See Pluto.write_lock."""
        self._files().write_lock(process)

    def end(self, timeout: float) -> None:
        """See Pluto.end."""
        from ._endings import end_processes, handles, wait_gone

        plutos = self.processes()
        left = handles(plutos)
        third = timeout / 3
        # the whack of a new version may not be understood by a pluto of the old one
        if self.control().pids and not any(pluto.upgraded for pluto in plutos) and self.ask():
            self._ipsec("whack", "--shutdown", timeout=third)
            left = wait_gone(left, third)
        alive = [process.pid for process in end_processes(left, third)]
        if alive:
            raise DaemonError(
                f"pluto (pid {alive[0]}) did not end in {timeout:g} s, not even by SIGKILL; look at `cat "
                f"/proc/{alive[0]}/stack`, and reboot the host if it waits for a device",
                timeout=timeout,
            )

    def remove_leftovers(self) -> None:
        """See Pluto.remove_leftovers."""
        from ._nflog import LogRules

        if self.processes():
            raise DaemonError("a pluto was started meanwhile; its files stay. Run the task again")
        LogRules(self._commands).remove()
        self._files().remove()

    def _files(self) -> RunFiles:
        # no look at a pluto that runs needs them
        from ._rundir import RunFiles

        return RunFiles(self._rundir, self._resolv_conf)

    def _ipsec(self, *argv: str, timeout: float) -> Completed:
        """Run `ipsec` with these arguments: a shell script that takes longer than the programs it leads to."""
        program = f"{self._folder}/{argv[0]}"
        if self._folder is not None and argv[0] in DIRECT and os.access(program, os.X_OK):
            return self._commands.run(program, *argv[1:], timeout=timeout)
        return self._commands.run("ipsec", *argv, timeout=timeout)

    @functools.cached_property
    def _command(self) -> str:
        """Path of the command `ipsec`; empty when there is none."""
        return shutil.which("ipsec", path=ENVIRONMENT["PATH"]) or ""

    @functools.cached_property
    def _folder(self) -> str | None:
        """Folder of the programs that belong to the command `ipsec`; None where it is at another place than usual."""
        prefix = os.path.dirname(os.path.dirname(self._command))
        folders = (f"{prefix}/{folder}/ipsec" for folder in ("libexec", "lib"))
        return next((folder for folder in folders if os.access(f"{folder}/whack", os.X_OK)), None)


def there(path: str) -> bool:
    """As os.path.lexists(), but what cannot be told is an OSError."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def listening_inodes(proc_net_unix: str, path: str) -> set[str]:
    """Inodes of the sockets that listen at `path`, from the text of /proc/net/unix.

    The table names a socket as it was bound, so /var/run/pluto/pluto.ctl also stands for /run/pluto/pluto.ctl.
    """
    with understood("/proc/net/unix"):
        found = set()
        for line in proc_net_unix.splitlines()[1:]:
            row = line.split(maxsplit=7)
            if len(row) == 8 and int(row[3], 16) & SO_ACCEPTCON and row[7] in (path, f"/var{path}"):
                found.add(row[6])
        return found


def bound_ports(proc_net_udp: str) -> t.Iterator[tuple[int, str]]:
    """Local port and inode of every socket, from the text of /proc/net/udp or udp6 (proc(5))."""
    with understood("/proc/net/udp"):
        for line in proc_net_udp.splitlines()[1:]:
            row = line.split()
            yield int(row[1].rpartition(":")[2], 16), row[9]
