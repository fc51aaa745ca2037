# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what is to be taken back, on a real file system; the timer is tried on gateways."""

from __future__ import annotations

import json
import types
import typing as t
import zipfile
import zipimport
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _rollback
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import File
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._confirm import Pending
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError


class NoCommands:
    """Nothing is run here."""

    def run(self, *argv: str, timeout: float) -> t.NoReturn:
        raise AssertionError(argv)


PENDING = Pending(
    "/etc/ipsec.conf",
    (
        *(File("/etc/ipsec.d/new.conf", None), File("/etc/ipsec.secrets", "hush", secret=True, permissions=0o400)),
        File("/etc/ipsec.conf", "old\n", permissions=0o640),
    ),
    running=True,
    until=2.0,
    keep=5,
    purged=("/etc/ipsec.d/policies/private",),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where PENDING is armed, on a host without systemd, and with no process that waits."""
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("nothing.py", "")
    loader = zipimport.zipimporter(str(tmp_path / "code.zip"))
    monkeypatch.setattr(_rollback, "__spec__", types.SimpleNamespace(loader=loader))
    monkeypatch.setattr(_rollback, "booted_with_systemd", lambda: False)
    monkeypatch.setattr(_rollback, "_detach", lambda argv, code: None)
    folder = tmp_path / "rollback"
    _rollback.LocalRollback(NoCommands(), str(folder)).arm(PENDING, 60)
    return folder


def test_what_waits_is_read_back_whole(folder: Path) -> None:
    assert _rollback.LocalRollback(NoCommands(), str(folder)).pending() == PENDING
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


class Systemd:
    """What systemd is told, and which files there were then; it can die with a power failure."""

    def __init__(self, folder: Path, dies_at: str = "") -> None:
        self._folder = folder
        self._dies_at = dies_at
        self.told: list[tuple[str, ...]] = []
        self.records: dict[str, bool] = {}

    def run(self, *argv: str, timeout: float) -> Completed:
        word = argv[1] if argv[0] == "systemctl" else argv[0]
        self.told.append(argv[:2])
        self.records[word] = (self._folder / "rollback.json").exists()
        if word == self._dies_at:
            raise KeyboardInterrupt
        return Completed(argv, 0, "", "")


@pytest.fixture
def with_systemd(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder with nothing armed, on a host with systemd."""
    _rollback.LocalRollback(NoCommands(), str(folder)).disarm()
    monkeypatch.setattr(_rollback, "booted_with_systemd", lambda: True)
    monkeypatch.setattr(_rollback, "BOOT_UNIT", str(tmp_path / "boot.service"))
    return folder


def test_there_is_no_record_before_the_next_boot_would_take_it_back(with_systemd: Path) -> None:
    systemd = Systemd(with_systemd)
    _rollback.LocalRollback(systemd, str(with_systemd)).arm(PENDING, 60)
    assert systemd.records == {"enable": False, "stop": True, "systemd-run": True}


def test_what_an_arming_left_that_was_cut_off_is_no_obstacle_and_is_forgotten(with_systemd: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _rollback.LocalRollback(Systemd(with_systemd, "enable"), str(with_systemd)).arm(PENDING, 60)
    assert Path(_rollback.BOOT_UNIT).exists()
    after = Systemd(with_systemd)
    rollback = _rollback.LocalRollback(after, str(with_systemd))
    assert rollback.pending() is None
    rollback.forget()
    assert [path.exists() for path in (with_systemd, Path(_rollback.BOOT_UNIT))] == [False, False]
    assert ("systemctl", "disable") in after.told


@pytest.mark.parametrize("mode", [-1, 0o10000, "x"])
def test_a_mode_that_is_none_is_a_damaged_record(folder: Path, mode: object) -> None:
    record = folder / "rollback.json"
    said = json.loads(record.read_text())
    said["files"][2][3] = mode
    record.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="it is damaged"):
        _rollback.LocalRollback(NoCommands(), str(folder)).pending()
