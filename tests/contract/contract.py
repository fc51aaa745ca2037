# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every Host promises, fake or real. The same checks hold both, so the fake cannot drift from gateways.

On a gateway this file runs by itself (`python3 contract.py CHECK`), with nothing but module_utils beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.xswan.ipsec.plugins.module_utils._baseline import LocalBaseline
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._config_host import ConfigHost
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Fault, faults
from ansible_collections.xswan.ipsec.plugins.module_utils._install import LocalFiles
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import read_conf
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Listing
from ansible_collections.xswan.ipsec.plugins.module_utils._network import LocalNetwork
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto
from ansible_collections.xswan.ipsec.plugins.module_utils._preflight import Unshared
from ansible_collections.xswan.ipsec.plugins.module_utils._reload_host import ReloadHost
from ansible_collections.xswan.ipsec.plugins.module_utils._reloader import LocalReloader
from ansible_collections.xswan.ipsec.plugins.module_utils._rollback import LocalRollback
from ansible_collections.xswan.ipsec.plugins.module_utils._system import LockFile, SystemLog
from ansible_collections.xswan.ipsec.plugins.module_utils._systemd import SystemdLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import parse_status
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmKernel


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class WholeHost(ConfigHost, ReloadHost):
    """A gateway with the ports of every module."""


class World(t.Protocol):
    """A host and the accidents that can befall it. It is handed over, and left, with IPsec stopped."""

    @property
    def host(self) -> WholeHost:
        """The ports under test."""

    def pluto_by_hand(self) -> None:
        """Somebody starts a pluto behind the manager's back."""

    def pluto_hangs(self) -> None:
        """The pluto that runs answers no more."""

    def no_lock_file(self) -> None:
        """Somebody removes the lock file."""

    def old_lock_file(self) -> None:
        """Openswan's setup script was interrupted."""

    def stranger_on_port_500(self) -> t.ContextManager[None]:
        """Another IKE daemon is at work."""

    def dead_lock_file(self) -> None:
        """A pluto that is gone has left its lock file."""

    def stale_socket(self) -> None:
        """A pluto that is gone has left its control socket."""

    def break_config(self) -> None:
        """The configuration no longer parses."""

    def doubtful_config(self) -> None:
        """It parses, and holds a connection that takes over the connection `nosuch`, which is not there."""

    def mend_config(self) -> None:
        """It is as it was."""


def check_stopped(world: World) -> None:
    """Nothing runs, nothing is there."""
    host = world.host
    assert host.pluto.program() is not None
    assert host.pluto.processes() == ()
    assert host.pluto.loading() is False
    assert host.pluto.lock().kind == "absent"
    assert host.pluto.control().kind == "absent"
    unit = host.launcher.unit()
    assert unit is not None
    assert (unit.active, unit.main_pid, unit.masked) == ("inactive", None, False)


def check_ready(world: World) -> None:
    """Nothing stands in the way of a start or a clean-up."""
    host = world.host
    host.launcher.check_start()
    host.launcher.check_enable()
    host.pluto.check_rundir(room=True)
    host.pluto.check_nss()
    assert host.pluto.log_rules() == ()
    assert host.pluto.strangers() == ()
    host.kernel.check_load()
    host.kernel.check_clean()
    assert host.launcher.log("no line holds this") == ()


def check_start_and_stop(world: World) -> None:
    """The manager's pluto owns lock file and control socket, answers, and takes all away when it ends."""
    host = world.host
    host.launcher.start(90)
    (pluto,) = host.pluto.processes()
    unit = host.launcher.unit()
    assert unit is not None
    # pluto tells systemd that it is reloading while it reads its connections
    assert unit.active in ("active", "reloading")
    assert unit.main_pid == pluto.pid
    assert (host.pluto.lock().kind, host.pluto.lock().pid) == ("pluto", pluto.pid)
    assert (host.pluto.control().kind, host.pluto.control().pids) == ("listening", (pluto.pid,))
    _until(lambda: not host.pluto.loading())
    answer = host.pluto.ask()
    assert answer is not None
    assert "lo" in answer.interfaces
    assert set(host.pluto.declared()["add"]) == set(answer.connections)
    assert set(host.pluto.declared()["start"]) <= set(answer.connections)
    host.pluto.listen()
    host.launcher.start(90)
    assert [process.identity for process in host.pluto.processes()] == [pluto.identity], "a second start does nothing"
    assert host.launcher.stop(90) is True
    check_stopped(world)
    assert host.launcher.stop(90) is True
    check_stopped(world)


def check_connections(world: World) -> None:
    """The configuration, pluto and its log know the same connections."""
    host = world.host
    host.launcher.start(90)
    _until(lambda: host.pluto.control().kind == "listening" and not host.pluto.loading())
    wanted = {name for name, auto in host.pluto.configured().items() if auto != "ignore"}

    def holds() -> bool:
        # 5.x goes on for a moment when addconn has ended
        answer = host.pluto.ask()
        return answer is not None and set(answer.connections) == wanted

    _until(holds)
    answer = host.pluto.ask()
    assert answer is not None
    (pluto,) = host.pluto.processes()
    for name in answer.connections:
        assert any(f'"{name}"' in line for line in host.pluto.log(pluto.started))
    assert answer.unknown_lines == 0
    assert host.pluto.certificates() == {}
    assert host.launcher.stop(90) is True
    assert host.pluto.certificates() == {}
    world.break_config()
    refused = False
    try:
        host.pluto.configured()
    except ConfigError:
        refused = True
    world.mend_config()
    assert refused


def check_by_hand(world: World) -> None:
    """A pluto the manager does not know survives the manager's stop, and ends over its control socket."""
    host = world.host
    world.pluto_by_hand()
    _until(lambda: host.pluto.control().kind == "listening")
    (pluto,) = host.pluto.processes()
    unit = host.launcher.unit()
    assert unit is not None
    assert unit.active == "inactive"
    host.launcher.stop(90)
    assert [process.identity for process in host.pluto.processes()] == [pluto.identity]
    host.pluto.end(90)
    check_stopped(world)


def check_ends(world: World) -> None:
    """Every pluto is ended: one that does not answer, and one that the manager would start again."""
    host = world.host
    world.pluto_by_hand()
    _until(lambda: host.pluto.control().kind == "listening" and host.pluto.ask() is not None)
    world.pluto_hangs()
    assert host.pluto.ask() is None
    host.pluto.end(30)
    assert host.pluto.processes() == ()
    host.pluto.remove_leftovers()
    host.kernel.clean("own")
    check_stopped(world)
    assert host.kernel.leftovers().own is False


def check_lock_file(world: World) -> None:
    """A lock file that a living pluto has lost is written as pluto would."""
    host = world.host
    world.pluto_by_hand()
    _until(lambda: host.pluto.control().kind == "listening" and host.pluto.ask() is not None)
    world.no_lock_file()
    assert host.pluto.lock().kind == "absent"
    (pluto,) = host.pluto.processes()
    host.pluto.write_lock(pluto)
    assert (host.pluto.lock().kind, host.pluto.lock().pid) == ("pluto", pluto.pid)
    host.pluto.end(90)
    check_stopped(world)


def check_old_locks(world: World) -> None:
    """Openswan's lock files are seen, and removed."""
    pluto = world.host.pluto
    assert pluto.old_locks() == ()
    world.old_lock_file()
    assert len(pluto.old_locks()) == 1
    pluto.remove_leftovers()
    assert pluto.old_locks() == ()


def check_strangers(world: World) -> None:
    """Whoever holds an IKE port is named; pluto is no stranger."""
    pluto = world.host.pluto
    assert pluto.strangers() == ()
    with world.stranger_on_port_500():
        (stranger,) = pluto.strangers()
        assert stranger.port == 500
        assert stranger.pid is not None
    assert pluto.strangers() == ()


def check_guard(world: World) -> None:
    """One run at a time; a second one is refused when its time is over, and may go on when the first is done."""
    refused = False
    with world.host.guard.exclusive(5):
        try:
            with world.host.guard.exclusive(0.5):
                pass
        except DaemonError:
            refused = True
    assert refused
    with world.host.guard.exclusive(5):
        pass


def check_leftovers(world: World) -> None:
    """What a dead pluto left is named, and removed."""
    host = world.host
    world.dead_lock_file()
    assert host.pluto.lock().kind == "dead"
    world.stale_socket()
    assert host.pluto.control().kind == "stale"
    assert host.pluto.processes() == ()
    host.pluto.remove_leftovers()
    check_stopped(world)
    host.pluto.remove_leftovers()


def check_enable(world: World) -> None:
    """The unit is enabled and disabled, and twice is once."""
    launcher = world.host.launcher
    for enabled in (True, True, False, False):
        launcher.enable(enabled)
        unit = launcher.unit()
        assert unit is not None
        assert unit.enabled is enabled


def check_config(world: World) -> None:
    """A configuration that does not parse is a ConfigError, one that does is none."""
    pluto = world.host.pluto
    assert pluto.check_config() == ""
    assert pluto.config_fault(parse=True) is None
    world.doubtful_config()
    said, text, files = pluto.check_config(), pluto.read(pluto.config), pluto.glob(f"{pluto.config[:-1]}[f]")
    fault = pluto.config_fault(parse=True)
    world.mend_config()
    assert ("nosuch" in said, "nosuch" in (text or ""), files, fault) == (True, True, (pluto.config,), None)
    assert pluto.read("/etc/xswan-contract.conf") is None
    world.break_config()
    fault = pluto.config_fault(parse=True)
    assert pluto.config_fault(parse=False) is None
    refusal = ""
    try:
        pluto.check_config()
    except ConfigError as exc:
        refusal = str(exc)
    world.mend_config()
    assert "not valid" in refusal
    assert fault is not None
    assert (fault.kind, "not valid" in fault.reason) == ("invalid", True)
    pluto.check_config()


def check_kernel(world: World) -> None:
    """Once loaded, XFRM is there, and loading it again does no harm."""
    kernel = world.host.kernel
    kernel.load()
    kernel.load()
    assert kernel.tables() is not None
    contents = kernel.contents(Listing())
    assert contents is not None
    assert contents.tables == kernel.tables()
    assert (contents.sa_list, contents.policy_list) == ((), ())
    # the module ip_vti, which Libreswan 4 loads, brings one
    assert {interface.name for interface in kernel.interfaces()} <= {"ip_vti0", "ip6_vti0"}


def check_network(world: World) -> None:
    """The host's settings are told, whoever runs."""
    settings = world.host.network.settings()
    assert settings.ip_forward["ipv4"] is True
    assert {"all", "eth0"} <= set(settings.rp_filter)
    assert set(settings.rp_filter) == set(settings.send_redirects) == set(settings.accept_redirects)
    assert all(route.interface for route in settings.default_route)
    assert world.host.network.firewall().tool == "nftables"
    assert world.host.network.firewall().refuses == ()


def check_files(world: World) -> None:
    """Files are replaced, and the newest of the old ones stay."""
    files = world.host.files
    path = files.real("/etc/xswan-contract.conf")
    assert (files.read(path), files.mode(path)) == (None, None)
    backups: list[str] = []
    for text in ("one", "two", "three"):
        backups += files.install((File(path, text, secret=text == "three"),), keep=5)
        assert files.read(path) == text
    assert [files.read(backup) for backup in backups] == ["one", "two"]
    assert files.mode(path) == 0o600
    assert files.glob("/etc/xswan-contract.*") == tuple(sorted((path, *backups)))
    assert files.glob("/etc/xswan-contract*.conf") == (path,)
    left = (File(f"{path}.xswan-new", "half"), File(f"{path}.xswan-old", "old"))
    files.install(left, keep=0)
    files.tidy((File(path, "three"),), keep=1)
    assert (files.read(path), [files.read(one.path) for one in left]) == ("three", [None, None])
    backups = list(files.glob(f"{path}.*~"))
    assert files.read(backups[-1]) == "old"
    files.install((File(path, None), *(File(backup, None) for backup in backups)), keep=0)
    assert files.glob("/etc/xswan-contract.*") == ()


def check_sandbox(world: World) -> None:
    """A pluto loads the candidate, and none is there for the host. What it found holds for what it has seen."""
    host = world.host
    host.sandbox.check()
    text = "conn contract\n    left=%defaultroute\n    right=192.0.2.9\n    authby=secret\n    auto=start\n"
    candidate = Candidate(host.pluto.config, (File(host.pluto.config, text),))
    conf = read_conf(candidate.over(host.files), candidate.config)
    trial = host.sandbox.load(candidate, conf, 300)
    assert (trial.method, trial.checked, trial.started) == ("sandbox", 0, True)
    assert parse_status(trial.status, "").connections == ("contract",)
    assert faults(conf, trial) == ()
    before = host.files.read(host.pluto.config)
    found = (Fault("remark", "warning", "a word"),)
    host.files.install(candidate.files, 0)
    conf = read_conf(host.files, host.pluto.config)
    host.sandbox.remember(conf, found)
    assert host.sandbox.known(conf) == found
    host.files.install((File(host.pluto.config, before),), 0)
    assert host.sandbox.known(read_conf(host.files, host.pluto.config)) is None
    assert host.sandbox.check_only(candidate, candidate.over(host.files), "why").reason == "why"
    check_stopped(world)


def check_reload(world: World) -> None:
    """A pluto that was just started holds what it should; what is taken from it is missed until it has it again."""
    host = world.host
    host.launcher.start(90)
    _until(lambda: host.pluto.control().kind == "listening" and not host.pluto.loading())
    # 5.x goes on for a moment when addconn has ended
    _until(lambda: not host.reloader.compare().missing)
    first = host.reloader.compare()
    assert first.held == first.wanted
    assert (first.restart_required, first.stranded, first.unread, first.rewritten) == ((), (), (), ())
    host.baseline.note()
    assert set(first.auto) == set(first.held.connections) == set(host.pluto.declared()["add"])
    name = min(first.auto)
    host.reloader.delete(name)
    assert host.reloader.compare().missing == (name,)
    host.reloader.load(name)
    host.reloader.route(name)
    host.reloader.start(name)
    host.reloader.reread("secrets")
    host.reloader.reread("policy groups")
    second = host.reloader.compare()
    assert (second.held, second.unread) == (first.held, ())
    assert host.launcher.stop(90) is True
    check_stopped(world)


CHECKS: tuple[t.Callable[[World], None], ...] = (
    check_stopped,
    check_ready,
    check_start_and_stop,
    check_connections,
    check_by_hand,
    check_ends,
    check_lock_file,
    check_old_locks,
    check_strangers,
    check_guard,
    check_leftovers,
    check_enable,
    check_config,
    check_kernel,
    check_files,
    check_sandbox,
    check_reload,
    check_network,
)


def _until(condition: t.Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.1)


def run_command(
    args: list[str], *, environ_update: dict[str, str], data: bytes | None = None, **_how: object
) -> tuple[int, str, str]:
    """What AnsibleModule.run_command does, for this file runs where no Ansible is."""
    env = {**os.environ, **environ_update}
    done = subprocess.run(args, env=env, input=data, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Gateway:
    """The gateway it runs on, for real."""

    def __init__(self) -> None:
        commands, clock = LocalCommands(run_command), SystemClock()
        self._config = Path("/etc/ipsec.conf")
        self.host = WholeHost(
            launcher=SystemdLauncher(commands, "/etc/ipsec.conf"),
            pluto=LocalPluto(commands),
            kernel=XfrmKernel(commands),
            journal=SystemLog(),
            guard=LockFile(clock),
            clock=clock,
            network=LocalNetwork(commands),
            files=LocalFiles(commands),
            sandbox=Unshared(commands),
            rollback=LocalRollback(commands),
            reloader=LocalReloader(commands, config=str(self._config)),
            baseline=LocalBaseline(commands, str(self._config)),
        )
        self._good = self._config.read_text()

    def pluto_by_hand(self) -> None:
        """It forks into the background by itself."""
        subprocess.run(["ipsec", "pluto", "--config", str(self._config)], check=True, timeout=60)

    def pluto_hangs(self) -> None:
        """SIGSTOP."""
        (pluto,) = self.host.pluto.processes()
        os.kill(t.cast("int", pluto.pid), signal.SIGSTOP)

    def no_lock_file(self) -> None:
        """What tmpfiles clean-ups do."""
        Path("/run/pluto/pluto.pid").unlink()

    def old_lock_file(self) -> None:
        """As _realsetup writes it: the pid of a script that has ended."""
        Path("/run/pluto/ipsec_setup.pid").write_text("4242\n")

    @contextlib.contextmanager
    def stranger_on_port_500(self) -> t.Iterator[None]:
        """A socket of our own."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 500))
            yield

    def dead_lock_file(self) -> None:
        """The pid of a child that has ended: nobody has it now."""
        child = subprocess.Popen(["true"])
        child.wait()
        Path("/run/pluto/pluto.pid").write_text(f"{child.pid}\n")

    def stale_socket(self) -> None:
        """A socket file that outlives its socket."""
        bind = "import socket; socket.socket(socket.AF_UNIX).bind('/run/pluto/pluto.ctl')"
        subprocess.run([sys.executable, "-c", bind], check=True, timeout=60)

    def break_config(self) -> None:
        """A keyword that no version knows."""
        self._config.write_text(f"{self._good}\nconn broken\n    nosuchkeyword=1\n")

    def doubtful_config(self) -> None:
        """No version refuses it."""
        self._config.write_text(f"{self._good}\nconn doubtful\n    also=nosuch\n    auto=add\n")

    def mend_config(self) -> None:
        """What it was."""
        self._config.write_text(self._good)


if __name__ == "__main__":
    next(check for check in CHECKS if check.__name__ == sys.argv[1])(Gateway())
    print("holds")
