# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections.abc as c
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _preflight
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._faults import Fault
from ansible_collections.xswan.ipsec.plugins.module_utils._ipsec_conf import IPsecConf, Parameter, Place, Section
from ansible_collections.xswan.ipsec.plugins.module_utils._preflight import (
    Shadows,
    Unshared,
    address_commands,
    device_commands,
    links_up,
    parse_trial,
    route_commands,
    sight,
)


def printed(*parts: str, status: int | None = 0) -> Completed:
    return Completed(("sh",), status, "".join(f"\nMARK {part}\n" for part in parts), "")


def test_what_the_script_prints() -> None:
    trial = parse_trial(
        "MARK",
        printed(
            "checked\nsaid this", "status 3", "started", "add one\nwhy", "add two\nwhy not", "loaded\na status",
            "added\nall", "said\nlast words", "log\nthe log", "end",
        ),
    )  # fmt: skip
    assert (trial.method, trial.checked, trial.said, trial.started) == ("sandbox", 3, "said this", True)
    assert (trial.status, trial.log) == ("a status", "the log\nlast words")
    assert trial.adds == (("one", "why"), ("two", "why not"), ("", "all"))


def test_a_pluto_that_did_not_start() -> None:
    trial = parse_trial("MARK", printed("checked", "status 0", "said\nFATAL", "log", "end"))
    assert (trial.started, trial.log, trial.adds) == (False, "FATAL", ())


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (printed("broken no memory file system"), "does not work: no memory file system"),
        (printed("checked", "status 0", status=None), "was cut off"),
        (Completed(("sh",), 1, "", "unshare: unshare failed: Operation not permitted"), "Operation not permitted"),
    ],
)
def test_a_sandbox_that_fails_says_why(done: Completed, message: str) -> None:
    with pytest.raises(DependencyError, match=message):
        parse_trial("MARK", done)


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (Completed(("ipsec",), 1, "", "no such option"), "no such option"),
        (Completed(("ipsec",), 0, "export logfile='x'\nexport nssdir=''\n", ""), "does not tell it"),
    ],
)
def test_a_program_that_does_not_tell_its_defaults_is_named(done: Completed, message: str) -> None:
    class Program:
        def run(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
            return done

        run_apart = run

    with pytest.raises(DependencyError, match=message):
        Unshared(Program()).load(Candidate("/etc/ipsec.conf", ()), IPsecConf(), 1)


class Address:
    """An `ip` that tells of one device with this address, in each family."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.address = address

    def run(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        told = f'[{{"ifname": "eth0", "flags": ["UP"], "addr_info": [{{"family": "inet", "local": "{self.address}"'
        return Completed(argv, 0, f'{told}, "prefixlen": 24}}]}}]' if argv[-1] == "show" else "[]", "")

    run_apart = run


@pytest.fixture
def installed(tmp_path: Path) -> IPsecConf:
    """A configuration whose files, secrets, policy groups and NSS database are in one folder."""
    for name in ("ipsec.conf", "ipsec.secrets", "more.conf", "cert9.db", "policies/private"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("include more.*\n")
    place = Place(f"{tmp_path}/ipsec.conf", 1)
    keys = {"nssdir": f"{tmp_path}", "secretsfile": f"{tmp_path}/ipsec.secrets", "ipsecdir": f"{tmp_path}"}
    setup = Section("config", "setup", place, [Parameter(key, value, place) for key, value in keys.items()])
    return IPsecConf((setup,), files=(f"{tmp_path}/ipsec.conf", f"{tmp_path}/more.conf"))


FOUND = (Fault("remark", "warning", "a word", said="a word"),)


def remembering(tmp_path: Path, conf: IPsecConf, commands: Address) -> Unshared:
    """A sandbox that has had a trial of these files, as they are, and remembers what that has found."""
    sandbox = Unshared(commands, stamp=f"{tmp_path}/stamp")
    candidate = Candidate(conf.files[0], (File(conf.files[0], ""),))
    with pytest.raises(DependencyError, match="came to no end"):
        sandbox.load(candidate, conf, 1)
    (tmp_path / "ipsec.conf").write_text("as it was tried\n")
    sandbox.remember(conf, FOUND)
    return sandbox


def test_what_a_trial_has_found_is_known_to_a_later_run(installed: IPsecConf, tmp_path: Path) -> None:
    assert Unshared(Address(), stamp=f"{tmp_path}/stamp").known(installed) is None
    remembering(tmp_path, installed, Address())
    assert Unshared(Address(), stamp=f"{tmp_path}/stamp").known(installed) == FOUND
    assert (tmp_path / "stamp").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["ipsec.conf", "more.conf", "ipsec.secrets", "cert9.db", "policies/private"])
@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("another\n"), lambda path: path.unlink(), lambda path: path.touch()]
)
def test_a_file_that_has_changed_since_is_tried_again(
    installed: IPsecConf, tmp_path: Path, name: str, change: c.Callable[[Path], object]
) -> None:
    sandbox = remembering(tmp_path, installed, Address())
    change(tmp_path / name)
    assert sandbox.known(installed) is None


def test_a_file_that_has_come_since_is_tried(installed: IPsecConf, tmp_path: Path) -> None:
    """One more policy group, database, file of secrets; and one that the configuration includes now."""
    for name in ("policies/clear", "key4.db", "more.secrets"):
        sandbox = remembering(tmp_path, installed, Address())
        (tmp_path / name).write_text("")
        assert sandbox.known(installed) is None
    sandbox = remembering(tmp_path, installed, Address())
    assert sandbox.known(IPsecConf(installed.sections, files=(*installed.files, f"{tmp_path}/stamp"))) is None


def test_other_addresses_are_tried(installed: IPsecConf, tmp_path: Path) -> None:
    address = Address()
    sandbox = remembering(tmp_path, installed, address)
    address.address = "192.0.2.2"
    assert sandbox.known(installed) is None


def test_what_changes_during_a_trial_is_not_remembered(installed: IPsecConf, tmp_path: Path) -> None:
    class Imports(Address):
        def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
            (tmp_path / "cert9.db").touch()
            return self.run(*argv, timeout=timeout)

    assert remembering(tmp_path, installed, Imports()).known(installed) is None


def test_after_a_day_it_is_tried_again(installed: IPsecConf, tmp_path: Path) -> None:
    """And after the clock was set back."""
    for moved in (-86_401, 10):
        sandbox = remembering(tmp_path, installed, Address())
        stamp = tmp_path / "stamp"
        noted = json.loads(stamp.read_text())
        stamp.write_text(json.dumps({**noted, "time": noted["time"] + moved}))
        assert sandbox.known(installed) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"time": "x", "sight": "", "found": []}'])
def test_a_stamp_that_is_not_whole_says_nothing(installed: IPsecConf, tmp_path: Path, text: str) -> None:
    (tmp_path / "stamp").write_text(text)
    assert Unshared(Address(), stamp=f"{tmp_path}/stamp").known(installed) is None


def test_where_it_cannot_be_remembered_it_is_tried_again(installed: IPsecConf, tmp_path: Path) -> None:
    (tmp_path / "stamp.new").mkdir()
    assert remembering(tmp_path, installed, Address()).known(installed) is None


def test_a_host_whose_addresses_cannot_be_told_knows_nothing(installed: IPsecConf, tmp_path: Path) -> None:
    """The trial says why."""

    class Silent(Address):
        def run(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
            return Completed(argv, 1, "", "Operation not permitted")

    remembering(tmp_path, installed, Address())
    assert Unshared(Silent(), stamp=f"{tmp_path}/stamp").known(installed) is None


def test_the_programs_are_part_of_the_sight(
    installed: IPsecConf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pluto"
    program.write_text("4.10")
    monkeypatch.setattr(_preflight, "PROGRAMS", (str(program),))
    before = sight(installed, {})
    os.utime(program, (1, 1))
    assert sight(installed, {}) != before


def test_the_network_is_the_hosts() -> None:
    up = {"ifname": "eth0", "flags": ["BROADCAST", "UP"], "addr_info": [{"family": "inet"}]}
    down = {**up, "flags": ["BROADCAST"]}
    assert links_up([up, down, {**up, "addr_info": []}, {}]) == [up]
    assert list(device_commands(["lo", "eth0", "ipsec1"])) == [
        "link add name eth0 type veth peer name xswan0",
        "link set dev eth0 up",
        "link set dev xswan0 up",
    ]
    links = [
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
        {
            "ifname": "eth0",
            "addr_info": [
                {"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "2001:db8::1", "prefixlen": 64, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
        {"ifname": "ipsec1", "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 32}]},
    ]
    assert list(address_commands(links, "inet")) == ["addr add 192.0.2.1/24 dev eth0", "addr add 10.0.0.1/32 dev lo"]
    assert list(address_commands(links, "inet6")) == ["addr add 2001:db8::1/64 dev eth0 nodad"]
    routes: list[dict[str, object]] = [
        {"dst": "default", "gateway": "192.0.2.254", "dev": "eth0", "prefsrc": "192.0.2.1", "metric": 100},
        {"dst": "default", "dev": "ppp0"},
        {"dst": "default", "dev": "ipsec1"},
        {"dst": "default", "nexthops": [{"gateway": "192.0.2.253", "dev": "eth0"}, {"dev": "eth1"}]},
    ]
    assert list(route_commands(routes)) == [
        "route add default via 192.0.2.254 dev eth0 onlink src 192.0.2.1 metric 100",
        "route add default dev ppp0",
        "route add default via 192.0.2.253 dev eth0 onlink",
    ]


def test_folders_show_all_that_was_there_but_the_new_files(tmp_path: Path) -> None:
    (tmp_path / "ipsec.conf").write_text("old")
    (tmp_path / "resolv.conf").symlink_to("../run/resolv.conf")
    (tmp_path / "ipsec.d").mkdir()
    (tmp_path / "ipsec.d/old.conf").write_text("old")
    shadows = Shadows()
    shadows.put(File(f"{tmp_path}/ipsec.conf", "new"))
    shadows.put(File(f"{tmp_path}/ipsec.d/old.conf", None))
    shadows.put(File(f"{tmp_path}/ipsec.d/more/own.secrets", "hush", secret=True))
    assert shadows.numbers == {str(tmp_path): 0, f"{tmp_path}/ipsec.d": 1}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        shadows.write(tar)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        links = {entry.name: entry.linkname for entry in tar if entry.issym()}
        files = {entry.name: entry.mode for entry in tar if entry.isfile()}
        folders = [entry.name for entry in tar if entry.isdir()]
    assert links == {
        "shadow/0/resolv.conf": "../run/resolv.conf",
        "shadow/0/ipsec.d": "/run/xswan/original/0/ipsec.d",
    }
    assert files == {"shadow/0/ipsec.conf": 0o644, "shadow/1/more/own.secrets": 0o600}
    assert folders == ["shadow/0", "shadow/1", "shadow/1/more"]
