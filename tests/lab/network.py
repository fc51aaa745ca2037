# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's wires: network namespaces, bridges, taps, LAN hosts and NAT boxes, all inside namespaces of its own.

Of the lab NAME there are:

    xswan-NAME           bridges wan and mgmt; a bridge lan-GW for each LAN; the taps GW-eth0, GW-eth1, GW-eth2
    xswan-NAME-GW-lan    the host behind gateway GW
    xswan-NAME-GW-nat    the NAT box between gateway GW and the WAN, where one is asked for
"""

from __future__ import annotations

import collections.abc as c
import re
from pathlib import Path

from .spec import BEHIND_NAT, MANAGEMENT, GatewaySpec, LabSpec
from .tools import CommandError, LabError, run

PREFIX = "xswan-"


def namespace(lab: str, gateway: str | None = None, part: str | None = None) -> str:
    """The name of the lab's namespace, or of a gateway's `part` in it ("lan", "nat")."""
    return PREFIX + "-".join(filter(None, (lab, gateway, part)))


def namespaces(lab: str | None = None) -> list[str]:
    """The namespaces of a lab, or of all labs, that are there now."""
    listed = [line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines() if line]
    return [name for name in listed if belongs(name, lab)]


def belongs(name: str, lab: str | None = None) -> bool:
    """Whether a namespace of that name is a lab's, of this one if `lab` is given."""
    owner = re.escape(lab) if lab else "[a-z][a-z0-9]*"
    return re.fullmatch(rf"{PREFIX}{owner}(-[a-z][a-z0-9]*-(lan|nat))?", name) is not None


def claim(lab: str) -> None:
    """Make the lab's namespace; LabError when there is one, for its existence is what says that a lab is up."""
    if namespace(lab) in namespaces():
        raise LabError(f"lab {lab}: is up already (namespace {namespace(lab)}); take it down first: `down {lab}`")
    run(["ip", "netns", "add", namespace(lab)])


def build(spec: LabSpec) -> None:
    """Make all wires of a lab whose namespace is claimed."""
    lab = namespace(spec.name)
    _set(lab, _ROUTE_NOTHING)
    _ip(lab, _lab_links(spec))
    if spec.has_ipv6:
        _set(lab, {"net/ipv6/conf/wan/disable_ipv6": "0"})
        _ip(lab, [f"addr add {spec.wan6_router} dev wan nodad"])
    for gateway in spec.gateways:
        _lan_host(spec.name, gateway)
        if gateway.nat:
            _nat_box(spec, gateway)


def remove(lab: str) -> None:
    """Remove every namespace of a lab; what is in them goes with the last process inside."""
    for name in namespaces(lab):
        try:
            run(["ip", "netns", "delete", name])
        except CommandError:
            # Two `down` at once: the other one was faster, and that is all that is wanted.
            if name in namespaces(lab):
                raise


def gateway_commands(spec: LabSpec, gateway: GatewaySpec) -> list[str]:
    """What `ip -batch` does inside a gateway at boot."""
    router = gateway.behind_nat[1] if gateway.nat else spec.wan_router.ip
    commands = ["link set lo up"]
    addresses = (
        ("eth0", gateway.outside, gateway.wan6),
        ("eth1", gateway.lan_gateway, gateway.lan6_gateway),
        ("eth2", gateway.management, None),
    )
    for interface, address, address6 in addresses:
        commands += [f"addr add {address} dev {interface}", f"link set {interface} up"]
        if address6 is not None:
            commands.append(f"addr add {address6} dev {interface} nodad")
    commands.append(f"route add default via {router}")
    if gateway.wan6 is not None:
        commands.append(f"route add default via {spec.wan6_router.ip}")
    return commands


# A bridge port or bridge with IPv6 would send its own neighbour and multicast messages into every capture.
_SILENT = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
# Forwarding is inherited from the host (where a container engine switches it on), and would join WAN and management.
_ROUTE_NOTHING = {"net/ipv4/ip_forward": "0", **_SILENT}


def _lab_links(spec: LabSpec) -> c.Iterator[str]:
    yield "link set lo up"
    for bridge, address in (("wan", str(spec.wan_router)), ("mgmt", f"{MANAGEMENT[-2]}/{MANAGEMENT.prefixlen}")):
        yield from _bridge(bridge)
        yield f"addr add {address} dev {bridge}"
    for gateway in spec.gateways:
        name = gateway.name
        yield from _bridge(f"lan-{name}")
        if gateway.nat:
            yield from _bridge(f"nat-{name}")
        bridges = {"eth0": f"nat-{name}" if gateway.nat else "wan", "eth1": f"lan-{name}", "eth2": "mgmt"}
        for interface, bridge in bridges.items():
            yield f"tuntap add dev {name}-{interface} mode tap"
            yield f"link set {name}-{interface} master {bridge} up"


def _bridge(name: str) -> tuple[str, str]:
    return f"link add {name} type bridge mcast_snooping 0", f"link set {name} up"


def _lan_host(lab: str, gateway: GatewaySpec) -> None:
    host = namespace(lab, gateway.name, "lan")
    run(["ip", "netns", "add", host])
    _set(host, {"net/ipv4/ip_forward": "0"} if gateway.lan6 else _ROUTE_NOTHING)
    _cable(namespace(lab), f"{gateway.name}-lan", f"lan-{gateway.name}", host, "eth0")
    commands = ["link set lo up", f"addr add {gateway.lan_host} dev eth0", "link set eth0 up"]
    commands.append(f"route add default via {gateway.lan_gateway.ip}")
    if gateway.lan6_host is not None and gateway.lan6_gateway is not None:
        commands.append(f"addr add {gateway.lan6_host} dev eth0 nodad")
        commands.append(f"route add default via {gateway.lan6_gateway.ip}")
    _ip(host, commands)


def _nat_box(spec: LabSpec, gateway: GatewaySpec) -> None:
    box = namespace(spec.name, gateway.name, "nat")
    run(["ip", "netns", "add", box])
    _set(box, {"net/ipv4/ip_forward": "1", **_SILENT})
    _cable(namespace(spec.name), f"{gateway.name}-in", f"nat-{gateway.name}", box, "inside")
    _cable(namespace(spec.name), f"{gateway.name}-out", "wan", box, "outside")
    inside = gateway.behind_nat
    _ip(box, [
        "link set lo up",
        f"addr add {inside[1]}/{inside.prefixlen} dev inside",
        f"addr add {gateway.wan} dev outside",
        "link set inside up",
        "link set outside up",
        f"route add default via {spec.wan_router.ip}",
    ])  # fmt: skip
    rules = f"""
        table ip nat {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                oifname outside ip saddr {BEHIND_NAT} masquerade
            }}
        }}
    """
    run(["ip", "netns", "exec", box, "nft", "--file", "-"], stdin=rules, where=box)


def _cable(lab: str, end: str, bridge: str, other: str, other_end: str) -> None:
    """A veth pair from a bridge of the lab's namespace to another namespace."""
    _ip(lab, [
        f"link add {end} type veth peer name {other_end} netns {other}",
        f"link set {end} master {bridge} up",
    ])  # fmt: skip


def _ip(where: str, commands: c.Iterable[str]) -> None:
    """Run `ip` commands in a namespace, all in one process."""
    run(["ip", "-n", where, "-batch", "-"], stdin="\n".join(commands) + "\n", where=where)


def _set(where: str, values: c.Mapping[str, str]) -> None:
    """Write kernel parameters in a namespace; IPv6 ones only where the host has IPv6."""
    wanted = {key: value for key, value in values.items() if "ipv6" not in key or Path("/proc/sys/net/ipv6").exists()}
    script = "\n".join(f"echo {value} >/proc/sys/{key}" for key, value in wanted.items())
    run(["ip", "netns", "exec", where, "sh", "-ec", script], where=where)
