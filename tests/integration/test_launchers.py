# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launchers direct and script, on gateways that were booted without systemd."""

from __future__ import annotations

import collections.abc as c
import io
import json
import shlex
import tarfile
import time
import typing as t
from base64 import b64encode
from pathlib import Path

import pytest

from lab import Lab
from lab.ansible import ad_hoc
from lab.lab import Gateway
from lab.tools import wait_until

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(__file__).with_name("files")
CONFIG = "config setup\n\nconn one\n    left=%defaultroute\n    right=192.0.2.9\n    authby=secret\n    auto=add\n"
ACQ_EXPIRES = "/proc/sys/net/core/xfrm_acq_expires"
PAUSE_S = 10
"""What _plutorun waits before it starts a pluto again."""

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def gateways(lab: c.Callable[[Path, str], Lab]) -> dict[str, Gateway]:
    """A gateway of each suite without a service manager, with module_utils and the files of these tests in /root."""
    made = lab(Path(__file__).with_name("labs") / "without_systemd.yml", "bare").gateways
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path in sorted((ROOT / "plugins/module_utils").glob("*.py")):
            tar.add(path, f"launch/ansible_collections/xswan/ipsec/plugins/module_utils/{path.name}")
        for path in FILES.iterdir():
            tar.add(path, f"launch/{path.name}")
    for gateway in made.values():
        gateway.run("base64 -d | tar xz --no-same-owner -C /root", stdin=b64encode(archive.getvalue()).decode())
        gateway.run("cat > /etc/ipsec.conf", stdin=CONFIG)
    return made


@pytest.fixture(params=["bullseye", "bookworm", "trixie"])
def bare(request: pytest.FixtureRequest, gateways: dict[str, Gateway]) -> c.Iterator[Gateway]:
    """A gateway without IPsec running and without an init script for it."""
    gateway = gateways[request.param]
    yield gateway
    clean(gateway)


@pytest.fixture(params=["openswan", "libreswan"])
def scripted(request: pytest.FixtureRequest, gateways: dict[str, Gateway]) -> c.Iterator[Gateway]:
    """A gateway with an init script of this layout; IPsec is not running."""
    gateway = gateways["bookworm"]
    gateway.run(
        "install -m 755 /root/launch/ipsec.init /etc/init.d/ipsec; "
        "install -D -m 755 /root/launch/_plutorun /usr/local/libexec/_plutorun; "
        f"echo LAYOUT={request.param} > /etc/default/ipsec"
    )
    yield gateway
    clean(gateway)
    gateway.run("update-rc.d -f ipsec remove; rm /etc/init.d/ipsec /usr/local/libexec/_plutorun /etc/default/ipsec")


def clean(gateway: Gateway) -> None:
    """End what a test left running."""
    gateway.run(
        'pids=$(pidof -x _plutorun pluto); [ -z "$pids" ] || kill -9 $pids; rm -rf /run/pluto /var/lock/subsys/ipsec'
    )


def call(gateway: Gateway, launcher: str, method: str, *arguments: object) -> dict[str, t.Any]:
    """Call a launcher on a gateway, in a process of its own that is over afterwards."""
    words = ["python3", "/root/launch/launch.py", launcher, method, *map(json.dumps, arguments)]
    done = gateway.run(f"PYTHONPATH=/root/launch {shlex.join(words)}", timeout=150)
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))


def plutos(gateway: Gateway) -> list[int]:
    """The pids of all plutos."""
    return [int(pid) for pid in gateway.run("pidof pluto", check=False).stdout.split()]


def answers(gateway: Gateway) -> bool:
    """Whether pluto answers on its control socket."""
    return gateway.run("timeout 10 ipsec whack --status", check=False).returncode == 0


def test_direct_one_life(bare: Gateway) -> None:
    """Started, not started twice, stopped over whack, killed, and started again."""
    assert call(bare, "direct", "unit") == {"script": None, "result": None}
    lifetime = "/proc/sys/net/core/xfrm_acq_expires"
    bare.run(f"echo 7 >{lifetime}")
    assert call(bare, "direct", "check_start")["result"] == [], "no warnings"
    assert call(bare, "direct", "start", 60) == {"script": None, "result": None}
    assert bare.run(f"cat {lifetime}").stdout == "30\n", "xfrmlifetime= as it is when nobody says otherwise"
    (pid,) = plutos(bare)
    assert answers(bare)
    assert bare.run("stat -c '%a %U' /run/pluto").stdout == "755 root\n"
    # nothing of ours ties it down: init is its parent, the session is its own, its files are not our pipes
    assert bare.run(f"ps -o ppid=,sid=,pgid= -p {pid}").stdout.split() == ["1", str(pid), str(pid)]
    assert bare.run(f"readlink /proc/{pid}/fd/0 /proc/{pid}/fd/1 /proc/{pid}/fd/2 | sort -u").stdout == "/dev/null\n"
    assert bare.run(f"readlink /proc/{pid}/cwd").stdout.strip() in ("/", "/run/pluto")

    second = call(bare, "direct", "start", 60)
    assert second["error"] == "DaemonError"
    assert "its lock file could not be made" in second["msg"]
    assert "already exists" in second["msg"]
    assert plutos(bare) == [pid], "the first one is as it was"
    assert answers(bare)

    assert call(bare, "direct", "stop", 60)["result"] is True
    assert plutos(bare) == [pid], "ending pluto is for others"
    bare.run("timeout 30 ipsec whack --shutdown")
    assert plutos(bare) == []
    assert bare.run("ls /run/pluto").stdout == ""

    assert call(bare, "direct", "start", 60)["result"] is None
    wait_until(lambda: len(plutos(bare)) == 1, 10, "pluto runs again")
    (pid,) = plutos(bare)
    bare.run(f"kill -9 {pid}; while kill -0 {pid}; do sleep 0.1; done")
    refused = call(bare, "direct", "start", 60)
    assert "already exists" in refused["msg"], "the caller removes what a dead pluto left"
    bare.run("rm /run/pluto/pluto.pid /run/pluto/pluto.ctl")
    assert call(bare, "direct", "start", 60)["result"] is None
    assert answers(bare)


def test_direct_tells_why_pluto_died(bare: Gateway) -> None:
    """It forks before it opens the NSS database: only its log knows."""
    bare.run("cp -a /var/lib/ipsec/nss /root/nss; cd /var/lib/ipsec/nss; for f in cert9.db key4.db; do echo > $f; done")
    try:
        failed = call(bare, "direct", "start", 60)
    finally:
        bare.run("rm -r /var/lib/ipsec/nss; mv /root/nss /var/lib/ipsec/nss")
    assert failed["error"] == "DaemonError"
    assert "pluto ended while it started; its last words: " in failed["msg"]
    assert "NSS" in failed["msg"]
    assert failed["log"]
    assert plutos(bare) == []


def test_direct_logs_where_the_configuration_says(bare: Gateway) -> None:
    bare.run("sed -i 's,^config setup,&\\n    logfile=/root/own.log,' /etc/ipsec.conf; rm -f /var/log/pluto.log")
    try:
        assert call(bare, "direct", "start", 60)["result"] is None
        assert call(bare, "direct", "log")["result"]
        assert bare.run("ls /root/own.log /var/log/pluto.log", check=False).stdout == "/root/own.log\n"
    finally:
        bare.run("cat > /etc/ipsec.conf", stdin=CONFIG)


def test_direct_cannot_make_its_folder(bare: Gateway) -> None:
    bare.run("rm -rf /run/pluto; mount -o remount,ro /run")
    try:
        failed = call(bare, "direct", "start", 60)
    finally:
        bare.run("mount -o remount,rw /run")
    assert failed["error"] == "DaemonError"
    assert failed["msg"].startswith("cannot make the folder /run/pluto: Read-only file system; ")


def test_direct_starts_nothing_at_boot(bare: Gateway) -> None:
    refused = call(bare, "direct", "enable", True)
    assert refused["error"] == "ConfigError"
    assert "at boot" in refused["msg"]


def test_the_module_on_gateways_without_a_service_manager(
    lab: c.Callable[[Path, str], Lab], gateways: dict[str, Gateway]
) -> None:
    """ipsec_setup itself, with nothing said of a launcher: pluto is started by itself, found again, and stopped."""
    plain = lab(Path(__file__).with_name("labs") / "without_systemd.yml", "bare")

    def setup(args: str) -> dict[str, dict[str, t.Any]]:
        results = ad_hoc(plain, "xswan.ipsec.ipsec_setup", args)
        assert sorted(results) == sorted(gateways)
        return results

    for gateway in gateways.values():
        gateway.run("cat > /etc/ipsec.conf", stdin=CONFIG.replace("config setup\n", "config setup\n xfrmlifetime=45\n"))
    try:
        started = setup("state=started")
        for name, gateway in gateways.items():
            result = started[name]
            assert (result["failed"], result["changed"]) == (False, True), result
            assert result["actions"][-1] == "start pluto"
            facts = result["ipsec"]
            assert (facts["state"], facts["launcher"], facts["unit"]) == ("running", "direct", None)
            assert facts["connections_loaded"] == 1
            assert plutos(gateway) == [facts["pluto_pid"]]
            assert answers(gateway)
            assert gateway.run("cat /run/pluto/pluto.pid").stdout.split() == [str(facts["pluto_pid"])]
            assert gateway.run(f"cat {ACQ_EXPIRES}").stdout == "45\n"
        for name, result in setup("state=started enabled=true").items():
            assert (result["failed"], result["changed"]) == (True, False), result
            assert "launcher direct can start nothing at boot" in result["msg"]
            assert plutos(gateways[name]) == [started[name]["ipsec"]["pluto_pid"]]
        for name, result in setup("state=stopped").items():
            assert (result["failed"], result["actions"], result["exit_status"]) == (False, ["stop pluto"], 0), result
            assert plutos(gateways[name]) == []
            assert gateways[name].run("ls /run/pluto; ip xfrm policy; ip xfrm state").stdout == ""
    finally:
        for gateway in gateways.values():
            clean(gateway)
            gateway.run("cat > /etc/ipsec.conf", stdin=CONFIG)
            gateway.run(f"echo 30 > {ACQ_EXPIRES}")


def test_script_one_life(scripted: Gateway) -> None:
    unit = call(scripted, "script", "unit")
    assert unit["script"] == "/etc/init.d/ipsec"
    assert (unit["result"]["name"], unit["result"]["active"]) == ("/etc/init.d/ipsec", "inactive")
    assert call(scripted, "script", "start", 60).get("error") is None
    (pid,) = plutos(scripted)
    assert answers(scripted)
    unit = call(scripted, "script", "unit")["result"]
    assert (unit["active"], unit["main_pid"]) == ("active", pid)
    assert call(scripted, "script", "stop", 60)["result"] is True
    assert plutos(scripted) == []
    assert scripted.run("pidof -x _plutorun", check=False).stdout == ""
    assert call(scripted, "script", "unit")["result"]["active"] == "inactive"
    assert call(scripted, "script", "stop", 60)["result"] is True


def test_script_a_crashed_pluto_is_not_reborn_after_stop(scripted: Gateway) -> None:
    """The loop waits 10 s and starts it again, whatever the administrator has asked for in between."""
    assert call(scripted, "script", "start", 60).get("error") is None
    (pid,) = plutos(scripted)
    scripted.run(f"kill -SEGV {pid}; until pidof sleep; do sleep 0.1; done")
    unit = call(scripted, "script", "unit")["result"]
    assert (unit["active"], unit["sub"]) == ("activating", "auto-restart")
    assert call(scripted, "script", "stop", 60)["result"] is True
    assert scripted.run("pidof -x _plutorun sleep", check=False).stdout == ""
    time.sleep(PAUSE_S + 2)
    assert plutos(scripted) == []


def test_script_without_stop_the_crashed_pluto_is_reborn(scripted: Gateway) -> None:
    """The control of the test before: the accident is a real one."""
    assert call(scripted, "script", "start", 60).get("error") is None
    (pid,) = plutos(scripted)
    scripted.run(f"kill -SEGV {pid}")
    scripted.run("until pidof pluto; do sleep 0.2; done", timeout=60)
    assert plutos(scripted) != [pid]


def test_script_a_failed_start_is_told(scripted: Gateway) -> None:
    """Openswan's script ends with 0 all the same."""
    scripted.run("echo 'nosuchkeyword' >> /etc/ipsec.conf")
    try:
        failed = call(scripted, "script", "start", 60)
    finally:
        scripted.run("cat > /etc/ipsec.conf", stdin=CONFIG)
    assert failed["error"] == "DaemonError"
    assert "/etc/init.d/ipsec start" in failed["msg"]


def test_script_stop_spares_the_process_that_has_pluto_s_pid_now(scripted: Gateway) -> None:
    """By its own rules the script would shut it down."""
    bystander = scripted.run("sleep 1000 </dev/null >/dev/null 2>&1 & echo $!").stdout.strip()
    scripted.run(
        f"mkdir -p /run/pluto /var/lock/subsys; echo {bystander} > /run/pluto/pluto.pid; touch /run/pluto/pluto.ctl; "
        "touch /run/pluto/ipsec_setup.pid /run/pluto/ipsec.info /var/lock/subsys/ipsec; /etc/init.d/ipsec status"
    )
    unit = call(scripted, "script", "unit")["result"]
    assert (unit["active"], unit["result"]) == ("failed", f"pid {bystander} is not a pluto")
    assert call(scripted, "script", "stop", 60)["result"] is True
    scripted.run(f"kill {bystander}")


def test_script_a_hung_pluto_does_not_hold_us(scripted: Gateway) -> None:
    assert call(scripted, "script", "start", 60).get("error") is None
    (pid,) = plutos(scripted)
    scripted.run(f"kill -STOP {pid}")
    before = time.monotonic()
    stopped = call(scripted, "script", "stop", 5)
    assert time.monotonic() - before < 60
    # the scripts' SIGTERM does not reach a stopped process either
    assert stopped["result"] is False
    assert plutos(scripted) == [pid]
    assert scripted.run("pidof -x _plutorun", check=False).stdout == "", "it will not be reborn when it is killed"


def test_script_is_enabled_and_disabled(scripted: Gateway) -> None:
    for enabled in (True, True, False, False, True):
        assert call(scripted, "script", "enable", enabled).get("error") is None
        assert call(scripted, "script", "unit")["result"]["enabled"] is enabled
        links = scripted.run("ls /etc/rc2.d", check=False).stdout.split()
        assert any(link.startswith("S") and link.endswith("ipsec") for link in links) is enabled
