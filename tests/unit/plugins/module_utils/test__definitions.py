# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two plutos that read the same configuration say the same, and others do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._definitions import (
    alike,
    definitions,
    nicknames,
    setup,
    sharers,
    stranded,
    up,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Answer, ChildSa, IkeSa, Loaded

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = ("4.3", "4.10", "5.2")

# The same connection of Libreswan 4.10 as it was loaded, and with a tunnel; and of 5.2.
IDLE = {
    "4.10": """
000 "t1": 10.1.1.0/24===192.0.2.1[@gw1]...192.0.2.2[@gw2]===10.2.1.0/24; unrouted; eroute owner: #0
000 "t1":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
000 "t1":   policy: IKEv2+PSK+ENCRYPT+TUNNEL+PFS+IKE_FRAG_ALLOW+ESN_NO+ESN_YES;
000 "t1":   conn_prio: 24,24; interface: eth0; metric: 0; mtu: unset; sa_prio:auto; sa_tfc:none;
000 "t1":   newest IKE SA: #0; newest IPsec SA: #0; conn serial: $1;
""",
    "5.2": """
"t1": 10.1.1.0/24===192.0.2.1[@gw1]...192.0.2.2[@gw2]===10.2.1.0/24; unrouted; my_ip=unset; their_ip=unset;
"t1":   host: oriented; local: 192.0.2.1; remote: 192.0.2.2;
"t1":   my_updown=ipsec _updown;
"t1":   policy: IKEv2+PSK+ENCRYPT+TUNNEL+PFS+IKE_FRAG_ALLOW+ESN_NO+ESN_YES;
"t1":   conn_prio: 24,24,0; interface: dummy0; metric: 0; mtu: unset; sa_prio:auto; sa_tfc:none;
"t1":   routing: unrouted;
"t1":   conn serial: $1;
""",
}
UP = {
    "4.10": """
000 "t1": 10.1.1.0/24===192.0.2.1[@gw1]...192.0.2.2[@gw2]===10.2.1.0/24; erouted; eroute owner: #4
000 "t1":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
000 "t1":   policy: IKEv2+PSK+ENCRYPT+TUNNEL+PFS+UP+IKE_FRAG_ALLOW+ESN_NO+ESN_YES;
000 "t1":   conn_prio: 24,24; interface: eth0; metric: 0; mtu: unset; sa_prio:auto; sa_tfc:none;
000 "t1":   newest IKE SA: #3; newest IPsec SA: #4; conn serial: $9;
000 "t1":   IKEv2 algorithm newest: AES_GCM_16_256-HMAC_SHA2_512-DH19
000 "t1":   ESP algorithm newest: AES_GCM_16_256-NONE; pfsgroup=<Phase1>
000 "t1"[1] 192.0.2.9: 192.0.2.1...192.0.2.9; erouted; eroute owner: #5
000 #4: "t1":500 STATE_V2_ESTABLISHED_CHILD_SA (established Child SA); REKEY in 27369s; newest; IKE SA #3; idle;
""",
    "5.2": """
"t1": 10.1.1.0/24===192.0.2.1[@gw1]...192.0.2.2[@gw2]===10.2.1.0/24; routed-tunnel; my_ip=unset; their_ip=unset;
"t1":   host: oriented; local: 192.0.2.1; remote: 192.0.2.2; negotiating IKE SA: #9; established IKE SA: #3;
"t1":   my_updown=ipsec _updown;
"t1":   policy: IKEv2+PSK+ENCRYPT+TUNNEL+PFS+ROUTE+UP+IKE_FRAG_ALLOW+ESN_NO+ESN_YES;
"t1":   conn_prio: 24,24,0; interface: eth0; metric: 0; mtu: unset; sa_prio:auto; sa_tfc:none;
"t1":   routing: routed-tunnel; owner: Child SA #4; negotiating Child SA: #8; established Child SA: #4; routing SA: #4;
"t1":   session resume ticket: length: 80 bytes; expires-in: 3500s;
"t1":   debug: base + private;
"t1":   conn serial: $1;
"t1":   IKEv2 algorithm newest: AES_GCM_16_256-HMAC_SHA2_512-DH19
"t1":   ESP algorithm newest: AES_GCM_16_256-NONE; pfsgroup=<Phase1>
""",
}


@pytest.mark.parametrize("version", IDLE)
def test_what_has_come_of_a_connection_does_not_define_it(version: str) -> None:
    assert definitions(UP[version]) == definitions(IDLE[version])
    assert len(definitions(IDLE[version])["t1"]) > 5


CHANGES = {
    "subnet": ("10.2.1.0/24", "10.2.1.0/25"),
    "identity": ("@gw2", "@gw3"),
    "policy": ("+PFS", ""),
    "mtu": ("mtu: unset", "mtu: 1400"),
    "script": ("_updown;", "_updown.mine;"),
    "source": ("my_ip=unset", "my_ip=10.1.1.1"),
    "route": ("interface: ", "interface: ipsec1@"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("version", IDLE)
def test_what_the_configuration_says_does(version: str, change: tuple[str, str]) -> None:
    assert definitions(IDLE[version].replace(*change)) != definitions(IDLE[version])


def test_expansions_define_their_parent_together() -> None:
    """One subnet more, or two that change places, is another definition."""
    line = '"m/{}x0": 10.1.{}.0/24===192.0.2.1...192.0.2.2; unrouted;\n"m/{}x0":   mtu: unset; aliases: m'
    one, two = line.format(1, 50, 1), line.format(2, 51, 2)
    assert list(definitions(f"{one}\n{two}")) == ["m"]
    assert definitions(f"{one}\n{two}") != definitions(one)
    assert definitions(f"{one}\n{two}") != definitions(f"{line.format(1, 51, 1)}\n{line.format(2, 50, 2)}")


def test_a_host_by_name_is_the_same_before_and_after_it_is_resolved() -> None:
    before = '"d": 192.0.2.1...%dns<gw.example.org>; unrouted;\n"d":   their idtype: %none; their id=(none)'
    after = '"d": 192.0.2.1...192.0.2.9<gw.example.org>; routed;\n"d":   their idtype: ID_IPV4_ADDR; their id=192.0.2.9'
    assert definitions(before) == definitions(after)
    assert definitions(before) != definitions(before.replace("gw.", "gx."))


def test_the_device_below_an_interface_does_not_define_it() -> None:
    one, other = (f'"t1":   conn_prio: 24,24; interface: ipsec1@{name}; metric: 0;' for name in ("eth0", "eth1"))
    assert definitions(one) == definitions(other) != definitions(one.replace("ipsec1", "ipsec2"))


# What a client is given by its peer, in the words of 4.10.
CLIENT = """
000 "c": {subnet}192.0.2.1[@c]...192.0.2.2[@s]==={theirs}; erouted; eroute owner: #4
000 "c":     oriented; my_ip={address}; their_ip=unset; my_updown=ipsec _updown;
000 "c":   modecfg info: us:client, them:none, modecfg policy:pull, dns:unset, domains:unset, cat:unset;
"""


def test_the_address_that_a_client_was_given_does_not_define_it() -> None:
    before = CLIENT.format(subnet="", theirs="0.0.0.0/0", address="unset")
    after = CLIENT.format(subnet="10.9.9.1/32===", theirs="0.0.0.0/0", address="10.9.9.1")
    assert definitions(before) == definitions(after)
    assert definitions(before) != definitions(after.replace("0.0.0.0/0", "10.0.0.0/8"))
    fixed = (text.replace("us:client", "us:none") for text in (before, after))
    assert definitions(next(fixed)) != definitions(next(fixed)), "of others it does"


# A peer that is known by its certificate, as it was loaded and since it has been here.
PEER = """
000 "p": 10.1.1.0/24===192.0.2.1[@gw1]...192.0.2.2[{id}]===10.2.1.0/24; unrouted; eroute owner: #0
000 "p":   our idtype: ID_FQDN; our id=@gw1; their idtype: {kind}; their id={id}
"""


def test_a_peer_by_its_certificate_is_the_same_before_and_after_it_has_shown_it() -> None:
    open_, named = (
        definitions(PEER.format(id=name, kind=kind))["p"]
        for name, kind in (("%fromcert", "%fromcert"), ("C=DE, CN=gw2", "ID_DER_ASN1_DN"))
    )
    assert alike(named, open_)
    assert not alike(open_, named), "when the configuration has come to name it"
    assert not alike(definitions(PEER.format(id="C=DE, CN=gw2", kind="x").replace("@gw1", "@gw3"))["p"], open_)
    assert not alike(named, definitions(PEER.format(id="%fromcert", kind="%fromcert").replace("/24;", "/25;"))["p"])


def test_members_of_a_policy_group_define_nothing() -> None:
    """A throw-away pluto has none yet."""
    group = '"private": 192.0.2.1...%group; unrouted;\n"private":   mtu: unset;'
    member = '"private#10.9.0.0/16": 192.0.2.1...%opportunistic===10.9.0.0/16; unrouted;'
    assert definitions(f"{group}\n{member}") == definitions(group) != {}


def test_seconds_of_config_setup_define_no_connection() -> None:
    """They are told with each, and none is to be replaced for them."""
    line = '"k":   nat-traversal: encapsulation:auto; keepalive:{}'
    assert definitions(line.format("20s")) == definitions(line.format("40s"))
    assert definitions(line.format("20s")) != definitions(line.format("no"))


@pytest.mark.parametrize("version", VERSIONS)
def test_settings(version: str) -> None:
    status = (FIXTURES / f"whack-{version}-status.txt").read_text()
    told = setup(status)
    expected = {"nhelpers": "-1", "uniqueids": "yes", "listen": "<any>", "nssdir": "/var/lib/ipsec/nss"}
    assert expected.items() <= told.items()
    assert "pluto_version" not in told
    assert list(definitions(status)) == ["gw1-gw2"]


@pytest.mark.parametrize("version", VERSIONS)
def test_settings_in_lines_of_their_own(version: str) -> None:
    """As pluto's server.c and virtual_ip.c of each version print them; nobody has recorded some that are set."""
    status = (FIXTURES / f"whack-{version}-status.txt").read_text()
    code = "" if version == "5.2" else "000 "
    assert setup(status)["plutodebug"] == ""
    assert "virtual-private" not in setup(status)
    debug = status.replace(f"{code}debug:", f"{code}debug: base+cpu-usage impair: revival")
    assert setup(debug) == {**setup(status), "plutodebug": "base+cpu-usage"}
    lines = (f"{code}- allowed subnets: 10.0.0.0/8, 192.168.0.0/16", f"{code}- excluded subnet: 10.1.0.0/24")
    one, two = (
        setup(status.replace(f"{code}virtual-private (%priv):", "\n".join((f"{code}virtual-private (%priv):", *more))))
        for more in (lines[:1], lines)
    )
    assert one["virtual-private"] == "- allowed subnets: 10.0.0.0/8, 192.168.0.0/16"
    assert two["virtual-private"] == one["virtual-private"] + "- excluded subnet: 10.1.0.0/24"
    assert {**one, "virtual-private": ""} == {**setup(status), "virtual-private": ""}


def test_who_shares_an_ike_sa_who_lost_it_and_who_is_up() -> None:
    """`a` owns #1, which carries `b` too; #7 of `c` is gone, and `d` of IKEv1 does without; `e` is on its way."""
    children = tuple(
        ChildSa(name, serial, ike=ike) for name, serial, ike in (("a", 2, 1), ("b/1x1", 3, 1), ("c", 4, 7), ("d", 5, 8))
    )
    answer = Answer(
        child_sas=children,
        ike_sas=(IkeSa("a", 1, established=True), IkeSa("e", 9, established=False)),
        loaded=(Loaded("a", version=2), Loaded("b/1x1", version=2), Loaded("c", version=2), Loaded("d", version=1)),
    )
    assert sharers(answer) == {"a": ("b",)}
    assert stranded(answer) == ("c",)
    assert up(answer) == {"a", "b", "c", "d", "e"}


def test_nicknames_of_certificates() -> None:
    known = nicknames((FIXTURES / "mesh-4.10-status.txt").read_text())
    assert known["x509-kt"] == {"k-good"}
    assert all(name.startswith("x509") for name in known)
    assert nicknames((FIXTURES / "mesh-5.2-status.txt").read_text())["x509-tb"] == {"t-good"}
    both = (
        '000 "net":     oriented; my_ip=unset; their_ip=unset; mycert=west end; peercert=east; my_updown=ipsec _updown;'
    )
    assert nicknames(both) == {"net": {"west end", "east"}}
