# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel backend XFRM: sizes of its tables by netlink, from socket and struct alone.

Message types, attributes and layouts are those of linux/netlink.h and linux/xfrm.h. Keys are never decoded.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import typing as t

from ._errors import KernelError
from ._model import Xfrm

if t.TYPE_CHECKING:
    from ._commands import Commands

NETLINK_XFRM = 6
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
XFRM_MSG_NEWSADINFO = 0x22
XFRM_MSG_GETSADINFO = 0x23
XFRM_MSG_NEWSPDINFO = 0x24
XFRM_MSG_GETSPDINFO = 0x25
XFRMA_SAD_CNT = 1
XFRMA_SPD_INFO = 1

NLMSGHDR = struct.Struct("=IHHII")
NLATTR = struct.Struct("=HH")
U32 = struct.Struct("=I")
XFRMU_SPDINFO = struct.Struct("=6I")

TIMEOUT = 5.0
"""Seconds; the kernel answers these requests in well under a millisecond."""


class XfrmSocket:
    """A connected NETLINK_XFRM socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def sizes(self) -> Xfrm:
        """Sizes of the SA and policy tables, in constant time. KernelError as the kernel says (EPERM without root)."""
        (sas,) = U32.unpack_from(self._info(XFRM_MSG_GETSADINFO, XFRM_MSG_NEWSADINFO, XFRMA_SAD_CNT))
        # incnt, outcnt, fwdcnt, and the same three for the policies of sockets
        counts = XFRMU_SPDINFO.unpack_from(self._info(XFRM_MSG_GETSPDINFO, XFRM_MSG_NEWSPDINFO, XFRMA_SPD_INFO))
        return Xfrm(sas, counts[0], counts[1], counts[2], sum(counts[3:]))

    def _info(self, request: int, reply: int, attribute: int) -> bytes:
        self._sock.send(NLMSGHDR.pack(NLMSGHDR.size + U32.size, request, NLM_F_REQUEST, 0, 0) + U32.pack(0xFFFFFFFF))
        data = self._sock.recv(4096)
        _length, kind, _flags, _seq, _pid = NLMSGHDR.unpack_from(data)
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data, NLMSGHDR.size)
            raise KernelError(
                f"the kernel refused XFRM request {request:#x}: {os.strerror(-code)}", errno=-code, request=request
            )
        if kind != reply:
            raise KernelError(f"the kernel answered XFRM request {request:#x} with message {kind:#x}", request=request)
        return _attribute(data[NLMSGHDR.size + U32.size :], attribute)


def _attribute(data: bytes, wanted: int) -> bytes:
    offset = 0
    while offset + NLATTR.size <= len(data):
        length, kind = NLATTR.unpack_from(data, offset)
        if length < NLATTR.size:
            break
        if kind == wanted:
            return data[offset + NLATTR.size : offset + length]
        offset += (length + 3) & ~3
    raise KernelError(f"the kernel's XFRM answer lacks attribute {wanted}")


def has_xfrm(proc_net_netlink: str) -> bool:
    """Whether the text of /proc/net/netlink shows the kernel's own end of NETLINK_XFRM.

    Opening a socket would load xfrm_user by itself, and looking must not change the host.
    """
    rows = (line.split() for line in proc_net_netlink.splitlines()[1:])
    return any(row[1] == str(NETLINK_XFRM) and row[2] == "0" for row in rows if len(row) > 2)


class LocalKernel:
    """The kernel of this network namespace."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def xfrm(self) -> Xfrm | None:
        """See Kernel.xfrm."""
        with open("/proc/net/netlink", encoding="ascii") as table:
            if not has_xfrm(table.read()):
                return None
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as sock:
            sock.settimeout(TIMEOUT)
            sock.bind((0, 0))
            return XfrmSocket(sock).sizes()

    def load_xfrm(self) -> None:
        """See Kernel.load_xfrm."""
        done = self._commands.run("modprobe", "xfrm_user", timeout=60)
        if done.status != 0 or self.xfrm() is None:
            raise KernelError(
                f"cannot load the kernel's XFRM interface: modprobe xfrm_user: {done.reason}; install the modules of "
                f"the running kernel ({os.uname().release}), or load xfrm_user on the host of this container",
                errno=errno.EPROTONOSUPPORT,
            )
