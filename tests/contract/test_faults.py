# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short part of the system calls that fail: a few of each sort, always the same. `make faults` tries them all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos import calls
from chaos.operations import OPERATIONS, Operation

SHORT = {
    "files-install": ("linkat", "rename"),
    "guard": ("flock", "openat"),
    "pluto-write-lock": ("write", "rename"),
    "record": ("write",),
    "rollback-arm": ("fork", "clone", "clone3"),
    "config": ("linkat", "rename", "openat"),
    "xfrm-look": ("socket", "sendto", "recvmsg"),
    "commands": ("vfork", "pipe2"),
}
"""Operations and the calls that fail here, each time by the first of its errors."""


def operation(name: str) -> Operation:
    return next(one for one in OPERATIONS if one.name == name)


@pytest.mark.parametrize("name", SHORT)
def test_a_call_that_fails_is_one_clear_error_and_the_next_run_converges(name: str) -> None:
    assert calls.missing() is None, calls.missing()
    count, found = calls.inject(
        operation(name), lambda fault: fault.call in SHORT[name] and fault.how == calls.FAULTS[fault.call][0]
    )
    assert count >= 1
    assert not found, "\n".join(f"{finding.fault}: {finding.what}" for finding in found)


def _half(folder: Path) -> None:
    """What an operation must not do: nothing of its own error, and a file that is cut."""
    with open(folder / "file", "w", encoding="ascii") as file:
        file.write("half")
        file.flush()
        os.fsync(file.fileno())
        file.write(" whole")


def _old(folder: Path) -> None:
    (folder / "file").write_text("old")


def _fails(folder: Path) -> None:
    (folder / "nothing").read_text()


def test_what_is_wrong_would_be_found() -> None:
    _count, found = calls.inject(Operation("bad", _old, _half), lambda fault: fault.call == "fsync")
    assert [finding.what for finding in found] == ["neither old nor new: ['file']"]
    with pytest.raises(RuntimeError, match=r"the good run fails: {'error': .*nothing: No such file"):
        calls.inject(Operation("bad", _old, _fails))
