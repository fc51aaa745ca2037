# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pluto's NSS database on this host, by certutil(1) and pk12util(1) of NSS, and openssl(1) for keys in PEM.

Secrets go to these programs in files of a folder in /run, which is in memory and for root alone; never as arguments.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import typing as t

from ._clock import SystemClock
from ._errors import ConfigError, DependencyError
from ._outdated import note_certificates
from ._settings import config_setup
from ._x509 import certificates_in, pem_of

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._model import Process
    from ._nss_host import Key
    from ._ports import Commands

WORK = "/run/xswan-ipsec.nss"
"""Folder of a session. One that was killed leaves it, until the next one, or the next boot."""
FILES = ("cert9.db", "key4.db")
"""Of a database. Its third file, pkcs11.txt, NSS makes anew where it is missing."""
PASSWORD = "nsspassword"
"""In `ipsecdir`: the database's password, where it has one; ipsec.conf(5), and lib/libswan/lswnss.c of 3.x to 5.x."""
PACKAGES = "the package libnss3-tools (Debian), nss-tools (Red Hat, Alpine) or mozilla-nss-tools (SUSE)"
TIMEOUT = 120.0
"""Seconds for one program; thousands of rounds to derive a key from a passphrase take a slow host long."""

_LINE = re.compile(r"(?P<name>\S.*?)\s+(?P<trust>[A-Za-z]*,[A-Za-z]*,[A-Za-z]*)\s*")
_WRONG_PASSWORD = "SEC_ERROR_BAD_PASSWORD"


class LocalNss:
    """See the port `Nss`."""

    def __init__(self, commands: Commands, *, config: str, nssdir: str | None = None, work: str = WORK) -> None:
        self._commands = commands
        self._config = config
        self._nssdir = nssdir
        self._work = work

    @contextlib.contextmanager
    def open(self) -> t.Iterator[LocalSession]:
        """See Nss.open."""
        folder, password = self._places()
        if not os.path.isdir(folder):
            raise DependencyError(f"there is no folder {folder} for pluto's NSS database; run `mkdir -m 700 {folder}`")
        _remove(self._work)
        os.mkdir(self._work, 0o700)
        try:
            yield LocalSession(self._commands, folder, password, self._work)
        finally:
            _remove(self._work)

    def outdate(self, process: Process, names: tuple[str, ...]) -> None:
        """See Nss.outdate."""
        note_certificates(process, names, SystemClock().now())

    def _places(self) -> tuple[str, str]:
        """The database's folder, and its file of passwords."""
        try:
            setup = config_setup(self._commands, self._config)
        except ConfigError:
            # one that is still to be installed, or is wrong; the program knows what it was built with
            setup = config_setup(self._commands, os.devnull)
        folder = self._nssdir or setup.get("nssdir") or setup.get("ipsecdir")
        if not folder:
            raise DependencyError("`ipsec addconn --configsetup` does not tell where the NSS database is; give nssdir")
        return folder, os.path.join(setup.get("ipsecdir", "/etc/ipsec.d"), PASSWORD)


class LocalDatabase:
    """See the port `Database`. It is made when the first certificate is added.

    What it has told is not asked again until it changes: each question is a program that opens the database.
    """

    def __init__(self, commands: Commands, folder: str, password: str, work: str, called: str = "") -> None:
        self._commands = commands
        self.folder = folder
        shown = called or folder
        self._called = f"the NSS database in {shown}"
        self._room = f"look whether the file systems of {shown} and {work} are writable and have room"
        self._given = password
        self._work = work
        self._told: dict[tuple[str, ...], str] = {}
        """What certutil has printed, by its words."""

    def listing(self) -> dict[str, str]:
        """See Database.listing."""
        if not os.path.exists(f"{self.folder}/{FILES[0]}"):
            return {}
        lines = self._tell("be read", "-L").splitlines()
        return {match["name"]: match["trust"] for match in map(_LINE.fullmatch, lines) if match}

    def certificates(self, name: str) -> tuple[bytes, ...]:
        """See Database.certificates."""
        return certificates_in(self._tell(f"tell certificate {name}", "-L", "-n", name, "-a"))

    def add(self, name: str, certificate: bytes, trust: str, key: Key | None) -> None:
        """See Database.add."""
        if not os.path.exists(f"{self.folder}/{FILES[0]}"):
            self.make()
        if key is None:
            file = self._file("certificate", pem_of(certificate).encode("ascii"))
            self._certutil(f"take certificate {name}", "-A", "-n", name, "-t", trust, "-a", "-i", file)
            return
        password = self._file("password", secrets.token_hex(32).encode("ascii"))
        self._import(self._one_key(name, certificate, key, password), ("-w", password))
        if name not in self.listing():
            raise ConfigError(
                f"certificate {name} has the subject of another one in the database, whose nickname NSS gives it; "
                "use that nickname, or remove the other certificate first"
            )
        if trust.strip(","):
            self.set_trust(name, trust)

    def set_trust(self, name: str, trust: str) -> None:
        """See Database.set_trust."""
        self._certutil(f"trust certificate {name} as {trust}", "-M", "-n", name, "-t", trust)

    def remove(self, name: str, *, key: bool) -> None:
        """See Database.remove."""
        self._certutil(f"remove certificate {name}", "-F" if key else "-D", "-n", name)

    def make(self) -> None:
        """Make the database, as `ipsec initnss` does."""
        self._told.clear()
        done = self._run("certutil", "-N", "--empty-password", "-d", f"sql:{self.folder}")
        if done.status != 0:
            raise ConfigError(f"no NSS database can be made in {self.folder}: {done.reason}; {self._room}")

    def scratch(self) -> LocalDatabase:
        """A database with nothing in it, and without a password."""
        folder = self._path("database")
        os.mkdir(folder, 0o700)
        database = LocalDatabase(self._commands, folder, "", self._work)
        database.make()
        return database

    def take(self, key: Key) -> str:
        """Import a PKCS #12 file whole; the nickname of its private key, which NSS may have made up."""
        secret = ("-w", self._file("passphrase", key.passphrase.encode())) if key.passphrase else ("-W", "")
        self._import(self._file("pkcs12", key.content), secret)
        names = [name for name, trust in self.listing().items() if "u" in trust]
        if len(names) != 1:
            raise ConfigError(f"it holds {len(names)} certificates with their private keys; give a file with one")
        return names[0]

    def _one_key(self, name: str, certificate: bytes, key: Key, password: str) -> str:
        """A PKCS #12 file with this password, that holds this key, its certificate by this nickname, and no other."""
        packed = self._path("packed")
        if key.kind == "pem":
            phrase = self._file("passphrase", key.passphrase.encode() + b"\n")
            self._say(
                f"the key of certificate {name} cannot be used",
                "give the one that belongs to the certificate, and its passphrase",
                *("openssl", "pkcs12", "-export", "-name", name, "-out", packed, "-passout", f"file:{password}"),
                *("-in", self._file("certificate", pem_of(certificate).encode("ascii"))),
                *("-inkey", self._file("key", key.content)),
                *("-passin", f"file:{phrase}"),
            )
            return packed
        scratch = self.scratch()
        found = scratch.take(key)
        for other in scratch.listing().keys() - {found}:
            scratch.remove(other, key=False)
        if found != name:
            scratch._certutil(f"call certificate {name}", "--rename", "-n", found, "--new-n", name)
        scratch._say(
            f"the key of certificate {name} cannot be copied",
            self._room,
            *("pk12util", "-o", packed, "-n", name, "-d", f"sql:{scratch.folder}"),
            *("-k", scratch._password(), "-w", password),
        )
        return packed

    def _import(self, file: str, secret: tuple[str, str]) -> None:
        self._told.clear()
        done = self._run("pk12util", "-i", file, *secret, "-d", f"sql:{self.folder}", "-k", self._password())
        if done.status == 0:
            return
        if "Failed to authenticate" in done.err:
            raise self._locked()
        if _WRONG_PASSWORD in done.err:
            raise ConfigError("the passphrase of the PKCS #12 file is wrong; give the one that it was made with")
        raise ConfigError(
            f"the PKCS #12 file cannot be read: {done.reason}; give one that `openssl pkcs12 -info -in FILE` reads"
        )

    def _tell(self, what: str, *words: str) -> str:
        """What certutil prints of the database as it is now; ConfigError, which says `what` it does not."""
        if words not in self._told:
            self._told[words] = self._run_certutil(what, *words).out
        return self._told[words]

    def _certutil(self, what: str, *words: str) -> None:
        """Change the database."""
        self._told.clear()
        self._run_certutil(what, *words)

    def _run_certutil(self, what: str, *words: str) -> Completed:
        return self._say(
            f"{self._called} does not {what}",
            f"{self._room}, and whether `certutil -L` reads the database",
            *("certutil", *words, "-d", f"sql:{self.folder}", "-f", self._password()),
        )

    def _say(self, what: str, cure: str, *argv: str) -> Completed:
        """Run a program; ConfigError, which begins with `what` and ends with `cure`, when it fails."""
        done = self._run(*argv)
        if done.status == 0:
            return done
        if argv[0] == "certutil" and _WRONG_PASSWORD in done.err:
            raise self._locked()
        raise ConfigError(f"{what}: {done.reason}; {cure}")

    def _locked(self) -> ConfigError:
        return ConfigError(
            f"{self._called} has a password, which is not in {self._given}; write it there, "
            "as ipsec.conf(5) says of nsspassword, or take it off with `certutil -W`"
        )

    def _run(self, *argv: str) -> Completed:
        try:
            return self._commands.run(*argv, timeout=TIMEOUT)
        except DependencyError as exc:
            needed = "the package openssl, or give PKCS #12 in place of PEM" if argv[0] == "openssl" else PACKAGES
            raise DependencyError(f"{exc}: {needed}") from exc

    def _password(self) -> str:
        """A file with the database's password; without one an empty file, for else the programs ask the terminal."""
        return self._given if os.path.exists(self._given) else self._file("empty", b"")

    def _path(self, kind: str) -> str:
        """A path in the session's folder where nothing is."""
        paths = (f"{self._work}/{kind}{number}" for number in itertools.count())
        return next(path for path in paths if not os.path.lexists(path))

    def _file(self, kind: str, content: bytes) -> str:
        """A new file with this content; its path."""
        path = self._path(kind)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        return path


class LocalSession(LocalDatabase):
    """See the port `Session`."""

    def copy(self) -> LocalDatabase:
        """See Session.copy."""
        folder = self._path("database")
        os.mkdir(folder, 0o700)
        for name in FILES:
            if os.path.exists(f"{self.folder}/{name}"):
                shutil.copyfile(f"{self.folder}/{name}", f"{folder}/{name}")
        return LocalDatabase(self._commands, folder, self._given, self._work, called=self.folder)

    def unpack(self, key: Key) -> tuple[bytes, ...]:
        """See Session.unpack."""
        scratch = self.scratch()
        leaf = scratch.take(key)
        others = sorted(scratch.listing().keys() - {leaf})
        found = [*scratch.certificates(leaf), *(one for name in others for one in scratch.certificates(name))]
        return tuple(dict.fromkeys(found))


def _remove(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
