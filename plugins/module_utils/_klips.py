# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel backend KLIPS, of Openswan 2.6 and Libreswan up to 3.32, and the choice between the backends.

Never run on a real KLIPS: no kernel with it could be had. All here follows the sources of Openswan 2.6.32 and 2.6.52
and of Libreswan 3.20 to 3.32 (`_realsetup`, `_startklips`, `_stackmanager`, tncfg, the kernel module's /proc files)
and is tested on a simulated /proc with commands that are recorded, not run.

Where those scripts are content, this is not: a command that fails is an error, KLIPS is never replaced by XFRM behind
the administrator's back, and no module of XFRM is unloaded, because others may use it. Left out are the mast devices
of Openswan, and the queue limits of OCF, which only tune hardware.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ._errors import ConfigError, DependencyError, KernelError, understood
from ._model import Contents, Interface, Leftovers, Tables
from ._network import default_routes
from ._pluto import CONFIG
from ._settings import config_setup

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import Backend, Flush, Listing, Program
    from ._ports import Commands

TIMEOUT = 30.0
MODPROBE_TIMEOUT = 60.0
"""Seconds."""

CIPHERS = (
    *("cryptosoft", "padlock", "padlock-aes", "padlock-sha"),
    *("aes-x86_64", "aes", "aes_generic", "des", "sha512", "sha256", "md5", "cbc", "xcbc", "ecb"),
    *("twofish", "blowfish", "serpent", "ccm"),
)
"""What `_startklips` loads before KLIPS, in its order: the drivers of hardware go first."""

FLAGS = (
    ("icmp", "fragicmp", "yes"),
    ("inbound_policy_check", "", "yes"),
    ("no_eroute_pass", "", "no"),
    ("opportunistic", "", "no"),
    ("tos", "hidetos", "yes"),
)
"""Files of /proc/sys/net/ipsec, the keyword of `config setup` that sets each ("": none), and its default. Which of them
a KLIPS has depends on its version."""

MTU = 16260
"""What KLIPS gives a device, and what `_startklips` gives one that has 0."""

OPENSWAN: dict[str, Backend | None] = {
    "auto": None,
    "klips": "klips",
    "netkey": "xfrm",
    "none": "none",
    "nostack": "none",
}
LIBRESWAN_3: dict[str, Backend | None] = {"auto": "xfrm", "klips": "klips", "netkey": "xfrm", "none": "none"}
"""What protostack= means, by program; None: as the kernel has it. Names that are not here make the start scripts, or
the pluto that they call, fail."""

CURES = {
    frozenset({"klips", "xfrm"}): "run `rmmod ipsec` to keep XFRM, or `rmmod af_key` to keep KLIPS",
    frozenset({"klips"}): "stop IPsec with `backend: klips`, run `rmmod ipsec` if it is still loaded then, or write "
    "protostack=klips",
    frozenset({"xfrm"}): "run `rmmod af_key` (a kernel with af_key built in cannot run KLIPS), or write "
    "protostack=netkey",
}
"""What to do, by what is in the kernel and should not be, or should not be together."""


def choose_backend(
    protostack: str | None, present: frozenset[str], available: frozenset[str], program: Program | None
) -> Backend:
    """The backend that `backend: auto` stands for: what this program makes of protostack= on this kernel.

    `protostack` is None when the configuration does not say. `present` is what `present_stacks` found, `available`
    what `available_stacks` did (it only counts for Openswan with protostack=auto).

    - Openswan: auto, the default, is XFRM when that is there, else KLIPS, else XFRM for want of KLIPS.
    - Libreswan 3: netkey is the default, and auto means it.
    - Libreswan 4 and later: nothing but XFRM, whatever protostack= says (4.0 to 4.5 refuse to start with klips).
    - No program: what the kernel has.

    ConfigError for a name that the program does not know, and for mast. KernelError when the kernel has both, or
    another than the chosen one: both want ESP for themselves.
    """
    backend = _named(protostack, program)
    if backend is None:
        loadable = available if program else frozenset()
        backend = "klips" if "klips" in present | loadable and "xfrm" not in present else "xfrm"
    refuse_conflict(backend, present)
    return backend


def auto_backend(commands: Commands, config: str, program: Program | None, *, root: str = "/") -> Backend:
    """The backend of this host. Configuration and modules are looked at only for programs that can use KLIPS."""
    if program is not None and not program.knows_klips:
        return "xfrm"
    available = available_stacks(commands) if program and program.name == "Openswan" else frozenset()
    try:
        protostack = config_setup(commands, config).get("protostack") if program else None
    except ConfigError:
        # it must not hide the state of the host; a start refuses it
        protostack = None
    return choose_backend(protostack, present_stacks(root), available, program)


def _named(protostack: str | None, program: Program | None) -> Backend | None:
    """The backend that protostack= names; None when it leaves it to the kernel."""
    if program is None:
        return None
    if not program.knows_klips:
        return "xfrm"
    if program.name == "Openswan":
        names, word = OPENSWAN, protostack or "auto"
    else:
        names, word = LIBRESWAN_3, protostack or "netkey"
    if word not in names:
        why = "which is not supported here" if word == "mast" else f"which {program.name} {program.version} cannot use"
        raise ConfigError(f"ipsec.conf says protostack={word}, {why}; write one of {', '.join(sorted(names))}")
    return names[word]


def refuse_conflict(backend: Backend, present: frozenset[str]) -> None:
    """KernelError when the kernel has both KLIPS and XFRM, or not the one that is to be used but the other."""
    if backend == "none" or present <= {backend}:
        return
    names = {"klips": "KLIPS (module ipsec)", "xfrm": "XFRM (module af_key)"}
    found = " and ".join(names[stack] for stack in sorted(present))
    raise KernelError(
        f"{names[backend].partition(' ')[0]} is to be used, but in the kernel {'are' if len(present) > 1 else 'is'} "
        f"{found}, and two IPsec stacks cannot work together; {CURES[present]}",
        present=sorted(present),
    )


def present_stacks(root: str = "/") -> frozenset[str]:
    """The IPsec stacks that are in the kernel now, by the files that the programs of KLIPS's days look for.

    XFRM is /proc/net/pfkey, of af_key: xfrm_user alone does not stand in the way of KLIPS, and Libreswan, which loads
    no af_key since 3.28, does not choose by what is there.
    """
    files = {"klips": "proc/net/ipsec_version", "xfrm": "proc/net/pfkey"}
    return frozenset(stack for stack, path in files.items() if os.path.exists(os.path.join(root, path)))


def available_stacks(commands: Commands) -> frozenset[str]:
    """The IPsec stacks whose module could be loaded; loads nothing."""
    modules = {"klips": "ipsec", "xfrm": "af_key"}
    try:
        return frozenset(
            stack
            for stack, module in modules.items()
            if commands.run("modprobe", "--quiet", "--dry-run", module, timeout=TIMEOUT).status == 0
        )
    except DependencyError:
        # without modprobe nothing can be loaded
        return frozenset()


@dataclasses.dataclass(frozen=True)
class Address:
    """An address that a KLIPS device takes over from its physical device, without prefix or peer, as tools do it."""

    address: str
    scope: str


@dataclasses.dataclass(frozen=True)
class Device:
    """A network device."""

    flags: frozenset[str]
    addresses: tuple[Address, ...]
    """But not those that IPv6 makes up by itself from router advertisements: they change."""


def parse_devices(text: str) -> dict[str, Device]:
    """Network devices by name, from the output of `ip address show` (the iproute2 of KLIPS's days has no JSON)."""
    with understood("what `ip address show` prints"):
        found: dict[str, Device] = {}
        name = ""
        for line in text.splitlines():
            head = re.match(r"\d+: ([^:@]+)[^:]*: <([^>]*)>", line)
            words = line.split()
            if head:
                name = head[1]
                found[name] = Device(frozenset(head[2].split(",")), ())
            elif words and words[0] in ("inet", "inet6") and not (words[0] == "inet6" and "dynamic" in words):
                address = Address(words[1].partition("/")[0], words[words.index("scope") + 1])
                found[name] = dataclasses.replace(found[name], addresses=(*found[name].addresses, address))
        return found


def default_device(proc_net_route: str) -> str | None:
    """The device of the first IPv4 default route, from the text of /proc/net/route; None without one.

    The kernel lists routes of the same destination by metric, so the first is the one that is used.
    """
    return next((route.interface for route in default_routes(proc_net_route)), None)


@dataclasses.dataclass(frozen=True)
class Virtual:
    """A line of /proc/net/ipsec_tncfg: a KLIPS device, and the one that it is attached to."""

    physical: str | None
    mtu: int


def parse_tncfg(text: str) -> dict[str, Virtual]:
    """The KLIPS devices by name, from the text of /proc/net/ipsec_tncfg: ipsec_tncfg(5)."""
    rows = re.findall(r"^(ipsec\d+) -> (\S+) mtu=([0-9]{1,9})", text, re.MULTILINE)
    return {name: Virtual(None if physical == "NULL" else physical, int(mtu)) for name, physical, mtu in rows}


@dataclasses.dataclass(frozen=True)
class _Attachment:
    """What `interfaces=` asks for, found to be possible."""

    virtual: str
    physical: str
    addresses: tuple[Address, ...]


class NoKernel:
    """The port `Kernel` for those who look after the kernel themselves: nothing is looked at, loaded or removed."""

    name: t.Final = "none"

    def tables(self) -> None:
        """Not looked at."""

    def check_load(self) -> None:
        """Nothing to load."""

    def load(self) -> None:
        """Nothing to load."""

    def contents(self, listing: Listing) -> None:
        """Not looked at."""

    def interfaces(self) -> tuple[Interface, ...]:
        """Not looked for."""
        return ()

    def leftovers(self) -> Leftovers:
        """Not looked for."""
        return Leftovers()

    def check_clean(self) -> None:
        """Nothing is removed."""

    def clean(self, flush: Flush) -> None:
        """Nothing is removed."""


class KlipsKernel:
    """See the port `Kernel`. What is in KLIPS's tables is all a pluto's own: nobody else knows how to fill them."""

    name: t.Final = "klips"

    def __init__(self, commands: Commands, *, config: str = CONFIG, root: str = "/") -> None:
        self._commands = commands
        self._config = config
        self._root = root

    def tables(self) -> Tables | None:
        """See Kernel.tables. Eroutes are policies, and all of them are for what goes out."""
        if not self._loaded():
            return None
        return Tables(sas=self._count("net/ipsec_spi"), policies_out=self._count("net/ipsec_eroute"))

    def contents(self, listing: Listing) -> Contents | None:
        """See Kernel.contents: sizes are all that is read from /proc, and so there are no lists."""
        tables = self.tables()
        return None if tables is None else Contents(tables)

    def interfaces(self) -> tuple[Interface, ...]:
        """See Kernel.interfaces. Addresses are not looked for: they are those of the physical device."""
        if not self._loaded():
            return ()
        return tuple(
            Interface(name, "ipsec", None, virtual.physical, virtual.physical is not None, virtual.mtu, ())
            for name, virtual in sorted(self._virtuals().items())
        )

    def leftovers(self) -> Leftovers:
        """See Kernel.leftovers."""
        tables = self.tables()
        if tables is None:
            return Leftovers()
        return Leftovers(policies=tables.policies_out, sas=tables.sas, interfaces=tuple(sorted(self._attached())))

    def check_clean(self) -> None:
        """See Kernel.check_clean: KLIPS's own tools remove its devices."""

    def check_load(self) -> None:
        """Raise what makes a load impossible, as far as it can be known: ConfigError, KernelError. Reads only."""
        self._check()

    def load(self) -> None:
        """See Kernel.load. Load KLIPS, set its flags, attach the devices of `interfaces=`; from any state of KLIPS.

        To be called before every start of a pluto that has no script to do this, also when KLIPS is loaded: where
        `clean` could not unload it, it has detached the devices. What an earlier pluto left is removed, so no pluto may
        run.
        """
        setup, attachments = self._check()
        if not self._loaded():
            self._modprobe()
        self._clear()
        self._set_debug(setup.get("klipsdebug", "").split())
        self._set_flags(setup)
        for attachment in attachments:
            self._attach(attachment, int(setup.get("overridemtu", "0")))

    def clean(self, flush: Flush) -> None:
        """See Kernel.clean: devices, eroutes, SAs, and last the module itself, as Openswan's stop does.

        There is nothing foreign, so `own` and `all` are the same. A module that cannot be unloaded, as it is in use or
        built in, stays, and so does one that modprobe could not load again; empty, it does nothing, and `tables` tells
        that it is there. KernelError only when something is left in it.
        """
        if flush == "none" or not self._loaded():
            return
        self._clear()
        why = self._unload()
        left = self.leftovers()
        if left.own:
            found = [f"{left.policies} eroutes", f"{left.sas} SAs", *left.interfaces]
            raise KernelError(
                f"KLIPS still has {', '.join(found)} after all was cleared, and stays loaded: {why}; see the kernel's "
                "log (dmesg), and restart this host if nothing else helps"
            )

    def _clear(self) -> None:
        """Remove what is in it."""
        for virtual in sorted(self._attached()):
            self._do("ip", "link", "set", "dev", virtual, "down")
            self._do("ip", "address", "flush", "dev", virtual)
            self._do("ipsec", "tncfg", "--detach", "--virtual", virtual)
        if self._has_debug():
            self._do("ipsec", "klipsdebug", "--none")
        self._do("ipsec", "eroute", "--clear")
        self._do("ipsec", "spi", "--clear")

    def _unload(self) -> str:
        """Unload the module if that can be undone; why it stays, when it does."""
        if "klips" not in available_stacks(self._commands):
            return "modprobe could not load it again"
        return self._commands.run("rmmod", "ipsec", timeout=MODPROBE_TIMEOUT).reason

    def _check(self) -> tuple[dict[str, str], tuple[_Attachment, ...]]:
        """`config setup`, and what its `interfaces=` asks for."""
        refuse_conflict("klips", present_stacks(self._root))
        setup = config_setup(self._commands, self._config)
        if not setup.get("overridemtu", "0").isdigit():
            raise ConfigError(f"{self._config}: overridemtu={setup['overridemtu']} is no size; write a number of bytes")
        wanted = self._wanted(setup.get("interfaces") or "%defaultroute")
        devices = parse_devices(self._do("ip", "address", "show").out) if wanted else {}
        attachments = tuple(self._possible(virtual, wanted[virtual], devices) for virtual in wanted)
        if not self._loaded() and "klips" not in available_stacks(self._commands):
            raise KernelError(
                "this kernel has no KLIPS, and there is no module ipsec for it; install the KLIPS module of the "
                "running kernel, or write protostack=netkey"
            )
        return setup, attachments

    def _wanted(self, interfaces: str) -> dict[str, str]:
        """KLIPS device to physical device, in the order of the configuration."""
        wanted: dict[str, str] = {}
        for word in interfaces.split():
            if word == "%none":
                continue
            virtual, physical = ("ipsec0", self._default()) if word == "%defaultroute" else self._pair(word)
            if virtual in wanted:
                raise ConfigError(
                    f"{self._config}: interfaces={interfaces} attaches {virtual} twice, to {wanted[virtual]} and to "
                    f"{physical} ({word}); give each an ipsecN of its own"
                )
            wanted[virtual] = physical
        return wanted

    def _pair(self, word: str) -> tuple[str, str]:
        match = re.fullmatch(r"(ipsec\d{1,3})=((?!ipsec\d|mast\d)[^\s/=]+)", word)
        if match:
            return match[1], match[2]
        why = "names a mast device, which is not supported" if word.startswith("mast") else "cannot be understood"
        raise ConfigError(
            f"{self._config}: `{word}` in interfaces= {why}; write %defaultroute, %none, or ipsecN=DEVICE "
            "such as ipsec0=eth0"
        )

    def _default(self) -> str:
        device = default_device(self._read("net/route"))
        if device is None:
            raise ConfigError(
                f"{self._config}: interfaces=%defaultroute (the default), but this host has no IPv4 default route; "
                "add one, or name the device, such as ipsec0=eth0"
            )
        return device

    def _possible(self, virtual: str, physical: str, devices: dict[str, Device]) -> _Attachment:
        device = devices.get(physical)
        if device is None:
            problem = f"there is no device {physical}; write one of {', '.join(sorted(devices))}"
        elif not device.flags & {"BROADCAST", "POINTOPOINT"}:
            problem = f"{physical} is neither a broadcast nor a point-to-point device; choose another"
        elif all(address.scope == "link" for address in device.addresses):
            problem = f"{physical} has no address that {virtual} could take over; give it one, or choose another"
        else:
            return _Attachment(virtual, physical, device.addresses)
        raise ConfigError(f"{self._config}: interfaces= wants {virtual} on {physical}, but {problem}")

    def _modprobe(self) -> None:
        for module in CIPHERS:
            # whether one is there, built in, or called otherwise differs by kernel, and KLIPS can do without each
            self._commands.run("modprobe", "--quiet", module, timeout=MODPROBE_TIMEOUT)
        done = self._commands.run("modprobe", "ipsec", timeout=MODPROBE_TIMEOUT)
        if done.status != 0 or not self._loaded():
            why = done.reason if done.status != 0 else "it brought no /proc/net/ipsec_version"
            raise KernelError(
                f"cannot load KLIPS: modprobe ipsec: {why}; unload esp4 and ah4, whose place it takes, see the "
                "kernel's log (dmesg), or write protostack=netkey"
            )

    def _set_debug(self, words: list[str]) -> None:
        """`klipsdebug=`; a KLIPS that was built without debugging has nothing to set, and works all the same."""
        if not self._has_debug():
            return
        for word in words:
            if word != "none":
                self._do("ipsec", "klipsdebug", *(["--all"] if word == "all" else ["--set", word]))

    def _set_flags(self, setup: dict[str, str]) -> None:
        for flag, keyword, default in FLAGS:
            value = setup.get(keyword, default)
            path = self._proc(f"sys/net/ipsec/{flag}")
            if os.path.exists(path):
                self._write(path, "1\n" if value == "yes" else "0\n")
            elif value != default:
                raise KernelError(f"{self._config}: {keyword}={value}, but this KLIPS has no {path}; remove that line")

    def _attach(self, attachment: _Attachment, mtu: int) -> None:
        virtual = attachment.virtual
        if virtual not in self._virtuals():
            self._do("ipsec", "tncfg", "--create", virtual)
        self._do("ipsec", "tncfg", "--attach", "--virtual", virtual, "--physical", attachment.physical)
        # --create tells of no failure
        device = self._virtuals().get(virtual)
        if device is None or device.physical != attachment.physical:
            raise KernelError(
                f"ipsec tncfg attached {virtual} to {attachment.physical}, but /proc/net/ipsec_tncfg does not say so; "
                "see the kernel's log (dmesg)"
            )
        for address in attachment.addresses:
            self._do("ip", "address", "add", address.address, "scope", address.scope, "dev", virtual)
        mtu = mtu or (MTU if device.mtu == 0 else 0)
        self._do("ip", "link", "set", "dev", virtual, *(["mtu", str(mtu)] if mtu else []), "up")

    def _loaded(self) -> bool:
        return "klips" in present_stacks(self._root)

    def _virtuals(self) -> dict[str, Virtual]:
        return parse_tncfg(self._read("net/ipsec_tncfg"))

    def _attached(self) -> list[str]:
        return [name for name, virtual in self._virtuals().items() if virtual.physical]

    def _has_debug(self) -> bool:
        return os.path.exists(self._proc("net/ipsec_klipsdebug"))

    def _count(self, table: str) -> int:
        return sum(1 for line in self._read(table).splitlines() if line.strip())

    def _proc(self, path: str) -> str:
        return os.path.join(self._root, "proc", path)

    def _read(self, path: str) -> str:
        try:
            with open(self._proc(path), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError as exc:
            raise KernelError(
                f"cannot read {self._proc(path)}: {exc.strerror}; is KLIPS loaded?", errno=exc.errno
            ) from exc

    def _write(self, path: str, text: str) -> None:
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        except OSError as exc:
            raise KernelError(f"cannot write {path}: {exc.strerror}; make it writable", errno=exc.errno) from exc

    def _do(self, *argv: str) -> Completed:
        done = self._commands.run(*argv, timeout=TIMEOUT)
        if done.status != 0:
            raise KernelError(f"`{' '.join(argv)}` failed: {done.reason}; see the kernel's log (dmesg)")
        return done
