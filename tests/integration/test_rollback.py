# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that shuts its own author out, on gateways of every suite: it is taken back by the gateway itself."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import functools
import json
import os
import signal
import textwrap
import typing as t
from pathlib import Path

import pytest

from lab import Lab, LabError
from lab.ansible import ad_hoc, start_playbook
from lab.lab import Gateway
from lab.spec import MANAGEMENT
from lab.tools import wait_until

pytestmark = pytest.mark.lab

LABS = Path(__file__).with_name("labs")
GOOD = """config setup

conn other
    left=%defaultroute
    right=192.0.2.99
    authby=secret
    auto=add
"""
SECRETS = ': PSK "known-to-this-test-only-0123456789"\n'
SECONDS = 120
FILES = "cat /etc/ipsec.conf /etc/ipsec.secrets"
TAKE_OVER = "ipsec addconn --config /etc/ipsec.conf lockout; ipsec whack --name lockout --route"
LOADED = "ipsec whack --status | grep -c '\"lockout\"' || :"
TRACES = """
systemctl list-timers --all --no-legend | grep -c xswan
ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants | grep -c xswan
ls -A /var/lib/xswan-ipsec
pgrep -fc '[_]rollback'
echo end
"""
NOTHING = "0\n0\n0\nend\n"


def lockout(gateway: Gateway) -> str:
    """The gateway drops what it has to say to its controller.

    4.3 does not do so for `type=drop`; it does while it waits for the controller to answer as a peer, as 4.10 does not.
    """
    keys = "authby=secret" if gateway.spec.suite == "bullseye" else "authby=never\n    type=drop"
    return f"""{GOOD}
conn lockout
    left={gateway.spec.management.ip}
    right={MANAGEMENT[-2]}
    {keys}
    auto=ondemand
"""


Result = t.TypeVar("Result")


def each(lab: Lab, do: c.Callable[[Gateway], Result]) -> dict[str, Result]:
    """Do something on all gateways at once; the results by gateway."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(do, lab.gateways.values()), strict=True))


def configure(lab: Lab, **args: t.Any) -> dict[str, dict[str, t.Any]]:
    """Call ipsec_config on all gateways; `content` may be a text for each."""
    texts = args.pop("content", None)
    by_host = texts if isinstance(texts, dict) else dict.fromkeys(lab.gateways, texts)
    words = {**args, **({"content": "{{ texts[inventory_hostname] }}"} if texts else {})}
    results = ad_hoc(lab, "xswan.ipsec.ipsec_config", json.dumps(words), "-e", json.dumps({"texts": by_host}))
    assert sorted(results) == sorted(lab.gateways)
    return results


def shut_out(lab: Lab) -> dict[str, str]:
    """The configurations that do, by gateway."""
    return {name: lockout(gateway) for name, gateway in lab.gateways.items()}


def answers(gateway: Gateway) -> bool:
    """Whether it can be reached."""
    try:
        return gateway.run("true", timeout=5, check=False).returncode == 0
    except LabError:
        return False


def assert_as_before(gateway: Gateway) -> None:
    """Files and loaded connections are the old ones, and of all that took them back only the word of it is left."""
    wait_until(lambda: answers(gateway), 300, f"{gateway.name} can be reached again")
    wait_until(lambda: traces(gateway) == "0\n0\nrolled-back\n0\nend\n", 90, f"{gateway.name} has done with it")
    assert gateway.run(FILES).stdout == GOOD + SECRETS
    assert gateway.run(LOADED).stdout == "0\n"


def traces(gateway: Gateway) -> str:
    """What is left of the means to take a configuration back."""
    return gateway.run(TRACES, check=False).stdout


@pytest.fixture
def gateways(lab: c.Callable[[Path, str], Lab]) -> c.Iterator[Lab]:
    """Gateways that run with a good configuration; stopped and without secret afterwards."""
    made = lab(LABS / "suites.yml", "suites")
    for result in configure(made, content=GOOD, secrets=SECRETS).values():
        assert result["failed"] is False, result
    each(made, lambda gateway: gateway.run("systemctl restart ipsec", timeout=120))
    yield made
    each(made, lambda gateway: gateway.run("systemctl stop ipsec; rm /etc/ipsec.secrets", timeout=120))


def test_who_is_shut_out_gets_in_again(gateways: Lab, tmp_path: Path) -> None:
    """The controller is killed after the change, and nobody could confirm it; whoever tries later is told so."""
    book = tmp_path / "book.yml"
    book.write_text(
        textwrap.dedent("""\
            - hosts: gateways
              gather_facts: false
              tasks:
                - xswan.ipsec.ipsec_config:
                    content: "{{ texts[inventory_hostname] }}"
                    secrets: ': PSK "another-one-than-before-0123456789"'
                    confirm_timeout: 150
                - ansible.builtin.pause:
                    seconds: 600
                - xswan.ipsec.ipsec_config:
                    state: confirmed
            """)
    )
    with start_playbook(gateways, book, "-e", json.dumps({"texts": shut_out(gateways)}), apart=True) as controller:
        try:
            each(gateways, lambda gateway: wait_until(lambda: installed(gateway), 120, f"{gateway.name}'s change"))
        finally:
            os.killpg(controller.pid, signal.SIGKILL)
    each(gateways, lambda gateway: gateway.run(f"systemd-run -q --on-active=1 sh -c '{TAKE_OVER}'"))
    each(gateways, lambda gateway: wait_until(lambda: not answers(gateway), 120, f"{gateway.name} shuts us out"))
    each(gateways, assert_as_before)
    for result in configure(gateways, state="confirmed").values():
        assert (result["failed"], result["changed"]) == (True, False)
        assert "too late to confirm: nobody confirmed /etc/ipsec.secrets, /etc/ipsec.conf in time" in result["msg"]
        assert "install it again" in result["msg"]


def installed(gateway: Gateway) -> bool:
    """Whether the configuration that is to be taken back is there."""
    return "conn lockout" in gateway.run("cat /etc/ipsec.conf").stdout


def test_a_power_cut_does_not_matter(gateways: Lab) -> None:
    """The old files are back before pluto starts."""
    each(gateways, lambda gateway: gateway.run("systemctl enable -q ipsec; sync"))
    try:
        for result in configure(gateways, content=shut_out(gateways), confirm_timeout=3000).values():
            assert result["failed"] is False, result
        each(gateways, lambda gateway: gateway.kill())
        each(gateways, lambda gateway: gateway.boot())
        each(gateways, assert_as_before)
        order = (
            "journalctl -b -q --no-pager -o cat | grep -nE 'nobody confirmed|Starting Pluto' | sed -n '1s/[0-9]*://p'"
        )
        for said in each(gateways, lambda gateway: gateway.run(order).stdout).values():
            assert "nobody confirmed /etc/ipsec.conf in time" in said
    finally:
        each(gateways, lambda gateway: gateway.run("systemctl disable -q ipsec"))


def test_what_is_confirmed_stays_and_nothing_else_does(gateways: Lab) -> None:
    for result in configure(gateways, content=GOOD + "# new\n", confirm_timeout=SECONDS).values():
        assert result["failed"] is False, result
    for found in each(gateways, traces).values():
        assert found == "1\n2\nrollback.json\nrollback.zip\n0\nend\n"
    for result in configure(gateways, state="confirmed").values():
        assert (result["failed"], result["changed"]) == (False, True), result
    assert each(gateways, traces) == dict.fromkeys(gateways.gateways, NOTHING)
    for found in each(gateways, lambda gateway: gateway.run(FILES).stdout).values():
        assert found == f"{GOOD}# new\n{SECRETS}"
    for result in configure(gateways, state="confirmed").values():
        assert (result["failed"], result["changed"]) == (False, False), result


def test_without_systemd(lab: c.Callable[[Path, str], Lab]) -> None:
    plain = lab(LABS / "without_systemd.yml", "bare")
    for seconds, state in ((SECONDS, "confirmed"), (5, "present")):
        for result in configure(plain, content=GOOD, secrets=SECRETS).values():
            assert result["failed"] is False, result
        for result in configure(plain, content=GOOD + "# new\n", confirm_timeout=seconds).values():
            assert result["failed"] is False, result
        if state == "confirmed":
            for result in configure(plain, state=state).values():
                assert (result["failed"], result["changed"]) == (False, True), result
        wanted = GOOD + ("# new\n" if state == "confirmed" else "") + SECRETS
        each(plain, functools.partial(wait_for_files, files=wanted))


def wait_for_files(gateway: Gateway, files: str) -> None:
    """Until the files are these, and no process waits to change them."""
    look = f"pgrep -fc '[_]rollback'; {FILES}"
    wait_until(lambda: gateway.run(look, check=False).stdout == f"0\n{files}", 60, f"{gateway.name} is done")
