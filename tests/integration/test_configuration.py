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
from pathlib import Path

import pytest

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


def write(values: list[str]) -> tuple[str, dict[str, str]]:
    """The text of an ipsec.conf with a connection for each value that is not refused, and these values by name."""
    entries = [{"name": f"c{number}", "modecfgbanner": text} for number, text in enumerate(values)]
    kept: dict[str, str] = {}
    lines: list[str] = []
    for entry in entries:
        made = configuration({"ipsec_connections": [entry]}, "gw", {}, lambda _host: None)
        assert bool(made["mistakes"]) == bool(text_mistake(entry["modecfgbanner"]))
        for section in made["sections"]:
            if section["title"] != "config setup":
                kept[entry["name"]] = entry["modecfgbanner"]
                lines += ["", section["title"], *(f"    {line}" for line in section["lines"])]
    return "\n".join(("config setup", *lines, "")), kept


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
@pytest.mark.parametrize("seed", range(2))
def test_ipsec_conf_is_read_back(seed: int, suite: str, suites: Lab) -> None:
    """The seed is in the name of the test."""
    chance = random.Random(seed)
    text, kept = write([value(chance) for _value in range(VALUES)])
    assert VALUES / 5 < len(kept) < VALUES, "both kinds are to be tried"
    gateway = suites.gateways[suite]
    command = "cat > /tmp/random.conf && ipsec addconn --checkconfig --config /tmp/random.conf && "
    done = gateway.run(command + "ipsec readwriteconf --config /tmp/random.conf", stdin=text)
    found: dict[str, str] = {}
    for section in re.split(r"^conn ", done.stdout, flags=re.MULTILINE)[1:]:
        name = section.split(maxsplit=1)[0]
        banner = re.search(r'^\s+modecfgbanner=("?)(.*)\1$', section, re.MULTILINE)
        if name.startswith("c") and banner:
            found[name] = banner[2]
    # readwriteconf of 4.x prints no banner that is one digit
    untold = {name for name, text in kept.items() if suite != "trixie" and re.fullmatch("[0-9]", text)}
    assert {name: text for name, text in found.items() if name not in untold} == {
        name: text for name, text in kept.items() if name not in untold
    }


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_ipsec_secrets_are_read_by_pluto(suite: str, suites: Lab) -> None:
    """Pluto tells what it could not read, and the identities of what it has."""
    chance = random.Random(1)
    # Libreswan 4.3 knows no identity with a blank, and "=" would make it a distinguished name.
    letters = "".join(one for one in CHARACTERS if one not in " =" and not text_mistake(f"{one}a"))
    ids = [f"@{number}{''.join(chance.choices(letters, k=6))}a" for number in range(100)]
    ids += ["192.0.2.1", "2001:db8::1", "2001:db8:1::", "user@example.org", "%any"]
    texts = [text for text in (value(chance) for _id in ids) if not text_mistake(text)]
    secrets = [{"ids": [one], "psk": f"{text} and so on"} for one, text in zip(ids, texts, strict=False)]
    made = configuration({"ipsec_secrets": secrets, "ipsec_psk_minimum": 8}, "gw", {}, lambda _host: None)
    assert made["mistakes"] == []
    gateway = suites.gateways[suite]
    with as_it_was(gateway):
        gateway.run("cat > /etc/ipsec.secrets && systemctl start ipsec", stdin="\n".join((*made["secrets"], "")))
        read = gateway.run("ipsec whack --rereadsecrets && ipsec whack --listpsks").stdout
    errors = re.findall("(?:ERROR|WARNING).*", read)
    assert errors == [], errors
    listed = re.findall(r"^(?:000)? +\d+: PSK (.*)$", read, re.MULTILINE)
    assert len(listed) == len(secrets), (len(listed), len(secrets))


def test_the_role_shows_no_secret(suites: Lab, tmp_path: Path) -> None:
    """Neither in what Ansible prints, with differences and all it has to say, nor to others than root."""
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
        first = playbook(suites, path, "-vvv", "--diff")
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


def test_the_role_restarts_only_when_it_may(suites: Lab, tmp_path: Path) -> None:
    """A change of `config setup` ends the run with the key, and pluto and all else that was asked for are there."""

    def role(**variables: object) -> Run:
        connection = {"name": "one", "left": "%defaultroute", "right": "192.0.2.9", "authby": "secret", "auto": "add"}
        given = {"ipsec_connections": [connection], "ipsec_packages": [], **variables}
        play = {"hosts": "trixie", "gather_facts": False, "roles": ["xswan.ipsec.ipsec"], "vars": given}
        path = tmp_path / "restart.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        return playbook(suites, path)

    gateway = suites.gateways["trixie"]
    setup = {"uniqueids": False}
    with as_it_was(gateway):
        first = role()
        assert first.status == 0, first.text
        pluto = gateway.run("pidof pluto").stdout
        refused = role(ipsec_config_setup=setup, ipsec_sysctl={"net.ipv4.conf.all.send_redirects": False})
        assert refused.status == 2, refused.text
        assert "config setup: uniqueids differs from what pluto was started with" in " ".join(refused.text.split())
        assert gateway.run("pidof pluto").stdout == pluto
        assert gateway.run("grep -c uniqueids=no /etc/ipsec.conf").stdout == "1\n"
        assert gateway.run("cat /proc/sys/net/ipv4/conf/all/send_redirects").stdout == "0\n"
        allowed = role(ipsec_config_setup={**setup, "keep-alive": 10}, ipsec_allow_restart=True)
        assert allowed.status == 0, allowed.text
        assert gateway.run("pidof pluto").stdout != pluto
        gone = role(ipsec_state="absent")
        assert gone.status == 0, gone.text


@contextlib.contextmanager
def as_it_was(gateway: Gateway) -> c.Iterator[None]:
    """IPsec stopped, and what was in its two files back in place, after the block."""
    gateway.run("systemctl stop ipsec && touch /etc/ipsec.secrets && cp -a /etc/ipsec.conf /etc/ipsec.secrets /root/")
    try:
        yield
    finally:
        gateway.run("systemctl stop ipsec && mv /root/ipsec.conf /root/ipsec.secrets /etc/")
