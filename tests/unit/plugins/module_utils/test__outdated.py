# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which connections of a pluto have a certificate that was replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process
from ansible_collections.xswan.ipsec.plugins.module_utils._outdated import (
    note_certificates,
    note_connection,
    outdated,
)

PLUTO, ANOTHER = Process(7, since_boot=100.5), Process(7, since_boot=200.5)
USED = {"a": {"one"}, "b": {"one", "two"}, "c": {"two"}}


def test_until_it_is_loaded_again(tmp_path: Path) -> None:
    stamp = str(tmp_path / "stamp")
    note_connection(PLUTO, "a", 9.0, stamp)
    assert outdated(PLUTO, USED, stamp) == set()
    assert not (tmp_path / "stamp").exists()
    note_certificates(PLUTO, ["one"], 10.0, stamp)
    assert outdated(PLUTO, USED, stamp) == {"a", "b"}
    note_connection(PLUTO, "a", 11.0, stamp)
    assert outdated(PLUTO, USED, stamp) == {"b"}
    note_certificates(PLUTO, ["two"], 12.0, stamp)
    assert outdated(PLUTO, USED, stamp) == {"b", "c"}
    note_certificates(PLUTO, ["one"], 13.0, stamp)
    assert outdated(PLUTO, USED, stamp) == {"a", "b", "c"}
    assert outdated(ANOTHER, USED, stamp) == set()
    note_certificates(ANOTHER, ["two"], 14.0, stamp)
    assert outdated(ANOTHER, USED, stamp) == {"b", "c"}


@pytest.mark.parametrize("text", ["", "[]", "{}", "no"])
def test_a_note_that_is_not_whole(text: str, tmp_path: Path) -> None:
    (tmp_path / "stamp").write_text(text)
    assert outdated(PLUTO, USED, str(tmp_path / "stamp")) == set()
