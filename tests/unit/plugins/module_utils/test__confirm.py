# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._config import Proposal, install, restore
from ansible_collections.xswan.ipsec.plugins.module_utils._confirm import confirm, take_back, timeout_mistake
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD, recorded
from fake_host import FakeHost

CONFIG, SECRETS, MORE = "/etc/ipsec.conf", "/etc/ipsec.secrets", "/etc/ipsec.d/more.conf"
OLD = "conn one\n left=%defaultroute\n right=192.0.2.9\n auto=add\n"
NEW = OLD + " ike=aes256\n"
PSK = ': PSK "old secret"\n'


@pytest.fixture
def fake() -> FakeHost:
    """A gateway whose pluto runs."""
    fake = FakeHost()
    fake.files = {CONFIG: (0o644, OLD), SECRETS: (0o600, PSK)}
    fake.run_pluto()
    return fake


def change(fake: FakeHost, *files: File, seconds: int | None = 60, check_mode: bool = False) -> dict[str, object]:
    proposal = Proposal(Candidate(CONFIG, files), (SECRETS,), confirm_timeout=seconds)
    return install(proposal, fake.host(), check_mode=check_mode).to_result()


def named(fake: FakeHost) -> dict[str, tuple[int, str]]:
    """The files but for backups."""
    return {path: file for path, file in fake.files.items() if not path.endswith("~")}


NEWS = (File(MORE, "conn two\n"), File(SECRETS, ': PSK "new secret"\n', secret=True), File(CONFIG, NEW))


def test_what_is_not_confirmed_is_taken_back(fake: FakeHost) -> None:
    before = named(fake)
    assert change(fake, *NEWS)["confirm_timeout"] == 60
    assert fake.record is not None
    assert fake.record.until == fake.clock.epoch() + 60
    assert fake.calls.index("arm") < fake.calls.index("install")
    plutos = list(fake.plutos)
    said = take_back(fake.host(), fake.host(), booted=False)
    assert said is not None
    assert named(fake) == before
    assert "nobody confirmed /etc/ipsec.d/more.conf, /etc/ipsec.secrets, /etc/ipsec.conf in time" in said
    assert said.endswith(", and pluto took it over")
    assert fake.plutos == plutos
    assert "secret" not in said.replace(SECRETS, "")


def test_a_pluto_that_cannot_be_reloaded_is_restarted(fake: FakeHost) -> None:
    change(fake, *NEWS)
    assert fake.record is not None
    plutos = list(fake.plutos)
    fake.held = {}
    fake.fail = f"load {next(iter(fake.wanted))}"
    said = take_back(fake.host(), fake.host(), booted=False)
    assert said is not None
    assert "and pluto was restarted, for it could not be reloaded: " in said
    assert fake.plutos != plutos


@pytest.mark.parametrize(("running", "booted"), [(True, True), (False, False)])
def test_pluto_is_left_alone_after_a_boot_and_where_there_was_none(
    fake: FakeHost, *, running: bool, booted: bool
) -> None:
    if not running:
        fake.plutos.clear()
    before, plutos = named(fake), list(fake.plutos)
    change(fake, *NEWS)
    assert fake.record is not None
    take_back(fake.host(), fake.host(), booted=booted)
    assert (named(fake), fake.plutos) == (before, plutos)


@pytest.mark.parametrize(("seconds", "mistake"), [(1, None), (0, "is 0; allowed: one second or more")])
def test_a_timeout_is_a_second_or_more(seconds: int, mistake: str | None) -> None:
    assert timeout_mistake(seconds) == mistake


def test_what_is_confirmed_stays(fake: FakeHost) -> None:
    change(fake, *NEWS)
    after = named(fake)
    assert confirm(fake.host(), check_mode=True)["changed"] is True
    assert fake.host().rollback.pending() is not None
    assert confirm(fake.host(), check_mode=False) == {"changed": True, "files": [MORE, SECRETS, CONFIG]}
    assert fake.host().rollback.pending() is None
    assert named(fake) == after
    assert fake.log[-1] == f"confirmed {MORE}, {SECRETS}, {CONFIG}"
    assert confirm(fake.host(), check_mode=False)["changed"] is False


def test_what_was_confirmed_in_the_last_moment_is_not_taken_back(fake: FakeHost) -> None:
    """And what was taken back in the last moment is not confirmed."""
    change(fake, *NEWS)
    after = named(fake)
    confirm(fake.host(), check_mode=False)
    assert take_back(fake.host(), fake.host(), booted=False) is None
    assert named(fake) == after
    change(fake, File(CONFIG, OLD))
    take_back(fake.host(), fake.host(), booted=False)
    with pytest.raises(ConfigError, match="too late to confirm: nobody confirmed"):
        confirm(fake.host(), check_mode=False)


def test_it_can_be_too_late_to_confirm_until_the_next_configuration(fake: FakeHost) -> None:
    fake.taken_back = "nobody confirmed it"
    for check_mode in (True, False):
        with pytest.raises(ConfigError, match="too late to confirm: nobody confirmed it"):
            confirm(fake.host(), check_mode=check_mode)
    change(fake, check_mode=True)
    assert fake.taken_back is not None
    change(fake)
    assert confirm(fake.host(), check_mode=False)["changed"] is False


def test_two_changes_are_taken_back_to_before_the_first(fake: FakeHost) -> None:
    before = named(fake)
    change(fake, File(CONFIG, NEW))
    fake.clock.sleep(30)
    change(fake, File(CONFIG, NEW + " esp=aes256\n"), File(MORE, "conn two\n"))
    assert fake.record is not None
    assert fake.record.until == fake.clock.epoch() + 60
    take_back(fake.host(), fake.host(), booted=True)
    assert named(fake) == before


def test_a_change_that_stays_is_refused_while_another_waits(fake: FakeHost) -> None:
    change(fake, File(CONFIG, NEW))
    before = named(fake)
    for check_mode in (True, False):
        with pytest.raises(ConfigError, match="still waits to be confirmed, nothing was changed"):
            change(fake, File(CONFIG, OLD), seconds=None, check_mode=check_mode)
    assert named(fake) == before
    assert change(fake, File(CONFIG, NEW), seconds=None)["changed"] is False
    assert fake.record is not None


def test_nothing_is_armed_without_a_change_and_in_check_mode(fake: FakeHost) -> None:
    assert change(fake, File(CONFIG, OLD))["confirm_timeout"] is None
    assert change(fake, File(CONFIG, NEW), check_mode=True)["confirm_timeout"] == 60
    assert fake.record is None
    assert "arm" not in fake.calls


def test_what_cannot_be_taken_back_is_not_installed(fake: FakeHost) -> None:
    before = named(fake)
    fake.fail = "arm"
    with pytest.raises(DaemonError, match="cannot prepare"):
        change(fake, *NEWS)
    assert fake.record is None
    assert named(fake) == before


def test_an_installation_that_fails_leaves_nothing_to_confirm_but_what_was(fake: FakeHost) -> None:
    fake.fail = "install"
    with pytest.raises(DaemonError):
        change(fake, *NEWS)
    assert fake.record is None
    fake.fail = None
    change(fake, File(CONFIG, NEW))
    fake.fail = "install"
    with pytest.raises(DaemonError):
        change(fake, *NEWS)
    assert fake.record is not None


def test_secrets_are_in_no_result(fake: FakeHost) -> None:
    change(fake, *NEWS)
    said = json.dumps(confirm(fake.host(), check_mode=False))
    assert "old secret" not in said
    assert "new secret" not in said


def test_files_that_are_as_they_were_are_not_written_again(fake: FakeHost) -> None:
    change(fake, *NEWS)
    assert fake.record is not None
    for file in fake.record.files:
        if file.text is None:
            fake.files.pop(file.path, None)
        else:
            fake.files[file.path] = (file.mode, file.text)
    fake.calls.clear()
    take_back(fake.host(), fake.host(), booted=True)
    assert "install" not in fake.calls


def test_a_second_run_tells_that_the_first_one_still_waits(fake: FakeHost) -> None:
    """The first one failed before it could confirm; unless the second one does, what it found in place goes."""
    change(fake, *NEWS)
    fake.clock.sleep(20.5)
    for seconds in (60, None):
        for check_mode in (True, False):
            result = change(fake, *NEWS, seconds=seconds, check_mode=check_mode)
            assert (result["changed"], result["confirm_timeout"]) == (False, 39)
    fake.clock.sleep(100)
    assert change(fake, *NEWS)["confirm_timeout"] == 1
    confirm(fake.host(), check_mode=False)
    assert change(fake, *NEWS)["confirm_timeout"] is None


def test_files_are_taken_back_with_their_modes(fake: FakeHost) -> None:
    fake.files[CONFIG] = (0o640, OLD)
    fake.files[SECRETS] = (0o400, PSK)
    before = named(fake)
    change(fake, *NEWS)
    assert named(fake)[CONFIG] == (0o644, NEW)
    take_back(fake.host(), fake.host(), booted=True)
    assert named(fake) == before
    # the same text with another mode is a change that is taken back, too
    change(fake, File(CONFIG, OLD))
    assert named(fake)[CONFIG] == (0o644, OLD)
    take_back(fake.host(), fake.host(), booted=True)
    assert named(fake) == before


GROUP = "/etc/ipsec.d/policies/private"


def own(fake: FakeHost, *files: File, seconds: int | None = 60) -> None:
    proposal = Proposal(
        Candidate(CONFIG, (*files, File(CONFIG, NEW))), (SECRETS,), record=True, purge=True, confirm_timeout=seconds
    )
    install(proposal, fake.host(), check_mode=False)


def test_a_purge_that_is_taken_back_leaves_the_file_ours(fake: FakeHost) -> None:
    own(fake, File(GROUP, "10.0.0.0/8\n"), seconds=None)
    own(fake)
    assert GROUP not in fake.files
    take_back(fake.host(), fake.host(), booted=True)
    assert GROUP in fake.files
    own(fake)
    assert GROUP not in fake.files
    take_back(fake.host(), fake.host(), booted=True)
    restore(CONFIG, fake.host(), 60, check_mode=False)
    assert GROUP not in fake.files
    assert RECORD not in fake.files


def test_a_purge_that_is_confirmed_leaves_the_file_to_others(fake: FakeHost) -> None:
    own(fake, File(GROUP, "10.0.0.0/8\n"), seconds=None)
    own(fake)
    # a second run finds nothing to do, and does not know either whether it stays
    own(fake)
    assert recorded(fake.host().files, "files").keys() == {CONFIG, GROUP}
    assert [path for path in fake.files if path.startswith(GROUP)], "a backup, in case it is taken back"
    confirm(fake.host(), check_mode=False)
    assert recorded(fake.host().files, "files").keys() == {CONFIG}
    assert [path for path in fake.files if path.startswith(GROUP)] == []
    fake.files[GROUP] = (0o644, "by hand\n")
    own(fake)
    assert fake.files[GROUP] == (0o644, "by hand\n")


def test_what_is_restored_is_not_taken_back_any_more(fake: FakeHost) -> None:
    change(fake, *NEWS)
    restore(CONFIG, fake.host(), 60, check_mode=False)
    assert fake.record is None
