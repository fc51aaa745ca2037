# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of what `ipsec` programs print. Pure.

Seen: Libreswan 4.3, 4.10, 5.2; from their sources: 3.32, 5.4 and Openswan 2.6. Up to 4.x every line begins with a
three-digit code and a blank, from 5.0 none does. What a reader does not know it counts, and takes no harm from it.
"""

from __future__ import annotations

import re
import typing as t

from ._model import Answer, ChildSa, End, IkeSa, Listening, Loaded, Program
from ._secrecy import safe

UNKNOWN_SHOWN = 5
"""Lines that were not understood which an Answer keeps."""
LINE_SHOWN = 300
"""Characters of a line that somebody else may have written, such as a peer with its ID."""


class _Pattern:
    """A regular expression that is compiled when it is first used: most answers need few of those below."""

    match: t.Callable[[str], re.Match[str] | None]
    search: t.Callable[[str], re.Match[str] | None]
    findall: t.Callable[[str], list[t.Any]]
    sub: t.Callable[[str, str], str]

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __getattr__(self, name: str) -> t.Any:
        # called for what is not there yet
        compiled = re.compile(self._pattern)
        self.match, self.search = compiled.match, compiled.search
        self.findall, self.sub = compiled.findall, compiled.sub
        return getattr(compiled, name)


_PROGRAM = _Pattern(r"\b(Libreswan|Openswan|strongSwan) [vU]?(\d[\w.+-]*)")
_EXPANSION = _Pattern(r"(?:/\d+x\d+|#[0-9a-f.:]+/\d+)$")

_INTERFACE = _Pattern(
    r"interface (?P<name>[^\s/]+)(?:/\S+)? (?:(?P<protocol>UDP|TCP) )?(?P<address>\[[^\]]+\]|[^\s:@]+|[^\s@]+)"
    r"(?:[:@](?:(?P<protocol5>UDP|TCP)/)?(?P<port>\d{1,5}))?(?P<nat> \(NAT\))?$"
)
_NUMBER = r"[0-9]{1,18}"
"""Of 63 bits at most; what has more digits is no number that pluto prints."""
_NAME = r'"(?P<name>[^"]+)"(?P<instance>(?:\[\d+\])*)(?: (?P<peer>\S+))?'
_CONNECTION = _Pattern(_NAME + r":(?P<rest> .*|)$")
_TOPOLOGY = _Pattern(
    r" (?P<ends>.*); (?P<routing>[a-zA-Z][a-zA-Z ,-]*); (?:eroute owner: #\d+|my_ip=[^;]*; their_ip=[^;]*;)$"
)
_LEFT = _Pattern(r"(?:(?P<subnet>\S+?)===)?(?P<host>%\w+(?:<[^>]*>)?|[^\s<\[-]+)")
_RIGHT = _Pattern(r"(?:[^\s<\[]+---)?(?P<host>%\w+(?:<[^>]*>)?|[^\s<\[=-]+)")
_RIGHT_SUBNET = _Pattern(r"===(\S+)$")
_PROTOCOL = _Pattern(r":(?:\d+|[A-Z]+)/\S+$")
"""leftprotoport=, where there is no subnet to show it with: up to 4.x."""
_KEY = _Pattern(r"\s+([A-Za-z_][\w-]*)")
_HOST = _Pattern(
    r" host: (un)?oriented; (?:local|left): ([^;<]*)[^;]*;(?: nexthop:[^;]*;| leftnexthop:[^;]*;)*"
    r"(?: rightnexthop:[^;]*;)? (?:remote|right): ([^;<]*)"
)
_CERTIFICATE = _Pattern(r"\bmycert=([^;]+);")
_AUTH = _Pattern(r"our auth:([^,]+), their auth:([^,;]+)")
_IDS = _Pattern(r"our idtype: \S+; our id=(.*?); their idtype: \S+; their id=(.*)$")
_ON_INTERFACE = _Pattern(r"\binterface: ([^;\s]*);")
_POLICY = _Pattern(r"policy: ([\w+%-]*)")
_LIFETIME = _Pattern(rf"\bike_life: ({_NUMBER})s;")
_NEWEST = _Pattern(r"(IKEv?\d?|ESP|AH|IPsec) algorithm newest: ([^;]+)")
_REQID = _Pattern(rf"\breqid: ({_NUMBER});")
_STATE = _Pattern(rf"#(?P<serial>{_NUMBER}): " + _NAME + r":(?P<port>\d+)(?:\(tcp\))? (?P<rest>.*)$")
_SPIS = _Pattern(
    rf"#(?P<serial>{_NUMBER}): "
    + _NAME.replace(r"\S+", r"(?!esp\.|ah\.|used )\S+")
    + rf"(?: used (?P<used>{_NUMBER})s ago;)? (?P<said>(?:esp|ah)\..*)$"
)
_SPIS_COMPRESSED = _Pattern(r'#\d+: "[^"]+".* comp\.[0-9a-f]+@')
_SAID = _Pattern(r"\b(esp|ah)\.([0-9a-f]{1,8})@(\S+)")
_PENDING = _Pattern(r'#\d+: pending [\w ]+ for "')
_EVENT = _Pattern(r"(?:EVENT_)?(?:SA_|v1_|v2_)*(REKEY|REPLACE)(?:_IF_USED)? in (-?" + _NUMBER + ")s")
_PARENT = _Pattern(rf"(?:isakmp|IKE SA |ISAKMP SA )#({_NUMBER})")
_TRAFFIC = _Pattern(
    rf"#(?P<serial>{_NUMBER}): " + _NAME.replace(r"\S+", r"[^\s,]+") + r"(?:, username=(?P<username>.*))?, type=[^,]+, "
    rf"add_time=(?P<added>{_NUMBER})(?:, inBytes=(?P<bytes_in>{_NUMBER}))?(?:, outBytes=(?P<bytes_out>{_NUMBER}))?"
    r"(?:, maxBytes=[^,]+)?(?:, id='.*')?(?:, lease=(?P<lease>\S+))?$"
)

_DETAILS = frozenset((
    "AH", "aliases", "banner", "CAs", "cisco-split", "clone", "clone_id", "conn", "conn_prio", "debug", "dpd",
    "ESP", "hiscert", "host", "IKE", "ike_life", "IKEv1", "IKEv2", "initial-contact", "IPsec", "iptfs", "keys",
    "labeled_ipsec", "leftupdown", "liveness", "modecfg", "my_updown", "mycert", "myip", "nat-traversal", "network",
    "newest", "nflog-group", "oriented", "our", "peercert", "policy", "policy_label", "policy_next", "reqid",
    "retransmit-interval", "rightupdown", "routing", "sec_label", "session", "unoriented", "v2-auth-hash-policy",
    "xauth",
))  # fmt: skip
"""First words of the lines about a connection."""
_ENDS = ("oriented", "unoriented", "mycert", "hiscert", "peercert", "myip")
_ALGORITHMS = ("IKE", "IKEv1", "IKEv2", "ESP", "AH", "IPsec")
_READ = frozenset((*_ENDS, *_ALGORITHMS, "host", "our", "policy", "conn_prio", "ike_life", "reqid"))
"""Those of which something is used."""
_KNOWN_LINES = (
    "%myid", "- allowed ", "- disallowed ", "algorithm ", "Bare Shunt list:", "config setup options:", "configdir=",
    "Connection list:", "db_ops", "ddos-cookies-threshold=", "debug", "dnssec-", "fips mode=", "global-redirect=",
    "IKE algorithms supported:", "IKE SAs:", "ikebuf=", "IPsec SAs:", "Kernel algorithms supported:", "logfile=",
    "nat-traversal", "nat_traversal", "nhelpers=", "nssdir=", "ocsp-", "pluto_version=", "sbindir=", "seccomp=",
    "secctx-attr-type=", "SElinux=", "State Information:", "stats ", "Total IPsec connections:",
    "using kernel interface:", "virtual-private ", "virtual_private ", "ikeport=",
    "WARNING: Disallowed subnets in virtual_private=", "         private address space in internal use",
)  # fmt: skip
"""How the other lines begin."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NICKNAME = _Pattern(r'\s*End certificate "([^"]+)"')
_NOT_AFTER = _Pattern(
    rf"\s*not after: (?:\w{{3}} )?({'|'.join(MONTHS)}) +(\d\d?),? (\d\d):(\d\d):(\d\d)(?: UTC)? (\d{{4}})"
)
_SHUNT = _Pattern(r"\S+ -\d+-> \S+ => \S+")
_ROUTING = {
    "prospective erouted": "trap",
    "routed-ondemand": "trap",
    "erouted": "tunnel",
    "routed-tunnel": "tunnel",
}
_SHUNTS = frozenset(("PASS", "DROP", "REJECT", "NEVER_NEGOTIATE"))
"""Of a connection that only lets packets pass, or drops them."""
_AUTHS = {"psk": "secret", "rsa": "rsasig"}
LOADED_AUTO = ("add", "ondemand", "start", "keep")
"""The values of auto= with which a connection is loaded."""


def printable(text: str) -> str:
    """One line that is safe to show: of bounded length, and without control characters."""
    text = "".join(char if char.isprintable() else "?" for char in text[: LINE_SHOWN + 1])
    return text if len(text) <= LINE_SHOWN else f"{text[: LINE_SHOWN - 3]}..."


def _lines(text: str) -> list[str]:
    return [line[4:] if line[:3].isdigit() and line[3:4] in ("", " ") else line for line in text.splitlines()]


def parse_version(text: str) -> Program | None:
    """`ipsec --version`; None when it names no program that is known."""
    match = _PROGRAM.search(text)
    return Program(match[1], match[2]) if match else None


def parse_script(text: str) -> Program | None:
    """What `ipsec --version` would print, from the text of that shell script; None where it is not written so there.

    It is in Libreswan 4.10 and 5.2; the script of 4.3 puts more together, and those of other programs do otherwise.
    """
    version = text.partition('\nexport IPSEC_VERSION="')[2].partition('"\n')[0]
    said = 'echo "Libreswan ${IPSEC_VERSION}"\n\t    exit 0\n' in text
    return parse_version(f"Libreswan {version}") if said else None


def parent(name: str) -> str:
    """The connection of ipsec.conf that an expansion of its subnets (`name/1x2`) or group (`name#10.0.0.0/8`) is of."""
    return _EXPANSION.sub("", name)


def holds_sas(status: str) -> bool:
    """Whether `ipsec whack --status` tells of any SA, established or not."""
    return "\n000 #" in status or "\n#" in status


def parse_status(status: str, traffic: str) -> Answer:
    """What `ipsec whack --status` and `ipsec whack --trafficstatus` say; the second is empty for Openswan."""
    return _Reader().read(status, traffic)


class _Connection:
    """A connection while its lines are read."""

    def __init__(self, name: str, instance: str) -> None:
        self.name = name
        self.instance = instance
        self.local: dict[str, t.Any] = {}
        self.remote: dict[str, t.Any] = {}
        self.subnets: tuple[list[str], list[str]] = ([], [])
        self.values: dict[str, t.Any] = {}

    def topology(self, match: re.Match[str]) -> None:
        """The line of the ends; there are several when one connection covers several pairs of subnets."""
        routing = match["routing"]
        if routing == "unoriented":
            self.values["oriented"] = False
        elif routing in _ROUTING or not routing.startswith(("unrouted", "keyed")):
            self.values["routing"] = _ROUTING.get(routing, "routed")
        left, dots, right = match["ends"].partition("...")
        if not dots:
            return
        for text, end, subnets, ends in (
            (left, self.local, self.subnets[0], _LEFT.match(left)),
            (right, self.remote, self.subnets[1], _RIGHT.match(right)),
        ):
            if ends is None:
                continue
            host = _PROTOCOL.sub("", ends["host"])
            end.setdefault("address", host)
            bracketed, closed, _after = text.partition("[")[2].partition("]")
            if closed and not bracketed.startswith(("+", "MS+", "S=")):
                # Openswan puts flags beside the ID: [@west,+S=C]
                end.setdefault("id", bracketed.partition(",+")[0])
            found = _RIGHT_SUBNET.search(text) if end is self.remote else ends
            subnet = found[1] if found else None
            if subnet is None and host[0] != "%":
                subnet = f"{host}/{128 if ':' in host else 32}"
            if subnet is not None and subnet not in subnets:
                subnets.append(subnet)

    def detail(self, key: str, rest: str) -> None:
        """One of the other lines, by its first word, which is one of _READ."""
        values = self.values
        if key in _ENDS:
            if key == "unoriented":
                values["oriented"] = False
            found = _CERTIFICATE.search(rest)
            if found:
                self.local["certificate"] = found[1]
        elif key == "host":
            found = _HOST.search(rest)
            if found:
                self.local["address"], self.remote["address"] = found[2], found[3]
                values["oriented"] = found[1] is None
        elif key == "our":
            found = _IDS.search(rest)
            if found:
                self.local["id"], self.remote["id"] = (None if id_ == "(none)" else id_ for id_ in found.groups())
            found = _AUTH.search(rest)
            if found:
                self.local["auth"], self.remote["auth"] = map(_auth, found.groups())
        elif key in ("policy", "conn_prio"):
            found = _ON_INTERFACE.search(rest)
            if found and found[1]:
                values["interface"] = found[1]
            elif found:
                # Openswan has no other word for unoriented
                values["oriented"] = False
            found = _POLICY.search(rest) if key == "policy" else None
            if found:
                self._policy(found[1].split("+"))
        elif key == "ike_life":
            found = _LIFETIME.search(rest)
            if found:
                values["ike_lifetime"] = int(found[1])
        elif key == "reqid":
            found = _REQID.search(rest)
            if found:
                values["reqid"] = int(found[1])
        else:  # of _READ there are only _ALGORITHMS left
            found = _NEWEST.search(rest)
            if found:
                values["ike_algorithms" if found[1].startswith("IKE") else "child_algorithms"] = found[2].strip()

    def _policy(self, words: list[str]) -> None:
        if not _SHUNTS.isdisjoint(words):
            self.values["shunt"] = True
        if "IKEv2" in words or "IKEV2_ALLOW" in words:
            self.values["version"] = 2
        elif "IKEv1" in words or "IKEV1_ALLOW" in words or not any(word.startswith("IKEv2") for word in words):
            self.values["version"] = 1
        auth = next((_auth(word) for word in words if word in ("PSK", "RSASIG", "ECDSA", "NULL")), None)
        if auth:
            self.local.setdefault("auth", auth)
            self.remote.setdefault("auth", auth)

    def loaded(self) -> Loaded:
        """What it amounts to."""
        return Loaded(
            name=self.name,
            instance=self.instance,
            local=End(subnets=tuple(self.subnets[0]), **self.local),
            remote=End(subnets=tuple(self.subnets[1]), **self.remote),
            **self.values,
        )


class _Reader:
    """Collects what the lines of one look say."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], _Connection] = {}
        self.listening: list[Listening] = []
        self.ike_sas: list[IkeSa] = []
        self.children: dict[int, dict[str, t.Any]] = {}
        self.values: dict[str, t.Any] = {}
        self.unknown_lines = 0
        self.unknown: list[str] = []
        self.prefix = "none yet"
        self.current = _Connection("", "")

    def read(self, status: str, traffic: str) -> Answer:
        """Both outputs, line by line."""
        for line in _lines(status):
            first = line[:1]
            if first == '"':
                known = self._connection(line)
            elif first == "#":
                known = self._state(line)
            elif line.startswith("interface "):
                known = self._interface(line)
            else:
                known = self._other(line)
            if not known:
                self._note(line)
        for line in _lines(traffic):
            if line.strip() and not self._traffic(line):
                self._note(line)
        return self._answer()

    def _note(self, line: str) -> None:
        self.unknown_lines += 1
        if len(self.unknown) < UNKNOWN_SHOWN:
            self.unknown.extend(map(printable, safe([line])))

    def _connection(self, line: str) -> bool:
        # the two dozen lines of a connection come one after the other, and there may be thousands of connections
        if not line.startswith(self.prefix):
            match = _CONNECTION.match(line)
            if match is None:
                return False
            of = (match["name"], match["instance"])
            self.prefix = line[: match.start("rest")]
            self.current = self.connections.setdefault(of, _Connection(*of))
        connection, rest = self.current, line[len(self.prefix) :]
        topology = None if rest.startswith("  ") else _TOPOLOGY.match(rest)
        if topology:
            connection.topology(topology)
            return True
        key = _KEY.match(rest)
        if key is None:
            # Openswan's list of public keys goes on in a second line
            return rest.lstrip().startswith("....1:")
        if key[1] in _READ:
            connection.detail(key[1], rest)
        return key[1] in _DETAILS

    def _state(self, line: str) -> bool:
        match = _SPIS.match(line)
        if match:
            return self._spis(match)
        match = _STATE.match(line)
        if match is None:
            return bool(_PENDING.match(line) or _SPIS_COMPRESSED.match(line))
        serial, rest = int(match["serial"]), match["rest"]
        story = rest.partition(";")[0]
        lower = story.lower()
        events = {event: int(seconds) for event, seconds in _EVENT.findall(rest)}
        rekey_in = events.get("REKEY", events.get("REPLACE"))
        if re.search(r"quick|child|ipsec", lower):
            owner = _PARENT.search(rest)
            self.children.setdefault(serial, {}).update(
                connection=match["name"],
                instance=f"{match['instance']} {match['peer'] or ''}".strip(),
                state="established" if "established" in lower else "negotiating",
                ike=int(owner[1]) if owner else None,
                rekey_in=rekey_in if "established" in lower else None,
            )
            return True
        established = "established" in lower
        self.ike_sas.append(
            IkeSa(
                connection=match["name"],
                serial=serial,
                established=established,
                peer=match["peer"],
                version=_version(story),
                initiator=_initiator(story),
                rekey_in=rekey_in if established else None,
                replace_in=events.get("REPLACE") if established else None,
            )
        )
        return True

    def _spis(self, match: re.Match[str]) -> bool:
        said = _SAID.findall(match["said"])
        if not said:
            return False
        child = self.children.setdefault(int(match["serial"]), {"connection": match["name"]})
        child["protocol"], spi, child["remote"] = said[0]
        child["spi_out"] = int(spi, 16)
        if len(said) > 1:
            child["spi_in"], child["local"] = int(said[1][1], 16), said[1][2]
        if match["used"]:
            child["used"] = int(match["used"])
        return True

    def _interface(self, line: str) -> bool:
        match = _INTERFACE.match(line)
        if match is None:
            return False
        port = int(match["port"] or 500)
        self.listening.append(
            Listening(
                interface=match["name"],
                address=match["address"].strip("[]"),
                port=port,
                protocol="tcp" if "TCP" in (match["protocol"], match["protocol5"]) else "udp",
                nat_t=port == 4500 or bool(match["nat"]),
            )
        )
        return True

    def _other(self, line: str) -> bool:
        if not line.strip():
            return True
        if line.startswith("fips mode="):
            self.values["fips"] = line.startswith("fips mode=enabled")
        elif line.startswith("SElinux="):
            self.values["selinux"] = line.partition("=")[2].strip(" ;")
        elif line.startswith("seccomp="):
            self.values["seccomp"] = line.partition("=")[2].strip(" ;")
        elif line.startswith(("configdir=", "nssdir=")):
            settings = dict(part.split("=", 1) for part in line.split(", ") if "=" in part)
            if "secrets" in settings:
                self.values["secrets_file"] = settings["secrets"]
            if "nssdir" in settings:
                self.values["nssdir"] = settings["nssdir"]
        elif line.startswith("nat-traversal"):
            self.values["nat_t"] = not line.startswith("nat-traversal=no")
        return line.startswith(_KNOWN_LINES) or bool(_SHUNT.match(line))

    def _traffic(self, line: str) -> bool:
        match = _TRAFFIC.match(line)
        if match is None:
            return False
        number = {key: match[key] and int(match[key]) for key in ("added", "bytes_in", "bytes_out")}
        self.children.setdefault(int(match["serial"]), {}).update(
            number,
            added=number["added"] or None,
            connection=match["name"],
            instance=f"{match['instance']} {match['peer'] or ''}".strip(),
            state="established",
            username=match["username"],
            lease=match["lease"],
        )
        return True

    def _answer(self) -> Answer:
        children = [ChildSa(serial=serial, **child) for serial, child in sorted(self.children.items())]
        if "nat_t" not in self.values and self.listening:
            self.values["nat_t"] = any(socket.nat_t for socket in self.listening)
        return Answer(
            interfaces=tuple(sorted({socket.interface for socket in self.listening})),
            connections=tuple(sorted({parent(name) for name, instance in self.connections})),
            child_sas=tuple(child for child in children if child.state == "established"),
            negotiating=tuple(child for child in children if child.state == "negotiating"),
            ike_sas=tuple(sorted(self.ike_sas, key=lambda sa: sa.serial)),
            loaded=tuple(connection.loaded() for connection in self.connections.values()),
            listening=tuple(self.listening),
            unknown_lines=self.unknown_lines,
            unknown=tuple(self.unknown),
            **self.values,
        )


def _auth(word: str) -> str:
    """ipsec.conf's word for an authentication, from `rsasig(RSASIG+RSASIG_v1_5)`, `RSASIG+RSASIG_v1_5` or `PSK`."""
    found = re.split(r"[(+]", word, maxsplit=1)[0].lower()
    return _AUTHS.get(found, found)


def _version(story: str) -> int | None:
    """Version of IKE, from the name of a state; some versions do not print one."""
    if re.search(r"IKEv1|STATE_(MAIN|AGGR|XAUTH|MODE)|ISAKMP", story):
        return 1
    return 2 if re.search(r"IKEv2|V2_|PARENT|IKE_(SA_INIT|AUTH)|ESTABLISHED_IKE_SA", story) else None


def _initiator(story: str) -> bool | None:
    """Whether this side began, from the name of a state: IKEv1 tells it to the end, IKEv2 only on the way."""
    found = re.match(r"(?:IKEv\d\.\d )?(?:STATE_)?(?:V2_)?[A-Z_]*?_([IR])\d?\b", story)
    return found[1] == "I" if found else None


def canonical_auto(word: str) -> str:
    """The newest word for a value of auto=: up, route and policy are older ones."""
    return {"up": "start", "route": "ondemand", "policy": "ondemand"}.get(word, word)


def parse_auto(readwriteconf: str) -> dict[str, str]:
    """Names of connections and their auto=, from `ipsec readwriteconf`; the old words stand for the new ones.

    The line comes up to twice and the last one counts: 4.10 and 5.x leave the first one without its value.
    """
    found: dict[str, str] = {}
    name = None
    for line in readwriteconf.splitlines():
        if line.startswith("conn "):
            name = line[5:].strip()
            if name != "%default":
                found[name] = "ignore"
        elif name in found:
            word = re.match(r"\s+auto=(\w+)$", line)
            if word:
                found[name] = canonical_auto(word[1])
    return found


def parse_certificates(listcerts: str) -> dict[str, int]:
    """Nicknames of the certificates and when they expire (epoch), from `ipsec whack --listcerts`."""
    found: dict[str, int] = {}
    nickname = None
    for line in _lines(listcerts):
        match = _NICKNAME.match(line)
        if match:
            nickname = match[1]
        match = _NOT_AFTER.match(line)
        if match and nickname is not None:
            month, day, hour, minute, second, year = match.groups()
            days = _days(int(year), MONTHS.index(month) + 1, int(day))
            found[nickname] = days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second)
            nickname = None
    return found


def _days(year: int, month: int, day: int) -> int:
    """Days since the epoch, by the Gregorian calendar; the year begins in March, so that leap days come last."""
    if month <= 2:
        year -= 1
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468
