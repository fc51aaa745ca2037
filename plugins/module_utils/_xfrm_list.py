# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SAs and policies one by one, as values for people, from the bodies of XFRM_MSG_NEWSA and XFRM_MSG_NEWPOLICY.

Layouts and names are those of linux/xfrm.h on 64 bits. Of an attribute with a key only the first 64 bytes are read,
which name the algorithm; the key comes after them.
"""

from __future__ import annotations

import socket
import struct
import typing as t

from ._errors import ConfigError
from ._netlink import attributes, connected, spans, unpack, unpack_all
from ._owner import SELECTOR, XFRM_POLICY_FWD, own_reqid
from ._xfrm import NETLINK_XFRM, XfrmMessage, address_of, check_layout

if t.TYPE_CHECKING:
    from ._model import Listing

XFRMA_ALG_AUTH = 1
XFRMA_ALG_CRYPT = 2
XFRMA_ALG_COMP = 3
XFRMA_ENCAP = 4
XFRMA_TMPL = 5
XFRMA_REPLAY_VAL = 10
XFRMA_LASTUSED = 15
XFRMA_ALG_AEAD = 18
XFRMA_ALG_AUTH_TRUNC = 20
XFRMA_MARK = 21
XFRMA_REPLAY_ESN_VAL = 23
XFRMA_ADDRESS_FILTER = 26
XFRMA_OFFLOAD_DEV = 28
XFRMA_IF_ID = 31
ALGORITHMS = (XFRMA_ALG_AEAD, XFRMA_ALG_CRYPT, XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_COMP)
PLAIN = frozenset(
    (
        *(XFRMA_ENCAP, XFRMA_TMPL, XFRMA_REPLAY_VAL, XFRMA_LASTUSED, XFRMA_MARK, XFRMA_REPLAY_ESN_VAL),
        *(XFRMA_OFFLOAD_DEV, XFRMA_IF_ID),
    )
)
"""Attributes that hold no key, and are read."""
NAME_SIZE = 64

USERSA_INFO = struct.Struct("=56x16s4sB3x16s64x3Q8x3I4xIHBBB7x")
"""id.daddr, id.spi, id.proto, saddr, bytes, packets, add_time, three counters of errors (replay_window,
replay, integrity_failed), reqid, family, mode, replay_window, flags."""
USERPOLICY_INFO = struct.Struct("=56s64x4QIIBBBB4x")
"""sel, bytes, packets, add_time, use_time, priority, index, dir, action, flags, share."""
USER_TMPL = struct.Struct("=16s4xB3xH2x16sIBBB13x")
"""id.daddr, id.proto, family, saddr, reqid, mode, share, optional."""
ENCAP_TMPL = struct.Struct("=H2s2s18x")
"""encap_type, encap_sport, encap_dport."""
REPLAY_STATE = struct.Struct("=3I")
"""oseq, seq, bitmap."""
REPLAY_STATE_ESN = struct.Struct("=6I")
"""bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window."""
MARK = struct.Struct("=II")
U32 = struct.Struct("=I")
U64 = struct.Struct("=Q")
S32 = struct.Struct("=i")
ADDRESS_FILTER = struct.Struct("=16s16sHBB")
"""saddr, daddr, family, splen, dplen."""

PROTOCOLS = {4: "ipip", 41: "ipv6", 50: "esp", 51: "ah", 108: "comp"}
MODES = ("transport", "tunnel", "route_optimization", "in_trigger", "beet", "iptfs")
FLAGS = ("noecn", "decap_dscp", "nopmtudisc", "wildrecv", "icmp", "af_unspec", "align4", "esn")
DIRECTIONS = ("in", "out", "fwd")
ACTIONS = ("allow", "block")

Network = tuple[int, bytes, int]
"""Family, address in 16 bytes, prefix length."""


def list_sas(listing: Listing) -> tuple[dict[str, t.Any], ...]:
    """The first SAs of the table; the kernel itself looks for those of an address."""
    check_layout()
    found: dict[tuple[str, ...], dict[str, t.Any]] = {}
    for payload in sa_filters(parse_network(listing.address) if listing.address else None):
        # a socket each: a dump that is not read to its end cannot be called off
        with connected(NETLINK_XFRM) as netlink:
            for body in netlink.dump(XfrmMessage.XFRM_MSG_GETSA, XfrmMessage.XFRM_MSG_NEWSA, payload):
                if len(found) >= listing.limit:
                    break
                sa = read_sa(body)
                # one with both ends in the network comes twice
                found.setdefault((sa["destination"], sa["spi"], sa["protocol"], str(sa["mark"])), sa)
    return tuple(found.values())


def list_policies(listing: Listing) -> tuple[dict[str, t.Any], ...]:
    """The first policies of the table but those of sockets; for an address the kernel knows no filter."""
    check_layout()
    network = parse_network(listing.address) if listing.address else None
    found: list[dict[str, t.Any]] = []
    with connected(NETLINK_XFRM) as netlink:
        for body in netlink.dump(XfrmMessage.XFRM_MSG_GETPOLICY, XfrmMessage.XFRM_MSG_NEWPOLICY):
            if len(found) >= listing.limit:
                break
            policy = read_policy(body, network)
            if policy is not None:
                found.append(policy)
    return tuple(found)


def parse_network(text: str) -> Network:
    """An IP address or network such as 192.0.2.0/24; ConfigError when it is none."""
    address, slash, length = text.partition("/")
    for family, width in ((socket.AF_INET, 32), (socket.AF_INET6, 128)):
        try:
            packed = socket.inet_pton(family, address)
        except OSError:
            continue
        if not slash or (length.isdigit() and int(length) <= width):
            return family, packed.ljust(16, b"\0"), int(length or width)
    raise ConfigError(f"list_address: {text} is no IP address or network; write one such as 192.0.2.0/24")


def sa_filters(network: Network | None) -> tuple[bytes, ...]:
    """Payloads of the dumps that together bring the SAs with an end in the network."""
    if network is None:
        return (b"",)
    family, address, length = network
    nowhere = bytes(16)
    values = (
        ADDRESS_FILTER.pack(address, nowhere, family, length, 0),
        ADDRESS_FILTER.pack(nowhere, address, family, 0, length),
    )
    return tuple(attributes([(XFRMA_ADDRESS_FILTER, value)]) for value in values)


def read_sa(body: memoryview) -> dict[str, t.Any]:
    """The SA of a message's body; KernelError when that is cut short."""
    daddr, spi, proto, saddr, size, packets, added, *errors, reqid, family, mode, window, flags = unpack(
        USERSA_INFO, body
    )
    names, found = _read(body, USERSA_INFO.size)
    outbound, inbound, window = _replay(found, window)
    device = _value(S32, found.get(XFRMA_OFFLOAD_DEV))
    return {
        "source": address_of(family, saddr),
        "destination": address_of(family, daddr),
        "spi": f"0x{spi.hex()}",
        "protocol": PROTOCOLS.get(proto, str(proto)),
        "mode": _name(MODES, mode),
        "reqid": reqid,
        "own": own_reqid(proto, reqid),
        "larval": not names,
        "algorithms": names,
        "bytes": size,
        "packets": packets,
        "added": added,
        # curlft.use_time of an SA is the first use
        "last_used": _value(U64, found.get(XFRMA_LASTUSED)),
        "replay_window": window,
        "sequence_in": inbound,
        "sequence_out": outbound,
        "replay_errors": errors[0] + errors[1],
        "integrity_errors": errors[2],
        "flags": [name for bit, name in enumerate(FLAGS) if flags >> bit & 1],
        "encapsulation": _encapsulation(found.get(XFRMA_ENCAP)),
        "mark": _mark(found.get(XFRMA_MARK)),
        "if_id": _value(U32, found.get(XFRMA_IF_ID)),
        "offload": None if device is None else _device(device),
    }


def read_policy(body: memoryview, network: Network | None) -> dict[str, t.Any] | None:
    """The policy of a message's body; None when it is a socket's, or has nothing to do with the network."""
    selector, size, packets, added, used, priority, index, direction, action, *_rest = unpack(USERPOLICY_INFO, body)
    if index & 7 > XFRM_POLICY_FWD:
        return None
    daddr, saddr, ports, family, to, source, proto, ifindex, _user = SELECTOR.unpack(selector)
    _names, found = _read(body, USERPOLICY_INFO.size)
    templates = [*unpack_all(USER_TMPL, found.get(XFRMA_TMPL, b""))]
    ends = [(family, saddr, source), (family, daddr, to)]
    for template in templates:
        width = 32 if template[2] == socket.AF_INET else 128
        ends += [(template[2], template[3], width), (template[2], template[0], width)]
    if network is not None and not any(_overlap(network, end) for end in ends):
        return None
    dport, dport_mask, sport, sport_mask = struct.unpack("!4H", ports)
    return {
        "direction": _name(DIRECTIONS, direction),
        "source": f"{address_of(family, saddr)}/{source}",
        "destination": f"{address_of(family, daddr)}/{to}",
        "protocol": proto or None,
        "source_port": sport if sport_mask else None,
        "destination_port": dport if dport_mask else None,
        "interface": _device(ifindex) if ifindex else None,
        "action": _name(ACTIONS, action),
        "priority": priority,
        "index": index,
        "bytes": size,
        "packets": packets,
        "added": added,
        "last_used": used or None,
        "mark": _mark(found.get(XFRMA_MARK)),
        "if_id": _value(U32, found.get(XFRMA_IF_ID)),
        "templates": [_template(*template) for template in templates],
    }


def _template(
    daddr: bytes, proto: int, family: int, saddr: bytes, reqid: int, mode: int, _share: int, optional: int
) -> dict[str, t.Any]:
    return {
        "source": address_of(family, saddr),
        "destination": address_of(family, daddr),
        "protocol": PROTOCOLS.get(proto, str(proto)),
        "mode": _name(MODES, mode),
        "reqid": reqid,
        "optional": bool(optional),
    }


def _read(body: memoryview, start: int) -> tuple[list[str], dict[int, bytes]]:
    """Names of the algorithms, and the values of the attributes that hold no key."""
    names: dict[int, str] = {}
    found: dict[int, bytes] = {}
    for kind, (value, end) in spans(body, start).items():
        if kind in ALGORITHMS:
            name = bytes(body[value : min(value + NAME_SIZE, end)])
            names[kind] = name.partition(b"\0")[0].decode("ascii", "replace")
        elif kind in PLAIN:
            found[kind] = bytes(body[value:end])
    if XFRMA_ALG_AUTH_TRUNC in names:
        # the kernel tells the same algorithm twice, for old readers
        names.pop(XFRMA_ALG_AUTH, None)
    return [names[kind] for kind in ALGORITHMS if kind in names], found


def _replay(found: dict[int, bytes], window: int) -> tuple[int, int, int]:
    """The last sequence number sent, the last received, and the replay window."""
    if len(found.get(XFRMA_REPLAY_ESN_VAL, b"")) >= REPLAY_STATE_ESN.size:
        state = REPLAY_STATE_ESN.unpack_from(found[XFRMA_REPLAY_ESN_VAL])
        _length, oseq, seq, oseq_hi, seq_hi, window = state
        return oseq_hi << 32 | oseq, seq_hi << 32 | seq, window
    if len(found.get(XFRMA_REPLAY_VAL, b"")) >= REPLAY_STATE.size:
        oseq, seq, _bitmap = REPLAY_STATE.unpack_from(found[XFRMA_REPLAY_VAL])
        return oseq, seq, window
    return 0, 0, window


def _encapsulation(value: bytes | None) -> dict[str, int] | None:
    if value is None or len(value) < ENCAP_TMPL.size:
        return None
    _kind, sport, dport = ENCAP_TMPL.unpack_from(value)
    return {"source_port": int.from_bytes(sport, "big"), "destination_port": int.from_bytes(dport, "big")}


def _mark(value: bytes | None) -> str | None:
    return "0x{:x}/0x{:x}".format(*unpack(MARK, value)) if value else None


def _value(layout: struct.Struct, value: bytes | None) -> int | None:
    return int(unpack(layout, value)[0]) if value else None


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return str(index)


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _overlap(one: Network, other: Network) -> bool:
    """Whether one of the networks is inside the other."""
    (family, address, length), (other_family, other_address, other_length) = one, other
    shift = 128 - min(length, other_length)
    same = int.from_bytes(address, "big") >> shift == int.from_bytes(other_address, "big") >> shift
    return same and (family == other_family)
