# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Overlay
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import (
    IPsecConf,
    Place,
    matches,
    plain_value,
    read_conf,
)

CONF = """\
# a comment
config setup
    plutodebug = none   # of the day
# a comment in a section

include /etc/ipsec.d/*.conf

conn %default
    authby=secret
    ike=aes256

conn base
    IKE="aes128 # no comment"
    left=%defaultroute

conn one   # the first
    also=base
    leftsubnets={10.0.0.0/8,
    rightsubnets={10.1.0.0/16 10.2.0.0/16}
    right=192.0.2.9
    ike=aes512

conn dos
"""


class Nothing:
    """A host without files."""

    def read(self, path: str) -> str | None:
        return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return ()


def conf(text: str, files: dict[str, str | None] | None = None) -> IPsecConf:
    return read_conf(Overlay(Nothing(), {"/etc/ipsec.conf": text, **(files or {})}), "/etc/ipsec.conf")


def test_sections_and_their_parameters() -> None:
    read = conf(CONF)
    assert [(section.kind, section.name) for section in read.sections] == [
        *(("config", "setup"), ("conn", "%default"), ("conn", "base"), ("conn", "one"), ("conn", "dos"))
    ]
    assert read.names() == ("base", "one", "dos")
    assert read.setup() == {"plutodebug": "none"}
    assert read.templates == {"base"}


def test_effective_keys_are_own_then_also_then_default() -> None:
    assert conf(CONF).effective("one") == {
        "authby": "secret",
        "ike": "aes512",
        "left": "%defaultroute",
        "leftsubnets": "{10.0.0.0/8,",
        "right": "192.0.2.9",
        "rightsubnets": "10.1.0.0/16 10.2.0.0/16",
    }
    assert conf(CONF).effective("base")["ike"] == "aes128 # no comment"


def test_places() -> None:
    read = conf(CONF)
    key = read.parameter("one", "authby")
    assert key is not None
    assert str(key.place) == "/etc/ipsec.conf:9"
    found = read.at(Place("/etc/ipsec.conf", 13))
    assert found is not None
    assert (found[0].name, found[1] and found[1].key) == ("base", "ike")
    assert read.at(Place("/etc/ipsec.conf", 1)) is None


def test_a_circle_of_also_has_an_end() -> None:
    assert conf("conn a\n also=b\n x=1\nconn b\n also=a\n y=2\n").effective("a") == {"x": "1", "y": "2"}


def test_repeated_keys() -> None:
    section = conf("conn a\n also=b\n also=c\n ike=1\n IKE=2\n").conns[0]
    assert [(parameter.key, parameter.value) for parameter in section.repeated()] == [("ike", "2")]


def test_includes_are_relative_to_their_file_and_sorted() -> None:
    files: dict[str, str | None] = {
        "/etc/ipsec.d/b.conf": "conn b\n",
        "/etc/ipsec.d/a.conf": "conn a\ninclude more/*.conf\n",
        "/etc/ipsec.d/more/c.conf": "conn c\n",
        "/etc/ipsec.d/.hidden.conf": "conn hidden\n",
        "/etc/ipsec.d/gone.conf": None,
    }
    read = conf("include ipsec.d/*.conf\ninclude nothing.conf\ninclude nothing/*.conf\n", files)
    assert read.names() == ("a", "c", "b")
    assert read.missing == (("nothing.conf", Place("/etc/ipsec.conf", 2)),)


def test_a_file_that_includes_itself_has_an_end() -> None:
    assert conf("conn a\ninclude ipsec.conf\n").names() == ("a",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a b", "a b"),
        ("a#b", "a#b"),
        ("a # b", "a"),
        ('"a # b" # c', "a # b"),
        ("{a b} # c", "a b"),
        ('"open', '"open'),
        ("{open", "{open"),
        ("", ""),
        ("dos\r", "dos\r"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert plain_value(text) == value


@pytest.mark.parametrize(
    ("path", "pattern", "result"),
    [
        ("/etc/ipsec.d/a.conf", "/etc/ipsec.d/*.conf", True),
        ("/etc/ipsec.d/a.conf", "/etc/x/../ipsec.d/a.conf", True),
        ("/etc/ipsec.d/x/a.conf", "/etc/ipsec.d/*.conf", False),
        ("/etc/ipsec.d/.a.conf", "/etc/ipsec.d/*.conf", False),
        ("/etc/ipsec.d/a.conf~", "/etc/ipsec.d/*.conf", False),
    ],
)
def test_globs(path: str, pattern: str, result: bool) -> None:
    assert matches(path, pattern) is result


def test_files_that_include_each_other_are_read_once_each() -> None:
    """Two such files with ten includes each would be read ten thousand million times."""
    both = "include /etc/[ab]\n" * 10
    read = conf("include /etc/a\n", {"/etc/a": both + "conn a\n", "/etc/b": both + "conn b\n"})
    assert set(read.names()) == {"a", "b"}
    assert len(read.sections) == 11


def test_a_pattern_longer_than_any_path_finds_nothing() -> None:
    assert matches("/etc/a", "/etc/[a]")
    assert not matches("/etc/a", "/etc/" + "[" * 50_000)
