# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way by which what programs say could bring a secret to a person."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._direct import DirectLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import IPsecError
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Trial, faults
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import read_conf
from ansible_collections.xswan.ipsec.plugins.module_utils._log import last_lines, read_history
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto
from ansible_collections.xswan.ipsec.plugins.module_utils._preflight import Unshared, parse_trial
from ansible_collections.xswan.ipsec.plugins.module_utils._reloader import LocalReloader
from ansible_collections.xswan.ipsec.plugins.module_utils._script import ScriptLauncher, parse_status
from ansible_collections.xswan.ipsec.plugins.module_utils._secrecy import NOT_SHOWN, safe, safe_text
from ansible_collections.xswan.ipsec.plugins.module_utils._systemd import SystemdLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import parse_status as parse_whack
from fake_host import FakeClock, FakeFiles, FakeHost

QUOTES = (
    '"/etc/ipsec.secrets" line 2: WARNING: ignored unrecognized keyword: geheim',
    '003 "/etc/ipsec.secrets" line 3: PSK data malformed (input does not begin with format prefix): geheim',
    'ERROR "/etc/ipsec.secrets" line 4: index ""geheim"" illegal (non-DNS-name) character in name',
    'ERROR "/etc/ipsec.d/a b.psk" line 4: index "geheim" not a numeric IPv4 address and name lookup failed',
    'Nov 23 16:20:01.512345: "/etc/ipsec.secrets" line 5: PPK data malformed (odd): geheim',
    'Nov 23 16:20:01 gw pluto[814]: "/etc/ipsec.secrets" line 6: ERROR: unrecognized key format: geheim',
    'Nov 23 16:20:01 gw pluto[814]: addconn: "/etc/ipsec.secrets" line 7: RSA data malformed (bad): geheim',
    "cannot load config '/etc/ipsec.conf': /etc/ipsec.secrets:1: syntax error, unexpected STRING [geheim]",
)


@pytest.mark.parametrize("line", QUOTES)
def test_what_is_quoted_of_a_file_of_secrets_is_not_told(line: str) -> None:
    (shown,) = safe([line])
    assert "geheim" not in shown
    assert shown.endswith(NOT_SHOWN)
    assert list(safe([shown])) == [shown]


def test_file_line_and_kind_stay() -> None:
    assert list(safe(QUOTES[1:2])) == [f'003 "/etc/ipsec.secrets" line 3: PSK data malformed {NOT_SHOWN}']
    assert list(safe(QUOTES[-1:])) == [
        f"cannot load config '/etc/ipsec.conf': /etc/ipsec.secrets:1: syntax error, unexpected STRING {NOT_SHOWN}"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "/etc/ipsec.conf:7: syntax error, unexpected KEYWORD [dpdaction]",
        '"one": failed to add connection: leftcert="x" line 3',
        'loading secrets from "/etc/ipsec.secrets"',
        "/etc/secrets.d/ipsec.conf:7: keyword ignored",
        "unterminated string",
    ],
)
def test_other_lines_are_told_whole(line: str) -> None:
    assert list(safe([line])) == [line]


def test_debug_lines_hold_keys() -> None:
    assert safe_text("a\n| key 00\nNov 23: | key 01\nb | c\n") == "a\nb | c"


QUOTE = '"/etc/ipsec.secrets" line 3: PSK data malformed (input does not begin with format prefix): geheim'


class Quoting:
    """A host on which every program fails and quotes a secret, last and alone."""

    def __init__(self, log: Path) -> None:
        self.log = log
        log.write_text(f"{QUOTE}\n")

    def run(self, *argv: str, timeout: float) -> Completed:
        if "show" in argv:
            return Completed(argv, 0, "LoadState=loaded\nActiveState=inactive\n", "")
        if "journalctl" in argv:
            return Completed(argv, 0, f"{QUOTE}\n", "")
        if "--configsetup" in argv:
            return Completed(argv, 0, f"export logfile='{self.log}'\n", "")
        if argv[0] == "sh":
            Path(argv[-1]).write_text(f"{QUOTE}\n")
        return Completed(argv, 33, f"{QUOTE}\n", f"| key\n003 {QUOTE}\n")

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        return self.run(*argv, timeout=timeout)


WAYS: dict[str, t.Callable[[Quoting], object]] = {
    "systemd": lambda host: SystemdLauncher(host, "x").start(3),
    "systemd, stop": lambda host: SystemdLauncher(host, "x")._order("stop", 3),
    "systemd, enable": lambda host: SystemdLauncher(host, "x").enable(True),
    "direct": lambda host: DirectLauncher(host, FakeClock(), "x", rundir=str(host.log.parent)).start(3),
    "configuration": lambda host: LocalPluto(host, config=str(host.log)).check_config(),
    "readwriteconf": lambda host: LocalPluto(host, config=str(host.log)).declared(),
    "listen": lambda host: LocalPluto(host).listen(),
    "secrets": lambda host: LocalReloader(host, config="x")._order("--rereadsecrets"),
    "connection": lambda host: LocalReloader(host, config="x").load("one"),
    "sandbox": lambda host: Unshared(host).check(),
    "broken sandbox": lambda host: parse_trial("MARK", Completed((), 0, f"\nMARK broken it said: {QUOTE}\n", "")),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_error_tells_a_secret(way: str, tmp_path: Path) -> None:
    with pytest.raises(IPsecError) as caught:
        WAYS[way](Quoting(tmp_path / "log"))
    told = f"{caught.value} {caught.value.details}"
    assert "geheim" not in told
    assert "| key" not in told
    assert "PSK data malformed" in told, "the file and the kind of mistake are told"


def test_no_log_tells_a_secret(tmp_path: Path) -> None:
    host = Quoting(tmp_path / "log")
    logs = (SystemdLauncher(host, "x").log(), last_lines(str(host.log)), read_history(host, "x", 0))
    assert [set(lines) for lines in logs] == [{safe_text(QUOTE)}] * 3


def test_no_init_script_tells_a_secret(tmp_path: Path) -> None:
    script = tmp_path / "ipsec"
    script.write_text("#!/bin/sh\n")
    host = Quoting(tmp_path / "log")
    launcher = ScriptLauncher(host, FakeClock(), str(script))
    assert "geheim" not in str(launcher._run("start", 3))
    assert "geheim" not in str(parse_status("ipsec", Completed((), 1, QUOTE, ""), False))


def test_no_line_that_nobody_knows_tells_a_secret() -> None:
    answer = parse_whack(f"003 {QUOTE}\n", "")
    assert answer.unknown_lines == 1
    assert "geheim" not in str(answer)


@pytest.mark.parametrize("trial", [Trial("sandbox", log=f"FATAL\n{QUOTE}"), Trial("sandbox", 3, said=QUOTE)])
def test_no_fault_tells_a_secret_that_nobody_could_find_in_the_file(trial: Trial) -> None:
    found = faults(read_conf(FakeFiles(FakeHost()), "/etc/ipsec.conf"), trial)
    assert found
    assert "geheim" not in str(found)
