# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that would leave their line are refused or quoted; the lab's gateways read the same kind back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.xswan.ipsec.plugins.plugin_utils._text import (
    destination_mistake,
    identity,
    key_lines,
    name_mistake,
    shown,
    text_mistake,
)


def lines(**section: object) -> list[str]:
    mistakes: list[str] = []
    found = key_lines(section, "ipsec_connections[3]", mistakes)
    assert mistakes == []
    return found


def mistake(**section: object) -> str:
    mistakes: list[str] = []
    assert key_lines(section, "ipsec_connections[3]", mistakes) == []
    (found,) = mistakes
    return found


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("pfs", True, "yes"),
        ("pfs", False, "no"),
        ("mtu", 1400, "1400"),
        ("left", "%defaultroute", "%defaultroute"),
        ("left", "2001:db8::1", "2001:db8::1"),
        ("leftid", "C=NL, O=x y, CN=gw", '"C=NL, O=x y, CN=gw"'),
        ("leftid", "a#b", '"a#b"'),
        ("leftid", "\\a", '"\\a"'),
        ("leftupdown", "", '""'),
        ("ike", ["aes256-sha2", "aes128-sha2"], '"aes256-sha2,aes128-sha2"'),
        ("connalias", ["a", "b"], '"a b"'),
        ("leftsubnets", ["10.0.0.0/8", "192.0.2.0/24"], '"10.0.0.0/8,192.0.2.0/24"'),
        ("leftsubnets", "{10.0.0.0/8,192.0.2.0/24}", '"10.0.0.0/8,192.0.2.0/24"'),
        ("rightsubnets", ["10.0.0.0/8"], "10.0.0.0/8"),
        ("ike", "{a}", '"{a}"'),
    ],
)
def test_values(key: str, value: object, written: str) -> None:
    assert lines(**{key: value}) == [f"{key}={written}"]


def test_a_list_of_also_makes_a_line_of_each() -> None:
    assert lines(also=["b", "a"]) == ["also=b", "also=a"]


def test_what_is_empty_is_left_out() -> None:
    assert lines(left=None, leftsubnets=[], also=[]) == []


def test_keys_are_sorted() -> None:
    assert lines(right="a", auto="add", left="b") == ["auto=add", "left=b", "right=a"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"left": "a\nconn b"}, "ipsec_connections[3].left: holds a line break"),
        ({"left": "a\tb"}, "ipsec_connections[3].left: holds a line break, a tab"),
        ({"left": ["a", "b\u0085"]}, "ipsec_connections[3].left: holds a line break"),
        ({"left": 'a"b'}, "ipsec_connections[3].left: holds a double quote"),
        ({"left": "a\\"}, "ipsec_connections[3].left: ends in a backslash"),
        ({"left": {"a": 1}}, "ipsec_connections[3].left: cannot be written; allowed: a string, a number"),
        ({"left": [["a"]]}, "ipsec_connections[3].left: cannot be written"),
        ({"le ft": "a"}, "ipsec_connections[3].le ft: is no key"),
        ({"left=a\n": "a"}, "ipsec_connections[3].left=a\n: is no key"),
    ],
)
def test_refusals(section: dict[str, object], said: str) -> None:
    assert mistake(**section).startswith(said)


def test_a_refusal_does_not_show_the_value() -> None:
    assert "hush" not in mistake(left='hush"')


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
)
def test_a_line_is_one_line_and_its_quotes_are_two_or_none(section: dict[str, object]) -> None:
    mistakes: list[str] = []
    for line in key_lines(section, "x", mistakes):
        assert line.splitlines() == [line]
        key, _equal, value = line.partition("=")
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key)
        assert re.fullmatch(r'"[^"]*(?<!\\)"|[^\s"#{}\\]+|""', value), line


@pytest.mark.parametrize("name", ["gw1-gw2", "A.b_c", "1"])
def test_names(name: str) -> None:
    assert name_mistake(name) is None


@pytest.mark.parametrize("name", ["", "%default", "a b", "a\n", "-a", 'a"', None, 7, "a/b", "\u00e9"])
def test_no_names(name: object) -> None:
    assert str(name_mistake(name)).startswith(f"{name!r} is no name")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("@gw1", "@gw1"),
        ("192.0.2.1", "192.0.2.1"),
        ("%any", "%any"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::", "2001:0db8:0000:0000:0000:0000:0000:0000"),
        ("@a#b", "@a#b"),
        ("@it's", "@it's"),
        ("C=NL, CN=gw", '"C=NL, CN=gw"'),
        ("#a", '"#a"'),
        ("'a", '"\'a"'),
        ("@a:", '"@a:"'),
        ("@a::", '"@a::"'),
        (":", '":"'),
        ("include", '"include"'),
        ("@include", "@include"),
    ],
)
def test_identities(name: str, written: str) -> None:
    assert text_mistake(name) is None
    assert identity(name) == written


@pytest.mark.parametrize("zone", ["%eth0", "%x\n0.0.0.0/0", "%\x1b[2J", "%x/64\n::/0"])
def test_an_address_with_a_zone_is_no_destination(zone: str) -> None:
    """Ipaddress lets anything be a zone, so that one could bring a line of its own."""
    assert "has a zone" in str(destination_mistake(f"::{zone}"))
    assert str(destination_mistake(f"::{zone}")).isprintable()


@given(st.text(), st.sampled_from(["", "10.1.0.0/16 tcp 0 ", "10.1.0.0/16 ", "::%", "2001:db8::%", "192.0.2.1"]))
def test_a_destination_is_one_line(text: str, before: str) -> None:
    destination = before + text
    if destination_mistake(destination) is None:
        assert destination.isprintable()
        assert destination.split() == destination.split(" ")


def test_messages_can_only_be_read() -> None:
    assert shown("a\nb\x1b[2J\u202e\u2028\u00e9") == "a?b?[2J??\u00e9"
