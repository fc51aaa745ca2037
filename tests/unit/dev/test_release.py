# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from release import ReleaseError, check_version, last_release, parse, sections_of


@pytest.mark.parametrize("text", ["1.2", "1.2.3.4", "v1.2.3", "1.2.3-rc1", "01.2.3", "", "1.2.3\n"])
def test_no_version(text: str) -> None:
    with pytest.raises(ReleaseError, match="is no version"):
        parse(text)


@pytest.mark.parametrize(
    ("last", "sections", "new"),
    [
        (None, {"release_summary"}, "0.1.0"),
        ("0.1.0", {"bugfixes"}, "0.1.1"),
        ("0.1.1", {"minor_changes", "bugfixes"}, "0.2.0"),
        ("0.2.0", {"breaking_changes"}, "0.3.0"),
        ("0.3.0", {"bugfixes"}, "1.0.0"),
        ("1.0.0", {"security_fixes"}, "1.0.1"),
        ("1.0.1", {"deprecated_features"}, "1.1.0"),
        ("1.1.0", {"removed_features"}, "2.0.0"),
        ("9.9.9", {"bugfixes"}, "9.9.10"),
    ],
)
def test_a_version_that_is_right(last: str | None, sections: set[str], new: str) -> None:
    check_version(parse(new), parse(last) if last else None, sections)


@pytest.mark.parametrize(
    ("last", "sections", "new", "said"),
    [
        ("1.0.0", {"bugfixes"}, "1.0.0", "released already"),
        ("1.1.0", {"bugfixes"}, "1.0.1", "released already"),
        ("1.0.0", {"minor_changes"}, "1.0.1", "1.1.0 or higher"),
        ("1.4.2", {"breaking_changes", "minor_changes"}, "1.5.0", "2.0.0 or higher"),
        ("0.1.0", {"removed_features"}, "0.1.1", "0.2.0 or higher"),
        ("1.0.0", set(), "1.0.1", "no fragment"),
        (None, set(), "0.1.0", "no fragment"),
    ],
)
def test_a_version_that_is_wrong(last: str | None, sections: set[str], new: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        check_version(parse(new), parse(last) if last else None, sections)


def test_what_was_released_is_in_the_changelog(tmp_path: Path) -> None:
    changes = tmp_path / "changelog.yaml"
    assert last_release(changes) is None
    changes.write_text("ancestor: null\nreleases: {}\n", encoding="utf-8")
    assert last_release(changes) is None
    changes.write_text("releases: {0.9.0: {}, 0.10.0: {}}\n", encoding="utf-8")
    assert last_release(changes) == (0, 10, 0)


def test_sections_of_fragments(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("bugfixes: [one]\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("minor_changes: [two]\nbugfixes: [three]\n", encoding="utf-8")
    assert sections_of(tmp_path) == {"bugfixes", "minor_changes"}
