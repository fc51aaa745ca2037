# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway lab itself, on real machines."""

from __future__ import annotations

import collections.abc as c
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import CommandError, Lab, LabError, image, machine, network, processes
from lab.lab import RUNTIME, known_labs
from lab.tools import run, wait_until

pytestmark = pytest.mark.lab

TESTS = Path(__file__).parents[1]
THREE = """
gateways:
  gw1: {suite: bookworm, wan: 192.0.2.1, lan: 10.1.0.0/24, wan6: 2001:db8::1, lan6: 2001:db8:1::/64}
  gw2: {suite: trixie, wan: 192.0.2.2, lan: 10.2.0.0/24, wan6: 2001:db8::2}
  gw3: {suite: bullseye, wan: 192.0.2.3, lan: 10.3.0.0/24, nat: true}
"""
ONE = """
gateways:
  gw1: {suite: bookworm, wan: 192.0.2.1, lan: 10.1.0.0/24}
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "lab", *words]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS), **more}


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), env=environment(), capture_output=True, text=True, check=False, timeout=120)


def links() -> set[str]:
    return {line.split(": ")[1] for line in run(["ip", "-o", "link"]).stdout.splitlines()}


def traces(name: str) -> list[str]:
    """Whatever of a lab can be found on this machine, but for its state folder."""
    found = [f"namespace {namespace}" for namespace in network.namespaces(name)]
    for pid in processes.find(lambda pid: any(name in word for word in processes.arguments(pid))):
        words = processes.arguments(pid)
        if f"umid={network.namespace(name)}" in " ".join(words) or str(RUNTIME / name) in words[0]:
            found.append(f"process {pid} {words}")
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if network.namespace(name) in line]
    return found + [str(path) for path in [RUNTIME / name] if path.exists()]


@pytest.fixture(scope="module")
def three(lab: c.Callable[[Path, str], Lab], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Three gateways of three suites, the third behind a NAT box."""
    path = tmp_path_factory.mktemp("lab") / "three.yml"
    path.write_text(THREE)
    return lab(path, "three")


@pytest.fixture
def one(tmp_path: Path) -> Path:
    path = tmp_path / "one.yml"
    path.write_text(ONE)
    return path


@pytest.fixture
def small(one: Path, lab_name: c.Callable[[str], str]) -> c.Iterator[Lab]:
    """A lab of one gateway, not up; down after the test whatever happens."""
    lab = Lab.load(one, lab_name("small"))
    yield lab
    lab.down()


def test_gateways_are_whole_and_healthy(three: Lab) -> None:
    for gateway in three.gateways.values():
        assert gateway.run(["hostname"]).stdout.strip() == gateway.name
        assert gateway.run(["systemctl", "is-system-running"]).stdout.strip() == "running"
        assert f"VERSION_CODENAME={gateway.spec.suite}\n" in gateway.run(["cat", "/etc/os-release"]).stdout
        assert gateway.run(["sysctl", "-n", "net.ipv4.ip_forward"]).stdout.strip() == "1"
        gateway.run(["modprobe", "--all", "esp4", "esp6", "xfrm_user", "af_key"])
        # Libreswan is there, and it is the test's to start.
        assert gateway.run(["systemctl", "is-enabled", "ipsec"], check=False).stdout.strip() == "disabled"
        assert gateway.run(["systemctl", "is-active", "ipsec"], check=False).stdout.strip() == "inactive"


def test_gateways_have_identities_of_their_own(three: Lab) -> None:
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key"):
        assert len({gateway.run(["cat", path]).stdout for gateway in three.gateways.values()}) == 3


def test_libreswan_of_each_suite(three: Lab) -> None:
    versions = {name: gateway.run(["ipsec", "--version"]).stdout for name, gateway in three.gateways.items()}
    assert re.search(r"\b4\.10\b", versions["gw1"])
    assert re.search(r"\b5\.2\b", versions["gw2"])
    assert re.search(r"\b4\.3\b", versions["gw3"])


def test_gateways_reach_each_other_on_the_wan(three: Lab) -> None:
    three.gateways["gw1"].run(["ping", "-c", "1", "-W", "5", "192.0.2.2"])
    three.gateways["gw1"].run(["ping", "-c", "1", "-W", "5", "2001:db8::2"])


def test_lan_host_reaches_its_gateway_and_the_wan_side_of_it(three: Lab) -> None:
    host = three.gateways["gw1"].lan_host
    host.run(["ping", "-c", "1", "-W", "5", "10.1.0.1"])
    host.run(["ping", "-c", "1", "-W", "5", "192.0.2.1"])
    host.run(["ping", "-c", "1", "-W", "5", "2001:db8:1::1"])


def test_lans_do_not_reach_each_other_without_a_tunnel(three: Lab) -> None:
    host = three.gateways["gw1"].lan_host
    assert host.run(["ping", "-c", "1", "-W", "1", "10.2.0.2"], check=False).returncode != 0


def test_gateway_behind_nat_is_seen_with_the_address_of_the_nat_box(three: Lab) -> None:
    gw3 = three.gateways["gw3"]
    assert "100.64.3.2/24" in gw3.run(["ip", "addr", "show", "eth0"]).stdout
    with three.capture("wan", "icmp") as wan:
        gw3.run(["ping", "-c", "1", "-W", "5", "192.0.2.1"])
        wan.wait_for("192.0.2.1 > 192.0.2.3: ICMP echo reply")
    assert "192.0.2.3 > 192.0.2.1: ICMP echo request" in wan.text
    assert "100.64." not in wan.text


def test_wan_is_silent_when_nobody_speaks_ipv4(three: Lab) -> None:
    with three.capture("wan", "ip") as wan:
        three.gateways["gw1"].run(["true"])
    assert wan.lines == []


def test_capture_of_a_bridge_that_is_not_there(three: Lab) -> None:
    with pytest.raises(LabError, match=r"capture on lan-gw9: tcpdump ended: .*lan-gw9"), three.capture("lan-gw9"):
        pass


def test_capture_command_prints_the_packets_and_passes_the_exit_status_through(three: Lab) -> None:
    script = "ping -c 1 -W 5 192.0.2.2 && sleep 1; exit 42"
    result = cli("capture", "--filter", "icmp", three.name, "wan", "gw1", "--", "sh", "-c", script)
    assert result.returncode == 42
    assert [line.split(" IP ")[1].split(",")[0] for line in result.stdout.splitlines()] == [
        "192.0.2.1 > 192.0.2.2: ICMP echo request",
        "192.0.2.2 > 192.0.2.1: ICMP echo reply",
    ]
    assert "1 received" in result.stderr


def test_plain_ssh_from_outside_with_strict_host_keys(three: Lab) -> None:
    config = str(three.state / "ssh_config")
    strict = ["ssh", "-F", config, "-o", "StrictHostKeyChecking=yes", "-o", "ControlPath=none"]
    assert run([*strict, "gw1", "hostname"]).stdout == "gw1\n"
    # With another gateway's key on record it must refuse: the check above is one.
    wrong = run([*strict, "-o", "HostKeyAlias=gw2", "gw1", "hostname"], check=False)
    assert wrong.returncode == 255
    assert "Host key verification failed" in wrong.stderr


def test_ansible_reaches_all_gateways_by_the_inventory(three: Lab) -> None:
    ansible = str(Path(sys.executable).with_name("ansible"))
    result = run([ansible, "--inventory", str(three.inventory), "gateways", "--module-name", "ansible.builtin.ping"])
    assert result.stdout.count('"pong"') == 3


def test_run_passes_the_exit_status_through(three: Lab) -> None:
    assert cli("run", three.name, "gw2", "--", "sh", "-c", "exit 42").returncode == 42
    assert cli("run", three.name, "gw2-lan", "--", "sh", "-c", "exit 43").returncode == 43
    assert cli("ssh", three.name, "gw2", "--", "cat", "/etc/hostname").stdout == "gw2\n"
    with pytest.raises(CommandError, match=r"gw2: `false` ended with status 1"):
        three.gateways["gw2"].run(["false"])


def test_unknown_node_is_named_with_those_there_are(three: Lab) -> None:
    result = cli("run", three.name, "gw9", "--", "true")
    assert result.returncode == 1
    assert "has no node gw9; it has gw1, gw2, gw3, gw1-lan, gw2-lan, gw3-lan, gw3-nat, wan" in result.stderr


def test_status_and_list(three: Lab) -> None:
    status = cli("status", three.name)
    assert status.returncode == 0
    assert [line.split()[1:4] for line in status.stdout.splitlines()] == [
        ["gw1", "on", "bookworm"],
        ["gw2", "on", "trixie"],
        ["gw3", "on", "bullseye"],
    ]
    assert f"{three.name} up {three.state}\n" in cli("list").stdout


def test_up_refuses_a_lab_that_is_up(three: Lab) -> None:
    with pytest.raises(LabError, match=rf"lab {three.name}: is up already .*`down {three.name}`"):
        three.up()
    three.gateways["gw1"].run(["true"])


def test_two_labs_power_cut_and_nothing_left(three: Lab, small: Lab) -> None:
    before = links()
    small.up()
    # The same address, another machine: neither lab sees the other.
    mine, other = small.gateways["gw1"], three.gateways["gw1"]
    assert mine.run(["cat", "/etc/machine-id"]).stdout != other.run(["cat", "/etc/machine-id"]).stdout

    mine.run("echo kept >/root/kept; sync")
    mine.kill()
    assert cli("status", small.name).returncode == 1
    mine.boot()
    assert mine.run(["cat", "/root/kept"]).stdout == "kept\n"
    assert mine.run(["systemctl", "is-system-running"]).stdout.strip() == "running"

    assert traces(small.name)
    small.down()
    assert traces(small.name) == []
    assert not small.state.exists()
    assert links() == before
    other.run(["ping", "-c", "1", "-W", "5", "192.0.2.2"])


def test_down_cleans_up_after_a_crash_of_the_tool(one: Path, small: Lab) -> None:
    before = links()
    with subprocess.Popen(command("up", str(one), "--name", small.name), env=environment()) as tool:
        wait_until(lambda: bool(processes.find(machine.of_lab(small.name))), 60, "a machine runs")
        tool.send_signal(signal.SIGKILL)
    assert any("umid=" in trace for trace in traces(small.name))
    shutil.rmtree(small.state)
    assert small.name in known_labs()
    assert re.search(
        rf"^{small.name} not in .*its state is lost; `down {small.name}` removes it$", cli("status").stdout, re.M
    )
    for _again in range(2):
        result = cli("down", small.name)
        assert (result.returncode, result.stderr) == (0, "")
    assert traces(small.name) == []
    assert links() == before


def test_failed_boot_shows_the_console_and_leaves_only_its_log(one: Path, small: Lab, tmp_path: Path) -> None:
    # A disk without a file system: the kernel must panic.
    disk = tmp_path / "cache" / image.image_path("bookworm").name
    disk.parent.mkdir()
    disk.write_bytes(bytes(1024 * 1024))
    result = subprocess.run(
        command("up", str(one), "--name", small.name),
        env=environment(XSWAN_LAB_CACHE=str(disk.parent)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 1
    log = small.gateways["gw1"].console_log
    assert "lab: error: gw1: did not boot: " in result.stderr
    assert f"console log {log} ends:" in result.stderr
    assert "Kernel panic" in result.stderr
    assert traces(small.name) == []
    assert "Kernel panic" in log.read_text()
    small.down(keep_logs=tmp_path / "kept")
    assert "Kernel panic" in (tmp_path / "kept/gw1.console.log").read_text()
    assert not small.state.exists()


def test_unreachable_registry_is_told_before_anything_is_built(one: Path, small: Lab, tmp_path: Path) -> None:
    apt = tmp_path / "apt.conf"
    # Nobody listens on port 9 of this machine.
    apt.write_text('Acquire::http::Proxy "http://127.0.0.1:9";\nAcquire::https::Proxy "http://127.0.0.1:9";\n')
    result = subprocess.run(
        command("up", str(one), "--name", small.name),
        env=environment(XSWAN_LAB_CACHE=str(tmp_path / "cache"), APT_CONFIG=str(apt)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("lab: error: no package registry reachable (")
    assert not (tmp_path / "cache").exists()
    assert traces(small.name) == []


SET_LESS_THAN_ALL_REGISTERS = """
import ctypes, os, signal

class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, KILL, GET, SET, XSTATE = 0, 8, 0x4204, 0x4205, 0x202
child = os.fork()
if child == 0:
    libc.ptrace(TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, 0)
legacy_area_and_header = 512 + 64
area = Iovec(ctypes.addressof(ctypes.create_string_buffer(legacy_area_and_header)), legacy_area_and_header)
assert libc.ptrace(GET, child, XSTATE, ctypes.addressof(area)) == 0
print(libc.ptrace(SET, child, XSTATE, ctypes.addressof(area)))
libc.ptrace(KILL, child, None, None)
os.waitpid(child, 0)
"""


def test_a_part_of_the_extended_registers_can_be_set(tmp_path: Path) -> None:
    """As User-mode Linux does on a processor that has more of them than it knows; alone, the kernel refuses that."""
    machine.build_interposer(tmp_path)
    alone, preloaded = (
        subprocess.run(
            [sys.executable, "-c", SET_LESS_THAN_ALL_REGISTERS],
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for more in ({}, {"LD_PRELOAD": str(machine.interposer(tmp_path))})
    )
    assert (alone, preloaded) == ("-1\n", "0\n")
