# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the role's variables to lines, or to every mistake by its path; never to a secret in a message."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.plugin_utils._keys import pair_key
from ansible_collections.xswan.ipsec.plugins.plugin_utils._variables import Configuration, configuration

MASTER = "a master of these tests, and of nothing else"
PSK = "hush hush hush hush hush"
GATEWAYS = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(("gw1", "gw2", "gw3"), start=1)}
MESH = [{"type": "mesh", "groups": ["all"]}]


def checked(**variables: object) -> Configuration:
    return configuration(variables, "gw1", {"all": list(GATEWAYS)}, GATEWAYS.get)


def good(**variables: object) -> Configuration:
    found = checked(**variables)
    assert found["mistakes"] == []
    return found


def mistake(**variables: object) -> str:
    found = checked(**variables)
    assert (found["sections"], found["secrets"]) == ([], [])
    (said,) = found["mistakes"]
    assert "hush" not in said
    return said


def titles(found: Configuration) -> list[str]:
    return [section["title"] for section in found["sections"]]


def test_nothing() -> None:
    found = good()
    assert found["sections"] == [{"title": "config setup", "lines": []}]
    assert found["secrets"] == []


def test_sections_in_their_order() -> None:
    found = good(
        ipsec_config_setup={"uniqueids": True},
        ipsec_connection_defaults={"authby": "secret"},
        ipsec_connections=[
            {"name": "b", "left": "192.0.2.1"},
            {"name": "a", "state": "present", "auto": "add"},
            {"name": "gone", "state": "absent", "left": "192.0.2.1"},
        ],
    )
    assert found["sections"] == [
        {"title": "config setup", "lines": ["uniqueids=yes"]},
        {"title": "conn %default", "lines": ["authby=secret"]},
        {"title": "conn a", "lines": ["auto=add"]},
        {"title": "conn b", "lines": ["left=192.0.2.1"]},
    ]


def test_every_pair_of_the_topology_has_a_connection_and_a_key() -> None:
    found = good(ipsec_topology=MESH, ipsec_psk_master=MASTER)
    assert titles(found) == ["config setup", "conn gw1-gw2", "conn gw1-gw3"]
    assert found["secrets"] == [f'@gw1 {peer} : PSK "{pair_key(MASTER, ["@gw1", peer])}"' for peer in ("@gw2", "@gw3")]


def test_what_is_declared_by_hand_comes_before_the_topology() -> None:
    found = good(
        ipsec_topology=MESH,
        ipsec_psk_master=MASTER,
        ipsec_connections=[{"name": "gw1-gw2", "state": "absent"}, {"name": "gw1-gw3", "left": "%defaultroute"}],
        ipsec_secrets=[{"ids": ["@gw3", "@gw1"], "psk": PSK}],
    )
    assert found["sections"][1:] == [{"title": "conn gw1-gw3", "lines": ["left=%defaultroute"]}]
    assert found["secrets"] == [f'@gw1 @gw3 : PSK "{PSK}"']


def test_a_topology_of_certificates_needs_no_keys() -> None:
    found = good(ipsec_topology=[{**MESH[0], "connection": {"authby": "rsasig", "leftcert": "gw"}}])
    assert found["secrets"] == []
    assert "leftcert=gw" in found["sections"][1]["lines"]


def test_all_kinds_of_secrets() -> None:
    found = good(
        ipsec_psk_master=MASTER,
        ipsec_secrets=[
            {"psk": PSK},
            {"ids": ["2001:db8::1", "%any"], "psk": PSK},
            {"ids": ["@other", "@gw1"]},
            {"ids": ["@alice"], "xauth": "s"},
            {"ids": ["@gw1", "@other"], "ppk": PSK, "ppk_id": "PPK 1"},
            {"rsa": "gw 1"},
            {"ids": ["@gw1"], "rsa": "/etc/ipsec.d/private/gw1.pem", "passphrase": "p"},
            {"pin": "1234"},
        ],
    )
    assert found["secrets"] == [
        f': PSK "{PSK}"',
        f'%any 2001:db8::1 : PSK "{PSK}"',
        f'@gw1 @other : PSK "{pair_key(MASTER, ["@gw1", "@other"])}"',
        '@alice : XAUTH "s"',
        f'@gw1 @other : PPKS "PPK 1" "{PSK}"',
        ': RSA "gw 1"',
        '@gw1 : RSA "/etc/ipsec.d/private/gw1.pem" "p"',
        ': PIN %smartcard "1234"',
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ipsec_config_setup": {"logfile": "a\nb"}}, "ipsec_config_setup.logfile: holds a line break"),
        ({"ipsec_connection_defaults": {"ike": 'a"'}}, "ipsec_connection_defaults.ike: holds a double quote"),
        ({"ipsec_connections": ["a"]}, "ipsec_connections[0]: is no dictionary"),
        ({"ipsec_connections": [{"left": "a"}]}, "ipsec_connections[0].name: None is no name"),
        (
            {"ipsec_connections": [{"name": "a"}, {"name": "a"}]},
            "ipsec_connections[1].name: a is the name of ipsec_connections[0] too",
        ),
        (
            {"ipsec_connections": [{"name": "a", "state": "gone"}]},
            "ipsec_connections[0].state: 'gone' is unknown; allowed: present, absent",
        ),
        ({"ipsec_connections": [{"name": "a", "left": "x\ny"}]}, "ipsec_connections[0].left: holds a line break"),
        ({"ipsec_topology": MESH, "ipsec_psk_master": "hush"}, "ipsec_psk_master: has 4 characters; allowed: 32 or"),
        (
            {"ipsec_topology": [{**MESH[0], "connection": {"ike": "a\tb"}}], "ipsec_psk_master": MASTER},
            "ipsec_topology: gw1-gw2.ike: holds a line break, a tab",
        ),
        ({"ipsec_secrets": ["a"]}, "ipsec_secrets[0]: is no dictionary"),
        ({"ipsec_secrets": [{"psk": PSK, "pks": "a"}]}, "ipsec_secrets[0]: key 'pks' is unknown; allowed: ids, psk"),
        ({"ipsec_secrets": [{"psk": PSK, "xauth": "hush"}]}, "ipsec_secrets[0]: has psk and xauth; allowed: one of"),
        ({"ipsec_secrets": [{"psk": "hush" * 4}]}, "ipsec_secrets[0].psk: has 16 characters; allowed: 20 or more"),
        ({"ipsec_secrets": [{"psk": {"hush": PSK}}]}, "ipsec_secrets[0].psk: is no text; allowed: one line"),
        ({"ipsec_secrets": [{"psk": ""}]}, "ipsec_secrets[0].psk: has 0 characters"),
        ({"ipsec_secrets": [{"psk": PSK + '"'}]}, "ipsec_secrets[0].psk: holds a double quote"),
        ({"ipsec_secrets": [{"psk": PSK + "\n"}]}, "ipsec_secrets[0].psk: holds a line break"),
        ({"ipsec_secrets": [{"ids": ["a\nb"], "psk": PSK}]}, "ipsec_secrets[0].ids: holds a line break"),
        ({"ipsec_secrets": [{"ids": ["@a", ""], "psk": PSK}]}, "ipsec_secrets[0].ids: holds an empty one"),
        ({"ipsec_secrets": [{"xauth": "a", "ppk_id": "b"}]}, "ipsec_secrets[0].ppk_id: goes with ppk"),
        ({"ipsec_secrets": [{"ppk": PSK}]}, "ipsec_secrets[0].ppk_id: goes with ppk"),
        ({"ipsec_secrets": [{"ppk": PSK, "ppk_id": '"'}]}, "ipsec_secrets[0].ppk_id: holds a double quote"),
        ({"ipsec_secrets": [{"rsa": "a", "pin": "hush"}]}, "ipsec_secrets[0]: has rsa and pin; allowed: one of psk"),
        ({"ipsec_secrets": [{"pin": "hush\t"}]}, "ipsec_secrets[0].pin: holds a line break"),
        ({"ipsec_secrets": [{"rsa": "a", "passphrase": "hush\n"}]}, "ipsec_secrets[0].passphrase: holds a line break"),
        ({"ipsec_secrets": [{"pin": "a", "passphrase": "hush"}]}, "ipsec_secrets[0].passphrase: goes with rsa"),
        ({"ipsec_secrets": [{"ids": ["@a", "@b"]}]}, "ipsec_secrets[0]: has no key; set ipsec_psk_master"),
        ({"ipsec_secrets": [{"ids": ["@a"]}], "ipsec_psk_master": MASTER}, "ipsec_secrets[0].ids: a key is derived"),
        (
            {"ipsec_secrets": [{"ids": ["@a", "@b"], "psk": PSK}, {"ids": ["@b", "@a"], "psk": PSK}]},
            "ipsec_secrets[1].ids: @a @b has a key in ipsec_secrets[0] already",
        ),
        ({"ipsec_secrets": [{"psk": None}], "ipsec_psk_master": MASTER}, "ipsec_secrets[0].psk: has 0 characters"),
        ({"ipsec_secrets": [{"ids": ["@a"], "xauth": ""}]}, "ipsec_secrets[0].xauth: has 0 characters; allowed: 1"),
        (
            {"ipsec_secrets": [{"psk": "hushhush9"}], "ipsec_psk_minimum": "10"},
            "ipsec_secrets[0].psk: has 9 characters; allowed: 10",
        ),
        (
            {"ipsec_secrets": [{"ppk": "h", "ppk_id": "b"}]},
            "ipsec_secrets[0].ppk: has 1 characters; allowed: 20 or more (ipsec_psk_minimum)",
        ),
        ({"ipsec_connections": [{"name": "a", "lefft:": "b"}]}, "ipsec_connections[0].lefft:: is no key of ipsec.conf"),
        ({"ipsec_psk_minimum": 3}, "ipsec_psk_minimum: is 3; allowed: a number of characters, 8 or more"),
        ({"ipsec_psk_minimum": "many"}, "ipsec_psk_minimum: is 'many'; allowed: a number of characters, 8 or more"),
        ({"ipsec_psk_minimum": True}, "ipsec_psk_minimum: is True; allowed"),
        (
            {"ipsec_confirm_timeout": -5},
            "ipsec_confirm_timeout: is -5; allowed: one second or more, or 0 for a change that stays",
        ),
        ({"ipsec_confirm_timeout": "5m"}, "ipsec_confirm_timeout: is no number; allowed: seconds, or 0"),
        (
            {"ipsec_firewall_chain": "filter input"},
            "ipsec_firewall_chain: 'filter input' is no chain; allowed: ip, ip6 or inet, a table and a name, as inet",
        ),
    ],
)
def test_mistakes(variables: dict[str, t.Any], said: str) -> None:
    defaults = {"ipsec_psk_minimum": 20}
    # Of a topology the same is wrong with each of the two peers.
    said_first = checked(**defaults, **variables)["mistakes"][0] if "ipsec_topology" in variables else ""
    assert "hush" not in said_first
    assert (said_first or mistake(**{**defaults, **variables})).startswith(said)


def test_a_pair_without_a_key() -> None:
    assert checked(ipsec_topology=MESH)["mistakes"] == [
        f"ipsec_topology: gw1-{peer}: has no key; set ipsec_psk_master, or give these ids a psk in ipsec_secrets"
        for peer in ("gw2", "gw3")
    ]


def test_a_short_psk_can_be_allowed() -> None:
    assert good(ipsec_secrets=[{"psk": "12345678"}], ipsec_psk_minimum=8)["secrets"] == [': PSK "12345678"']


def test_two_peers_of_one_name() -> None:
    """A name that is made of two can be read in two ways."""
    names = ("a-b", "a-b-a", "b-a")
    gateways = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(names, start=1)}
    found = configuration(
        {"ipsec_topology": MESH, "ipsec_psk_master": MASTER}, "a-b-a", {"all": list(names)}, gateways.get
    )
    assert found["mistakes"] == ["ipsec_topology: two peers of a-b-a would share the name a-b-a-b-a; rename a gateway"]


def test_all_mistakes_are_told_at_once() -> None:
    found = checked(
        ipsec_config_setup={"a b": 1},
        ipsec_connections=[{"name": "x", "left": "a\n", "right": '"'}],
        ipsec_secrets=[{}],
    )
    assert [said.partition(": ")[0] for said in found["mistakes"]] == [
        "ipsec_config_setup.a b",
        "ipsec_connections[0].left",
        "ipsec_connections[0].right",
        "ipsec_secrets[0]",
    ]


def test_policy_groups_become_files() -> None:
    found = good(ipsec_policies={"private": ["10.1.0.0/16", "192.0.2.7 tcp 0 443", "2001:db8::/32"], "clear": []})
    assert {name: text.splitlines()[1:] for name, text in found["policies"].items()} == {
        "private": ["10.1.0.0/16", "192.0.2.7 tcp 0 443", "2001:db8::/32"],
        "clear": [],
    }
    assert all(text.startswith("# Managed by Ansible") and text.endswith("\n") for text in found["policies"].values())


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (["private"], "ipsec_policies: is no dictionary"),
        ({"../x": []}, "ipsec_policies: '../x' is no name"),
        ({"private": "10.0.0.0/8"}, "ipsec_policies.private: is no list"),
        (
            {"private": ["10.0.0.0/8", "10.0.0.1/8"]},
            "ipsec_policies.private[1]: 10.0.0.1/8 has host bits set;",
        ),
        ({"private": ["10.0.0.0/8\n0.0.0.0/0"]}, "ipsec_policies.private[0]: '10.0.0.0/8\\n0.0.0.0/0' does not appear"),
        ({"private": ["10.0.0.0/8 tcp"]}, "ipsec_policies.private[0]: '10.0.0.0/8 tcp' is no destination; allowed:"),
        ({"private": ["10.0.0.0/8 tcp 0 66000"]}, "ipsec_policies.private[0]: '10.0.0.0/8 tcp 0 66000' is no dest"),
        ({"private": [None]}, "ipsec_policies.private[0]: 'None' does not appear"),
    ],
)
def test_mistakes_in_policy_groups(groups: object, said: str) -> None:
    assert mistake(ipsec_policies=groups).startswith(said)


@pytest.mark.parametrize(
    "name",
    ["net.ipv4.ip_forward", "net.ipv4.conf.*.rp_filter", "net.ipv4.conf.eth0/7.rp_filter", "net/ipv6/conf/a.b/x"],
)
@pytest.mark.parametrize("value", [True, 0, "2", "4096 87380 6291456"])
def test_kernel_parameters(name: str, value: object) -> None:
    good(ipsec_sysctl={name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("kernel.panic", 1, "ipsec_sysctl.kernel.panic: is no name of a parameter of the network; allowed: one such"),
        ("net/../kernel/panic", 1, "ipsec_sysctl.net/../kernel/panic: is no name"),
        ("net.ipv4.ip_forward", [], "ipsec_sysctl.net.ipv4.ip_forward: [] is no value; allowed: a number"),
        (
            "net.ipv4.ip_forward",
            "1\nkernel.panic=1",
            "ipsec_sysctl.net.ipv4.ip_forward: '1\\nkernel.panic=1' is no value",
        ),
    ],
)
def test_mistakes_in_kernel_parameters(name: str, value: object, said: str) -> None:
    assert mistake(ipsec_sysctl={name: value}).startswith(said)


@pytest.mark.parametrize(
    ("keys", "ah"),
    [({"phase2": "ah"}, True), ({"ah": "sha2_256"}, True), ({"phase2": "esp"}, False), ({"esp": "aes256-ah"}, False)],
)
def test_whether_ah_is_asked_for(keys: dict[str, str], ah: bool) -> None:
    assert good(ipsec_connections=[{"name": "a", **keys}])["ah"] is ah
    assert good(ipsec_connection_defaults=keys)["ah"] is ah


def test_no_gateway_without_packages() -> None:
    good(ipsec_package_state="latest")
    assert mistake(ipsec_package_state="absent").startswith("ipsec_package_state: absent goes with ipsec_state absent")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("a", "ipsec_certificates[0]: is no dictionary"),
        ({"name": "a", "src": "x", "trusts": "CT,,"}, "ipsec_certificates[0]: key 'trusts' is unknown"),
        ({"name": "a:b", "src": "x"}, "ipsec_certificates[0].name: 'a:b' is no nickname"),
        ({"src": "x"}, "ipsec_certificates[0].name: '' is no nickname"),
        ({"name": "a", "src": "x", "trust": "CT"}, "ipsec_certificates[0].trust: 'CT' is no trust"),
        ({"name": "a", "state": "here"}, "ipsec_certificates[0].state: 'here' is unknown; allowed: present, absent"),
        ({"name": "a", "passphrase": PSK}, "ipsec_certificates[0]: has no certificate; allowed: one of content, src"),
        ({"name": "a", "content": PSK, "pkcs12": PSK}, "ipsec_certificates[0]: has content and pkcs12; allowed: one"),
        (
            {"name": "a", "pkcs12": PSK, "key": PSK},
            "ipsec_certificates[0].key: goes with a certificate in PEM, and PKCS",
        ),
        (
            {"name": "a", "pkcs12_src": "/x", "key": PSK},
            "ipsec_certificates[0].key: goes with a certificate in PEM, and",
        ),
        ({"name": "a", "src": "/x", "key": PSK}, "ipsec_certificates[0].key: is no private key in PEM; allowed: text"),
        ({"name": "a", "pkcs12": "hush!"}, "ipsec_certificates[0].pkcs12: is no base64; allowed: a PKCS #12 file in"),
        ({"name": "a", "pkcs12": "h\u00fcsh"}, "ipsec_certificates[0].pkcs12: is no base64; allowed"),
        (
            {"name": "a", "content": PSK},
            "ipsec_certificates[0].content: has no certificate in PEM; allowed: -----BEGIN",
        ),
        ({"name": "a", "content": 5}, "ipsec_certificates[0].content: has no certificate in PEM"),
        (
            {"name": "a", "content": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "ipsec_certificates[0].content: a certificate in it is damaged",
        ),
        ({"name": "a", "src": "/x", "passphrase": f"{PSK}\n"}, "ipsec_certificates[0].passphrase: has more than one"),
    ],
)
def test_mistakes_in_certificates(entry: object, said: str) -> None:
    assert mistake(ipsec_certificates=[entry]).startswith(said)


def test_certificates() -> None:
    good(ipsec_certificates=[{"name": "a b", "pkcs12": PSK, "passphrase": PSK}, {"name": "c", "state": "absent"}])
    twice = [{"name": "a", "src": "/y"}, {"name": "a", "src": "/x"}]
    assert mistake(ipsec_certificates=twice) == (
        "ipsec_certificates[1].name: a is the name of ipsec_certificates[0] too; each certificate needs its own"
    )
