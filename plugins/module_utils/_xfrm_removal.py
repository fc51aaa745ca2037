# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plutos leave in XFRM: counted, and removed. A look at a pluto that runs needs none of it."""

from __future__ import annotations

import errno
import struct
import typing as t

from ._model import Leftovers
from ._netlink import attributes, find, gone, unpack
from ._owner import XFRMA_POLICY_TYPE, Policy, Reqid, Sa
from ._xfrm import XFRMA_MARK, XfrmMessage, check_layout, policy_from

if t.TYPE_CHECKING:
    from ._netlink import NetlinkSocket

XFRM_POLICY_TYPE_SUB = 1
USERSA_INFO = struct.Struct("=56x16s4sB3x16x64x32x12x4xIH10x")
"""id.daddr, id.spi, id.proto, reqid, family."""
USERSA_ID = struct.Struct("=16s4sHBx")
USERSA_FLUSH = struct.Struct("=B3x")
USERPOLICY_ID = struct.Struct("=56xIB3x")
"""index, dir."""
USERPOLICY_TYPE = struct.Struct("=B5x")


def leftovers(netlink: NetlinkSocket, interfaces: tuple[str, ...]) -> Leftovers:
    """See XfrmSocket.leftovers."""
    policies = [policy.own for policy in _policies(netlink)]
    # an SA without an SPI is the kernel's own request for one, and expires
    sas = [sa.own for sa in _sas(netlink) if sa.own or any(sa.spi)]
    return Leftovers(sum(policies), sum(sas), interfaces, policies.count(False), sas.count(False))


def remove_own(netlink: NetlinkSocket) -> None:
    """See XfrmSocket.remove_own."""
    for policy in [policy for policy in _policies(netlink) if policy.own]:
        payload = USERPOLICY_ID.pack(policy.number, policy.direction) + attributes(policy.key)
        with gone(errno.ENOENT):
            netlink.order(XfrmMessage.XFRM_MSG_DELPOLICY, payload)
    for sa in [sa for sa in _sas(netlink) if sa.own]:
        payload = USERSA_ID.pack(sa.daddr, sa.spi, sa.family, sa.proto) + attributes(sa.key)
        with gone(errno.ESRCH):
            netlink.order(XfrmMessage.XFRM_MSG_DELSA, payload)


def flush(netlink: NetlinkSocket) -> None:
    """See XfrmSocket.flush."""
    netlink.order(XfrmMessage.XFRM_MSG_FLUSHPOLICY, b"")
    sub = attributes(((XFRMA_POLICY_TYPE, USERPOLICY_TYPE.pack(XFRM_POLICY_TYPE_SUB)),))
    # the answer of a kernel that has no sub policies
    with gone(errno.EINVAL):
        netlink.order(XfrmMessage.XFRM_MSG_FLUSHPOLICY, sub)
    every = USERSA_FLUSH.pack(0)
    netlink.order(XfrmMessage.XFRM_MSG_FLUSHSA, every)


def _sas(netlink: NetlinkSocket) -> t.Iterator[Sa]:
    check_layout()
    for body in netlink.dump(XfrmMessage.XFRM_MSG_GETSA, XfrmMessage.XFRM_MSG_NEWSA):
        daddr, spi, proto, reqid, family = unpack(USERSA_INFO, body)
        key = find(body[USERSA_INFO.size :], XFRMA_MARK)
        yield Sa(daddr, spi, proto, family, Reqid(proto, reqid), tuple(key.items()))


def _policies(netlink: NetlinkSocket) -> t.Iterator[Policy]:
    """All policies but those of sockets."""
    check_layout()
    for body in netlink.dump(XfrmMessage.XFRM_MSG_GETPOLICY, XfrmMessage.XFRM_MSG_NEWPOLICY):
        policy = policy_from(body)
        if not policy.of_socket:
            yield policy
