# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which connections of a pluto have a certificate that was replaced after they were loaded.

pluto does not tell: it names a connection's certificate by nickname, and keeps the one that it found under that name
when the connection was loaded.
"""

from __future__ import annotations

import json
import typing as t

from ._stamp import write_stamp

if t.TYPE_CHECKING:
    from ._model import Process

STAMP = "/run/xswan-ipsec.certificates"
"""Of one pluto, in memory: when nicknames got other certificates, and connections were loaded. A boot makes it void."""

Times = dict[str, float]
"""Monotonic seconds, by name."""


def note_certificates(process: Process, names: t.Iterable[str], now: float, path: str = STAMP) -> None:
    """Note that these nicknames have other certificates now."""
    replaced, loaded = _read(process, path)
    _write(process, {**replaced, **dict.fromkeys(names, now)}, loaded, path)


def note_connection(process: Process, name: str, now: float, path: str = STAMP) -> None:
    """Note that this connection has been loaded, with the certificates of now."""
    replaced, loaded = _read(process, path)
    if replaced:
        _write(process, replaced, {**loaded, name: now}, path)


def outdated(process: Process, used: t.Mapping[str, t.Iterable[str]], path: str = STAMP) -> frozenset[str]:
    """The connections that were loaded before one of the nicknames which they use got another certificate."""
    replaced, loaded = _read(process, path)
    return frozenset(
        connection
        for connection, names in used.items()
        if any(name in replaced and replaced[name] >= loaded.get(connection, 0.0) for name in names)
    )


def _read(process: Process, path: str) -> tuple[Times, Times]:
    """What is noted of this pluto; a note that is not whole is none."""
    try:
        with open(path, encoding="utf-8") as file:
            noted = json.load(file)
        if noted["pluto"] == list(process.identity):
            return noted["certificates"], noted["connections"]
    except FileNotFoundError:
        pass  # nothing was ever replaced
    except (ValueError, KeyError, TypeError):
        pass  # written by nobody of ours
    return {}, {}


def _write(process: Process, certificates: Times, connections: Times, path: str) -> None:
    noted = {"pluto": process.identity, "certificates": certificates, "connections": connections}
    write_stamp(path, json.dumps(noted))
