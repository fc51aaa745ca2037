# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KLIPS on a simulated /proc: commands are recorded, and do to that /proc what the real ones would. No real KLIPS."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DependencyError, KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._klips import (
    CIPHERS,
    Address,
    Device,
    KlipsKernel,
    Virtual,
    auto_backend,
    available_stacks,
    choose_backend,
    default_device,
    parse_devices,
    parse_tncfg,
    present_stacks,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Leftovers, Program, Tables
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import CONFIG
from ansible_collections.xswan.ipsec.plugins.module_utils._settings import config_setup

DEVICES = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 16436 qdisc noqueue state UNKNOWN
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
    inet6 ::1/128 scope host
       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.1/24 brd 192.0.2.255 scope global dynamic eth0
    inet 192.0.2.9/24 brd 192.0.2.255 scope global secondary eth0:1
    inet6 2001:db8::1/64 scope global
       valid_lft forever preferred_lft forever
    inet6 2001:db8::ff:fe00:1/64 scope global dynamic
       valid_lft 86000sec preferred_lft 14000sec
    inet6 fe80::ff:fe00:1/64 scope link
       valid_lft forever preferred_lft forever
3: eth1.7@eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP
    link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff
    inet 198.51.100.1/24 brd 198.51.100.255 scope global eth1.7
4: ppp0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1492 qdisc pfifo_fast state UNKNOWN qlen 3
    link/ppp
    inet 203.0.113.5 peer 203.0.113.1/32 scope global ppp0
5: eth2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP qlen 1000
    link/ether 02:00:00:00:00:03 brd ff:ff:ff:ff:ff:ff
    inet6 fe80::ff:fe00:3/64 scope link
       valid_lft forever preferred_lft forever
6: eth3: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN qlen 1000
    link/ether 02:00:00:00:00:04 brd ff:ff:ff:ff:ff:ff
"""
ROUTE_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
NET_ROUTE = "eth1.7\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
DEFAULT_ROUTE = "eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
SECOND_DEFAULT = "ppp0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n"
HALF_DEFAULT = "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
REJECT = "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"

EROUTES = "0          10.1.0.0/24        -> 10.2.0.0/24        => tun0x1002@192.0.2.2\n" * 2
SPIS = "esp0x5a1b@192.0.2.2 ESP_AES_HMAC_SHA1: dir=out src=192.0.2.1\n" * 4


class Gateway:
    """A host without KLIPS in its kernel, but with the module."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.setup = "export interfaces='%defaultroute'\n"
        self.ran: list[str] = []
        self.refused: str | None = None
        """A command that contains this fails."""
        self.times = 0
        """How many commands that change something run before one fails; 0: none fails for this reason."""
        self.flags = ["icmp", "inbound_policy_check", "tos"]
        self.devices = {"ipsec0": "NULL"}
        self.created_mtu = 16260
        self.missing: tuple[str, ...] = ()
        """Modules that modprobe does not find."""
        self.stranger = False
        """The module ipsec is another one."""
        self.deaf = False
        """`tncfg --attach` says that it worked, and did not."""
        self.forgetful = False
        """`eroute --clear` and `tncfg --detach` say that they worked, and did not."""
        self.write("proc/modules", "e1000 12345 0 - Live 0x0\nipsec_dummy 1 0 - Live 0x0\n")
        self.write("proc/net/route", ROUTE_HEAD + NET_ROUTE + DEFAULT_ROUTE)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def kernel(self) -> KlipsKernel:
        return KlipsKernel(self, root=str(self.root))

    @property
    def changes(self) -> list[str]:
        """The commands that change something."""
        return [command for command in self.ran if not self.reads(command)]

    @staticmethod
    def reads(command: str) -> bool:
        return command == "ip address show" or "addconn" in command or "--dry-run" in command

    def load(self) -> None:
        self.write("proc/modules", self.read("proc/modules") + "ipsec 500000 0 - Live 0x0\n")
        self.write("proc/net/ipsec_version", "Openswan version: 2.6.52\n")
        self.write("proc/net/ipsec_klipsdebug", "debug_tunnel=00000000.\n")
        self.write("proc/net/ipsec_eroute", "")
        self.write("proc/net/ipsec_spi", "")
        for flag in self.flags:
            self.write(f"proc/sys/net/ipsec/{flag}", "0\n")
        self.show()

    def leave(self) -> None:
        """What a pluto that was killed leaves behind."""
        self.load()
        self.devices["ipsec0"] = "eth1.7"
        self.write("proc/net/ipsec_eroute", EROUTES)
        self.write("proc/net/ipsec_spi", SPIS)
        self.show()

    def show(self) -> None:
        rows = [
            f"{name} -> {physical} mtu={0 if physical == 'NULL' else self.created_mtu}(0) -> 0\n"
            for name, physical in sorted(self.devices.items())
        ]
        self.write("proc/net/ipsec_tncfg", "".join(rows))

    def run(self, *argv: str, timeout: float) -> Completed:
        command = " ".join(argv)
        self.ran.append(command)
        late = self.times and len(self.changes) == self.times and not self.reads(command)
        missing = argv[0] == "modprobe" and argv[-1] in self.missing
        if late or missing or (self.refused is not None and self.refused in command):
            return Completed(argv, 1, "", "a first line\nit is refused\n")
        out = ""
        if "addconn" in argv:
            out = self.setup
        elif argv == ("ip", "address", "show"):
            out = DEVICES
        elif argv == ("modprobe", "ipsec") and not self.stranger:
            self.load()
        elif argv[:2] == ("ipsec", "tncfg"):
            self.tncfg(*argv[2:])
        elif argv == ("ipsec", "eroute", "--clear") and not self.forgetful:
            self.write("proc/net/ipsec_eroute", "")
        elif argv == ("ipsec", "spi", "--clear"):
            self.write("proc/net/ipsec_spi", "")
        elif argv == ("rmmod", "ipsec"):
            assert set(self.devices.values()) == {"NULL"}, "what is attached is in use"
            for path in (self.root / "proc/net").glob("ipsec_*"):
                path.unlink()
            self.devices = {"ipsec0": "NULL"}
        return Completed(argv, 0, out, "")

    def tncfg(self, action: str, *names: str) -> None:
        if action == "--create":
            assert names[0] not in self.devices
            self.devices[names[0]] = "NULL"
        elif action == "--detach":
            assert self.devices[names[1]] != "NULL", "tncfg refuses to detach what is not attached"
            if not self.forgetful:
                self.devices[names[1]] = "NULL"
        elif not self.deaf:
            assert action == "--attach"
            assert self.devices[names[1]] == "NULL", "tncfg refuses to attach what is attached"
            self.devices[names[1]] = names[3]
        self.show()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


OPENSWAN = Program("Openswan", "2.6.32")
LIBRESWAN = {version: Program("Libreswan", version) for version in ("3.0", "3.25", "3.32", "4.0", "4.10", "5.2")}
NEITHER: frozenset[str] = frozenset()
KLIPS = frozenset({"klips"})
XFRM = frozenset({"xfrm"})
BOTH = KLIPS | XFRM


@pytest.mark.parametrize(
    ("program", "protostack", "present", "available", "backend"),
    [
        (OPENSWAN, None, NEITHER, KLIPS, "klips"),
        (OPENSWAN, "auto", NEITHER, BOTH, "klips"),
        (OPENSWAN, "auto", NEITHER, NEITHER, "xfrm"),
        (OPENSWAN, "auto", XFRM, BOTH, "xfrm"),
        (OPENSWAN, "auto", KLIPS, NEITHER, "klips"),
        (OPENSWAN, "klips", NEITHER, NEITHER, "klips"),
        (OPENSWAN, "klips", KLIPS, KLIPS, "klips"),
        (OPENSWAN, "netkey", NEITHER, KLIPS, "xfrm"),
        (OPENSWAN, "none", BOTH, BOTH, "none"),
        (OPENSWAN, "nostack", BOTH, BOTH, "none"),
        *((LIBRESWAN[version], None, NEITHER, BOTH, "xfrm") for version in LIBRESWAN),
        *((LIBRESWAN[version], "auto", NEITHER, BOTH, "xfrm") for version in LIBRESWAN),
        *((LIBRESWAN[version], "netkey", NEITHER, BOTH, "xfrm") for version in LIBRESWAN),
        *((LIBRESWAN[version], "klips", NEITHER, BOTH, "klips") for version in ("3.0", "3.25", "3.32")),
        *((LIBRESWAN[version], "none", BOTH, BOTH, "none") for version in ("3.0", "3.25", "3.32")),
        *((LIBRESWAN[version], "klips", NEITHER, BOTH, "xfrm") for version in ("4.0", "4.10", "5.2")),
        *((LIBRESWAN[version], "xfrm", NEITHER, BOTH, "xfrm") for version in ("4.0", "4.10", "5.2")),
        *((LIBRESWAN[version], "none", NEITHER, BOTH, "xfrm") for version in ("4.0", "4.10", "5.2")),
        *((LIBRESWAN[version], "mast", NEITHER, BOTH, "xfrm") for version in ("4.0", "4.10", "5.2")),
        (LIBRESWAN["4.10"], None, XFRM, NEITHER, "xfrm"),
        (None, None, NEITHER, BOTH, "xfrm"),
        (None, None, KLIPS, BOTH, "klips"),
        (None, "klips", XFRM, BOTH, "xfrm"),
    ],
)
def test_auto_is_what_the_program_makes_of_protostack(
    program: Program | None, protostack: str | None, present: frozenset[str], available: frozenset[str], backend: str
) -> None:
    assert choose_backend(protostack, present, available, program) == backend


@pytest.mark.parametrize(
    ("program", "protostack", "words"),
    [
        (OPENSWAN, "mast", "protostack=mast, which is not supported here; write one of auto, klips, netkey, none"),
        (OPENSWAN, "xfrm", r"protostack=xfrm, which Openswan 2\.6\.32 cannot use; write one of .*netkey"),
        (LIBRESWAN["3.25"], "mast", "protostack=mast, which is not supported here"),
        (LIBRESWAN["3.25"], "nostack", r"protostack=nostack, which Libreswan 3\.25 cannot use"),
        (LIBRESWAN["3.32"], "xfrm", r"protostack=xfrm, which Libreswan 3\.32 cannot use"),
    ],
)
def test_a_name_that_the_program_does_not_know_is_refused(program: Program, protostack: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_backend(protostack, NEITHER, BOTH, program)


@pytest.mark.parametrize(
    ("program", "protostack", "present", "words"),
    [
        (
            OPENSWAN,
            "auto",
            BOTH,
            r"XFRM is to be used, but in the kernel are KLIPS .* and XFRM .*`rmmod ipsec` to",
        ),
        (OPENSWAN, "klips", BOTH, r"KLIPS is to be used, but in the kernel are KLIPS .* and XFRM .*`rmmod af_key`"),
        (OPENSWAN, "klips", XFRM, r"in the kernel is XFRM \(module af_key\).*`rmmod af_key`.*protostack=netkey"),
        (
            OPENSWAN,
            "netkey",
            KLIPS,
            r"in the kernel is KLIPS \(module ipsec\).*`rmmod ipsec`.*protostack=klips",
        ),
        (LIBRESWAN["3.25"], None, KLIPS, r"in the kernel is KLIPS"),
        (LIBRESWAN["5.2"], None, KLIPS, r"in the kernel is KLIPS"),
        (None, None, BOTH, r"in the kernel are KLIPS .* and XFRM"),
    ],
)
def test_the_wrong_stack_or_both_are_a_conflict_with_a_cure(
    program: Program | None, protostack: str | None, present: frozenset[str], words: str
) -> None:
    with pytest.raises(KernelError, match=words) as caught:
        choose_backend(protostack, present, BOTH, program)
    assert caught.value.details["present"] == sorted(present)


@pytest.mark.parametrize(
    ("files", "present"),
    [((), NEITHER), (("ipsec_version",), KLIPS), (("pfkey",), XFRM), (("ipsec_version", "pfkey"), BOTH)],
)
def test_what_is_in_the_kernel_is_seen_in_proc(gateway: Gateway, files: tuple[str, ...], present: object) -> None:
    for name in files:
        gateway.write(f"proc/net/{name}", "")
    assert present_stacks(str(gateway.root)) == present


def test_what_could_be_loaded_is_asked_and_not_loaded(gateway: Gateway) -> None:
    gateway.refused = "af_key"
    assert available_stacks(gateway) == KLIPS
    assert all("--dry-run" in command for command in gateway.ran)


def test_without_modprobe_nothing_can_be_loaded() -> None:
    class Bare:
        def run(self, *argv: str, timeout: float) -> t.NoReturn:
            raise DependencyError("the command modprobe is not installed on this host")

    assert available_stacks(Bare()) == NEITHER


def test_the_setup_is_read_as_the_program_reads_it(gateway: Gateway) -> None:
    gateway.setup = (
        "export confreadstatus=''\n# obsolete option 'rp_filter' ignored\nexport interfaces='ipsec0=eth0 ipsec1=eth1'\n"
        "export fragicmp='no'\nexport crl-strict='yes'\nexport overridemtu='1400'\n"
    )
    assert config_setup(gateway, "/etc/other.conf") == {
        "confreadstatus": "",
        "interfaces": "ipsec0=eth0 ipsec1=eth1",
        "fragicmp": "no",
        "crl-strict": "yes",
        "overridemtu": "1400",
    }
    assert gateway.ran == ["ipsec addconn --config /etc/other.conf --configsetup"]


def test_a_setup_that_cannot_be_read_is_the_configurations_fault(gateway: Gateway) -> None:
    gateway.refused = "addconn"
    with pytest.raises(ConfigError, match=r"cannot read /etc/ipsec\.conf: it is refused"):
        gateway.kernel().load()
    assert not gateway.changes


def test_devices_are_read_from_what_ip_prints() -> None:
    up = frozenset({"BROADCAST", "MULTICAST", "UP", "LOWER_UP"})
    devices = parse_devices(DEVICES)
    assert list(devices) == ["lo", "eth0", "eth1.7", "ppp0", "eth2", "eth3"]
    assert devices["eth0"] == Device(
        up,
        (
            Address("192.0.2.1", "global"),
            Address("192.0.2.9", "global"),
            Address("2001:db8::1", "global"),
            Address("fe80::ff:fe00:1", "link"),
        ),
    )
    assert devices["eth1.7"] == Device(up, (Address("198.51.100.1", "global"),))
    assert devices["ppp0"].addresses == (Address("203.0.113.5", "global"),)
    assert devices["eth3"] == Device(frozenset({"BROADCAST", "MULTICAST"}), ())


@pytest.mark.parametrize(
    ("rows", "device"),
    [
        ("", None),
        (NET_ROUTE, None),
        (HALF_DEFAULT, None),
        (REJECT, None),
        (DEFAULT_ROUTE, "eth0"),
        (HALF_DEFAULT + NET_ROUTE + DEFAULT_ROUTE, "eth0"),
        (DEFAULT_ROUTE + SECOND_DEFAULT, "eth0"),
        (REJECT + SECOND_DEFAULT, "ppp0"),
    ],
)
def test_the_default_route_is_the_first_one_that_works(rows: str, device: str | None) -> None:
    assert default_device(ROUTE_HEAD + rows) == device


def test_the_table_of_devices_is_read() -> None:
    text = "ipsec0 -> eth1.7 mtu=16260(1443) -> 1500\nipsec1 -> NULL mtu=0(0) -> 0\nipsec12 -> ppp0 mtu=0(0) -> 1492\n"
    assert parse_tncfg(text) == {
        "ipsec0": Virtual("eth1.7", 16260),
        "ipsec1": Virtual(None, 0),
        "ipsec12": Virtual("ppp0", 0),
    }


PROGRAMS = [
    (Program("Libreswan", "5.2"), "xfrm", 0),
    (Program("Libreswan", "4.3"), "xfrm", 0),
    (Program("Libreswan", "3.20"), "klips", 1),
    (Program("Openswan", "2.6.52"), "klips", 3),
    (None, "klips", 0),
]


@pytest.mark.parametrize(("program", "backend", "commands"), PROGRAMS)
def test_the_backend_of_a_host_costs_a_modern_one_no_command(
    gateway: Gateway, program: Program | None, backend: str, commands: int
) -> None:
    gateway.load()
    gateway.setup = "export protostack='klips'\n"
    assert auto_backend(gateway, CONFIG, program, root=str(gateway.root)) == backend
    assert len(gateway.ran) == commands


def test_a_broken_configuration_does_not_hide_the_backend(gateway: Gateway) -> None:
    gateway.load()
    gateway.refused = "addconn"
    assert auto_backend(gateway, CONFIG, Program("Openswan", "2.6.52"), root=str(gateway.root)) == "klips"


def test_without_klips_there_is_nothing(gateway: Gateway) -> None:
    kernel = gateway.kernel()
    assert kernel.name == "klips"
    assert kernel.tables() is None
    assert kernel.leftovers() == Leftovers()
    kernel.clean("all")
    assert gateway.ran == [], "looking and cleaning load nothing"


def test_tables_and_leftovers_are_counted_and_all_own(gateway: Gateway) -> None:
    gateway.load()
    assert gateway.kernel().tables() == Tables()
    assert gateway.kernel().leftovers() == Leftovers()
    gateway.devices["ipsec1"] = "NULL"
    gateway.leave()
    assert gateway.kernel().tables() == Tables(sas=4, policies_out=2)
    assert gateway.kernel().leftovers() == Leftovers(policies=2, sas=4, interfaces=("ipsec0",))
    assert gateway.ran == []


def test_a_table_that_cannot_be_read_is_an_error(gateway: Gateway) -> None:
    gateway.load()
    (gateway.root / "proc/net/ipsec_eroute").unlink()
    with pytest.raises(KernelError, match=r"cannot read .*/proc/net/ipsec_eroute: No such file"):
        gateway.kernel().tables()


CLEARED = ["ipsec klipsdebug --none", "ipsec eroute --clear", "ipsec spi --clear"]
EMPTIED = ["ip link set dev ipsec0 down", "ip address flush dev ipsec0", "ipsec tncfg --detach --virtual ipsec0"]
LOADED = [*(f"modprobe --quiet {module}" for module in CIPHERS), "modprobe ipsec"]
ETH0 = [
    "ipsec tncfg --attach --virtual ipsec0 --physical eth0",
    "ip address add 192.0.2.1 scope global dev ipsec0",
    "ip address add 192.0.2.9 scope global dev ipsec0",
    "ip address add 2001:db8::1 scope global dev ipsec0",
    "ip address add fe80::ff:fe00:1 scope link dev ipsec0",
    "ip link set dev ipsec0 up",
]
ETH1 = [
    "ipsec tncfg --create ipsec1",
    "ipsec tncfg --attach --virtual ipsec1 --physical eth1.7",
    "ip address add 198.51.100.1 scope global dev ipsec1",
    "ip link set dev ipsec1 up",
]
PPP0 = [
    "ipsec tncfg --attach --virtual ipsec0 --physical ppp0",
    "ip address add 203.0.113.5 scope global dev ipsec0",
    "ip link set dev ipsec0 up",
]


@pytest.mark.parametrize(
    ("setup", "commands", "devices"),
    [
        ("", ETH0, {"ipsec0": "eth0"}),
        ("export interfaces=''\n", ETH0, {"ipsec0": "eth0"}),
        ("export interfaces='%defaultroute'\n", ETH0, {"ipsec0": "eth0"}),
        ("export interfaces='%none'\n", [], {"ipsec0": "NULL"}),
        ("export interfaces='ipsec0=ppp0'\n", PPP0, {"ipsec0": "ppp0"}),
        ("export interfaces='ipsec0=eth0 ipsec1=eth1.7'\n", [*ETH0, *ETH1], {"ipsec0": "eth0", "ipsec1": "eth1.7"}),
        ("export interfaces='%defaultroute %none  ipsec1=eth1.7'\n", [*ETH0, *ETH1], None),
        ("export overridemtu='1400'\n", [*ETH0[:-1], "ip link set dev ipsec0 mtu 1400 up"], None),
        ("export overridemtu='0'\n", ETH0, None),
        ("export klipsdebug='none'\n", ETH0, None),
        ("export klipsdebug='all'\n", ["ipsec klipsdebug --all", *ETH0], None),
        ("export klipsdebug='rcv xmit'\n", ["ipsec klipsdebug --set rcv", "ipsec klipsdebug --set xmit", *ETH0], None),
    ],
)
def test_a_load_does_what_the_setup_says_in_order(
    gateway: Gateway, setup: str, commands: list[str], devices: dict[str, str] | None
) -> None:
    gateway.setup = setup
    gateway.kernel().load()
    assert gateway.changes == [*LOADED, *CLEARED, *commands]
    assert devices is None or gateway.devices == devices
    assert gateway.kernel().tables() == Tables()


def test_a_load_of_what_is_loaded_begins_anew(gateway: Gateway) -> None:
    gateway.leave()
    gateway.kernel().load()
    assert gateway.changes == [*EMPTIED, *CLEARED, *ETH0]
    assert gateway.kernel().leftovers() == Leftovers(interfaces=("ipsec0",))


def test_a_device_without_mtu_gets_one(gateway: Gateway) -> None:
    gateway.created_mtu = 0
    gateway.kernel().load()
    assert gateway.changes[-1] == "ip link set dev ipsec0 mtu 16260 up"


def test_a_klips_without_debugging_is_asked_for_none(gateway: Gateway) -> None:
    gateway.setup = "export klipsdebug='all'\n"
    gateway.load()
    (gateway.root / "proc/net/ipsec_klipsdebug").unlink()
    gateway.kernel().load()
    assert not [command for command in gateway.ran if "klipsdebug" in command]


@pytest.mark.parametrize(
    ("setup", "flags"),
    [
        ("", {"icmp": "1\n", "inbound_policy_check": "1\n", "tos": "1\n"}),
        ("export fragicmp='no'\n", {"icmp": "0\n", "inbound_policy_check": "1\n", "tos": "1\n"}),
        ("export hidetos='no'\n", {"icmp": "1\n", "inbound_policy_check": "1\n", "tos": "0\n"}),
        ("", {"no_eroute_pass": "0\n", "opportunistic": "0\n"}),
        ("", {}),
    ],
)
def test_flags_are_set_where_this_klips_has_them(gateway: Gateway, setup: str, flags: dict[str, str]) -> None:
    gateway.setup = setup
    gateway.flags = list(flags)
    gateway.kernel().load()
    folder = gateway.root / "proc/sys/net/ipsec"
    assert {path.name: path.read_text() for path in folder.glob("*")} == flags


def test_a_flag_that_is_asked_for_and_not_there_is_an_error(gateway: Gateway) -> None:
    gateway.setup = "export hidetos='no'\n"
    gateway.flags = ["icmp"]
    with pytest.raises(KernelError, match=r"hidetos=no, but this KLIPS has no .*/ipsec/tos; remove that line"):
        gateway.kernel().load()


def test_a_flag_that_cannot_be_written_is_an_error(gateway: Gateway) -> None:
    gateway.flags = []
    (gateway.root / "proc/sys/net/ipsec/icmp").mkdir(parents=True)
    with pytest.raises(KernelError, match=r"cannot write .*/icmp: Is a directory"):
        gateway.kernel().load()


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("interfaces='eth0'", r"/etc/ipsec.conf: `eth0` in interfaces= cannot be understood; write %defaultroute"),
        ("interfaces='ipsec0='", r"`ipsec0=` in interfaces= cannot be understood"),
        ("interfaces='ipsecX=eth0'", r"`ipsecX=eth0` in interfaces= cannot"),
        ("interfaces='ipsec0=ipsec1'", r"`ipsec0=ipsec1` in interfaces= cannot"),
        ("interfaces='ipsec0=../x'", r"`ipsec0=\.\./x` in interfaces= cannot"),
        ("interfaces='%default'", r"`%default` in interfaces= cannot"),
        ("interfaces='ipsec0=eth0 oops'", r"`oops` in interfaces= cannot"),
        ("interfaces='mast0=eth0'", r"`mast0=eth0` in interfaces= names a mast device, which is not supported; write"),
        ("interfaces='ipsec0=eth9'", r"wants ipsec0 on eth9, but there is no device eth9; write one of eth0, eth1.7"),
        ("interfaces='ipsec0=eth1'", r"wants ipsec0 on eth1, but there is no device eth1;"),
        ("interfaces='ipsec0=eth0:1'", r"there is no device eth0:1"),
        ("interfaces='ipsec0=lo'", r"lo is neither a broadcast nor a point-to-point device; choose another"),
        ("interfaces='ipsec0=eth3'", r"eth3 has no address that ipsec0 could take over; give it one"),
        ("interfaces='ipsec0=eth0 ipsec1=eth2'", r"wants ipsec1 on eth2, but eth2 has no address"),
        ("interfaces='%defaultroute ipsec0=ppp0'", r"attaches ipsec0 twice, to eth0 and to ppp0 \(ipsec0=ppp0\)"),
        ("overridemtu='-5'", r"overridemtu=-5 is no size; write a number of bytes"),
    ],
)
@pytest.mark.parametrize("state", ["absent", "left over"])
def test_bad_input_is_named_before_anything_changes(gateway: Gateway, setup: str, words: str, state: str) -> None:
    if state == "left over":
        gateway.leave()
    before = gateway.kernel().leftovers()
    gateway.setup = f"export {setup}\n"
    for call in (gateway.kernel().check_load, gateway.kernel().load):
        with pytest.raises(ConfigError, match=words):
            call()
    assert not gateway.changes
    assert gateway.kernel().leftovers() == before


@pytest.mark.parametrize("setup", ["", "export interfaces='%defaultroute'\n"])
def test_a_default_route_that_is_not_there_is_named(gateway: Gateway, setup: str) -> None:
    gateway.setup = setup
    gateway.write("proc/net/route", ROUTE_HEAD + NET_ROUTE)
    with pytest.raises(ConfigError, match=r"this host has no IPv4 default route; add one, or name the device"):
        gateway.kernel().load()
    assert not gateway.changes


def test_good_input_passes_the_check_and_changes_nothing(gateway: Gateway) -> None:
    gateway.kernel().check_load()
    assert not gateway.changes


@pytest.mark.parametrize("both", [False, True])
def test_a_load_beside_xfrm_is_a_conflict(gateway: Gateway, both: bool) -> None:
    gateway.write("proc/net/pfkey", "")
    if both:
        gateway.load()
    with pytest.raises(KernelError, match="two IPsec stacks cannot work together; run `rmmod"):
        gateway.kernel().load()
    assert gateway.ran == []


def test_a_kernel_without_klips_is_told_before_anything_changes(gateway: Gateway) -> None:
    gateway.refused = "--dry-run ipsec"
    with pytest.raises(KernelError, match="no module ipsec for it; install the KLIPS module of the running kernel"):
        gateway.kernel().load()
    assert not gateway.changes


def test_a_klips_that_is_built_in_needs_no_module(gateway: Gateway) -> None:
    gateway.load()
    gateway.refused = "modprobe"
    gateway.kernel().load()
    assert gateway.devices == {"ipsec0": "eth0"}


def test_a_module_that_does_not_load_is_told(gateway: Gateway) -> None:
    gateway.refused = "modprobe ipsec"
    with pytest.raises(KernelError, match="modprobe ipsec: it is refused; unload esp4 and ah4"):
        gateway.kernel().load()


def test_a_module_of_the_same_name_that_is_not_klips_is_told(gateway: Gateway) -> None:
    gateway.stranger = True
    with pytest.raises(KernelError, match="modprobe ipsec: it brought no /proc/net/ipsec_version"):
        gateway.kernel().load()


def test_ciphers_that_are_missing_are_no_failure(gateway: Gateway) -> None:
    gateway.missing = CIPHERS
    gateway.kernel().load()
    assert gateway.changes == [*LOADED, *CLEARED, *ETH0]
    assert gateway.devices == {"ipsec0": "eth0"}


def test_an_attach_that_did_not_happen_is_told(gateway: Gateway) -> None:
    gateway.deaf = True
    with pytest.raises(KernelError, match="attached ipsec0 to eth0, but /proc/net/ipsec_tncfg does not say so"):
        gateway.kernel().load()


@pytest.mark.parametrize("flush", ["own", "all"])
def test_a_clean_ends_devices_then_eroutes_then_sas_then_the_module(
    gateway: Gateway, flush: t.Literal["own", "all"]
) -> None:
    gateway.leave()
    gateway.kernel().clean(flush)
    assert gateway.changes == [*EMPTIED, *CLEARED, "rmmod ipsec"]
    assert gateway.kernel().tables() is None
    assert gateway.kernel().leftovers() == Leftovers()


def test_a_load_after_a_clean_loads_the_module_again(gateway: Gateway) -> None:
    gateway.leave()
    gateway.kernel().clean("own")
    gateway.ran.clear()
    gateway.kernel().load()
    assert gateway.changes == [*LOADED, *CLEARED, *ETH0]
    assert gateway.kernel().tables() == Tables()
    assert gateway.devices == {"ipsec0": "eth0"}


def test_a_module_in_use_stays_and_is_seen_to_be_there(gateway: Gateway) -> None:
    gateway.leave()
    gateway.refused = "rmmod"
    gateway.kernel().clean("own")
    assert gateway.changes == [*EMPTIED, *CLEARED, "rmmod ipsec"]
    assert gateway.kernel().tables() == Tables()
    assert gateway.kernel().leftovers() == Leftovers()
    gateway.ran.clear()
    gateway.kernel().load()
    assert gateway.changes == [*CLEARED, *ETH0], "and what is loaded is not loaded again"


def test_a_module_that_could_not_be_loaded_again_stays(gateway: Gateway) -> None:
    gateway.leave()
    gateway.missing = ("ipsec",)
    gateway.kernel().clean("own")
    assert gateway.changes == [*EMPTIED, *CLEARED]
    assert gateway.kernel().tables() == Tables()


@pytest.mark.parametrize(
    ("refused", "missing", "why"), [("rmmod", (), "it is refused"), (None, ("ipsec",), "modprobe could not load it")]
)
def test_what_stays_and_is_not_empty_is_an_error(
    gateway: Gateway, refused: str | None, missing: tuple[str, ...], why: str
) -> None:
    gateway.leave()
    gateway.forgetful = True
    gateway.refused = refused
    gateway.missing = missing
    with pytest.raises(KernelError, match=rf"still has 2 eroutes, 0 SAs, ipsec0 after .* stays loaded: {why}.*dmesg"):
        gateway.kernel().clean("own")


def test_a_clean_of_several_devices_leaves_those_that_are_not_attached(gateway: Gateway) -> None:
    gateway.devices.update(ipsec1="NULL", ipsec2="ppp0")
    gateway.leave()
    gateway.kernel().clean("own")
    third = [command.replace("ipsec0", "ipsec2") for command in EMPTIED]
    assert gateway.changes == [*EMPTIED, *third, *CLEARED, "rmmod ipsec"]


def test_a_clean_of_none_does_nothing(gateway: Gateway) -> None:
    gateway.leave()
    gateway.kernel().clean("none")
    assert gateway.ran == []


@pytest.mark.parametrize("at", range(1, 1 + len([*EMPTIED, *CLEARED])))
def test_a_clean_that_fails_half_way_is_told_and_the_next_one_ends(gateway: Gateway, at: int) -> None:
    gateway.leave()
    gateway.times = at
    with pytest.raises(KernelError, match=f"`{[*EMPTIED, *CLEARED][at - 1]}` failed: it is refused"):
        gateway.kernel().clean("own")
    gateway.times = 0
    gateway.kernel().clean("own")
    assert gateway.kernel().leftovers() == Leftovers()


LOAD = [*LOADED, *CLEARED, *ETH0, *ETH1]


@pytest.mark.parametrize("at", range(len(CIPHERS) + 1, 1 + len(LOAD)))
def test_a_load_that_fails_half_way_is_told_and_the_next_one_ends(gateway: Gateway, at: int) -> None:
    gateway.setup = "export interfaces='ipsec0=eth0 ipsec1=eth1.7'\n"
    gateway.times = at
    with pytest.raises(KernelError, match="it is refused"):
        gateway.kernel().load()
    assert gateway.changes == LOAD[:at]
    gateway.times = 0
    gateway.kernel().load()
    assert gateway.devices == {"ipsec0": "eth0", "ipsec1": "eth1.7"}
