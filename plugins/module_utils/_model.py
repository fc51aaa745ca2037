# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one look at a gateway finds (State) and what a task asks for (Desired).

Everything here is frozen and ordered, so that `==` is the only comparison; nothing here ever holds key material.
NamedTuples, which cost an eighth of a frozen dataclass at every start of a module; and real annotations, for a
NamedTuple compiles each that is a string, as all are after `from __future__ import annotations`.
"""

import typing as t

LockKind = t.Literal["absent", "damaged", "dead", "reused", "pluto"]
ControlKind = t.Literal["absent", "stale", "listening"]
Wait = t.Literal["none", "listening", "loaded", "established"]
Flush = t.Literal["own", "all", "none"]
Backend = t.Literal["xfrm", "klips", "none"]


class Program(t.NamedTuple):
    """The IPsec program of the host as `ipsec --version` names it."""

    name: str
    version: str

    @property
    def knows_klips(self) -> bool:
        """Whether it can use KLIPS: Openswan, and Libreswan up to 3."""
        return self.name == "Openswan" or int(self.version.partition(".")[0]) < 4


class Process(t.NamedTuple):
    """A process of the host's own pid and network namespace.

    Identity is (pid, since_boot), never the pid alone: pids are reused; and never the time of day, which can be set.
    A pid of None belongs to a process that is only predicted.
    """

    pid: t.Optional[int]
    started: float = 0.0
    """Seconds since the epoch."""
    upgraded: bool = False
    """The binary on disk is no longer the one that runs (`/proc/PID/exe` ends in ` (deleted)`)."""
    since_boot: float = 0.0
    """Seconds from the boot of the host until it was started."""

    @property
    def identity(self) -> tuple[t.Optional[int], float]:
        """What makes this process the same one at the next look, as long as the host is not booted anew."""
        return (self.pid, self.since_boot)


class Lock(t.NamedTuple):
    """pluto's lock file, pluto.pid, and what its content means now."""

    path: str
    kind: LockKind = "absent"
    """damaged: no pid in it; dead: no such process; reused: the pid belongs to a program that is not pluto."""
    pid: t.Optional[int] = None


class Control(t.NamedTuple):
    """pluto's control socket, pluto.ctl, and who listens on it."""

    path: str
    kind: ControlKind = "absent"
    """stale: the file is there and nobody listens."""
    pids: tuple[t.Optional[int], ...] = ()


class Listening(t.NamedTuple):
    """A socket on which pluto awaits IKE."""

    interface: str
    address: str
    port: int
    protocol: t.Literal["udp", "tcp"] = "udp"
    nat_t: bool = False
    """It takes ESP in UDP, too (RFC 3948)."""


class End(t.NamedTuple):
    """One end of a connection as pluto holds it; None is what this version does not tell."""

    address: t.Optional[str] = None
    """`%any` and the like where it is not a certain one."""
    id: t.Optional[str] = None
    subnets: tuple[str, ...] = ()
    auth: t.Optional[str] = None
    """ipsec.conf's word: secret, rsasig, ecdsa, null, ..."""
    certificate: t.Optional[str] = None
    """Nickname in the NSS database."""


class Loaded(t.NamedTuple):
    """A connection as pluto holds it. Expansions of `subnets=` and instances of a template are some of their own."""

    name: str
    """With its expansion (`net/1x2`), without the instance."""
    instance: str = ""
    """`[2]` of an instance."""
    local: End = End()
    remote: End = End()
    oriented: bool = True
    """One of its ends is an address of this host."""
    interface: t.Optional[str] = None
    routing: str = "unrouted"
    """unrouted, trap (a packet starts the negotiation), tunnel, or routed: something else that takes packets."""
    shunt: bool = False
    """type=passthrough or drop: there is nothing to negotiate."""
    version: t.Optional[int] = None
    """Of IKE."""
    ike_lifetime: t.Optional[int] = None
    """Seconds."""
    ike_algorithms: t.Optional[str] = None
    child_algorithms: t.Optional[str] = None
    reqid: t.Optional[int] = None


class IkeSa(t.NamedTuple):
    """An IKE SA (ISAKMP SA), established or not yet."""

    connection: str
    """Name of the connection that negotiated it, as in Loaded.name."""
    serial: int
    established: bool
    peer: t.Optional[str] = None
    """Address, where pluto tells it with the SA: for instances."""
    version: t.Optional[int] = None
    initiator: t.Optional[bool] = None
    rekey_in: t.Optional[int] = None
    """Seconds."""
    replace_in: t.Optional[int] = None
    """Seconds until it is replaced, at the end of its lifetime."""


class ChildSa(t.NamedTuple):
    """A Child SA (IPsec SA) that is established, or, with a state of `negotiating`, not yet."""

    connection: str
    """Name of its connection, as in Loaded.name."""
    serial: int
    added: t.Optional[int] = None
    """Seconds since the epoch."""
    bytes_in: t.Optional[int] = None
    bytes_out: t.Optional[int] = None
    instance: str = ""
    """`[2] 192.0.2.9` of an instance, as pluto prints it."""
    state: t.Literal["established", "negotiating"] = "established"
    ike: t.Optional[int] = None
    """Serial of its IKE SA."""
    rekey_in: t.Optional[int] = None
    """Seconds."""
    used: t.Optional[int] = None
    """Seconds since pluto saw it used."""
    protocol: t.Optional[str] = None
    """esp or ah."""
    local: t.Optional[str] = None
    """Address that spi_in belongs to."""
    remote: t.Optional[str] = None
    spi_in: t.Optional[int] = None
    spi_out: t.Optional[int] = None
    username: t.Optional[str] = None
    lease: t.Optional[str] = None
    """Address given to the peer."""

    @property
    def halves(self) -> tuple[tuple[str, int], ...]:
        """Destination address and SPI of its two kernel SAs, as far as pluto told them."""
        both = ((self.local, self.spi_in), (self.remote, self.spi_out))
        return tuple((address, spi) for address, spi in both if address is not None and spi is not None)


class Answer(t.NamedTuple):
    """What pluto itself said over its control socket."""

    interfaces: tuple[str, ...] = ()
    """Network interfaces on which it listens for IKE."""
    connections: tuple[str, ...] = ()
    """Names of the connections it holds, sorted; instances and expansions (`name/1x2`) belong to their parent."""
    child_sas: tuple[ChildSa, ...] = ()
    """The established ones, by serial number."""
    negotiating: tuple[ChildSa, ...] = ()
    """The others."""
    ike_sas: tuple[IkeSa, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    listening: tuple[Listening, ...] = ()
    nat_t: t.Optional[bool] = None
    fips: t.Optional[bool] = None
    seccomp: t.Optional[str] = None
    selinux: t.Optional[str] = None
    nssdir: t.Optional[str] = None
    secrets_file: t.Optional[str] = None
    unknown_lines: int = 0
    """How many lines of its output were not understood."""
    unknown: tuple[str, ...] = ()
    """The first of them."""

    def missing(self, kernel_spis: t.Optional[t.Collection[tuple[str, int]]]) -> tuple[ChildSa, ...]:
        """Established Child SAs of which the kernel, which has these destination addresses and SPIs, lacks a half.

        Only those whose SPIs and addresses pluto told; none when the kernel was not looked at (None).
        """
        if kernel_spis is None:
            return ()
        return tuple(child for child in self.child_sas if any(half not in kernel_spis for half in child.halves))


class Unit(t.NamedTuple):
    """The service manager's view of the subsystem."""

    name: str
    active: str
    """systemd's ActiveState: active, inactive, activating, deactivating, failed, reloading."""
    sub: str = ""
    enabled: bool = False
    masked: bool = False
    main_pid: t.Optional[int] = None
    restarts: int = 0
    """How often the manager itself started it again since the last start that was asked for."""
    result: str = "success"
    """systemd's Result: success, exit-code, signal, core-dump, timeout, start-limit-hit."""


class Stranger(t.NamedTuple):
    """A process that holds an IKE port and is no pluto, or one of another pid namespace, which shares our network."""

    port: int
    """UDP port, 500 or 4500."""
    pid: t.Optional[int]
    """None: not visible, for example a process in a container that shares the network namespace."""
    name: str

    @property
    def message(self) -> str:
        """Who holds what."""
        who = f"{self.name} (pid {self.pid})" if self.pid else "a process that cannot be seen from here"
        where = " of another pid namespace, such as a container's" if self.name == "pluto" else ""
        return f"UDP port {self.port} is held by {who}{where}"


class Leftovers(t.NamedTuple):
    """What is in the kernel while no pluto runs. Own is what a pluto made, foreign is everybody else's."""

    policies: int = 0
    sas: int = 0
    interfaces: tuple[str, ...] = ()
    """ipsecN devices."""
    foreign_policies: int = 0
    foreign_sas: int = 0

    @property
    def own(self) -> bool:
        """Whether a pluto left something."""
        return bool(self.policies or self.sas or self.interfaces)


class Tables(t.NamedTuple):
    """Sizes of the kernel's SA and policy tables, larval SAs and the sockets' own policies included."""

    sas: int = 0
    policies_in: int = 0
    policies_out: int = 0
    policies_fwd: int = 0
    policies_socket: int = 0


class Listing(t.NamedTuple):
    """Which SAs and policies are to be told one by one."""

    limit: int = 0
    """At most so many of each; 0: none."""
    address: t.Optional[str] = None
    """Only those that concern this address or network; None: all."""


class Total(t.NamedTuple):
    """What the mature SAs of one reqid have carried."""

    reqid: int
    sas: int
    bytes: int
    packets: int


class Contents(t.NamedTuple):
    """What is in the kernel's tables, whoever put it there."""

    tables: Tables
    larval: int = 0
    """How many of the SAs have no keys yet."""
    foreign_sas: int = 0
    foreign_policies: int = 0
    totals: tuple[Total, ...] = ()
    """By reqid."""
    offloaded: int = 0
    """How many SAs a network device works on."""
    spis: t.Optional[t.Mapping[tuple[str, int], int]] = None
    """Destination address and SPI of every mature ESP or AH SA, and when it last carried a packet, in seconds since the
    epoch; 0: never, or the kernel does not tell. Where it does not tell of the SA, as before Linux 6.2, it is when a
    packet last met a pluto's policies of its reqid, whatever their direction. None: not looked at, as in KLIPS."""
    own_spis: frozenset[tuple[str, int]] = frozenset()
    """Those of them that a pluto made."""
    asked: frozenset[int] = frozenset()
    """The reqids that a pluto's policies ask for."""
    statistics: tuple[tuple[str, int], ...] = ()
    """Counters that are not zero, with their name in /proc/net/xfrm_stat."""
    acq_expires: t.Optional[int] = None
    """Seconds that a larval SA lives."""
    sa_list: tuple[dict[str, t.Any], ...] = ()
    """As in the facts, JSON-ready, and only as many as were asked for."""
    policy_list: tuple[dict[str, t.Any], ...] = ()


class Interface(t.NamedTuple):
    """A network device through which IPsec routes."""

    name: str
    kind: str
    """xfrm, vti, vti6 or ipsec."""
    if_id: t.Optional[int]
    """Of an xfrm device."""
    link: t.Optional[str]
    """The device below it."""
    up: bool
    mtu: int
    addresses: tuple[str, ...]


class Route(t.NamedTuple):
    """A default route of the main table."""

    family: t.Literal["ipv4", "ipv6"]
    interface: str
    gateway: t.Optional[str]
    """None: the destination is on the link."""
    metric: int


class Owner(t.NamedTuple):
    """A socket on an IKE port, and who holds it."""

    port: int
    """UDP port, 500 or 4500."""
    address: str
    pid: t.Optional[int]
    """None: not visible, for example a process in a container that shares the network namespace."""
    name: str


class Settings(t.NamedTuple):
    """The host's own settings that decide whether traffic reaches and leaves tunnels."""

    ip_forward: dict[str, t.Optional[bool]]
    """By family; None: the kernel has none of that family."""
    rp_filter: dict[str, int]
    send_redirects: dict[str, int]
    accept_redirects: dict[str, int]
    """By interface, with `all` and `default`, for IPv4: Documentation/networking/ip-sysctl.rst."""
    default_route: tuple[Route, ...]
    """In the order of their use."""
    ike_ports: tuple[Owner, ...]


Traffic = t.Literal["esp", "ike", "nat-t"]


class Refusal(t.NamedTuple):
    """A rule of the firewall that lets in nothing of a kind that a peer begins."""

    what: Traffic
    table: str
    """With its family, as nft writes it: inet filter."""
    chain: str
    rule: str
    """The rule, or the chain's policy."""


class Firewall(t.NamedTuple):
    """What the host's firewall does with what comes in for IPsec, where that can be told."""

    tool: t.Optional[t.Literal["nftables", "iptables"]]
    """What was read; None: neither is installed."""
    refuses: tuple[Refusal, ...] = ()


class ConfigFault(t.NamedTuple):
    """What is wrong with ipsec.conf."""

    kind: t.Literal["missing", "invalid"]
    reason: str
    """One sentence."""
    output: str = ""
    """All that the program said about it."""


class State(t.NamedTuple):
    """One look at the host, from independent sources."""

    program: t.Optional[Program]
    config: str
    """Path of ipsec.conf."""
    config_fault: t.Optional[ConfigFault]
    """Whether it is there is always looked at, whether it parses only while no pluto runs."""
    manager: str
    unit: t.Optional[Unit]
    plutos: tuple[Process, ...]
    loading: bool
    """`ipsec addconn` is still loading connections."""
    zombies: tuple[int, ...]
    """Plutos that have ended, and whose parent has not taken notice."""
    lock: Lock
    old_locks: tuple[str, ...]
    """Files that are there only while IPsec is up: ipsec_setup.pid and ipsec.info of Openswan's setup script,
    the subsystem lock of init scripts, and the saved resolv.conf."""
    log_rules: tuple[str, ...]
    """Rules of `nflog-all=` in the firewall, in words. Only looked for while no pluto runs."""
    control: Control
    answer: t.Optional[Answer]
    """None: no control socket, or no answer in time."""
    backend: Backend
    tables: t.Optional[Tables]
    """None: the backend is not loaded (XFRM: the module xfrm_user)."""
    leftovers: Leftovers
    """Only looked for while no pluto runs."""
    strangers: tuple[Stranger, ...]
    """Only looked for while no pluto runs, or one that listens nowhere."""
    loadable: bool = True
    """Whether XFRM, which is not loaded, can be. Only looked for while no pluto runs, and where that can be told."""
    at: float = 0.0
    """When it was, in seconds since the epoch."""
    reload: object = None
    """A Reload of _reload, which not every module brings along: only that file looks into it."""


class Desired(t.NamedTuple):
    """What the task asks for; None leaves that part as it is."""

    running: t.Optional[bool] = None
    restart: bool = False
    reload: bool = False
    """The connections of a running pluto are made those of its configuration."""
    allow_restart: bool = False
    """Restart for what cannot be reloaded."""
    start_idle: bool = True
    """With reload: start the tunnels that should be up and that pluto has given up. Whether they come up is the peers'
    to say."""
    enabled: t.Optional[bool] = None
    start_timeout: float = 90.0
    """Seconds."""
    stop_timeout: float = 90.0
    """Seconds."""
    wait: Wait = "loaded"
    flush: Flush = "own"

    def settled(self) -> "Desired":
        """What must hold afterwards: a restart is an event, not a state, and who does not wait cannot know."""
        unknown = self.running and self.wait == "none"
        return self._replace(restart=False, running=None if unknown else self.running, start_idle=False)
