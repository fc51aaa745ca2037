# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real file system: these tests run as root, in a folder of their own."""

from __future__ import annotations

import collections.abc as c
import errno
import os
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _install, _parameters
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import File
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._install import LocalFiles


class NoCommands:
    """Nothing is run here, for there is no SELinux."""

    def run(self, *argv: str, timeout: float) -> t.NoReturn:
        raise AssertionError(argv)


FILES = LocalFiles(NoCommands())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of root's, as /etc is."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    return folder


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_text(), path.stat().st_mode & 0o7777) for path in found}


def test_new_files_have_their_modes_and_leave_nothing_else(folder: Path) -> None:
    config, secrets = File(f"{folder}/ipsec.conf", "new"), File(f"{folder}/d/ipsec.secrets", "hush", secret=True)
    assert FILES.install((secrets, config), keep=5) == ()
    assert tree(folder) == {"ipsec.conf": ("new", 0o644), "d/ipsec.secrets": ("hush", 0o600)}
    assert (FILES.read(config.path), FILES.mode(config.path)) == ("new", 0o644)
    assert FILES.glob(f"{folder}/*.conf") == (config.path,)


def test_a_backup_of_secrets_is_for_root_alone_whatever_mode_the_file_had(folder: Path) -> None:
    path = f"{folder}/ipsec.secrets"
    FILES.install((File(path, "hush", secret=True),), keep=1)
    (backup,) = FILES.install((File(path, "as it was", secret=True, permissions=0o640),), keep=1)
    assert tree(folder) == {"ipsec.secrets": ("as it was", 0o640), Path(backup).name: ("hush", 0o600)}


def test_the_old_files_become_backups_of_which_the_newest_stay(folder: Path) -> None:
    path = f"{folder}/ipsec.conf"
    made: list[str] = []
    for text in "abcde":
        made += FILES.install((File(path, text),), keep=2)
    assert len(made) == 4
    assert [Path(name).read_text() for name in made[-2:]] == ["c", "d"]
    assert sorted(tree(folder)) == sorted(["ipsec.conf", *(Path(name).name for name in made[-2:])])
    # a backup is no file that an include finds
    assert FILES.glob(f"{folder}/*.conf") == (path,)
    assert FILES.install((File(path, "f"),), keep=0) == ()
    assert len(tree(folder)) == 3


def test_a_backup_of_secrets_is_as_secret_as_they_are(folder: Path) -> None:
    path = folder / "ipsec.secrets"
    path.write_text("old")
    path.chmod(0o644)
    (backup,) = FILES.install((File(str(path), "new", secret=True),), keep=1)
    assert {mode for _text, mode in tree(folder).values()} == {0o600}
    assert Path(backup).read_text() == "old"


def test_a_file_is_removed(folder: Path) -> None:
    path = folder / "ipsec.conf"
    path.write_text("old")
    assert FILES.install((File(str(path), None),), keep=0) == ()
    assert tree(folder) == {}
    assert (FILES.read(str(path)), FILES.mode(str(path))) == (None, None)


def test_all_or_none(folder: Path) -> None:
    """The third cannot be replaced: the first two, one of them new, are as they were."""
    old, new, bad = folder / "old", folder / "new", folder / "bad"
    old.write_text("old")
    bad.mkdir()
    before = tree(folder)
    files = tuple(File(str(path), "text") for path in (old, new, bad))
    with pytest.raises(DaemonError, match="every file is as it was"):
        FILES.install(files, keep=3)
    assert tree(folder) == before
    assert sorted(os.listdir(folder)) == ["bad", "old"]


def test_what_a_killed_installation_left_is_overwritten(folder: Path) -> None:
    path = folder / "ipsec.conf"
    path.write_text("old")
    for left in (".xswan-new", ".xswan-old"):
        (folder / f"ipsec.conf{left}").write_text("half")
    FILES.install((File(str(path), "new"),), keep=0)
    assert tree(folder) == {"ipsec.conf": ("new", 0o644)}


def test_what_a_killed_installation_replaced_becomes_a_backup(folder: Path) -> None:
    replaced, spared = File(f"{folder}/replaced", "new"), File(f"{folder}/spared", "old")
    for file in (replaced, spared):
        Path(file.path).write_text(str(file.text))
        Path(f"{file.path}.xswan-new").write_text("half")
    Path(f"{replaced.path}.xswan-old").write_text("old")
    os.link(spared.path, f"{spared.path}.xswan-old")
    FILES.tidy((replaced, spared), keep=1)
    (backup,) = FILES.glob(replaced.backups)
    assert tree(folder) == {
        "replaced": ("new", 0o644),
        "spared": ("old", 0o644),
        Path(backup).name: ("old", 0o644),
    }
    before = tree(folder)
    FILES.tidy((replaced, spared), keep=1)
    assert tree(folder) == before


def test_a_link_is_followed_where_only_root_can_write(folder: Path, tmp_path: Path) -> None:
    target = folder / "real.conf"
    target.write_text("old")
    link = tmp_path / "link.conf"
    link.symlink_to(target)
    assert FILES.real(str(link)) == str(target)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_link_into_a_folder_of_others_is_refused(folder: Path, tmp_path: Path, mode: int) -> None:
    folder.chmod(mode)
    link = tmp_path / "link.conf"
    link.symlink_to(folder / "real.conf")
    with pytest.raises(ConfigError, match="others than root may write"):
        FILES.real(str(link))


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "ipsec.conf")
    with pytest.raises(ConfigError, match="no regular file"):
        FILES.real(f"{folder}/ipsec.conf")


def test_a_file_of_another_owner_is_not_as_it_is_to_be(folder: Path) -> None:
    path = folder / "ipsec.conf"
    path.write_text("x")
    os.chown(path, 65534, 0)
    assert FILES.mode(str(path)) == -1
    FILES.install((File(str(path), "x"),), keep=0)
    assert FILES.mode(str(path)) == 0o644


def test_bytes_that_are_no_utf8_survive(folder: Path) -> None:
    path = folder / "ipsec.conf"
    path.write_bytes(b"leftid=\xff\r\n")
    text = FILES.read(str(path))
    assert text is not None
    FILES.install((File(str(path), text),), keep=0)
    assert path.read_bytes() == b"leftid=\xff\r\n"


@pytest.mark.parametrize(
    ("module", "look", "cure"),
    [
        (_install, FILES.glob, "make its folders readable for root"),
        (_parameters, _parameters.LocalParameters().names, "look whether /proc/sys is there, and readable"),
    ],
    ids=["files", "parameters"],
)
def test_a_pattern_that_cannot_be_looked_for(
    module: types.ModuleType, look: c.Callable[[str], object], cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pattern: str) -> t.NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "found_by", refuse)
    with pytest.raises(ConfigError, match=rf"cannot look for .*net/\*: Input/output error; {cure}"):
        look("net/*")
