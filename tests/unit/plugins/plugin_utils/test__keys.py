# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derived keys: RFC 5869's own vectors, and what the two ends of a pair rely on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.xswan.ipsec.plugins.plugin_utils._keys import hkdf, pair_key

MASTER = "a master of these tests, and of nothing else"

# RFC 5869, appendix A: key, salt, info, and the output.
VECTORS = {
    "A.1": (
        bytes([0x0B] * 22),
        bytes(range(0x0D)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    "A.3": (
        bytes([0x0B] * 22),
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_rfc_5869(name: str) -> None:
    key, salt, info, output = VECTORS[name]
    assert hkdf(key, salt, info, len(output) // 2).hex() == output


def test_hkdf_gives_no_more_than_it_can() -> None:
    with pytest.raises(ValueError, match="8160"):
        hkdf(b"key", b"", b"", 8161)


def test_a_key_stays_the_same_for_ever() -> None:
    """A gateway that is built anew, with a later release of the collection, has to come to the key of its peers."""
    assert pair_key(MASTER, ["@gw1", "@gw2"]) == "6hqJK3KLn-UcMnsL65S9JKWf3czrsYM_gLhYTzkDC0U"


def test_a_key_can_be_written_anywhere() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", pair_key(MASTER, ["@gw1", "C=NL, CN=gw \u00e9"]))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4), st.randoms())
def test_the_order_of_the_ends_does_not_matter(ids: list[str], random: object) -> None:
    assert pair_key(MASTER, ids) == pair_key(MASTER, reversed(ids))


@given(*[st.lists(st.sampled_from(["", "@", "@a", "a", "@aa", "\0", "@a@a"]), max_size=3)] * 2)
def test_other_ends_have_another_key(one: list[str], other: list[str]) -> None:
    assert (pair_key(MASTER, one) == pair_key(MASTER, other)) == (sorted(one) == sorted(other))


def test_another_master_gives_another_key() -> None:
    assert pair_key(MASTER, ["@gw1", "@gw2"]) != pair_key(MASTER + "!", ["@gw1", "@gw2"])


def test_a_short_master_is_refused_and_not_shown() -> None:
    short = "hush" * 7
    with pytest.raises(ValueError, match="has 28 characters; allowed: 32 or more") as caught:
        pair_key(short, ["@gw1", "@gw2"])
    assert "hush" not in str(caught.value)
