# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import struct
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Xfrm
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmSocket, has_xfrm

# Recorded from Linux 6.18 in a network namespace with two larval SAs and three policies of `ip xfrm`.
SADINFO = bytes.fromhex("2800000022000000000000003b640000ffffffff08000100020000000c0002000800000000001000")
SPDINFO = bytes.fromhex(
    "4c00000024000000000000003b640000ffffffff1c000100010000000100000001000000000000000000000000000000"
    "0c000200070000000000100006000300202000000600040080800000"
)


@pytest.fixture
def kernel() -> t.Iterator[tuple[socket.socket, XfrmSocket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(5)
    far.settimeout(5)
    with near, far:
        yield far, XfrmSocket(near)


def test_sizes_are_read_from_recorded_answers(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    far.send(SADINFO)
    far.send(SPDINFO)
    assert xfrm.sizes() == Xfrm(sas=2, policies_in=1, policies_out=1, policies_fwd=1, policies_socket=0)
    asked = [struct.unpack("=IHHIII", far.recv(64))[1] for _request in range(2)]
    assert asked == [0x23, 0x25], "XFRM_MSG_GETSADINFO, XFRM_MSG_GETSPDINFO"


def test_a_refusal_keeps_its_errno(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    far.send(struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -1) + bytes(16))
    with pytest.raises(KernelError, match="Operation not permitted") as caught:
        xfrm.sizes()
    assert caught.value.details["errno"] == 1


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
