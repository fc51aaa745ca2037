# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of ipsec.conf(5), ipsec.secrets(5) and policy groups, so that no value can leave its line.

What is plain, what is quoted and what is refused was tried on Libreswan 4.3, 4.10 and 5.2; the test on the lab's
gateways tries it again with random values.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import typing as t

_PLAIN: t.Final = re.compile(r"[A-Za-z0-9_@%./:+-]+")
# Not more than must be is in quotes: Libreswan 4.3 takes them for part of the identity.
_PLAIN_ID: t.Final = re.compile(r"(?!include$)[^\s'#:][^\s]*(?<!:)")
_CONTROL: t.Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KEY: t.Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NAME: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARAMETER: t.Final = re.compile(r"net([./][\w*@:-]+)+", re.ASCII)
_VALUE: t.Final = re.compile(r"[\x21-\x7e]+([ \t]+[\x21-\x7e]+)*")
_PROTOCOL: t.Final = re.compile(r"[a-z][a-z0-9-]*|[0-9]{1,3}")

_REPEATED: t.Final = ("also",)
"""Keys of which a section may have several; a list makes one line of each."""
_SPACED: t.Final = ("connalias",)
"""Keys whose lists ipsec.conf(5) separates by spaces; all others are separated by commas."""
_BRACED: t.Final = ("leftsubnets", "rightsubnets")
"""Keys whose value ipsec.conf(5) writes in braces. Without them it means the same, in quotes they are taken for part
of the first subnet."""


def name_mistake(name: object) -> str | None:
    """What is wrong with a connection's name."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return f"{name!r} is no name of a connection; allowed: letters, digits, '.', '_' and '-', the first not a sign"


def destination_mistake(destination: object) -> str | None:
    """What is wrong with a line of a policy group: a network, and perhaps protocol, source and destination port."""
    words = str(destination).split(" ")
    if "%" in words[0]:
        # ipaddress takes anything at all for the zone of an IPv6 address, even the end of a line
        return f"{destination!r} has a zone; allowed: a network such as 10.1.0.0/16, or an address"
    try:
        ipaddress.ip_network(words[0])
    except ValueError as error:
        return f"{error}; allowed: a network such as 10.1.0.0/16, or an address"
    if len(words) == 1 or (len(words) == 4 and _PROTOCOL.fullmatch(words[1]) and all(map(_is_port, words[2:]))):
        return None
    return f"{destination!r} is no destination; allowed: a network, or NETWORK PROTOCOL SOURCE-PORT DESTINATION-PORT"


def _is_port(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) < 2**16


def parameter_mistake(name: object, value: object) -> str | None:
    """What is wrong with a kernel parameter and its value; that there is one of that name only the kernel knows."""
    if not isinstance(name, str) or not _PARAMETER.fullmatch(name):
        return "is no name of a parameter of the network; allowed: one such as net.ipv4.ip_forward"
    if not isinstance(value, (bool, int, str)) or not _VALUE.fullmatch(str(value)):
        return f"{value!r} is no value; allowed: a number, a boolean or words"
    return None


def text_mistake(text: str) -> str | None:
    """What would break out of a quoted text. The text itself is not in the answer, for it may be secret."""
    if _CONTROL.search(text):
        return "holds a line break, a tab or another control character; allowed: one line of printable characters"
    if '"' in text:
        return "holds a double quote, which no quoting can hold; allowed: any other character"
    if text.endswith("\\"):
        return "ends in a backslash, which would hide the closing quote; allowed: any other last character"
    return None


def shown(text: str) -> str:
    """A message that can only be read: names that cannot be used are quoted in it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def quoted(text: str) -> str:
    """A text that `text_mistake` has nothing against, in quotes."""
    return f'"{text}"'


def key_lines(section: t.Mapping[str, t.Any], path: str, mistakes: list[str]) -> list[str]:
    """The lines `key=value` of a section, sorted by key; what cannot be written is added to `mistakes`.

    Booleans become yes and no, lists are joined as the manual wants it; a key whose value is None or an empty list is
    left out.
    """
    lines = []
    for key, value in sorted(section.items(), key=lambda item: str(item[0])):
        where = f"{path}.{key}"
        if not _KEY.fullmatch(str(key)):
            mistakes.append(f"{where}: is no key of ipsec.conf; allowed: letters, digits, '-' and '_', a letter first")
            continue
        if value is None or value == []:
            continue
        texts = _texts(str(key), value)
        if texts is None:
            mistakes.append(f"{where}: cannot be written; allowed: a string, a number, a boolean, or a list of them")
            continue
        for text in texts:
            wrong = text_mistake(text)
            if wrong:
                mistakes.append(f"{where}: {wrong}")
            else:
                lines.append(f"{key}={text if _PLAIN.fullmatch(text) else quoted(text)}")
    return lines


def _texts(key: str, value: object) -> list[str] | None:
    """The values of the lines that a key needs, before any quoting; None when it can have none."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, (bool, str, int, float)) for item in items):
        return None
    texts = [str(item) if not isinstance(item, bool) else "yes" if item else "no" for item in items]
    if key in _BRACED and isinstance(value, str):
        return [re.sub(r"^\{(.*)\}$", r"\1", value.strip())]
    return texts if key in _REPEATED else [(" " if key in _SPACED else ",").join(texts)]


def identity(text: str) -> str:
    """An identity as the index of a line of ipsec.secrets; `text_mistake` has nothing against it."""
    if text.endswith("::"):
        with contextlib.suppress(ValueError):
            # The last colon would be taken for the one that ends the list of identities.
            return ipaddress.IPv6Address(text).exploded
    return text if _PLAIN_ID.fullmatch(text) else quoted(text)
