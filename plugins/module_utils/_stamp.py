# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stamps: what one run notes in memory for a later one, and signatures of files, by which that is known to hold still.

Of the content of files of secrets only includes are looked at.
"""

from __future__ import annotations

import glob
import hashlib
import os

from ._install import found_by

SECRETS, FOLDER = "/etc/ipsec.secrets", "/etc/ipsec.d"
"""Without `secretsfile=`, and what pluto takes for `ipsecdir`."""
DEPTH = 10
"""Of includes: ipsec.secrets(5)."""


def write_stamp(stamp: str, text: str) -> None:
    """Replace a stamp, for root alone, and through no link."""
    new = f"{stamp}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, stamp)


def signature(files: tuple[str, ...]) -> str:
    """What differs when one of the files has been written, replaced, added or removed. Not made of their content."""
    digest = hashlib.sha256()
    for file in files:
        told = os.stat(file)
        digest.update(f"{file}\0{told.st_ino} {told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def secret_files(path: str) -> tuple[str, ...]:
    """The file and all that it includes, sorted; those that are there."""
    found: set[str] = set()
    todo = [(path, 0)]
    while todo:
        file, depth = todo.pop()
        if file in found or depth > DEPTH or not os.path.isfile(file):
            continue
        found.add(file)
        with open(file, encoding="utf-8", errors="surrogateescape") as text:
            patterns = [line.partition(" ")[2].strip().strip('"') for line in text if line.startswith("include ")]
        for pattern in patterns:
            todo += [(match, depth + 1) for match in found_by(os.path.join(os.path.dirname(file), pattern))]
    return tuple(sorted(found))


def group_files(folder: str) -> tuple[str, ...]:
    """The policy groups that are there, sorted: ipsec.conf(5)."""
    return tuple(sorted(filter(os.path.isfile, glob.glob(os.path.join(glob.escape(folder), "policies", "*")))))
