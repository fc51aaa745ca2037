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
from ._errors import ConfigError

if t.TYPE_CHECKING:
    from ._config_host import Files

RECORD = "/var/lib/xswan-ipsec.json"
"""For root alone: it may hold an ipsec.secrets."""

Part = t.Literal["files", "sysctl", "firewall", "certificates"]
"""Each module has a part of its own."""


def recorded(files: Files, part: Part) -> dict[str, t.Any]:
    """What is recorded of this part; ConfigError when the record cannot be read."""
    return _read(files).get(part, {})


def record(files: Files, part: Part, content: dict[str, t.Any]) -> None:
    """Replace this part of the record; nothing is written when it is that already."""
    before = _read(files)
    after = {**before, part: content}
    left = {name: kept for name, kept in sorted(after.items()) if kept}
    if left != before:
        text = json.dumps(left, indent=1, sort_keys=True) + "\n" if left else None
        files.install((File(RECORD, text, secret=True),), 0)


def _read(files: Files) -> dict[str, dict[str, t.Any]]:
    text = files.read(RECORD)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise ConfigError(
            f"{RECORD} is damaged: {exc}; take it from a backup of the host, or remove it to forget what was before"
        ) from exc
    return {str(name): dict(kept) for name, kept in found.items()}
