# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put into every Python of a gateway: it tells on the console each thing that a module is about to do.

The console is a file of the host, so what was told outlives the gateway. ARMED holds a number: before the effect of
that number the process stands still for ever, so that the power can be cut in that very moment; 0 only tells. ARMED is
in memory, so a gateway that has booted anew is not armed. It runs on Python 3.9.
"""

from __future__ import annotations

import os
import sys
import time

ARMED = "/run/xswan-witness"
CONSOLE = "/dev/console"
WHERE = ("/etc/", "/var/lib/", "/run/", "/root/")
"""Files elsewhere, as the temporary ones of Ansible, are not the product's."""
LOOKS = frozenset((
    *("--status", "--trafficstatus", "--listcerts", "--version", "--configsetup", "--checkconfig"),
    *("readwriteconf", "show", "is-active", "is-enabled", "state", "policy", "-json", "--json", "-S", "true"),
))  # fmt: skip
"""Words of programs that are run to look at something."""


class Witness:
    """An audit hook (PEP 578): it is told of everything before it is done."""

    def __init__(self, stop_at: int) -> None:
        self._stop_at = stop_at
        self._pid = os.getpid()
        self._count = 0
        self._busy = False

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """See sys.addaudithook(). What forks do is not counted: they only become other programs."""
        if self._busy or os.getpid() != self._pid:
            return
        self._busy = True
        try:
            told = effect(event, args)
            if told:
                self._count += 1
                say(f"{self._count} {told}")
                while self._count == self._stop_at:
                    time.sleep(1)
        finally:
            self._busy = False


def effect(event: str, args: tuple[object, ...]) -> str:
    """What is about to be done, in one line; empty for what changes nothing that outlives the process."""
    texts = [arg for arg in args if isinstance(arg, str)]
    told = ""
    if event == "subprocess.Popen" and isinstance(args[1], list):
        words = [os.fsdecode(word) for word in args[1]]
        if not LOOKS & {os.path.basename(word) for word in words}:
            told = f"run {' '.join(words)}"
    elif event == "syslog.syslog":
        told = f"say {args[1]}"
    elif event == "open" and isinstance(args[2], int):
        if args[2] & (os.O_WRONLY | os.O_RDWR) and str(args[0]).startswith(WHERE):
            told = f"write {args[0]}"
    elif event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir") and texts[0].startswith(WHERE):
        told = f"{event.partition('.')[2]} {' '.join(texts)}"
    return told.partition("\n")[0]


def say(line: str) -> None:
    """Tell it on the console."""
    fd = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY)
    try:
        os.write(fd, f"\nwitness: {line}\n".encode("utf-8", "replace"))
    finally:
        os.close(fd)


def main() -> None:
    """Begin, where it is armed."""
    try:
        with open(ARMED, encoding="ascii") as file:
            stop_at = int(file.read())
    except (OSError, ValueError):
        return
    sys.addaudithook(Witness(stop_at))


main()
