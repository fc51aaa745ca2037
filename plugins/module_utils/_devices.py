# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network devices of IPsec: xfrm and vti devices, and those of them that a pluto made.

Own are xfrm devices ipsecN with the if_id that pluto gives to that name (_is_ours). Pluto also uses, and then never
removes, such a device when it is there already; who made it cannot be seen afterwards.

Message types and attributes are those of linux/rtnetlink.h and linux/if_link.h.
"""

from __future__ import annotations

import enum
import errno
import importlib
import os
import re
import socket
import struct
import sys
import typing as t

from ._errors import DependencyError, KernelError, require_version
from ._model import Interface
from ._netlink import NLM_F_ACK, NLM_F_REQUEST, NetlinkSocket, connected, find, gone

PYROUTE2 = (0, 5, 14)
"""Debian 11 has it; the oldest that this collection was tried with."""

NETLINK_ROUTE = 0


class RouteMessage(enum.IntEnum):
    """Message types of NETLINK_ROUTE."""

    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18


IFLA_LINKINFO = 18
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_XFRM_IF_ID = 2
IFF_UP = 0x1

IFINFOMSG = struct.Struct("=BxHiII")

KINDS = ("xfrm", "vti", "vti6", "ipsec")
"""Kinds of devices through which IPsec routes."""


def ipsec_devices(netlink: NetlinkSocket, devices: t.Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Those of the network devices (index, name) that are own ipsecN devices, sorted by N."""
    found = {}
    for index, name in devices:
        matched = re.fullmatch("ipsec([0-9]{1,10})", name)
        if matched is None:
            continue
        with gone(errno.ENODEV):
            payload = IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
            answer = netlink.get(RouteMessage.RTM_GETLINK, payload, RouteMessage.RTM_NEWLINK)
            if _is_ours(int(matched[1]), find(answer[IFINFOMSG.size :], IFLA_LINKINFO).get(IFLA_LINKINFO, b"")):
                found[int(matched[1])] = name
    return tuple(found[number] for number in sorted(found))


def _is_ours(number: int, linkinfo: bytes) -> bool:
    """Whether a device ipsecN is of kind xfrm with the if_id that pluto gives it: N, and 16384 for ipsec0.

    See PLUTO_XFRMI_REMAP_IF_ID_ZERO in programs/pluto/kernel_xfrm_interface.h of Libreswan 4.3 and 4.10. The ipsec0
    of strongSwan's documentation has another if_id; KLIPS's devices have no kind, and go with their module.
    """
    info = find(memoryview(linkinfo), IFLA_INFO_KIND, IFLA_INFO_DATA)
    if info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") != b"xfrm":
        return False
    data = find(memoryview(info.get(IFLA_INFO_DATA, b"")), IFLA_XFRM_IF_ID)
    return int.from_bytes(data.get(IFLA_XFRM_IF_ID, b""), sys.byteorder) == (number or 16384)


def require_pyroute2(name: str) -> t.Any:
    """The library that removes this device; DependencyError without it."""
    return _pyroute2(f"remove the network device {name}", f", or remove the device by `ip link del {name}`")


def remove_device(name: str) -> None:
    """Remove a network device; one that is gone already is no error. KernelError as the kernel says."""
    pyroute2 = require_pyroute2(name)
    indexes = [index for index, device in socket.if_nameindex() if device == name]
    with pyroute2.IPRoute() as route, gone(errno.ENODEV):
        for index in indexes:
            try:
                # not "del": with it pyroute2 0.5 sends flags that kernels since 5.19 refuse
                route.link((RouteMessage.RTM_DELLINK.value, NLM_F_REQUEST | NLM_F_ACK), index=index)
            except pyroute2.NetlinkError as exc:
                raise KernelError(
                    f"the kernel request RTM_DELLINK failed for {name}: {os.strerror(exc.code)}; "
                    f"remove it by `ip link delete {name}`",
                    errno=exc.code,
                    request="RTM_DELLINK",
                ) from exc


def own_devices() -> tuple[str, ...]:
    """Names of the own ipsecN devices."""
    with connected(NETLINK_ROUTE) as netlink:
        # asked of the kernel: /sys may be another network namespace's
        return ipsec_devices(netlink, socket.if_nameindex())


def interfaces() -> tuple[Interface, ...]:
    """Every device of these kinds, by name, whoever made it."""
    pyroute2 = _pyroute2("list the links", ", or leave the subset links out")
    names = dict(socket.if_nameindex())
    with pyroute2.IPRoute() as route:
        links = {link["index"]: link for link in route.get_links()}
        addresses: dict[int, list[str]] = {}
        for address in route.get_addr():
            written = f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}"
            addresses.setdefault(address["index"], []).append(written)
    found = (to_interface(link, names, tuple(addresses.get(index, ()))) for index, link in links.items())
    return tuple(sorted((interface for interface in found if interface), key=lambda interface: interface.name))


def to_interface(link: t.Any, names: dict[int, str], addresses: tuple[str, ...]) -> Interface | None:
    """What pyroute2 says of a link; None when it is of another kind. `names` are those of all links by index."""
    info = link.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else None
    if kind not in KINDS:
        return None
    data = info.get_attr("IFLA_INFO_DATA")
    is_xfrm = kind == "xfrm" and data is not None
    lower = data.get_attr("IFLA_XFRM_LINK") if is_xfrm else link.get_attr("IFLA_LINK")
    return Interface(
        name=link.get_attr("IFLA_IFNAME"),
        kind=kind,
        if_id=data.get_attr("IFLA_XFRM_IF_ID") if is_xfrm else None,
        link=names.get(lower),
        up=bool(link["flags"] & IFF_UP),
        mtu=link.get_attr("IFLA_MTU"),
        addresses=addresses,
    )


def _pyroute2(purpose: str, otherwise: str) -> t.Any:
    try:
        # by name: pyroute2 does not declare what it exports
        pyroute2 = importlib.import_module("pyroute2")
    except ImportError:
        raise DependencyError(
            f"cannot {purpose}: the Python library pyroute2 is not installed on this host; "
            f"install the package python3-pyroute2{otherwise}"
        ) from None
    require_version("pyroute2", pyroute2.__version__, PYROUTE2)
    return pyroute2
