# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to the kernel over netlink, from socket and struct alone: netlink(7), linux/netlink.h."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import typing as t

from ._errors import KernelError

if t.TYPE_CHECKING:
    import enum

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLA_TYPE_MASK = 0x3FFF

NLMSGHDR = struct.Struct("=IHHII")
NLATTR = struct.Struct("=HH")
NLATTR_SIZE = NLATTR.size
S32 = struct.Struct("=i")

TIMEOUT = 5.0
"""Seconds; the kernel answers these requests in well under a millisecond."""
BUFFER = 64 * 1024
"""The kernel fills up to 32 KiB of what is offered."""
UNKNOWN = "a kernel that is not known here: please report it, with what `uname -a` prints"
"""What to do about an answer of another form than that of linux/netlink.h and its like."""


@contextlib.contextmanager
def connected(protocol: int) -> t.Iterator[NetlinkSocket]:
    """Connect to a netlink protocol of the kernel, in this network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind((0, 0))
        yield NetlinkSocket(sock)


class NetlinkSocket:
    """Requests on a connected netlink socket. What it returns is valid until its next call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = memoryview(bytearray(BUFFER))

    def get(self, request: enum.IntEnum, payload: bytes, reply: enum.IntEnum) -> memoryview:
        """Return the body of the one message that answers; KernelError as the kernel says (EPERM without rights)."""
        self._send(request, 0, payload)
        for kind, body in self._receive(request):
            if kind == reply:
                return body
            raise _unexpected(request, kind)
        raise _broken(request)

    def order(self, request: enum.IntEnum, payload: bytes) -> None:
        """Have something done; KernelError as the kernel says."""
        self._send(request, NLM_F_ACK, payload)
        for kind, _body in self._receive(request):
            if kind != NLMSG_ERROR:
                raise _unexpected(request, kind)

    def dump(self, request: enum.IntEnum, reply: enum.IntEnum, payload: bytes = b"") -> t.Iterator[memoryview]:
        """Yield the bodies of a whole table; KernelError as the kernel says, also in the middle.

        Who does not read it to its end needs a new socket for the next request.
        """
        self._send(request, NLM_F_DUMP, payload)
        while True:
            for kind, body in self._receive(request):
                if kind == NLMSG_DONE:
                    return
                if kind != reply:
                    raise _unexpected(request, kind)
                yield body

    def _send(self, request: enum.IntEnum, flags: int, payload: bytes) -> None:
        header = NLMSGHDR.pack(NLMSGHDR.size + len(payload), request, NLM_F_REQUEST | flags, 0, 0)
        try:
            self._sock.send(header + payload)
        except OSError as exc:
            raise _refused(request, exc.errno, exc) from exc

    def _receive(self, request: enum.IntEnum) -> t.Iterator[tuple[int, memoryview]]:
        """Type and body of each message of one datagram; an error that the kernel reports is raised."""
        # no message of before may be read where less was received than the kernel says
        self._buffer[: NLMSGHDR.size] = bytes(NLMSGHDR.size)
        try:
            size, _ancillary, flags, _address = self._sock.recvmsg_into([self._buffer])
        except OSError as exc:
            raise _refused(request, exc.errno, exc) from exc
        if flags & socket.MSG_TRUNC or size < NLMSGHDR.size:
            raise _broken(request)
        start = 0
        while start + NLMSGHDR.size <= size:
            length, kind, _flags, _seq, _pid = NLMSGHDR.unpack_from(self._buffer, start)
            if not NLMSGHDR.size <= length <= size - start:
                raise _broken(request)
            body = self._buffer[start + NLMSGHDR.size : start + length]
            if kind in (NLMSG_ERROR, NLMSG_DONE) and len(body) >= S32.size:
                (code,) = S32.unpack_from(body)
                if code < 0:
                    raise _refused(request, -code, os.strerror(-code))
            yield kind, body
            start += (length + 3) & ~3


@contextlib.contextmanager
def gone(code: int) -> t.Iterator[None]:
    """Take this refusal as done: there is nothing to delete."""
    try:
        yield
    except KernelError as exc:
        if exc.details.get("errno") != code:
            raise


def spans(data: memoryview, start: int) -> dict[int, tuple[int, int]]:
    """Of each attribute from `start` on, by its kind, where its value begins and ends; no value is read."""
    found = {}
    end = len(data)
    while start + NLATTR_SIZE <= end:
        length, kind = NLATTR.unpack_from(data, start)
        if not NLATTR_SIZE <= length <= end - start:
            raise KernelError(f"the kernel's answer has an attribute that is cut short; {UNKNOWN}")
        found[kind & NLA_TYPE_MASK] = start + NLATTR_SIZE, start + length
        start += (length + 3) & ~3
    return found


def find(data: memoryview, *wanted: int) -> dict[int, bytes]:
    """Values of the wanted attributes that are there; the values of the others are not read."""
    return {kind: bytes(data[start:end]) for kind, (start, end) in spans(data, 0).items() if kind in wanted}


def attribute(data: memoryview, wanted: int) -> bytes:
    try:
        return find(data, wanted)[wanted]
    except KeyError:
        raise KernelError(f"the kernel's answer lacks attribute {wanted}; {UNKNOWN}") from None


def unpack(layout: struct.Struct, body: memoryview | bytes) -> tuple[t.Any, ...]:
    """The fields that a body begins with; KernelError when it is shorter."""
    if len(body) < layout.size:
        raise KernelError(f"the kernel's answer has {len(body)} bytes where {layout.size} are needed; {UNKNOWN}")
    return layout.unpack_from(body)


def unpack_all(layout: struct.Struct, body: bytes) -> t.Iterator[tuple[t.Any, ...]]:
    """The fields of each of the records that a body consists of; KernelError when the last is not whole."""
    if len(body) % layout.size:
        raise KernelError(
            f"the kernel's answer has {len(body)} bytes where a multiple of {layout.size} is needed; {UNKNOWN}"
        )
    return layout.iter_unpack(body)


def attributes(pairs: t.Iterable[tuple[int, bytes]]) -> bytes:
    """Attributes for a request."""
    return b"".join(
        NLATTR.pack(NLATTR_SIZE + len(value), kind) + value + bytes(-len(value) % 4) for kind, value in pairs
    )


def _refused(request: enum.IntEnum, code: int | None, why: object) -> KernelError:
    advice = "look at its log (`dmesg`), and at its memory"
    if code == errno.EPERM:
        advice = "this needs root with CAP_NET_ADMIN in this network namespace"
    return KernelError(f"the kernel request {request.name} failed: {why}; {advice}", errno=code, request=request.name)


def _unexpected(request: enum.IntEnum, kind: int) -> KernelError:
    return KernelError(f"the kernel answered {request.name} with message {kind:#x}; {UNKNOWN}", request=request.name)


def _broken(request: enum.IntEnum) -> KernelError:
    return KernelError(f"the kernel's answer to {request.name} is cut short; {UNKNOWN}", request=request.name)
