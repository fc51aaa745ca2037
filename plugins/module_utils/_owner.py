# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose an SA or a policy is: what a pluto makes, told from what everybody else does. Pure.

What is a pluto's own, by the sources of Libreswan 3.30 to 5.4:

- SAs, and policies with a template, whose reqid pluto handed out (Reqid). A reqid that ipsec.conf gives by `reqid=`
  (1 to 16383) is anybody's, so such an SA or policy is foreign.
- Policies without a reqid whose priority is the one that pluto computes from the selector: the traps of auto=ondemand,
  type=passthrough and type=drop, failureshunt, negotiationshunt, opportunistic groups (Policy.shunt).
- Policies that block, and have a template all the same (Policy.block).
- The holes for IPv6 neighbour discovery (Policy.hole).

Nothing tells pluto's other policies from an administrator's, so they are foreign: those that pass with `priority=` in
ipsec.conf, those that 5.2 makes with priority 0 when an opportunistic peer did not answer, and the holes for IKE of
nic-offload=packet. A larval SA is whose its reqid says; the kernel's own acquires without one are nobody's, not
counted, and expire in 30 seconds; its IPIP SAs for IPComp are foreign, and go with the IPComp SA.
"""

from __future__ import annotations

import struct
import typing as t

XFRMA_POLICY_TYPE = 16
XFRM_POLICY_OUT = 1
XFRM_POLICY_FWD = 2
XFRM_POLICY_BLOCK = 1
XFRM_MODE_TRANSPORT = 0
AF_INET6 = 10
IPPROTO_ESP = 50
IPPROTO_AH = 51
IPPROTO_ICMPV6 = 58
IPPROTO_COMP = 108

SELECTOR = struct.Struct("=16s16s8sHBBB3xiI")
"""daddr, saddr, (dport, dport_mask, sport, sport_mask), family, prefixlen_d, prefixlen_s, proto, ifindex, user."""

NOWHERE = bytes(16)
OFFSETS = {IPPROTO_AH: 0, IPPROTO_ESP: 1, IPPROTO_COMP: 2}
"""Of a protocol's reqid from the one of the connection."""


def own_reqid(proto: int, value: int) -> bool:
    """Whether a pluto hands this reqid out: in steps of 4 from 0x4000 + 4, plus 0 for AH, 1 for ESP, 2 for IPComp.

    See gen_reqid(), reqid_ah(), reqid_esp(), reqid_ipcomp() in lib/libswan/reqid.c, the same in Libreswan 4.3, 4.10
    and 5.2; IPSEC_MANUAL_REQID_MAX in include/reqid.h is 0x3fff. Others can come upon such a number too: the kernel
    for PF_KEY policies of level `unique`, strongSwan after 16388 others.
    """
    return value > 0x4000 + 3 and value % 4 == OFFSETS.get(proto)


class Reqid(t.NamedTuple):
    """The request id of a protocol's SA or template."""

    proto: int
    value: int

    @property
    def own(self) -> bool:
        """See own_reqid."""
        return own_reqid(self.proto, self.value)


class Sa(t.NamedTuple):
    """An SA, as far as ownership and removal need it."""

    daddr: bytes
    spi: bytes
    proto: int
    family: int
    reqid: Reqid
    key: tuple[tuple[int, bytes], ...]
    """The attributes that the kernel compares besides."""

    @property
    def own(self) -> bool:
        """Whether a pluto made it."""
        return self.reqid.own


class Template(t.NamedTuple):
    """A policy's template: which SA it asks for."""

    daddr: bytes
    saddr: bytes
    mode: int
    reqid: Reqid


BARE = Template(NOWHERE, NOWHERE, XFRM_MODE_TRANSPORT, Reqid(IPPROTO_ESP, 0))
"""What pluto puts into traps and blocks: null_proto_info in programs/pluto/kernel.c of 4.3, kernel_policy_from_void()
in programs/pluto/kernel_policy.c of 5.2."""
HOLES = tuple(
    SELECTOR.pack(
        *(NOWHERE, NOWHERE, struct.pack("!4H", 0, 0, icmp, 0xFFFF)),
        *(AF_INET6, 0, 0, IPPROTO_ICMPV6, 0, 0),
    )
    for icmp in (135, 136)
)
"""Neighbour solicitation and advertisement, as pluto writes them."""


class Policy(t.NamedTuple):
    """A policy, as far as ownership and removal need it."""

    selector: bytes
    priority: int
    number: int
    direction: int
    action: int
    templates: tuple[Template, ...]
    key: tuple[tuple[int, bytes], ...]
    """The attributes that the kernel compares besides the index."""

    @property
    def of_socket(self) -> bool:
        """Whether a socket owns it: it is gone with that socket, and cannot be deleted."""
        return self.number & 7 > XFRM_POLICY_FWD

    @property
    def own(self) -> bool:
        """Whether a pluto made it."""
        return any(template.reqid.own for template in self.templates) or self.hole or self.block or self.shunt

    @property
    def hole(self) -> bool:
        """Whether it is a hole for IPv6 neighbour discovery, which pluto makes when it starts.

        Selector, priority 1, action allow, no template, mark or if_id: netlink_bypass_policy() of 4.3,
        add_icmpv6_bypass_policy() of 4.10, insert_icmpv6_bypass_policy() of 5.2 in programs/pluto/kernel_xfrm.c.
        """
        plain = all(kind == XFRMA_POLICY_TYPE and not any(value) for kind, value in self.key)
        return self.selector in HOLES and (self.priority, self.action, self.templates) == (1, 0, ()) and plain

    @property
    def block(self) -> bool:
        """Whether it blocks, and has pluto's template: a block needs none, and nobody else gives it one."""
        return self.action == XFRM_POLICY_BLOCK and self.templates == (BARE,)

    @property
    def shunt(self) -> bool:
        """Whether it asks for no SA of a reqid, and has the priority that pluto computes for its selector.

        The 22 bits, from the left: kind of connection (1 to 3), how many ends name no port (0 to 2), no protocol
        named, how much shorter than 128 the prefixes of the local and the remote end are, no instance:
        calculate_sa_prio() in programs/pluto/connections.c of 4.6 to 4.10, spd_priority() in programs/pluto/kernel.c
        of 5.2. A shunt for one opportunistic address counts 0 for the remote end in 4.10. From 3.30 to 4.5 the lower
        20 bits were the complement of ports, protocol, prefixes. No other daemon is known to use numbers so high.
        """
        if self.templates not in ((), (BARE,)):
            return False
        _daddr, _saddr, _ports, _family, to, source, proto, _ifindex, _user = SELECTOR.unpack(self.selector)
        local, remote = (source, to) if self.direction == XFRM_POLICY_OUT else (to, source)

        def weights(bits: int) -> tuple[int, int, int]:
            return bits >> 17 & 1, bits >> 9 & 0xFF, bits >> 1 & 0xFF

        low = self.priority & 0xFFFFF
        now = low >> 18 < 3 and weights(low) in (
            (proto == 0, 128 - local, 128 - remote),
            (proto == 0, 128 - local, 0),
        )
        before = ~low >> 18 & 3 < 3 and weights(~low) == (proto != 0, local, remote)
        return self.priority >> 20 in (1, 2, 3) and (now or before)
