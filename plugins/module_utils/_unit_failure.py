# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why pluto did not start: its exit statuses, and what systemd and the journal say of a unit that failed."""

from __future__ import annotations

import re
import signal
import typing as t

from ._systemd import UNIT

EXITS = {
    2: "its control socket failed",
    3: "it could not fork",
    4: "the FIPS self test failed",
    5: "the kernel refused",
    6: "its NSS database failed",
    7: "the audit system refused",
    8: "seccomp refused",
    9: "unbound failed",
    10: "its lock file could not be made",
    11: "SELinux refused",
}
"""What pluto's exit statuses mean: Libreswan's pluto_constants.h, the same from 3.32 to 5.x."""

CLEANERS = ("nflog ipsec capture",)
"""What Libreswan's unit says after pluto's end: `ipsec --stopnflog`."""
_EXITED = re.compile(r"(?P<which>Main|Control) process exited, code=(?P<code>\w+), status=(?P<status>\d{1,3})\b")


def how_it_ended(values: t.Mapping[str, str], log: tuple[str, ...]) -> str:
    """How the main process ended, by `systemctl show`; else how any did, by the journal; empty if none has.

    The manager forgets it when it starts the unit anew, as it does for Restart=.
    """
    # the numbers of waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED
    code, status = values.get("ExecMainCode", ""), values.get("ExecMainStatus", "")
    if code in ("1", "2", "3") and status.isdecimal() and int(status):
        return _ended("its main process", code == "1", int(status))
    for line in reversed(log):
        match = _EXITED.search(line)
        if match:
            which = "its main process" if match["which"] == "Main" else "a process of its preparation"
            return _ended(which, match["code"] == "exited", int(match["status"]))
    return _ended("its main process", True, 0) if code == "1" else ""


def _ended(which: str, exited: bool, status: int) -> str:
    if not exited:
        known = {int(one): one.name for one in signal.Signals}
        return f"{which} was ended by {known.get(status, f'signal {status}')}"
    meaning = f" ({EXITS[status]})" if status in EXITS and which == "its main process" else ""
    return f"{which} ended with exit status {status}{meaning}"


def last_words(log: tuple[str, ...], description: str) -> str:
    """The line of a unit's log that says why it failed: the newest that pluto calls fatal, or an error, or any.

    After it come those of systemd about the unit, which it names or describes, and of the programs that clean up; they
    never are last words.
    """
    own = (f"{UNIT}: ", f"{UNIT} - ", *((description,) if description else ()), *CLEANERS)
    told = [line for line in log if not any(mark in line for mark in own)]
    for mark in ("FATAL ERROR", "ERROR", ""):
        found = [line for line in told if mark in line]
        if found:
            return found[-1]
    return ""
