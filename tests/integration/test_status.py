# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_status on gateways of every suite with tunnels: its facts are those of `ip` and of pluto at the same moment."""

from __future__ import annotations

import collections
import collections.abc as c
import concurrent.futures
import re
import secrets
import typing as t
from pathlib import Path

import pytest
from integration.test_accidents import assert_tunnels_carry, configuration

from chaos.leaks import spellings
from lab import Lab
from lab.ansible import ad_hoc, playbook
from lab.lab import Gateway

pytestmark = pytest.mark.lab
HERE = Path(__file__).parent

KEY = b"in-plain-sight!!"
"""16 bytes that are text, so that they would be seen wherever they came raw into an output."""
SA = "src 203.0.113.1 dst 203.0.113.9 proto esp spi 0x1234 reqid 77 mode tunnel"
SECOND = SA.replace("0x1234", "0x1235")
TRAP = """
conn trap
    left={own}
    right=203.0.113.9
    rightsubnet=198.51.100.0/24
    authby=secret
    ikev2=insist
    auto=ondemand
"""
ADD = f"""
ip xfrm state add {SA} enc 'cbc(aes)' 0x{KEY.hex()} auth-trunc 'hmac(sha256)' 0x{(KEY * 2).hex()} 128
ip xfrm state add {SECOND} aead 'rfc4106(gcm(aes))' 0x{KEY.hex()}00000000 128
"""


def each(lab: Lab, action: c.Callable[[Gateway], t.Any]) -> dict[str, t.Any]:
    """Do the same on all gateways at once."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(action, lab.gateways.values()), strict=True))


@pytest.fixture(scope="module")
def tunnels(lab: c.Callable[[Path, str], Lab]) -> c.Iterator[Lab]:
    """A gateway of each suite, with tunnels between their LANs that have carried something."""
    made = lab(HERE / "labs" / "suites.yml", "suites")
    secret = f': PSK "{secrets.token_hex(20)}"\n'
    for gateway in made.gateways.values():
        gateway.run("cat >/etc/ipsec.conf", stdin=configuration(made, gateway))
        gateway.run("umask 077; cat >/etc/ipsec.secrets", stdin=secret)
    results = ad_hoc(made, "xswan.ipsec.ipsec_setup", "state=restarted wait=loaded")
    assert [result["msg"] for result in results.values() if result["failed"]] == []
    assert_tunnels_carry(made)
    yield made
    ad_hoc(made, "xswan.ipsec.ipsec_setup", "state=stopped")
    each(made, lambda gateway: gateway.run("rm /etc/ipsec.secrets"))


def look(lab: Lab, args: str = "", *options: str) -> dict[str, dict[str, t.Any]]:
    """The facts of every gateway."""
    results = ad_hoc(lab, "xswan.ipsec.ipsec_status", args, *options)
    assert [result["msg"] for result in results.values() if result["failed"]] == []
    return {name: result["ipsec"] for name, result in results.items()}


class Listed(t.NamedTuple):
    """What `ip -s xfrm state` says of an SA."""

    source: str
    destination: str
    spi: int
    reqid: int
    bytes: int
    packets: int


def listed(gateway: Gateway) -> list[Listed]:
    """Every SA of a gateway."""
    found = re.findall(
        r"^src (\S+) dst (\S+)\n\s+proto esp spi 0x([0-9a-f]+)\(\d+\) reqid (\d+)\(.*?"
        r"lifetime current:\n\s+(\d+)\(bytes\), (\d+)\(packets\)",
        gateway.run("ip -s xfrm state list nokeys").stdout,
        re.MULTILINE | re.DOTALL,
    )
    return [Listed(src, dst, int(spi, 16), int(reqid), int(size), int(packets))
            for src, dst, spi, reqid, size, packets in found]  # fmt: skip


def test_facts_are_those_of_ip_and_of_pluto(tunnels: Lab) -> None:
    """Nothing is sent meanwhile, so the moment is the same."""
    facts = look(tunnels, "gather_subset=all list_limit=1000")
    for name, gateway in tunnels.gateways.items():
        found = facts[name]
        assert (found["state"], found["findings"], found["tunnels_up"]) == ("running", [], 2)
        kernel, sas = found["kernel"], listed(gateway)
        assert (kernel["sas"], kernel["larval"], kernel["foreign_sas"], kernel["foreign_policies"]) == (4, 0, 0, 0)
        assert len(sas) == 4
        totals: dict[int, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
        for sa in sas:
            for place, value in enumerate((1, sa.bytes, sa.packets)):
                totals[sa.reqid][place] += value
        assert {
            entry["reqid"]: [entry["sas"], entry["bytes"], entry["packets"]] for entry in kernel["totals"]
        } == totals
        assert sum(entry["bytes"] for entry in kernel["totals"]) > 0
        assert {
            (sa["source"], sa["destination"], int(sa["spi"], 16), sa["reqid"], sa["bytes"], sa["packets"])
            for sa in kernel["sa_list"]
        } == set(sas)
        assert all(sa["own"] and not sa["larval"] and sa["algorithms"] for sa in kernel["sa_list"])
        policies = gateway.run("ip xfrm policy list nosock | grep -c ^src").stdout
        assert len(kernel["policy_list"]) == int(policies)
        said = gateway.run("ipsec whack --trafficstatus").stdout
        traffic = re.findall(r'"([^"]+)".*inBytes=(\d+), outBytes=(\d+)', said)
        assert sorted(connection for connection, _in, _out in traffic) == sorted(found["connections"])
        for connection, size_in, size_out in traffic:
            (child,) = found["connections"][connection]["child_sas"]
            assert child["added"] <= found["connections"][connection]["last_traffic"] <= found["at"]
            assert (child["bytes_in"], child["bytes_out"]) == (int(size_in), int(size_out))
            assert {int(child["spi_in"], 16), int(child["spi_out"], 16)} <= {sa.spi for sa in sas}
            assert found["connections"][connection]["well"] is True
        assert (found["bytes_in"] > 0, found["bytes_out"] > 0) == (True, True)
        host = found["host"]
        assert host["ip_forward"]["ipv4"] is True
        assert {port["name"] for port in host["ike_ports"]} == {"pluto"}
        assert {port["port"] for port in host["ike_ports"]} == {500, 4500}
        assert host["rp_filter"]["eth0"] == int(gateway.run("sysctl -n net.ipv4.conf.eth0.rp_filter").stdout)
        assert host["firewall"] == {"tool": "nftables", "refuses": []}
        # the module ip_vti, which Libreswan 4 loads, brings one
        assert {interface["name"] for interface in kernel["interfaces"]} <= {"ip_vti0", "ip6_vti0"}


def test_subsets_and_filters(tunnels: Lab) -> None:
    least = look(tunnels, "gather_subset=!all")
    for facts in least.values():
        assert facts["gathered"] == ["min"]
        assert facts["tunnels_up"] == 2
        assert not {"kernel", "connections", "host", "interfaces"} & set(facts)
    peers = {name: gateway.spec.wan.ip for name, gateway in tunnels.gateways.items()}
    some = look(tunnels, f"gather_subset=kernel list_limit=1000 list_address={peers['trixie']}")
    ends = {name: {sa["destination"] for sa in facts["kernel"]["sa_list"]} for name, facts in some.items()}
    assert {name: len(facts["kernel"]["sa_list"]) for name, facts in some.items()} == {
        name: 4 if name == "trixie" else 2 for name in tunnels.gateways
    }
    assert ends["bookworm"] == {str(peers["bookworm"]), str(peers["trixie"])}
    one = look(tunnels, "gather_subset=kernel list_limit=1")
    assert {len(facts["kernel"]["sa_list"]) for facts in one.values()} == {1}
    none = look(tunnels, "gather_subset=connections connections=nosuch*")
    assert [facts["connections"] for facts in none.values()] == [{}] * 3
    for result in ad_hoc(tunnels, "xswan.ipsec.ipsec_status", "gather_subset=nosuch").values():
        assert result["failed"] is True
        assert "no subset nosuch; write any of all, min, daemon, connections, kernel, links" in result["msg"]


def test_a_key_is_never_shown(tunnels: Lab) -> None:
    """SAs with a known key, all subsets and lists, as loudly as Ansible can be."""
    each(tunnels, lambda gateway: gateway.run(ADD))
    try:
        run = playbook(tunnels, HERE / "files" / "status.yml", "-vvvv", "--diff")
    finally:
        each(tunnels, lambda gateway: gateway.run(f"ip xfrm state delete {SA.partition(' reqid')[0]}; "
                                                  f"ip xfrm state delete {SECOND.partition(' reqid')[0]}"))  # fmt: skip
    assert run.status == 0, run.text
    # they were read
    assert run.text.count('"0x00001234"') >= 3 * 3
    assert "cbc(aes)" in run.text
    assert [text for text in spellings(KEY) if text in run.text] == []


def test_a_trap_brings_no_finding(tunnels: Lab) -> None:
    """Its policies have no SA, and need none until the first packet."""

    def add(gateway: Gateway) -> None:
        gateway.run("cat >/tmp/trap.conf", stdin=TRAP.format(own=gateway.spec.wan.ip))
        gateway.run("ipsec addconn --config /tmp/trap.conf trap; ipsec whack --name trap --route")

    try:
        each(tunnels, add)
        found = look(tunnels, "gather_subset=connections,kernel list_limit=1000")
    finally:
        each(tunnels, lambda gateway: gateway.run("ipsec whack --name trap --delete; rm /tmp/trap.conf"))
    for facts in found.values():
        assert (facts["state"], facts["findings"]) == ("running", [])
        trap = facts["connections"]["trap"]
        assert (trap["state"], trap["routed"], trap["established"], trap["well"]) == ("ondemand", True, False, True)
        policies = [policy for policy in facts["kernel"]["policy_list"] if policy["destination"] == "198.51.100.0/24"]
        assert [policy["direction"] for policy in policies] == ["out"]
        assert policies[0]["templates"]


def test_an_sa_of_a_pluto_that_this_one_does_not_know_is_named(tunnels: Lab) -> None:
    """One with a reqid of pluto's range, as a pluto leaves it that was killed."""
    orphan = SA.replace("0x1234", "0x2001").replace("reqid 77", "reqid 17389")
    each(tunnels, lambda gateway: gateway.run(f"ip xfrm state add {orphan} aead 'rfc4106(gcm(aes))' 0x{'5a' * 20} 128"))
    try:
        found = look(tunnels)
    finally:
        each(tunnels, lambda gateway: gateway.run(f"ip xfrm state delete {orphan.partition(' reqid')[0]}"))
    for facts in found.values():
        (finding,) = facts["findings"]
        assert (finding["id"], finding["severity"]) == ("kernel-sa-without-child-sa", "warning")
        assert "0x00002001 to 203.0.113.9" in finding["message"]
    assert [facts["findings"] for facts in look(tunnels).values()] == [[]] * 3


def test_a_kernel_sa_that_was_deleted_is_missed(tunnels: Lab) -> None:
    def delete(gateway: Gateway) -> None:
        own = str(gateway.spec.wan.ip)
        sa = next(sa for sa in listed(gateway) if sa.destination == own)
        gateway.run(f"ip xfrm state delete src {sa.source} dst {sa.destination} proto esp spi {sa.spi}")

    each(tunnels, delete)
    for facts in look(tunnels).values():
        assert facts["state"] == "running"
        assert [finding["id"] for finding in facts["findings"]] == ["child-sa-without-kernel-sa"]
        unwell = {name: entry for name, entry in facts["connections"].items() if not entry["well"]}
        assert [entry["reason"]["id"] for entry in unwell.values()] == ["kernel-sa-missing"]
        assert next(iter(unwell)) in facts["findings"][0]["message"]


def test_policies_whose_sas_are_gone_are_named(tunnels: Lab) -> None:
    """Both SAs of a tunnel, deleted from under its policies. The last test here: the tunnel is of no more use."""

    def delete(gateway: Gateway) -> int:
        sas = listed(gateway)
        reqid = sas[0].reqid
        for sa in sas:
            if sa.reqid == reqid:
                gateway.run(f"ip xfrm state delete src {sa.source} dst {sa.destination} proto esp spi {sa.spi}")
        return reqid

    reqids = each(tunnels, delete)
    for name, facts in look(tunnels).items():
        messages = {finding["id"]: finding["message"] for finding in facts["findings"]}
        assert sorted(messages) == ["child-sa-without-kernel-sa", "policy-without-sa"]
        assert f"reqid {reqids[name]}:" in messages["policy-without-sa"]
