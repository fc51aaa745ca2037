# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import (
    Difference,
    Overlay,
    difference,
    hide,
    secrets_in,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import IPsecConf, Source, read_conf


class Nothing:
    """A host without files."""

    def read(self, path: str) -> str | None:
        return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return ()


def conf(text: str) -> IPsecConf:
    source: Source = Overlay(Nothing(), {"/c": text})
    return read_conf(source, "/c")


BEFORE = """
config setup
    plutodebug=none
conn %default
    authby=secret
conn same
    left=1.1.1.1
conn other
    left=1.1.1.1
    ike=aes128
conn old
"""


def test_nothing_differs_but_the_order_and_the_blanks() -> None:
    after = "conn same # x\n left = 1.1.1.1\n\n authby=secret\n"
    diff = difference(conf("conn %default\n authby=secret\nconn same\n left=1.1.1.1\n"), conf(after))
    assert diff == Difference(unchanged=("same",))
    assert diff.impact() == ()


def test_by_connection() -> None:
    after = (
        BEFORE.replace("aes128", "aes256").replace("conn old", "conn new").replace("    left=1.1.1.1\n    ike", " ike")
    )
    diff = difference(conf(BEFORE), conf(after))
    assert diff == Difference(
        added=("new",), removed=("old",), changed=(("other", ("ike", "left")),), unchanged=("same",)
    )
    assert diff.impact() == (
        *("other: ike, left changed, will renegotiate", "new: new", "old: removed, its tunnel ends"),
        *("1 unchanged", "no restart needed"),
    )


def test_a_default_changes_every_connection() -> None:
    diff = difference(conf(BEFORE), conf(BEFORE.replace("secret", "rsasig")))
    assert [name for name, _keys in diff.changed] == ["old", "other", "same"]


def test_config_setup() -> None:
    """Pluto takes it only when it starts, and then no tunnel is left as it was."""
    debug = difference(conf(BEFORE), conf(BEFORE.replace("=none", "=all")))
    assert debug.setup == ("plutodebug",)
    assert debug.impact() == ("config setup: plutodebug changed, pluto must be restarted, every tunnel drops",)
    after = BEFORE.replace("    plutodebug=none", "    listen=1.1.1.1").replace("aes128", "aes256")
    other = difference(conf(BEFORE), conf(after))
    assert other.impact() == (
        "config setup: listen, plutodebug changed, pluto must be restarted, every tunnel drops",
        "other: ike changed, will renegotiate",
    )


def test_policy_groups() -> None:
    changed = difference(conf(BEFORE), conf(BEFORE), groups=("private",))
    assert changed.impact() == (
        "policy group private changed, connections for policy groups are replaced",
        *("3 unchanged", "no restart needed"),
    )


def test_secrets_are_found_and_hidden() -> None:
    text = '@a %any : PSK "very secret"\n1.2.3.4 : PSK 0xdeadbeef\n: XAUTH bare\n@b : PSK "open\n'
    found = secrets_in(text)
    assert {"very secret", "0xdeadbeef", "bare", "open"} <= found
    assert secrets_in("# a comment: with some words\n") == frozenset()
    keys = (
        ': RSA "a nickname" "its passphrase"\n: rsa /etc/key.pem its-own\n: PIN %smartcard1 "123456"\n: PIN 654321\n'
        ": RSA {\n Modulus: 0sAQfine\n PrivateExponent: 0xfeed\n }\n"
    )
    assert secrets_in(keys) == {
        *("its passphrase", '"its', "its-own", '"123456"', "123456", "654321", "0sAQfine", "0xfeed"),
    }
    assert hide('said "very secret" and 0xdeadbeef', found) == 'said "********" and ********'
    assert hide("a longer secret, and its secret", {"secret", "longer secret"}) == "a ********, and its ********"
