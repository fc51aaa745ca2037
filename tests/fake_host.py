# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gateway in a few attributes, behind the ports of `Host`. tests/contract holds it against the real thing."""

from __future__ import annotations

import dataclasses
import itertools

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    IPsecError,
    KernelError,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._host import Host
from ansible_collections.xswan.ipsec.plugins.module_utils._model import (
    Answer,
    Control,
    Lock,
    Process,
    Program,
    Unit,
    Xfrm,
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
        self.answer = Answer(interfaces=("eth0", "lo"), loaded=1)
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
        return Host(FakeLauncher(self), FakePluto(self), FakeKernel(self), self.clock)

    def change(self, call: str, error: IPsecError) -> None:
        self.calls.append(call)
        if self.fail == call:
            raise error

    def run_pluto(self, *, by_unit: bool = True) -> Process:
        """What a pluto does when it starts: it takes over lock file and control socket, whoever had them."""
        pluto = Process(next(self._pids), started=self.clock.now())
        self.plutos.append(pluto)
        self.lock_present, self.lock_pid = True, pluto.pid
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

    def kill_pluto(self) -> None:
        """A pluto dies without a word, and the manager does not start it again."""
        self.plutos = []
        self.control_pid = None
        self.unit_active, self.unit_main_pid = "failed", None


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
            main_pid=self.fake.unit_main_pid,
        )

    def start(self, timeout: float) -> None:
        self.fake.change("start", DaemonError("ipsec.service failed to start"))
        if self.fake.unit_active != "active":
            self.fake.run_pluto()

    def stop(self, timeout: float) -> None:
        self.fake.change("stop", DaemonError("ipsec.service failed to stop"))
        if self.fake.immortal:
            return
        if self.fake.unit_main_pid is not None:
            self.fake.end_pluto(self.fake.unit_main_pid)
        if self.fake.unit_active != "failed":
            self.fake.unit_active = "inactive"

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

    def shutdown(self, timeout: float) -> None:
        self.fake.change("shutdown", DaemonError("pluto did not end"))
        if self.fake.immortal:
            return
        if self.fake.control_pid is None or self.fake.hung:
            raise DaemonError("pluto did not end")
        self.fake.end_pluto(self.fake.control_pid)

    def remove_leftovers(self) -> None:
        self.fake.change("remove_leftovers", DaemonError("cannot remove"))
        if self.fake.plutos:
            raise DaemonError("a pluto was started meanwhile")
        self.fake.lock_present = self.fake.control_present = False
        self.fake.lock_pid = None


@dataclasses.dataclass
class FakeKernel:
    """The port `Kernel`."""

    fake: FakeHost

    def xfrm(self) -> Xfrm | None:
        return Xfrm() if self.fake.xfrm_loaded else None

    def load_xfrm(self) -> None:
        self.fake.change("load_xfrm", KernelError("cannot load"))
        if not self.fake.xfrm_available:
            raise KernelError("cannot load the kernel's XFRM interface")
        self.fake.xfrm_loaded = True
