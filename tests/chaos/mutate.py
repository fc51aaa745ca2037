# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what real programs say to what a broken, newer or hostile one might: small changes, one upon the other.

A text stands for bytes too, a character each (Latin-1), so that there is one set of changes.
"""

from __future__ import annotations

import json
import re
import typing as t

if t.TYPE_CHECKING:
    import random

LARGEST = 4096
"""Characters; a case that has grown beyond is cut."""
SPECIAL = (
    *("\x00", "\x07", "\x1b[2J", "\x1b]0;owned\x07", "\x7f", "\x85", "\x9b31m", "\u2028", "\u202e", "\udc80", "\ufeff"),
    *("'", '"', "\\", "`", "$(id)", ";", "|", "<script>", "{", "}", "[", "]", "(", ")", "#", "=", ":", ",", "/", "../"),
    *("\t", "\r", "\r\n", "\n\n", " ", "  ", "%", "%s", "{0}", "*", "é", "\u0664", "²", "\U0001d7dc", "-", "-1"),
)
NUMBERS = (
    "0",
    "-1",
    "00000000000000000000",
    "4294967296",
    "9" * 20,
    "9" * 400,
    "9" * 5000,
    "1e999",
    "0x",
    "NaN",
    "\u0663",
)
ODD: tuple[t.Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, 1e308, "", "x", "\x1b[2J", "a\nb", "\u202e", "<b>", '"', "9" * 5000),
    *([], [[]], {}, {"": None}, {"set": [None]}, {"range": [1]}),
)
"""What takes the place of a value of JSON."""


def step(text: str, chance: random.Random, seeds: t.Sequence[str]) -> str:
    """One change of a text; `seeds` lend it lines."""
    change = chance.choice(CHANGES)
    return change(text, chance, seeds)[:LARGEST]


def structured(text: str, chance: random.Random) -> str:
    """One change of a value of JSON: another in its place, or one less. What is no JSON stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places: list[tuple[t.Any, t.Any]] = []
    todo = [value]
    while todo:
        node = todo.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            todo.append(node[key])
    if not places:
        return json.dumps(chance.choice(ODD))
    node, key = chance.choice(places)
    what = chance.randrange(4)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[chance.choice(SPECIAL)] = node.pop(key)
    elif what == 2:
        other, name = chance.choice(places)
        # a copy, for a value that holds itself is no JSON
        node[key] = json.loads(json.dumps(other[name]))
    else:
        node[key] = chance.choice(ODD)
    said = json.dumps(value, indent=1)
    return said if len(said) <= LARGEST * 4 else text


def _lines(text: str, chance: random.Random) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, chance.randrange(len(lines))


def _delete_line(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    lines, at = _lines(text, chance)
    del lines[at]
    return "\n".join(lines)


def _double_line(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    lines, at = _lines(text, chance)
    lines.insert(chance.randrange(len(lines) + 1), lines[at])
    return "\n".join(lines)


def _other_line(text: str, chance: random.Random, seeds: t.Sequence[str]) -> str:
    """A line of another output, or of a newer program."""
    lines, at = _lines(text, chance)
    other = chance.choice(seeds).split("\n")
    lines.insert(at, chance.choice((chance.choice(other), "newer-key=value", "  newer: word; and=more;")))
    return "\n".join(lines)


def _cut(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    return text[: chance.randrange(len(text) + 1)]


def _window(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    """Some lines of it."""
    lines, at = _lines(text, chance)
    return "\n".join(lines[at : at + chance.randrange(1, 30)])


def _flip(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    """One bit of one character."""
    if not text:
        return text
    at = chance.randrange(len(text))
    return text[:at] + chr(ord(text[at]) & 0xFF ^ 1 << chance.randrange(8)) + text[at + 1 :]


def _insert(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(SPECIAL) + text[at:]


def _number(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    """Another number in place of one."""
    found = list(re.finditer("[0-9]+", text))
    if not found:
        return text
    match = chance.choice(found)
    return text[: match.start()] + chance.choice(NUMBERS) + text[match.end() :]


def _delete(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.randrange(1, 40) :]


def _word(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    """One word of it in the place of another."""
    found = list(re.finditer(r"[^\s=:;,\"']+", text))
    if len(found) < 2:
        return text
    one, other = chance.choice(found), chance.choice(found)
    return text[: one.start()] + other[0] + text[one.end() :]


def _long(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    """A very long line: a piece of it, again and again."""
    at = chance.randrange(len(text) + 1)
    piece = text[at : at + chance.randrange(1, 20)] or "a"
    return text[:at] + piece * (chance.choice((300, 1100, LARGEST)) // len(piece)) + text[at:]


def _json(text: str, chance: random.Random, _seeds: t.Sequence[str]) -> str:
    return structured(text, chance)


CHANGES: t.Final[tuple[t.Callable[[str, random.Random, t.Sequence[str]], str], ...]] = (
    *(_delete_line, _double_line, _other_line, _cut, _window, _flip, _insert, _insert, _number, _number),
    *(_delete, _word, _word, _long, _json),
)
