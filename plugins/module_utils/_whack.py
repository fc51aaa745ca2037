# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of what `ipsec` programs print. Pure.

Seen: Libreswan 4.3, 4.10, 5.2. Up to 4.x every line begins with a three-digit code and a blank, from 5.0 none does.
"""

from __future__ import annotations

import re

from ._model import ChildSa, Program

_CODE = re.compile(r"^\d{3} ?")
_PROGRAM = re.compile(r"\b(Libreswan|Openswan|strongSwan) [vU]?(\d[\w.+-]*)")
_INTERFACE = re.compile(r"^interface ([^\s/]+)")
_CONNECTION = re.compile(r'^"(?P<name>[^"]+)"(?:\[\d+\] \S+)?:')
_EXPANSION = re.compile(r"/\d+x\d+$")
_TRAFFIC = re.compile(
    r'^#(?P<serial>\d+): "(?P<connection>[^"]+)".*, add_time=(?P<added>\d+), '
    r"inBytes=(?P<bytes_in>\d+), outBytes=(?P<bytes_out>\d+)"
)


def _lines(text: str) -> list[str]:
    return [_CODE.sub("", line) for line in text.splitlines()]


def parse_version(text: str) -> Program | None:
    """`ipsec --version`; None when it names no program that is known."""
    match = _PROGRAM.search(text)
    return Program(match[1], match[2]) if match else None


def parse_interfaces(status: str) -> tuple[str, ...]:
    """Interfaces on which pluto listens, from `ipsec whack --status`."""
    found = (_INTERFACE.match(line) for line in _lines(status))
    return tuple(sorted({match[1] for match in found if match}))


def parse_connections(status: str) -> tuple[str, ...]:
    """Names of the connections that pluto holds, from `ipsec whack --status`; instances belong to their parent."""
    found = (_CONNECTION.match(line) for line in _lines(status))
    return tuple(sorted({parent(match["name"]) for match in found if match}))


def parent(name: str) -> str:
    """The connection of ipsec.conf that an expansion of its subnets (`name/1x2`) comes from."""
    return _EXPANSION.sub("", name)


def parse_traffic(traffic: str) -> tuple[ChildSa, ...]:
    """Established Child SAs, from `ipsec whack --trafficstatus`, by serial number."""
    found = (_TRAFFIC.match(line) for line in _lines(traffic))
    return tuple(
        sorted(
            (
                ChildSa(
                    connection=match["connection"],
                    serial=int(match["serial"]),
                    added=int(match["added"]),
                    bytes_in=int(match["bytes_in"]),
                    bytes_out=int(match["bytes_out"]),
                )
                for match in found
                if match
            ),
            key=lambda sa: sa.serial,
        )
    )
