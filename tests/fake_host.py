# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gateway in a few attributes, behind the ports of `Host`. tests/contract holds it against the real thing."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import typing as t

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File, Overlay
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._confirm import Pending
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    DependencyError,
    IPsecError,
    KernelError,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Fault, Trial
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import IPsecConf, matches
from ansible_collections.xswan.ipsec.plugins.module_utils._model import (
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
    Route,
    Settings,
    Stranger,
    Tables,
    Unit,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._nss_host import Key, NssHost
from ansible_collections.xswan.ipsec.plugins.module_utils._reload import Holding, Reload, Unread
from ansible_collections.xswan.ipsec.plugins.module_utils._router import Opening, Place, RouterHost
from ansible_collections.xswan.ipsec.plugins.module_utils._x509 import _body
from contract.contract import WholeHost

LOCK = "/run/pluto/pluto.pid"
CONTROL = "/run/pluto/pluto.ctl"
INTERFACES = ("all", "default", "eth0", "eth0.7", "lo")


class FakeClock(SystemClock):
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def epoch(self) -> float:
        return 1_796_000_000.0 + self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class FakeHost:
    """The state of the gateway; tests set the attributes, the ports read and change them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.installed = True
        self.program = Program("Libreswan", "4.10")
        self.manager: t.Literal["systemd", "script", "direct"] = "systemd"
        """A script knows of nothing but the lock file; direct knows of nothing."""
        self.flushes = False
        """The program, or its unit, flushes the kernel's tables when it starts and when it stops."""
        self.config_error: str | None = None
        self.config_missing = False
        self.config_said = ""
        """What the program says of a configuration that it accepts."""
        self.rundir_error: str | None = None
        self.nss_error: str | None = None
        self.pyroute2 = True
        """Whether the library is installed."""
        self.log_rules: tuple[str, ...] = ()
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
        self.slow = False  # pluto answers only a question that is patient
        self.busy_until = 0.0
        """Until then pluto does not answer, though nothing is wrong with it."""
        self.denied = False
        """The control socket refuses even root."""
        self.answer = Answer(interfaces=("eth0", "lo"), connections=("one",))
        self.declared = {"add": ("one",), "start": ()}
        self.arrivals: dict[float, str] = {}
        """Connections that pluto takes later, by the time."""
        self.configured = {"one": "add"}
        self.certificates: dict[str, int] = {}
        self.pluto_log: tuple[str, ...] = ('"one": added IKEv2 connection',)
        self.wanted = {"one": "1"}
        """Connections of the configuration, by name: anything that tells one definition from another."""
        self.held = dict(self.wanted)
        """Connections of the living pluto, likewise."""
        self.nhelpers = ("1", "1")
        """The value of nhelpers, a key of `config setup`: in pluto, and in the configuration."""
        self.sharers: dict[str, tuple[str, ...]] = {}
        self.lost: set[str] = set()
        """Connections that pluto believes in, and whose peer has given up their Child SAs."""
        self.up: set[str] = set()
        """Connections with a tunnel."""
        self.unread: set[Unread] = set()
        self.outdated: set[str] = set()
        """Connections whose certificate was replaced."""
        self.rewritten: dict[str, tuple[str, ...]] | None = {}
        """Connections whose text has changed, by name the keys; None: nobody noted what it was."""
        self.noted: list[str] = []
        """What ipsec.conf said each time that it was to be noted as what pluto has read."""
        self.addresses = True
        """Whether there is an interface to listen on."""
        self.disk_full = False
        """Files can be made, but nothing can be written to them."""
        self.zombies: tuple[int, ...] = ()
        self.old_lock = False
        self.stranger: Stranger | None = None
        self.leftovers = Leftovers()
        self.contents = Contents(Tables())
        self.listing: Listing | None = None
        """What was asked for last."""
        self.interfaces: tuple[Interface, ...] = ()
        self.settings = Settings(
            ip_forward={"ipv4": True, "ipv6": None},
            rp_filter={"all": 0, "eth0": 2},
            send_redirects={"all": 1, "eth0": 1},
            accept_redirects={"all": 0, "eth0": 0},
            default_route=(Route("ipv4", "eth0", "192.0.2.254", 0),),
            ike_ports=(),
        )
        self.firewall = Firewall("nftables")
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
        self.files: dict[str, tuple[int, str]] = {}
        """Path to mode (-1: not root's) and text."""
        self.backups = itertools.count()
        self.trial: Trial | None = None
        """What a trial in the sandbox brings; None: every connection is loaded."""
        self.sandbox_error: str | None = None
        self.remembered: tuple[dict[str, tuple[int, str] | None], tuple[Fault, ...]] | None = None
        """What the last trial saw, and found."""
        self.chains: list[str] = ["inet filter input"]
        """Base chains of nftables on the hook input."""
        self.openings: tuple[Opening, ...] = ()
        self.zones: dict[Place, set[str]] | None = None
        """Zones of firewalld with its service ipsec; None: it does not run."""
        self.parameters = {
            "net/ipv4/ip_forward": "0",
            **{f"net/ipv4/conf/{name}/forwarding": "0" for name in INTERFACES},
            **{f"net/ipv4/conf/{name}/accept_redirects": "1" for name in INTERFACES},
            **{f"net/ipv4/conf/{name}/send_redirects": "1" for name in INTERFACES},
            **{f"net/ipv4/conf/{name}/rp_filter": "0" for name in INTERFACES},
        }
        self.nss: dict[str, tuple[bytes, str]] = {}
        """By nickname, a certificate and its trust without the u of private keys."""
        self.nss_keys: set[bytes] = set()
        """Public keys whose private keys the database has."""
        self.pkcs12: dict[bytes, tuple[str, tuple[bytes, ...]]] = {}
        """By content of a PKCS #12 file: its passphrase and certificates, first that of its private key."""
        self.pem_keys: dict[bytes, tuple[str, bytes]] = {}
        """By content of the PEM of a private key: its passphrase, and a certificate that it belongs to."""
        self.record: Pending | None = None
        """What will be put back."""
        self.taken_back: str | None = None

    def host(self) -> WholeHost:
        return WholeHost(
            launcher=FakeLauncher(self),
            pluto=FakePluto(self),
            kernel=FakeKernel(self),
            journal=FakeJournal(self),
            guard=FakeGuard(self),
            clock=self.clock,
            network=FakeNetwork(self),
            files=FakeFiles(self),
            sandbox=FakeSandbox(self),
            rollback=FakeRollback(self),
            reloader=FakeReloader(self),
            baseline=FakeBaseline(self),
        )

    def router(self) -> RouterHost:
        names = {field.name for field in dataclasses.fields(RouterHost)}
        host = {name: port for name, port in vars(self.host()).items() if name in names}
        return RouterHost(**host, parameters=FakeParameters(self), filter=FakeFilter(self))

    def nss_host(self) -> NssHost:
        names = {field.name for field in dataclasses.fields(NssHost)}
        host = {name: port for name, port in vars(self.host()).items() if name in names}
        return NssHost(**host, nss=FakeNss(self))

    def change(self, call: str, error: IPsecError) -> None:
        self.calls.append(call)
        if self.fail == call:
            raise error

    def flush(self) -> None:
        """What the program or its unit does to the kernel."""
        if self.flushes:
            self.leftovers = Leftovers(interfaces=self.leftovers.interfaces)

    def run_pluto(self, *, by_unit: bool = True) -> Process:
        """What a pluto does when it starts: it takes over lock file and control socket, whoever had them."""
        pluto = Process(next(self._pids), started=self.clock.now(), since_boot=self.clock.now())
        self.plutos.append(pluto)
        self.answer = self.answer._replace(interfaces=("eth0", "lo") if self.addresses else ())
        self.held, self.unread, self.nhelpers = dict(self.wanted), set(), (self.nhelpers[1],) * 2
        self.sharers, self.lost, self.up, self.outdated = {}, set(), set(self.wanted), set()
        self.rewritten = {}
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
        self.leftovers = self.leftovers._replace(policies=3, sas=2)


@dataclasses.dataclass
class FakeLauncher:
    """The port `Launcher`."""

    fake: FakeHost

    @property
    def name(self) -> str:
        return self.fake.manager

    def unit(self) -> Unit | None:
        if not self.fake.installed or self.fake.manager == "direct":
            return None
        if self.fake.manager == "script":
            lock = FakePluto(self.fake).lock()
            active = {"pluto": "active", "dead": "failed", "reused": "failed"}.get(lock.kind, "inactive")
            main_pid = lock.pid if active == "active" else None
            sub = "running" if active == "active" else "dead"
            return Unit("/etc/init.d/ipsec", active, sub, enabled=self.fake.enabled, main_pid=main_pid)
        return Unit(
            name="ipsec.service",
            active=self.fake.unit_active,
            sub={"active": "running", "failed": "failed"}.get(self.fake.unit_active, "dead"),
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
        if self.fake.manager == "direct":
            self.fake.run_pluto(by_unit=False)
        elif self.fake.unit_active != "active":
            self.fake.flush()
            self.fake.run_pluto()

    def stop(self, timeout: float) -> bool:
        self.fake.change("stop", DaemonError("ipsec.service failed to stop"))
        unit = self.unit()
        if self.fake.immortal or unit is None:
            return True
        if self.fake.manager == "script":
            if self.fake.hung and unit.main_pid is not None:
                self.fake.clock.sleep(timeout)
                return False
            if unit.main_pid is not None:
                self.fake.end_pluto(unit.main_pid)
                self.fake.flush()
            return True
        if self.fake.hung and self.fake.unit_main_pid is not None:
            self.fake.clock.sleep(timeout)
            self.fake.unit_active = "deactivating"
            return False
        if self.fake.unit_active not in ("inactive", "failed"):
            self.fake.flush()
        if self.fake.unit_main_pid is not None:
            self.fake.end_pluto(self.fake.unit_main_pid)
        if self.fake.unit_active != "failed":
            self.fake.unit_active = "inactive"
        return True

    def log(self, about: str = "") -> tuple[str, ...]:
        return tuple(line for line in self.fake.log if about in line)

    def enable(self, enabled: bool) -> None:
        self.fake.change("enable", ConfigError("cannot enable ipsec.service"))
        self.fake.enabled = enabled


@dataclasses.dataclass
class FakePluto:
    """The port `Pluto`."""

    fake: FakeHost

    def program(self) -> Program | None:
        return self.fake.program if self.fake.installed else None

    def config_fault(self, *, parse: bool) -> ConfigFault | None:
        if self.fake.config_missing:
            return ConfigFault("missing", "/etc/ipsec.conf does not exist")
        return ConfigFault("invalid", self.fake.config_error) if parse and self.fake.config_error else None

    def check_config(self) -> str:
        fault = self.config_fault(parse=True)
        if fault is not None:
            raise ConfigError(fault.reason)
        return self.fake.config_said

    def read(self, path: str) -> str | None:
        return self.fake.files[path][1] if path in self.fake.files else None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.fake.files if matches(path, pattern)))

    def check_rundir(self, *, room: bool) -> None:
        if self.fake.rundir_error:
            raise DependencyError(self.fake.rundir_error)

    def check_nss(self) -> None:
        if self.fake.nss_error:
            raise DependencyError(self.fake.nss_error)

    def processes(self) -> tuple[Process, ...]:
        return tuple(self.fake.plutos)

    def loading(self) -> bool:
        if not self.fake.loading_looks:
            return False
        self.fake.loading_looks -= 1
        return True

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

    def ask(self, *, patient: bool = False) -> Answer | None:
        if self.fake.denied:
            raise DependencyError("pluto's control socket refuses root")
        if self.fake.slow and not patient:
            return None
        busy = self.fake.clock.now() < self.fake.busy_until
        if self.fake.hung or busy or self.fake.control_pid is None:
            return None
        late = tuple(name for since, name in self.fake.arrivals.items() if since <= self.fake.clock.now())
        return self.fake.answer._replace(connections=self.fake.answer.connections + late)

    @property
    def config(self) -> str:
        return "/etc/ipsec.conf"

    def declared(self) -> dict[str, tuple[str, ...]]:
        return self.fake.declared

    def configured(self) -> dict[str, str]:
        if self.fake.config_error:
            raise ConfigError(self.fake.config_error)
        return self.fake.configured

    def certificates(self) -> dict[str, int]:
        return {} if self.ask() is None else self.fake.certificates

    def log(self, since: float) -> tuple[str, ...]:
        return self.fake.pluto_log

    def zombies(self) -> tuple[int, ...]:
        return self.fake.zombies

    def old_locks(self) -> tuple[str, ...]:
        return ("/run/pluto/ipsec_setup.pid",) if self.fake.old_lock else ()

    def log_rules(self) -> tuple[str, ...]:
        return self.fake.log_rules

    def strangers(self) -> tuple[Stranger, ...]:
        return (self.fake.stranger,) if self.fake.stranger else ()

    def listen(self) -> None:
        self.fake.change("listen", DaemonError("pluto does not take the order to listen"))
        if self.fake.addresses:
            self.fake.answer = self.fake.answer._replace(interfaces=("eth0", "lo"))

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
        self.fake.log_rules = ()
        self.fake.lock_present = self.fake.control_present = self.fake.old_lock = False
        self.fake.lock_pid = None


@dataclasses.dataclass
class FakeBaseline:
    """The port `Baseline`."""

    fake: FakeHost

    def note(self) -> None:
        self.fake.noted.append(self.fake.files.get("/etc/ipsec.conf", (0, ""))[1])


@dataclasses.dataclass
class FakeReloader:
    """The port `Reloader`."""

    fake: FakeHost

    def compare(self) -> Reload:
        if self.fake.config_error:
            raise ConfigError(self.fake.config_error)
        held, wanted = (
            Holding({name: frozenset({told}) for name, told in told_of.items()}, {"nhelpers": setting})
            for told_of, setting in zip((self.fake.held, self.fake.wanted), self.fake.nhelpers)
        )
        auto = dict.fromkeys(self.fake.wanted, "start")
        stranded = tuple(sorted(self.fake.lost & set(self.fake.held)))
        sharers, up = dict(self.fake.sharers), frozenset(self.fake.up)
        unread, outdated = tuple(sorted(self.fake.unread)), frozenset(self.fake.outdated)
        rewritten = None if self.fake.rewritten is None else tuple(sorted(self.fake.rewritten.items()))
        return Reload(held, wanted, auto, sharers, up, stranded, unread, outdated, rewritten)

    def reread(self, what: Unread) -> None:
        self.fake.change(f"reread {what}", DaemonError(f"pluto does not read its {what}"))
        self.fake.unread.discard(what)

    def delete(self, name: str) -> None:
        self.fake.change(f"delete {name}", DaemonError("pluto does not delete"))
        del self.fake.held[name]
        self.fake.outdated.discard(name)
        # both ends do without what hung on its IKE SA, unless it is made anew
        self.fake.lost |= set(self.fake.sharers.pop(name, ())) & set(self.fake.held)
        self.fake.lost.discard(name)
        self.fake.up.discard(name)
        self.fake.sharers = {
            o: left for o, n in self.fake.sharers.items() if (left := tuple(x for x in n if x != name))
        }

    def load(self, name: str) -> None:
        if name in self.fake.held:
            raise AssertionError(f"{name} is held: to add it would end its tunnel, and leave its old subnets")
        self.fake.change(f"load {name}", DaemonError("pluto does not load"))
        self.fake.held[name] = self.fake.wanted[name]
        self.fake.outdated.discard(name)
        (self.fake.rewritten or {}).pop(name, None)

    def start(self, name: str) -> None:
        self.fake.change(f"start {name}", DaemonError("pluto does not start"))
        self.fake.up.add(name)

    def route(self, name: str) -> None:
        self.fake.change(f"route {name}", DaemonError("pluto does not route"))


@dataclasses.dataclass
class FakeKernel:
    """The port `Kernel`."""

    fake: FakeHost

    def tables(self) -> Tables | None:
        return Tables() if self.fake.xfrm_loaded else None

    def contents(self, listing: Listing) -> Contents | None:
        self.fake.listing = listing
        return self.fake.contents if self.fake.xfrm_loaded else None

    def interfaces(self) -> tuple[Interface, ...]:
        return self.fake.interfaces

    @property
    def name(self) -> Backend:
        return self.fake.backend

    def check_clean(self) -> None:
        if self.fake.leftovers.interfaces and not self.fake.pyroute2:
            raise DependencyError("cannot remove the network device ipsec1: pyroute2 is not installed")

    def check_load(self) -> None:
        if not self.fake.xfrm_available:
            raise KernelError("cannot load the kernel's XFRM interface")

    def load(self) -> None:
        self.fake.change("load", KernelError("cannot load"))
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
class FakeNetwork:
    """The port `Network`."""

    fake: FakeHost

    def settings(self) -> Settings:
        return self.fake.settings

    def firewall(self) -> Firewall:
        return self.fake.firewall


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


class FakeFiles:
    """See Files."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    def read(self, path: str) -> str | None:
        return self._fake.files[path][1] if path in self._fake.files else None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self._fake.files if matches(path, pattern)))

    def mode(self, path: str) -> int | None:
        return self._fake.files[path][0] if path in self._fake.files else None

    def real(self, path: str) -> str:
        return path

    def install(self, files: tuple[File, ...], keep: int) -> tuple[str, ...]:
        self._fake.change("install", DaemonError("cannot install: every file is as it was"))
        olds = [(file.path, self._fake.files.pop(file.path, None)) for file in files]
        self._fake.files.update({file.path: (file.mode, file.text) for file in files if file.text is not None})
        number = next(self._fake.backups)
        backups = {f"{path}.20260101T{number:06}.000000Z~": old for path, old in olds if old is not None and keep}
        self._fake.files.update(backups)
        return tuple(backups)

    def tidy(self, files: tuple[File, ...], keep: int) -> None:
        for file in files:
            self._fake.files.pop(f"{file.path}.xswan-new", None)
            old = self._fake.files.pop(f"{file.path}.xswan-old", None)
            if old is not None and keep:
                self._fake.files[f"{file.path}.20260101T{next(self._fake.backups):06}.000000Z~"] = old


class FakeSandbox:
    """See Sandbox."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    def check(self) -> None:
        if self._fake.sandbox_error:
            raise DependencyError(self._fake.sandbox_error)

    def load(self, candidate: Candidate, conf: IPsecConf, timeout: float) -> Trial:
        self._fake.calls.append("load")
        status = "".join(f'"{name}": 192.0.2.1...192.0.2.9; unrouted;\n' for name in conf.names())
        return self._fake.trial or Trial("sandbox", started=True, status=status)

    def remember(self, conf: IPsecConf, found: tuple[Fault, ...]) -> None:
        self._fake.remembered = (self._seen(conf), found)

    def known(self, conf: IPsecConf) -> tuple[Fault, ...] | None:
        seen, found = self._fake.remembered or (None, ())
        return found if seen == self._seen(conf) else None

    def _seen(self, conf: IPsecConf) -> dict[str, tuple[int, str] | None]:
        return {path: self._fake.files.get(path) for path in (*conf.files, "/etc/ipsec.secrets")}

    def check_only(self, candidate: Candidate, after: Overlay, reason: str) -> Trial:
        self._fake.calls.append("check_only")
        return Trial("static", reason=reason)


class FakeParameters:
    """See Parameters. A few of them, with what ip_forward does to others."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    def read(self, name: str) -> str | None:
        return self._fake.parameters.get(name)

    def write(self, name: str, value: str) -> None:
        known = self._fake.parameters
        if name not in known or not value.isdigit():
            raise ConfigError(f"cannot write {value} to /proc/sys/{name}: Invalid argument")
        switches = ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding")
        if name in switches and known[name] != value:
            known.update(dict.fromkeys(switches, value))
            known.update(dict.fromkeys(self.names("net/ipv4/conf/*/forwarding"), value))
            known["net/ipv4/conf/all/accept_redirects"] = str(1 - int(value))
        known[name] = value

    def names(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._fake.parameters if matches(name, pattern)))


class FakeFilter:
    """See PacketFilter."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    def check_chain(self, chain: str) -> None:
        if chain not in self._fake.chains:
            raise ConfigError(f"nftables has no base chain {chain} on the hook input")

    def openings(self) -> tuple[Opening, ...]:
        self._fake.calls.append("openings")
        return self._fake.openings

    def load(self, path: str) -> None:
        self._fake.change("load rules", ConfigError("nft refuses"))
        rules = self._fake.files[path][1]
        chain = rules.partition("insert rule ")[2].partition(" jump")[0]
        self._fake.openings += (Opening(chain, "l4proto 51" in rules),)

    def close(self) -> None:
        self._fake.openings = ()

    def reload_units(self) -> None:
        self._fake.calls.append("reload units")

    def default_zone(self) -> str:
        self._zones()
        return "public"

    def has_service(self, zone: str, place: Place) -> bool:
        return zone in self._zones()[place]

    def set_service(self, zone: str, place: Place, present: bool) -> None:
        self._fake.change(f"set {place}", DaemonError("firewall-cmd"))
        if present:
            self._zones()[place].add(zone)
        else:
            self._zones()[place].remove(zone)

    def _zones(self) -> dict[Place, set[str]]:
        if self._fake.zones is None:
            raise ConfigError("firewalld does not run")
        return self._fake.zones


class FakeRollback:
    """See Rollback. Nothing happens in time: a test calls `take_back` itself."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    def pending(self) -> Pending | None:
        return self._fake.record

    def past(self) -> str | None:
        return self._fake.taken_back

    def forget(self) -> None:
        self._fake.taken_back = None

    def arm(self, record: Pending, seconds: int) -> None:
        self._fake.change("arm", DaemonError("cannot prepare to take the configuration back"))
        self._fake.record = record

    def disarm(self, past: str | None = None) -> None:
        self._fake.calls.append("disarm")
        self._fake.record, self._fake.taken_back = None, past


class FakeDatabase:
    """See Database."""

    def __init__(self, fake: FakeHost, entries: dict[str, tuple[bytes, str]], keys: set[bytes], name: str) -> None:
        self._fake, self._entries, self._keys, self._name = fake, entries, keys, name

    def listing(self) -> dict[str, str]:
        return {
            name: ",".join(f"{flags}{'u' * (public_key(one) in self._keys)}" for flags in trust.split(","))
            for name, (one, trust) in self._entries.items()
        }

    def certificates(self, name: str) -> tuple[bytes, ...]:
        wanted = subject(self._entries[name][0])
        return tuple(one for one, _trust in self._entries.values() if subject(one) == wanted)

    def add(self, name: str, certificate: bytes, trust: str, key: Key | None) -> None:
        self._fake.change(f"{self._name}: add {name}", ConfigError(f"NSS does not take {name}"))
        if key is not None:
            passphrase, belongs = self._of(key)
            if passphrase != key.passphrase or public_key(belongs) != public_key(certificate):
                raise ConfigError(f"the key of certificate {name} cannot be used")
            if subject(certificate) in [subject(one) for one, _trust in self._entries.values()]:
                raise ConfigError(f"certificate {name} has the subject of another one in the database")
            self._keys.add(public_key(certificate))
        there = [other for other, (one, _trust) in self._entries.items() if one == certificate]
        self._entries[there[0] if there else name] = (certificate, trust)

    def _of(self, key: Key) -> tuple[str, bytes]:
        if key.kind == "pem":
            return self._fake.pem_keys[key.content]
        passphrase, (first, *_others) = self._fake.pkcs12[key.content]
        return passphrase, first

    def set_trust(self, name: str, trust: str) -> None:
        self._fake.change(f"{self._name}: trust {name}", ConfigError(f"NSS does not trust {name}"))
        self._entries[name] = (self._entries[name][0], trust)

    def remove(self, name: str, *, key: bool) -> None:
        self._fake.change(f"{self._name}: remove {name}", ConfigError(f"NSS does not remove {name}"))
        one, _trust = self._entries.pop(name)
        if key:
            self._keys.remove(public_key(one))


def fields(certificate: bytes) -> list[bytes]:
    """Serial number, algorithm, issuer, validity, subject, public key, whatever its version."""
    return [value for tag, value in _body(certificate) if tag != 0xA0]


def subject(certificate: bytes) -> bytes:
    """By which NSS finds all that share it."""
    return fields(certificate)[4]


def public_key(certificate: bytes) -> bytes:
    """By which a private key is told."""
    return fields(certificate)[5]


class FakeSession(FakeDatabase):
    """See Session."""

    folder = "/var/lib/ipsec/nss"

    def __init__(self, fake: FakeHost) -> None:
        super().__init__(fake, fake.nss, fake.nss_keys, "nss")

    def copy(self) -> FakeDatabase:
        return FakeDatabase(self._fake, dict(self._entries), set(self._keys), "copy")

    def unpack(self, key: Key) -> tuple[bytes, ...]:
        if key.content not in self._fake.pkcs12:
            raise ConfigError("the PKCS #12 file cannot be read")
        passphrase, certificates = self._fake.pkcs12[key.content]
        if passphrase != key.passphrase:
            raise ConfigError("the passphrase of the PKCS #12 file is wrong; give the one that it was made with")
        return certificates


class FakeNss:
    """See Nss."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    @contextlib.contextmanager
    def open(self) -> t.Iterator[FakeSession]:
        self._fake.calls.append("open")
        yield FakeSession(self._fake)

    def outdate(self, process: Process, names: tuple[str, ...]) -> None:
        self._fake.calls.append(f"outdate {' '.join(names)}")
