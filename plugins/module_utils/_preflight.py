# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The trial of a configuration: a throw-away pluto loads it, in namespaces that vanish with it.

Nothing of it is on the host: its files come by a pipe into a memory file system that only the sandbox sees, its network
is a copy of the host's addresses, its run directory is its own. It never takes part in IKE, and runs no updown script:
connections are added, not routed or initiated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import secrets
import tarfile
import typing as t

from ._candidate import File
from ._clock import SystemClock
from ._errors import ConfigError, DependencyError, understood
from ._faults import Fault, Trial
from ._ipsec_conf import INCLUDE_DEPTH
from ._secrecy import safe_text
from ._settings import config_setup
from ._stamp import FOLDER, SECRETS, group_files, secret_files, signature, write_stamp

if t.TYPE_CHECKING:
    from ._candidate import Candidate, Overlay
    from ._commands import Completed
    from ._ipsec_conf import IPsecConf
    from ._ports import CommandsApart

LISTED = "what `ip -json` prints"
HOME = "/run/xswan"
"""In the sandbox, whose /run is its own: everything that this module brings with it."""
HIDDEN_FOLDERS = ("/run", "/var/run", "/proc", "/sys", "/dev")
"""Folders that the sandbox has anew, so no file of the candidate can be in them."""
NSS_FILES = ("cert9.db", "key4.db", "pkcs11.txt")
STAMP = "/run/xswan-ipsec.trial"
"""What the last trial found of what was installed then, and a signature of all that it saw; a boot makes it void."""
GOOD_FOR = 86_400.0
"""Seconds that this holds, for certificates run out though nothing changes."""
NSS_FOLDERS = ("/var/lib/ipsec/nss", "/etc/ipsec.d")
"""Where databases are without `nssdir=`."""
NSS_POLICY = "/etc/crypto-policies/back-ends/nss.config"
"""Which algorithms NSS may have."""
PROGRAMS = tuple(
    f"{folder}/ipsec/{program}"
    for folder in ("/usr/libexec", "/usr/lib", "/usr/local/libexec", "/usr/local/lib")
    for program in ("pluto", "addconn", "whack")
)
OWN_DEVICE = re.compile(r"^ipsec\d+$")
"""Devices that pluto makes itself; in the sandbox it may want to make them too."""

_SCRIPT = r"""
set -ufC
umask 022
ulimit -c 0
mark=$1 home=$2 nssdir=$3 config=$4
say() { printf '\n%s %s\n' "$mark" "$*"; }
# what is left of the archive is read, for the one who writes it must not be cut off
broken() { cat >/dev/null; say broken "$*"; exit 0; }

mount -t tmpfs -o mode=0755 tmpfs /run && mkdir -m 0700 "$home" && cd "$home" && tar -xpf - ||
    broken "no memory file system for the candidate"
[ -L /var/run ] || mount --bind /run /var/run
# a log that is read by others would tell of a pluto that is none
[ ! -S /dev/log ] || mount --bind /dev/null /dev/log

while IFS=" " read -r number folder; do
    mkdir -p "original/$number" && mount --bind "$folder" "original/$number" || broken "cannot bind $folder"
done <shadowed
# a folder before those in it: they are covered where the links of its cover lead
while IFS=" " read -r number folder; do
    mount --bind "shadow/$number" "$folder" || broken "cannot cover $folder"
done <shadowed

for name in cert9.db key4.db pkcs11.txt; do
    [ ! -L "$nssdir/$name" ] || {
        cp -L "$nssdir/$name" copy && rm "$nssdir/$name" && mv copy "$nssdir/$name"
    } || broken "cannot copy the NSS database"
done
[ -e "$nssdir/cert9.db" ] || certutil -N --empty-password -d "sql:$nssdir" ||
    broken "cannot make an NSS database"

ip link set lo up
ip -batch devices >devices.log 2>&1 ||
    broken "no veth devices can be made, is there a kernel module veth? $(head -n 1 devices.log)"
for family in 4 6; do
    ip -force "-$family" -batch "network$family" || echo "of the copied network, some was refused"
done >network.log 2>&1

programs=$(ipsec --directory) || broken "ipsec --directory does not answer"
# pluto starts addconn by itself, which would route and initiate
cp "$programs/addconn" addconn && mount --bind /bin/true "$programs/addconn" || broken "cannot put addconn aside"
mkdir -p /run/pluto

say checked
./addconn --checkconfig --config "$config" 2>&1
say status $?

# start CONFIG NAME: a pluto that answers, its words in NAME.log and NAME.said
start() {
    "$programs/pluto" --config "$1" --nofork --nhelpers 0 --logfile "$home/$2.log" --log-no-time --log-no-audit \
        >"$2.said" 2>&1 &
    pluto=$!
    while kill -0 $pluto 2>/dev/null && [ ! -S /run/pluto/pluto.ctl ]; do sleep 0.05; done
    "$programs/whack" --listen >>"$2.said" 2>&1
}

if start "$config" candidate; then
    say started
    ./addconn --config "$config" $(cat names) >added 2>&1
    "$programs/whack" --status >loaded
    sed -n 's/^\(000 \)\{0,1\}"\([^"]*\)".*/\2/p' loaded | sed 's,/[0-9]*x[0-9]*$,,' | sort -u >there
    sort -u names | comm -23 - there >refused
    while IFS= read -r name; do
        say add "$name"
        ./addconn --config "$config" "$name" 2>&1
    done <refused
    say loaded
    cat loaded
    say added
    cat added
else
    # whose fault it is shows a pluto that has nothing to complain of
    rm -f /run/pluto/pluto.ctl
    start /dev/null control || broken "pluto does not start there with any configuration: $(tail -n 1 control.said)"
fi
say said
cat candidate.said
say log
[ ! -e candidate.log ] || cat candidate.log
say end
"""


class Unshared:
    """See the port `Sandbox`."""

    def __init__(self, commands: CommandsApart, stamp: str = STAMP) -> None:
        self._commands = commands
        self._stamp = stamp
        self._given: frozenset[str] = frozenset()
        self._sight = ""
        """Paths of the candidate's files, and what `load` has seen besides."""

    def check(self) -> None:
        """See Sandbox.check."""
        done = self._commands.run_apart("true", timeout=20)
        if done.status != 0:
            raise DependencyError(f"namespaces of its own cannot be had: {done.reason}")

    def load(self, candidate: Candidate, conf: IPsecConf, timeout: float) -> Trial:
        """See Sandbox.load."""
        nssdir = conf.setup().get("nssdir") or self._default_nssdir()
        for path in (*(file.path for file in candidate.files), candidate.config, f"{nssdir}/."):
            if path.startswith(tuple(f"{folder}/" for folder in HIDDEN_FOLDERS)) or path.count("/") < 2:
                raise DependencyError(f"{path} is in a folder that the sandbox cannot cover")
        mark, network = secrets.token_hex(16), self._network()
        self._given = frozenset(file.path for file in candidate.files)
        self._sight = sight(conf, network, but=self._given)
        done = self._commands.run_apart(
            *("sh", "-c", _SCRIPT, "xswan-ipsec-trial", mark, HOME, nssdir, candidate.config),
            timeout=timeout,
            data=_archive(candidate, nssdir, {"names": "".join(f"{name}\n" for name in conf.names()), **network}),
        )
        return parse_trial(mark, done)

    def remember(self, conf: IPsecConf, found: tuple[Fault, ...]) -> None:
        """See Sandbox.remember."""
        # what cannot be remembered is tried again
        with contextlib.suppress(OSError, DependencyError):
            network = self._network()
            if sight(conf, network, but=self._given) == self._sight:
                told = [dataclasses.asdict(fault) for fault in found]
                noted = {"sight": sight(conf, network), "time": SystemClock().epoch(), "found": told}
                write_stamp(self._stamp, json.dumps(noted))

    def known(self, conf: IPsecConf) -> tuple[Fault, ...] | None:
        """See Sandbox.known."""
        try:
            with open(self._stamp, encoding="utf-8") as file, understood(self._stamp, DependencyError):
                noted = json.load(file)
                age = SystemClock().epoch() - noted["time"]
                if 0 <= age < GOOD_FOR and noted["sight"] == sight(conf, self._network()):
                    return tuple(Fault(**fault) for fault in noted["found"])
        except FileNotFoundError:
            pass  # never tried since the boot
        except DependencyError:
            pass  # written by nobody of ours; or the host's addresses cannot be told, which a trial says too
        return None

    def check_only(self, candidate: Candidate, after: Overlay, reason: str) -> Trial:
        """See Sandbox.check_only."""
        # a file without a name: it is gone with us, however that comes
        fd = os.memfd_create("ipsec.conf")
        try:
            with open(fd, "w", encoding="utf-8", errors="surrogateescape", closefd=False) as file:
                file.write("\n".join(_flat(after, candidate.config, ())))
            path = f"/proc/{os.getpid()}/fd/{fd}"
            done = self._commands.run("ipsec", "addconn", "--checkconfig", "--config", path, timeout=60)
        finally:
            os.close(fd)
        said = f"{done.out}\n{done.err}".replace(path, candidate.config)
        return Trial("static", done.status, said.strip(), reason=reason)

    def _default_nssdir(self) -> str:
        """The folder that the program was built with."""
        try:
            nssdir = config_setup(self._commands, "/dev/null").get("nssdir")
        except ConfigError as exc:
            raise DependencyError(f"the default of nssdir is not known: {exc}") from exc
        if not nssdir:
            raise DependencyError("the default of nssdir is not known: `ipsec addconn --configsetup` does not tell it")
        return nssdir

    def _network(self) -> dict[str, str]:
        """By the script's name for them, files of commands for ip(8): the host's devices, addresses, default routes."""
        with understood(LISTED, DependencyError):
            links = links_up(self._ip("addr", "show"))
            commands = {"devices": list(device_commands(link["ifname"] for link in links))}
            for family, name in (("4", "inet"), ("6", "inet6")):
                routes = self._ip(f"-{family}", "route", "show", "default")
                commands[f"network{family}"] = [*address_commands(links, name), *route_commands(routes)]
        return {name: "".join(f"{line}\n" for line in lines) for name, lines in commands.items()}

    def _ip(self, *words: str) -> list[dict[str, t.Any]]:
        done = self._commands.run("ip", "-json", *words, timeout=20)
        if done.status != 0:
            raise DependencyError(f"ip(8) does not tell the host's addresses: {done.reason}")
        with understood(LISTED, DependencyError):
            return [dict(entry) for entry in json.loads(done.out or "[]")]


def sight(conf: IPsecConf, network: t.Mapping[str, str], *, but: t.Container[str] = ()) -> str:
    """A signature of all that a trial of the installed files of this configuration sees, `but` these files."""
    setup = conf.setup()
    folders = {*NSS_FOLDERS, setup.get("nssdir", NSS_FOLDERS[0])}
    paths = (
        *conf.files,
        *secret_files(setup.get("secretsfile", SECRETS)),
        *group_files(setup.get("ipsecdir", FOLDER)),
        *(f"{folder}/{name}" for folder in sorted(folders) for name in NSS_FILES),
        NSS_POLICY,
        *PROGRAMS,
    )
    seen = signature(tuple(path for path in paths if path not in but and os.path.exists(path)))
    return hashlib.sha256(json.dumps([seen, *sorted(network.items())]).encode()).hexdigest()


def links_up(links: t.Iterable[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Those of `ip -json addr` that pluto listens on: up, and with an address."""
    return [link for link in links if "UP" in link.get("flags", ()) and link.get("addr_info")]


def device_commands(names: t.Iterable[str]) -> t.Iterator[str]:
    """Devices of these names that are up. veth, because its module makes no device when it is loaded."""
    for number, name in enumerate(sorted(name for name in names if name != "lo" and not OWN_DEVICE.match(name))):
        yield f"link add name {name} type veth peer name xswan{number}"
        yield f"link set dev {name} up"
        yield f"link set dev xswan{number} up"


def address_commands(links: t.Iterable[dict[str, t.Any]], family: str) -> t.Iterator[str]:
    """A family's addresses of `ip -json addr`; those of pluto's own devices go to lo, link-local ones stay away."""
    for link in links:
        device = "lo" if OWN_DEVICE.match(link["ifname"]) else link["ifname"]
        for address in link["addr_info"]:
            if address["family"] == family and "local" in address and address.get("scope") not in ("link", "host"):
                nodad = " nodad" if family == "inet6" else ""
                yield f"addr add {address['local']}/{address['prefixlen']} dev {device}{nodad}"


def route_commands(routes: t.Iterable[dict[str, t.Any]]) -> t.Iterator[str]:
    """The default routes of `ip -json route`."""
    for route in routes:
        hops = route.get("nexthops") or [route]
        for hop in hops:
            if "dev" not in hop or OWN_DEVICE.match(hop["dev"]):
                continue
            gateway = f"via {hop['gateway']} " if "gateway" in hop else ""
            onlink = " onlink" if gateway else ""
            source = f" src {route['prefsrc']}" if "prefsrc" in route else ""
            metric = f" metric {route['metric']}" if "metric" in route else ""
            yield f"route add default {gateway}dev {hop['dev']}{onlink}{source}{metric}"
            break


class Shadows:
    """Folders that show all that is in the host's, by symbolic links, but the candidate's files.

    The host's folder is bound to HOME/original/N, the new one, HOME/shadow/N, covers it.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        """The N of each folder that is covered."""
        self._links: dict[str, str] = {}
        self._texts: dict[str, File] = {}
        self._folders: dict[str, None] = {}

    def put(self, file: File) -> None:
        """Show this file, or none where its text is None."""
        path = f"{self._folder(os.path.dirname(file.path))}/{os.path.basename(file.path)}"
        self._links.pop(path, None)
        if file.text is not None:
            self._texts[path] = file

    def write(self, tar: tarfile.TarFile) -> None:
        """Add the folders to an archive."""
        for path in self._folders:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, target in self._links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for path, file in self._texts.items():
            entry = tarfile.TarInfo(path)
            entry.mode = file.mode
            _add(tar, entry, file.text or "")

    def _folder(self, path: str) -> str:
        """Where in the archive the contents of a folder are."""
        if not os.path.isdir(path):
            new = f"{self._folder(os.path.dirname(path))}/{os.path.basename(path)}"
            self._folders[new] = None
            return new
        path = os.path.realpath(path)
        if path not in self.numbers:
            number = self.numbers[path] = len(self.numbers)
            self._folders[f"shadow/{number}"] = None
            with os.scandir(path) as entries:
                for entry in entries:
                    link = os.readlink(entry.path) if entry.is_symlink() else f"{HOME}/original/{number}/{entry.name}"
                    self._links[f"shadow/{number}/{entry.name}"] = link
        return f"shadow/{self.numbers[path]}"


def _archive(candidate: Candidate, nssdir: str, files: t.Mapping[str, str]) -> bytes:
    folders = Shadows()
    for file in (*candidate.files, File(f"{nssdir}/{NSS_FILES[0]}.new", None)):
        folders.put(file)
    shadowed = "".join(f"{number} {path}\n" for path, number in sorted(folders.numbers.items()))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in {**files, "shadowed": shadowed}.items():
            _add(tar, tarfile.TarInfo(name), text)
        folders.write(tar)
    return archive.getvalue()


def _add(tar: tarfile.TarFile, entry: tarfile.TarInfo, text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _flat(source: Overlay, path: str, above: tuple[str, ...]) -> t.Iterator[str]:
    """The lines of a configuration with its includes in their places; `above` are the files that include it."""
    for line in (source.read(path) or "").split("\n"):
        match = re.match(r"^include[ \t]+(\S+)", line)
        if not match or len(above) > INCLUDE_DEPTH:
            yield line
            continue
        for found in source.glob(os.path.join(os.path.dirname(path), match[1].strip('"'))):
            if found not in (*above, path):
                yield from _flat(source, found, (*above, path))


def parse_trial(mark: str, done: Completed) -> Trial:
    """What the script printed; DependencyError when the sandbox itself did not work. Pure."""
    parts: list[tuple[str, str]] = []
    for part in done.out.split(f"\n{mark} ")[1:]:
        title, _line, text = part.partition("\n")
        parts.append((title, text.rstrip("\n")))
    first = {title.partition(" ")[0]: (title.partition(" ")[2], text) for title, text in reversed(parts)}
    if "broken" in first:
        raise DependencyError(f"the sandbox does not work: {safe_text(first['broken'][0])}")
    if "end" not in first:
        raise DependencyError(f"the sandbox came to no end: {done.reason if done.status else 'it was cut off'}")
    empty = ("", "")
    status, said = first.get("status", empty)[0], first.get("checked", empty)[1]
    if not status.isdecimal() or len(status) > 3:
        raise DependencyError("the sandbox does not work: it does not tell how the check of the configuration ended")
    return Trial(
        "sandbox",
        checked=int(status),
        said=said,
        started="started" in first,
        log="\n".join(first[name][1] for name in ("log", "said") if first.get(name, empty)[1]),
        status=first.get("loaded", empty)[1],
        adds=(
            *((title.partition(" ")[2], text) for title, text in parts if title.startswith("add ")),
            *((("", first["added"][1]),) if "added" in first else ()),
        ),
    )
