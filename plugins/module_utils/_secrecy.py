# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What programs print and log, without what may be secret: all of it goes through `safe`, or is not told. Pure.

- Pluto, and whack with it, quotes what it does not understand of ipsec.secrets: lib/libswan/secrets.c of Libreswan 3.32
  to 5.4, lib/libopenswan/secrets.c of Openswan 2.6.
- The parser of ipsec.conf quotes its lines; it may have been led to a file of secrets by an include.
- Debug lines (`| ...`): no reason is among them, and with plutodebug=private they hold keys.
"""

from __future__ import annotations

import re
import typing as t

NOT_SHOWN = "(the rest is not shown, for it may be a secret)"

QUOTING = re.compile(r'(?:"(?P<file>[^"]+)" line |(?P<path>/[^\s:"]*secrets[^\s:"/]*): ?)(?P<line>\d+): (?P<what>.*)')
"""Where in a line the words on a line of a file of secrets are."""
_DEBUG = re.compile(r"(^|: )\| ")


def safe(lines: t.Iterable[str]) -> t.Iterator[str]:
    """These lines of a log or a program, each without what may be secret."""
    for line in lines:
        if _DEBUG.search(line):
            continue
        quoting = QUOTING.search(line)
        yield f"{line[: quoting.start('what')]}{first_words(quoting['what'])} {NOT_SHOWN}" if quoting else line


def safe_text(text: str) -> str:
    """The same of a whole text."""
    return "\n".join(safe(text.splitlines()))


def first_words(what: str) -> str:
    """Those before the first quotation: all that is safe of what is said on a line of a file of secrets."""
    return re.split(r"[\"'(:\[]", re.sub(r"^(ERROR|WARNING): ", "", what))[0].strip()
