# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On real files: when pluto has to read its secrets, or its policy groups, again."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process
from ansible_collections.xswan.ipsec.plugins.module_utils._stamp import group_files, secret_files, signature
from ansible_collections.xswan.ipsec.plugins.module_utils._unread import changed, note


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A file of secrets that includes others by a pattern, one of which includes the first."""
    folder = tmp_path / "ipsec.d"
    folder.mkdir()
    (folder / "one.secrets").write_text(f'include {tmp_path}/ipsec.secrets\n: PSK "one"\n')
    path = tmp_path / "ipsec.secrets"
    path.write_text('include ipsec.d/*.secrets\ninclude nothing/*.there\n: PSK "include me"\n')
    return path


def test_a_pluto_that_was_never_told(secrets: Path, tmp_path: Path) -> None:
    """Files that are newer than it are news."""
    stamp = str(tmp_path / "stamp")
    assert changed(Process(7, started=time.time() - 60), secret_files(str(secrets)), stamp) is True
    assert changed(Process(7, started=time.time() + 60), secret_files(str(secrets)), stamp) is False


def test_a_pluto_that_was_told(secrets: Path, tmp_path: Path) -> None:
    """Then what counts is whether a file has become another, be it an included one, one more or one less."""
    stamp, process, other = str(tmp_path / "stamp"), Process(7, since_boot=1.5), Process(7, since_boot=2.5)
    note(process, signature(secret_files(str(secrets))), stamp)
    assert stat.S_IMODE(os.stat(stamp).st_mode) == 0o600
    assert "PSK" not in Path(stamp).read_text()
    assert changed(process, secret_files(str(secrets)), stamp) is False
    assert changed(other, secret_files(str(secrets)), stamp) is True
    one = tmp_path / "ipsec.d/one.secrets"
    for change in (lambda: one.write_text(": PSK changed\n"), (tmp_path / "ipsec.d/two.secrets").touch, one.unlink):
        change()
        assert changed(process, secret_files(str(secrets)), stamp) is True
        note(process, signature(secret_files(str(secrets))), stamp)
        assert changed(process, secret_files(str(secrets)), stamp) is False


def test_a_stamp_that_is_not_whole_tells_nothing(secrets: Path, tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.write_text("7 1.5")
    assert changed(Process(7, since_boot=1.5), (str(secrets),), str(stamp)) is True


def test_includes(secrets: Path, tmp_path: Path) -> None:
    assert secret_files(str(secrets)) == (f"{tmp_path}/ipsec.d/one.secrets", str(secrets))
    assert secret_files(f"{tmp_path}/none") == ()


def test_policy_groups(tmp_path: Path) -> None:
    assert group_files(str(tmp_path)) == ()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/private").touch()
    (tmp_path / "policies/folder").mkdir()
    assert group_files(str(tmp_path)) == (str(tmp_path / "policies/private"),)
