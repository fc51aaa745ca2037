# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is: the YAML file that describes it, checked and made into frozen data.

For example:

    name: demo                      # letters and digits; `--name` overrides it
    wan: 192.0.2.0/24               # optional: the network between the gateways
    gateways:
      gw1: {suite: bookworm, wan: 192.0.2.1, lan: 10.1.0.0/24}
      gw2: {suite: trixie, wan: 192.0.2.2, lan: 10.2.0.0/24, nat: true, memory: 768,
            wan6: 2001:db8::2, lan6: 2001:db8:2::/64}
      gw3: {suite: bookworm, wan: 192.0.2.3, lan: 10.3.0.0/24, init: script}   # booted without systemd
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

from .tools import LabError

SUITES: t.Final = ("bullseye", "bookworm", "trixie")
INITS: t.Final = ("systemd", "script")
WAN: t.Final = ipaddress.IPv4Network("192.0.2.0/24")
WAN6: t.Final = ipaddress.IPv6Network("2001:db8::/64")
MANAGEMENT: t.Final = ipaddress.IPv4Network("198.18.0.0/24")
BEHIND_NAT: t.Final = ipaddress.IPv4Network("100.64.0.0/16")
MEMORY_MIB: t.Final = 512
LEAST_MEMORY_MIB: t.Final = 192

# A network interface's name has at most 15 characters and the lab appends "-eth0" to a gateway's name. There is no
# hyphen in a name, so that the namespaces of one lab ("xswan-NAME-GW-lan") can never be read as another lab's.
LAB_NAME: t.Final = re.compile(r"[a-z][a-z0-9]{0,19}")
GATEWAY_NAME: t.Final = re.compile(r"[a-z][a-z0-9]{0,9}")
RESERVED_NAMES: t.Final = ("wan", "mgmt", "localhost", "all", "ungrouped", "gateways")

Network = t.TypeVar("Network", ipaddress.IPv4Network, ipaddress.IPv6Network)


class SpecError(LabError):
    """A lab's description is wrong; the message names the file, the key and what is allowed."""


@dataclass(frozen=True)
class GatewaySpec:
    """One gateway. `number` (1, 2, ...) is its place in the file and gives what the file need not say."""

    name: str
    number: int
    suite: str
    wan: ipaddress.IPv4Interface
    lan: ipaddress.IPv4Network
    wan6: ipaddress.IPv6Interface | None = None
    lan6: ipaddress.IPv6Network | None = None
    nat: bool = False
    memory: int = MEMORY_MIB
    init: str = "systemd"
    """What the gateway is booted with; `script` is one that starts sshd and nothing else, as in a container."""

    @property
    def management(self) -> ipaddress.IPv4Interface:
        """The address of eth2, where SSH listens whatever a test does to the WAN."""
        return ipaddress.IPv4Interface((MANAGEMENT[self.number], MANAGEMENT.prefixlen))

    @property
    def behind_nat(self) -> ipaddress.IPv4Network:
        """The private network between a gateway and its NAT box: the box is the first address, the gateway second."""
        return ipaddress.IPv4Network((BEHIND_NAT[self.number * 256], 24))

    @property
    def outside(self) -> ipaddress.IPv4Interface:
        """The address of eth0: the WAN address, unless the gateway is behind a NAT box, which then has that one."""
        return ipaddress.IPv4Interface((self.behind_nat[2], 24)) if self.nat else self.wan

    @property
    def lan_gateway(self) -> ipaddress.IPv4Interface:
        """The address of eth1: the first of the LAN."""
        return ipaddress.IPv4Interface((self.lan[1], self.lan.prefixlen))

    @property
    def lan_host(self) -> ipaddress.IPv4Interface:
        """The address of the one host behind the gateway: the second of the LAN."""
        return ipaddress.IPv4Interface((self.lan[2], self.lan.prefixlen))

    @property
    def lan6_gateway(self) -> ipaddress.IPv6Interface | None:
        """The IPv6 address of eth1."""
        return None if self.lan6 is None else ipaddress.IPv6Interface((self.lan6[1], self.lan6.prefixlen))

    @property
    def lan6_host(self) -> ipaddress.IPv6Interface | None:
        """The IPv6 address of the host behind the gateway."""
        return None if self.lan6 is None else ipaddress.IPv6Interface((self.lan6[2], self.lan6.prefixlen))


@dataclass(frozen=True)
class LabSpec:
    """A whole lab."""

    name: str
    gateways: tuple[GatewaySpec, ...]
    wan: ipaddress.IPv4Network = WAN

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites whose images the lab needs, each once."""
        return tuple(dict.fromkeys(gateway.suite for gateway in self.gateways))

    @property
    def has_ipv6(self) -> bool:
        """Whether any gateway speaks IPv6 on the WAN."""
        return any(gateway.wan6 for gateway in self.gateways)

    @property
    def wan_router(self) -> ipaddress.IPv4Interface:
        """The WAN bridge's own address, the gateways' default route: the last of the network."""
        return ipaddress.IPv4Interface((self.wan[-2], self.wan.prefixlen))

    @property
    def wan6_router(self) -> ipaddress.IPv6Interface:
        """The WAN bridge's own IPv6 address."""
        return ipaddress.IPv6Interface((WAN6[-2], WAN6.prefixlen))


def load(path: Path, name: str | None = None) -> LabSpec:
    """Read a lab's YAML file; `name` overrides the name in it. SpecError when it cannot be used."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return parse(data, name)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error


def parse(data: object, name: str | None = None) -> LabSpec:
    """Check a lab's description as YAML gave it."""
    top = _mapping(data, "the lab", required=("gateways",), optional=("name", "wan"))
    lab_name = checked_name(top.get("name") if name is None else name)
    wan = _network(top.get("wan", str(WAN)), "wan", ipaddress.IPv4Network)
    if wan.num_addresses < 8:
        raise SpecError(f"wan: {wan} is too small; allowed: a /29 or larger network")
    nodes = top["gateways"]
    if not isinstance(nodes, dict) or not nodes:
        raise SpecError("gateways: must be a mapping of at least one gateway's name to its settings")
    if len(nodes) > 200:
        raise SpecError(f"gateways: {len(nodes)} are too many; allowed: up to 200")
    gateways = tuple(_gateway(key, value, number, wan) for number, (key, value) in enumerate(nodes.items(), start=1))
    spec = LabSpec(lab_name, gateways, wan)
    _check_addresses(spec)
    return spec


def dump(spec: LabSpec) -> str:
    """A lab as YAML text that `parse` reads back as the same lab."""

    def options(gateway: GatewaySpec) -> dict[str, object]:
        given: dict[str, object] = {
            "suite": gateway.suite,
            "wan": str(gateway.wan.ip),
            "lan": str(gateway.lan),
            "nat": gateway.nat,
            "memory": gateway.memory,
            "init": gateway.init,
        }
        if gateway.wan6 is not None:
            given["wan6"] = str(gateway.wan6.ip)
        if gateway.lan6 is not None:
            given["lan6"] = str(gateway.lan6)
        return given

    gateways = {gateway.name: options(gateway) for gateway in spec.gateways}
    return yaml.safe_dump({"name": spec.name, "wan": str(spec.wan), "gateways": gateways}, sort_keys=False)


def checked_name(name: object) -> str:
    """A lab's name, or SpecError."""
    if isinstance(name, str) and LAB_NAME.fullmatch(name):
        return name
    raise SpecError(
        f"name: {name!r} is no name of a lab; allowed: up to 20 lower-case letters and digits, a letter first"
    )


def _gateway(name: object, data: object, number: int, wan: ipaddress.IPv4Network) -> GatewaySpec:
    if not isinstance(name, str) or not GATEWAY_NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise SpecError(
            f"gateways: {name!r} is not a gateway's name; allowed: up to 10 lower-case letters and digits, "
            f"a letter first, and none of {', '.join(RESERVED_NAMES)}"
        )
    where = f"gateways.{name}"
    options = _mapping(
        data, where, required=("suite", "wan", "lan"), optional=("wan6", "lan6", "nat", "memory", "init")
    )
    if options["suite"] not in SUITES:
        raise SpecError(f"{where}.suite: {options['suite']!r} is unknown; allowed: {', '.join(SUITES)}")
    init = options.get("init", "systemd")
    if init not in INITS:
        raise SpecError(f"{where}.init: {init!r} is unknown; allowed: {', '.join(INITS)}")
    nat = options.get("nat", False)
    if not isinstance(nat, bool):
        raise SpecError(f"{where}.nat: {nat!r} is not a boolean; allowed: true, false")
    memory = options.get("memory", MEMORY_MIB)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < LEAST_MEMORY_MIB:
        raise SpecError(f"{where}.memory: {memory!r} is not enough; allowed: MiB, {LEAST_MEMORY_MIB} or more")
    address = _address(options["wan"], f"{where}.wan", wan)
    address6 = None
    if "wan6" in options:
        if nat:
            raise SpecError(f"{where}.wan6: a gateway behind a NAT box has no IPv6; leave wan6 or nat out")
        address6 = ipaddress.IPv6Interface((_address(options["wan6"], f"{where}.wan6", WAN6), WAN6.prefixlen))
    lan = _network(options["lan"], f"{where}.lan", ipaddress.IPv4Network)
    lan6 = _network(options["lan6"], f"{where}.lan6", ipaddress.IPv6Network) if "lan6" in options else None
    for key, network in (("lan", lan), ("lan6", lan6)):
        if network is not None and network.num_addresses < 4:
            raise SpecError(f"{where}.{key}: {network} has no room for a gateway and a host; allowed: a /30 or larger")
    return GatewaySpec(
        name=name,
        number=number,
        suite=options["suite"],
        wan=ipaddress.IPv4Interface((address, wan.prefixlen)),
        lan=lan,
        wan6=address6,
        lan6=lan6,
        nat=nat,
        memory=memory,
        init=init,
    )


def _check_addresses(spec: LabSpec) -> None:
    networks: list[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]] = [
        ("wan", spec.wan),
        ("the WAN's IPv6 network", WAN6),
        ("the management network", MANAGEMENT),
        ("the networks behind NAT boxes", BEHIND_NAT),
    ]
    owners: dict[object, str] = {spec.wan_router.ip: "the WAN's router", spec.wan6_router.ip: "the WAN's router"}
    for gateway in spec.gateways:
        for key, address in (("wan", gateway.wan), ("wan6", gateway.wan6)):
            if address is None:
                continue
            if address.ip in owners:
                raise SpecError(f"gateways.{gateway.name}.{key}: {address.ip} is taken by {owners[address.ip]}")
            owners[address.ip] = f"gateways.{gateway.name}"
        for key, network in (("lan", gateway.lan), ("lan6", gateway.lan6)):
            if network is None:
                continue
            for owner, other in networks:
                if network.version == other.version and network.overlaps(other):
                    raise SpecError(f"gateways.{gateway.name}.{key}: {network} overlaps {owner} ({other})")
            networks.append((f"gateways.{gateway.name}.{key}", network))


def _mapping(data: object, where: str, *, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, t.Any]:
    if not isinstance(data, dict):
        raise SpecError(f"{where}: must be a mapping with {', '.join(required)}")
    for key in data:
        if key not in required + optional:
            raise SpecError(f"{where}: key {key!r} is unknown; allowed: {', '.join(required + optional)}")
    for key in required:
        if key not in data:
            raise SpecError(f"{where}: key {key} is missing")
    return data


def _network(text: object, where: str, kind: type[Network]) -> Network:
    try:
        return kind(text if isinstance(text, str) else "")
    except ValueError as error:
        example = {"IPv4Network": "10.1.0.0/24", "IPv6Network": "2001:db8:1::/64"}[kind.__name__]
        what = kind.__name__.replace("Network", " network")
        raise SpecError(f"{where}: {text!r} is not an {what}; allowed: one like {example}") from error


def _address(text: object, where: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> t.Any:
    try:
        address = ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError as error:
        raise SpecError(f"{where}: {text!r} is not an address; allowed: a host's address in {network}") from error
    if address not in network or address in (network[0], network[-1]):
        raise SpecError(f"{where}: {address} is no host's address in {network}; allowed: one like {network[1]}")
    return address
