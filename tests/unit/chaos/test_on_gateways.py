# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the campaigns on gateways: what they hold against a gateway, and that they would."""

from __future__ import annotations

import base64
import itertools
import os
import random
import runpy
import typing as t
from pathlib import Path

import pytest

from chaos import concurrency, controller, leaks, power, soak
from chaos.gateways import FILES, LEFT_OVER, Row, Variant, table, variant
from lab import Lab

WITNESS = runpy.run_path(str(FILES / "witness.py"))


@pytest.mark.parametrize(
    ("event", "args", "told"),
    [
        ("subprocess.Popen", ("x", ["systemctl", "start", "ipsec"]), "run systemctl start ipsec"),
        ("subprocess.Popen", ("x", [b"systemctl", b"stop", "ipsec"]), "run systemctl stop ipsec"),
        ("subprocess.Popen", ("ipsec", ["timeout", "9", "ipsec", "whack", "--status"]), ""),
        ("subprocess.Popen", ("x", ["timeout", "/usr/libexec/ipsec/readwriteconf", "--config", "x"]), ""),
        ("syslog.syslog", (27, "stop pluto\nmore"), "say stop pluto"),
        ("open", ("/etc/ipsec.conf.xswan-new", None, os.O_WRONLY | os.O_CREAT), "write /etc/ipsec.conf.xswan-new"),
        ("open", ("/etc/ipsec.conf", "r", os.O_RDONLY), ""),
        ("open", ("/tmp/mine", "w", os.O_WRONLY), ""),
        ("os.rename", ("/etc/new", "/etc/old", -1, -1), "rename /etc/new /etc/old"),
        ("os.remove", ("/tmp/x", -1), ""),
        ("import", ("os", None, [], [], []), ""),
    ],
)  # fmt: skip
def test_the_witness_tells_what_outlives_the_process(event: str, args: tuple[object, ...], told: str) -> None:
    assert WITNESS["effect"](event, args) == told


@pytest.fixture
def two() -> Lab:
    """Two gateways that are not up."""
    return Lab.load(FILES / "two.yml", "unit")


def test_a_variant_is_one_tunnel_that_one_end_begins(two: Lab) -> None:
    made = variant(two, "hush", extra=2)
    assert made.secret == ': PSK "hush"\n'
    assert [text.count("auto=start") for text in made.texts.values()] == [1, 0]
    assert [text.count("\nconn ") for text in made.texts.values()] == [3, 3]


def test_each_effect_is_met_before_it_and_long_ones_after_they_began() -> None:
    effects = {"one": ["write a", "run b", "write c"], "other": ["run b"]}
    found = list(power.cuts(effects, random.Random(1), lambda _what: True))
    assert [(cut.effects["one"], cut.delay is None) for cut in found] == [
        *((1, True), (1, False), (2, True), (2, False), (3, True), (3, False))
    ]
    assert {cut.effects["other"] for cut in found} == {1}
    assert all(cut.delay is None or 0 <= cut.delay <= power.LONGEST_DELAY for cut in found)


def test_only_chosen_effects_are_met() -> None:
    effects = {name: ["write a", "rename b"] for name in ("one", "other")}
    assert list(power.cuts(effects, random.Random(1), lambda what: "rename" in what)) == [
        power.Cut(dict.fromkeys(effects, 2))
    ]


class Shell(t.NamedTuple):
    """A gateway on which a command says this."""

    stdout: str
    name: str = "bookworm"

    def run(self, _script: str) -> Shell:
        return self


@pytest.mark.parametrize(
    ("path", "text", "whole"),
    [
        ("/etc/ipsec.conf", "old", True),
        ("/etc/ipsec.conf", "new", True),
        ("/etc/ipsec.conf", "ne", False),
        ("/etc/ipsec.conf", "", False),
        ("/etc/ipsec.conf.xswan-new", "ne", True),
        ("/etc/ipsec.conf.xswan-old", "ol", False),
        ("/var/lib/xswan-ipsec.json", '{"files": {}}', True),
        ("/var/lib/xswan-ipsec.json", '{"files": {', False),
    ],
)
def test_a_file_is_old_or_new(path: str, text: str, whole: bool) -> None:
    gateway: t.Any = Shell(f"{base64.b64encode(text.encode()).decode()} {path}\n")
    found = power.between(gateway, {"/etc/ipsec.conf": "old"}, Variant({"bookworm": "new"}, "hush"))
    assert found == ([] if whole else [f"bookworm: {path} is neither old nor new"])


def test_playbooks_are_the_same_for_a_seed_and_hold_every_verb() -> None:
    walks = random.Random(7), random.Random(7)
    one, other = ([controller.play(walk, ("a", "b")) for _time in range(40)] for walk in walks)
    assert one == other
    verbs = set(itertools.chain.from_iterable(controller.told(plays).split(", ") for plays in one))
    assert verbs == {*controller.STATES, "config", "status"}


def test_lines_of_two_runs_that_mix_are_seen() -> None:
    assert concurrency.mixed([("1", "stop"), ("1", "start"), ("2", "stop")]) == []
    assert concurrency.mixed([("1", "stop"), ("2", "stop"), ("1", "start")]) == ["1"]


@pytest.mark.parametrize(
    ("lines", "differ"),
    [
        ([("1", "stop pluto"), ("1", "start pluto"), ("2", "installed /etc/ipsec.conf")], False),
        ([("1", "stop pluto")], True),
        ([("1", "stop pluto"), ("1", "start pluto"), ("2", "start pluto")], True),
    ],
)
def test_the_journal_and_the_results_tell_the_same(lines: list[concurrency.Line], differ: bool) -> None:
    assert concurrency.differing(lines, [{"messages": ["stop pluto", "start pluto"]}, {}]) is differ


@pytest.mark.parametrize(
    ("verb", "result", "why"),
    [
        ("stopped", {"failed": False, "ipsec": {"state": "stopped"}}, None),
        ("stopped", {"failed": False, "ipsec": {"state": "running"}}, "stopped says that it has done it"),
        ("restarted", {"failed": True, "msg": "another run of ipsec_setup has held it"}, None),
        ("restarted", {"failed": True, "msg": "what?"}, "restarted fails: what?"),
        ("status", {"failed": False}, None),
    ],
)
def test_a_result_is_as_asked_or_names_the_lock(verb: str, result: dict[str, t.Any], why: str | None) -> None:
    said = concurrency.untrue(verb, result)
    assert said is None if why is None else str(said).startswith(why)


@pytest.mark.parametrize(
    "spelled",
    [
        *("{0}", "x{1}x", "{2}"),
        *(base64.b64encode(b"." * before + b"in-plain-sight!!" + b"." * 5).decode() for before in range(4)),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(spelled: str) -> None:
    key = b"in-plain-sight!!"
    text = spelled.format(key.decode(), key.hex(), key.hex(":").upper())
    assert leaks.found_in(f"before {text} after", {"it": [key], "other": [b"it-is-another-one"]}) == ["it"]


def test_the_parts_of_a_key_stand_in_the_key() -> None:
    mine = leaks.identity()
    der = base64.b64decode("".join(mine.key.splitlines()[1:-1])).hex()
    assert [part.hex() in der for part in mine.parts] == [True] * 3
    assert leaks.found_in("".join(mine.key.splitlines()), {"it": mine.parts}) == ["it"]
    assert leaks.found_in("".join(mine.certificate.splitlines()), {"it": mine.parts}) == []


def test_what_there_is_more_at_the_end_is_told() -> None:
    before = soak.Things(6, 18, "lo eth0", "/etc/ipsec.conf")
    assert list(soak.differences(before, before)) == []
    assert list(soak.differences(before, before._replace(sas=8))) == [f"{LEFT_OVER}sas: 6 at the start, 8 at the end"]
    pluto = soak.Pluto(7, 20_000, 30)
    assert list(soak.grown(pluto, pluto._replace(memory=20_000 + soak.GROWTH))) == []
    assert len(list(soak.grown(pluto, soak.Pluto(8, 20_001 + soak.GROWTH, 31)))) == 3


def test_a_stopped_gateway_is_started_next() -> None:
    said = list(itertools.islice(soak.operations(random.Random(3), soak.ROUGH), 200))
    assert "stopped" in said
    assert all(after == "started" for what, after in itertools.pairwise(said) if what == "stopped")


def test_the_table_counts_what_was_not_survived() -> None:
    rows = [Row("power", "cut", 4, (f"x: {LEFT_OVER}a; {LEFT_OVER}b",)), Row("soak", "all", 2, (), 0)]
    assert table(rows).splitlines()[2:] == ["| power | cut | 4 | 3 |  | 2 |", "| soak | all | 2 | 2 | 0 | 0 |"]


def test_every_file_that_is_sent_is_there() -> None:
    sent = {"witness.py", "sampler.py", "converge.yml", "secrets.yml", "two.yml", "mesh.yml"}
    assert {path.name for path in Path(FILES).iterdir()} == sent
