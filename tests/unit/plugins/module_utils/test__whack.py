# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures are what `ipsec` programs printed on gateways of the lab; fixtures/README.md says which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, ChildSa, IkeSa, Listening, Program
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import (
    LINE_SHOWN,
    UNKNOWN_SHOWN,
    holds_sas,
    parent,
    parse_auto,
    parse_certificates,
    parse_script,
    parse_status,
    parse_version,
    printable,
)

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = ("4.3", "4.10", "5.2")


def recorded(version: str, command: str, kind: str = "mesh") -> str:
    return (FIXTURES / f"{kind}-{version}-{command}.txt").read_text()


def mesh(version: str) -> Answer:
    return parse_status(recorded(version, "status"), recorded(version, "trafficstatus"))


@pytest.mark.parametrize("version", VERSIONS)
def test_one_tunnel_of_every_version(version: str) -> None:
    answer = parse_status(recorded(version, "status", "whack"), recorded(version, "trafficstatus", "whack"))
    assert answer.interfaces == ("eth0", "eth1", "eth2", "lo")
    assert answer.connections == ("gw1-gw2",)
    assert (answer.unknown_lines, answer.unknown) == (0, ())


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*-status.txt")), ids=lambda path: path.name)
def test_whether_there_are_sas_is_seen_before_the_lines_are_read(path: Path) -> None:
    status = path.read_text()
    lines = status.splitlines(keepends=True)
    without = "".join(line for line in lines if not line.removeprefix("000 ").startswith("#"))
    for text in (status, without):
        answer = parse_status(text, "")
        assert holds_sas(text) is bool(answer.child_sas or answer.negotiating or answer.ike_sas)
    assert holds_sas(status) is not holds_sas(without)


@pytest.mark.parametrize(
    ("version", "sas"),
    [
        ("4.3", [(3, 1795440680, 0, 0, 28031, 1), (4, 1795440682, 504, 504, 28513, 2)]),
        ("4.10", [(2, 1795439718, 1008, 1008, 27369, 1)]),
        ("5.2", [(4, 1795439717, 1008, 1008, 27635, 3)]),
    ],
)
def test_child_sas_of_every_version(version: str, sas: list[tuple[int, ...]]) -> None:
    answer = parse_status(recorded(version, "status", "whack"), recorded(version, "trafficstatus", "whack"))
    assert [(sa.serial, sa.added, sa.bytes_in, sa.bytes_out, sa.rekey_in, sa.ike) for sa in answer.child_sas] == sas
    newest = answer.child_sas[-1]
    here, there = ("192.0.2.2", "192.0.2.1") if version == "5.2" else ("192.0.2.1", "192.0.2.2")
    assert (newest.protocol, newest.local, newest.remote) == ("esp", here, there)
    spis = {"4.3": (0x57471B28, 0xB68CAED6), "4.10": (0xB4A85595, 0x78CBBD06), "5.2": (0x78CBBD06, 0xB4A85595)}
    assert (newest.spi_in, newest.spi_out) == spis[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_line_of_a_mesh_is_understood(version: str) -> None:
    answer = mesh(version)
    assert (answer.unknown_lines, answer.unknown) == (0, ())
    assert (answer.fips, answer.selinux, answer.seccomp, answer.nat_t) == (False, "disabled", "unsupported", True)
    assert (answer.nssdir, answer.secrets_file) == ("/var/lib/ipsec/nss", "/etc/ipsec.secrets")
    n = VERSIONS.index(version) + 1
    assert Listening("eth0", f"192.0.2.{n}", 4500, "udp", nat_t=True) in answer.listening
    assert Listening("lo", "::1", 500, "udp", nat_t=False) in answer.listening


@pytest.mark.parametrize(
    ("version", "pair", "here", "there"), [("4.3", "bk", 1, 2), ("4.10", "kt", 2, 3), ("5.2", "tb", 3, 1)]
)
def test_connections_of_a_mesh(version: str, pair: str, here: int, there: int) -> None:
    loaded = {(each.name.removesuffix(f"-{pair}"), each.instance): each for each in mesh(version).loaded}

    good = loaded["good", ""]
    gateways = ("", "b", "k", "t")
    assert (good.local.address, good.remote.address) == (f"192.0.2.{here}", f"192.0.2.{there}")
    assert (good.local.id, good.remote.id) == (f"@{gateways[here]}", f"@{gateways[there]}")
    assert (good.local.subnets, good.remote.subnets) == ((f"10.{here}.0.0/24",), (f"10.{there}.0.0/24",))
    assert (good.local.auth, good.remote.auth, good.interface) == ("secret", "secret", "eth0")
    assert (good.routing, good.version, good.ike_lifetime) == ("tunnel", 2, 28800)
    assert good.child_algorithms == "AES_GCM_16_256-NONE"
    assert (good.ike_algorithms or "").startswith("AES_GCM_16_256-HMAC_SHA2_512-")

    expansion = loaded[f"many-{pair}/2x1", ""]
    assert expansion.local.subnets == (f"10.{here}.4.128/25",)
    assert expansion.remote.subnets == (f"10.{there}.4.0/25",)

    x509 = loaded["x509", ""]
    assert x509.local.certificate == f"{gateways[here]}-good"
    assert x509.local.id == f"O=Lab, CN={gateways[here]}-good"
    assert x509.remote.id == f"CN={gateways[there]}-good, O=Lab"
    assert (x509.local.auth, x509.remote.auth) == ("rsasig", "rsasig")

    assert [loaded[name, ""].version for name in ("v1good", "v1ts", "ts")] == [1, 1, 2]
    assert [loaded[name, ""].oriented for name in ("unoriented", "noiface", "good")] == [False, False, True]
    assert (loaded["ondemand", ""].routing, loaded["keep", ""].routing) == ("trap", "unrouted")

    narrow = [each for (name, instance), each in loaded.items() if name == "narrow" and instance]
    assert [each.local.subnets + each.remote.subnets for each in narrow] == [
        (f"10.{here}.80.0/24", f"10.{there}.80.0/28")
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_instance_of_any_peer(version: str) -> None:
    answer = mesh(version)
    roads = [each for each in answer.loaded if each.name.startswith("road-")]
    (template,) = [each for each in roads if each.remote.address == "%any"]
    assert template.remote.subnets == ()
    (instance,) = [each for each in roads if each.instance]
    assert instance.name == template.name
    (child,) = [sa for sa in answer.child_sas if sa.instance.startswith("[") and sa.connection == template.name]
    assert child.instance == f"{instance.instance} {instance.remote.address}"
    assert child.remote == instance.remote.address


@pytest.mark.parametrize("version", VERSIONS)
def test_ike_sas_of_a_mesh(version: str) -> None:
    answer = mesh(version)
    by_connection: dict[str, list[IkeSa]] = {}
    for sa in answer.ike_sas:
        by_connection.setdefault(sa.connection.rpartition("-")[0], []).append(sa)
    (v1,) = by_connection["v1ts"]
    assert (v1.established, v1.version, v1.initiator) == (True, 1, True)
    assert v1.rekey_in is not None
    noanswer = by_connection["noanswer"][-1]
    assert (noanswer.established, noanswer.version, noanswer.initiator) == (False, 2, True)
    assert noanswer.rekey_in is None
    assert all(sa.version == 2 for sa in by_connection["good"])


def test_openswan() -> None:
    """There is no --trafficstatus, and the ends have their IDs only in the line of the topology."""
    answer = parse_status(recorded("openswan-2.6", "status", "written"), "")
    assert answer.unknown == ()
    assert answer.interfaces == ("eth0", "lo")
    assert (answer.fips, answer.nssdir, answer.nat_t) == (None, None, False)
    loaded = {each.name: each for each in answer.loaded}
    net, road, nowhere = loaded["net"], loaded["road"], loaded["nowhere"]
    assert (net.local.address, net.local.id, net.local.subnets) == ("192.0.2.1", "@west", ("10.1.0.0/24",))
    assert (net.remote.address, net.remote.id, net.remote.subnets) == ("192.0.2.2", "@east", ("10.2.0.0/24",))
    assert (net.local.auth, net.interface, net.routing) == ("secret", "eth0", "tunnel")
    assert (road.local.id, road.local.auth, road.remote.address) == ("C=CA, O=Lab, CN=west", "rsasig", "%any")
    assert road.local.certificate == "/etc/ipsec.d/certs/west.pem"
    assert [each.oriented for each in (net, road, nowhere)] == [True, True, False]
    (child,) = answer.child_sas
    assert child == ChildSa(
        "net", 2, ike=1, rekey_in=27765, used=12, protocol="esp", local="192.0.2.1", remote="192.0.2.2",
        spi_in=0x0D4C3B2A, spi_out=0xA1B2C3D4,
    )  # fmt: skip
    assert [(sa.serial, sa.established, sa.version, sa.initiator) for sa in answer.ike_sas] == [
        (1, True, 1, True),
        (3, False, 1, True),
    ]


def test_libreswan_3() -> None:
    answer = parse_status(recorded("3.32", "status", "written"), recorded("3.32", "trafficstatus", "written"))
    assert answer.unknown == ()
    assert (answer.fips, answer.selinux, answer.seccomp, answer.nssdir) == (True, "enabled", "disabled", "/etc/ipsec.d")
    net, old = answer.loaded
    assert (net.local.certificate, net.local.auth, net.version, old.version) == ("west", "rsasig", 2, 1)
    (child,) = answer.child_sas
    assert (child.ike, child.bytes_in, child.spi_in) == (1, 84, 0xD4C3B2A)
    assert [(sa.established, sa.version) for sa in answer.ike_sas] == [(True, 2), (False, 1)]


def test_libreswan_5_4() -> None:
    """Its states have no names any more, and it tells the reqid."""
    answer = parse_status(recorded("5.4", "status", "written"), recorded("5.4", "trafficstatus", "written"))
    assert answer.unknown == ()
    assert Listening("eth0", "192.0.2.1", 4500, "tcp", nat_t=True) in answer.listening
    net, road, instance = answer.loaded
    assert net.local.subnets == ("10.1.0.0/24", "10.1.1.0/24")
    assert (net.local.certificate, net.local.auth, net.remote.auth, net.reqid) == ("west", "rsasig", "rsasig", 16389)
    assert (road.remote.address, instance.instance, instance.remote.address) == ("%any", "[1]", "192.0.2.99")
    assert [(sa.serial, sa.established, sa.replace_in) for sa in answer.ike_sas] == [(1, True, 28700), (3, True, 28700)]
    mine, roads = answer.child_sas
    assert (mine.ike, mine.bytes_out) == (1, 168)
    assert (roads.ike, roads.username, roads.lease, roads.spi_out) == (3, "alice", "10.9.0.1/32", 0xB1B2C3D4)
    assert roads.instance == "[1] 192.0.2.99"


@pytest.mark.parametrize(
    ("line", "sa"),
    [
        (
            '#7: "road"[2] 192.0.2.9, username=u, type=ESP, add_time=5, inBytes=1, outBytes=2, lease=10.9.0.1/32',
            ChildSa("road", 7, 5, 1, 2, "[2] 192.0.2.9", username="u", lease="10.9.0.1/32"),
        ),
        (
            "006 #8: \"net/1x2\", type=ESP, add_time=5, inBytes=1, outBytes=2, maxBytes=2^63B, id='@a, b'",
            ChildSa("net/1x2", 8, 5, 1, 2),
        ),
        # a half of it is there (seen: 5.2)
        ("#77: \"v1\", type=ESP, add_time=0, inBytes=0, id='192.0.2.22'", ChildSa("v1", 77, None, 0, None)),
        (
            "#9: \"off\", type=ESP(nic-offload=packet), add_time=5, inBytes=1, outBytes=2, id='@x'",
            ChildSa("off", 9, 5, 1, 2),
        ),
        # who chooses his own name cannot choose his counters
        (
            '#9: "x", username=u, type=ESP, add_time=1, inBytes=9, type=ESP, add_time=5, inBytes=1, outBytes=2',
            ChildSa("x", 9, 5, 1, 2, username="u, type=ESP, add_time=1, inBytes=9"),
        ),
        (
            "#9: \"x\", type=ESP, add_time=5, inBytes=1, outBytes=2, id='a', inBytes=7, lease=1.1.1.1', "
            "lease=10.9.0.1/32,2001:db8::1/128",
            ChildSa("x", 9, 5, 1, 2, lease="10.9.0.1/32,2001:db8::1/128"),
        ),
    ],
)
def test_traffic(line: str, sa: ChildSa) -> None:
    answer = parse_status("", line)
    assert answer.child_sas == (sa,)
    assert answer.unknown_lines == 0


@pytest.mark.parametrize(
    ("line", "listening"),
    [
        ("000 interface eth0/eth0 192.0.2.1", Listening("eth0", "192.0.2.1", 500)),
        ("000 interface eth0/eth0 192.0.2.1@4500", Listening("eth0", "192.0.2.1", 4500, nat_t=True)),
        ("000 interface lo/lo ::1@500", Listening("lo", "::1", 500)),
        ("000 interface lo/lo [::1]:500", Listening("lo", "::1", 500)),
        ("000 interface eth0 TCP 192.0.2.1:4500", Listening("eth0", "192.0.2.1", 4500, "tcp", nat_t=True)),
        ("interface eth0 [2001:db8::1]:TCP/4500", Listening("eth0", "2001:db8::1", 4500, "tcp", nat_t=True)),
        ("interface eth0.7 192.0.2.1:UDP/4501 (NAT)", Listening("eth0.7", "192.0.2.1", 4501, nat_t=True)),
    ],
)
def test_listening(line: str, listening: Listening) -> None:
    assert parse_status(line, "").listening == (listening,)


def test_expansions_and_groups_belong_to_their_connection() -> None:
    assert [parent(name) for name in ("net/1x2", "road", "private#10.0.0.0/8", "a/b")] == [
        "net",
        "road",
        "private",
        "a/b",
    ]
    status = (
        '000 "net/1x2": 10.1.0.0/24===192.0.2.1...192.0.2.2; unrouted; eroute owner: #0\n'
        '000 "net/2x2": 10.2.0.0/24===192.0.2.1...192.0.2.2; unrouted; eroute owner: #0\n'
        '"road"[2] 2001:db8::9: 192.0.2.1...2001:db8::9; unrouted; my_ip=unset; their_ip=unset;\n'
        '000 "net/1x2":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;\n'
    )
    answer = parse_status(status, "")
    assert answer.connections == ("net", "road")
    assert [(each.name, each.instance) for each in answer.loaded] == [("net/1x2", ""), ("net/2x2", ""), ("road", "[2]")]


def test_several_pairs_of_subnets_of_one_connection() -> None:
    """From 5.0 `subnet=` takes a list, and the line of the ends comes once for each pair."""
    status = "".join(
        f'"c": {mine}===192.0.2.1...192.0.2.2==={theirs}; routed-tunnel; my_ip=unset; their_ip=unset;\n'
        for mine in ("10.1.0.0/24", "10.1.1.0/24")
        for theirs in ("10.2.0.0/24", "10.2.1.0/24")
    )
    (loaded,) = parse_status(status, "").loaded
    assert loaded.local.subnets == ("10.1.0.0/24", "10.1.1.0/24")
    assert loaded.remote.subnets == ("10.2.0.0/24", "10.2.1.0/24")


@pytest.mark.parametrize(
    ("ends", "local", "remote"),
    [
        ("192.0.2.1<192.0.2.1>...192.0.2.2<192.0.2.2>", ("192.0.2.1", None), ("192.0.2.2", None)),
        ("192.0.2.1<gw.example>[@a]...%any[@b]", ("192.0.2.1", "@a"), ("%any", "@b")),
        ("192.0.2.1:6/7---192.0.2.254...192.0.2.2<192.0.2.2>:6/7", ("192.0.2.1", None), ("192.0.2.2", None)),
        ("192.0.2.1---192.0.2.254...192.0.2.253---192.0.2.2[@b]", ("192.0.2.1", None), ("192.0.2.2", "@b")),
        ("2001:db8::1[@a]...2001:db8::2===2001:db8:2::/64", ("2001:db8::1", "@a"), ("2001:db8::2", None)),
        ("192.0.2.1<192.0.2.1>[@west,+S=C]...192.0.2.2[+S=C]", ("192.0.2.1", "@west"), ("192.0.2.2", None)),
        ("192.0.2.1[O=A, CN=x]...%dns<p.example>[CN=y...]", ("192.0.2.1", "O=A, CN=x"), ("%dns<p.example>", "CN=y...")),
    ],
)  # fmt: skip
def test_ends(ends: str, local: tuple[str, str | None], remote: tuple[str, str | None]) -> None:
    (loaded,) = parse_status(f'000 "c": {ends}; unrouted; eroute owner: #0\n', "").loaded
    assert (loaded.local.address, loaded.local.id) == local
    assert (loaded.remote.address, loaded.remote.id) == remote


def test_what_is_not_understood_is_counted_and_the_first_of_it_is_shown() -> None:
    status = "000 using kernel interface: xfrm\n000 brand new: 1\n" + '000 "c":   brand-new: 2;\n' * 5 + "#x: y\n"
    answer = parse_status(status, "#1: something else\n")
    assert answer.unknown_lines == 8
    assert answer.unknown == ("brand new: 1", *['"c":   brand-new: 2;'] * (UNKNOWN_SHOWN - 1))
    (hostile,) = parse_status(f"\x1b[31m{'x' * 5000}\n", "").unknown
    assert hostile.startswith("?[31mxxx")
    assert len(hostile) == LINE_SHOWN


def test_printable() -> None:
    assert printable("a\x1b]0;b\x07\u202e\tä") == "a?]0;b???ä"
    assert len(printable("x" * LINE_SHOWN)) == len(printable("x" * 9999)) == LINE_SHOWN


def test_nothing_in_nothing() -> None:
    assert (parse_status("", ""), parse_version(""), parse_auto(""), parse_certificates("")) == (Answer(), None, {}, {})


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Linux Libreswan 4.3 (netkey) on 6.1.176\n", Program("Libreswan", "4.3")),
        ("Libreswan 4.10\n", Program("Libreswan", "4.10")),
        ("Libreswan 5.2\n", Program("Libreswan", "5.2")),
        ("Linux Openswan U2.6.32/K2.6.32-754.el6.x86_64 (netkey)\n", Program("Openswan", "2.6.32")),
        ("Linux strongSwan U5.9.8/K6.1.0\n", Program("strongSwan", "5.9.8")),
    ],
)
def test_versions(text: str, program: Program) -> None:
    assert parse_version(text) == program


SCRIPT = """#!/bin/sh
export IPSEC_VERSION="4.10"
case "${1}" in
    \t--version)
\t    echo "Libreswan ${IPSEC_VERSION}"
\t    exit 0
\t    ;;
esac
"""


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (SCRIPT, Program("Libreswan", "4.10")),
        (SCRIPT.replace("exit 0", "exit 2"), None),
        (SCRIPT.replace("Libreswan", "strongSwan"), None),
        (SCRIPT.replace("4.10", "$(version)"), None),
        (SCRIPT.replace("export", "#"), None),
        ("", None),
    ],
)
def test_the_version_that_a_script_would_print(text: str, program: Program | None) -> None:
    """What is not sure is None: then the script is run."""
    assert parse_script(text) == program


@pytest.mark.parametrize(
    ("version", "begun", "awaited"), [("4.3", "bk", "tb"), ("4.10", "kt", "bk"), ("5.2", "tb", "kt")]
)
def test_auto_of_every_version(version: str, begun: str, awaited: str) -> None:
    found = parse_auto(recorded(version, "readwriteconf"))
    for name, auto in (("ondemand", "ondemand"), ("ignored", "ignore"), ("keep", "keep"), ("noanswer", "start")):
        assert found[f"{name}-{begun}"] == auto
    assert found[f"nochild-{awaited}"] == "add"


def test_auto_in_old_words_and_none() -> None:
    text = (
        "conn %default\n\tauto=add\nconn a\n\tauto=\tauthby=secret\n\tauto=up\nconn b\n\tauto=route\nconn c\n\tleft=x\n"
    )
    assert parse_auto(text) == {"a": "start", "b": "ondemand", "c": "ignore"}


@pytest.mark.parametrize(("version", "gateway"), [("4.3", "b"), ("4.10", "k"), ("5.2", "t")])
def test_certificates_of_every_version(version: str, gateway: str) -> None:
    good, old = 1798042653, 1794586653
    assert parse_certificates(recorded(version, "listcerts")) == {
        f"{gateway}-good": good,
        f"{gateway}-old": old,
        f"{gateway}-alien": good,
    }


@pytest.mark.parametrize(
    ("date", "epoch"),
    [
        ("Thu Jan 01 00:00:00 1970", 0),
        ("Thu Feb 29 23:59:59 2024", 1709251199),
        ("Mon Mar  1 00:00:00 2100", 4107542400),
    ],
)
def test_dates(date: str, epoch: int) -> None:
    assert parse_certificates(f'End certificate "x" - SN: 0x1\n  not after: {date}\n') == {"x": epoch}


def test_lines_of_a_connection_that_say_less_than_usual() -> None:
    """As another version might print them: what is not there is not known, and nothing fails."""
    first = '000 "one": 192.0.2.1<192.0.2.1>...192.0.2.2<192.0.2.2>; unrouted; eroute owner: #0\n'
    for line in (
        "policy: ;",
        "ike_life: soon; ipsec_life: later;",
        "conn_prio: 32,32; reqid: none;",
        "IKE algorithms: AES",
        "IKE algorithm newest: none",
        "reqid: none;",
        "policy: ENCRYPT+TUNNEL;",
    ):
        answer = parse_status(f'{first}000 "one":   {line}\n', "")
        assert [loaded.name for loaded in answer.loaded] == ["one"]
    bare = parse_status('000 "one": 192.0.2.1; unrouted; eroute owner: #0\n', "")
    assert [(loaded.name, loaded.local.address) for loaded in bare.loaded] == [("one", None)]
    (passing,) = parse_status(f'{first}000 "one":   policy: IKEv2+PASS+NEVER_NEGOTIATE;\n', "").loaded
    assert passing.shunt
    half = '000 #2: "one" esp.abc@192.0.2.2 ref=0\n'
    assert [(sa.spi_out, sa.spi_in) for sa in parse_status(first + half, "").child_sas] == [(0xABC, None)]
    assert parse_status('000 "one\n000 interface \n', "").unknown_lines == 2
    empty = parse_status('000 "one": ...; unrouted; eroute owner: #0\n', "")
    assert [loaded.name for loaded in empty.loaded] == ["one"]


def test_a_line_of_spis_without_any_is_unknown() -> None:
    answer = parse_status('000 #4: "one" esp.\n', "")
    assert (answer.unknown_lines, answer.child_sas, answer.negotiating) == (1, (), ())
