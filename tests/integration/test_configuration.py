# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role writes is read back by each suite's Libreswan, whatever the values, and no secret is shown."""

from __future__ import annotations

import collections.abc as c
import contextlib
import json
import random
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._opening import DROP_IN, ORDERS, RULES, rules
from ansible_collections.xswan.ipsec.plugins.plugin_utils._keys import pair_key
from ansible_collections.xswan.ipsec.plugins.plugin_utils._text import text_mistake
from ansible_collections.xswan.ipsec.plugins.plugin_utils._variables import configuration
from lab import Lab
from lab.ansible import Run, playbook
from lab.lab import Gateway

VALUES = 300
CHARACTERS = (
    "abcXYZ019_@%./:+-#'\\{}=,;!$()<>[]*?&|~^` \u00e9\u4e2d"  # the first ones are plain
    "\"\t\n\r\0\x01\x7f\u2028"  # and these are refused
)  # fmt: skip
WORDS = ("conn", "config setup", "include /etc/passwd", "version 2", "also=x", "# no", '"', "\\", "\n", "{", "}", " ")

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def suites(lab: c.Callable[[Path, str], Lab]) -> Lab:
    """A gateway of each suite, as Debian installs Libreswan."""
    return lab(Path(__file__).with_name("labs") / "suites.yml", "suites")


def value(chance: random.Random) -> str:
    """Text that tries to leave its line, as often as not."""
    parts = [chance.choice((chance.choice(CHARACTERS), chance.choice(WORDS))) for _part in range(chance.randint(0, 6))]
    return "".join(parts)


class Told(t.NamedTuple):
    """What is written, and what the program has to find in it."""

    conf: str
    setup: dict[str, str]
    connections: dict[str, dict[str, str]]
    """The values by key, by the connection's name."""


TEXTS = ("modecfgbanner", "modecfgdomains", "myvendorid")
"""Keys that take any text, of connections and of `config setup`."""
DEFAULTS = {"priority": 4321, "mtu": 1280}


def connection(chance: random.Random, number: int) -> tuple[dict[str, object], dict[str, str]]:
    """A connection with keys of every kind, each as often as not, and what is to be read of it."""
    name = "".join([chance.choice("abXY09"), *chance.choices("abXY09._-", k=chance.randint(0, 8)), f"-{number}"])
    subnets = [f"10.{number % 250}.{third}.0/24" for third in range(chance.randint(1, 3))]
    esp = chance.sample(["aes_gcm256", "aes256-sha2_512", "aes128-sha1"], k=chance.randint(1, 3))
    numbers = {key: chance.randint(600, 9000) for key in DEFAULTS}
    address = chance.choice(["%defaultroute", "192.0.2.1", "2001:db8::1"])
    leftid = chance.choice(["@a.example", "user@example.org", "C=NL, O=x y, CN=gw", "192.0.2.7", "%fromcert"])
    pfs = chance.random() < 0.5
    kinds: list[tuple[str, object, str]] = [
        # Up to 4.x a text of digits alone is an error, and the trial of ipsec_config says so.
        *((key, text, text) for key in TEXTS[:2] for text in [value(chance)] if not text.isdigit()),
        *((key, numbers[key], str(numbers[key])) for key in DEFAULTS),
        ("left", address, address),
        ("leftid", leftid, leftid),
        ("leftsubnets", subnets, f"{{{','.join(subnets)}}}"),
        ("esp", esp, ",".join(esp)),
        ("pfs", pfs, "yes" if pfs else "no"),
    ]
    chosen = [kind for kind in kinds if chance.random() < 0.5]
    read = {key: str(default) for key, default in DEFAULTS.items()} | {key: text for key, _given, text in chosen}
    return {"name": name, **{key: given for key, given, _text in chosen}}, read


def nobody(_host: str) -> None:
    """There is no topology here."""


def write(chance: random.Random) -> Told:
    """The text of an ipsec.conf with the connections that are not refused, and what is to be read of it."""
    kept: list[dict[str, object]] = []
    connections: dict[str, dict[str, str]] = {}
    for number in range(VALUES):
        entry, read = connection(chance, number)
        wrong = [key for key in TEXTS if text_mistake(str(entry.get(key, "")))]
        mistakes = configuration({"ipsec_connections": [entry]}, "gw", {}, nobody)["mistakes"]
        assert [said.partition(":")[0] for said in mistakes] == [f"ipsec_connections[0].{key}" for key in wrong]
        if not wrong:
            kept.append(entry)
            connections[str(entry["name"])] = read
    vendor = next(text for text in iter(lambda: value(chance), None) if not text_mistake(text) and len(text) > 1)
    setup = {"uniqueids": chance.random() < 0.5, "keep-alive": chance.randint(2, 99), "myvendorid": vendor}
    variables = {
        "ipsec_config_setup": setup,
        "ipsec_connection_defaults": DEFAULTS,
        "ipsec_connections": kept,
    }
    made = configuration(variables, "gw", {}, nobody)
    assert made["mistakes"] == []
    lines = [
        one for each in made["sections"] for one in ("", each["title"], *(f"    {line}" for line in each["lines"]))
    ]
    texts = {
        key: str(given) if not isinstance(given, bool) else "yes" if given else "no" for key, given in setup.items()
    }
    return Told("\n".join((*lines, "")), texts, connections)


def read_back(section: str, wanted: dict[str, str]) -> dict[str, str]:
    """What readwriteconf tells of these keys. In 5.2 a line can begin with a key that has lost its end."""
    found = {key: re.search(rf'\t{re.escape(key)}=("?)(.*)\1$', section, re.MULTILINE) for key in wanted}
    return {key: match[2] for key, match in found.items() if match}


def told(wanted: dict[str, str], suite: str) -> dict[str, str]:
    """What readwriteconf of this suite tells of such values."""
    if suite == "trixie":
        # 5.2 prints no identities, nor what is one of a few words
        return {key: text for key, text in wanted.items() if key not in ("leftid", "pfs")}
    return wanted


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
@pytest.mark.parametrize("seed", range(2))
def test_ipsec_conf_is_read_back(seed: int, suite: str, suites: Lab) -> None:
    """Keys of every kind, names, `config setup` and `%default`. The seed is in the name of the test."""
    written = write(random.Random(seed))
    assert VALUES / 5 < len(written.connections) < VALUES, "both kinds are to be tried"
    gateway = suites.gateways[suite]
    command = "cat > /tmp/random.conf && ipsec addconn --checkconfig --config /tmp/random.conf && "
    done = gateway.run(command + "ipsec readwriteconf --config /tmp/random.conf", stdin=written.conf)
    first, *sections = re.split(r"^conn ", done.stdout, flags=re.MULTILINE)
    assert read_back(first, written.setup) == told(written.setup, suite)
    found = {section.split(maxsplit=1)[0]: section for section in sections}
    assert written.connections.keys() <= found.keys()
    for name, wanted in written.connections.items():
        assert (name, read_back(found[name], told(wanted, suite))) == (name, told(wanted, suite))


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_ipsec_secrets_are_read_by_pluto(suite: str, suites: Lab) -> None:
    """Pluto tells what it could not read, and the kinds and identities of what it has; of the keys it tells nothing."""
    chance = random.Random(1)
    # Libreswan 4.3 knows no identity with a blank, and "=" would make it a distinguished name.
    letters = "".join(one for one in CHARACTERS if one not in " =" and not text_mistake(f"{one}a"))
    ids = [f"@{number}{''.join(chance.choices(letters, k=6))}a" for number in range(100)]
    # those that pluto prints as they are written
    plain = [*(f"@gw{number}.example" for number in range(20)), "192.0.2.1", "2001:db8::1", "user@example.org"]
    ids += [*plain, "2001:db8:1::", "%any"]
    good = (text for text in iter(lambda: value(chance), None) if not text_mistake(text))
    secrets = [{"ids": [one], "psk": f"{text} and so on"} for one, text in zip(ids, good, strict=False)]
    assert len(secrets) == len(ids)
    others = [
        {"ids": ["@alice"], "xauth": f"{next(good)} and so on"},
        {"ids": ["@gw1.example", "@gw2.example"], "ppk": f"{next(good)} and so on", "ppk_id": "PPK 1"},
    ]
    made = configuration({"ipsec_secrets": secrets + others, "ipsec_psk_minimum": 8}, "gw", {}, lambda _host: None)
    assert made["mistakes"] == []
    gateway = suites.gateways[suite]
    with as_it_was(gateway):
        gateway.run("cat > /etc/ipsec.secrets && systemctl start ipsec", stdin="\n".join((*made["secrets"], "")))
        read = gateway.run("ipsec whack --rereadsecrets && ipsec whack --listpsks").stdout
    errors = re.findall("(?:ERROR|WARNING).*", read)
    assert errors == [], errors
    listed = re.findall(r"^(?:000)? +\d+: PSK (.*)$", read, re.MULTILINE)
    assert len(listed) == len(secrets), (len(listed), len(secrets))
    # of a PPK pluto lists nothing; that it could not read it, it would tell
    assert re.findall(r"^(?:000)? +\d+: XAUTH (.*)$", read, re.MULTILINE) == ["@alice"]
    told_ids = {line.split(maxsplit=1)[0] for line in listed}
    assert set(plain) <= told_ids, set(plain) - told_ids


def test_the_role_shows_no_secret(suites: Lab, tmp_path: Path) -> None:
    """Neither in what Ansible prints, with all it has to say, nor in the process table, nor to others than root."""
    given, master = "given by hand, hush hush", "the master, hush hush hush hush hush"
    derived = pair_key(master, ["@a", "@b"])
    play = {
        "hosts": "trixie",
        "gather_facts": False,
        "roles": ["xswan.ipsec.ipsec"],
        "vars": {
            "ipsec_state": "stopped",
            "ipsec_enabled": False,
            "ipsec_psk_master": master,
            "ipsec_secrets": [{"ids": ["@gw"], "psk": given}, {"ids": ["@a", "@b"]}],
            "ipsec_connections": [{"name": "one", "left": "%defaultroute", "right": "192.0.2.9", "authby": "secret"}],
        },
    }
    path = tmp_path / "role.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    gateway = suites.gateways["trixie"]
    with as_it_was(gateway):
        with watched(gateway, given, derived, master) as seen:
            first = playbook(suites, path, "-vvv", "--diff")
        assert seen == ["this that is to be seen"]
        written = gateway.run("stat -c '%a %U %G' /etc/ipsec.secrets && cat /etc/ipsec.secrets").stdout
        again = playbook(suites, path, "-vvv", "--diff")
    assert written.startswith("600 root root\n")
    assert given in written
    assert derived in written
    for run in (first, again):
        assert run.status == 0, run.text
        assert "conn one" in first.text, "differences are not shown at all"
        for secret in (given, derived, master):
            assert secret not in run.text
    assert first.recap["trixie"]["changed"] > 0
    assert again.recap["trixie"]["changed"] == 0


WATCH = """
import glob, os, sys, time
words, seen = [line.encode() for line in sys.stdin.read().splitlines()], set()
while not os.path.exists("/run/seen"):
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue
        seen.update(word for word in words if word in text)
    time.sleep(0.05)
with open("/run/seen", "wb") as file:
    file.write(b"\\n".join(sorted(seen)))
"""


@contextlib.contextmanager
def watched(gateway: Gateway, *secrets: str) -> c.Iterator[list[str]]:
    """After the block, which of these texts were in the process table meanwhile; and one that was there for sure."""
    seen: list[str] = []
    gateway.run("cat >/root/watch.py", stdin=WATCH)
    gateway.run("cat >/root/words", stdin="\n".join((*secrets, "this that is to be seen")))
    gateway.run("rm -f /run/seen; python3 /root/watch.py </root/words >/dev/null 2>&1 & echo $! >/run/watch.pid")
    try:
        yield seen
        gateway.run(["sh", "-c", "sleep 1; exit 0", "this that is to be seen"])
    finally:
        end = "touch /run/seen; while kill -0 $(cat /run/watch.pid) 2>/dev/null; do sleep 0.1; done; cat /run/seen"
        seen += gateway.run(f"{end}; rm /run/seen /run/watch.pid /root/watch.py /root/words").stdout.splitlines()


def role(lab: Lab, folder: Path, **variables: object) -> Run:
    """Run the role on one gateway, with a connection to a peer that is not there."""
    connection = {"name": "one", "left": "%defaultroute", "right": "192.0.2.9", "authby": "secret", "auto": "start"}
    play = {
        "hosts": "trixie",
        "gather_facts": False,
        "module_defaults": {"xswan.ipsec.ipsec_setup": {"start_timeout": 15}},
        "roles": ["xswan.ipsec.ipsec"],
        "vars": {"ipsec_connections": [connection], "ipsec_packages": [], **variables},
    }
    path = folder / "one.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    return playbook(lab, path)


def test_the_role_ends_what_it_began_and_restarts_only_when_it_may(suites: Lab, tmp_path: Path) -> None:
    """A run that ends between change and confirmation is confirmed by the next.

    A change of `config setup` ends the run with the key, and pluto and all else that was asked for are there.
    """
    gateway = suites.gateways["trixie"]
    waits = "test -e /var/lib/xswan-ipsec/rollback.json"
    setup = {"uniqueids": False}
    with as_it_was(gateway):
        failed = role(suites, tmp_path, ipsec_confirm_timeout=1800, ipsec_wait="established")
        assert failed.status == 2, failed.text
        assert gateway.run(waits, check=False).returncode == 0
        again = role(suites, tmp_path, ipsec_confirm_timeout=1800)
        assert again.status == 0, again.text
        assert gateway.run(waits, check=False).returncode == 1
        assert gateway.run("systemctl is-active xswan-ipsec-rollback.timer", check=False).stdout == "inactive\n"
        assert gateway.run("grep -c '^conn one$' /etc/ipsec.conf").stdout == "1\n"

        pluto = gateway.run("pidof pluto").stdout
        sysctl = {"net.ipv4.conf.all.send_redirects": False}
        refused = role(suites, tmp_path, ipsec_config_setup=setup, ipsec_sysctl=sysctl)
        assert refused.status == 2, refused.text
        assert "config setup: uniqueids differs from what pluto was started with" in " ".join(refused.text.split())
        assert gateway.run("pidof pluto").stdout == pluto
        assert gateway.run("grep -c uniqueids=no /etc/ipsec.conf").stdout == "1\n"
        assert gateway.run("cat /proc/sys/net/ipv4/conf/all/send_redirects").stdout == "0\n"
        allowed = role(suites, tmp_path, ipsec_config_setup={**setup, "keep-alive": 10}, ipsec_allow_restart=True)
        assert allowed.status == 0, allowed.text
        assert gateway.run("pidof pluto").stdout != pluto
        gone = role(suites, tmp_path, ipsec_state="absent")
        assert gone.status == 0, gone.text


NFT = """#!/bin/sh
echo "$*" >>/run/nft.log
case $* in *xswan*) exit $(cat /run/nft.status);; esac
"""
"""Stands for nft(8), which can do nothing here: the lab's kernel has no nftables for IP."""


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_systemd_loads_the_rules_of_the_firewall_again(suite: str, suites: Lab) -> None:
    """After the host's own, whenever these are loaded; and what cannot be loaded does not end the firewall."""
    gateway = suites.gateways[suite]
    theirs, ours = "-f /etc/nftables.conf", f"-f {RULES}"

    def told(order: str, status: int) -> list[str]:
        gateway.run(f"echo {status} >/run/nft.status; >/run/nft.log; systemctl {order} nftables")
        assert gateway.run("systemctl is-active nftables").stdout == "active\n"
        return gateway.run("cat /run/nft.log").stdout.splitlines()

    gateway.run(f"cat >{RULES}", stdin=rules("inet filter input", ah=False))
    gateway.run(f"mkdir -p {Path(DROP_IN).parent}; cat >{DROP_IN}", stdin=ORDERS)
    gateway.run("cat >/usr/local/bin/nft-stand-in", stdin=NFT)
    try:
        gateway.run("cd /usr/local/bin; chmod 755 nft-stand-in; mount --bind nft-stand-in /usr/sbin/nft")
        gateway.run("systemctl daemon-reload")
        assert told("start", 0) == [theirs, ours]
        assert told("reload", 0) == [theirs, ours]
        assert told("restart", 1) == ["flush ruleset", theirs, ours]
    finally:
        gateway.run("systemctl stop nftables; umount /usr/sbin/nft; rm /usr/local/bin/nft-stand-in /run/nft.*")
        gateway.run(f"rm -r {RULES} {Path(DROP_IN).parent}; systemctl daemon-reload")


@contextlib.contextmanager
def as_it_was(gateway: Gateway) -> c.Iterator[None]:
    """IPsec stopped, and what was in its two files back in place, after the block."""
    gateway.run("systemctl stop ipsec && touch /etc/ipsec.secrets && cp -a /etc/ipsec.conf /etc/ipsec.secrets /root/")
    try:
        yield
    finally:
        gateway.run("systemctl stop ipsec && mv /root/ipsec.conf /root/ipsec.secrets /etc/")
