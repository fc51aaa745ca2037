# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on gateways of every suite; what they say is compared with processes, sockets, systemd and kernel."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import io
import json
import re
import tarfile
import typing as t
from base64 import b64encode
from pathlib import Path

import pytest
from plutos import PLUTOS

from contract.contract import CHECKS
from lab import Lab
from lab.ansible import ad_hoc
from lab.lab import Gateway

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {"bullseye": "4.3", "bookworm": "4.10", "trixie": "5.2"}

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def suites(lab: c.Callable[[Path, str], Lab]) -> Lab:
    """A gateway of each suite, as Debian installs Libreswan, with a plain configuration."""
    made = lab(Path(__file__).with_name("labs") / "suites.yml", "suites")
    for gateway in made.gateways.values():
        gateway.run(["sh", "-c", "printf 'config setup\\n\\nconn one\\n    left=%%defaultroute\\n    "
                     "right=192.0.2.9\\n    authby=secret\\n    auto=add\\n' > /etc/ipsec.conf"])  # fmt: skip
        # a unit remembers what the last pluto of another module's tests died of
        gateway.run("systemctl stop ipsec; ! systemctl is-failed -q ipsec || systemctl reset-failed ipsec")
    return made


VERSIONS_OF = r"""
. /etc/os-release; echo "$VERSION_ID"
ipsec --version | grep -o '[0-9][0-9.]*[0-9]' | head -n 1
python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'
"""


def test_the_readme_names_the_versions_of_these_gateways(suites: Lab) -> None:
    """The first row of its table, which thus says what the tests ran on, and nothing else."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| gateways, in the lab \|([^|]*)\|", text, re.MULTILINE)
    named = re.findall(r"Debian (\d+) \((?:Libreswan )?([\d.]+), (?:Python )?([\d.]+)\)", row)
    found = [tuple(gateway.run(VERSIONS_OF).stdout.split()) for gateway in suites.gateways.values()]
    assert sorted(named) == sorted(found)


class Truth(t.NamedTuple):
    """What a gateway is seen to do without the collection's help."""

    pids: list[int]
    unit: str
    enabled: str
    ike_port: bool
    socket: bool

    @classmethod
    def of(cls, gateway: Gateway) -> Truth:
        """Look."""
        said = gateway.run(
            f"{PLUTOS}plutos; systemctl is-active ipsec; systemctl is-enabled ipsec; "
            "ss -Hlun 'sport = :500' | wc -l; test -S /run/pluto/pluto.ctl && echo socket",
            check=False,
        ).stdout.splitlines()
        pids, unit, enabled, ports, *socket = said
        return cls([int(pid) for pid in pids.split()], unit, enabled, int(ports) > 0, socket == ["socket"])


def truths(lab: Lab) -> dict[str, Truth]:
    """The truth of every gateway."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(Truth.of, lab.gateways.values()), strict=True))


def setup(lab: Lab, args: str, *options: str) -> dict[str, dict[str, t.Any]]:
    """Call ipsec_setup on every gateway; none may fail."""
    results = ad_hoc(lab, "xswan.ipsec.ipsec_setup", args, *options)
    assert sorted(results) == sorted(lab.gateways)
    assert [result["msg"] for result in results.values() if result["failed"]] == []
    return results


def test_one_life(suites: Lab) -> None:
    """From stopped to running, restarted and stopped again, each step twice, and once in check mode."""
    for result in setup(suites, "state=stopped enabled=false").values():
        assert result["ipsec"]["lines"] == ["IPsec stopped"], result
    for truth in truths(suites).values():
        assert truth == ([], "inactive", "disabled", False, False)

    for result in setup(suites, "state=started enabled=true", "--check", "--diff", "-vvv").values():
        assert result["changed"] is True
        assert result["diff"] == {
            "before": {"state": "stopped", "enabled": False},
            "after": {"state": "running", "enabled": True},
        }
    for truth in truths(suites).values():
        assert truth == ([], "inactive", "disabled", False, False), "check mode changed something"

    started = setup(suites, "state=started enabled=true")
    before = truths(suites)
    for name, result in started.items():
        (pid,) = before[name].pids
        assert before[name] == ([pid], "active", "enabled", True, True)
        assert result["changed"] is True
        assert result["actions"][-2:] == ["start pluto", "enable at boot"]
        facts = result["ipsec"]
        assert facts["lines"] == ["IPsec running", f"pluto pid {pid}"]
        assert (facts["exit_status"], facts["lsb_status"], facts["findings"]) == (0, 0, [])
        assert (facts["program"], facts["version"]) == ("Libreswan", VERSIONS[name])
        assert facts["connections_loaded"] == 1
        assert {"lo", "eth0", "eth1", "eth2"} <= set(facts["interfaces"])
    for result in ad_hoc(suites, "xswan.ipsec.ipsec_status", "gather_subset=kernel").values():
        # the sockets' own policies are pluto's: the kernel knows it
        assert result["ipsec"]["kernel"]["policies_socket"] > 0

    for result in setup(suites, "state=started enabled=true").values():
        assert (result["changed"], result["actions"]) == (False, [])
    assert truths(suites) == before, "a second run touched something"

    for name, result in setup(suites, "state=restarted").items():
        assert result["actions"] == ["stop pluto", "start pluto"]
        assert result["ipsec"]["pluto_pid"] not in before[name].pids
        assert Truth.of(suites.gateways[name]).pids == [result["ipsec"]["pluto_pid"]]

    for result in setup(suites, "state=stopped").values():
        assert result["actions"] == ["stop pluto"]
        facts = result["ipsec"]
        assert (facts["lines"], facts["exit_status"], facts["lsb_status"]) == (["IPsec stopped"], 0, 3)
    for result in ad_hoc(suites, "xswan.ipsec.ipsec_status", "gather_subset=kernel").values():
        kernel = result["ipsec"]["kernel"]
        sizes = ("sas", "policies_in", "policies_out", "policies_fwd", "policies_socket")
        assert [kernel[size] for size in sizes] == [0] * 5, "the kernel's tables are empty"
    for truth in truths(suites).values():
        assert truth == ([], "inactive", "enabled", False, False)
    for result in setup(suites, "state=stopped").values():
        assert result["changed"] is False


OTHER = "config setup\n\nconn two\n left=%defaultroute\n right=192.0.2.99\n authby=secret\n auto=start\n"
"""A configuration at another place, with a peer that is not there."""
OWN_AND_FOREIGN = """
for reqid in 16389 77; do
    ip xfrm policy add src 203.0.113.16/28 dst 10.99.$((reqid % 100)).0/24 dir out \
        tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid $reqid mode tunnel
done
"""
"""Policies of which the first is one that pluto made, by its reqid."""
LEFT = "ip xfrm policy list src 203.0.113.16/28 | grep -o 'reqid [0-9]*' | sort"


def test_the_options_that_are_seldom_given(suites: Lab) -> None:
    """launcher, backend, config, wait and flush do with process, kernel and socket what their documentation says."""
    gateways = suites.gateways
    setup(suites, "state=stopped")
    for gateway in gateways.values():
        gateway.run("cat > /etc/other.conf", stdin=OTHER)
        # with backend=none nobody else does
        gateway.run("modprobe xfrm_user; ip xfrm policy flush; ip xfrm state flush")
    direct = "launcher=direct config=/etc/other.conf"
    pids = {}
    try:
        for name, result in setup(suites, f"state=started {direct} backend=none wait=none").items():
            assert result["actions"] == ["start pluto"]
            (pids[name],) = (truth := Truth.of(gateways[name])).pids
            assert (truth.unit, truth.socket) == ("inactive", True)
            words = gateways[name].run(f"tr '\\0' '\\n' </proc/{pids[name]}/cmdline").stdout.split()
            assert words[words.index("--config") + 1] == "/etc/other.conf"

        args = f"state=restarted {direct} wait=established start_timeout=30"
        failed = ad_hoc(suites, "xswan.ipsec.ipsec_setup", args)
        for name, gateway in gateways.items():
            result = failed[name]
            assert (result["failed"], result["changed"], result["actions"]) == (True, True, ["stop pluto"]), result
            assert "there was no tunnel for two after 30 s" in result["msg"]
            (pid,) = Truth.of(gateway).pids
            assert pid != pids[name], "what is started stays, though nobody answers"
            gateway.run(f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; {OWN_AND_FOREIGN}")

        for name, result in setup(suites, f"state=stopped {direct} flush=none").items():
            assert result["actions"] == ["clean up after a dead pluto"]
            assert gateways[name].run(LEFT).stdout == "reqid 16389\nreqid 77\n", "the kernel is as it was"
            assert Truth.of(gateways[name]).socket is False
        for name, result in setup(suites, f"state=stopped {direct} flush=all").items():
            assert result["actions"] == ["clean up after a dead pluto"]
            assert gateways[name].run(LEFT).stdout == "", "nothing of anybody is left"

        for name, result in setup(suites, "state=started launcher=systemd backend=xfrm wait=listening").items():
            assert result["actions"][-1] == "start pluto"
            truth = Truth.of(gateways[name])
            assert (truth.unit, truth.ike_port, truth.pids) == ("active", True, [result["ipsec"]["pluto_pid"]])
        for name, result in setup(suites, "state=stopped launcher=direct").items():
            assert result["actions"] == ["stop pluto"]
            truth = Truth.of(gateways[name])
            assert (truth.unit, truth.pids, truth.socket) == ("inactive", [], False), "systemd was told"
    finally:
        for gateway in gateways.values():
            gateway.run("systemctl stop ipsec; [ -z \"$(pidof pluto)\" ] || kill -9 $(pidof pluto); "
                        "rm -f /etc/other.conf /run/pluto/pluto.pid /run/pluto/pluto.ctl; "
                        "ip xfrm policy flush; ip xfrm state flush")  # fmt: skip


def ages(lab: Lab) -> dict[str, int]:
    """Seconds since the pluto of each gateway was started, as ps has them."""
    look = "ps -o etimes= -p $(pidof pluto)"
    return {name: int(gateway.run(look).stdout) for name, gateway in lab.gateways.items()}


def test_status_is_the_same_in_check_mode_and_as_facts(suites: Lab) -> None:
    """While pluto runs, with a connection; and its uptime is that of the process."""
    setup(suites, "state=started")
    before = ages(suites)
    wet, dry = (ad_hoc(suites, "xswan.ipsec.ipsec_status", "", *options) for options in ((), ("--check",)))
    after = ages(suites)
    for results in (wet, dry):
        assert sorted(results) == sorted(suites.gateways)
        for name, result in results.items():
            assert result["changed"] is False
            assert result["ansible_facts"]["ipsec"] == result["ipsec"]
            facts = result["ipsec"]
            assert (facts["state"], facts["connections"]["one"]["loaded"]) == ("running", True)
            # both are rounded
            assert before[name] - 1 <= facts["uptime"] <= after[name] + 1
            # time passes between the two
            for clock in ("at", "uptime"):
                del facts[clock], result["ansible_facts"]["ipsec"][clock]
    assert wet == dry


def test_a_bad_configuration_is_refused_and_the_running_pluto_lives_on(suites: Lab) -> None:
    setup(suites, "state=started")
    before = truths(suites)
    for gateway in suites.gateways.values():
        gateway.run("cp /etc/ipsec.conf /root/good; printf 'conn bad\\n    nosuchkeyword=1\\n' >> /etc/ipsec.conf")
    try:
        for options in ((), ("--check",)):
            for result in ad_hoc(suites, "xswan.ipsec.ipsec_setup", "state=restarted", *options).values():
                assert result["failed"] is True
                assert result["changed"] is False
                assert result["actions"] == []
                assert result["error"]["type"] == "ConfigError"
                assert "/etc/ipsec.conf is not valid" in result["msg"]
                assert "nosuchkeyword" in result["msg"]
        assert truths(suites) == before
    finally:
        for gateway in suites.gateways.values():
            gateway.run("mv /root/good /etc/ipsec.conf")


def test_a_pluto_that_died_is_seen_and_started_again(suites: Lab) -> None:
    """SIGKILL, and the unit does not restart it: lock file and socket stay."""
    setup(suites, "state=started")
    for gateway in suites.gateways.values():
        gateway.run(
            "mkdir -p /run/systemd/system/ipsec.service.d; "
            "printf '[Service]\\nRestart=no\\n' > /run/systemd/system/ipsec.service.d/once.conf; "
            "systemctl daemon-reload; kill -9 $(pidof pluto); "
            "while systemctl is-active -q ipsec; do sleep 0.1; done"
        )
    for result in ad_hoc(suites, "xswan.ipsec.ipsec_status").values():
        facts = result["ipsec"]
        assert (facts["state"], facts["running"], facts["lsb_status"]) == ("dead", False, 1)
        assert facts["lines"][:2] == ["IPsec stopped", "but..."]
    for name, result in setup(suites, "state=started").items():
        assert result["actions"] == ["clean up after a dead pluto", "start pluto"]
        assert Truth.of(suites.gateways[name]).pids == [result["ipsec"]["pluto_pid"]]
    for gateway in suites.gateways.values():
        gateway.run("rm -r /run/systemd/system/ipsec.service.d; systemctl daemon-reload")


def test_what_is_done_goes_to_the_system_log_as_the_configuration_says(suites: Lab) -> None:
    """By default with daemon.error, else as `syslog=` says."""
    look = "journalctl -q -t ipsec_setup -n 1 -o json --output-fields=MESSAGE,PRIORITY,SYSLOG_FACILITY"
    for keyword, priority, facility in (("# syslog=", "3", "3"), ("syslog=local3.notice", "5", "19")):
        for gateway in suites.gateways.values():
            gateway.run(f"cp /etc/ipsec.conf /root/good; sed -i 's/^config setup/&\\n    {keyword}/' /etc/ipsec.conf")
        try:
            setup(suites, "state=restarted")
            for gateway in suites.gateways.values():
                entry = json.loads(gateway.run(look).stdout)
                said = (entry["MESSAGE"], entry["PRIORITY"], entry["SYSLOG_FACILITY"])
                assert said == ("start pluto", priority, facility), gateway.name
        finally:
            for gateway in suites.gateways.values():
                gateway.run("mv /root/good /etc/ipsec.conf")


def test_a_user_who_is_not_root_is_told(suites: Lab) -> None:
    become = {"ansible_become_method": "ansible.builtin.su", "ansible_become_flags": "-s /bin/sh"}
    results = ad_hoc(
        suites, "xswan.ipsec.ipsec_status", "", "--become", "--become-user=nobody", "-e", json.dumps(become)
    )
    for result in results.values():
        assert result["failed"] is True
        assert "not root" in result["msg"]
        assert "become: true" in result["msg"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(suites: Lab, check: c.Callable[..., None]) -> None:
    """The fake gateway of the unit tests promises nothing that these do not keep."""

    def hold(gateway: Gateway) -> tuple[str, str, str]:
        gateway.run("systemctl stop ipsec", timeout=90)
        bring(gateway)
        command = f"PYTHONPATH=/root/contract python3 /root/contract/contract.py {check.__name__}"
        done = gateway.run(command, timeout=300, check=False)
        return gateway.name, done.stdout, done.stderr

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for name, out, err in pool.map(hold, suites.gateways.values()):
            assert (name, out) == (name, "holds\n"), err


def bring(gateway: Gateway) -> None:
    """Put module_utils, as a collection without Ansible, and the contract on a gateway."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path in sorted((ROOT / "plugins/module_utils").glob("*.py")):
            tar.add(path, f"contract/ansible_collections/xswan/ipsec/plugins/module_utils/{path.name}")
        tar.add(ROOT / "tests/contract/contract.py", "contract/contract.py")
    gateway.run("base64 -d | tar xz -C /root", stdin=b64encode(archive.getvalue()).decode())
