# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration that is to be installed, and how it differs from the one that is. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ._ipsec_conf import matches

if t.TYPE_CHECKING:
    from ._ipsec_conf import IPsecConf, Source

_QUOTED = re.compile(r'"([^"\n]+)"?')
_BARE = re.compile(r":[ \t]+[A-Za-z_]+[ \t]+(\S+)")
_BINARY = re.compile(r"(?<!\S)0[xst]\S+", re.IGNORECASE)
_NAME = re.compile(r"(:[ \t]+)(?:RSA[ \t]+(?:\"[^\"\n]*\"|[^\s\"{]+)|PIN[ \t]+%\S+)", re.IGNORECASE)
"""The part of a line RSA or PIN that is no secret: the nickname or file of a key, and the smart card."""
BACKUP = "~"
"""What the name of a backup ends in."""
HIDDEN = "********"
SHORTEST_SECRET = 4
"""Characters; hiding shorter ones would blot out words of the language."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file as it is, or is to be."""

    path: str
    text: str | None
    """None: there is no such file."""
    secret: bool = False
    """Its text is for nobody's eyes."""
    permissions: int | None = None
    """Others than those of its kind."""

    @property
    def mode(self) -> int:
        """The permissions that it is to have; its owner is root."""
        if self.permissions is not None:
            return self.permissions
        return 0o600 if self.secret else 0o644

    @property
    def backups(self) -> str:
        """The shell's pattern of its backups, of which the newest is the last by name."""
        return re.sub(r"([*?[])", r"[\1]", self.path) + f".[0-9]*T[0-9]*Z{BACKUP}"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is to be installed. Files that are not named here stay as they are."""

    config: str
    """Path of ipsec.conf, whether it is among the files or not."""
    files: tuple[File, ...]

    def over(self, source: Source) -> Overlay:
        """The files as they will be."""
        return Overlay(source, {file.path: file.text for file in self.files})


class Overlay:
    """A Source: new files over those that are there."""

    def __init__(self, source: Source, texts: t.Mapping[str, str | None]) -> None:
        self._source = source
        self._texts = texts

    def read(self, path: str) -> str | None:
        """See Source.read."""
        return self._texts[path] if path in self._texts else self._source.read(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See Source.glob."""
        there = set(self._source.glob(pattern)) - set(self._texts)
        new = {path for path, text in self._texts.items() if text is not None and matches(path, pattern)}
        return tuple(sorted(there | new))


@dataclasses.dataclass(frozen=True)
class Difference:
    """Two configurations, connection by connection. Names and keys are sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Name, and the keys whose values differ."""
    unchanged: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    """Keys of `config setup` whose values differ. pluto reads all of them only when it starts."""
    secrets: bool = False
    groups: tuple[str, ...] = ()
    """Policy groups whose members differ."""

    def impact(self) -> tuple[str, ...]:
        """What it means for the tunnels of a pluto that runs, once it takes the new configuration over; lines."""
        lines = []
        if self.setup:
            lines.append(f"config setup: {', '.join(self.setup)} changed, pluto must be restarted, every tunnel drops")
        lines += [f"{name}: {', '.join(keys)} changed, will renegotiate" for name, keys in self.changed]
        lines += [f"{name}: new" for name in self.added]
        lines += [f"{name}: removed, its tunnel ends" for name in self.removed]
        if self.secrets:
            lines.append("secrets changed, pluto must read them again")
        if self.groups:
            lines.append(f"policy group {', '.join(self.groups)} changed, connections for policy groups are replaced")
        if lines and not self.setup:
            # of the unchanged, those that share the IKE SA of one that goes end with it: pluto knows which, not we
            lines += [f"{len(self.unchanged)} unchanged", "no restart needed"]
        return tuple(lines)


def difference(
    before: IPsecConf, after: IPsecConf, *, secrets: bool = False, groups: tuple[str, ...] = ()
) -> Difference:
    """How two configurations differ; `secrets`: whether a file of secrets does; `groups`: policy groups that do."""
    old, new = before.names(), after.names()
    keys = {name: _keys(before.effective(name), after.effective(name)) for name in new if name in old}
    return Difference(
        added=tuple(sorted(set(new) - set(old))),
        removed=tuple(sorted(set(old) - set(new))),
        changed=tuple(sorted((name, changed) for name, changed in keys.items() if changed)),
        unchanged=tuple(sorted(name for name, changed in keys.items() if not changed)),
        setup=_keys(before.setup(), after.setup()),
        secrets=secrets,
        groups=groups,
    )


def _keys(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)))


def secrets_in(text: str) -> frozenset[str]:
    """Every string of an ipsec.secrets(5) that may be a secret: what is quoted or binary, and what follows a type."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = _NAME.sub(r"\1named", lines)
    found = {match for pattern in (_QUOTED, _BARE, _BINARY) for match in pattern.findall(lines)}
    found |= {word.strip('"') for word in found}
    return frozenset(word for word in found if len(word) >= SHORTEST_SECRET)


def hide(text: str, secrets: t.Iterable[str]) -> str:
    """The text with every secret blotted out, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
