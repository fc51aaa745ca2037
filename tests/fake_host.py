# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gateway in a few attributes, behind the ports of `Host`. tests/contract holds it against the real thing."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import typing as t

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    DependencyError,
    IPsecError,
    KernelError,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._host import Host
from ansible_collections.xswan.ipsec.plugins.module_utils._model import (
    Answer,
    Backend,
    Control,
    Flush,
    Holding,
    Leftovers,
    Lock,
    Process,
    Program,
    Reload,
    Stranger,
    Tables,
    Unit,
)

LOCK = "/run/pluto/pluto.pid"
CONTROL = "/run/pluto/pluto.ctl"


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class FakeHost:
    """The state of the gateway; tests set the attributes, the ports read and change them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.installed = True
        self.config_error: str | None = None
        self.enabled = False
        self.masked = False
        self.unit_active = "inactive"
        self.unit_main_pid: int | None = None
        self.plutos: list[Process] = []
        self.lock_pid: int | None = None
        self.lock_present = False
        self.foreign_pids: set[int] = set()
        self.control_present = False
        self.control_pid: int | None = None
        self.hung = False
        self.answer = Answer(interfaces=("eth0", "lo"), connections=("one",))
        self.declared = {"add": ("one",), "start": ()}
        self.configured = {"one": "1"}
        """Connections of the configuration, by name: anything that tells one definition from another."""
        self.held = dict(self.configured)
        """Connections of the living pluto, likewise."""
        self.settings = ("1", "1")
        """The value of nhelpers, a key of `config setup`: in pluto, and in the configuration."""
        self.sharers: dict[str, tuple[str, ...]] = {}
        self.lost: set[str] = set()
        """Connections that pluto believes in, and whose peer has given up their Child SAs."""
        self.new_secrets = False
        self.addresses = True
        """Whether there is an interface to listen on."""
        self.disk_full = False
        """Files can be made, but nothing can be written to them."""
        self.zombies: tuple[int, ...] = ()
        self.old_lock = False
        self.stranger: Stranger | None = None
        self.leftovers = Leftovers()
        self.guarded = False
        self.log: list[str] = []
        self.restarts = 0
        self.backend: Backend = "xfrm"
        self.xfrm_loaded = True
        self.xfrm_available = True
        self.loading_looks = 0
        """How many more looks see addconn at work."""
        self.immortal = False
        """Every order to stop is answered well, and nothing stops."""
        self.fail: str | None = None
        """Name of the port method that fails."""
        self.calls: list[str] = []
        """The changing calls, in order."""
        self._pids = itertools.count(800)

    def host(self) -> Host:
        return Host(
            FakeLauncher(self), FakePluto(self), FakeKernel(self), FakeJournal(self), FakeGuard(self), self.clock
        )

    def change(self, call: str, error: IPsecError) -> None:
        self.calls.append(call)
        if self.fail == call:
            raise error

    def run_pluto(self, *, by_unit: bool = True) -> Process:
        """What a pluto does when it starts: it takes over lock file and control socket, whoever had them."""
        pluto = Process(next(self._pids), started=self.clock.now())
        self.plutos.append(pluto)
        self.answer = dataclasses.replace(self.answer, interfaces=("eth0", "lo") if self.addresses else ())
        self.held, self.new_secrets, self.settings = dict(self.configured), False, (self.settings[1],) * 2
        self.sharers, self.lost = {}, set()
        self.lock_present, self.lock_pid = True, None if self.disk_full else pluto.pid
        self.control_present, self.control_pid = True, pluto.pid
        if by_unit:
            self.unit_active, self.unit_main_pid = "active", pluto.pid
        return pluto

    def end_pluto(self, pid: int | None) -> None:
        """What a pluto does when it ends in peace."""
        self.plutos = [pluto for pluto in self.plutos if pluto.pid != pid]
        if self.lock_pid == pid:
            self.lock_present, self.lock_pid = False, None
        if self.control_pid == pid:
            self.control_present, self.control_pid = False, None
        if self.unit_main_pid == pid:
            self.unit_active, self.unit_main_pid = "inactive", None

    def kill_pluto(self, pluto: Process) -> None:
        """A pluto dies without a word, and the manager does not start it again."""
        self.plutos.remove(pluto)
        if self.control_pid == pluto.pid:
            self.control_pid = None
        if self.unit_main_pid == pluto.pid:
            self.unit_active, self.unit_main_pid = "failed", None
        self.leftovers = dataclasses.replace(self.leftovers, policies=3, sas=2)


@dataclasses.dataclass
class FakeLauncher:
    """The port `Launcher`."""

    fake: FakeHost
    name: str = "systemd"

    def unit(self) -> Unit | None:
        if not self.fake.installed:
            return None
        return Unit(
            name="ipsec.service",
            active=self.fake.unit_active,
            sub="running" if self.fake.unit_active == "active" else "dead",
            enabled=self.fake.enabled,
            masked=self.fake.masked,
            restarts=self.fake.restarts,
            main_pid=self.fake.unit_main_pid,
        )

    def check_start(self) -> None:
        self.check_enable()
        if self.fake.masked:
            raise ConfigError("ipsec.service is masked; run `systemctl unmask ipsec.service` first")

    def check_enable(self) -> None:
        if not self.fake.installed:
            raise DependencyError("no unit ipsec.service; install the package libreswan")

    def start(self, timeout: float) -> None:
        self.fake.change("start", DaemonError("ipsec.service failed to start"))
        if self.fake.unit_active != "active":
            self.fake.run_pluto()

    def stop(self, timeout: float) -> bool:
        self.fake.change("stop", DaemonError("ipsec.service failed to stop"))
        if self.fake.immortal:
            return True
        if self.fake.hung and self.fake.unit_main_pid is not None:
            self.fake.clock.sleep(timeout)
            self.fake.unit_active = "deactivating"
            return False
        if self.fake.unit_main_pid is not None:
            self.fake.end_pluto(self.fake.unit_main_pid)
        if self.fake.unit_active != "failed":
            self.fake.unit_active = "inactive"
        return True

    def log(self) -> tuple[str, ...]:
        return tuple(self.fake.log)

    def enable(self, enabled: bool) -> None:
        self.fake.change("enable", ConfigError("cannot enable ipsec.service"))
        self.fake.enabled = enabled


@dataclasses.dataclass
class FakePluto:
    """The port `Pluto`."""

    fake: FakeHost

    def program(self) -> Program | None:
        return Program("Libreswan", "4.10") if self.fake.installed else None

    def check_config(self) -> None:
        if self.fake.config_error:
            raise ConfigError(self.fake.config_error)

    def processes(self) -> tuple[Process, ...]:
        return tuple(self.fake.plutos)

    def loading(self) -> bool:
        self.fake.loading_looks -= 1
        return self.fake.loading_looks >= 0

    def lock(self) -> Lock:
        if not self.fake.lock_present:
            return Lock(LOCK)
        if self.fake.lock_pid is None:
            return Lock(LOCK, "damaged")
        if any(pluto.pid == self.fake.lock_pid for pluto in self.fake.plutos):
            return Lock(LOCK, "pluto", self.fake.lock_pid)
        return Lock(LOCK, "reused" if self.fake.lock_pid in self.fake.foreign_pids else "dead", self.fake.lock_pid)

    def control(self) -> Control:
        if not self.fake.control_present:
            return Control(CONTROL)
        if self.fake.control_pid is None:
            return Control(CONTROL, "stale")
        return Control(CONTROL, "listening", (self.fake.control_pid,))

    def ask(self) -> Answer | None:
        return None if self.fake.hung or self.fake.control_pid is None else self.fake.answer

    @property
    def config(self) -> str:
        return "/etc/ipsec.conf"

    def declared(self) -> dict[str, tuple[str, ...]]:
        return self.fake.declared

    def zombies(self) -> tuple[int, ...]:
        return self.fake.zombies

    def old_locks(self) -> tuple[str, ...]:
        return ("/run/pluto/ipsec_setup.pid",) if self.fake.old_lock else ()

    def strangers(self) -> tuple[Stranger, ...]:
        return (self.fake.stranger,) if self.fake.stranger else ()

    def reload(self) -> Reload:
        if self.fake.config_error:
            raise ConfigError(self.fake.config_error)
        held, wanted = (
            Holding({name: frozenset({told}) for name, told in told_of.items()}, {"nhelpers": setting})
            for told_of, setting in zip((self.fake.held, self.fake.configured), self.fake.settings, strict=True)
        )
        auto = dict.fromkeys(self.fake.configured, "start")
        stranded = tuple(sorted(self.fake.lost & set(self.fake.held)))
        return Reload(held, wanted, auto, dict(self.fake.sharers), stranded, self.fake.new_secrets)

    def reread_secrets(self) -> None:
        self.fake.change("reread_secrets", DaemonError("pluto does not read its secrets"))
        self.fake.new_secrets = False

    def delete(self, name: str) -> None:
        self.fake.change(f"delete {name}", DaemonError("pluto does not delete"))
        del self.fake.held[name]
        # both ends do without what hung on its IKE SA, unless it is made anew
        self.fake.lost |= set(self.fake.sharers.pop(name, ())) & set(self.fake.held)
        self.fake.lost.discard(name)
        self.fake.sharers = {
            o: left for o, n in self.fake.sharers.items() if (left := tuple(x for x in n if x != name))
        }

    def load(self, name: str, auto: str) -> None:
        self.fake.change(f"load {name}", DaemonError("pluto does not load"))
        self.fake.held[name] = self.fake.configured[name]

    def listen(self) -> None:
        self.fake.change("listen", DaemonError("pluto does not take the order to listen"))
        if self.fake.addresses:
            self.fake.answer = dataclasses.replace(self.fake.answer, interfaces=("eth0", "lo"))

    def write_lock(self, process: Process) -> None:
        self.fake.change("write_lock", DaemonError("cannot write"))
        self.fake.lock_present, self.fake.lock_pid = True, process.pid

    def end(self, timeout: float) -> None:
        self.fake.change("end", DaemonError("pluto did not end"))
        if self.fake.immortal:
            return
        for pluto in tuple(self.fake.plutos):
            if self.fake.hung or pluto.pid != self.fake.control_pid:
                self.fake.kill_pluto(pluto)
            else:
                self.fake.end_pluto(pluto.pid)
        self.fake.hung = False

    def remove_leftovers(self) -> None:
        self.fake.change("remove_leftovers", DaemonError("cannot remove"))
        if self.fake.immortal:
            return
        if self.fake.plutos:
            raise DaemonError("a pluto was started meanwhile")
        self.fake.lock_present = self.fake.control_present = self.fake.old_lock = False
        self.fake.lock_pid = None


@dataclasses.dataclass
class FakeKernel:
    """The port `Kernel`."""

    fake: FakeHost

    def tables(self) -> Tables | None:
        return Tables() if self.fake.xfrm_loaded else None

    @property
    def name(self) -> Backend:
        return self.fake.backend

    def check_load(self) -> None:
        """Whether a module can be loaded is known only by trying."""

    def load(self) -> None:
        self.fake.change("load", KernelError("cannot load"))
        if not self.fake.xfrm_available:
            raise KernelError("cannot load the kernel's XFRM interface")
        self.fake.xfrm_loaded = True

    def leftovers(self) -> Leftovers:
        return self.fake.leftovers

    def clean(self, flush: Flush) -> None:
        self.fake.change("clean", KernelError("cannot clean"))
        if flush == "own":
            left = self.fake.leftovers
            self.fake.leftovers = Leftovers(foreign_policies=left.foreign_policies, foreign_sas=left.foreign_sas)
        elif flush == "all":
            self.fake.leftovers = Leftovers()


@dataclasses.dataclass
class FakeJournal:
    """The port `Journal`."""

    fake: FakeHost

    def write(self, line: str) -> None:
        self.fake.log.append(line)


@dataclasses.dataclass
class FakeGuard:
    """The port `Guard`."""

    fake: FakeHost

    @contextlib.contextmanager
    def exclusive(self, timeout: float) -> t.Iterator[None]:
        if self.fake.guarded:
            self.fake.clock.sleep(timeout)
            raise DaemonError("another run of ipsec_setup is at work")
        self.fake.guarded = True
        try:
            yield
        finally:
            self.fake.guarded = False
