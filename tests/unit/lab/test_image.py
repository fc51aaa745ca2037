# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's name changes with whatever is in it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import image, machine, preflight

NAME = image.image_name("bookworm", "6.1um4", b"recipe")


def test_same_content_same_name() -> None:
    assert image.image_name("bookworm", "6.1um4", b"recipe") == NAME
    assert NAME.startswith("bookworm-")
    assert NAME.endswith(".img")


@pytest.mark.parametrize(
    "other", [("trixie", "6.1um4", b"recipe"), ("bookworm", "6.1um5", b"recipe"), ("bookworm", "6.1um4", b"recipE")]
)
def test_other_content_other_name(other: tuple[str, str, bytes]) -> None:
    assert image.image_name(*other).partition("-")[2] != NAME.partition("-")[2]


def test_the_recipe_is_the_builder_and_the_init_script() -> None:
    recipe = image.recipe()
    assert b"exec /sbin/init" in recipe
    assert all(package.encode() in recipe for package in image.PACKAGES)


def test_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XSWAN_LAB_CACHE", raising=False)
    assert preflight.cache_folder() == Path("/var/cache/xswan-lab")
    monkeypatch.setenv("XSWAN_LAB_CACHE", str(tmp_path))
    assert preflight.cache_folder() == tmp_path


def test_a_seed_is_a_tar_of_whole_disk_sectors_with_root_s_files(tmp_path: Path) -> None:
    path = tmp_path / "gw1.seed"
    machine.write_seed(path, {"etc/hostname": (0o644, "gw1\n"), "etc/ssh/key": (0o600, "secret\n")})
    assert path.stat().st_size % 512 == 0
    with tarfile.open(path) as archive:
        entries = {entry.name: (entry.mode, entry.uid, entry.gid) for entry in archive}
        content = archive.extractfile("etc/hostname")
        assert content is not None
        assert content.read() == b"gw1\n"
    # Files only: a folder's entry would change the mode of the gateway's own /etc.
    assert entries == {"etc/hostname": (0o644, 0, 0), "etc/ssh/key": (0o600, 0, 0)}
