# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._config import Installation, Proposal, install, restore
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Trial
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD
from fake_host import FakeHost

CONFIG, SECRETS = "/etc/ipsec.conf", "/etc/ipsec.secrets"
GOOD = "conn one\n left=%defaultroute\n right=192.0.2.9\n auto=add\n"
STATUS = '"one": 192.0.2.1...192.0.2.9; unrouted;\n'
REFUSED = "\"one\": failed to add connection: IKE encryption algorithm 'foo' is not recognized"


def proposal(*files: File, **options: t.Any) -> Proposal:
    return Proposal(Candidate(CONFIG, files), (SECRETS,), **options)


def config(text: str) -> File:
    return File(CONFIG, text)


def psk(text: str) -> File:
    return File(SECRETS, f': PSK "{text}"\n', secret=True)


@pytest.fixture
def fake() -> FakeHost:
    """A gateway with a configuration, on which trials go well."""
    fake = FakeHost()
    fake.files = {CONFIG: (0o644, GOOD), SECRETS: (0o600, ': PSK "old secret"\n')}
    return fake


def done(fake: FakeHost, wanted: Proposal, *, check_mode: bool = False) -> Installation:
    return install(wanted, fake.host(), check_mode=check_mode)


def test_a_good_candidate_is_installed_and_the_second_run_finds_nothing_to_do(fake: FakeHost) -> None:
    wanted = proposal(psk("new secret"), config(GOOD + " ike=aes256\n"))
    told = done(fake, wanted, check_mode=True).to_result()
    assert "install" not in fake.calls
    result = done(fake, wanted).to_result()
    assert {**result, "backups": []} == told
    assert result["changed"] is True
    assert result["files"] == [SECRETS, CONFIG]
    assert len(result["backups"]) == 2
    assert result["connections"] == {"added": [], "changed": {"one": ["ike"]}, "removed": [], "unchanged": 0}
    assert result["impact"] == [
        *("one: ike changed, will renegotiate", "secrets changed, pluto must read them again"),
        *("0 unchanged", "no restart needed"),
    ]
    assert fake.files[CONFIG] == (0o644, GOOD + " ike=aes256\n")
    assert fake.log == ["installed /etc/ipsec.secrets, /etc/ipsec.conf"]
    again = done(fake, wanted).to_result()
    assert (again["changed"], again["files"], again["impact"], again["diff"]) == (False, [], [], [])


def test_what_is_installed_is_tried_once(fake: FakeHost) -> None:
    """Until it changes; and when that is asked for, or what was found then is to be judged by another measure."""
    fake.trial = Trial("sandbox", started=True, status=STATUS, said="a word of warning")
    wanted = proposal(config(GOOD + " ike=aes256\n"))
    first = done(fake, wanted)
    again = done(fake, wanted)
    assert (first.method, again.method, again.faults) == ("sandbox", "known", first.faults)
    assert fake.calls.count("load") == 1
    assert [done(fake, proposal(), check_mode=mode).method for mode in (True, False)] == ["known"] * 2
    with pytest.raises(ConfigError, match="a word of warning"):
        done(fake, proposal(strict=True))
    assert fake.calls.count("load") == 1
    assert done(fake, proposal(preflight="sandbox")).method == "sandbox"
    fake.files[SECRETS] = (0o600, "")
    assert [done(fake, wanted, check_mode=mode).method for mode in (True, False, False)] == ["sandbox"] * 2 + ["known"]


def test_what_is_accepted_once_is_not_accepted_for_ever(fake: FakeHost) -> None:
    fake.trial = Trial("sandbox", started=True, log=REFUSED)
    wanted = proposal(config(GOOD + " ike=foo\n"), accept=frozenset({"bad-algorithm"}))
    assert [done(fake, wanted).method for _run in range(2)] == ["sandbox", "known"]
    with pytest.raises(ConfigError, match="connection one is not loaded"):
        done(fake, proposal())


def test_where_there_is_no_sandbox_nothing_is_remembered(fake: FakeHost) -> None:
    fake.sandbox_error = "no namespaces"
    assert [done(fake, proposal()).method for _run in range(2)] == ["static"] * 2


def test_the_result_tells_of_what_there_is_a_record(fake: FakeHost) -> None:
    """Which a role asks that would have to call modules for nothing else; check mode foretells it."""
    fake.files[RECORD] = (0o600, json.dumps({"sysctl": {"before": {}, "ours": {}}, "firewall": {"chain": "inet a b"}}))
    runs = (
        (proposal(config(GOOD)), ["firewall", "sysctl"]),
        (proposal(config(GOOD), record=True), ["files", "firewall", "sysctl"]),
        (proposal(config(GOOD), purge=True), ["files", "firewall", "sysctl"]),
        (proposal(purge=True), ["firewall", "sysctl"]),
    )
    for wanted, parts in runs:
        for check_mode in (True, False):
            assert done(fake, wanted, check_mode=check_mode).to_result()["recorded"] == parts


@pytest.mark.parametrize(("mode", "shown"), [(0o600, False), (0o400, False), (-1, False), (0o644, True)])
def test_what_only_root_could_read_is_not_shown_when_it_is_removed(fake: FakeHost, mode: int, shown: bool) -> None:
    """Nobody says of a file that goes that it holds secrets. Of one that is not root's the mode says nothing (-1)."""
    more = "/etc/ipsec.d/more.secrets"
    fake.files[more] = (mode, ': PSK "old secret"\n')
    result = done(fake, proposal(File(more, None))).to_result()
    assert more not in fake.files
    assert ("old secret" in json.dumps(result)) is shown
    assert result["secrets_changed"] is not shown


def test_what_goes_is_noted_as_what_pluto_has_read(fake: FakeHost) -> None:
    """Before it goes; and only when it goes."""
    wanted = proposal(config(GOOD + " ike=aes256\n"))
    done(fake, wanted, check_mode=True)
    assert fake.noted == []
    done(fake, wanted)
    assert fake.noted == [GOOD]
    done(fake, wanted)
    assert fake.noted == [GOOD]


def test_a_policy_group_has_an_impact(fake: FakeHost) -> None:
    folder = "/etc/ipsec.d/policies"
    backup = f"{folder}/clear.20260101T000000Z~"
    fake.files[backup] = (0o644, "")
    group = proposal(File(f"{folder}/private", "192.0.2.0/24\n"), File(backup, None))
    assert done(fake, group).to_result()["impact"] == [
        "policy group private changed, connections for policy groups are replaced",
        *("1 unchanged", "no restart needed"),
    ]


def test_secrets_are_in_no_result(fake: FakeHost) -> None:
    said = json.dumps(done(fake, proposal(psk("new secret"))).to_result())
    assert "old secret" not in said
    assert "new secret" not in said
    assert "secrets are not shown" in said


def test_a_secret_that_pluto_quotes_is_hidden(fake: FakeHost) -> None:
    fake.trial = Trial("sandbox", started=True, status=STATUS, said="what is new secret, and old secret?")
    said = json.dumps(done(fake, proposal(psk("new secret"))).to_result())
    assert "what is ********, and ********?" in said


def test_a_bad_candidate_is_refused_with_all_its_faults(fake: FakeHost) -> None:
    before = dict(fake.files)
    fake.trial = Trial("sandbox", started=True, log=REFUSED)
    for check_mode in (True, False):
        with pytest.raises(ConfigError, match="refused, nothing was changed: connection one is not loaded") as caught:
            done(fake, proposal(config(GOOD + " ike=foo\n")), check_mode=check_mode)
        (finding,) = caught.value.details["findings"]
        assert (finding["connection"], finding["key"], finding["value"]) == ("one", "ike", "foo")
        assert "not recognized" in finding["said"]
        assert "algparse" in finding["cure"]
    assert fake.files == before
    assert "install" not in fake.calls


def test_warnings_are_told_and_strict_refuses_them(fake: FakeHost) -> None:
    fake.trial = Trial("sandbox", started=True, status=STATUS, said="a word of warning")
    result = done(fake, proposal()).to_result()
    assert result["changed"] is False
    assert "a word of warning" in result["warnings"][0]
    with pytest.raises(ConfigError, match="a word of warning"):
        done(fake, proposal(strict=True))


def test_a_finding_that_is_accepted_is_only_a_warning(fake: FakeHost) -> None:
    fake.trial = Trial("sandbox", started=True, log=REFUSED)
    wanted = proposal(config(GOOD + " ike=foo\n"), accept=frozenset({"bad-algorithm"}), strict=True)
    result = done(fake, wanted).to_result()
    assert (result["changed"], result["findings"][0]["severity"]) == (True, "warning")
    with pytest.raises(ConfigError, match="there is no finding bad-luck; it is one of syntax, "):
        done(fake, proposal(accept=frozenset({"bad-luck"})))


def test_without_a_sandbox_the_static_checks_do_and_say_so(fake: FakeHost) -> None:
    fake.sandbox_error = "namespaces of its own cannot be had: Operation not permitted"
    result = done(fake, proposal(config(GOOD + "conn two\n"))).to_result()
    assert (result["changed"], result["preflight"]) == (True, "static")
    assert "Operation not permitted; only the syntax was checked" in result["warnings"][0]
    with pytest.raises(ConfigError, match="one is there twice"):
        done(fake, proposal(config(GOOD + GOOD)))
    with pytest.raises(DependencyError, match="Operation not permitted"):
        done(fake, proposal(preflight="sandbox"))


def test_static_asks_for_no_sandbox(fake: FakeHost) -> None:
    assert done(fake, proposal(preflight="static")).to_result()["preflight"] == "static"
    assert "load" not in fake.calls


def test_wrong_modes_are_mended(fake: FakeHost) -> None:
    fake.files[SECRETS] = (0o644, ': PSK "old secret"\n')
    result = done(fake, proposal(psk("old secret"), config(GOOD))).to_result()
    assert (result["files"], result["secrets_changed"], result["impact"]) == ([SECRETS], False, [])
    assert fake.files[SECRETS][0] == 0o600


def test_a_failure_to_write_changes_nothing(fake: FakeHost) -> None:
    fake.fail = "install"
    before = dict(fake.files)
    with pytest.raises(DaemonError):
        done(fake, proposal(config(GOOD + "conn two\n")))
    assert fake.files == before
    assert fake.guarded is False


def test_files_that_are_not_as_asked_after_all_are_a_bug(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.xswan.ipsec.plugins.module_utils._errors import VerifyError

    monkeypatch.setattr(type(fake.host().files), "install", lambda self, files, keep: ())
    with pytest.raises(VerifyError, match="installed, but not as asked: "):
        done(fake, proposal(config(GOOD + " ike=aes256\n")))


def test_what_cannot_be_a_candidate(fake: FakeHost) -> None:
    with pytest.raises(ConfigError, match="installed twice"):
        done(fake, proposal(config(GOOD), config("")))
    with pytest.raises(ConfigError, match=r"ipsec.conf does not exist"):
        done(fake, proposal(File(CONFIG, None)))
    fake.installed = False
    with pytest.raises(DependencyError, match="install the package libreswan"):
        done(fake, proposal(config(GOOD)))


PRIVATE = "/etc/ipsec.d/policies/private"
BEFORE = {CONFIG: (0o640, GOOD), PRIVATE: (0o644, "# the distribution's\n")}


def policy(text: str) -> File:
    return File(PRIVATE, text)


def recording(*files: File, purge: bool = True) -> Proposal:
    return proposal(*files, record=True, purge=purge)


def test_what_was_recorded_is_put_back_and_nothing_else(fake: FakeHost) -> None:
    """Files that were there have their old text and mode, files that were not are gone, others' are as they are."""
    fake.files = dict(BEFORE)
    done(fake, recording(psk("new secret"), config(GOOD + " ike=aes256\n"), policy("10.0.0.0/8\n")))
    done(fake, recording(psk("newer secret"), config(GOOD + " ike=aes128\n"), policy("10.0.0.0/8\n")))
    assert fake.files[RECORD][0] == 0o600
    done(fake, proposal(File("/etc/ipsec.d/other.conf", "conn other\n right=192.0.2.8\n")))
    told = restore(CONFIG, fake.host(), 60, check_mode=True).to_result()
    assert RECORD in fake.files
    result = restore(CONFIG, fake.host(), 60, check_mode=False).to_result()
    assert result == told
    assert result["changed"] is True
    assert result["preflight"] == "none"
    assert result["connections"]["changed"] == {"one": ["ike"]}
    assert 'secret"' not in json.dumps(result)
    other = {"/etc/ipsec.d/other.conf": (0o644, "conn other\n right=192.0.2.8\n")}
    assert fake.files == {**BEFORE, **other}
    again = restore(CONFIG, fake.host(), 60, check_mode=False).to_result()
    assert (again["changed"], again["files"]) == (False, [])


def test_purge_puts_back_what_is_no_longer_named(fake: FakeHost) -> None:
    fake.files = dict(BEFORE)
    with_policy = recording(config(GOOD), policy("10.0.0.0/8\n"))
    first = done(fake, with_policy).to_result()
    assert first["files"] == [CONFIG, PRIVATE]
    assert [path for path in first["backups"] if path.startswith(PRIVATE)], "to be removed with it"
    fake.files[PRIVATE.replace("private", "clear")] = (0o644, "192.0.2.53/32\n")
    kept = done(fake, recording(config(GOOD), purge=False)).to_result()
    assert kept["changed"] is False
    result = done(fake, recording(config(GOOD))).to_result()
    assert (result["files"], result["backups"]) == ([PRIVATE], [])
    assert [path for path in fake.files if path.startswith(PRIVATE)] == [PRIVATE], "a backup that nobody removes"
    assert fake.files[PRIVATE] == BEFORE[PRIVATE]
    # from now on it is not ours
    fake.files[PRIVATE] = (0o644, "by hand\n")
    assert done(fake, recording(config(GOOD))).to_result()["changed"] is False
    restore(CONFIG, fake.host(), 60, check_mode=False)
    assert fake.files[PRIVATE] == (0o644, "by hand\n")
    assert fake.files[CONFIG] == BEFORE[CONFIG]
    assert RECORD not in fake.files


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"files": 1}',
        '{"files": {"/etc/ipsec.conf": {"text": 1, "mode": 420, "secret": false}}}',
        '{"files": {"/etc/ipsec.conf": {"text": "", "mode": "x", "secret": false}}}',
        '{"files": {"ipsec.conf": {"text": "", "mode": null, "secret": false}}}',
    ],
)
def test_a_damaged_record_is_told_before_anything_changes(fake: FakeHost, text: str) -> None:
    fake.files[RECORD] = (0o600, text)
    before = dict(fake.files)
    for wanted in (recording(config(GOOD + " ike=aes256\n")), recording(config(GOOD), purge=False)):
        with pytest.raises(ConfigError, match=r"cannot be understood .*: it is damaged.*; take it from a backup"):
            done(fake, wanted)
    assert fake.files == before


def test_what_a_killed_run_left_is_gone_though_nothing_is_to_be_changed(fake: FakeHost) -> None:
    left = {f"{SECRETS}.xswan-old": (0o600, "older"), f"{RECORD}.xswan-old": (0o600, "{}")}
    fake.files.update({**left, f"{CONFIG}.xswan-new": (0o600, "half")})
    wanted = proposal(psk("old secret"), config(GOOD))
    assert done(fake, wanted, check_mode=True).to_result()["changed"] is False
    assert left.keys() < fake.files.keys()
    assert done(fake, wanted).to_result()["changed"] is False
    assert [path for path in fake.files if ".xswan-" in path] == []
    assert [fake.files[path] for path in fake.files if path.startswith(f"{SECRETS}.")] == [(0o600, "older")]


def test_a_refused_candidate_is_not_recorded(fake: FakeHost) -> None:
    fake.trial = Trial("sandbox", started=True, status="", adds=(("one", REFUSED),))
    with pytest.raises(ConfigError, match="is refused"):
        done(fake, recording(config(GOOD)))
    assert RECORD not in fake.files
