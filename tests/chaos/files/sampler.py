# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a gateway: what everybody can read of every process, again and again, and the keys of SAs.

Each argument list and environment is written once to /run/chaos/seen, each key to /run/chaos/keys, in memory, until the
folder is gone. It runs on Python 3.9.
"""

from __future__ import annotations

import os
import re
import subprocess
import time

FOLDER = "/run/chaos"
PAUSE = 0.1
"""Seconds between two looks: on a gateway of the lab each takes some hundredths of a second of its only processor."""
KEYS_EVERY = 10
"""Rounds."""


def read(path: str) -> bytes:
    """A file of a process that may be gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def main() -> None:
    """Look until it is over."""
    seen: set[bytes] = set()
    rounds = 0
    while os.path.isdir(FOLDER):
        new = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                text = read(f"/proc/{pid}/{name}").replace(b"\0", b"\n")
                if text and text not in seen:
                    seen.add(text)
                    new.append(text)
        with open(f"{FOLDER}/seen", "ab") as file:
            file.writelines(text + b"\n" for text in new)
        rounds += 1
        if rounds % KEYS_EVERY == 0:
            said = subprocess.run(["ip", "xfrm", "state"], capture_output=True, check=False).stdout
            with open(f"{FOLDER}/keys", "ab") as file:
                file.writelines(key + b"\n" for key in re.findall(rb" 0x([0-9a-f]{32,})", said))
        time.sleep(PAUSE)


main()
