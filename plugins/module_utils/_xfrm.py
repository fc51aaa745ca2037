# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel backend XFRM by netlink, from socket and struct alone: sizes of its tables, what a pluto left in them.

Message types, attributes and layouts are those of linux/netlink.h, linux/xfrm.h and linux/if_link.h on 64 bits.
Attributes with keys (XFRMA_ALG_*) are stepped over by their length and never read.

What is a pluto's own, by the sources of Libreswan 3.30 to 5.4:

- SAs, and policies with a template, whose reqid pluto handed out (_Reqid). A reqid that ipsec.conf gives by `reqid=`
  (1 to 16383) is anybody's, so such an SA or policy is foreign.
- Policies without a reqid whose priority is the one that pluto computes from the selector: the traps of auto=ondemand,
  type=passthrough and type=drop, failureshunt, negotiationshunt, opportunistic groups (_Policy.shunt).
- Policies that block, and have a template all the same (_Policy.block).
- The holes for IPv6 neighbour discovery (_Policy.hole).
- xfrm devices ipsecN with the if_id that pluto gives to that name (_is_ours). Pluto also uses, and then never removes,
  such a device when it is there already; who made it cannot be seen afterwards.

Nothing tells pluto's other policies from an administrator's, so they are foreign: those that pass with `priority=` in
ipsec.conf, those that 5.2 makes with priority 0 when an opportunistic peer did not answer, and the holes for IKE of
nic-offload=packet. A larval SA is whose its reqid says; the kernel's own acquires without one are nobody's, not
counted, and expire in 30 seconds; its IPIP SAs for IPComp are foreign, and go with the IPComp SA.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import importlib
import os
import re
import socket
import struct
import typing as t

from ._errors import DependencyError, KernelError
from ._model import Leftovers, Tables

if t.TYPE_CHECKING:
    from ._commands import Commands, Completed
    from ._model import Flush

NETLINK_ROUTE = 0
NETLINK_XFRM = 6
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLA_TYPE_MASK = 0x3FFF


class XfrmMessage(enum.IntEnum):
    """Message types of NETLINK_XFRM."""

    XFRM_MSG_NEWSA = 0x10
    XFRM_MSG_DELSA = 0x11
    XFRM_MSG_GETSA = 0x12
    XFRM_MSG_NEWPOLICY = 0x13
    XFRM_MSG_DELPOLICY = 0x14
    XFRM_MSG_GETPOLICY = 0x15
    XFRM_MSG_FLUSHSA = 0x1C
    XFRM_MSG_FLUSHPOLICY = 0x1D
    XFRM_MSG_NEWSADINFO = 0x22
    XFRM_MSG_GETSADINFO = 0x23
    XFRM_MSG_NEWSPDINFO = 0x24
    XFRM_MSG_GETSPDINFO = 0x25


class RouteMessage(enum.IntEnum):
    """Message types of NETLINK_ROUTE."""

    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18


XFRMA_SAD_CNT = 1
XFRMA_SPD_INFO = 1
XFRMA_TMPL = 5
XFRMA_POLICY_TYPE = 16
XFRMA_MARK = 21
XFRMA_IF_ID = 31
XFRM_POLICY_TYPE_SUB = 1
XFRM_POLICY_OUT = 1
XFRM_POLICY_FWD = 2
XFRM_POLICY_BLOCK = 1
XFRM_MODE_TRANSPORT = 0
IPPROTO_COMP = 108
IFLA_LINKINFO = 18
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_XFRM_IF_ID = 2

NLMSGHDR = struct.Struct("=IHHII")
NLATTR = struct.Struct("=HH")
U32 = struct.Struct("=I")
S32 = struct.Struct("=i")
XFRMU_SPDINFO = struct.Struct("=6I")
SELECTOR = struct.Struct("=16s16s8sHBBB3xiI")
"""daddr, saddr, (dport, dport_mask, sport, sport_mask), family, prefixlen_d, prefixlen_s, proto, ifindex, user."""
USERSA_INFO = struct.Struct("=56x16s4sB3x16x64x32x12x4xIH10x")
"""id.daddr, id.spi, id.proto, reqid, family."""
USERSA_ID = struct.Struct("=16s4sHBx")
USERSA_FLUSH = struct.Struct("=B3x")
USERPOLICY_INFO = struct.Struct("=56s64x32xIIBB6x")
"""sel, priority, index, dir, action."""
USERPOLICY_ID = struct.Struct("=56xIB3x")
"""index, dir."""
USERPOLICY_TYPE = struct.Struct("=B5x")
USER_TMPL = struct.Struct("=16s4xB3xH2x16sIB15x")
"""id.daddr, id.proto, family, saddr, reqid, mode."""
IFINFOMSG = struct.Struct("=BxHiII")

TIMEOUT = 5.0
"""Seconds; the kernel answers these requests in well under a millisecond."""
BUFFER = 64 * 1024
"""The kernel fills up to 32 KiB of what is offered."""

NOWHERE = bytes(16)


@dataclasses.dataclass(frozen=True)
class _Reqid:
    """The request id of a protocol's SA or template."""

    proto: int
    value: int

    @property
    def own(self) -> bool:
        """Whether a pluto hands it out: in steps of 4 from 0x4000 + 4, plus 0 for AH, 1 for ESP, 2 for IPComp.

        See gen_reqid(), reqid_ah(), reqid_esp(), reqid_ipcomp() in lib/libswan/reqid.c, the same in Libreswan 4.3,
        4.10 and 5.2; IPSEC_MANUAL_REQID_MAX in include/reqid.h is 0x3fff. Others can come upon such a number too:
        the kernel for PF_KEY policies of level `unique`, strongSwan after 16388 others.
        """
        offset = {socket.IPPROTO_AH: 0, socket.IPPROTO_ESP: 1, IPPROTO_COMP: 2}.get(self.proto)
        return self.value > 0x4000 + 3 and self.value % 4 == offset


@dataclasses.dataclass(frozen=True)
class _Sa:
    """An SA, as far as ownership and removal need it."""

    daddr: bytes
    spi: bytes
    proto: int
    family: int
    reqid: _Reqid
    key: tuple[tuple[int, bytes], ...]
    """The attributes that the kernel compares besides."""

    @property
    def own(self) -> bool:
        """Whether a pluto made it."""
        return self.reqid.own


@dataclasses.dataclass(frozen=True)
class _Template:
    """A policy's template: which SA it asks for."""

    daddr: bytes
    saddr: bytes
    mode: int
    reqid: _Reqid


BARE = _Template(NOWHERE, NOWHERE, XFRM_MODE_TRANSPORT, _Reqid(socket.IPPROTO_ESP, 0))
"""What pluto puts into traps and blocks: null_proto_info in programs/pluto/kernel.c of 4.3, kernel_policy_from_void()
in programs/pluto/kernel_policy.c of 5.2."""
HOLES = tuple(
    SELECTOR.pack(
        *(NOWHERE, NOWHERE, struct.pack("!4H", 0, 0, icmp, 0xFFFF)),
        *(socket.AF_INET6, 0, 0, socket.IPPROTO_ICMPV6, 0, 0),
    )
    for icmp in (135, 136)
)
"""Neighbour solicitation and advertisement, as pluto writes them."""


@dataclasses.dataclass(frozen=True)
class _Policy:
    """A policy, as far as ownership and removal need it."""

    selector: bytes
    priority: int
    index: int
    direction: int
    action: int
    templates: tuple[_Template, ...]
    key: tuple[tuple[int, bytes], ...]
    """The attributes that the kernel compares besides the index."""

    @property
    def of_socket(self) -> bool:
        """Whether a socket owns it: it is gone with that socket, and cannot be deleted."""
        return self.index & 7 > XFRM_POLICY_FWD

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

    def dump(self, request: enum.IntEnum, reply: enum.IntEnum) -> t.Iterator[memoryview]:
        """Yield the bodies of a whole table; KernelError as the kernel says, also in the middle."""
        self._send(request, NLM_F_DUMP, b"")
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


class XfrmSocket:
    """A connected NETLINK_XFRM socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._netlink = NetlinkSocket(sock)

    def sizes(self) -> Tables:
        """Sizes of the SA and policy tables, in constant time. KernelError as the kernel says (EPERM without root)."""
        every = U32.pack(0xFFFFFFFF)
        answer = self._netlink.get(XfrmMessage.XFRM_MSG_GETSADINFO, every, XfrmMessage.XFRM_MSG_NEWSADINFO)
        (sas,) = U32.unpack_from(_attribute(answer[U32.size :], XFRMA_SAD_CNT))
        # incnt, outcnt, fwdcnt, and the same three for the policies of sockets
        answer = self._netlink.get(XfrmMessage.XFRM_MSG_GETSPDINFO, every, XfrmMessage.XFRM_MSG_NEWSPDINFO)
        counts = XFRMU_SPDINFO.unpack_from(_attribute(answer[U32.size :], XFRMA_SPD_INFO))
        return Tables(sas, counts[0], counts[1], counts[2], sum(counts[3:]))

    def leftovers(self, interfaces: tuple[str, ...]) -> Leftovers:
        """Count own and foreign SAs and policies."""
        policies = [policy.own for policy in self._policies()]
        # an SA without an SPI is the kernel's own request for one, and expires
        sas = [sa.own for sa in self._sas() if sa.own or any(sa.spi)]
        return Leftovers(sum(policies), sum(sas), interfaces, policies.count(False), sas.count(False))

    def remove_own(self) -> None:
        """Delete own policies, then own SAs; what goes away by itself meanwhile is no error."""
        for policy in [policy for policy in self._policies() if policy.own]:
            payload = USERPOLICY_ID.pack(policy.index, policy.direction) + _attributes(policy.key)
            with _gone(errno.ENOENT):
                self._netlink.order(XfrmMessage.XFRM_MSG_DELPOLICY, payload)
        for sa in [sa for sa in self._sas() if sa.own]:
            payload = USERSA_ID.pack(sa.daddr, sa.spi, sa.family, sa.proto) + _attributes(sa.key)
            with _gone(errno.ESRCH):
                self._netlink.order(XfrmMessage.XFRM_MSG_DELSA, payload)

    def flush(self) -> None:
        """Delete everybody's policies, then everybody's SAs."""
        self._netlink.order(XfrmMessage.XFRM_MSG_FLUSHPOLICY, b"")
        sub = _attributes(((XFRMA_POLICY_TYPE, USERPOLICY_TYPE.pack(XFRM_POLICY_TYPE_SUB)),))
        # the answer of a kernel that has no sub policies
        with _gone(errno.EINVAL):
            self._netlink.order(XfrmMessage.XFRM_MSG_FLUSHPOLICY, sub)
        every = USERSA_FLUSH.pack(0)
        self._netlink.order(XfrmMessage.XFRM_MSG_FLUSHSA, every)

    def _sas(self) -> t.Iterator[_Sa]:
        _check_layout()
        for body in self._netlink.dump(XfrmMessage.XFRM_MSG_GETSA, XfrmMessage.XFRM_MSG_NEWSA):
            daddr, spi, proto, reqid, family = _unpack(USERSA_INFO, body)
            key = _find(body[USERSA_INFO.size :], XFRMA_MARK)
            yield _Sa(daddr, spi, proto, family, _Reqid(proto, reqid), tuple(key.items()))

    def _policies(self) -> t.Iterator[_Policy]:
        """All policies but those of sockets."""
        _check_layout()
        for body in self._netlink.dump(XfrmMessage.XFRM_MSG_GETPOLICY, XfrmMessage.XFRM_MSG_NEWPOLICY):
            selector, priority, index, direction, action = _unpack(USERPOLICY_INFO, body)
            found = _find(body[USERPOLICY_INFO.size :], XFRMA_TMPL, XFRMA_POLICY_TYPE, XFRMA_MARK, XFRMA_IF_ID)
            templates = tuple(
                _Template(daddr, saddr, mode, _Reqid(proto, reqid))
                for daddr, proto, _family, saddr, reqid, mode in USER_TMPL.iter_unpack(found.pop(XFRMA_TMPL, b""))
            )
            policy = _Policy(selector, priority, index, direction, action, templates, tuple(found.items()))
            if not policy.of_socket:
                yield policy


def _refused(request: enum.IntEnum, code: int | None, why: object) -> KernelError:
    advice = "; this needs root with CAP_NET_ADMIN in this network namespace" if code == errno.EPERM else ""
    return KernelError(f"the kernel request {request.name} failed: {why}{advice}", errno=code, request=request.name)


def _unexpected(request: enum.IntEnum, kind: int) -> KernelError:
    return KernelError(f"the kernel answered {request.name} with message {kind:#x}", request=request.name)


def _broken(request: enum.IntEnum) -> KernelError:
    return KernelError(f"the kernel's answer to {request.name} is cut short", request=request.name)


@contextlib.contextmanager
def _gone(code: int) -> t.Iterator[None]:
    """Take this refusal as done: there is nothing to delete."""
    try:
        yield
    except KernelError as exc:
        if exc.details.get("errno") != code:
            raise


def _unpack(layout: struct.Struct, body: memoryview) -> tuple[t.Any, ...]:
    if len(body) < layout.size:
        raise KernelError(f"the kernel's XFRM answer has {len(body)} bytes where {layout.size} are needed")
    return layout.unpack_from(body)


def _find(data: memoryview, *wanted: int) -> dict[int, bytes]:
    """Values of the wanted attributes that are there; the values of the others are not read."""
    found = {}
    start = 0
    while start + NLATTR.size <= len(data):
        length, kind = NLATTR.unpack_from(data, start)
        if not NLATTR.size <= length <= len(data) - start:
            raise KernelError("the kernel's answer has an attribute that is cut short")
        if kind & NLA_TYPE_MASK in wanted:
            found[kind & NLA_TYPE_MASK] = bytes(data[start + NLATTR.size : start + length])
        start += (length + 3) & ~3
    return found


def _attribute(data: memoryview, wanted: int) -> bytes:
    try:
        return _find(data, wanted)[wanted]
    except KeyError:
        raise KernelError(f"the kernel's answer lacks attribute {wanted}") from None


def _attributes(pairs: t.Iterable[tuple[int, bytes]]) -> bytes:
    """Attributes for a request."""
    return b"".join(
        NLATTR.pack(NLATTR.size + len(value), kind) + value + bytes(-len(value) % 4) for kind, value in pairs
    )


def _check_layout() -> None:
    why = layout_differs(struct.calcsize("P"), struct.calcsize("@IQ"), os.uname().machine)
    if why:
        raise KernelError(f"cannot read SAs and policies: {why}; use a 64-bit Python (ansible_python_interpreter)")


def layout_differs(pointer: int, aligned: int, machine: str) -> str:
    """Why the kernel's structures do not look to this Python as they do on 64 bits; empty when they do.

    `pointer` is the size of a pointer, `aligned` that of a u32 followed by a u64, `machine` as uname says.
    """
    if pointer == 4 and ("64" in machine or machine == "s390x"):
        return f"this Python has 32 bits and the kernel 64 ({machine})"
    if aligned != 16:
        return f"u64 is not aligned to 8 bytes on {machine}"
    return ""


def has_xfrm(proc_net_netlink: str) -> bool:
    """Whether the text of /proc/net/netlink shows the kernel's own end of NETLINK_XFRM.

    Opening a socket would load xfrm_user by itself, and looking must not change the host.
    """
    rows = (line.split() for line in proc_net_netlink.splitlines()[1:])
    return any(row[1] == str(NETLINK_XFRM) and row[2] == "0" for row in rows if len(row) > 2)


@contextlib.contextmanager
def _connected(protocol: int) -> t.Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind((0, 0))
        yield sock


@contextlib.contextmanager
def _xfrm() -> t.Iterator[XfrmSocket | None]:
    """The XFRM interface; None when this kernel has none, or has not loaded it."""
    with open("/proc/net/netlink", encoding="ascii") as table:
        loaded = has_xfrm(table.read())
    if not loaded:
        yield None
        return
    with _connected(NETLINK_XFRM) as sock:
        yield XfrmSocket(sock)


def ipsec_devices(netlink: NetlinkSocket, devices: t.Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Those of the network devices (index, name) that are own ipsecN devices, sorted by N."""
    found = {}
    for index, name in devices:
        matched = re.fullmatch("ipsec([0-9]{1,10})", name)
        if matched is None:
            continue
        with _gone(errno.ENODEV):
            payload = IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
            answer = netlink.get(RouteMessage.RTM_GETLINK, payload, RouteMessage.RTM_NEWLINK)
            if _is_ours(int(matched[1]), _find(answer[IFINFOMSG.size :], IFLA_LINKINFO).get(IFLA_LINKINFO, b"")):
                found[int(matched[1])] = name
    return tuple(found[number] for number in sorted(found))


def _is_ours(number: int, linkinfo: bytes) -> bool:
    """Whether a device ipsecN is of kind xfrm with the if_id that pluto gives it: N, and 16384 for ipsec0.

    See PLUTO_XFRMI_REMAP_IF_ID_ZERO in programs/pluto/kernel_xfrm_interface.h of Libreswan 4.3 and 4.10. The ipsec0
    of strongSwan's documentation has another if_id; KLIPS's devices have no kind, and go with their module.
    """
    info = _find(memoryview(linkinfo), IFLA_INFO_KIND, IFLA_INFO_DATA)
    if info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") != b"xfrm":
        return False
    data = _find(memoryview(info.get(IFLA_INFO_DATA, b"")), IFLA_XFRM_IF_ID)
    return data.get(IFLA_XFRM_IF_ID) == U32.pack(number or 16384)


def _pyroute2(name: str) -> t.Any:
    """The library that removes this device; DependencyError without it."""
    try:
        # by name: pyroute2 does not declare what it exports
        return importlib.import_module("pyroute2")
    except ImportError:
        raise DependencyError(
            f"cannot remove the network device {name}: the Python library pyroute2 is not installed on this host; "
            f"install the package python3-pyroute2, or remove the device by `ip link del {name}`"
        ) from None


def remove_device(name: str) -> None:
    """Remove a network device; one that is gone already is no error. KernelError as the kernel says."""
    pyroute2 = _pyroute2(name)
    indexes = [index for index, device in socket.if_nameindex() if device == name]
    with pyroute2.IPRoute() as route, _gone(errno.ENODEV):
        for index in indexes:
            try:
                # not "del": with it pyroute2 0.5 sends flags that kernels since 5.19 refuse
                route.link((RouteMessage.RTM_DELLINK.value, NLM_F_REQUEST | NLM_F_ACK), index=index)
            except pyroute2.NetlinkError as exc:
                raise KernelError(
                    f"the kernel request RTM_DELLINK failed for {name}: {os.strerror(exc.code)}",
                    errno=exc.code,
                    request="RTM_DELLINK",
                ) from exc


def _own_devices() -> tuple[str, ...]:
    with _connected(NETLINK_ROUTE) as sock:
        # asked of the kernel: /sys may be another network namespace's
        return ipsec_devices(NetlinkSocket(sock), socket.if_nameindex())


class XfrmKernel:
    """XFRM in the kernel of this network namespace."""

    name: t.Final = "xfrm"

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def tables(self) -> Tables | None:
        """See Kernel.tables."""
        with _xfrm() as tables:
            return None if tables is None else tables.sizes()

    def check_load(self) -> None:
        """See Kernel.check_load: the module must be there."""
        if self.tables() is None:
            self._modprobe("--dry-run")

    def load(self) -> None:
        """See Kernel.load."""
        done = self._modprobe()
        if self.tables() is None:
            raise self._cannot_load(done)

    def _modprobe(self, *options: str) -> Completed:
        done = self._commands.run("modprobe", *options, "xfrm_user", timeout=60)
        if done.status != 0:
            raise self._cannot_load(done)
        return done

    def _cannot_load(self, done: Completed) -> KernelError:
        return KernelError(
            f"cannot load the kernel's XFRM interface: modprobe xfrm_user: {done.reason}; install the modules of "
            f"the running kernel ({os.uname().release}), or load xfrm_user on the host of this container",
            errno=errno.EPROTONOSUPPORT,
        )

    def leftovers(self) -> Leftovers:
        """See Kernel.leftovers; what is own is said at the top of this file."""
        devices = _own_devices()
        with _xfrm() as tables:
            return Leftovers(interfaces=devices) if tables is None else tables.leftovers(devices)

    def check_clean(self) -> None:
        """See Kernel.check_clean: devices need pyroute2."""
        devices = _own_devices()
        if devices:
            _pyroute2(devices[0])

    def clean(self, flush: Flush) -> None:
        """See Kernel.clean."""
        if flush == "none":
            return
        for name in _own_devices():
            remove_device(name)
        with _xfrm() as tables:
            if tables is not None and flush == "all":
                tables.flush()
            elif tables is not None:
                tables.remove_own()
