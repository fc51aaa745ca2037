# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of the kernel's tables, from recorded answers; their keys never are."""

from __future__ import annotations

import io
import socket
import struct
import typing as t

import pytest
from recorded_xfrm import DONE, DROP, ESP, HOLE, KEY, LARVAL, MANUAL, MARKED, PRIORITY, SADINFO, SOCKET, SPDINFO, TUNNEL

from ansible_collections.xswan.ipsec.plugins.module_utils import _xfrm
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Contents, Tables, Total
from ansible_collections.xswan.ipsec.plugins.module_utils._netlink import NetlinkSocket
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmSocket
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm_list import (
    parse_network,
    read_policy,
    read_sa,
    sa_filters,
)

SIZES = Tables(sas=2, policies_in=1, policies_out=1, policies_fwd=1, policies_socket=0)


@pytest.fixture
def kernel() -> t.Iterator[tuple[socket.socket, XfrmSocket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(1)
    with near, far:
        yield far, XfrmSocket(NetlinkSocket(near))


def carried(message: bytes, size: int, packets: int) -> bytes:
    """The SA after it has carried so much."""
    data = bytearray(message)
    struct.pack_into("=QQ", data, 16 + 160, size, packets)
    return bytes(data)


def with_attribute(message: bytes, kind: int, value: bytes) -> bytes:
    """The message with one attribute more."""
    data = message + struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return struct.pack("=I", len(data)) + data[4:]


OFFLOAD = struct.pack("=iB3x", 1, 2)


def test_contents(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    acquire = bytearray(LARVAL)
    acquire[16 + 72 : 16 + 76] = bytes(4)
    struct.pack_into("=I", acquire, 16 + 208, 0)
    far.send(LARVAL + MANUAL + bytes(acquire))
    far.send(with_attribute(carried(ESP, 1000, 10), 28, OFFLOAD) + carried(ESP, 500, 5) + DONE)
    far.send(TUNNEL + MARKED + PRIORITY + DROP + HOLE + SOCKET + DONE)
    far.send(SADINFO)
    far.send(SPDINFO)
    assert xfrm.contents() == Contents(
        tables=SIZES,
        larval=2,
        foreign_sas=1,
        foreign_policies=1,
        totals=(Total(100, 1, 0, 0), Total(16389, 2, 1500, 15)),
        offloaded=1,
        spis={("2001:db8::2", 0x1002): 0, ("192.0.2.2", 0x1001): 0},
        own_spis=frozenset({("192.0.2.2", 0x1001)}),
        asked=frozenset({16393}),
    )


LASTUSED = struct.pack("=Q", 1_795_450_900)
"""Of Linux 6.2 and later."""


def of_reqid(policy: bytes, reqid: int, used: int) -> bytes:
    """The policy of a tunnel with this reqid, and when it last met a packet."""
    data = bytearray(policy)
    struct.pack_into("=Q", data, 16 + 144, used)
    struct.pack_into("=I", data, 16 + 168 + 4 + 44, reqid)
    return bytes(data)


def test_when_an_sa_was_last_used(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    """The kernel's own word for the SA, else for the policies of its reqid, the latest of them; its use_time never."""
    far, xfrm = kernel
    esp = bytearray(ESP)
    struct.pack_into("=Q", esp, 16 + 184, 1_795_450_001)
    other = bytearray(esp)
    other[16 + 72 : 16 + 76] = b"\0\0\x10\x03"
    far.send(with_attribute(bytes(esp), 15, LASTUSED) + bytes(other) + MANUAL + DONE)
    policies = [of_reqid(TUNNEL, 16389, used) for used in (1_795_450_700, 1_795_450_800, 0)]
    # a foreign one's time is nobody's
    far.send(b"".join((*policies, of_reqid(TUNNEL, 100, 1_795_450_999), DONE)))
    far.send(SADINFO)
    far.send(SPDINFO)
    assert xfrm.contents().spis == {
        ("192.0.2.2", 0x1001): 1_795_450_900,
        ("192.0.2.2", 0x1003): 1_795_450_800,
        ("2001:db8::2", 0x1002): 0,
    }


def test_a_last_use_that_is_cut_is_an_error(kernel: tuple[socket.socket, XfrmSocket]) -> None:
    far, xfrm = kernel
    far.send(with_attribute(ESP, 15, LASTUSED[:4]) + DONE)
    with pytest.raises(KernelError):
        xfrm.contents()


@pytest.mark.parametrize("cut", range(16, len(ESP), 4))
def test_an_sa_that_is_cut_is_an_error_or_a_whole_attribute_less(
    kernel: tuple[socket.socket, XfrmSocket], cut: int
) -> None:
    far, xfrm = kernel
    far.send(struct.pack("=I", cut) + ESP[4:cut] + DONE)
    for answer in (DONE, SADINFO, SPDINFO):
        far.send(answer)
    whole = (16 + 224, 16 + 224 + 96, 16 + 224 + 96 + 12)
    if cut in whole:
        assert xfrm.contents().larval == int(cut == whole[0])
        return
    with pytest.raises(KernelError):
        xfrm.contents()


def body(message: bytes) -> memoryview:
    return memoryview(message)[16:]


def test_an_sa_for_people() -> None:
    esn = struct.pack("=6I", 4, 7, 8, 1, 2, 128)
    message = with_attribute(with_attribute(ESP, 23, esn), 4, struct.pack("=H", 2) + b"\x11\x94\x11\x94" + bytes(18))
    found = read_sa(body(with_attribute(carried(message, 1000, 10), 31, struct.pack("=I", 9))))
    assert {key: found[key] for key in ("source", "destination", "spi", "protocol", "mode", "reqid", "own")} == {
        "source": "192.0.2.1",
        "destination": "192.0.2.2",
        "spi": "0x00001001",
        "protocol": "esp",
        "mode": "tunnel",
        "reqid": 16389,
        "own": True,
    }
    assert (found["algorithms"], found["larval"]) == (["rfc4106(gcm(aes))"], False)
    assert (found["bytes"], found["packets"], found["added"]) == (1000, 10, 0x6B0445A6)
    assert (found["sequence_out"], found["sequence_in"], found["replay_window"]) == (1 << 32 | 7, 2 << 32 | 8, 128)
    assert found["encapsulation"] == {"source_port": 4500, "destination_port": 4500}
    assert (found["mark"], found["if_id"], found["offload"]) == ("0xc/0xffffff", 9, None)


def test_the_last_use_of_an_sa_is_not_its_first() -> None:
    used = bytearray(ESP)
    struct.pack_into("=Q", used, 16 + 184, 1_795_450_001)
    assert read_sa(body(bytes(used)))["last_used"] is None
    assert read_sa(body(with_attribute(bytes(used), 15, LASTUSED)))["last_used"] == 1_795_450_900


def test_algorithms_are_named_once_and_keys_never() -> None:
    found = read_sa(body(MANUAL))
    assert found["algorithms"] == ["cbc(aes)", "hmac(sha256)"]
    for sa in (MANUAL, ESP):
        assert KEY.hex() not in str(read_sa(body(sa)))
        assert repr(KEY)[2:-1] not in str(read_sa(body(sa)))


def test_a_larval_sa_for_people() -> None:
    found = read_sa(body(LARVAL))
    assert (found["larval"], found["algorithms"], found["spi"]) == (True, [], "0x00002000")


def test_a_policy_for_people() -> None:
    found = read_policy(body(TUNNEL), None)
    assert found is not None
    assert (found["direction"], found["source"], found["destination"]) == ("out", "10.2.0.0/24", "10.3.0.0/24")
    assert (found["action"], found["mark"], found["protocol"]) == ("allow", None, None)
    (template,) = found["templates"]
    assert template == {
        "source": "192.0.2.2",
        "destination": "192.0.2.3",
        "protocol": "esp",
        "mode": "tunnel",
        "reqid": 16393,
        "optional": False,
    }
    assert read_policy(body(SOCKET), None) is None
    assert found["last_used"] is None
    used = read_policy(body(of_reqid(TUNNEL, 16393, 1_795_450_700)), None)
    assert used is not None
    assert used["last_used"] == 1_795_450_700


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        ("192.0.2.3", True),
        ("192.0.2.4", False),
        ("192.0.2.0/24", True),
        ("10.2.0.77", True),
        ("10.0.0.0/8", True),
        ("10.4.0.0/16", False),
        ("2001:db8::/32", False),
    ],
)
def test_which_policies_concern_an_address(text: str, concerned: bool) -> None:
    assert (read_policy(body(TUNNEL), parse_network(text)) is not None) is concerned


def test_the_kernel_is_asked_for_either_end() -> None:
    family, address, length = parse_network("192.0.2.0/24")
    assert (family, address[:4], length) == (socket.AF_INET, bytes([192, 0, 2, 0]), 24)
    source, destination = sa_filters((family, address, length))
    assert source == struct.pack("=HH", 40, 26) + address + bytes(16) + struct.pack("=HBB", socket.AF_INET, 24, 0)
    assert destination == struct.pack("=HH", 40, 26) + bytes(16) + address + struct.pack("=HBB", socket.AF_INET, 0, 24)
    assert sa_filters(None) == (b"",)


@pytest.mark.parametrize(
    ("text", "counters"),
    [
        (
            "XfrmInError \t0\nXfrmInNoStates \t3\nXfrmOutPolBlock\t12\n",
            (("XfrmInNoStates", 3), ("XfrmOutPolBlock", 12)),
        ),
        ("XfrmInError \t0\n", ()),
        # a counter of a newer kernel
        ("XfrmOutStateDirError                     \t1\n", (("XfrmOutStateDirError", 1),)),
        (None, ()),
    ],
    ids=["some", "none", "new", "kernel without statistics"],
)
def test_counters_that_are_not_zero(
    monkeypatch: pytest.MonkeyPatch, text: str | None, counters: tuple[tuple[str, int], ...]
) -> None:
    def opened(path: str, encoding: str) -> io.StringIO:
        assert (path, encoding) == ("/proc/net/xfrm_stat", "ascii")
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    monkeypatch.setattr(_xfrm, "open", opened, raising=False)
    assert _xfrm._statistics() == counters


def test_how_long_a_larval_sa_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"/proc/sys/net/core/xfrm_acq_expires": "165\n"}
    monkeypatch.setattr(_xfrm, "open", lambda path, encoding: io.StringIO(said[path]), raising=False)
    assert _xfrm._acq_expires() == 165


@pytest.mark.parametrize("text", ["", "gw1", "192.0.2.1/33", "192.0.2.1/x", "192.0.2", "::1/129"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="list_address"):
        parse_network(text)
