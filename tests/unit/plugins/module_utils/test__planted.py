# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else has planted where this collection keeps files: nothing is followed, and nothing is waited for.

The folders here belong to another user. Those on gateways are root's, so this is the second line of defence.
"""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _rollback, _unread
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import File
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._install import NEW, OLD, LocalFiles
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto
from ansible_collections.xswan.ipsec.plugins.module_utils._rundir import RESOLV_BACKUPS
from ansible_collections.xswan.ipsec.plugins.module_utils._system import LockFile

NOBODY = 65534
OURS = "nameserver 192.0.2.53 # Libreswan\n"


class Silent:
    """No program says anything."""

    def run(self, *argv: str, timeout: float) -> Completed:
        return Completed(argv, 0, "", "")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root's that nobody else may read or change."""
    file = tmp_path / "victim"
    file.write_text("secret\n")
    file.chmod(0o600)
    return file


def untouched(victim: Path) -> bool:
    return victim.read_text() == "secret\n" and stat.S_IMODE(victim.stat().st_mode) == 0o600


def pluto(folder: Path, resolv_conf: str = "/nowhere/resolv.conf") -> LocalPluto:
    return LocalPluto(Silent(), rundir=str(folder), resolv_conf=resolv_conf)


def test_the_lock_file_is_not_written_through_a_link(theirs: Path, victim: Path) -> None:
    for name in ("pluto.pid", "pluto.pid.new"):
        (theirs / name).symlink_to(victim)
    pluto(theirs).write_lock(Process(814))
    assert untouched(victim)
    assert (theirs / "pluto.pid").read_text() == "814\n"
    assert sorted(os.listdir(theirs)) == ["pluto.pid"]


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _pipe(path: Path, _victim: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, _victim: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [_link, _pipe, _folder])
def test_what_is_no_lock_file_is_damaged(theirs: Path, victim: Path, plant: t.Callable[[Path, Path], None]) -> None:
    victim.write_text("1\n")
    plant(theirs / "pluto.pid", victim)
    assert pluto(theirs).lock().kind == "damaged"


def test_a_lock_file_of_another_user_is_but_a_claim(theirs: Path) -> None:
    """What it names is looked at, and never signalled: here the init process, and this test."""
    for pid in (1, os.getpid()):
        lock = theirs / "pluto.pid"
        lock.write_text(f"{pid}\n")
        os.chown(lock, NOBODY, NOBODY)
        assert (pluto(theirs).lock().kind, pluto(theirs).lock().pid) == ("reused", pid)
        pluto(theirs).remove_leftovers()
        assert os.listdir(theirs) == []


def test_leftovers_are_removed_and_not_followed(theirs: Path, victim: Path) -> None:
    for name in ("pluto.pid", "pluto.ctl", "pluto.pid.new", "ipsec.info", *RESOLV_BACKUPS):
        (theirs / name).symlink_to(victim)
    pluto(theirs).remove_leftovers()
    assert untouched(victim)
    assert os.listdir(theirs) == []


@pytest.mark.parametrize("plant", [_link, _pipe])
def test_a_planted_backup_does_not_come_into_resolv_conf(
    theirs: Path, victim: Path, tmp_path: Path, plant: t.Callable[[Path, Path], None]
) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(OURS)
    plant(theirs / RESOLV_BACKUPS[0], victim)
    pluto(theirs, str(resolv_conf)).remove_leftovers()
    assert resolv_conf.read_text() == OURS
    assert os.listdir(theirs) == []


def test_a_backup_of_another_user_does_not_come_into_resolv_conf(theirs: Path, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(OURS)
    backup = theirs / RESOLV_BACKUPS[0]
    backup.write_text("nameserver 203.0.113.66\n")
    os.chown(backup, NOBODY, NOBODY)
    pluto(theirs, str(resolv_conf)).remove_leftovers()
    assert resolv_conf.read_text() == OURS


def test_the_lock_between_runs_is_no_link(theirs: Path, victim: Path) -> None:
    (theirs / "lock").symlink_to(victim)
    with pytest.raises(DaemonError, match="symbolic links"), LockFile(SystemClock(), str(theirs / "lock")).exclusive(1):
        pass
    assert untouched(victim)


def test_an_installation_writes_through_no_link(theirs: Path, victim: Path) -> None:
    """Of a file that is a link itself `real` says where it leads, and refuses a folder of others."""
    files = LocalFiles(Silent())
    path = theirs / "ipsec.conf"
    for name in (path, Path(f"{path}{NEW}"), Path(f"{path}{OLD}")):
        name.symlink_to(victim)
    with pytest.raises(ConfigError, match="others than root may write"):
        files.real(f"{theirs}/new.conf")
    files.install((File(str(path), "new"),), keep=0)
    assert untouched(victim)
    assert {name: (theirs / name).is_symlink() for name in os.listdir(theirs)} == {"ipsec.conf": False}


@pytest.mark.parametrize("path", ["etc/ipsec.conf", "../ipsec.conf", "/etc/a\nb", "/etc/\0", "/etc/\x1b[2J", ""])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="is no path of a file") as caught:
        LocalFiles(Silent()).real(path)
    assert str(caught.value).isprintable()


def test_a_source_that_is_no_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no path of a file"):
        LocalFiles(Silent()).read("/etc/\0")


def test_the_rollback_and_the_stamps_write_through_no_link(theirs: Path, victim: Path) -> None:
    for name in ("record", "record.new"):
        (theirs / name).symlink_to(victim)
    _rollback._write(str(theirs / "record"), b"new")
    assert untouched(victim)
    assert (theirs / "record").read_bytes() == b"new"
    (theirs / "stamp.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        _unread.note(Process(814, 1.0), "signed", str(theirs / "stamp"))
    assert untouched(victim)
