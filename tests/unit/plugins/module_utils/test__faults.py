# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentences here were printed by Libreswan 4.3, 4.10 and 5.2."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Overlay
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import (
    CURES,
    HARMLESS,
    Fault,
    Trial,
    faults,
    spoken_of,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import IPsecConf, read_conf


class Nothing:
    """A host without files."""

    def read(self, path: str) -> str | None:
        return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        return ()


HEAD = "conn %default\n left=%defaultroute\n right=192.0.2.99\n auto=add\n"
LOADED = '000 "one": 192.0.2.1<192.0.2.1>...192.0.2.99<192.0.2.99>; unrouted; eroute owner: #0\n'


def conf(text: str) -> IPsecConf:
    return read_conf(Overlay(Nothing(), {"/etc/ipsec.conf": text}), "/etc/ipsec.conf")


def of_one(keys: str, **trial: t.Any) -> list[Fault]:
    """The faults of a connection `one` with these keys, after a trial."""
    words = {"started": True, **trial}
    return list(faults(conf(f"{HEAD}conn one\n{keys}"), Trial("sandbox", **words)))


def short(found: list[Fault]) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return [(fault.id, fault.severity, fault.connection, fault.key, fault.value) for fault in found]


def test_nothing_is_wrong() -> None:
    log = '"one": IKE SA proposals (connection add):\n"one":   1:IKE=AES_GCM_C_256\n"one": added IKEv2 connection\n'
    assert of_one("", status=LOADED, log=log) == []


@pytest.mark.parametrize(
    ("keys", "line", "fault"),
    [
        (
            " ike=foo\n",
            "\"one\": failed to add connection: IKE encryption algorithm 'foo' is not recognized",
            ("bad-algorithm", "error", "one", "ike", "foo"),
        ),
        (
            " phase2alg=aes-foo\n",
            "\"one\": failed to add connection: ESP integrity algorithm 'foo' is not recognized",
            ("bad-algorithm", "error", "one", "phase2alg", "aes-foo"),
        ),
        (
            " rightcert=peer\n",
            "\"one\": failed to add connection: right certificate 'peer' not found in the NSS database",
            ("missing-certificate", "error", "one", "rightcert", "peer"),
        ),
        (
            " leftsubnets=10.0.0.0/8,bogus\n",
            '"one": failed to add connection: leftsubnets=10.0.0.0/8,bogus invalid, bogus invalid, first digit invalid',
            ("bad-value", "error", "one", "leftsubnets", "10.0.0.0/8,bogus"),
        ),
        (
            " modecfgdomains=9\n",
            '"one": failed to add connection: Invalid modecfgdomains value',
            ("bad-value", "error", "one", "modecfgdomains", "9"),
        ),
        (
            " leftsubnet=fe80::/64\n",
            '"one": failed to add connection: attempt to load incomplete connection',
            ("not-loaded", "error", "one", None, None),
        ),
    ],
)
def test_pluto_refuses_a_connection(keys: str, line: str, fault: tuple[str, ...]) -> None:
    (found,) = of_one(keys, log=line)
    assert short([found]) == [fault]
    assert found.said is not None
    assert found.said in line
    assert found.place == ("/etc/ipsec.conf:6" if found.key else None)


@pytest.mark.parametrize(
    ("keys", "line", "fault"),
    [
        (
            " pfs=no\n esp=aes256;modp2048\n",
            '"one": ignoring ESP DH algorithm MODP2048 as PFS policy is disabled',
            ("pfs-contradiction", "error", "one", "esp", "aes256;modp2048"),
        ),
        (
            " ikev2=insist\n",
            '"one": ikev2=yes has been replaced by keyexchange=ikev2',
            ("deprecated", "warning", "one", "ikev2", "insist"),
        ),
        (
            " keyingtries=0\n",
            '"one": warning: keyingtries=0 ignored, UP connection will attempt to establish until marked DOWN',
            ("keyword-ignored", "warning", "one", "keyingtries", "0"),
        ),
        ("", '"one": something that nobody has heard of', ("remark", "warning", "one", None, None)),
    ],
)
def test_pluto_loads_a_connection_otherwise_than_declared(keys: str, line: str, fault: tuple[str, ...]) -> None:
    assert short(of_one(keys, log=line, status=LOADED)) == [fault]


def test_a_bad_subnet_in_a_list_is_only_a_word_of_addconn_up_to_4() -> None:
    line = "conn: \"one\" warning 'bogus' is not a subnet declaration. (leftsubnets): no / in subnet specification\n"
    (found,) = of_one(" leftsubnets={10.0.0.0/8,bogus}\n", adds=(("", line),), status=LOADED)
    assert short([found]) == [("bad-value", "error", "one", "leftsubnets", "10.0.0.0/8,bogus")]


def test_a_connection_that_vanished_without_a_word() -> None:
    (found,) = of_one("", adds=(("one", ""),))
    assert (found.id, found.connection) == ("not-loaded", "one")
    assert "does not say why" in found.message


SAID_4 = """\
while loading 'badnet1': bad subnet leftsubnet=10.0.0.0/33 [non-contiguous or otherwise erroneous mask]
cannot find conn 'nowhere' needed by conn 'noalso'
while loading 'noalso': bad subnet leftsubnet=10.0.0.0/33 [non-contiguous or otherwise erroneous mask]
cannot find conn 'nowhere' needed by conn 'noalso'
duplicate key 'phase2alg' in conn twice while processing def twice
while loading 'twice': bad subnet leftsubnet=10.0.0.0/33 [non-contiguous or otherwise erroneous mask]
cannot find conn 'nowhere' needed by conn 'noalso'
duplicate key 'phase2alg' in conn twice while processing def twice
addconn, in config '/etc/ipsec.conf', bad subnet leftsubnet=10.0.0.0/33 [non-contiguous or otherwise erroneous mask]
cannot find conn 'nowhere' needed by conn 'noalso'
duplicate key 'phase2alg' in conn twice while processing def twice
"""


def test_the_blocks_of_addconn_up_to_4() -> None:
    """Each repeats the errors before it; every one is told once, of the connection that it is about."""
    text = "conn badnet1\n leftsubnet=10.0.0.0/33\nconn noalso\n also=nowhere\nconn twice\n esp=a\n phase2alg=b\n"
    found = list(faults(conf(HEAD + text), Trial("sandbox", said=SAID_4, started=True)))
    assert short(found) == [
        ("missing-also", "error", "noalso", "also", "nowhere"),
        ("bad-value", "error", "badnet1", "leftsubnet", "10.0.0.0/33"),
        ("duplicate-key", "error", "twice", "phase2alg", "b"),
    ]


def test_what_a_program_says_of_a_configuration_that_it_accepts() -> None:
    """Only what is to be loaded, and will not be, is sure."""
    templates = "conn badnet1\n leftsubnet=10.0.0.0/33\nconn noalso\n also=nowhere\nconn twice\n esp=a\n phase2alg=b\n"
    assert CURES.keys() >= HARMLESS
    for auto, sure in (("", 3), (" auto=ignore\n", 0)):
        text = templates.replace("\nconn", f"\n{auto}conn") + auto
        surely, perhaps = spoken_of(conf(HEAD + text), SAID_4)
        assert [(len(surely), len(perhaps))] == [(sure, 3 - sure)]
    twice = "duplicate key 'ike' in conn one while processing def one\n"
    old = "ipsec addconn: /etc/ipsec.conf:6: warning: obsolete keyword ignored: dpdaction=hold\n"
    surely, perhaps = spoken_of(conf(f"{HEAD}conn one\n ike=a\n"), twice + old)
    assert (surely, short(list(perhaps))) == ((), [("duplicate-key", "error", "one", "ike", "a")])


@pytest.mark.parametrize(
    ("keys", "said", "status", "fault"),
    [
        (
            " dpdaction=hold\n",
            "ipsec addconn: /etc/ipsec.conf:6: warning: obsolete keyword ignored: dpdaction=hold",
            0,
            ("keyword-ignored", "warning", "one", "dpdaction", "hold"),
        ),
        (
            " mtu=abc\n",
            "ipsec addconn: /etc/ipsec.conf:6: warning: first decimal digit invalid, keyword ignored: mtu=abc",
            0,
            ("value-ignored", "error", "one", "mtu", "abc"),
        ),
        (
            " phase2=foo\n",
            "ERROR: /etc/ipsec.conf: 6: keyword phase2, invalid value: foo",
            1,
            ("bad-value", "error", "one", "phase2", "foo"),
        ),
        (
            " nosuch=1\n",
            "cannot load config '/etc/ipsec.conf': /etc/ipsec.conf:6: syntax error [nosuch]",
            3,
            ("unknown-keyword", "error", "one", "nosuch", "1"),
        ),
        (
            " nosuch=1\n",
            "FATAL ERROR: ipsec addconn: /etc/ipsec.conf:6: unrecognized keyword 'nosuch'",
            1,
            ("unknown-keyword", "error", "one", "nosuch", "1"),
        ),
        ("", "a sentence nobody has heard of", 0, ("remark", "warning", None, None, None)),
        ("", "", 3, ("syntax", "error", None, None, None)),
        ("", "", None, ("syntax", "error", None, None, None)),
    ],
)
def test_the_parser_complains(keys: str, said: str, status: int | None, fault: tuple[str, ...]) -> None:
    assert short(of_one(keys, said=said, checked=status, status=LOADED, started=status == 0)) == [fault]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("conn a\nconn a\n", ("duplicate-connection", "error", "a", None, None)),
        ("conn a\n ike=x\n ike=y\n", ("duplicate-key", "error", "a", "ike", "y")),
        ("conn a\n also=b\n", ("missing-also", "error", "a", "also", "b")),
        ("conn a\n auto=start\n right=1.1.1.1\n", ("missing-end", "error", "a", "left", None)),
        ('conn a\n leftid="@x\n', ("unterminated", "error", "a", "leftid", '"@x')),
        ("conn a\n leftid=@x\r\n", ("carriage-return", "error", None, None, None)),
        ("include gone.conf\n", ("missing-include", "warning", None, None, None)),
        ("conn a\n ikelifetime=banana\n", ("value-ignored", "error", "a", "ikelifetime", "banana")),
        ("config setup\n nhelpers=few\n", ("value-ignored", "error", None, "nhelpers", "few")),
        ("conn a\n right=300.1.1.1\n", ("bad-value", "error", "a", "right", "300.1.1.1")),
        ("conn a\n right=2001:db8::g\n", None),
        ("conn a\n ikelifetime=1.5h\n mtu=1400\n right=peer.example.com\n left=%eth0\n", None),
    ],
)
def test_our_own_reading(text: str, fault: tuple[str, ...] | None) -> None:
    """Also where there is no sandbox."""
    found = list(faults(conf(text), Trial("static")))
    assert short(found) == ([fault] if fault else [])


def test_pluto_does_not_start() -> None:
    log = "FATAL ERROR: cannot do it\nleaving"
    (found,) = faults(conf("config setup\n"), Trial("sandbox", log=log))
    assert (found.id, found.said) == ("start", "FATAL ERROR: cannot do it")


@pytest.mark.parametrize(
    ("auto", "severity"), [("add", "warning"), ("keep", "warning"), ("start", "error"), ("ondemand", "error")]
)
@pytest.mark.parametrize(
    "status",
    [
        '000 "one": 203.0.113.1...203.0.113.2; unrouted; eroute owner: #0\n000 "one":     unoriented; my_ip=unset;\n',
        '"one": 203.0.113.1...203.0.113.2; unoriented; my_ip=unset;\n"one":   host: unoriented; left: 203.0.113.1;\n',
    ],
)
def test_a_connection_of_other_hosts(auto: str, severity: str, status: str) -> None:
    keys = f" left=203.0.113.1\n right=203.0.113.2\n auto={auto}\n"
    assert short(of_one(keys, status=status)) == [("unoriented", severity, "one", "left", "203.0.113.1")]


def test_nobody_can_tell_whose_a_connection_of_names_is() -> None:
    status = '"one": %any...%dns<peer.example.com>; unoriented; my_ip=unset;\n'
    log = "\"one\": failed to resolve 'right=peer.example.com' at load time: not a numeric IPv4 address"
    assert of_one(" right=peer.example.com\n", status=status, log=log) == []


def test_a_template_need_not_be_whole() -> None:
    text = "conn base\n ike=aes256\nconn one\n also=base\n left=%defaultroute\n right=1.1.1.1\n auto=add\n"
    assert faults(conf(text), Trial("sandbox", started=True, status=LOADED, adds=(("base", "no left"),))) == ()


def test_what_is_not_to_be_loaded_is_only_warned_of() -> None:
    line = "\"one\": failed to add connection: IKE encryption algorithm 'foo' is not recognized"
    (found,) = of_one(" ike=foo\n auto=ignore\n", log=line)
    assert found.severity == "warning"


def test_many_connections_with_one_line_of_a_default_are_warned_of_once() -> None:
    text = HEAD + " ikev2=insist\nconn one\nconn two\n"
    said = "ikev2=yes has been replaced by keyexchange=ikev2"
    log = f'"one": {said}\n"two": {said}\n'
    found = faults(conf(text), Trial("sandbox", started=True, status=LOADED + LOADED.replace("one", "two"), log=log))
    assert [fault.place for fault in found] == ["/etc/ipsec.conf:5"]


SECRETS_LOG = """\
ERROR "/etc/ipsec.secrets" line 1: index "foo" not a numeric IPv4 address and name lookup failed (no validation)
"/etc/ipsec.secrets" line 2: WARNING: ignored unrecognized keyword: BOGUSgeheim1
003 "/etc/ipsec.secrets" line 3: PSK data malformed (input does not begin with format prefix): geheim2
ERROR "/etc/ipsec.secrets" line 4: index ""geheim3"" illegal (non-DNS-name) character in name
"/etc/ipsec.secrets" line 5: WARNING: ignored unrecognized keyword: RSA
"/etc/ipsec.secrets" line 6: WARNING: ignored unrecognized keyword: PIN
"/etc/ipsec.secrets" line 7: ERROR: keyword 'pin' obsoleted, please use NSS for smartcard support
"/etc/ipsec.secrets" line 8: WARNING: ignored unrecognized keyword: PINgeheim
unterminated string
"""


def test_secrets_that_pluto_does_not_understand_are_not_quoted() -> None:
    found = of_one("", log=SECRETS_LOG, status=LOADED)
    assert "geheim" not in str(found)
    assert [(fault.id, fault.severity, fault.place) for fault in found] == [
        ("bad-secret", "error", "/etc/ipsec.secrets:2"),
        ("bad-secret", "error", "/etc/ipsec.secrets:3"),
        ("bad-secret", "error", "/etc/ipsec.secrets:4"),
        ("secret-ignored", "error", "/etc/ipsec.secrets:6"),
        ("secret-ignored", "error", "/etc/ipsec.secrets:7"),
        ("bad-secret", "error", "/etc/ipsec.secrets:8"),
        ("bad-secret", "error", None),
        ("bad-secret", "warning", "/etc/ipsec.secrets:1"),
        ("secret-ignored", "warning", "/etc/ipsec.secrets:5"),
    ]


def test_no_secret_is_quoted_wherever_it_is() -> None:
    text = f"{HEAD}conn one\n ike=geheim1234\n"
    log = "\"one\": failed to add connection: IKE encryption algorithm 'geheim1234' is not recognized"
    (found,) = faults(conf(text), Trial("sandbox", started=True, log=log), {"geheim1234"})
    assert "geheim" not in str(found)


def test_every_fault_has_a_cure() -> None:
    assert all(CURES.values())
    assert [Fault(name, "error", "").cure for name in CURES] == list(CURES.values())


def test_what_the_parser_says_that_names_no_connection() -> None:
    gone = "could not open include filename: '/etc/x/*.conf' (tried /etc/x/*.conf)"
    assert short(of_one("", said=gone, checked=0, status=LOADED)) == [("missing-include", "warning", None, None, None)]
    for words, identity, severity in (
        ("duplicate key 'ike'", "duplicate-key", "error"),
        ("warning: something new", "remark", "warning"),
        ("something new", "syntax", "error"),
    ):
        said = f"/etc/ipsec.conf:6: {words}"
        (fault,) = of_one(" ike=aes\n", said=said, checked=0, status=LOADED)
        assert (fault.id, fault.severity, fault.place) == (identity, severity, "/etc/ipsec.conf:6")


def test_what_pluto_says_of_a_connection_that_nobody_declared() -> None:
    assert of_one("", status=LOADED, log='"other": failed to add connection: why not\n') == []


def test_a_connection_without_an_end_is_not_judged_by_its_addresses() -> None:
    found = faults(
        conf("conn one\n left=192.0.2.1\n auto=add\n"),
        Trial("sandbox", started=True, status='"one": 192.0.2.1...%any; unoriented;\n'),
    )
    assert "unoriented" not in [fault.id for fault in found]
