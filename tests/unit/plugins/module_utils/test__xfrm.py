# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink port on recorded answers. What real kernels say is seen in tests/contract and tests/integration."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import typing as t

import pytest
from recorded_xfrm import (
    DONE,
    DROP,
    ESP,
    HOLE,
    ICMP,
    KEY,
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

from ansible_collections.xswan.ipsec.plugins.module_utils import _devices, _xfrm, _xfrm_removal
from ansible_collections.xswan.ipsec.plugins.module_utils._devices import ipsec_devices
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Flush, Leftovers, Tables
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import NetlinkSocket
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmKernel, XfrmSocket, has_xfrm, layout_differs


@pytest.fixture
def kernel() -> t.Iterator[tuple[socket.socket, XfrmSocket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(5)
    far.settimeout(5)
    with near, far:
        yield far, XfrmSocket(NetlinkSocket(near))


def test_sizes_are_read_from_recorded_answers(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    far.send(SADINFO)
    far.send(SPDINFO)
    assert xfrm.sizes() == Tables(sas=2, policies_in=1, policies_out=1, policies_fwd=1, policies_socket=0)
    asked = [struct.unpack("=IHHIII", far.recv(64))[1] for _request in range(2)]
    assert asked == [0x23, 0x25], "XFRM_MSG_GETSADINFO, XFRM_MSG_GETSPDINFO"


def test_a_refusal_keeps_its_errno(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    far.send(struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -1) + bytes(16))
    with pytest.raises(KernelError, match="XFRM_MSG_GETSADINFO failed: Operation not permitted") as caught:
        xfrm.sizes()
    assert caught.value.details == {"errno": errno.EPERM, "request": "XFRM_MSG_GETSADINFO"}


@pytest.mark.parametrize("answer", [SADINFO[:20], SADINFO[:22], SADINFO[:20] + bytes(16), SPDINFO])
def test_an_answer_of_another_form_is_an_error(kernel: tuple[socket.socket, XfrmSocket], answer: bytes) -> None:
    far, xfrm = kernel
    far.send(answer)
    with pytest.raises(KernelError):
        xfrm.sizes()


HEAD = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("", False),
        ("00000000eff3d990 4   0          00000000 0        0        0     2        0        556\n", False),
        ("00000000c3b4152b 6   0          00000000 0        0        0     2        0        558\n", True),
        ("00000000c3b4152b 6   814        00000003 0        0        0     2        0        558\n", False),
    ],
)
def test_the_kernels_own_socket_shows_xfrm(rows: str, found: bool) -> None:
    assert has_xfrm(HEAD + rows) is found


def patched(message: bytes, **fields: int) -> bytes:
    """The message of a policy, with other values in its fixed part."""
    data = bytearray(message)
    for name, value in fields.items():
        offset, layout = {"priority": (152, "=I"), "action": (161, "=B"), "reqid": (168 + 4 + 44, "=I")}[name]
        struct.pack_into(layout, data, 16 + offset, value)
    return bytes(data)


POLICIES: tuple[tuple[str, bytes, bool], ...] = (
    ("a tunnel with a reqid of pluto", TUNNEL, True),
    ("whatever its priority", patched(TUNNEL, priority=77), True),
    ("the last reqid of reqid=", patched(TUNNEL, reqid=16383), False),
    ("a reqid that pluto skips", patched(TUNNEL, reqid=16384), False),
    ("the first reqid of AH, on ESP", patched(TUNNEL, reqid=16388), False),
    ("the first reqid of ESP", patched(TUNNEL, reqid=16389), True),
    ("a tunnel without reqid, but with pluto's priority", patched(TUNNEL, reqid=0), False),
    ("a trap with a mark", MARKED, True),
    ("the same of pluto 4.3", patched(MARKED, priority=2088926), True),
    ("a static transport policy", patched(MARKED, priority=0), False),
    ("type=passthrough", PASS, True),
    ("the same of pluto 4.3", patched(PASS, priority=2088926), True),
    ("of an opportunistic group", patched(PASS, priority=1761505 + (1 << 20)), True),
    ("of an opportunistic address, pluto 4.10", patched(PASS, priority=(3 << 20) + 655360 + (112 << 9)), True),
    ("of an instance", patched(PASS, priority=1761504), True),
    ("other prefixes than its selector's", patched(PASS, priority=1757393), False),
    ("a protocol that its selector does not name", patched(PASS, priority=1761505 - (1 << 17)), False),
    ("three ends", patched(PASS, priority=1761505 + (1 << 18)), False),
    ("no kind of connection", patched(PASS, priority=1761505 - (1 << 20)), False),
    ("a kind too many", patched(PASS, priority=1761505 + (3 << 20)), False),
    ("an administrator's passthrough", patched(PASS, priority=0), False),
    ("strongSwan's priorities", patched(PASS, priority=175423), False),
    ("type=passthrough with priority=", PRIORITY, False),
    ("ICMP", ICMP, True),
    ("ICMP of pluto 4.3", patched(ICMP, priority=1433566), True),
    ("type=drop", DROP, True),
    ("drop, whatever its priority", patched(DROP, priority=0), True),
    ("an administrator's block", patched(PASS, action=1, priority=0), False),
    ("the hole for neighbour discovery", HOLE, True),
    ("a hole of another priority", patched(HOLE, priority=2), False),
    ("the opposite of a hole", patched(HOLE, action=1), False),
)


@pytest.mark.parametrize(("policy", "own"), [case[1:] for case in POLICIES], ids=[case[0] for case in POLICIES])
def test_whose_a_policy_is(kernel: tuple[socket.socket, XfrmSocket], policy: bytes, own: bool) -> None:
    far, xfrm = kernel
    far.send(policy + SOCKET)
    far.send(DONE)
    far.send(DONE)
    found = xfrm.leftovers(("ipsec1",))
    assert found == Leftovers(int(own), 0, ("ipsec1",), int(not own), 0)


def sa(proto: int, reqid: int) -> bytes:
    """The larval SA with another protocol and reqid."""
    data = bytearray(LARVAL)
    data[16 + 76] = proto
    struct.pack_into("=I", data, 16 + 208, reqid)
    return bytes(data)


@pytest.mark.parametrize(
    ("message", "own"),
    [
        (LARVAL, True),
        (ESP, True),
        (MANUAL, False),
        (sa(50, 0), False),
        (sa(50, 16383), False),
        (sa(50, 16385), False),
        (sa(50, 16388), False),
        (sa(50, 16389), True),
        (sa(51, 16388), True),
        (sa(51, 16389), False),
        (sa(108, 16390), True),
        (sa(108, 16391), False),
        (sa(4, 16388), False),
        (sa(50, 0xFFFFFFFD), True),
    ],
)
def test_whose_an_sa_is(kernel: tuple[socket.socket, XfrmSocket], message: bytes, own: bool) -> None:
    far, xfrm = kernel
    far.send(DONE)
    far.send(message)
    far.send(DONE)
    assert xfrm.leftovers(()) == Leftovers(0, int(own), (), 0, int(not own))


ACK = struct.pack("=IHHIIi", 36, 2, 0, 0, 0, 0) + bytes(16)


def refusal(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -code) + bytes(16)


def requests(far: socket.socket) -> list[tuple[int, int, bytes]]:
    """Type, flags and payload of all that was sent."""
    far.setblocking(False)
    found: list[tuple[int, int, bytes]] = []
    while True:
        try:
            data = far.recv(4096)
        except BlockingIOError:
            return found
        length, kind, flags, _seq, _pid = struct.unpack_from("=IHHII", data)
        assert length == len(data)
        found.append((kind, flags, data[16:]))


def test_own_policies_go_first_then_own_sas(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    for answer in (MARKED + PRIORITY + DROP + DONE, ACK, refusal(errno.ENOENT), LARVAL + MANUAL + ESP + DONE):
        far.send(answer)
    for answer in (refusal(errno.ESRCH), ACK):
        far.send(answer)
    xfrm.remove_own()
    kinds = struct.pack("=HH6sxx", 10, 16, bytes(6))
    # a 32-bit mark and its mask, as a policy and an SA have them
    marks = {message: struct.pack("=HHII", 12, 21, 12, 0xFFFFFF) for message in (MARKED, ESP)}
    assert requests(far) == [
        (0x15, 0x301, b""),
        # index and direction
        (0x14, 0x5, bytes(56) + MARKED[172:176] + b"\1\0\0\0" + kinds + marks[MARKED]),
        (0x14, 0x5, bytes(56) + DROP[172:176] + b"\2\0\0\0" + kinds),
        (0x12, 0x301, b""),
        # destination, SPI, family, protocol
        (0x11, 0x5, socket.inet_aton("192.0.2.3") + bytes(12) + b"\0\0\x20\0" + struct.pack("=HBx", 2, 50)),
        (
            *(0x11, 0x5),
            socket.inet_aton("192.0.2.2") + bytes(12) + b"\0\0\x10\x01" + struct.pack("=HBx", 2, 50) + marks[ESP],
        ),
    ]


@pytest.mark.parametrize(("flush", "call"), [("own", "own policies and SAs"), ("all", "all policies and SAs")])
def test_devices_go_before_policies_and_sas(flush: Flush, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes through a device go with it: else packets would leave in the clear when the policies are gone."""
    gone: list[str] = []

    @contextlib.contextmanager
    def tables() -> t.Iterator[XfrmSocket]:
        yield t.cast("XfrmSocket", Removed())

    class Removed:
        def remove_own(self) -> None:
            gone.append("own policies and SAs")

        def flush(self) -> None:
            gone.append("all policies and SAs")

    monkeypatch.setattr(_devices, "own_devices", lambda: ("ipsec0", "ipsec1"))
    monkeypatch.setattr(_devices, "remove_device", gone.append)
    monkeypatch.setattr(_xfrm, "_xfrm", tables)
    XfrmKernel(t.cast("t.Any", None)).clean(flush)
    assert gone == ["ipsec0", "ipsec1", call]


@pytest.mark.parametrize("sub", [ACK, refusal(errno.EINVAL)], ids=["sub policies", "no sub policies"])
def test_all_goes_by_three_requests(kernel: tuple[socket.socket, XfrmSocket], sub: bytes) -> None:
    far, xfrm = kernel
    for answer in (ACK, sub, ACK):
        far.send(answer)
    xfrm.flush()
    assert requests(far) == [
        (0x1D, 0x5, b""),
        (0x1D, 0x5, struct.pack("=HHB7x", 10, 16, 1)),
        (0x1C, 0x5, bytes(4)),
    ]


@pytest.mark.parametrize(
    ("answers", "name", "code"),
    [
        ([refusal(errno.EPERM)], "XFRM_MSG_GETPOLICY", errno.EPERM),
        ([MARKED, refusal(errno.ENOMEM)], "XFRM_MSG_GETPOLICY", errno.ENOMEM),
        # a dump that ends in an error
        ([MARKED, DONE[:16] + struct.pack("=i", -errno.EMSGSIZE)], "XFRM_MSG_GETPOLICY", errno.EMSGSIZE),
        ([MARKED + DONE, refusal(errno.EPERM)], "XFRM_MSG_DELPOLICY", errno.EPERM),
        ([DONE, LARVAL + DONE, refusal(errno.EPERM)], "XFRM_MSG_DELSA", errno.EPERM),
    ],
)
def test_a_refusal_has_errno_and_the_name_of_the_request(
    kernel: tuple[socket.socket, XfrmSocket], answers: list[bytes], name: str, code: int
) -> None:
    far, xfrm = kernel
    for answer in answers:
        far.send(answer)
    with pytest.raises(KernelError, match=name) as caught:
        xfrm.remove_own()
    assert caught.value.details == {"errno": code, "request": name}


def test_a_kernel_that_does_not_answer_is_an_error() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(0.01)
    with near, far, pytest.raises(KernelError, match="XFRM_MSG_GETPOLICY failed: timed out"):
        XfrmSocket(NetlinkSocket(near)).leftovers(())


@pytest.mark.parametrize(
    "answer",
    [b"", MARKED[:15], MARKED[:-4], MARKED + DONE[:17], LARVAL, ESP, bytes(70_000)],
    ids=["empty", "no header", "cut", "second one cut", "an SA", "an SA with a key", "more than the buffer holds"],
)
def test_a_dump_of_another_form_is_an_error(kernel: tuple[socket.socket, XfrmSocket], answer: bytes) -> None:
    far, xfrm = kernel
    far.send(answer)
    with pytest.raises(KernelError):
        xfrm.leftovers(())


def length(message: bytes, size: int) -> bytes:
    """The message cut to a size that its header names."""
    return struct.pack("=I", size) + message[4:size]


@pytest.mark.parametrize("size", range(16, len(ESP), 4))
def test_an_sa_cut_anywhere_is_an_error_or_a_whole_attribute_less(
    kernel: tuple[socket.socket, XfrmSocket], size: int
) -> None:
    far, xfrm = kernel
    far.send(DONE)
    far.send(length(ESP, size) + DONE)
    if size in (16 + 224, 16 + 224 + 96, 16 + 224 + 96 + 12):
        # an attribute ends there
        assert xfrm.leftovers(()).sas == 1
        return
    with pytest.raises(KernelError) as caught:
        xfrm.leftovers(())
    assert KEY.hex() not in f"{caught.value} {caught.value.details}"
    assert repr(KEY)[2:-1] not in f"{caught.value} {caught.value.details}"


def leaves(value: object) -> t.Iterator[object]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def test_keys_are_in_nothing_that_is_read(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    """Neither in what the file keeps for itself."""
    assert KEY * 3 in ESP
    assert KEY * 3 in MANUAL
    far, xfrm = kernel
    far.send(ESP + MANUAL + DONE)
    sas = list(_xfrm_removal._sas(xfrm._netlink))
    assert len(sas) == 2
    for found in sas:
        assert [leaf for leaf in leaves(tuple(found)) if isinstance(leaf, bytes) and KEY in leaf] == []
        assert repr(KEY)[2:-1] not in repr(found)
        assert KEY.hex() not in repr(found)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(kind: bytes, if_id: int) -> bytes:
    """An answer about a device, composed: no kernel at hand has xfrm devices. 0x8000 is NLA_F_NESTED."""
    data = attribute(1, struct.pack("=I", 2)) + attribute(2, struct.pack("=I", if_id))
    info = attribute(1, kind + b"\0") + attribute(0x8000 | 2, data)
    body = bytes(16) + attribute(3, b"ipsec1\0") + attribute(18, info)
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body


BARE_LINK = struct.pack("=IHHII", 44, 16, 0, 0, 0) + bytes(16) + attribute(3, b"ipsec1\0")


@pytest.mark.parametrize(
    ("name", "answer", "own"),
    [
        ("ipsec1", link(b"xfrm", 1), True),
        ("ipsec12", link(b"xfrm", 12), True),
        ("ipsec0", link(b"xfrm", 16384), True),
        ("ipsec0", link(b"xfrm", 42), False),
        ("ipsec1", link(b"xfrm", 2), False),
        ("ipsec1", link(b"dummy", 1), False),
        ("ipsec1", link(b"vti", 1), False),
        ("ipsec0", BARE_LINK, False),
        ("ipsec1", refusal(errno.ENODEV), False),
    ],
)
def test_which_devices_are_own(name: str, answer: bytes, own: bool) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(5)
    with near, far:
        far.send(answer)
        assert ipsec_devices(NetlinkSocket(near), [(1, "lo"), (7, name)]) == ((name,) if own else ())
        assert requests(far) == [(18, 1, struct.pack("=BxHiII", 0, 0, 7, 0, 0))]


def test_devices_are_sorted_by_number_and_others_are_not_asked_for() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(5)
    with near, far:
        for number in (10, 9):
            far.send(link(b"xfrm", number))
        devices = [(1, "eth0"), (2, "ipsec10"), (3, "ipsec"), (4, "ipsec1x"), (5, "xipsec1"), (6, "ipsec9")]
        assert ipsec_devices(NetlinkSocket(near), devices) == ("ipsec9", "ipsec10")


@pytest.mark.parametrize(
    ("pointer", "aligned", "machine", "differs"),
    [
        (8, 16, "x86_64", False),
        (8, 16, "aarch64", False),
        (8, 16, "s390x", False),
        (4, 16, "armv7l", False),
        (4, 12, "x86_64", True),
        (4, 12, "i686", True),
        (4, 16, "aarch64", True),
        (4, 16, "s390x", True),
    ],
)
def test_a_python_of_other_layouts_is_refused(pointer: int, aligned: int, machine: str, differs: bool) -> None:
    assert bool(layout_differs(pointer, aligned, machine)) is differs
