# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway with pluto's NSS database, and the ports which that needs besides."""

from __future__ import annotations

import dataclasses
import typing as t

from ._host import Host

if t.TYPE_CHECKING:
    from ._config_host import Files
    from ._model import Process


@dataclasses.dataclass(frozen=True, repr=False)
class Key:
    """A private key, in a file of one of two kinds. It is never printed."""

    kind: t.Literal["pem", "pkcs12"]
    content: bytes
    passphrase: str = ""


class Database(t.Protocol):
    """An NSS database, by nicknames: certutil(1)."""

    def listing(self) -> dict[str, str]:
        """Nicknames, each with its trust as certutil prints it, where a `u` says that the private key is there."""

    def certificates(self, name: str) -> tuple[bytes, ...]:
        """The DER of the certificate of this nickname, and of all others with the same subject."""

    def add(self, name: str, certificate: bytes, trust: str, key: Key | None) -> None:
        """Add a certificate, with its private key if one is given; ConfigError when they do not belong together.

        One that is there by another nickname keeps that. With a private key, ConfigError too when another certificate
        of the same subject is there.
        """

    def set_trust(self, name: str, trust: str) -> None:
        """Change the trust of a certificate."""

    def remove(self, name: str, *, key: bool) -> None:
        """Remove a certificate, with `key` its private key too, which must be there then."""


class Session(Database, t.Protocol):
    """pluto's database, while this call works on it."""

    @property
    def folder(self) -> str:
        """Where it is."""

    def copy(self) -> Database:
        """A copy of it as it is now, which vanishes at the end."""

    def unpack(self, key: Key) -> tuple[bytes, ...]:
        """The certificates in a PKCS #12 file, the one of its private key first; ConfigError when it has none or more.

        ConfigError too when the passphrase is wrong, or the file is damaged.
        """


class Nss(t.Protocol):
    """Where pluto keeps keys and certificates."""

    def open(self) -> t.ContextManager[Session]:
        """Work on the database. What that takes of files is in memory, for root alone, and gone at the end.

        DependencyError where its tools or its folder are missing. There can be one session at a time.
        """

    def outdate(self, process: Process, names: tuple[str, ...]) -> None:
        """Note that this pluto may have loaded connections with other certificates than these nicknames have now."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NssHost(Host):
    """A gateway with pluto's NSS database."""

    files: Files
    nss: Nss
