# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook xswan.ipsec.status on real gateways: table, page and metrics say what the gateways themselves say.

The first part of the page is kept as tests/output/fleet.png; `make picture` publishes it.
"""

from __future__ import annotations

import collections.abc as c
import re
import secrets
import typing as t
from pathlib import Path

import pytest
import yaml
from integration.test_status import listed
from integration.test_status_page import PAIRS
from integration.test_status_playbook import shown
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.xswan.ipsec.plugins.plugin_utils._fleet import size
from browser import Browser, browser
from lab import Lab
from lab.ansible import Run, ad_hoc, playbook
from lab.lab import Gateway
from lab.spec import GatewaySpec
from lab.tools import wait_until

pytestmark = pytest.mark.lab

HERE = Path(__file__).parent
PICTURE = HERE.parent / "output/fleet.png"

NAMES = {"gw1": "bookworm", "gw2": "trixie"}
NOBODY = "192.0.2.9"
"""Where gw3 would be."""
TUNNELS = {"gw1": 3, "gw2": 2}


def configuration(name: str, one: GatewaySpec, other: GatewaySpec) -> str:
    """ipsec.conf of gw1 or gw2: one tunnel is up, one has a peer that is not there, and gw2 rejects one."""
    text = f"""
config setup

conn gw1-gw2
    left={one.wan.ip}
    leftsubnet={one.lan}
    right={other.wan.ip}
    rightsubnet={other.lan}
    authby=secret
    auto={"start" if name == "gw1" else "add"}

conn gw1-gw2-backup
    left={one.wan.ip}
    right={other.wan.ip}
    authby=secret
    auto=add
"""
    if name == "gw2":
        return text + "    esp=nosuchalgorithm\n"
    return f"""{text}
conn gw1-gw3
    left={one.wan.ip}
    right={NOBODY}
    authby=secret
    retransmit-timeout=3s
    auto=start
"""


@pytest.fixture(scope="module")
def gateways(lab: c.Callable[[Path, str], Lab]) -> c.Iterator[tuple[Lab, dict[str, Gateway]]]:
    """The lab, and by their names in this fleet two of its gateways, with traffic in the tunnel between them."""
    made = lab(HERE / "labs" / "suites.yml", "suites")
    found = {name: made.gateways[suite] for name, suite in NAMES.items()}
    specs = [gateway.spec for gateway in found.values()]
    secret = f': PSK "{secrets.token_hex(20)}"\n'
    for name, gateway in found.items():
        gateway.run("cat >/etc/ipsec.conf", stdin=configuration(name, *specs))
        gateway.run("umask 077; cat >/etc/ipsec.secrets", stdin=secret)
    hosts = ":".join(NAMES.values())
    try:
        # a connection is rejected, so not all of them can be waited for
        results = ad_hoc(made, "xswan.ipsec.ipsec_setup", "state=restarted wait=listening", hosts=hosts)
        assert [result["msg"] for result in results.values() if result["failed"]] == []
        one, other = (gateway.lan_host for gateway in found.values())
        ping = ["ping", "-n", "-q", "-i", "0.01", "-s", "1000", "-W", "1", other.address]
        wait_until(lambda: one.run([*ping, "-c", "1"], check=False).returncode == 0, 60, "a ping through the tunnel")
        one.run([*ping, "-c", "200"])
        wait_until(lambda: "no-answer" in reasons(made), 90, "pluto's word that gw3 does not answer", every=2)
        yield made, found
    finally:
        stopped = ad_hoc(made, "xswan.ipsec.ipsec_setup", "state=stopped", hosts=hosts)
        for gateway in found.values():
            gateway.run("rm -f /etc/ipsec.secrets")
    assert [result for result in stopped.values() if result["failed"] or result["ipsec"]["findings"]] == []


def reasons(lab: Lab) -> list[str]:
    """Why tunnels of gw1 are not well."""
    name = NAMES["gw1"]
    result = ad_hoc(lab, "xswan.ipsec.ipsec_status", "gather_subset=connections", hosts=name)[name]
    return [entry["reason"]["id"] for entry in result["ipsec"]["connections"].values() if entry["reason"]]


class Truth(t.NamedTuple):
    """What a gateway says without the collection."""

    version: str
    loaded: set[str]
    """The connections that pluto holds."""
    traffic: dict[str, tuple[int, int]]
    """Bytes in and out, by each connection that has a Child SA."""
    sas: int
    policies: dict[str, int]
    """By direction; without those of sockets."""

    @classmethod
    def of(cls, gateway: Gateway) -> Truth:
        """Ask `ipsec` and `ip`."""
        status = gateway.run("ipsec whack --status").stdout
        traffic = gateway.run("ipsec whack --trafficstatus").stdout
        policies = re.findall(r"^\s+dir (\w+)", gateway.run("ip xfrm policy list nosock").stdout, re.MULTILINE)
        return cls(
            gateway.run("ipsec --version").stdout.split()[1],
            set(re.findall(r'"([^"]+)": +\S+\.\.\.\S+; ', status)),
            {
                name: (int(received), int(sent))
                for name, received, sent in re.findall(r'"([^"]+)".*inBytes=(\d+), outBytes=(\d+)', traffic)
            },
            len(listed(gateway)),
            {way: policies.count(way) for way in ("in", "out", "fwd")},
        )


class Seen(t.NamedTuple):
    """What the playbook made of it."""

    truth: dict[str, Truth]
    """Of the same moment: it was the same before and after."""
    run: Run
    table: list[str]
    page: Path
    metrics: dict[str, dict[tuple[str, ...], float]]
    """Values by a metric's name without its prefix, then by its labels' values, the gateway first."""


@pytest.fixture(scope="module")
def seen(gateways: tuple[Lab, dict[str, Gateway]], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the playbook once, as a person would."""
    lab, found = gateways
    folder = tmp_path_factory.mktemp("fleet")
    theirs = yaml.safe_load(lab.inventory.read_text())["gateways"]
    hosts = {name: theirs["hosts"][suite] for name, suite in NAMES.items()}
    ssh = f"-F {lab.state / 'ssh_config'} -o ControlPath={folder / 'gw3'}"
    hosts["gw3"] = {**hosts["gw1"], "ansible_host": NOBODY, "ansible_ssh_common_args": ssh}
    inventory = folder / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"fleet": {"hosts": hosts, "vars": theirs["vars"]}}))
    page = folder / "fleet.html"

    before = {name: Truth.of(gateway) for name, gateway in found.items()}
    run = playbook(
        lab,
        Path("xswan.ipsec.status"),
        *("-i", str(inventory), "-e", "ipsec_hosts=fleet"),
        *("-e", f"ipsec_report={page}", "-e", f"ipsec_metrics={folder}"),
    )
    assert {name: Truth.of(gateway) for name, gateway in found.items()} == before
    assert (folder / "xswan_ipsec.prom").exists(), run.text
    metrics = {
        family.name.removeprefix("xswan_ipsec_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families((folder / "xswan_ipsec.prom").read_text())
    }
    return Seen(before, run, shown(run.text), page, metrics)


def test_the_gateways_are_as_meant(seen: Seen) -> None:
    one, other = seen.truth.values()
    assert (one.loaded, set(one.traffic)) == ({"gw1-gw2", "gw1-gw2-backup", "gw1-gw3"}, {"gw1-gw2"})
    assert (other.loaded, set(other.traffic)) == ({"gw1-gw2"}, {"gw1-gw2"})
    assert (one.sas, other.sas) == (2, 2)
    assert one.traffic["gw1-gw2"] == other.traffic["gw1-gw2"][::-1], "nothing is lost between them"
    assert min(one.traffic["gw1-gw2"]) > 200 * 1000


def test_table(seen: Seen) -> None:
    assert seen.table[0].startswith("Gateways: 2 running, 1 unreachable. Tunnel ends: 2 up, 1 idle, 2 down. Seen ")
    rows = {line.split()[0]: line.split() for line in seen.table[3:6]}
    assert list(rows) == ["gw1", "gw2", "gw3"]
    for name, truth in seen.truth.items():
        received, sent = truth.traffic["gw1-gw2"]
        expected = f"{name} running 1 {TUNNELS[name]} {size(received)} {size(sent)}"
        assert " ".join(rows[name]).startswith(expected)
        assert rows[name][-2:] == ["Libreswan", truth.version]
    assert rows["gw3"][1] == "unreachable"
    troubles = "\n".join(seen.table[7:])
    for row in (
        r"^gw1 +tunnel gw1-gw3 +no-answer: ",
        r"^gw2 +tunnel gw1-gw2-backup +rejected: ",
        r"^gw3 +gateway +unreachable: ",
        r"^gw1, gw2 +pair +asymmetric: gw1 says up, gw2 says partial",
    ):
        assert re.search(row, troubles, re.MULTILINE), troubles
    assert len(seen.table[8:]) == 4

    recap = seen.run.recap
    assert (seen.run.status, recap["gw3"]["failed"]) == (2, 1), "a gateway that could not be looked at is an error"
    assert [recap[name]["failed"] for name in NAMES] == [0, 0]


def test_metrics(seen: Seen) -> None:
    metrics = seen.metrics
    assert metrics["look_success"] == {("gw1",): 1, ("gw2",): 1, ("gw3",): 0}
    assert set(metrics["state_info"]) == {("gw1", "running"), ("gw2", "running"), ("gw3", "unreachable")}
    assert set(metrics["connection_state_info"]) == {
        ("gw1", "gw1-gw2", "gw2", "established", ""),
        ("gw1", "gw1-gw2-backup", "gw2", "waiting", ""),
        ("gw1", "gw1-gw3", "gw3", metrics_state(metrics, "gw1", "gw1-gw3"), "no-answer"),
        ("gw2", "gw1-gw2", "gw1", "established", ""),
        ("gw2", "gw1-gw2-backup", "gw1", "rejected", "rejected"),
    }
    assert {labels for labels, well in metrics["connection_well"].items() if not well} == {
        ("gw1", "gw1-gw3"),
        ("gw2", "gw1-gw2-backup"),
    }
    for name, truth in seen.truth.items():
        received, sent = truth.traffic["gw1-gw2"]
        assert metrics["program_info"][name, f"Libreswan {truth.version}"] == 1
        assert metrics["connections_loaded"][name,] == len(truth.loaded)
        assert metrics["tunnels_up"][name,] == len(truth.traffic)
        assert (metrics["receive_bytes"][name,], metrics["transmit_bytes"][name,]) == (received, sent)
        assert metrics["connection_receive_bytes"][name, "gw1-gw2"] == received
        assert metrics["connection_transmit_bytes"][name, "gw1-gw2"] == sent
        assert metrics["kernel_sas"][name,] == truth.sas
        for way, count in truth.policies.items():
            assert metrics["kernel_policies"][name, way] == count


def metrics_state(metrics: dict[str, dict[tuple[str, ...], float]], gateway: str, tunnel: str) -> str:
    """The state of a tunnel that goes from down to connecting and back while pluto tries."""
    (state,) = (labels[3] for labels in metrics["connection_state_info"] if labels[:2] == (gateway, tunnel))
    assert state in ("down", "connecting")
    return state


@pytest.fixture
def chromium(tmp_path: Path) -> c.Iterator[Browser]:
    with browser(tmp_path / "profile") as started:
        yield started


def test_page(seen: Seen, chromium: Browser) -> None:
    chromium.window(1180, 900)
    chromium.scheme("light")
    chromium.open(seen.page)
    assert chromium.evaluate(PAIRS) == {
        "gw1 gw2": ["up", "partial", True],
        "gw2 gw1": ["partial", "up", True],
        "gw1 gw3": ["down", "unknown", False],
        "gw3 gw1": ["unknown", "down", False],
    }
    cells = "[...document.querySelectorAll('#{0} tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    tunnels = {(row[1], row[2]): row for row in chromium.evaluate(cells.format("tunnels"))}
    assert len(tunnels) == 5
    for name, truth in seen.truth.items():
        expected = ["established", name, "gw1-gw2", *(set(NAMES) - {name}), *map(size, truth.traffic["gw1-gw2"])]
        assert tunnels[name, "gw1-gw2"][:6] == expected
    assert tunnels["gw2", "gw1-gw2-backup"][0] == "rejected"
    assert [row[:2] for row in chromium.evaluate(cells.format("gateways"))] == [
        ["unreachable", "gw3"],
        ["running", "gw1"],
        ["running", "gw2"],
    ]
    whys = {(row[1], row[2]): row[3] for row in chromium.evaluate(cells.format("attention"))}
    assert list(whys) == [
        ("gw1", "tunnel gw1-gw3"),
        ("gw2", "tunnel gw1-gw2-backup"),
        ("gw3", "gateway"),
        ("gw1, gw2", "pair"),
    ]
    # with pluto's own words
    assert re.search(r'^no-answer: .*\n"gw1-gw3"', whys["gw1", "tunnel gw1-gw3"])
    assert re.search(r'^rejected: .*\n"gw1-gw2-backup": .*nosuchalgorithm', whys["gw2", "tunnel gw1-gw2-backup"])
    take(chromium, PICTURE)
    assert chromium.complaints == []
    assert {request for request in chromium.requests if not request.startswith("data:")} == {seen.page.as_uri()}


def take(chromium: Browser, file: Path) -> None:
    """A picture of the first part of the page, as it prints: small, and without what only works in a browser."""
    chromium.scheme("light", media="print")
    chromium.call("Emulation.setScrollbarsHidden", hidden=True)
    chromium.evaluate("document.body.style.margin = '16px'")  # a printer would leave one too
    chromium.window(932, 100)
    bottom = chromium.evaluate("Math.ceil(document.getElementById('matrix').getBoundingClientRect().bottom)")
    chromium.window(932, bottom + 16)
    chromium.screenshot(file)
    assert file.stat().st_size < 150_000, "too large for a document"
