# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small reader of ipsec.conf(5): which section sets which key where. Pure.

Whether a configuration is right is for pluto to say. This reader answers what no program can be asked: which line a
name or key comes from, what is there twice, and which keys of a connection differ between two configurations.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import posixpath
import re
import typing as t

_HEADER = re.compile(r"^(?P<kind>config|conn|include|version)(?:[ \t]+(?P<rest>\S.*))?$")
_PARAMETER = re.compile(r"^[ \t]+(?P<key>[A-Za-z][\w.-]*)[ \t]*=[ \t]*(?P<value>.*)$")
_COMMENT = re.compile(r"(^|[ \t])#.*$")

DEFAULT = "%default"
REPEATABLE = frozenset({"also"})
"""Keys that may be there more than once in a section."""
INCLUDE_DEPTH = 10
"""How deep pluto follows includes (ipsec.conf(5))."""
INCLUDES = 10_000
"""Files that are read at most: a few that include each other would else be read for ever."""

LONGEST_PATH = 4096
"""PATH_MAX of linux/limits.h; a longer pattern finds nothing, and to try it takes long."""


class Source(t.Protocol):
    """The files as they will be."""

    def read(self, path: str) -> str | None:
        """The text of a file; None when there is none."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The files that a shell's pattern matches, sorted."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of a file, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One `key=value`; the key in lower case, for pluto does not care, the value without its quotes or braces."""

    key: str
    value: str
    place: Place


@dataclasses.dataclass(frozen=True)
class Section:
    """`config setup` (of name `setup`) or a `conn`."""

    kind: str
    name: str
    place: Place
    parameters: list[Parameter]

    def repeated(self) -> tuple[Parameter, ...]:
        """The parameters whose key was already set above them."""
        seen: set[str] = set()
        again = []
        for parameter in self.parameters:
            if parameter.key in seen and parameter.key not in REPEATABLE:
                again.append(parameter)
            seen.add(parameter.key)
        return tuple(again)


@dataclasses.dataclass(frozen=True)
class IPsecConf:
    """A configuration with all it includes."""

    sections: tuple[Section, ...] = ()
    missing: tuple[tuple[str, Place], ...] = ()
    """Includes of one file that is not there. (One with wildcards may match nothing.)"""
    files: tuple[str, ...] = ()
    """All that was read, in that order; the first is ipsec.conf, whether it is there or not."""

    @functools.cached_property
    def conns(self) -> tuple[Section, ...]:
        """The connections in their order, one of a double name each, without %default."""
        return tuple(section for section in self.sections if section.kind == "conn" and section.name != DEFAULT)

    @functools.cached_property
    def _by_name(self) -> dict[str, list[Section]]:
        found: dict[str, list[Section]] = {}
        for conn in self.conns:
            found.setdefault(conn.name, []).append(conn)
        return found

    @functools.cached_property
    def _defaults(self) -> tuple[Section, ...]:
        return tuple(section for section in self.sections if section.kind == "conn" and section.name == DEFAULT)

    @functools.cached_property
    def _default_keys(self) -> dict[str, str]:
        return self._merged(self._defaults)

    @functools.cached_property
    def _by_place(self) -> dict[Place, tuple[Section, Parameter | None]]:
        found: dict[Place, tuple[Section, Parameter | None]] = {s.place: (s, None) for s in self.sections}
        return {**found, **{p.place: (section, p) for section in self.sections for p in section.parameters}}

    def conn(self, name: str) -> Section | None:
        """The first section of that name."""
        return self._by_name[name][0] if name in self._by_name else None

    def names(self) -> tuple[str, ...]:
        """The names of the connections, each once."""
        return tuple(self._by_name)

    def setup(self) -> dict[str, str]:
        """What `config setup` sets; a later one wins."""
        return self._merged(section for section in self.sections if section.kind == "config")

    def effective(self, name: str) -> dict[str, str]:
        """All keys of a connection: its own, else those it takes over by also=, else those of %default."""
        keys: dict[str, str] = {}
        for section in self._with_also(name, set()):
            for parameter in section.parameters:
                keys.setdefault(parameter.key, parameter.value)
        return {**self._default_keys, **{key: value for key, value in keys.items() if key != "also"}}

    def parameter(self, name: str, key: str) -> Parameter | None:
        """Where a connection gets a key from, by the rule of `effective`."""
        sections = (*self._with_also(name, set()), *reversed(self._defaults))
        return next((p for section in sections for p in section.parameters if p.key == key), None)

    def at(self, place: Place) -> tuple[Section, Parameter | None] | None:
        """The section, and the parameter if it is one, that is at this line."""
        return self._by_place.get(place)

    @functools.cached_property
    def templates(self) -> frozenset[str]:
        """Names that other connections take over by also=."""
        return frozenset(p.value for section in self.sections for p in section.parameters if p.key == "also")

    @staticmethod
    def _merged(sections: t.Iterable[Section]) -> dict[str, str]:
        return {parameter.key: parameter.value for section in sections for parameter in section.parameters}

    def _with_also(self, name: str, seen: set[str]) -> t.Iterator[Section]:
        if name in seen:
            return
        seen.add(name)
        for section in self._by_name.get(name, ()):
            yield section
            for parameter in section.parameters:
                if parameter.key == "also":
                    yield from self._with_also(parameter.value, seen)


def read_conf(source: Source, path: str) -> IPsecConf:
    """Read the file and all it includes; an empty configuration when there is no file."""
    reader = _Reader(source)
    reader.read(path, ())
    return IPsecConf(tuple(reader.sections), tuple(reader.missing), tuple(dict.fromkeys(reader.files)))


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.sections: list[Section] = []
        self.missing: list[tuple[str, Place]] = []
        self.files: list[str] = []

    def read(self, path: str, above: tuple[str, ...]) -> None:
        """`above` are the files that include it, one the other."""
        section: Section | None = None
        self.files.append(path)
        for number, line in enumerate((self._source.read(path) or "").split("\n"), 1):
            here = Place(path, number)
            header = _HEADER.match(_COMMENT.sub("", line).rstrip())
            parameter = _PARAMETER.match(line)
            if header:
                name = (header["rest"] or "").strip('"')
                section = Section(header["kind"], name, here, []) if header["kind"] in ("config", "conn") else None
                if section:
                    self.sections.append(section)
                if header["kind"] == "include":
                    self._include(name, here, (*above, path))
            elif parameter and section:
                value = plain_value(parameter["value"])
                section.parameters.append(Parameter(parameter["key"].lower(), value, here))

    def _include(self, pattern: str, place: Place, above: tuple[str, ...]) -> None:
        full = posixpath.join(posixpath.dirname(place.file), pattern)
        found = self._source.glob(full)
        if not found and not any(char in pattern for char in "*?[{"):
            self.missing.append((pattern, place))
        for path in found:
            # one that includes itself ends pluto, which says so
            if path not in above and len(above) <= INCLUDE_DEPTH and len(self.files) < INCLUDES:
                self.read(path, above)


def plain_value(text: str) -> str:
    """A value as it is written, without quotes, braces and comment."""
    text = text.strip(" \t")
    for opening, closing in (('"', '"'), ("{", "}")):
        if text.startswith(opening) and closing in text[1:]:
            return text[1 : text.index(closing, 1)]
    return _COMMENT.sub("", text).rstrip(" \t")


def matches_name(name: str, wanted: str) -> bool:
    """The same of one part of a path."""
    return fnmatch.fnmatchcase(name, wanted) and (not name.startswith(".") or wanted.startswith("."))


def matches(path: str, pattern: str) -> bool:
    """Whether glob(3) finds this path: a wildcard matches neither a slash nor a leading dot."""
    if len(pattern) > LONGEST_PATH:
        return False
    parts, patterns = path.split("/"), posixpath.normpath(pattern).split("/")
    return len(parts) == len(patterns) and all(matches_name(part, wanted) for part, wanted in zip(parts, patterns))
