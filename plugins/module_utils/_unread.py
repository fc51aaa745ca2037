# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether files that pluto reads only when it is told to have changed since: secrets, and policy groups."""

from __future__ import annotations

import os
import typing as t

from ._stamp import signature, write_stamp

if t.TYPE_CHECKING:
    from ._model import Process
    from ._reload import Unread

STAMPS: dict[Unread, str] = {"secrets": "/run/xswan-ipsec.secrets", "policy groups": "/run/xswan-ipsec.groups"}
"""Which pluto was last told to read them, and the files' signature then. In memory: a boot makes it void."""


def changed(process: Process, files: tuple[str, ...], stamp: str) -> bool:
    """Whether this pluto has to read the files again; for one that we never told, whether they are newer than it."""
    try:
        with open(stamp, encoding="utf-8") as file:
            *identity, signed = file.read().split()
        if identity == _identity(process):
            return signed != signature(files)
    except (FileNotFoundError, ValueError):
        pass  # never told, or a stamp that is not whole: the clock must do
    newest = max((os.stat(file).st_ctime for file in files), default=0.0)
    return newest > process.started


def note(process: Process, signed: str, stamp: str) -> None:
    """Remember that this pluto has read the files that have this signature."""
    write_stamp(stamp, " ".join((*_identity(process), signed)))


def _identity(process: Process) -> list[str]:
    return [str(part) for part in process.identity]
