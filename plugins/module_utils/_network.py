# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's own network settings, from /proc, and its firewall, from the tools that list it."""

from __future__ import annotations

import os
import socket
import sys
import typing as t

from ._errors import DependencyError, KernelError, understood
from ._model import Firewall, Owner, Route, Settings
from ._processes import socket_owners

if t.TYPE_CHECKING:
    from ._ports import Commands

IKE_PORTS = (500, 4500)
RTF_UP, RTF_REJECT = 0x1, 0x200
"""Flags of a route (linux/route.h)."""
TIMEOUT = 30.0
"""Seconds; a ruleset of a hundred thousand elements takes some."""


class LocalNetwork:
    """See the port `Network`."""

    def __init__(self, commands: Commands, root: str = "/") -> None:
        self._commands = commands
        self._proc = os.path.join(root, "proc")

    def settings(self) -> Settings:
        """See Network.settings."""
        ipv4, ipv6 = self._number("sys/net/ipv4/ip_forward"), self._number("sys/net/ipv6/conf/all/forwarding")
        return Settings(
            ip_forward={"ipv4": _flag(ipv4), "ipv6": _flag(ipv6)},
            rp_filter=self._by_interface("rp_filter"),
            send_redirects=self._by_interface("send_redirects"),
            accept_redirects=self._by_interface("accept_redirects"),
            default_route=(
                *default_routes(self._text("net/route") or ""),
                *default_routes6(self._text("net/ipv6_route") or ""),
            ),
            ike_ports=self._ike_ports(),
        )

    def firewall(self) -> Firewall:
        """See Network.firewall. Where nft knows of no rule, iptables may: its old form has tables of its own."""
        # not at the top: only this looks at it
        from ._firewall import refused_by_iptables, refused_by_nftables

        ruleset = self._listed("nft", "--json", "list", "ruleset")
        if ruleset is not None and '"rule"' in ruleset:
            return Firewall("nftables", refused_by_nftables(ruleset))
        saved = [(tool, self._listed(f"{tool}-save")) for tool in ("iptables", "ip6tables")]
        found = [(tool, text) for tool, text in saved if text]
        if found:
            return Firewall("iptables", tuple(r for tool, text in found for r in refused_by_iptables(text, tool)))
        if ruleset is not None:
            return Firewall("nftables", refused_by_nftables(ruleset))
        return Firewall("iptables" if any(text is not None for _tool, text in saved) else None)

    def _listed(self, *argv: str) -> str | None:
        """What a tool lists; None when it is not installed."""
        try:
            done = self._commands.run(*argv, timeout=TIMEOUT)
        except DependencyError:
            return None
        if done.status != 0:
            raise KernelError(
                f"`{' '.join(argv)}` cannot list the firewall: {done.reason}; leave the subset firewall out"
            )
        return done.out

    def _ike_ports(self) -> tuple[Owner, ...]:
        bound = [
            entry
            for table in ("udp", "udp6")
            for entry in bound_addresses(self._text(f"net/{table}") or "")
            if entry[0] in IKE_PORTS
        ]
        owners = socket_owners({inode for _port, _address, inode in bound}) if bound else {}
        found = {Owner(port, address, *owners.get(inode, (None, ""))) for port, address, inode in bound}
        return tuple(sorted(found, key=lambda owner: (owner.port, ":" in owner.address, owner.address)))

    def _by_interface(self, setting: str) -> dict[str, int]:
        folder = "sys/net/ipv4/conf"
        found = {}
        for name in sorted(os.listdir(os.path.join(self._proc, folder))):
            value = self._number(f"{folder}/{name}/{setting}")
            if value is not None:
                found[name] = value
        return found

    def _number(self, path: str) -> int | None:
        text = self._text(path)
        with understood(f"/proc/{path}"):
            return None if text is None else int(text)

    def _text(self, path: str) -> str | None:
        """Content of a file of /proc; None when there is none, as of what the kernel lacks or of what was removed."""
        try:
            with open(os.path.join(self._proc, path), encoding="ascii", errors="replace") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _flag(value: int | None) -> bool | None:
    return None if value is None else value > 0


def default_routes(proc_net_route: str) -> t.Iterator[Route]:
    """IPv4 default routes, from the text of /proc/net/route, which has them in the order of their metric."""
    with understood("/proc/net/route"):
        for line in proc_net_route.splitlines()[1:]:
            # Iface Destination Gateway Flags RefCnt Use Metric Mask ...
            row = line.split()
            # a blackhole has no interface
            if row and row[0] != "*" and int(row[1], 16) == int(row[7], 16) == 0 and _usable(row[3]):
                gateway = _ipv4(row[2])
                yield Route("ipv4", row[0], None if gateway == "0.0.0.0" else gateway, int(row[6]))


def default_routes6(proc_net_ipv6_route: str) -> t.Iterator[Route]:
    """IPv6 default routes, from the text of /proc/net/ipv6_route, in the order of their use."""
    with understood("/proc/net/ipv6_route"):
        found = []
        for line in proc_net_ipv6_route.splitlines():
            # destination length source length next_hop metric references use flags device
            row = line.split()
            if row and int(row[0], 16) == int(row[1], 16) == 0 and _usable(row[8]):
                gateway = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[4]))
                found.append(Route("ipv6", row[9], None if gateway == "::" else gateway, int(row[5], 16)))
        yield from sorted(found, key=lambda route: route.metric)


def _usable(flags: str) -> bool:
    return int(flags, 16) & (RTF_UP | RTF_REJECT) == RTF_UP


def bound_addresses(proc_net_udp: str) -> t.Iterator[tuple[int, str, str]]:
    """Local port, address and inode of every socket, from the text of /proc/net/udp or udp6 (proc(5))."""
    with understood("/proc/net/udp"):
        for line in proc_net_udp.splitlines()[1:]:
            row = line.split()
            address, _colon, port = row[1].rpartition(":")
            yield int(port, 16), _ipv4(address) if len(address) == 8 else _ipv6(address), row[9]


def _ipv4(number: str) -> str:
    """Address from the number that the kernel prints, of bytes in the order of the network."""
    return socket.inet_ntop(socket.AF_INET, _packed(number))


def _ipv6(numbers: str) -> str:
    return socket.inet_ntop(socket.AF_INET6, b"".join(_packed(numbers[start : start + 8]) for start in range(0, 32, 8)))


def _packed(word: str) -> bytes:
    return int(word, 16).to_bytes(4, sys.byteorder)
