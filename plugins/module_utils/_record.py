# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what a gateway was like before it was changed, by which that is put back. Pure.

It is one file, which is there only while there is something to put back. Who changes it holds the Guard.
"""

from __future__ import annotations

import json
import typing as t

from ._candidate import File
from ._errors import ConfigError, IPsecError, understood

if t.TYPE_CHECKING:
    from ._config_host import Files

RECORD = "/var/lib/xswan-ipsec.json"
"""For root alone: it may hold an ipsec.secrets."""

CURE = "take it from a backup of the host, or remove it to forget what was before"

Part = t.Literal["files", "sysctl", "firewall", "certificates"]
"""Each module has a part of its own."""


def recorded(files: Files, part: Part) -> dict[str, t.Any]:
    """What is recorded of this part; ConfigError when the record cannot be read."""
    found = _read(files).get(part, {})
    with understood(RECORD, ConfigError, CURE):
        FORMS[part](found)
    return found


def kept(files: Files) -> tuple[Part, ...]:
    """The parts of which anything is recorded, sorted."""
    found = _read(files)
    return tuple(part for part in sorted(FORMS) if found.get(part))


def record(files: Files, part: Part, content: dict[str, t.Any]) -> None:
    """Replace this part of the record; nothing is written when it is that already."""
    before = _read(files)
    after = {**before, part: content}
    left = {name: found for name, found in sorted(after.items()) if found}
    if left != before:
        text = json.dumps(left, indent=1, sort_keys=True) + "\n" if left else None
        try:
            files.install((File(RECORD, text, secret=True),), 0)
        except IPsecError as exc:
            # what is recorded makes no difference to what the host does
            exc.changed = False
            raise


def forget(files: Files, paths: t.Collection[str]) -> tuple[str, ...]:
    """Nobody has to put these files back any more: nothing is recorded of them, and their backups go. Returns those."""
    backups = tuple(backup for path in sorted(paths) for backup in files.glob(File(path, None).backups))
    if backups:
        # first, for without a record nobody would find them
        files.install(tuple(File(backup, None) for backup in backups), 0)
    record(files, "files", {path: was for path, was in recorded(files, "files").items() if path not in paths})
    return backups


def as_it_is(files: Files, file: File) -> dict[str, t.Any]:
    """What is recorded of a file. The mode of one that is not root's says nothing."""
    mode = files.mode(file.path)
    return {"text": files.read(file.path), "mode": None if mode is None or mode < 0 else mode, "secret": file.secret}


def as_it_was(path: str, was: dict[str, t.Any]) -> File:
    """The file that was recorded."""
    return File(path, was["text"], was["secret"], was["mode"])


def differs(files: Files, file: File) -> bool:
    """Whether the host's file has another text, mode or owner than this one."""
    mode = None if file.text is None else file.mode
    return files.read(file.path) != file.text or files.mode(file.path) != mode


def _read(files: Files) -> dict[str, dict[str, t.Any]]:
    text = files.read(RECORD)
    if text is None:
        return {}
    with understood(RECORD, ConfigError, CURE):
        return {str(name): dict(found) for name, found in json.loads(text).items()}


def _files(kept: dict[str, t.Any]) -> None:
    for path, was in kept.items():
        mode = was["mode"]
        _is(isinstance(was["text"], (str, type(None))) and isinstance(was["secret"], bool) and path.startswith("/"))
        _is(mode is None or (isinstance(mode, int) and 0 <= mode <= 0o7777))


def _sysctl(kept: dict[str, t.Any]) -> None:
    before, ours = dict(kept.get("before", {})), dict(kept.get("ours", {}))
    _is(all(isinstance(value, str) for value in (*before.values(), *ours.values())) and ours.keys() <= before.keys())


def _firewall(kept: dict[str, t.Any]) -> None:
    _is(isinstance(kept.get("chain", ""), str) and all(isinstance(zone, str) for zone in kept.get("zones", [])))


def _certificates(kept: dict[str, t.Any]) -> None:
    for folder, names in kept.items():
        _is(folder.startswith("/"))
        for made in names.values():
            _is(all(isinstance(one, str) for one in made["fingerprints"]) and isinstance(made["key"], bool))


FORMS: dict[Part, t.Callable[[dict[str, t.Any]], None]] = {
    "files": _files,
    "sysctl": _sysctl,
    "firewall": _firewall,
    "certificates": _certificates,
}
"""What the parts must look like: something goes wrong, or ValueError, where one does not. Who uses it writes files."""


def _is(right: bool) -> None:
    if not right:
        raise ValueError
