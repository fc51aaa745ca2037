# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is fuzzed: every reader of what comes from outside, as far as possible together with what uses its result."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
import typing as t
from pathlib import Path

from recorded_xfrm import (
    DONE,
    DROP,
    ESP,
    HOLE,
    LARVAL,
    MANUAL,
    MARKED,
    PASS,
    PRIORITY,
    SADINFO,
    SOCKET,
    SPDINFO,
    TUNNEL,
)

import fleet_facts
from ansible_collections.xswan.ipsec.plugins.module_utils import _processes
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Overlay, difference, secrets_in
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._config import restore
from ansible_collections.xswan.ipsec.plugins.module_utils._connections import connections
from ansible_collections.xswan.ipsec.plugins.module_utils._definitions import (
    definitions,
    setup,
    sharers,
    stranded,
    up,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._devices import ipsec_devices
from ansible_collections.xswan.ipsec.plugins.module_utils._facts import firewall_facts
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Trial, faults
from ansible_collections.xswan.ipsec.plugins.module_utils._filter import LocalFilter
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import IPsecConf, read_conf
from ansible_collections.xswan.ipsec.plugins.module_utils._klips import KlipsKernel, parse_devices
from ansible_collections.xswan.ipsec.plugins.module_utils._log import last_lines
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, Loaded, Process, State
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import NetlinkSocket
from ansible_collections.xswan.ipsec.plugins.module_utils._network import LocalNetwork, bound_addresses
from ansible_collections.xswan.ipsec.plugins.module_utils._nflog import LogRules
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._opening import Wish
from ansible_collections.xswan.ipsec.plugins.module_utils._opening import settle as settle_firewall
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import (
    IKE_PORTS,
    LocalPluto,
    bound_ports,
    listening_inodes,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._preflight import Unshared, parse_trial
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD
from ansible_collections.xswan.ipsec.plugins.module_utils._rehearsal import held
from ansible_collections.xswan.ipsec.plugins.module_utils._rollback import LocalRollback
from ansible_collections.xswan.ipsec.plugins.module_utils._script import find_restarters
from ansible_collections.xswan.ipsec.plugins.module_utils._script import parse_status as parse_script_status
from ansible_collections.xswan.ipsec.plugins.module_utils._settings import config_setup
from ansible_collections.xswan.ipsec.plugins.module_utils._stamp import secret_files
from ansible_collections.xswan.ipsec.plugins.module_utils._status import report
from ansible_collections.xswan.ipsec.plugins.module_utils._sysctl import settle as settle_sysctl
from ansible_collections.xswan.ipsec.plugins.module_utils._system import parse_priority
from ansible_collections.xswan.ipsec.plugins.module_utils._systemd import SystemdLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._unread import changed
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import (
    holds_sas,
    parse_auto,
    parse_certificates,
    parse_script,
    parse_status,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmSocket, has_xfrm
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm_list import read_policy, read_sa
from ansible_collections.xswan.ipsec.plugins.plugin_utils._fleet import Fleet, look_from
from ansible_collections.xswan.ipsec.plugins.plugin_utils._metrics import metrics
from ansible_collections.xswan.ipsec.plugins.plugin_utils._page import page
from ansible_collections.xswan.ipsec.plugins.plugin_utils._table import table
from chaos import seeds
from fake_host import FakeHost

NOW = 1764000000.0


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader of text or of bytes."""

    name: str
    read: t.Callable[[t.Any], object]
    """Reads a case. It may refuse it by an IPsecError; what it returns is shown to people."""
    seeds: tuple[str, ...]
    """Bytes as the characters of Latin-1."""
    kind: t.Literal["text", "file", "bytes"] = "text"
    """text: as run_command decodes it; file: what is no UTF-8 comes as surrogates."""
    weight: int = 4
    """Its part of all cases; less where a case takes a reader a millisecond."""

    def case(self, text: str) -> str | bytes:
        """What the reader is given for a text."""
        if self.kind == "bytes":
            return text.encode("latin-1", "replace")
        return text if self.kind == "file" else text.encode("utf-8", "replace").decode()


class Says:
    """Every program prints the same; see the ports Commands and CommandsApart."""

    def __init__(self, out: str, err: str = "", status: int = 0) -> None:
        self.done = Completed(("program",), status, out, err)

    def run(self, *argv: str, timeout: float) -> Completed:
        return self.done

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        return self.done


class Datagrams:
    """A netlink socket on which the kernel says just this, a datagram at a time."""

    def __init__(self, *datagrams: bytes) -> None:
        self._left = list(datagrams)

    def send(self, data: bytes) -> int:
        return len(data)

    def recvmsg_into(self, buffers: list[memoryview]) -> tuple[int, list[t.Any], int, None]:
        if not self._left:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        datagram = self._left.pop(0)
        buffers[0][: len(datagram)] = datagram
        return len(datagram), [], 0, None


def _socket(*datagrams: bytes) -> NetlinkSocket:
    return NetlinkSocket(t.cast("t.Any", Datagrams(*datagrams)))


def _latin(*datagrams: bytes) -> tuple[str, ...]:
    return tuple(datagram.decode("latin-1") for datagram in datagrams)


def _running() -> State:
    fake = FakeHost()
    fake.run_pluto()
    return observe(fake.host())


RUNNING = _running()


def _status(text: str) -> object:
    """What pluto says, to the facts, and to what a reload compares."""
    answer = parse_status(text, "")
    facts = report(RUNNING._replace(answer=answer))
    entries = _connections(answer, text.splitlines)
    compared = (definitions(text), setup(text), sharers(answer), stranded(answer), up(answer), held(text))
    return facts, entries, compared, holds_sas(text)


def _connections(answer: Answer, log: t.Callable[[], t.Iterable[str]]) -> dict[str, dict[str, t.Any]]:
    configured = {"one": "start", "mesh": "ondemand", "nocert-tb": "start", "badalg-tb": "add", "gone": "start"}
    return connections(configured, answer, now=NOW, kernel_spis={}, certificates={"x": 1}, log=log)


def _log(folder: Path) -> t.Callable[[str], object]:
    file = folder / "log"
    answer = Answer(loaded=tuple(Loaded(name) for name in ("one", "mesh", "t-auth")))

    def read(text: str) -> object:
        file.write_bytes(text.encode())
        return _connections(answer, lambda: last_lines(str(file)))

    return read


def _trial(text: str) -> object:
    trial = parse_trial("MARK", Completed(("sh",), 0, text, ""))
    return faults(_conf(seeds.CONF[0]), trial, ("correct horse battery",)), trial


def _conf(text: str) -> t.Any:
    files: dict[str, str | None] = {"/etc/ipsec.conf": text, "/etc/ipsec.d/more.conf": text}
    return read_conf(Overlay(_Nothing(), files), "/etc/ipsec.conf")


class _Nothing:
    """A host without files."""

    def read(self, path: str) -> str | None:
        return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return ()


OLD = _conf(seeds.CONF[0])


def _ipsec_conf(text: str) -> object:
    conf = _conf(text)
    told = faults(conf, Trial("static"), ())
    return conf.names(), [conf.effective(name) for name in conf.names()], difference(OLD, conf).impact(), told


def _xfrm_sas(data: bytes) -> object:
    return _contents(data, TUNNEL + DONE)


def _xfrm_policies(data: bytes) -> object:
    return _contents(ESP + DONE, data), XfrmSocket(_socket(data, ESP + DONE)).leftovers(("ipsec1",))


def _contents(sas: bytes, policies: bytes) -> object:
    """What is in the tables; keys of two parts are no JSON."""
    contents = XfrmSocket(_socket(sas, policies, SADINFO, SPDINFO)).contents()
    return contents._replace(spis=None), list((contents.spis or {}).items())


def _xfrm_sizes(data: bytes) -> object:
    first = len(SADINFO)
    return XfrmSocket(_socket(data[:first], data[first:])).sizes()


def _sa(data: bytes) -> object:
    return read_sa(memoryview(data))


def _policy(data: bytes) -> object:
    return read_policy(memoryview(data), (2, bytes(16), 0))


def _links(data: bytes) -> object:
    return ipsec_devices(_socket(data, data), ((1, "ipsec1"), (2, "ipsec2"), (3, "eth0")))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _link() -> bytes:
    """An RTM_NEWLINK of the device ipsec1, kind xfrm, if_id 1; rtnetlink(7), linux/if_link.h."""
    data = _attribute(2, _attribute(1, struct.pack("=I", 2)) + _attribute(2, struct.pack("=I", 1)))
    body = bytes(16) + _attribute(3, b"ipsec1\0") + _attribute(18, _attribute(1, b"xfrm\0") + data)
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body


def _written(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def _network(folder: Path) -> t.Callable[[str], object]:
    """A file of /proc that the network's settings are read of says this."""
    root = folder / "network"
    paths = [root / "proc/net" / name for name in ("route", "ipv6_route")]
    paths += [root / "proc/sys/net" / name for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
    paths += [root / "proc/sys/net/ipv4/conf/lo/rp_filter"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0\n" if "sys" in path.parts else "")
    network = LocalNetwork(Says(""), str(root))

    def read(text: str) -> object:
        kind = 0 if text.startswith("I") else 2 if len(text) < 30 else 1
        path = paths[kind]
        path.write_bytes(text.encode())
        try:
            return network.settings()
        finally:
            path.write_text("0\n" if "sys" in path.parts else "")

    return read


def _udp(text: str) -> object:
    bound = (*bound_ports(text), *bound_addresses(text))
    return [socket for socket in bound if socket[0] in IKE_PORTS]


def _process(folder: Path) -> t.Callable[[str], object]:
    proc = folder / "process"
    (proc / "815").mkdir(parents=True)
    for name in ("stat", "cmdline"):
        (proc / "815" / name).write_text("")

    def read(text: str) -> object:
        _written(proc / "815/stat", text)
        return _processes.parent(815, str(proc)), _processes.since_boot(815, str(proc))

    return read


def _cmdline(folder: Path) -> t.Callable[[str], object]:
    proc = folder / "cmdline"
    (proc / "815").mkdir(parents=True)
    (proc / "815/stat").write_text(seeds.STAT[0])

    def read(text: str) -> object:
        _written(proc / "815/cmdline", text)
        return find_restarters(str(proc))

    return read


def _lock(folder: Path) -> t.Callable[[str], object]:
    rundir = folder / "rundir"
    rundir.mkdir()
    pluto = LocalPluto(Says(""), rundir=str(rundir))

    def read(text: str) -> object:
        _written(rundir / "pluto.pid", text)
        return pluto.lock()

    return read


def _stamp(folder: Path) -> t.Callable[[str], object]:
    stamp = folder / "stamp"

    def read(text: str) -> object:
        _written(stamp, text)
        trial = Unshared(Says("[]"), stamp=str(stamp)).known(IPsecConf())
        return [changed(Process(814, since_boot=NOW + 0.25), (), str(stamp)), trial]

    return read


def _secrets(folder: Path) -> t.Callable[[str], object]:
    file = folder / "ipsec.secrets"

    def read(text: str) -> object:
        _written(file, text)
        secrets_in(text)
        return secret_files(str(file))

    return read


def _rollback(folder: Path) -> t.Callable[[str], object]:
    place = folder / "rollback"
    place.mkdir()
    rollback = LocalRollback(Says(""), str(place))

    def read(text: str) -> object:
        _written(place / "rollback.json", text)
        _written(place / "rolled-back", text)
        return rollback.pending(), rollback.due("no token", 0), rollback.past()

    return read


def _record(text: str) -> object:
    """What each of the modules makes of the record of what was before."""
    found: list[object] = []
    for part in ("files", "sysctl", "firewall"):
        fake = FakeHost()
        fake.files = {RECORD: (0o600, text), "/etc/ipsec.conf": (0o644, seeds.CONF[0])}
        if part == "files":
            found.append(restore("/etc/ipsec.conf", fake.host(), 1, check_mode=True).to_result())
        elif part == "sysctl":
            found.append(settle_sysctl({}, fake.router(), purge=True, check_mode=True).to_result())
        else:
            fake.zones = {"permanent": {"public"}, "runtime": {"public"}}
            wish = Wish("firewalld", "inet filter input", None, ah=False)
            found.append(settle_firewall(wish, fake.router(), check_mode=True))
    return found


def _nft(text: str) -> object:
    network = LocalNetwork(Says(text)).firewall()
    packet_filter = LocalFilter(Says(text))
    opened = packet_filter.openings()
    packet_filter.close()
    packet_filter.check_chain("inet filter input")
    return firewall_facts(network), opened


class _NoNft(Says):
    def run(self, *argv: str, timeout: float) -> Completed:
        return self.done if argv[0] != "nft" else Completed(argv, 0, "", "")


def _iptables(text: str) -> object:
    return firewall_facts(LocalNetwork(_NoNft(text)).firewall())


def _log_rules(text: str) -> object:
    return LogRules(Says(text), marker="/proc/self").find()


def _klips(folder: Path) -> t.Callable[[str], object]:
    net = folder / "klips/proc/net"
    net.mkdir(parents=True)
    for name in ("ipsec_version", "ipsec_spi", "ipsec_eroute", "route"):
        (net / name).write_text("")
    kernel = KlipsKernel(Says("export interfaces='ipsec0=eth0'\n"), root=str(folder / "klips"))

    def read(text: str) -> object:
        for name in ("ipsec_tncfg", "ipsec_spi", "ipsec_eroute"):
            _written(net / name, text)
        return kernel.interfaces(), kernel.leftovers()

    return read


class _Klips(Says):
    """A host with KLIPS on which all is well but for one output."""

    def run(self, *argv: str, timeout: float) -> Completed:
        said = {"ipsec": "export interfaces='ipsec0=eth1.7'\n", "ip": seeds.IP_ADDRESS[0]}.get(argv[0], "")
        other = {"ipsec": "export", "ip": "1: "}.get(argv[0])
        mine = other is not None and self.done.out.startswith(other)
        return Completed(argv, 0, self.done.out if mine else said, "")


def _klips_check(folder: Path) -> t.Callable[[str], object]:
    net = folder / "klips-check/proc/net"
    net.mkdir(parents=True)
    (net / "ipsec_version").write_text("")

    def read(text: str) -> object:
        _written(net / "route", seeds.NET_ROUTE[0] if text.startswith(("export", "1: ")) else text)
        KlipsKernel(_Klips(text), root=str(folder / "klips-check")).check_load()
        return None

    return read


def _ip_json(text: str) -> object:
    return Unshared(Says(text))._network()


def _script_status(text: str) -> object:
    return [parse_script_status("/etc/init.d/ipsec", Completed((), status, text, ""), True) for status in (0, 1, 8)]


class Shown(str):
    """A text that is shown as it is."""

    __slots__ = ()


def _fleet(text: str) -> object:
    """What a gateway sent, to the three pictures."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    gateways = [look_from("gw1", {"ipsec": facts}, "192.0.2.1"), look_from("gw2", facts), look_from("gw3", None)]
    fleet = Fleet(gateways, NOW)
    return [*map(Shown, table(fleet)), *map(Shown, page(fleet).split("\n")), *map(Shown, metrics(fleet).split("\n"))]


def _facts_of_a_gateway() -> tuple[str, ...]:
    found = fleet_facts.office()
    return tuple(json.dumps(found[name].get("ipsec", found[name]), indent=1) for name in ("gw3", "gw4", "gw5"))


def targets(folder: Path) -> tuple[Target, ...]:
    """All of them; those that read files have theirs in this folder."""
    sas, policies = (LARVAL, MANUAL, ESP), (TUNNEL, MARKED, PASS, DROP, PRIORITY, HOLE, SOCKET)
    return (
        Target("whack-status", _status, seeds.recorded("status"), weight=1),
        Target("whack-trafficstatus", lambda text: parse_status("", text), seeds.recorded("trafficstatus")),
        Target("whack-listcerts", parse_certificates, seeds.recorded("listcerts")),
        Target("ipsec-version", lambda text: LocalPluto(Says(text)).program(), seeds.VERSIONS),
        Target("ipsec-script", parse_script, seeds.SCRIPTS),
        Target("readwriteconf", parse_auto, seeds.recorded("readwriteconf")),
        Target("addconn-configsetup", lambda text: config_setup(Says(text), "/etc/ipsec.conf"), seeds.CONFIGSETUP),
        Target("trial", _trial, seeds.TRIAL, weight=1),
        Target("pluto-log", _log(folder), seeds.recorded("log"), weight=1),
        Target("proc-net-unix", lambda text: listening_inodes(text, "/run/pluto/pluto.ctl"), seeds.NET_UNIX),
        Target("proc-net-udp", _udp, seeds.NET_UDP),
        Target("proc-network", _network(folder), (*seeds.NET_ROUTE, *seeds.NET_IPV6_ROUTE, "1\n"), weight=1),
        Target("proc-net-netlink", has_xfrm, seeds.NET_NETLINK),
        Target("proc-pid-stat", _process(folder), seeds.STAT, "file"),
        Target("proc-pid-cmdline", _cmdline(folder), seeds.CMDLINES, "file"),
        Target("lock-file", _lock(folder), seeds.LOCKS, "file"),
        Target("stamp-file", _stamp(folder), seeds.STAMP, "file"),
        Target("xfrm-sas", _xfrm_sas, _latin(b"".join(sas) + DONE, ESP + DONE), "bytes"),
        Target("xfrm-policies", _xfrm_policies, _latin(b"".join(policies) + DONE, TUNNEL + HOLE + DONE), "bytes"),
        Target("xfrm-sizes", _xfrm_sizes, _latin(SADINFO + SPDINFO), "bytes"),
        Target("xfrm-sa-list", _sa, _latin(*(message[16:] for message in sas)), "bytes"),
        Target("xfrm-policy-list", _policy, _latin(*(message[16:] for message in policies)), "bytes"),
        Target("rtnetlink-links", _links, _latin(_link()), "bytes"),
        Target("klips-proc", _klips(folder), (*seeds.TNCFG, "ipsec0 -> eth0 mtu=1400\n"), "file"),
        Target("klips-ip-address", parse_devices, seeds.IP_ADDRESS),
        Target(
            "klips-check", _klips_check(folder), (*seeds.CONFIGSETUP, *seeds.IP_ADDRESS, *seeds.NET_ROUTE), weight=1
        ),
        Target("ipsec-conf", _ipsec_conf, seeds.CONF, "file", weight=1),
        Target("ipsec-secrets", _secrets(folder), seeds.SECRETS, "file"),
        Target("nft-ruleset", _nft, seeds.NFT_RULESET, weight=1),
        Target("iptables-save", _iptables, seeds.IPTABLES_SAVE, weight=1),
        Target("nflog-rules", _log_rules, (*seeds.IPTABLES_LIST, *seeds.NFT_CHAINS)),
        Target("ip-json", _ip_json, seeds.IP_JSON),
        Target(
            "systemctl-show", lambda text: SystemdLauncher(Says(text), "/etc/ipsec.conf").unit(), seeds.SYSTEMCTL_SHOW
        ),
        Target("script-status", _script_status, seeds.SCRIPT_STATUS),
        Target("record-json", _record, seeds.RECORD, "file", weight=1),
        Target("rollback-json", _rollback(folder), seeds.ROLLBACK, "file"),
        Target("syslog-priority", parse_priority, seeds.PRIORITIES),
        Target("fleet", _fleet, _facts_of_a_gateway(), weight=1),
    )


def plain(value: object) -> object:
    """For json.dumps: what else a result may hold. A set has no order, and none is needed."""
    if isinstance(value, (set, frozenset)):
        return [str(item) for item in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
