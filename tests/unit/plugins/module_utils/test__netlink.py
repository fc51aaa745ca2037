# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections.abc as c
import enum
import errno
import os
import socket
import struct
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import (
    NLATTR,
    NLMSG_ERROR,
    NLMSGHDR,
    S32,
    NetlinkSocket,
    attribute,
    spans,
    unpack,
    unpack_all,
)

LAYOUT = struct.Struct("=II")


class Word(enum.IntEnum):
    """A request, and its answer."""

    ASKED = 16
    ANSWER = 17


def answered(datagram: bytes) -> KernelError:
    """What a request says that gets this answer."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, kernel:
        kernel.send(datagram)
        with pytest.raises(KernelError) as caught:
            NetlinkSocket(ours).get(Word.ASKED, b"", Word.ANSWER)
    return caught.value


def message(kind: int, body: bytes = b"") -> bytes:
    return NLMSGHDR.pack(NLMSGHDR.size + len(body), kind, 0, 0, 0) + body


@pytest.mark.parametrize(
    "read",
    [
        lambda: spans(memoryview(NLATTR.pack(99, 1)), 0),
        lambda: attribute(memoryview(NLATTR.pack(4, 1)), 2),
        lambda: unpack(LAYOUT, b"1234"),
        lambda: unpack_all(LAYOUT, b"123456789"),
    ],
    ids=["cut", "lacking", "short", "uneven"],
)
def test_an_answer_of_another_form(read: c.Callable[[], object]) -> None:
    with pytest.raises(
        KernelError, match=r"^the kernel's answer .*; a kernel that is not known here: please report it"
    ):
        read()


@pytest.mark.parametrize("datagram", [b"x", message(99), message(Word.ANSWER)[:-1]], ids=["short", "other", "cut"])
def test_another_message(datagram: bytes) -> None:
    assert "ASKED" in str(answered(datagram))
    assert "please report it, with what `uname -a` prints" in str(answered(datagram))


class Stale:
    """A socket that once answers, and then says that as much came again, and writes nothing."""

    def __init__(self, datagram: bytes) -> None:
        self._datagram, self._size = datagram, len(datagram)

    def send(self, data: bytes) -> int:
        return len(data)

    def recvmsg_into(self, buffers: list[memoryview]) -> tuple[int, list[object], int, None]:
        buffers[0][: len(self._datagram)] = self._datagram
        self._datagram = b""
        return self._size, [], 0, None


def test_the_message_of_before_is_not_read_again() -> None:
    netlink = NetlinkSocket(t.cast("t.Any", Stale(message(Word.ANSWER))))
    assert bytes(netlink.get(Word.ASKED, b"", Word.ANSWER)) == b""
    with pytest.raises(KernelError, match="cut short"):
        netlink.get(Word.ASKED, b"", Word.ANSWER)


@pytest.mark.parametrize(
    ("code", "cure"), [(errno.EPERM, "this needs root with CAP_NET_ADMIN"), (errno.ENOMEM, "look at its log")]
)
def test_a_refusal(code: int, cure: str) -> None:
    error = answered(message(NLMSG_ERROR, S32.pack(-code)))
    assert f"ASKED failed: {os.strerror(code)}; {cure}" in str(error)
    assert error.details["errno"] == code
