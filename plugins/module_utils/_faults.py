# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a candidate: what pluto and its tools said of it on trial, and our own reading. Pure.

The sentences are those of Libreswan 4.3, 4.10 and 5.2 (seen) and of the sources of 4.0 to 5.2. A sentence that is not
known becomes a warning, so that none is lost.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ._candidate import hide
from ._ipsec_conf import IPsecConf, Parameter, Place
from ._secrecy import NOT_SHOWN, QUOTING, first_words, safe_text
from ._whack import LOADED_AUTO, canonical_auto, parent, parse_status

Severity = t.Literal["error", "warning"]
Method = t.Literal["sandbox", "static", "known", "none"]

AT_ONCE_AUTO = ("start", "ondemand")
"""Values of auto= with which a connection is of no use unless it is oriented."""

CURES = {
    "syntax": "correct the line; ipsec.conf(5) has the syntax and the keywords of this version",
    "unknown-keyword": "this version does not know the keyword; remove it or use its successor, see ipsec.conf(5)",
    "bad-value": "give the key a value that ipsec.conf(5) allows",
    "value-ignored": "give the key a value that ipsec.conf(5) allows; as it is, pluto would go on without it",
    "keyword-ignored": "remove the key; this version does nothing with it",
    "deprecated": "write the key as this version wants it",
    "duplicate-connection": "give one of the two another name",
    "duplicate-key": "leave one of the two",
    "missing-also": "define the connection that also= names, or remove the key",
    "missing-end": "give the connection left= and right=, or auto=ignore if it is only a template for also=",
    "missing-include": "write the file, or remove the include",
    "unterminated": "close the quotation mark or brace",
    "carriage-return": "write the file with the line ends of Unix",
    "bad-algorithm": "name algorithms that this version knows; `ipsec algparse` tells",
    "missing-certificate": "import the certificate into the NSS database first, or correct its nickname",
    "pfs-contradiction": "remove the DH group from the key, or pfs=no",
    "not-loaded": "correct what the program says; see ipsec.conf(5)",
    "unoriented": "make left= or right= an address of this host, or %defaultroute",
    "bad-secret": "correct the line; ipsec.secrets(5) has the syntax",
    "secret-ignored": "remove the entry; pluto takes private keys from its NSS database, where ipsec_certificates puts "
    "them, and the PIN of a token from the file nsspassword beside that",
    "no-sandbox": "allow the host to make namespaces, or ask for preflight static, which takes that for granted",
    "start": "correct config setup as the program says",
    "remark": "look whether this is what you want",
}

HARMLESS = frozenset({"keyword-ignored", "deprecated", "missing-include"})
"""Faults with which a configuration can have worked for years."""

DURATIONS = frozenset(
    {
        *(
            "ikelifetime",
            "ipsec-lifetime",
            "keylife",
            "lifetime",
            "salifetime",
            "rekeymargin",
            "dpddelay",
            "dpdtimeout",
        ),
        *("retransmit-timeout", "retransmit-interval", "crlcheckinterval", "ocsp-timeout", "curl-timeout"),
    }
)
NUMBERS = frozenset(
    {"mtu", "metric", "priority", "tfc", "reqid", "keyingtries", "nhelpers", "ikeport", "replay-window"}
)
"""Keys whose values Libreswan 4 takes for zero, and says nothing, when they are no number."""

_DURATION = re.compile(r"^\d+(\.\d+)? ?(us|ms|s|m|h|d|w)?$")
_NUMBER = re.compile(r"^-?\d+$")
_PLACE = re.compile(r"(?P<file>/[^:\s'\"]+): ?(?P<line>[0-9]{1,9}): (?P<what>.*)")
_OF_CONNECTION = re.compile(r'^(?:\d{3} )?"(?P<name>[^"]+)"(?:\[\d+\] \S+)?: (?P<what>.*)$')
_CONN_WARNING = re.compile(r'^conn: "(?P<name>[^"]+)" warning (?P<what>.*)$')
_DUPLICATE = re.compile(r"^duplicate key '(?P<key>[^']+)' in conn (?P<name>\S+) while processing def")
_NO_ALSO = re.compile(r"^cannot find conn '(?P<value>[^']+)' needed by conn '(?P<name>[^']+)'")
_WHILE_LOADING = re.compile(r"^while loading '(?P<name>[^']+)': (?P<what>.*)$")
_NO_INCLUDE = re.compile(r"could not open include filename: '(?P<path>[^']+)'")
_PROGRAM = re.compile(r"^(?:\d{3} )?(?:(?:FATAL )?ERROR: )?(?:ipsec addconn: |\S*/(?:pluto|addconn): )?")
_UNORIENTED = re.compile(r'^(?:\d{3} )?"(?P<name>[^"]+)":.*\bunoriented\b', re.MULTILINE)
_KEY = re.compile(r"(?P<key>(?:left|right)?[a-z][a-z0-9-]*)=")
_QUIET = re.compile(
    r"^(added |loaded private key matching |terminating SAs|deleting |"
    r"(IKE|Child|ESP|AH)( SA)? proposals|\s*\d+:(IKE|ESP|AH)=|"
    # there are no names in the sandbox
    r"failed to (convert|resolve) )"
)
_PIN = re.compile(r"keyword:? '?pin\b", re.IGNORECASE)
_FATAL = re.compile(r"FATAL|ERROR|invalid|annot |not able|failed", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of trying a configuration out; text is as the programs printed it."""

    method: Method
    checked: int | None = 0
    """Exit status of `addconn --checkconfig`; None: no end in time."""
    said: str = ""
    """What that printed."""
    started: bool = False
    """Whether a pluto came up with it. Never, if the method is static."""
    log: str = ""
    status: str = ""
    """`whack --status`, after every connection was added."""
    adds: tuple[tuple[str, str], ...] = ()
    """Connections that were not loaded, and what `addconn NAME` printed."""
    reason: str = ""
    """Why there was no sandbox; empty if there was one, or none was wanted."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong with a configuration; fields are None where it is not of one connection or key."""

    id: str
    severity: Severity
    message: str
    connection: str | None = None
    key: str | None = None
    value: str | None = None
    place: str | None = None
    """FILE:LINE."""
    said: str | None = None
    """The words of the program; None: it is our own reading."""

    @property
    def cure(self) -> str:
        """What to do about it."""
        return CURES[self.id]


def faults(conf: IPsecConf, trial: Trial, secrets: t.Iterable[str] = ()) -> tuple[Fault, ...]:
    """All that is wrong, errors first; the first to name a thing wins. None of `secrets` is ever quoted."""
    hidden = tuple(secrets)
    found: dict[tuple[str, str | None, str | None, str | None], Fault] = {}
    for fault in _all(conf, trial):
        anywhere = fault.connection is None and fault.key is None
        # what many connections take over from one line is one thing
        shared = fault.severity == "warning" and fault.place is not None
        name = None if shared else fault.connection
        key = (fault.id, name, fault.key, fault.place if shared else fault.message if anywhere else None)
        found.setdefault(key, fault)
    # a connection that has errors of its own needs no word more that it is not loaded
    named = {fault.connection for fault in found.values() if fault.severity == "error" and fault.id != "not-loaded"}
    kept = [fault for fault in found.values() if fault.id != "not-loaded" or fault.connection not in named]
    return tuple(_hidden(fault, hidden) for fault in sorted(kept, key=lambda fault: fault.severity))


def spoken_of(conf: IPsecConf, said: str) -> tuple[tuple[Fault, ...], tuple[Fault, ...]]:
    """What `addconn --checkconfig` says of a configuration that it accepts, in two parts, without what is harmless.

    First what keeps a connection from being loaded as it is written, though it is to be loaded; then what may be wrong.
    Of a key that is there twice, only up to 4.x the program tells whether that is two values or one written twice.
    """
    failed = _own_words(said)
    found = {fault.message: fault for fault in _checked(conf, Trial("static", said=said)) if fault.id not in HARMLESS}
    sure = tuple(
        fault
        for fault in found.values()
        if fault.connection is not None
        and (fault.connection in failed or fault.id == "missing-also")
        and _auto(conf.effective(fault.connection)) in LOADED_AUTO
    )
    return sure, tuple(fault for fault in found.values() if fault not in sure)


def _hidden(fault: Fault, secrets: tuple[str, ...]) -> Fault:
    return dataclasses.replace(
        fault,
        message=hide(fault.message, secrets),
        value=fault.value and hide(fault.value, secrets),
        said=fault.said and hide(fault.said, secrets),
    )


def _all(conf: IPsecConf, trial: Trial) -> t.Iterator[Fault]:
    yield from _read(conf)
    heard, trial = trial, _safe(trial)
    checked = list(_checked(conf, trial))
    yield from checked
    if trial.checked != 0 and not any(fault.severity == "error" for fault in checked):
        words = "no end in time" if trial.checked is None else _last(trial.said)
        yield Fault("syntax", "error", f"`ipsec addconn --checkconfig` refuses it: {words}", said=words)
    elif trial.checked == 0 and trial.method == "sandbox" and not trial.started:
        words = next((line for line in reversed(trial.log.splitlines()) if _FATAL.search(line)), _last(trial.log))
        yield Fault("start", "error", f"pluto does not start with it: {words}", said=words)
    if trial.started:
        yield from _of_secrets(heard)
        yield from _loaded(conf, trial)
    yield from _numbers(conf)


def _safe(trial: Trial) -> Trial:
    """Without what may be secret; not all that is wrong in a file of secrets can be found in it, to be hidden."""
    adds = tuple((name, safe_text(said)) for name, said in trial.adds)
    return dataclasses.replace(trial, said=safe_text(trial.said), log=safe_text(trial.log), adds=adds)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no word"


def _read(conf: IPsecConf) -> t.Iterator[Fault]:
    """What nobody but our own reader can tell, or not in every version."""
    first: dict[str, Place] = {}
    for conn in conf.conns:
        if conn.name in first:
            yield Fault(
                "duplicate-connection",
                "error",
                f"connection {conn.name} is there twice, at {first[conn.name]} and {conn.place}",
                conn.name,
                place=str(conn.place),
            )
        first.setdefault(conn.name, conn.place)
    known = conf.names()
    for section in conf.sections:
        name = section.name if section.kind == "conn" else None
        where = f"connection {name}" if name else "config setup"
        for again in section.repeated():
            message = f"{where} sets {again.key}= twice, again at {again.place}"
            yield _of_parameter("duplicate-key", message, name, again)
        for parameter in section.parameters:
            if parameter.key == "also" and parameter.value not in known:
                message = f"{where} takes over connection {parameter.value}, which does not exist"
                yield _of_parameter("missing-also", message, name, parameter)
            if parameter.value.startswith(('"', "{")):
                message = f"{where}: the value of {parameter.key}= at {parameter.place} has no end"
                yield _of_parameter("unterminated", message, name, parameter)
            if parameter.value.endswith("\r"):
                message = f"{parameter.place.file} has line ends of DOS; they would become part of the values"
                yield Fault("carriage-return", "error", message, place=str(parameter.place))
    for path, place in conf.missing:
        yield _no_include(path, place)
    for name in known:
        keys = conf.effective(name)
        missing = [end for end in ("left", "right") if end not in keys]
        if _auto(keys) in LOADED_AUTO and missing:
            ends = " and ".join(f"{end}=" for end in missing)
            yield Fault("missing-end", "error", f"connection {name} has no {ends}", name, missing[0])


def _numbers(conf: IPsecConf) -> t.Iterator[Fault]:
    """Values that are not what the key wants, where no program says so: Libreswan 5 does, 4 does not."""
    for section in conf.sections:
        name = section.name if section.kind == "conn" else None
        for parameter in section.parameters:
            end = parameter.key.removeprefix("left").removeprefix("right")
            pattern = _DURATION if end in DURATIONS else _NUMBER if end in NUMBERS else None
            message = f"{parameter.place}: {parameter.key}={parameter.value}"
            if pattern and parameter.value and not pattern.match(parameter.value):
                kind = "duration" if end in DURATIONS else "number"
                yield _of_parameter("value-ignored", f"{message} is no {kind}", name, parameter)
            elif parameter.key in ("left", "right") and _is_bad_address(parameter.value):
                yield _of_parameter("bad-value", f"{message} is no address", name, parameter)


def _is_bad_address(end: str) -> bool:
    """Whether it looks like an address and is none; pluto would take it for a name of the DNS."""
    if not re.match(r"^([\d.]+|[\da-fA-F:]*:[\da-fA-F:.]*)$", end):
        return False
    try:
        ipaddress.ip_address(end)
    except ValueError:
        return True
    return False


def _of_parameter(
    identity: str,
    message: str,
    name: str | None,
    parameter: Parameter,
    *,
    severity: Severity = "error",
    said: str | None = None,
) -> Fault:
    place = str(parameter.place)
    return Fault(identity, severity, message, name, parameter.key, parameter.value, place, said)


def _no_include(path: str, place: Place | None, said: str | None = None) -> Fault:
    message = f"the included file {path} does not exist"
    return Fault("missing-include", "warning", message, place=str(place) if place else None, said=said)


def _checked(conf: IPsecConf, trial: Trial) -> t.Iterator[Fault]:
    """The lines of `addconn --checkconfig`."""
    own = _own_words(trial.said)
    for name, what in own.items():
        yield from _known(conf, what) or [_refused(conf, name, what)]
    # up to 4.x each of these blocks repeats all errors before it
    quiet = False
    for raw in trial.said.splitlines():
        line = _PROGRAM.sub("", raw).strip()
        quiet = quiet and bool(line) and not line.startswith("while loading")
        if _WHILE_LOADING.match(line) or line.startswith("addconn, in config"):
            quiet = True
        if quiet or not line or line in own.values():
            continue
        yield from _known(conf, line) or [_remark(line)]


def _remark(line: str) -> Fault:
    return Fault("remark", "warning", f"the program says: {line}", said=line)


def _own_words(said: str) -> dict[str, str]:
    """By connection, the one error that is its own (up to 4.x): each block repeats all before it, then adds this."""
    words: dict[str, str] = {}
    name = None
    for line in map(str.strip, said.splitlines()):
        match = _WHILE_LOADING.match(line)
        name, text = (match["name"], match["what"]) if match else (name, line)
        if name and name not in words and text not in words.values():
            words[name] = text
    return words


def _known(conf: IPsecConf, line: str) -> list[Fault]:
    """What a line of the parser means; nothing if it is not a known one."""
    match = _NO_ALSO.match(line)
    if match:
        name, value = match["name"], match["value"]
        message = f"connection {name} takes over connection {value}, which does not exist"
        return [Fault("missing-also", "error", message, name, "also", value, _place(conf, name, "also"), line)]
    match = _DUPLICATE.match(line)
    if match:
        name, key = match["name"], match["key"]
        message = f"connection {name} sets {key}= twice, or under two names"
        value, place = conf.effective(name).get(key), _place(conf, name, key)
        return [Fault("duplicate-key", "error", message, name, key, value, place, line)]
    match = _NO_INCLUDE.search(line)
    if match:
        return [_no_include(match["path"], dict(conf.missing).get(match["path"]), line)]
    match = _PLACE.search(line)
    return [_at(conf, Place(match["file"], int(match["line"])), match["what"])] if match else []


def _at(conf: IPsecConf, place: Place, what: str) -> Fault:
    """What the parser says of a line."""
    where = conf.at(place)
    section, parameter = where if where else (None, None)
    name = section.name if section and section.kind == "conn" else None
    key, value = (parameter.key, parameter.value) if parameter else (None, None)
    text = what.removeprefix("warning: ")
    severity: Severity = "warning" if what.startswith("warning: ") else "error"
    if "duplicate" in text or "overriding earlier" in text:
        identity, severity = "duplicate-key", "error"
    elif "obsolete" in text or "X- style" in text:
        identity, severity = "keyword-ignored", "warning"
    elif "keyword ignored" in text:
        identity, severity = "value-ignored", "error"
    elif "invalid value" in text:
        identity = "bad-value"
    elif "syntax error [" in text or "unrecognized" in text:
        identity = "unknown-keyword"
    else:
        identity = "syntax" if severity == "error" else "remark"
    return Fault(identity, severity, f"{place}: {text}", name, key, value, str(place), what)


def _place(conf: IPsecConf, name: str, key: str | None) -> str | None:
    parameter = conf.parameter(name, key) if key else None
    return str(parameter.place) if parameter else None


def _of_secrets(trial: Trial) -> t.Iterator[Fault]:
    """What pluto says on the lines of ipsec.secrets, which it quotes."""
    for line in trial.log.splitlines():
        match = QUOTING.search(line)
        if match and match["file"]:
            what = match["what"]
            identity, sure = "bad-secret", True
            if "name lookup failed" in what:
                words, sure = "an index is no address; names are not resolved on trial", False
            elif "RSA" in what and "WARNING" in what:
                # its keys may be in the NSS database all the same
                identity, words, sure = "secret-ignored", "an entry of type RSA, which this version does not use", False
            elif _PIN.search(what):
                identity, words = "secret-ignored", "an entry of type PIN, which this version does not use"
            else:
                words = first_words(what)
            place = f"{match['file']}:{match['line']}"
            message = f"{place}: {words} {NOT_SHOWN}"
            yield Fault(identity, "error" if sure else "warning", message, place=place, said=words)
        elif line.endswith("unterminated string"):
            yield Fault("bad-secret", "error", "a file of secrets has a quotation mark without its end", said=line)


def _loaded(conf: IPsecConf, trial: Trial) -> t.Iterator[Fault]:
    """What pluto made of the connections."""
    loaded = set(parse_status(trial.status, "").connections)
    adds = dict(trial.adds)
    spoken: set[str] = set()
    for line in (*trial.log.splitlines(), *(line for text in adds.values() for line in text.splitlines())):
        match = _OF_CONNECTION.match(line) or _CONN_WARNING.match(line)
        if not match or _QUIET.match(match["what"]):
            continue
        name = parent(match["name"])
        if conf.conn(name):
            fault = _of_connection(conf, name, match["what"])
            spoken |= {name} if fault.severity == "error" else set()
            yield _for_auto(conf, fault)
    for name in conf.names():
        if name in loaded or name in spoken or _is_template(conf, name):
            continue
        new = [line for line in adds.get(name, "").splitlines() if line.strip() and line not in trial.said]
        words = _own_words(trial.said).get(name) or (_last("\n".join(new)) if new else "pluto does not say why")
        yield _for_auto(conf, _refused(conf, name, words))
    yield from _orientation(conf, trial, loaded)


def _is_template(conf: IPsecConf, name: str) -> bool:
    """Whether a connection is there for others only, which need not be whole."""
    keys = conf.effective(name)
    ignored = keys.get("auto", "ignore") == "ignore"
    return ignored and (name in conf.templates or not {"left", "right"} <= keys.keys())


def _refused(conf: IPsecConf, name: str, words: str) -> Fault:
    return _of_connection(conf, name, f"failed to add connection: {words}")


def _of_connection(conf: IPsecConf, name: str, what: str) -> Fault:
    """What pluto says of one connection."""
    key = _key(conf, name, what)
    identity: str
    severity: Severity = "error"
    if what.startswith("failed to add connection: "):
        words = what.removeprefix("failed to add connection: ")
        message = f"connection {name} is not loaded: {words}"
        if "certificate" in words:
            identity = "missing-certificate"
        elif "algorithm" in words or "proposal" in words:
            identity = "bad-algorithm"
        else:
            identity = "bad-value" if key else "not-loaded"
    else:
        message = f"connection {name}: {what}"
        if "PFS policy is disabled" in what:
            identity = "pfs-contradiction"
        elif "is not a subnet declaration" in what:
            identity = "bad-value"
        elif "has been replaced by" in what:
            identity, severity = "deprecated", "warning"
        elif "ignored" in what:
            identity, severity = "keyword-ignored", "warning"
        else:
            identity, severity = "remark", "warning"
    value = conf.effective(name).get(key) if key else None
    return Fault(identity, severity, message, name, key, value, _place(conf, name, key), what)


def _key(conf: IPsecConf, name: str, what: str) -> str | None:
    """The key of a connection that a sentence is about."""
    keys = conf.effective(name)
    words = what.removeprefix("failed to add connection: ")
    guesses = [match["key"] for match in _KEY.finditer(words)]
    certificate = re.search(r"\b(left|right) certificate\b", words)
    if certificate:
        guesses.append(f"{certificate[1]}cert")
    # up to 4.x, of a text that is digits alone and not in quotes, too
    named = re.search(r"\((\w+)\)|^Invalid (\S+) value", words)
    if named:
        guesses.append(named[1] or named[2])
    if words.startswith("IKE "):
        guesses.append("ike")
    if re.search(r"\b(ESP|AH)\b", words):
        guesses += ["esp", "phase2alg", "ah"]
    return next((key for key in guesses if key in keys), None)


def _for_auto(conf: IPsecConf, fault: Fault) -> Fault:
    """A connection that pluto is not to load may be only a template: what is wrong with it is a warning."""
    loaded = _auto(conf.effective(fault.connection or "")) in LOADED_AUTO
    return fault if loaded else dataclasses.replace(fault, severity="warning")


def _auto(keys: t.Mapping[str, str]) -> str:
    return canonical_auto(keys.get("auto", "ignore"))


def _orientation(conf: IPsecConf, trial: Trial, loaded: set[str]) -> t.Iterator[Fault]:
    names = {parent(match["name"]) for match in _UNORIENTED.finditer(trial.status)}
    for name in sorted(names & loaded):
        keys = conf.effective(name)
        if not {"left", "right"} <= keys.keys():
            continue
        ends = (keys["left"], keys["right"])
        # where an end is a name of the DNS, nobody can tell in the sandbox
        if any(_is_name(end) or _is_bad_address(end) for end in ends):
            continue
        severity: Severity = "error" if _auto(keys) in AT_ONCE_AUTO else "warning"
        message = f"connection {name}: neither left={ends[0]} nor right={ends[1]} is this host"
        yield Fault("unoriented", severity, message, name, "left", ends[0], _place(conf, name, "left"), "unoriented")


def _is_name(end: str) -> bool:
    return bool(re.search(r"[A-Za-z]", end)) and not end.startswith("%") and ":" not in end
