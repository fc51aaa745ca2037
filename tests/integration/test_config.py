# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_config on gateways of every suite, whose tunnels carry traffic: what it refuses, installs, and leaves alone."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import json
import re
import signal
import subprocess
import typing as t
from pathlib import Path

import pytest
from plutos import PLUTOS

from lab import Lab
from lab.ansible import ad_hoc
from lab.lab import Gateway
from lab.tools import wait_until

LABS = Path(__file__).with_name("labs")
PSK = "s3cr3t-of-the-lab-0123456789"
SECRETS = f': PSK "{PSK}"\n'
MAJOR = {"bullseye": 4, "bookworm": 4, "trixie": 5}
"""Major version of Libreswan, by gateway."""

pytestmark = pytest.mark.lab

# Each is wrong in one way that `addconn --checkconfig` lets pass in at least one of the versions.
BAD_CONNECTIONS = """
conn %default
    left=%defaultroute
    right=192.0.2.99
    authby=secret
    auto=add

conn badike
    ike=ike_string_for_testing

conn badesp
    esp=aes-foo

conn pfsno
    pfs=no
    esp=aes256-sha2_256;modp2048

conn badlist
    leftsubnets={10.8.0.0/16,bogus}
    rightsubnet=10.9.0.0/16

conn badsubnet
    leftsubnet=10.0.0.0/33

conn nocert
    authby=rsasig
    leftcert=nosuch
    rightid=%fromcert

conn noalso
    also=nowhere

conn dupkey
    ike=aes256-sha2_256;modp2048
    ike=aes128-sha2_256;modp2048

conn alias
    esp=aes256-sha2_256
    phase2alg=aes128-sha2_256

conn dup
conn dup
    right=192.0.2.98

conn badmtu
    mtu=abc

conn badlife
    ikelifetime=banana

conn badaddress
    right=300.1.1.1

conn elsewhere
    left=203.0.113.1
    right=203.0.113.2
    auto=start
"""
WRONG_CONNECTIONS = {
    *(("bad-algorithm", "badike", "ike"), ("bad-algorithm", "badesp", "esp"), ("pfs-contradiction", "pfsno", "esp")),
    *(("bad-value", "badlist", "leftsubnets"), ("bad-value", "badsubnet", "leftsubnet")),
    *(("missing-certificate", "nocert", "leftcert"), ("missing-also", "noalso", "also")),
    *(("duplicate-key", "dupkey", "ike"), ("duplicate-key", "alias", "phase2alg")),
    *(("duplicate-connection", "dup", None), ("value-ignored", "badmtu", "mtu")),
    *(("value-ignored", "badlife", "ikelifetime"), ("bad-value", "badaddress", "right")),
    ("unoriented", "elsewhere", "left"),
}


def tunnels(lab: Lab) -> dict[str, str]:
    """A ring of tunnels between the LANs: ipsec.conf by gateway."""
    names = list(lab.gateways)
    texts = dict.fromkeys(names, "config setup\n    plutodebug=none\n\n")
    for left, right in zip(names, names[1:] + names[:1], strict=True):
        # a gateway that starts before its peer soon tries again
        keys = [f"conn {left}-{right}", "authby=secret", "retransmit-timeout=5s"]
        for end, name in (("left", left), ("right", right)):
            spec = lab.gateways[name].spec
            keys += [f"{end}={spec.wan.ip}", f"{end}subnet={spec.lan}"]
        # only one of them starts: were it both, there might be two, one of which ends at some time
        for name, auto in ((left, "start"), (right, "add")):
            texts[name] += "\n    ".join((*keys, f"auto={auto}")) + "\n\n"
    return texts


def configure(lab: Lab, texts: dict[str, str] | str, *options: str, **args: t.Any) -> dict[str, dict[str, t.Any]]:
    """Call ipsec_config on every gateway, with a text for each or the same for all."""
    by_host = texts if isinstance(texts, dict) else dict.fromkeys(lab.gateways, texts)
    words = {"content": "{{ texts[inventory_hostname] }}", "timeout": 300, **args}
    results = ad_hoc(lab, "xswan.ipsec.ipsec_config", json.dumps(words), "-e", json.dumps({"texts": by_host}), *options)
    assert sorted(results) == sorted(lab.gateways)
    return results


LOOK = r"""
cd /
md5sum /etc/ipsec.conf /etc/ipsec.secrets
find /etc /var/lib/ipsec /run -xdev -newer /root/mark | grep -v -E "$LIVELY" | sort
ls -A /etc/ipsec.d /etc/ipsec.d/policies /var/lib/ipsec/nss; cat /etc/ipsec.d/policies/* | md5sum
pid=$(plutos); echo $pid; cut -d" " -f 22 /proc/${pid% }/stat; ls /run/pluto
ip xfrm state | grep proto; ipsec whack --status | grep -E '^(000 )?Total'
ip -brief link; ip -brief address; ip route; ip route show table all | md5sum; md5sum </proc/mounts
for p in /proc/[0-9]*; do readlink $p/ns/net; done | sort | uniq
pgrep -x addconn; pgrep -x unshare; pgrep -f [x]swan-ipsec-trial
journalctl -q --no-pager | grep -c "Starting Pluto"
echo end
"""
"""All that a trial must leave as it is, and the files in which time is written."""
LIVELY = "^/run/(log|systemd|user|utmp|sudo|xswan-ipsec.(lock|trial)|udev|dbus)|^/run$|^/etc$|^/run/sshd"


class Truth(t.NamedTuple):
    """A gateway, looked at without the collection's help."""

    text: str

    @classmethod
    def of(cls, gateway: Gateway) -> Truth:
        """Look."""
        said = gateway.run(
            f"[ -e /root/mark ] || touch /root/mark; LIVELY='{LIVELY}'\n{PLUTOS}{LOOK}", check=False, timeout=120
        )
        assert said.stdout.endswith("end\n"), said
        return cls(said.stdout)


def truths(lab: Lab) -> dict[str, Truth]:
    """The truth of every gateway."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(Truth.of, lab.gateways.values()), strict=True))


class Ping:
    """A ping from each gateway's LAN to the next one's, for as long as the `with` block lasts; it must lose nothing."""

    def __init__(self, lab: Lab) -> None:
        gateways = list(lab.gateways.values())
        self._pairs = list(zip(gateways, gateways[1:] + gateways[:1], strict=True))
        self._running: list[subprocess.Popen[str]] = []

    def wait(self) -> None:
        """Wait until one crosses every tunnel."""
        for here, there in self._pairs:
            argv = ("ping", "-n", "-c", "1", "-W", "1", there.lan_host.address)

            def crosses(host: t.Any = here.lan_host, argv: tuple[str, ...] = argv) -> bool:
                return bool(host.run(argv, check=False).returncode == 0)

            wait_until(crosses, 120, f"a ping from {here.name}'s LAN to {there.name}'s")

    def __enter__(self) -> t.Self:
        self.wait()
        for here, there in self._pairs:
            argv = here.lan_host.command(["ping", "-n", "-i", "0.2", there.lan_host.address])
            self._running.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        return self

    def __exit__(self, *exception: object) -> None:
        said = []
        for process in self._running:
            process.send_signal(signal.SIGINT)
            said.append(process.communicate(timeout=60)[0])
        for text in said:
            numbers = [int(number) for number in re.findall(r"icmp_seq=(\d+)", text)]
            assert len(numbers) > 5, text
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), "a packet was lost"


@pytest.fixture(scope="module")
def ring(own_lab: c.Callable[[Path, str], Lab]) -> Lab:
    """Gateways of each suite with tunnels that are up, made by the module under test."""
    made = own_lab(LABS / "suites.yml", "config")
    texts = tunnels(made)
    for options in (("--check", "--diff"), ("--diff",)):
        for name, result in configure(made, texts, *options, secrets=SECRETS).items():
            assert result["failed"] is False, result
            assert (result["changed"], result["preflight"], result["findings"]) == (True, "sandbox", [])
            assert len(result["connections"]["added"]) == 2
            assert PSK not in json.dumps(result)
            text = made.gateways[name].run("cat /etc/ipsec.conf").stdout
            assert (text == texts[name]) is (options == ("--diff",))
    for gateway in made.gateways.values():
        said = gateway.run("stat -c '%a %U:%G' /etc/ipsec.conf /etc/ipsec.secrets; cat /etc/ipsec.secrets")
        assert said.stdout == f"644 root:root\n600 root:root\n{SECRETS}"
    for result in ad_hoc(made, "xswan.ipsec.ipsec_setup", "state=restarted start_timeout=300").values():
        assert result["failed"] is False, result
    Ping(made).wait()
    return made


def test_the_second_run_changes_nothing(ring: Lab) -> None:
    """With another trial, and without one, for nothing has changed since the one before."""
    before = truths(ring)
    with Ping(ring):
        for options in ({"preflight": "sandbox"}, {}):
            for result in configure(ring, tunnels(ring), secrets=SECRETS, **options).values():
                assert result["failed"] is False, result
                assert (result["changed"], result["files"], result["impact"]) == (False, [], [])
                assert result["preflight"] == options.get("preflight", "known")
    assert truths(ring) == before


def test_what_a_trial_has_seen_must_be_as_it_was(ring: Lab) -> None:
    """A new trial comes with another address, NSS database, and file of secrets."""
    changes = (
        "ip address add 198.51.100.200/32 dev lo",
        "touch /var/lib/ipsec/nss/cert9.db",
        "echo >/etc/ipsec.d/one.secrets",
    )
    included = {"secrets": f"include /etc/ipsec.d/*.secrets\n{SECRETS}"}
    try:
        configure(ring, tunnels(ring), backups=0, **included)
        for change in changes:
            for gateway in ring.gateways.values():
                gateway.run(change)
            for preflight in ("sandbox", "known"):
                for name, result in configure(ring, tunnels(ring), **included).items():
                    assert (result["failed"], result["changed"], result["preflight"]) == (False, False, preflight), (
                        name,
                        change,
                        result,
                    )
    finally:
        for gateway in ring.gateways.values():
            gateway.run("ip address del 198.51.100.200/32 dev lo; rm /etc/ipsec.d/one.secrets")
        configure(ring, tunnels(ring), secrets=SECRETS, backups=0)


def test_a_clock_that_is_set_makes_no_other_pluto(ring: Lab) -> None:
    """What it was told to read, and what it has read, is still known: an hour later, and an hour earlier again."""

    def reload() -> dict[str, dict[str, t.Any]]:
        return ad_hoc(ring, "xswan.ipsec.ipsec_setup", "state=reloaded start_timeout=300")

    for secrets in (f"# another\n{SECRETS}", SECRETS):
        for result in configure(ring, tunnels(ring), secrets=secrets, backups=0).values():
            assert (result["failed"], result["changed"]) == (False, True), result
        for result in reload().values():
            assert result["actions"] == ["read the secrets again"], result
    for shift in ("1 hour", "-1 hour"):
        for gateway in ring.gateways.values():
            gateway.run(f"date -s '{shift}'")
        for result in reload().values():
            assert (result["failed"], result["changed"]) == (False, False), result


def refused(lab: Lab, texts: dict[str, str] | str, **args: t.Any) -> dict[str, set[tuple[str, t.Any, t.Any]]]:
    """The errors, by gateway, for which a candidate is refused; the gateways must not notice."""
    before = truths(lab)
    found = {}
    with Ping(lab):
        for name, result in configure(lab, texts, **args).items():
            assert (result["failed"], result["changed"]) == (True, False)
            assert result["error"]["type"] == "ConfigError"
            assert "refused, nothing was changed" in result["msg"]
            assert PSK not in json.dumps(result)
            errors = [finding for finding in result["error"]["findings"] if finding["severity"] == "error"]
            assert all(finding["cure"] for finding in errors)
            found[name] = {(finding["id"], finding["connection"], finding["key"]) for finding in errors}
    assert truths(lab) == before
    return found


def test_every_kind_of_bad_connection_is_refused(ring: Lab) -> None:
    texts = {name: text + BAD_CONNECTIONS for name, text in tunnels(ring).items()}
    for errors in refused(ring, texts).values():
        assert errors == WRONG_CONNECTIONS


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "plutodebug=none",
            "plutodebug=nosuchword",
            {4: ("bad-value", "plutodebug"), 5: ("value-ignored", "plutodebug")},
        ),
        ("plutodebug=none", "nat_traversal=yes", dict.fromkeys((4, 5), ("unknown-keyword", "nat_traversal"))),
    ],
    ids=["plutodebug", "other-version"],
)
def test_a_bad_config_setup_is_refused(ring: Lab, old: str, new: str, error: dict[int, tuple[str, str]]) -> None:
    texts = {name: text.replace(old, new) for name, text in tunnels(ring).items()}
    for name, errors in refused(ring, texts).items():
        identity, key = error[MAJOR[name]]
        assert errors == {(identity, None, key)}


def test_bad_secrets_are_refused_and_not_quoted(ring: Lab) -> None:
    secrets = f'{SECRETS}192.0.2.77 : PSK {PSK}\n: PSK "{PSK}\n'
    for errors in refused(ring, tunnels(ring), secrets=secrets).values():
        assert errors == {("bad-secret", None, None)}


def test_entries_of_secrets_that_no_version_here_uses(ring: Lab) -> None:
    """4.3 refuses PIN and thinks RSA needless, later ones ignore both."""
    for errors in refused(ring, tunnels(ring), secrets=f'{SECRETS}: PIN %smartcard "{PSK}"\n').values():
        assert errors == {("secret-ignored", None, None)}
    before = truths(ring)
    given = {"secrets": f'{SECRETS}@gw : RSA "a-nickname" "{PSK}"\n'}
    for result in configure(ring, tunnels(ring), "--check", **given).values():
        assert result["failed"] is False, result
        assert [(one["id"], one["severity"]) for one in result["findings"]] == [("secret-ignored", "warning")]
        assert PSK not in json.dumps(result)
    assert truths(ring) == before


def test_what_a_version_ignores_is_warned_of(ring: Lab) -> None:
    texts = {name: text.replace("    auto=", "    dpdaction=hold\n    auto=") for name, text in tunnels(ring).items()}
    before = truths(ring)
    for name, result in configure(ring, texts, "--check").items():
        assert result["failed"] is False, result
        ignored = {(finding["id"], finding["key"]) for finding in result["findings"] if finding["place"]}
        # 4.3 and 4.10 say each in its own way that it needs other keys beside it
        assert (("keyword-ignored", "dpdaction") in ignored) or MAJOR[name] == 4
        assert result["findings"] != []
    assert truths(ring) == before


def test_included_files_and_policies_are_installed_and_removed(ring: Lab) -> None:
    extra = "conn extra\n    left=%defaultroute\n    right=192.0.2.99\n    authby=secret\n    auto=add\n"
    texts = {name: f"{text}include /etc/ipsec.d/*.conf\n" for name, text in tunnels(ring).items()}
    path = "/etc/ipsec.d/extra.conf"
    added = configure(
        ring, texts, files=[{"path": path, "content": extra}], policies={"private": "198.51.100.0/24\n"}, backups=0
    )
    for result in added.values():
        assert result["failed"] is False, result
        assert result["files"] == ["/etc/ipsec.d/policies/private", path, "/etc/ipsec.conf"]
        assert result["connections"] == {"added": ["extra"], "changed": {}, "removed": [], "unchanged": 2}
        assert result["impact"] == [
            *("extra: new", "policy group private changed, connections for policy groups are replaced"),
            *("2 unchanged", "no restart needed"),
        ]
    bad = extra.replace("192.0.2.99", "192.0.2.99\n    ike=bogus")
    for errors in refused(ring, texts, files=[{"path": path, "content": bad}]).values():
        assert errors == {("bad-algorithm", "extra", "ike")}
    for result in configure(ring, texts, files=[{"path": path, "state": "absent"}], backups=0).values():
        assert result["failed"] is False, result
        assert result["connections"]["removed"] == ["extra"]
    for gateway in ring.gateways.values():
        assert gateway.run("ls /etc/ipsec.d").stdout.split() == ["policies"]
    for result in configure(ring, tunnels(ring), backups=0).values():
        assert result["failed"] is False, result


CONTEXTS = """
import os, sys
for path in sys.argv[2:]:
    if sys.argv[1]:
        os.setxattr(path, "security.selinux", sys.argv[1].encode() + b"\\0")
    print(os.getxattr(path, "security.selinux").rstrip(b"\\0").decode())
"""
MATCHPATHCON = """#!/bin/sh
[ "$1 $2" = "-n /etc/ipsec.d/extra.conf" ] && echo system_u:object_r:of_the_policy_t:s0
"""
"""Stands for SELinux's tool, which tells what the policy has for a path."""


def test_the_selinux_contexts_of_files_are_kept(ring: Lab) -> None:
    """The lab's kernel has SELinux without a policy, so it keeps whatever contexts its file systems are given."""
    context, extra = "system_u:object_r:of_this_test_t:s0", "/etc/ipsec.d/extra.conf"
    files = ("/etc/ipsec.conf", "/etc/ipsec.secrets")

    def contexts(gateway: Gateway, given: str, *paths: str) -> list[str]:
        return gateway.run(["python3", "-c", CONTEXTS, given, *paths]).stdout.split()

    for gateway in ring.gateways.values():
        contexts(gateway, context, *files, "/etc/ipsec.d")
        gateway.run("cat >/usr/local/sbin/matchpathcon; chmod +x /usr/local/sbin/matchpathcon", stdin=MATCHPATHCON)
    try:
        texts = {name: f"{text}# new\n" for name, text in tunnels(ring).items()}
        more = [{"path": extra, "content": "# new\n"}]
        for name, result in configure(ring, texts, secrets=f"# new\n{SECRETS}", files=more).items():
            assert result["failed"] is False, result
            assert result["files"] == [extra, *reversed(files)]
            gateway, backups = ring.gateways[name], result["backups"]
            # with the old contents their contexts
            assert [backup.split(".2")[0] for backup in backups] == [*reversed(files)]
            assert contexts(gateway, "", *files, *backups) == [context] * 4
            assert contexts(gateway, "", extra) == ["system_u:object_r:of_the_policy_t:s0"]
    finally:
        for gateway in ring.gateways.values():
            gateway.run("rm /usr/local/sbin/matchpathcon")
        gone = [{"path": extra, "state": "absent"}]
        for result in configure(ring, tunnels(ring), secrets=SECRETS, files=gone, backups=0).values():
            assert result["failed"] is False, result


def test_where_no_sandbox_is_allowed_it_warns(ring: Lab) -> None:
    try:
        for gateway in ring.gateways.values():
            gateway.run("echo 0 >/proc/sys/user/max_net_namespaces")
        for result in configure(ring, tunnels(ring), secrets=SECRETS).values():
            assert (result["failed"], result["changed"], result["preflight"]) == (False, False, "known")
        for gateway in ring.gateways.values():
            gateway.run("rm /run/xswan-ipsec.trial")
        for result in configure(ring, tunnels(ring), secrets=SECRETS).values():
            assert result["failed"] is False, result
            assert (result["changed"], result["preflight"]) == (False, "static")
            (finding,) = result["findings"]
            assert (finding["id"], finding["severity"]) == ("no-sandbox", "warning")
            assert "namespaces of its own cannot be had" in finding["message"]
        texts = {name: f"{text}conn double\nconn double\n" for name, text in tunnels(ring).items()}
        for errors in refused(ring, texts).values():
            assert errors == {("duplicate-connection", "double", None)}
        for result in configure(ring, tunnels(ring), preflight="sandbox").values():
            assert (result["failed"], result["error"]["type"]) == (True, "DependencyError")
    finally:
        for gateway in ring.gateways.values():
            gateway.run("echo 1000 >/proc/sys/user/max_net_namespaces")


KILL = r"""
mine=$(cat /run/pluto/pluto.pid)
while :; do
    for pid in $(pidof pluto); do
        [ "$pid" = "$mine" ] || break 2
    done
    sleep 0.05
done
while [ "$pid" -gt 1 ]; do
    pid=$(sed -E 's/^[0-9]+ \(.*\) . ([0-9]+) .*/\1/' /proc/$pid/stat)
    case $(cat /proc/$pid/comm) in python*) kill -9 $pid && echo killed; exit;; esac
done
"""
"""The module is the nearest Python above the throw-away pluto."""


def test_kill_9_in_the_middle_leaves_nothing(ring: Lab) -> None:
    """Many connections make the middle long enough to be met."""
    many = "".join(
        f"conn many{number}\n    left=%defaultroute\n    right=198.51.100.{number}\n    authby=secret\n    auto=add\n"
        for number in range(1, 250)
    )
    before = truths(ring)
    with Ping(ring), concurrent.futures.ThreadPoolExecutor() as pool:
        killers = [pool.submit(gateway.run, KILL, timeout=300) for gateway in ring.gateways.values()]
        for result in configure(ring, {name: text + many for name, text in tunnels(ring).items()}).values():
            assert result["failed"] is True
        assert [killer.result().stdout for killer in killers] == ["killed\n"] * 3
        wait_until(lambda: truths(ring) == before, 60, "every gateway is as it was")


def test_without_systemd(lab: c.Callable[[Path, str], Lab]) -> None:
    plain = lab(LABS / "without_systemd.yml", "bare")
    good = "config setup\n\nconn one\n    left=%defaultroute\n    right=192.0.2.99\n    authby=secret\n    auto=add\n"
    for result in configure(plain, good, "--check").values():
        assert result["failed"] is False, result
        assert (result["changed"], result["preflight"], result["connections"]["added"]) == (True, "sandbox", ["one"])
    for result in configure(plain, f"{good}    ike=bogus\n").values():
        assert [(fault["id"], fault["key"]) for fault in result["error"]["findings"]] == [("bad-algorithm", "ike")]
