# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can befall a gateway, made to befall gateways of three suites at once, and mended by each verb.

Between the LANs of the gateways there are tunnels with auto=start. An accident is a row of ACCIDENTS; what is done with
it is `test_accident`. The outcome of all is a table at the end of the run, and tests/output/accidents.md.

`make test` tries one accident of each kind. `make accidents` (XSWAN_ACCIDENTS=all) tries every verb with every
accident, which takes an hour or two, and a walk from accident to accident.
"""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import os
import random
import secrets
import time
import typing as t
from pathlib import Path

import pytest
from plutos import PLUTOS
from walks import SEED

from lab import Lab
from lab.ansible import ad_hoc
from lab.lab import Gateway
from lab.tools import wait_until

pytestmark = pytest.mark.lab

VERBS = ("started", "stopped", "restarted")
STOP, START, CLEAN = "stop pluto", "start pluto", "clean up after a dead pluto"
LOCK, LISTEN, LOAD = "write the lock file anew", "listen on the network interfaces", "load the kernel's XFRM interface"

# The words of the table below.
SHELL = r"""
set -e
pluto=$(readlink -f /usr/libexec/ipsec/pluto)
whack=$(readlink -f /usr/libexec/ipsec/whack)
main_pid() { pid=$(systemctl show --property=MainPID --value ipsec); [ $pid != 0 ] && echo $pid; }
await() { for _ in $(seq 300); do "$@" && return; sleep 0.1; done; echo "in vain: $*" >&2; return 1; }
background() { setsid "$@" </dev/null >/dev/null 2>&1 & echo $! >/root/background; }
end_background() { kill $(cat /root/background); rm /root/background; }
drop_in() {
    mkdir -p /run/systemd/system/ipsec.service.d
    printf '%s\n' "$@" >/run/systemd/system/ipsec.service.d/accident.conf
    systemctl daemon-reload
}
no_drop_in() { rm -r /run/systemd/system/ipsec.service.d; systemctl daemon-reload; }
kill_pluto() { kill -9 $(main_pid); await systemctl is-failed -q ipsec; }
answers() { timeout 5 ipsec whack --status | grep '^\(000 \)\?interface ' >/dev/null; }
loaded() { answers && ! pidof addconn; }
of() { [ "$(systemctl show --property=$1 --value ipsec)" = "$2" ]; }
# what a failed test left must not become the next one's
reset() {
    systemctl stop --no-block ipsec
    kill -9 $(pidof pluto) || :
    systemctl stop ipsec
    rm -rf /run/pluto
    mkdir /run/pluto
    ip xfrm policy flush
    ip xfrm state flush
    systemctl reset-failed ipsec || :
}
"""

WELL = """
pid=$(main_pid) && [ "$(pidof pluto)" = $pid ] && [ "$(cat /run/pluto/pluto.pid)" = $pid ] && answers &&
    ! readlink /proc/$pid/exe | grep -q deleted && echo well || :
"""
STOPPED = """
systemctl stop ipsec
if pidof pluto || [ ! -d /run/pluto ] || [ "$(ls /run/pluto)" ] || systemctl is-failed -q ipsec; then reset; fi
"""


@dataclasses.dataclass(frozen=True)
class Accident:
    """Something that befalls a gateway whose pluto runs, or is stopped in good order, and what is right then.

    `findings` are the ids of all findings, separated by blanks; `trixie:dead` is one of that suite alone.
    """

    name: str
    make: str
    """Shell; returns when the accident is there to be seen."""
    word: str
    findings: str = ""
    started: tuple[str, ...] = ()
    """The actions of `started`."""
    running: bool = True
    mend: str = ""
    """Shell that undoes what ipsec_setup cannot, or must not."""
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    """By verb: what the error says that makes it do nothing before the accident is mended."""
    fails: dict[str, str] = dataclasses.field(default_factory=dict)
    """By verb: what the error says with which it ends half-way."""
    survives: str = ""
    """Shell that prints what no verb may change."""
    flushed: tuple[str, ...] = ()
    """The verbs with which Libreswan itself, not this collection, flushes what should survive."""
    args: str = ""
    """More arguments of ipsec_setup."""

    def __str__(self) -> str:
        return self.name

    def findings_on(self, suite: str) -> list[str]:
        """The ids of the findings on a gateway of this suite, sorted."""
        found = (word.rpartition(":") for word in self.findings.split())
        return sorted(finding for only, _colon, finding in found if only in ("", suite))


DIED = "dead stale-socket unit-failed trixie:stale-kernel-state"
"""The units of Libreswan 4 flush the kernel after every end of pluto; the one of 5 leaves that to pluto."""
ONCE = "drop_in '[Service]' Restart=no; "
LIMIT = "limit='StartLimitBurst=2 StartLimitIntervalSec=3600'; "
DAMAGED = "cd /var/lib/ipsec/nss; cp -a . /root/nss; echo damaged >new; mv new cert9.db"
NOT_DAMAGED = "cd /var/lib/ipsec/nss; rm *; cp -a /root/nss/. .; rm -r /root/nss"
CLOCK = "date -s @$(($(date +%s) {} 3600))"
FOREIGN = """
ip xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x1001 reqid 77 mode tunnel \
    enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha1)' 0x00112233445566778899aabbccddeeff00112233
ip xfrm policy add src 203.0.113.16/28 dst 203.0.113.32/28 dir out tmpl src 203.0.113.1 dst 203.0.113.2 proto esp \
    reqid 77 mode tunnel
"""
OTHER_NAMESPACE = """
ip netns add other
mkdir -p /run/pluto-other
printf 'config setup\\n' >/root/other.conf
background ip netns exec other unshare --pid --fork --mount-proc $pluto --nofork --rundir /run/pluto-other \
    --config /root/other.conf
await test -S /run/pluto-other/pluto.ctl
await timeout 5 ipsec whack --rundir /run/pluto-other --status >/dev/null
"""
ZOMBIE = """
cp /bin/true /root/pluto
background python3 -c 'import subprocess, time; child = subprocess.Popen(["/root/pluto"]); time.sleep(1000)'
await sh -c 'grep -qs "^State:.Z" $(grep -ls "^Name:.pluto" /proc/[0-9]*/status)'
"""
LATE = r"""
cp -p $whack /root/whack
printf '#!/bin/sh\nsleep %s\nexec /root/whack "$@"\n' >$whack.new
chmod 755 $whack.new; mv $whack.new $whack
"""
"""A whack that takes so many seconds, as on a host with too much to do."""
UPGRADE = r"""
cp -p $pluto $pluto.new; mv $pluto.new $pluto
cp -p $whack /root/whack
printf '#!/bin/sh\n[ "$(cat /run/pluto/pluto.pid)" != %s ] || exit 33\nexec /root/whack "$@"\n' $(main_pid) >$whack.new
chmod 755 $whack.new; mv $whack.new $whack
"""
"""A whack that the old pluto does not answer, and a new one does."""

ACCIDENTS = (
    # what does no harm, or is mended without a new pluto
    Accident("none", ":", "running"),
    Accident("clock set back", CLOCK.format("-"), "running", mend=CLOCK.format("+")),
    Accident("clock set ahead", CLOCK.format("+"), "running", mend=CLOCK.format("-")),
    Accident("pluto in other namespaces", OTHER_NAMESPACE, "running",
             survives="ip netns pids other", mend="kill -9 $(ip netns pids other); ip netns del other"),
    Accident("lock file removed", "rm /run/pluto/pluto.pid", "orphaned", "orphaned", (LOCK,)),
    Accident("lock file emptied", ": >/run/pluto/pluto.pid", "orphaned", "orphaned", (LOCK,)),
    Accident("lock file garbage", "printf 'no\\000pid' >/run/pluto/pluto.pid", "orphaned", "orphaned", (LOCK,)),
    Accident("lock file names nobody", "echo 4000000 >/run/pluto/pluto.pid", "illicit", "illicit", (LOCK,)),
    Accident("lock file names a sleep", "background sleep 1000; cat /root/background >/run/pluto/pluto.pid",
             "illicit", "illicit", (LOCK,), survives="pgrep -x sleep", mend="end_background"),
    Accident("killed, started by systemd", "old=$(main_pid); kill -9 $old; await systemctl is-active -q ipsec; "
             "await sh -c \"[ $(main_pid) != $old ]\"; await loaded", "running"),
    Accident("binary upgraded, not understood", UPGRADE, "running", "upgraded", mend="mv /root/whack $whack"),
    Accident("binary upgraded", "cp -p $pluto $pluto.new; mv $pluto.new $pluto", "running", "upgraded"),
    # what takes a new pluto
    Accident("socket removed", "rm /run/pluto/pluto.ctl", "unreachable", "unreachable", (STOP, START)),
    Accident("run directory removed", "rm -r /run/pluto", "unreachable", "orphaned unreachable", (STOP, START)),
    Accident("hung", "kill -STOP $(main_pid)", "hung", "hung", (STOP, START),
             args="stop_timeout=10"),
    Accident("second pluto by hand", "background $pluto --nofork --config /etc/ipsec.conf; "
             "await sh -c \"! grep -qx $(main_pid) /run/pluto/pluto.pid\"; await answers", "several", "several",
             (STOP, START)),
    Accident("pluto by hand", "$pluto --config /etc/ipsec.conf; await loaded", "running", "manager-disagrees",
             running=False),
    Accident("killed", ONCE + "kill_pluto", "dead", DIED, (CLEAN, START),
             mend="no_drop_in"),
    Accident("killed, pid reused", ONCE + "kill_pluto; background sleep 1000; cat /root/background "
             ">/run/pluto/pluto.pid", "reused-pid", DIED.replace("dead", "reused-pid"), (CLEAN, START),
             survives="pgrep -x sleep", mend="no_drop_in; end_background"),
    Accident("killed, own SAs left", ONCE.replace("Restart", "ExecStopPost= Restart") + "kill_pluto; rm /run/pluto/*",
             "stale-kernel-state", "stale-kernel-state unit-failed", (CLEAN, START),
             mend="no_drop_in"),
    Accident("killed, foreign SA", ONCE + "kill_pluto" + FOREIGN, "dead", DIED, (CLEAN, START),
             survives="ip xfrm policy list src 203.0.113.16/28; ip xfrm state list src 203.0.113.1 | head -2",
             flushed=("started", "restarted"), mend="no_drop_in; ip xfrm state deleteall src 203.0.113.1; "
             "ip xfrm policy deleteall src 203.0.113.16/28"),
    Accident("foreign SA, pluto running", FOREIGN, "running",
             survives="ip xfrm policy list src 203.0.113.16/28; ip xfrm state list src 203.0.113.1 | head -2",
             flushed=("stopped", "restarted"), mend="ip xfrm state deleteall src 203.0.113.1; "
             "ip xfrm policy deleteall src 203.0.113.16/28"),
    # what a stopped gateway can have
    Accident("foreign SA", FOREIGN, "stopped", "", (START,), running=False,
             survives="ip xfrm policy list src 203.0.113.16/28; ip xfrm state list src 203.0.113.1 | head -2",
             flushed=("started", "restarted"), mend="ip xfrm state deleteall src 203.0.113.1; "
             "ip xfrm policy deleteall src 203.0.113.16/28"),
    Accident("stale socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/pluto/pluto.ctl\")'",
             "stale-socket", "stale-socket", (CLEAN, START), running=False),
    Accident("empty lock file", ": >/run/pluto/pluto.pid", "damaged-lock", "damaged-lock", (CLEAN, START),
             running=False),
    Accident("Openswan's lock file", "echo 999 >/run/pluto/ipsec_setup.pid", "leftover-lock", "leftover-lock",
             (CLEAN, START), running=False),
    Accident("no run directory", "rm -r /run/pluto", "stopped", "", (START,), running=False),
    Accident("zombie", ZOMBIE, "stopped", "zombie", (START,), running=False, mend="end_background; rm /root/pluto"),
    Accident("packets still logged", "update-alternatives --set iptables /usr/sbin/iptables-legacy; "
             "iptables -I INPUT -m policy --dir in --pol ipsec -j NFLOG --nflog-group 13 --nflog-prefix all-ipsec; "
             "iptables -I INPUT -j NFLOG --nflog-group 13 --nflog-prefix others",
             "leftover-log-rule", "leftover-log-rule", (CLEAN, START), running=False,
             survives="iptables -S INPUT | grep -v all-ipsec",
             mend="iptables -F INPUT; update-alternatives --auto iptables"),
    Accident("no XFRM in the kernel", "modprobe -r xfrm_user", "stopped", "", (LOAD, START), running=False),
    Accident("start limit hit", LIMIT + "drop_in '[Unit]' $limit '[Service]' Restart=no ExecStartPre= ExecStart= "
             "ExecStart=/bin/false; for _ in 1 2 3; do ! systemctl start ipsec; done; "
             "journalctl -u ipsec -n 5 | grep -q 'repeated too quickly'; drop_in '[Unit]' $limit",
             "stopped", "unit-failed", (START,), running=False,
             mend="no_drop_in"),
    # what has to be mended first
    Accident("crash loop", "drop_in '[Unit]' StartLimitIntervalSec=0 '[Service]' RestartSec=2 ExecStartPre= "
             "ExecStart= ExecStart=/bin/false; ! systemctl start ipsec; await of SubState auto-restart",
             "flapping", "flapping", (START,), running=False, mend="no_drop_in",
             fails=dict.fromkeys(("started", "restarted"),
                                 "ipsec.service failed to start: its main process ended with exit status 1")),
    Accident("broken configuration", "cp /etc/ipsec.conf /root/good; echo 'conn bad\n  nosuch=1' >>/etc/ipsec.conf",
             "running", "config-invalid", mend="mv /root/good /etc/ipsec.conf",
             refused={"restarted": "nosuch"}),
    Accident("broken configuration, stopped", "cp /etc/ipsec.conf /root/good; "
             "echo 'conn bad\n  nosuch=1' >>/etc/ipsec.conf", "stopped", "config-invalid", (START,), running=False,
             mend="mv /root/good /etc/ipsec.conf", refused={"started": "nosuch", "restarted": "nosuch"}),
    Accident("connection that takes over none", "cp /etc/ipsec.conf /root/good; echo 'conn bad\n  left=127.0.0.1\n  "
             "right=192.0.2.99\n  also=nosuch\n  auto=add' >>/etc/ipsec.conf", "running",
             mend="mv /root/good /etc/ipsec.conf", refused={"restarted": "connection nosuch, which does not exist"}),
    Accident("no configuration", "mv /etc/ipsec.conf /root/good", "running", "config-missing",
             mend="mv /root/good /etc/ipsec.conf", refused={"restarted": "does not exist"}),
    Accident("no configuration, stopped", "mv /etc/ipsec.conf /root/good", "stopped", "config-missing", (START,),
             running=False, mend="mv /root/good /etc/ipsec.conf",
             refused=dict.fromkeys(("started", "restarted"), "does not exist")),
    # with a journal of more lines than are looked at, of which the newest count
    Accident("rejected connection", "cp /etc/ipsec.conf /root/good; echo 'conn bad\n  left=127.0.0.1\n  "
             "right=192.0.2.99\n  authby=secret\n  ike=nosuch\n  auto=add' >>/etc/ipsec.conf; "
             "drop_in '[Service]' 'ExecStartPre=/usr/bin/seq 3001'", "stopped", "", (START,),
             running=False, mend="mv /root/good /etc/ipsec.conf; no_drop_in",
             fails=dict.fromkeys(("started", "restarted"), "has not loaded bad: \"bad\": failed to add connection: IKE "
                                 "encryption algorithm 'nosuch' is not recognized")),
    Accident("damaged NSS database", DAMAGED, "running", mend=NOT_DAMAGED, refused={"restarted": "NSS database"}),
    Accident("damaged NSS database, stopped", DAMAGED, "stopped", "", (START,), running=False, mend=NOT_DAMAGED,
             refused=dict.fromkeys(("started", "restarted"), "NSS database")),
    Accident("unit masked", "systemctl mask -q ipsec", "running",
             mend="systemctl unmask -q ipsec", refused={"restarted": "masked"}),
    Accident("unit masked, stopped", "systemctl mask -q ipsec", "stopped", "", (START,), running=False,
             mend="systemctl unmask -q ipsec", refused={"started": "masked", "restarted": "masked"}),
    Accident("stranger on UDP 500", "background python3 -c 'import socket, time; "
             "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"\", 500)); time.sleep(1000)'; "
             "await sh -c \"ss -Hlun 'sport = :500' | grep -q .\"", "stopped", "foreign-ike", (START,), running=False,
             survives="ss -Hlun 'sport = :500'", mend="end_background",
             refused=dict.fromkeys(("started", "restarted"), "UDP port 500")),
    Accident("read-only run directory", "mount --bind /run/pluto /run/pluto; mount -o remount,bind,ro /run/pluto",
             "running", mend="umount -l /run/pluto", refused={"restarted": "/run/pluto is read-only"},
             fails={"stopped": "Read-only file system"}),
    Accident("read-only run directory, stopped", "mount --bind /run/pluto /run/pluto; "
             "mount -o remount,bind,ro /run/pluto", "stopped", "", (START,), running=False,
             mend="umount -l /run/pluto",
             refused=dict.fromkeys(("started", "restarted"), "/run/pluto is read-only")),
    Accident("full run directory", "mount -t tmpfs -o size=4k,mode=755 full /run/pluto; "
             "head -c 4096 /dev/zero >/run/pluto/fill", "stopped", "", (START,), running=False,
             mend="umount -l /run/pluto",
             refused=dict.fromkeys(("started", "restarted"), "/run/pluto is full")),
)  # fmt: skip


# What is so without the collection's help: plutos of our network namespace, unit, its main pid, lock file, listener,
# files that say IPsec were running, and how many SAs and policies there are but for those of FOREIGN.
LOOK = r"""
plutos
systemctl is-active ipsec || :
main_pid || echo 0
cat /run/pluto/pluto.pid 2>/dev/null || echo
ss -Hlx 'src /run/pluto/pluto.ctl' | wc -l
ls /run/pluto 2>/dev/null | grep -Ecx 'pluto.pid|pluto.ctl|ipsec_setup.pid' || :
{ ip xfrm state; ip xfrm policy; } | grep '^src' | grep -vc 203.0.113 || :
"""


class Truth(t.NamedTuple):
    """A gateway as the shell sees it."""

    plutos: tuple[int, ...]
    unit: str
    main_pid: int
    lock: str
    listeners: int
    files: int
    xfrm: int

    @classmethod
    def of(cls, gateway: Gateway) -> Truth:
        """Look."""
        plutos, unit, main_pid, lock, *counts = shell(gateway, LOOK).splitlines()
        return cls(tuple(map(int, plutos.split())), unit, int(main_pid), lock, *map(int, counts))

    def assert_stopped(self) -> None:
        """Nothing runs, and nothing of what ran is left."""
        assert self == Truth((), self.unit, 0, "", 0, 0, 0)
        assert self.unit in ("inactive", "failed")

    def assert_runs(self, pid: int, *, in_unit: bool) -> None:
        """One pluto, this one, runs, in the unit or by hand, with its files."""
        unit = ("active", pid) if in_unit else ("inactive", 0)
        assert self == Truth((pid,), *unit, str(pid), 1, 2, self.xfrm)


def shell(gateway: Gateway, script: str, *, check: bool = True) -> str:
    """What a script in the words of SHELL prints; any of its commands that fails is an error."""
    return gateway.run(PLUTOS + SHELL + script, timeout=180, check=check).stdout


Result = t.TypeVar("Result")
Results = dict[str, dict[str, t.Any]]


def each(lab: Lab, do: c.Callable[[Gateway], Result]) -> dict[str, Result]:
    """Do something on all gateways at once; the results by gateway."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(do, lab.gateways.values()), strict=True))


def setup(lab: Lab, verb: str, args: str, *options: str) -> Results:
    """Call ipsec_setup on all gateways."""
    return ad_hoc(lab, "xswan.ipsec.ipsec_setup", f"state={verb} {args}", *options)


def status(lab: Lab) -> Results:
    """What ipsec_status says of all gateways."""
    results = ad_hoc(lab, "xswan.ipsec.ipsec_status")
    assert [result["msg"] for result in results.values() if result["failed"]] == []
    return {suite: result["ipsec"] for suite, result in results.items()}


def assert_tunnels_carry(lab: Lab) -> None:
    """A ping crosses every tunnel, soon."""

    def ping(gateway: Gateway) -> None:
        to = following(lab, gateway)
        argv = ["ping", "-n", "-c", "1", "-W", "1", to.lan_host.address]
        wait_until(
            lambda: gateway.lan_host.run(argv, check=False).returncode == 0,
            60,
            f"a ping from {gateway.name}'s LAN to {to.name}'s",
        )

    each(lab, ping)


def following(lab: Lab, gateway: Gateway) -> Gateway:
    """The next gateway of the ring."""
    names = tuple(lab.gateways)
    return lab.gateways[names[(names.index(gateway.name) + 1) % len(names)]]


def configuration(lab: Lab, own: Gateway) -> str:
    """ipsec.conf of one gateway: a tunnel to every other.

    Of two, one initiates: 4.3 and 4.10 that do so at the same moment have been seen to end with SAs that do not match.
    """
    text = "config setup\n"
    for left in lab.gateways.values():
        right = following(lab, left)
        if own in (left, right):
            text += f"""
conn {left.name}-{right.name}
    left={left.spec.wan.ip}
    leftsubnet={left.spec.lan}
    right={right.spec.wan.ip}
    rightsubnet={right.spec.lan}
    authby=secret
    ikev2=insist
    retransmit-timeout=5s
    auto={"start" if own is left else "add"}
"""
    return text


@pytest.fixture(scope="module")
def triangle(lab: c.Callable[[Path, str], Lab]) -> c.Iterator[Lab]:
    """A gateway of each suite, with tunnels between their LANs; stopped and without secret afterwards."""
    made = lab(Path(__file__).with_name("labs") / "suites.yml", "suites")
    # as on a gateway that has had a pluto before; without it there is one thing more to do
    each(made, lambda gateway: shell(gateway, "modprobe xfrm_user"))
    secret = f': PSK "{secrets.token_hex(20)}"\n'
    for gateway in made.gateways.values():
        gateway.run("cat >/etc/ipsec.conf", stdin=configuration(made, gateway))
        gateway.run("umask 077; cat >/etc/ipsec.secrets", stdin=secret)
    yield made
    each(made, lambda gateway: shell(gateway, STOPPED + "rm /etc/ipsec.secrets"))


EVERYTHING = os.environ.get("XSWAN_ACCIDENTS") == "all"
NAMED = {accident.name: accident for accident in ACCIDENTS}
# one of each kind: repaired, left alone, replaced, cleaned up after, refused
QUICK = (
    ("lock file removed", "started"),
    ("pluto in other namespaces", "stopped"),
    ("hung", "stopped"),
    ("killed, foreign SA", "stopped"),
    ("broken configuration", "restarted"),
    ("rejected connection", "started"),
)
CASES = tuple(itertools.product(ACCIDENTS, VERBS)) if EVERYTHING else tuple((NAMED[name], verb) for name, verb in QUICK)


def run(lab: Lab) -> None:
    """All gateways run and have their tunnels; they are started together, for none looks soon if its peer lives."""
    if set(each(lab, lambda gateway: shell(gateway, WELL)).values()) != {"well\n"}:
        each(lab, lambda gateway: shell(gateway, "reset; systemctl start ipsec; await loaded"))
    assert_tunnels_carry(lab)


@contextlib.contextmanager
def befallen(lab: Lab, accident: Accident) -> c.Iterator[None]:
    """All gateways as the accident wants them, and inside of the `with` block as it leaves them."""
    if accident.running:
        run(lab)
    else:
        each(lab, lambda gateway: shell(gateway, STOPPED))
    try:
        each(lab, lambda gateway: shell(gateway, accident.make))
        yield
    finally:
        each(lab, lambda gateway: shell(gateway, accident.mend))


@pytest.mark.parametrize(("accident", "verb"), CASES, ids=[f"{accident}-{verb}" for accident, verb in CASES])
def test_accident(accident: Accident, verb: str, triangle: Lab, note_outcome: c.Callable[..., None]) -> None:
    """The accident is named; check mode foretells what the verb does; the gateway is as asked, and stays so.

    Where a verb refuses, or fails half-way, it says why, and succeeds once the accident is mended.
    """
    with befallen(triangle, accident):
        survivors = each(triangle, lambda gateway: shell(gateway, accident.survives))
        named = status(triangle)
        foretold = setup(triangle, verb, accident.args, "--check")
        began = time.monotonic()
        done = setup(triangle, verb, accident.args)
        seconds = time.monotonic() - began
        for suite, result in done.items():
            before = named[suite]
            did = result["msg"] if result["failed"] else ", ".join(result["actions"]) or "nothing"
            note_outcome(accident.name, verb, suite, before["state"], did, seconds)
        for suite, result in done.items():
            before = named[suite]
            assert (before["state"], ids(before["findings"])) == (accident.word, accident.findings_on(suite)), suite
            assert_did(accident, verb, triangle.gateways[suite], before, foretold[suite], result)
            # the command-line tool keeps warnings to itself
            warned = any("pluto had not made are gone" in line for line in result.get("messages", ()))
            assert warned is (verb in accident.flushed), suite
        if verb not in {**accident.refused, **accident.fails}:
            assert_as_asked(accident, verb, triangle, done)
        left = each(triangle, lambda gateway: shell(gateway, accident.survives))
        assert left == (dict.fromkeys(left, "") if verb in accident.flushed else survivors)
    if verb in {**accident.refused, **accident.fails}:
        done = setup(triangle, verb, accident.args)
        assert [result["msg"] for result in done.values() if result["failed"]] == []
        assert_as_asked(accident, verb, triangle, done)


def ids(findings: list[dict[str, str]]) -> list[str]:
    """The ids of findings, sorted."""
    return sorted(finding["id"] for finding in findings)


def assert_did(
    accident: Accident,
    verb: str,
    gateway: Gateway,
    before: dict[str, t.Any],
    foretold: dict[str, t.Any],
    result: dict[str, t.Any],
) -> None:
    """A verb did what check mode foretold and what is right, or refused, or failed, for the right reason."""
    plutos = () if before["pluto_pid"] is None else (before["pluto_pid"],)
    if verb in accident.refused:
        for refusal in (foretold, result):
            assert refusal["failed"] is True
            assert (refusal["changed"], refusal["actions"]) == (False, [])
            assert accident.refused[verb] in refusal["msg"]
        assert Truth.of(gateway).plutos == plutos
        return
    assert foretold["failed"] is False, foretold
    if verb in accident.fails:
        assert result["failed"] is True, result
        assert result["error"]["type"] == "DaemonError", result
        assert accident.fails[verb] in result["msg"]
        # the step that fails is the last of the plan; what there was to do before it is done, and told
        assert foretold["actions"] == expected_actions(accident, verb, before)
        assert result["actions"] == foretold["actions"][:-1]
        assert result["messages"][-2:] == [foretold["actions"][-1], result["msg"]]
        assert result["changed"] is (bool(result["actions"]) or Truth.of(gateway).plutos != plutos)
        return
    assert result["failed"] is False, result
    assert result["actions"] == foretold["actions"] == expected_actions(accident, verb, before)
    assert result["changed"] is bool(result["actions"])
    after = result["ipsec"]
    assert after["state"] == foretold["ipsec"]["state"] == ("stopped" if verb == "stopped" else "running")
    if verb == "stopped":
        assert (after["pluto_pid"], result["exit_status"]) == (None, 0 if plutos else 1)
    else:
        assert (after["pluto_pid"] == before["pluto_pid"]) is (START not in result["actions"])


def expected_actions(accident: Accident, verb: str, before: dict[str, t.Any]) -> list[str]:
    """What a verb should do."""
    if verb == "started":
        return list(accident.started)
    flaps = before["state"] == "flapping"
    if before["pluto_pid"] is not None or (flaps and verb == "stopped"):
        end = [STOP]
    else:
        end = [CLEAN] if before["state"] != "stopped" and not flaps else []
    return end if verb == "stopped" else [*end, *({LOAD} & set(accident.started)), START]


def assert_as_asked(accident: Accident, verb: str, lab: Lab, done: Results) -> None:
    """The truth is what the verb was to bring about, a second call has nothing to do, and tunnels carry traffic."""
    truths = each(lab, Truth.of)
    for suite, result in done.items():
        if verb == "stopped":
            truths[suite].assert_stopped()
        else:
            in_unit = START in result["actions"] or "manager-disagrees" not in accident.findings
            truths[suite].assert_runs(result["ipsec"]["pluto_pid"], in_unit=in_unit)
    again = setup(lab, "stopped" if verb == "stopped" else "started", accident.args)
    assert {suite: result["changed"] for suite, result in again.items()} == dict.fromkeys(again, False)
    if verb != "stopped":
        assert_tunnels_carry(lab)


def test_a_late_answer_costs_no_tunnel(triangle: Lab) -> None:
    """Pluto's answer comes later than one look waits: it is no reason to replace it, only to look once more."""
    run(triangle)
    before = each(triangle, lambda gateway: Truth.of(gateway).plutos)
    each(triangle, lambda gateway: shell(gateway, LATE % 12))
    try:
        for options in (("--check",), ()):
            for result in setup(triangle, "started", "", *options).values():
                assert (result["failed"], result["changed"]) == (False, False), result
                assert (result["ipsec"]["state"], result["actions"]) == ("running", [])
        assert each(triangle, lambda gateway: Truth.of(gateway).plutos) == before
    finally:
        each(triangle, lambda gateway: shell(gateway, "mv /root/whack $whack"))
    assert_tunnels_carry(triangle)


def test_started_while_systemd_starts_pluto_again(triangle: Lab) -> None:
    """Pluto is killed, and comes up again by itself: seen as what it is at that time, and never started twice."""
    run(triangle)
    each(triangle, lambda gateway: shell(gateway, "kill -9 $(main_pid)"))
    for seen in status(triangle).values():
        assert seen["state"] in ("running", "unreachable", "hung", "deaf", "dead", "stopped", "flapping"), seen
    done = setup(triangle, "started", "")
    assert [result["msg"] for result in done.values() if result["failed"]] == []
    assert_as_asked(ACCIDENTS[0], "started", triangle, done)


if EVERYTHING:

    def test_walk(triangle: Lab) -> None:
        """Accidents and verbs in any order, accidents upon accidents: after each verb the gateways are as it asks."""
        walk = random.Random(SEED)
        accidents = [accident for accident in ACCIDENTS if not (accident.mend or accident.args)]
        run(triangle)
        moves: list[str] = []
        verb = "started"
        for _move in range(8):
            for accident in walk.sample(
                [one for one in accidents if one.running is (verb != "stopped")], walk.choice((1, 2))
            ):
                moves.append(accident.name)
                # the second of two may find nothing left to befall
                each(triangle, functools.partial(shell, script=accident.make, check=False))
            verb = walk.choice(VERBS)
            moves.append(verb)
            where = f"seed {SEED}: {', '.join(moves)}"
            done = setup(triangle, verb, "stop_timeout=20")
            assert {suite: result["failed"] for suite, result in done.items()} == dict.fromkeys(done, False), (
                where,
                done,
            )
            running = {suite: bool(Truth.of(gateway).plutos) for suite, gateway in triangle.gateways.items()}
            assert running == dict.fromkeys(running, verb != "stopped"), where
        done = setup(triangle, "restarted", "")
        assert_as_asked(ACCIDENTS[0], "restarted", triangle, done)
