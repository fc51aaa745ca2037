# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates in pluto's NSS database, by nickname and fingerprint: observe -> plan -> try -> apply -> observe.

NSS has no transactions, and what it refuses it says late. So every plan is carried out on a copy of the database first:
what fails there has changed nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import typing as t

from ._errors import ConfigError, IPsecError, VerifyError
from ._nss_host import Key
from ._record import record, recorded
from ._x509 import certificates_in, fingerprint, has_private_key, is_ca, is_self_issued

if t.TYPE_CHECKING:
    from ._config_host import Files
    from ._nss_host import Database, NssHost, Session

TIMEOUT = 60.0
"""Seconds to wait for another run."""
CA_TRUST, NO_TRUST = "CT,,", ",,"
"""certutil(1): a CA for servers and for clients, as which the ends of a tunnel are looked at; nothing."""

SOURCES = ("content", "src", "pkcs12", "pkcs12_src")
"""Options that a certificate can come by."""
TEXTS = ("content", "pkcs12")
"""Those of SOURCES that hold it, and do not name a file on the gateway."""

_NAME = re.compile(r"(?!-)[^\x00-\x1f\x7f:\"]+(?<! )")
"""NSS takes what comes before a colon for the name of a token, ipsec.conf(5) has no quote within quotes."""
_TRUST = re.compile(r"[pPcCTuw]*(,[pPcCuw]*){2}")
"""certutil(1), option -t. NSS keeps T, clients of TLS, in the first field alone."""
_ENCODING = ("utf-8", "surrogateescape")

Kind = t.Literal["remove", "replace", "add", "trust"]


class Wanted(t.NamedTuple):
    """A certificate as it is to be."""

    certificate: bytes
    trust: str
    key: Key | None = None
    chain: bool = False
    """It came with another one, and is to be there by whatever nickname."""


class Entry(t.NamedTuple):
    """What the task says of a nickname."""

    name: str
    certificates: tuple[bytes, ...] = ()
    """Of a PEM: its own, and those of its chain."""
    key: Key | None = None
    trust: str | None = None
    present: bool = True


class Change(t.NamedTuple):
    """One change of the database."""

    kind: Kind
    name: str
    wanted: Wanted | None = None
    key: bool = False
    """Its old private key goes too."""

    @property
    def title(self) -> str:
        """What is done."""
        return f"{self.kind} {self.name}"

    def apply(self, database: Database) -> None:
        """Do it."""
        if self.kind in ("remove", "replace"):
            database.remove(self.name, key=self.key)
        if self.wanted is None:
            return
        if self.kind == "trust":
            database.set_trust(self.name, self.wanted.trust)
        else:
            database.add(self.name, self.wanted.certificate, self.wanted.trust, self.wanted.key)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to become of the database."""

    wanted: t.Mapping[str, Wanted]
    unwanted: frozenset[str]
    """Nicknames that are to be gone, whoever made them."""
    ours: t.Mapping[str, t.Mapping[str, t.Any]]
    """The record: nicknames that this module has made, each with `fingerprints` and whether it had a `key`."""
    purge: bool

    @property
    def names(self) -> list[str]:
        """Every nickname that this is about."""
        return sorted({*self.wanted, *self.unwanted, *self.ours})


def spelling_mistake(name: str, trust: object) -> str | None:
    """What is wrong with a certificate's nickname in NSS, or its trust as certutil(1) has it; first the key."""
    if not _NAME.fullmatch(name):
        return f"name: {name!r} is no nickname; allowed: a text without colon, quote and control character"
    if trust is not None and not _TRUST.fullmatch(str(trust)):
        return f"trust: {trust!r} is no trust; allowed: three fields as certutil(1) has them, such as CT,,"
    return None


def entries_from(certificates: t.Sequence[t.Mapping[str, t.Any]], files: Files) -> tuple[Entry, ...]:
    """The entries of the task's list; ConfigError with all that cannot be meant, and never with a secret."""
    mistakes: list[str] = []
    entries: list[Entry] = []
    for index, given in enumerate(certificates):
        path = f"certificates[{index}]"
        name = given["name"]
        wrong = spelling_mistake(name, given.get("trust"))
        if wrong:
            mistakes.append(f"{path}.{wrong}")
        elif name in [entry.name for entry in entries]:
            mistakes.append(f"{path}.name: {name} is there twice; leave one out")
        if given["state"] == "absent":
            entries.append(Entry(name, present=False))
            continue
        source = next((one for one in SOURCES if given.get(one)), "src")
        try:
            check_words(given, source)
            text = given[source] if source in TEXTS else _read(files, source, given.get(source))
            entries.append(entry_of(given, source, text))
        except ConfigError as exc:
            mistakes.append(f"{path}.{exc}")
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return tuple(entries)


def check_words(given: t.Mapping[str, t.Any], source: str) -> None:
    """ConfigError, which begins with the option, for what cannot be meant, whatever is in the source."""
    if given.get("passphrase") and re.search(r"[\r\n]", given["passphrase"]):
        raise ConfigError("passphrase: has more than one line; allowed: one")
    if given.get("key") and source not in ("content", "src"):
        raise ConfigError("key: goes with a certificate in PEM, and PKCS #12 has the key in it; leave it out")
    if given.get("key") and not has_private_key(given["key"]):
        raise ConfigError("key: is no private key in PEM; allowed: text that begins with -----BEGIN PRIVATE KEY-----")


def entry_of(given: t.Mapping[str, t.Any], source: str, text: str) -> Entry:
    """The entry whose source, one of SOURCES, has this text; ConfigError, which begins with the option."""
    name: str = given["name"]
    trust, passphrase, pem_key = (given.get(option) for option in ("trust", "passphrase", "key"))
    if source == "pkcs12":
        try:
            content = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as exc:
            raise ConfigError("pkcs12: is no base64; allowed: a PKCS #12 file in base64") from exc
        return Entry(name, (), Key("pkcs12", content, passphrase or ""), trust)
    if source == "pkcs12_src":
        return Entry(name, (), Key("pkcs12", text.encode(*_ENCODING), passphrase or ""), trust)
    if has_private_key(text):
        raise ConfigError(f"{source}: has a private key in it; give that as key, which is never shown")
    try:
        found = certificates_in(text)
    except ValueError as exc:
        raise ConfigError(
            f"{source}: a certificate in it is damaged: {exc}; give one that `openssl x509` reads"
        ) from exc
    if not found:
        raise ConfigError(f"{source}: has no certificate in PEM; allowed: -----BEGIN CERTIFICATE----- and what follows")
    key = Key("pem", pem_key.encode(*_ENCODING), passphrase or "") if pem_key else None
    return Entry(name, found, key, trust)


def _read(files: Files, option: str, path: str | None) -> str:
    text = files.read(path) if path else None
    if text is None:
        raise ConfigError(
            f"{option}: there is no file {path} on the gateway; correct the path, or put it there"
            if path
            else f"{option}: is empty; give a certificate"
        )
    return text


def settle(entries: tuple[Entry, ...], host: NssHost, *, purge: bool, check_mode: bool) -> dict[str, t.Any]:
    """Have the certificates as declared, and with `purge` remove what a former call made and nobody declares now.

    In check mode only say so. ConfigError when NSS refuses something; then nothing has changed.
    """
    # in check mode, too: there can be one session at a time
    with host.guard.exclusive(TIMEOUT):
        known = recorded(host.files, "certificates")
        if not entries and not known:
            return _result((), "", {}, "", "", ())
        with host.nss.open() as session:
            wish = _wish(entries, session, known.get(session.folder, {}), purge)
            plan = tuple(_plan(wish, session))
            before = _told(wish, session)
            after, described = before, _described(wish, session)
            if plan:
                copy = session.copy()
                _apply(plan, wish, copy, [])
                after, described = _told(wish, copy), _described(wish, copy)
            if not check_mode:
                _carry_out(plan, wish, session, host)
            left = () if purge else tuple(_undeclared(wish, session))
            warnings = list(_warnings(plan)) if host.pluto.processes() else []
            return {**_result(plan, session.folder, described, before, after, left), "warnings": warnings}


def _result(
    plan: tuple[Change, ...],
    folder: str,
    described: dict[str, t.Any],
    before: str,
    after: str,
    undeclared: tuple[str, ...],
) -> dict[str, t.Any]:
    header = f"NSS database {folder}"
    return {
        "changed": bool(plan),
        "actions": [change.title for change in plan],
        "certificates": described,
        "undeclared": list(undeclared),
        "diff": [{"before_header": header, "after_header": header, "before": before, "after": after}] if plan else [],
    }


def _warnings(plan: tuple[Change, ...]) -> t.Iterator[str]:
    """What a pluto that runs does not notice at once: programs/pluto/root_certs.c of Libreswan 4 and 5."""
    authorities = [change.name for change in plan if change.wanted and set("CT") & set(change.wanted.trust)]
    if authorities:
        yield (
            "pluto runs, and remembers its CAs until it has verified no peer for five minutes: "
            f"{', '.join(authorities)} may not count until then; change the peers' certificates later, or restart IPsec"
        )


def _wish(entries: tuple[Entry, ...], session: Session, ours: dict[str, t.Any], purge: bool) -> Wish:
    """What the entries ask for, with the certificates of PKCS #12 files and of chains."""
    wanted: dict[str, Wanted] = {}
    chains: dict[str, Wanted] = {}
    owners: dict[bytes, str] = {}
    for entry in entries:
        if not entry.present:
            continue
        first, *others = _certificates(entry, session)
        if first in owners:
            raise ConfigError(
                f"{owners[first]} and {entry.name} are one certificate, which NSS keeps by one nickname; leave one out"
            )
        owners[first] = entry.name
        default = CA_TRUST if is_ca(first) else NO_TRUST
        wanted[entry.name] = Wanted(first, entry.trust or default, entry.key)
        for other in others:
            trust = CA_TRUST if is_ca(other) and is_self_issued(other) else NO_TRUST
            # a name of its own for each, which stays when the chain becomes another
            mark = fingerprint(other).replace(":", "")[:8]
            chains[f"{entry.name} issuer {mark}"] = Wanted(other, trust, chain=True)
    for name, one in chains.items():
        if one.certificate not in owners and name not in wanted:
            owners[one.certificate] = name
            wanted[name] = one
    unwanted = frozenset(entry.name for entry in entries if not entry.present)
    return Wish(wanted, unwanted, ours, purge)


def _certificates(entry: Entry, session: Session) -> tuple[bytes, ...]:
    if entry.certificates or entry.key is None:
        return entry.certificates
    try:
        return session.unpack(entry.key)
    except ConfigError as exc:
        raise ConfigError(f"certificate {entry.name}: {exc}; nothing was changed") from exc


def _plan(wish: Wish, database: Database) -> t.Iterator[Change]:
    """What leads to it, first what goes."""
    listing = database.listing()
    removed = sorted(wish.unwanted & listing.keys())
    yield from (Change("remove", name, key=_has_key(listing[name])) for name in removed)
    undeclared = tuple(_undeclared(wish, database))
    names: dict[bytes, list[str]] | None = None
    changes = []
    renamed = set()
    for name, wanted in sorted(wish.wanted.items()):
        trust = listing.get(name, "")
        there = name in listing and wanted.certificate in database.certificates(name)
        if there and (wanted.key is None or _has_key(trust)):
            if _canonical(trust) != _canonical(wanted.trust):
                changes.append(Change("trust", name, wanted))
            continue
        if names is None:
            names = _by_certificate(database, listing.keys() - set(removed))
        other = next((other for other in names.get(wanted.certificate, ()) if other != name), None)
        if other in undeclared:
            renamed.add(other)
        elif other is not None and wanted.chain:
            continue
        elif other is not None:
            raise ConfigError(
                f"the certificate of {name} is in the database by the nickname {other}, and NSS keeps one; "
                f"call it {other}, or remove {other} by state absent"
            )
        # a key that was made here, for which there is none in the task, stays for the new certificate
        gone = wanted.key is not None and _has_key(trust)
        changes.append(Change("replace" if name in listing else "add", name, wanted, gone))
    for name in undeclared:
        if wish.purge or name in renamed:
            yield Change("remove", name, key=bool(wish.ours[name]["key"]) and _has_key(listing[name]))
    yield from changes


def _by_certificate(database: Database, names: t.Iterable[str]) -> dict[bytes, list[str]]:
    """The nickname of each certificate, or those by which NSS finds it: of one subject it finds all."""
    found: dict[bytes, list[str]] = {}
    for name in sorted(names):
        for one in database.certificates(name):
            found.setdefault(one, []).append(name)
    return found


def _undeclared(wish: Wish, database: Database) -> t.Iterator[str]:
    """What this module once made, nobody declares now, and nobody else has replaced since."""
    listing = database.listing()
    for name, made in sorted(wish.ours.items()):
        if name in wish.wanted or name in wish.unwanted or name not in listing:
            continue
        if {fingerprint(one) for one in database.certificates(name)} & set(made["fingerprints"]):
            yield name


def _has_key(trust: str) -> bool:
    return "u" in trust


def _canonical(trust: str) -> tuple[frozenset[str], ...]:
    """Flags by field, without those that NSS adds, drops or takes as said by another one."""
    fields = []
    for field in trust.split(","):
        implied = ({"c"} if set(field) & {"C", "T"} else set()) | ({"p"} if "P" in field else set())
        fields.append(frozenset(field) - {"u", "w"} - implied)
    return tuple(fields)


def _described(wish: Wish, database: Database) -> dict[str, dict[str, t.Any]]:
    """The declared certificates that are there, by nickname."""
    listing = database.listing()
    return {
        name: {
            "fingerprint": fingerprint(wanted.certificate),
            "trust": listing[name],
            "key": _has_key(listing[name]),
        }
        for name, wanted in sorted(wish.wanted.items())
        if name in listing
    }


def _told(wish: Wish, database: Database) -> str:
    """The database, as far as this is about it, for a diff."""
    listing = database.listing()
    lines = []
    for name in wish.names:
        if name in listing:
            prints = " and ".join(fingerprint(one) for one in database.certificates(name))
            lines.append(f"{name}: {listing[name]} {prints}\n")
    return "".join(lines)


def _apply(plan: tuple[Change, ...], wish: Wish, database: Database, done: list[str]) -> None:
    """Do it, noting what is `done`, and look whether it was."""
    for change in plan:
        change.apply(database)
        done.append(change.title)
    left = [change.title for change in _plan(wish, database)]
    if left:
        raise VerifyError(f"done, but this is left to do: {', '.join(left)}", left=left)


def _carry_out(plan: tuple[Change, ...], wish: Wish, session: Session, host: NssHost) -> None:
    """Do it in earnest: the record before the first change, which may be the last one."""
    made = {change.name: change.wanted for change in plan if change.kind in ("add", "replace") and change.wanted}
    both = {name: _made(wanted, wish.ours.get(name)) for name, wanted in made.items()}
    _record({**wish.ours, **both}, session, host)
    changed = tuple(change.name for change in plan if change.kind != "trust")
    for process in host.pluto.processes() if changed else ():
        host.nss.outdate(process, changed)
    done: list[str] = []
    try:
        _apply(plan, wish, session, done)
    except IPsecError as exc:
        exc.done = tuple(done)
        raise
    undeclared = set(_undeclared(wish, session))
    kept = {name: was for name, was in wish.ours.items() if name in wish.wanted or name in undeclared}
    _record({**kept, **{name: _made(wanted, None) for name, wanted in made.items()}}, session, host)
    if plan:
        host.journal.write(f"certificates: {', '.join(change.title for change in plan)}")


def _made(wanted: Wanted, was: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """What is recorded of a nickname; until the change is done, what was there before counts too."""
    old = was["fingerprints"] if was else []
    return {"fingerprints": [*old, fingerprint(wanted.certificate)], "key": wanted.key is not None}


def _record(made: t.Mapping[str, t.Any], session: Session, host: NssHost) -> None:
    known = recorded(host.files, "certificates")
    folders = {**known, session.folder: dict(made)}
    record(host.files, "certificates", {folder: names for folder, names in folders.items() if names})
