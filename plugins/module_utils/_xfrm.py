# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel backend XFRM by netlink: sizes of its tables, what is in them, and what a pluto left there.

Message types, attributes and layouts are those of linux/xfrm.h on 64 bits. Attributes with keys (XFRMA_ALG_*) are
stepped over by their length and never read, but for the algorithm's name in a list that was asked for (_xfrm_list).
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import socket
import struct
import typing as t

from ._errors import KernelError
from ._model import Contents, Leftovers, Tables, Total
from ._netlink import attribute, connected, find, spans, unpack, unpack_all
from ._owner import XFRM_POLICY_FWD, XFRMA_POLICY_TYPE, Policy, Reqid, Template, own_reqid

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import Flush, Interface, Listing
    from ._netlink import NetlinkSocket
    from ._ports import Commands

NETLINK_XFRM = 6


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


XFRMA_SAD_CNT = 1
XFRMA_SPD_INFO = 1
XFRMA_TMPL = 5
XFRMA_LASTUSED = 15
"""Of SAs that have carried something, since Linux 6.2 ("xfrm: update x->lastused for every packet")."""
XFRMA_MARK = 21
XFRMA_OFFLOAD_DEV = 28
XFRMA_IF_ID = 31
XFRMA_ALG = frozenset({1, 2, 3, 18, 20})
"""Authentication, encryption, compression, AEAD, truncated authentication: what only a larval SA lacks."""

U32 = struct.Struct("=I")
U64 = struct.Struct("=Q")
XFRMU_SPDINFO = struct.Struct("=6I")
USERSA_TOTAL = struct.Struct("=56x16s4sB3x16x64xQQ16x12x4xIH10x")
"""id.daddr, id.spi, id.proto, curlft.bytes, curlft.packets, reqid, family."""
USERPOLICY_INFO = struct.Struct("=56s64x32xIIBB6x")
"""sel, priority, index, dir, action."""
POLICY_START = struct.Struct("=144xQ4xI8x2xH20xB23xI")
"""curlft.use_time, index, then of the first attribute: its kind, and if that is XFRMA_TMPL, id.proto and reqid of the
first template."""
USER_TMPL = struct.Struct("=16s4xB3xH2x16sIB15x")
"""id.daddr, id.proto, family, saddr, reqid, mode."""


class XfrmSocket:
    """A connected NETLINK_XFRM socket."""

    def __init__(self, netlink: NetlinkSocket) -> None:
        self._netlink = netlink

    def sizes(self) -> Tables:
        """Sizes of the SA and policy tables, in constant time. KernelError as the kernel says (EPERM without root)."""
        every = U32.pack(0xFFFFFFFF)
        answer = self._netlink.get(XfrmMessage.XFRM_MSG_GETSADINFO, every, XfrmMessage.XFRM_MSG_NEWSADINFO)
        (sas,) = unpack(U32, attribute(answer[U32.size :], XFRMA_SAD_CNT))
        # incnt, outcnt, fwdcnt, and the same three for the policies of sockets
        answer = self._netlink.get(XfrmMessage.XFRM_MSG_GETSPDINFO, every, XfrmMessage.XFRM_MSG_NEWSPDINFO)
        counts = unpack(XFRMU_SPDINFO, attribute(answer[U32.size :], XFRMA_SPD_INFO))
        return Tables(sas, counts[0], counts[1], counts[2], sum(counts[3:]))

    def contents(self) -> Contents:
        """What is in the tables, in one pass over each, but for the lists."""
        check_layout()
        totals: dict[int, list[int]] = {}
        spis, own_spis = {}, set()
        larval = offloaded = foreign = 0
        for body in self._netlink.dump(XfrmMessage.XFRM_MSG_GETSA, XfrmMessage.XFRM_MSG_NEWSA):
            daddr, spi, proto, size, packets, reqid, family = unpack(USERSA_TOTAL, body)
            own = own_reqid(proto, reqid)
            kinds = spans(body, USERSA_TOTAL.size)
            # one without an SPI is the kernel's own request for an SA, and expires
            foreign += not own and any(spi)
            if XFRMA_ALG.isdisjoint(kinds):
                larval += 1
                continue
            offloaded += XFRMA_OFFLOAD_DEV in kinds
            total = totals.setdefault(reqid, [0, 0, 0])
            total[0] += 1
            total[1] += size
            total[2] += packets
            if proto in (socket.IPPROTO_ESP, socket.IPPROTO_AH):
                half = address_of(family, daddr), int.from_bytes(spi, "big")
                at = kinds.get(XFRMA_LASTUSED)
                spis[half] = reqid, unpack(U64, body[slice(*at)])[0] if at else 0
                if own:
                    own_spis.add(half)
        foreign_policies, asked = self._asked()
        return Contents(
            tables=self.sizes(),
            larval=larval,
            foreign_sas=foreign,
            foreign_policies=foreign_policies,
            totals=tuple(Total(reqid, *totals[reqid]) for reqid in sorted(totals)),
            offloaded=offloaded,
            spis={half: used or asked.get(reqid, 0) for half, (reqid, used) in spis.items()},
            own_spis=frozenset(own_spis),
            asked=frozenset(asked),
        )

    def _asked(self) -> tuple[int, dict[int, int]]:
        """How many policies are foreign; the reqids of the SAs that own ones ask for, and when these last met a packet.

        The kernel notes the last one for a policy; curlft.use_time of an SA is that of the first.
        """
        foreign = 0
        asked: dict[int, int] = {}
        for body in self._netlink.dump(XfrmMessage.XFRM_MSG_GETPOLICY, XfrmMessage.XFRM_MSG_NEWPOLICY):
            if len(body) >= POLICY_START.size:
                # nearly all are a tunnel's, and the whole of a policy takes four times as long to read
                used, index, kind, proto, reqid = POLICY_START.unpack_from(body)
                if kind == XFRMA_TMPL and own_reqid(proto, reqid) and index & 7 <= XFRM_POLICY_FWD:
                    asked[reqid] = max(used, asked.get(reqid, 0))
                    continue
            policy = policy_from(body)
            foreign += not (policy.of_socket or policy.own)
        return foreign, asked

    def leftovers(self, interfaces: tuple[str, ...]) -> Leftovers:
        """Count own and foreign SAs and policies."""
        from ._xfrm_removal import leftovers

        return leftovers(self._netlink, interfaces)

    def remove_own(self) -> None:
        """Delete own policies, then own SAs; what goes away by itself meanwhile is no error."""
        from ._xfrm_removal import remove_own

        remove_own(self._netlink)

    def flush(self) -> None:
        """Delete everybody's policies, then everybody's SAs."""
        from ._xfrm_removal import flush

        flush(self._netlink)


def policy_from(body: memoryview) -> Policy:
    selector, priority, index, direction, action = unpack(USERPOLICY_INFO, body)
    found = find(body[USERPOLICY_INFO.size :], XFRMA_TMPL, XFRMA_POLICY_TYPE, XFRMA_MARK, XFRMA_IF_ID)
    templates = tuple(
        Template(daddr, saddr, mode, Reqid(proto, reqid))
        for daddr, proto, _family, saddr, reqid, mode in unpack_all(USER_TMPL, found.pop(XFRMA_TMPL, b""))
    )
    return Policy(selector, priority, index, direction, action, templates, tuple(found.items()))


def address_of(family: int, address: bytes) -> str:
    """Text of an address in 16 bytes; of no family, as selectors for everything have it, IPv4's."""
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, address)
    return socket.inet_ntop(socket.AF_INET, address[:4])


def check_layout() -> None:
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
def _xfrm() -> t.Iterator[XfrmSocket | None]:
    """The XFRM interface; None when this kernel has none, or has not loaded it."""
    with open("/proc/net/netlink", encoding="ascii") as table:
        loaded = has_xfrm(table.read())
    if not loaded:
        yield None
        return
    with connected(NETLINK_XFRM) as netlink:
        yield XfrmSocket(netlink)


def _statistics() -> tuple[tuple[str, int], ...]:
    """Counters of packets that XFRM has dropped, those that are not zero: empty too where the kernel counts none."""
    try:
        with open("/proc/net/xfrm_stat", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except FileNotFoundError:
        # built without CONFIG_XFRM_STATISTICS
        return ()
    return tuple((name, int(count)) for name, count in rows if int(count))


def _acq_expires() -> int:
    """Seconds that a larval SA lives."""
    with open("/proc/sys/net/core/xfrm_acq_expires", encoding="ascii") as file:
        return int(file.read())


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

    def contents(self, listing: Listing) -> Contents | None:
        """See Kernel.contents."""
        with _xfrm() as tables:
            if tables is None:
                return None
            found = tables.contents()
        if listing.limit:
            from ._xfrm_list import list_policies, list_sas

            found = found._replace(sa_list=list_sas(listing), policy_list=list_policies(listing))
        return found._replace(statistics=_statistics(), acq_expires=_acq_expires())

    def interfaces(self) -> tuple[Interface, ...]:
        """See Kernel.interfaces."""
        from ._devices import interfaces

        return interfaces()

    def leftovers(self) -> Leftovers:
        """See Kernel.leftovers; what is own is said at the top of _owner and of _devices."""
        from ._devices import own_devices

        devices = own_devices()
        with _xfrm() as tables:
            return Leftovers(interfaces=devices) if tables is None else tables.leftovers(devices)

    def check_clean(self) -> None:
        """See Kernel.check_clean: devices need pyroute2."""
        from ._devices import own_devices, require_pyroute2

        devices = own_devices()
        if devices:
            require_pyroute2(devices[0])

    def clean(self, flush: Flush) -> None:
        """See Kernel.clean."""
        from ._devices import own_devices, remove_device

        if flush == "none":
            return
        for name in own_devices():
            remove_device(name)
        with _xfrm() as tables:
            if tables is not None and flush == "all":
                tables.flush()
            elif tables is not None:
                tables.remove_own()
