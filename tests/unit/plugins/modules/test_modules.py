# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _module, _script, _systemd
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, VerifyError
from ansible_collections.xswan.ipsec.plugins.module_utils._facts import DEFAULT, Request
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired, Listing
from ansible_collections.xswan.ipsec.plugins.module_utils._whack import parse_status
from ansible_collections.xswan.ipsec.plugins.modules.ipsec_setup import desired_from
from ansible_collections.xswan.ipsec.plugins.modules.ipsec_status import request_from, status
from fake_host import FakeHost

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.xswan.ipsec.plugins.module_utils._host import Host


class ExitedError(Exception):
    """A module ended with a result."""


class FailedError(Exception):
    """A module ended with a failure."""


class FakeModule:
    """What `run` needs of an AnsibleModule."""

    def __init__(self, *, diff: bool = False) -> None:
        self._diff = diff
        self._warnings: list[str] = []
        self.params = {"config": "/etc/ipsec.conf", "launcher": "auto", "backend": "xfrm"}

    def run_command(self, args: list[str]) -> t.NoReturn:
        raise AssertionError(f"nothing runs here: {args}")

    def warn(self, warning: str) -> None:
        self._warnings.append(warning)

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        assert "warnings" not in result, "Ansible wants to be told by warn()"
        raise ExitedError({**result, "warnings": self._warnings})

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        raise FailedError(result)


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Come back from where a module goes."""
    monkeypatch.chdir(tmp_path)


def run(action: t.Callable[..., dict[str, t.Any]], *, diff: bool = False) -> dict[str, t.Any]:
    """The result that a module with this action ends with."""
    module = t.cast("AnsibleModule", FakeModule(diff=diff))
    with pytest.raises((ExitedError, FailedError)) as caught:
        _module.run(module, action)
    return t.cast("dict[str, t.Any]", caught.value.args[0])


@pytest.mark.parametrize(
    ("state", "desired"),
    [
        (None, Desired(enabled=True, start_timeout=9, stop_timeout=8)),
        ("started", Desired(running=True, enabled=True, start_timeout=9, stop_timeout=8)),
        ("stopped", Desired(running=False, enabled=True, start_timeout=9, stop_timeout=8)),
        ("restarted", Desired(running=True, restart=True, enabled=True, start_timeout=9, stop_timeout=8)),
        ("reloaded", Desired(running=True, reload=True, enabled=True, start_timeout=9, stop_timeout=8)),
    ],
)
def test_parameters_become_desired(state: str | None, desired: Desired) -> None:
    params = {"enabled": True, "start_timeout": 9, "stop_timeout": 8, "wait": "loaded", "flush": "own"}
    params["allow_restart"] = False
    assert desired_from({**params, "state": state}) == desired


def test_a_module_runs_programs_where_selinux_lets_them() -> None:
    run(lambda _host: {})
    assert os.getcwd() == "/"


def test_result_of_setup() -> None:
    fake = FakeHost()
    result = run(lambda _host: converge(Desired(running=True), fake.host(), check_mode=False).to_result(), diff=True)
    assert result["changed"] is True
    assert result["actions"] == ["start pluto"]
    assert result["ipsec"]["lines"] == ["IPsec running", "pluto pid 800"]
    assert result["diff"] == {
        "before": {"state": "stopped", "enabled": False},
        "after": {"state": "running", "enabled": False},
    }


def test_no_diff_unless_asked_for() -> None:
    fake = FakeHost()
    assert "diff" not in run(lambda _host: converge(Desired(running=True), fake.host(), check_mode=True).to_result())


def test_what_was_waited_for_comes_first() -> None:
    def wait(host: Host) -> dict[str, t.Any]:
        host.clock.waited(host.clock.now() - 12, "another run on this host to end")
        host.clock.waited(host.clock.now() - 1, "nothing of note")
        return {"changed": False}

    line = "waited 12 s for another run on this host to end"
    assert run(wait)["about"] == line
    assert run(lambda host: {**wait(host), "about": "IPsec is running"})["about"] == f"IPsec is running; {line}"
    assert "about" not in run(lambda _host: {})

    def fail(host: Host) -> dict[str, t.Any]:
        wait(host)
        raise DaemonError("pluto did not end")

    failed = run(fail)
    assert (failed["msg"], failed["about"]) == ("pluto did not end", f"pluto did not end; {line}")


def test_parameters_become_a_request() -> None:
    params = {"gather_subset": ["kernel"], "connections": ["a*"], "list_limit": 5, "list_address": "192.0.2.1"}
    assert request_from(params) == Request(frozenset({"min", "kernel"}), ("a*",), Listing(5, "192.0.2.1"))


def test_an_unknown_subset_is_refused_with_those_that_there_are() -> None:
    params = {"gather_subset": ["kernel", "!nets"], "connections": ["*"], "list_limit": 0, "list_address": None}
    result = run(lambda _host: status(FakeHost().host(), params))
    assert result["error"]["type"] == "ConfigError"
    assert "no subset !nets; write any of all, min, daemon, connections, kernel, links, host, firewall" in result["msg"]


def test_a_needless_stop_warns() -> None:
    fake = FakeHost()
    fake.old_lock = True
    result = run(lambda _host: converge(Desired(running=False), fake.host(), check_mode=False).to_result())
    assert result["warnings"] == ["stop ordered, but IPsec does not run; cleaning up anyway"]


def test_result_of_status() -> None:
    fake = FakeHost()
    fake.run_pluto()
    params = {"gather_subset": list(DEFAULT), "connections": ["*"], "list_limit": 0, "list_address": None}
    result = run(lambda _host: status(fake.host(), params))
    assert result["changed"] is False
    assert result["ipsec"] == result["ansible_facts"]["ipsec"]
    assert result["ipsec"]["pluto_pid"] == 800


def test_a_failure_says_what_was_done_before_it() -> None:
    def action(_host: object) -> dict[str, t.Any]:
        error = DaemonError("ipsec.service failed to start", log=["why"])
        error.done = ("stop pluto",)
        error.messages = ("stop pluto", "start pluto", str(error))
        raise error

    assert run(action) == {
        "about": "ipsec.service failed to start",
        "msg": "ipsec.service failed to start",
        "error": {"type": "DaemonError", "log": ["why"]},
        "changed": True,
        "actions": ["stop pluto"],
        "messages": ["stop pluto", "start pluto", "ipsec.service failed to start"],
    }


def test_the_messages_of_a_failure_are_those_of_the_system_log() -> None:
    fake = FakeHost()
    fake.fail = "start"
    result = run(lambda _host: converge(Desired(running=True), fake.host(), check_mode=False).to_result())
    assert result["messages"] == fake.log == ["start pluto", result["msg"]]


def test_a_bug_of_ours_brings_its_traceback() -> None:
    def action(_host: object) -> dict[str, t.Any]:
        raise VerifyError("still to do")

    assert "Traceback" in run(action)["exception"]


EVIL = "\x1b]0;owned\x07\x9b2J\u202e\u2028<script>\"'"


def texts(value: object) -> t.Iterator[str]:
    """Every text of a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def test_nothing_that_a_peer_chose_is_printed_raw() -> None:
    """The ID of a peer, its name, a line that nobody knows, and the words of the log."""
    fake = FakeHost()
    fake.run_pluto()
    fake.configured = {"one": "start", f"two{EVIL}": "start"}
    fake.pluto_log = (f"\"one\" #1: Peer ID '{EVIL}' mismatched on first found connection",)
    fake.answer = parse_status(
        f'000 "one": 192.0.2.1...192.0.2.9[{EVIL}]; unrouted; eroute owner: #0\n'
        f'000 "one":   our idtype: ID_IPV4; our id={EVIL}; their idtype: ID_FQDN; their id={EVIL}\n'
        f'000 "two{EVIL}": 192.0.2.1...192.0.2.9; unrouted; eroute owner: #0\n{EVIL}\n',
        f'006 #2: "one"[1] {EVIL.split(maxsplit=1)[0]}, username={EVIL}, type=ESP, add_time=1, inBytes=1, outBytes=1\n',
    )
    params = {"gather_subset": list(DEFAULT), "connections": ["*"], "list_limit": 0, "list_address": None}
    result = run(lambda _host: status(fake.host(), params))
    found = list(texts(result))
    assert len([text for text in found if "owned" in text]) > 5
    assert all(text.isprintable() for text in found)


def test_a_refusal_is_not_printed_raw_and_keeps_its_lines() -> None:
    def action(_host: object) -> dict[str, t.Any]:
        raise DaemonError(f"addconn said: {EVIL}", log=[EVIL], output=f"first\n\t{EVIL}")

    result = run(action)
    assert all(line.isprintable() for text in texts(result) for line in text.replace("\t", "").split("\n"))
    assert result["error"]["output"].startswith("first\n\t?]0;owned?")


def test_a_diff_keeps_its_lines() -> None:
    result = run(lambda _host: {"changed": True, "diff": [{"before": "a\n\tb\n", "after": "a\udcff\n"}]}, diff=True)
    assert result["diff"] == [{"before": "a\n\tb\n", "after": "a?\n"}]


def test_a_system_call_that_fails_is_one_clear_error() -> None:
    def action(_host: object) -> dict[str, t.Any]:
        raise OSError(errno.EMFILE, "Too many open files", "/proc/net/udp")

    result = run(action)
    assert result["msg"].startswith(
        "this host refuses what the task needs: /proc/net/udp: Too many open files; look at"
    )
    assert (result["changed"], result["error"]) == (False, {"type": "DaemonError", "errno": errno.EMFILE})
    assert "exception" not in result


def test_a_path_with_a_null_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no path of a file"):
        _module.local_host(LocalCommands(t.cast("t.Any", None)), config="/etc/\0")


@pytest.mark.parametrize(
    ("asked", "systemd", "script", "chosen"),
    [
        ("auto", True, None, "systemd"),
        ("auto", True, "/etc/init.d/ipsec", "systemd"),
        ("auto", False, "/etc/init.d/ipsec", "script"),
        ("auto", False, None, "direct"),
        ("systemd", True, None, "systemd"),
        ("script", False, "/etc/init.d/ipsec", "script"),
        ("direct", True, "/etc/init.d/ipsec", "direct"),
        ("direct", False, None, "direct"),
        ("systemd", False, "/etc/init.d/ipsec", "this host was not booted with systemd; use launcher auto"),
        ("script", True, None, "there is no init script ipsec, or systemd runs this host; use launcher auto"),
        ("script", False, None, "there is no init script ipsec, or systemd runs this host; use launcher auto"),
    ],
)
def test_the_choice_of_the_launcher(
    asked: str, systemd: bool, script: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes what starts IPsec at boot; what is not there is refused by name."""
    monkeypatch.setattr(_systemd, "booted_with_systemd", lambda: systemd)
    monkeypatch.setattr(_script, "find_script", lambda: script)
    commands = LocalCommands(t.cast("t.Any", None))

    def launcher() -> str:
        return _module._launcher(asked, commands, SystemClock(), "/etc/ipsec.conf").name

    if chosen in ("systemd", "script", "direct"):
        assert launcher() == chosen
    else:
        with pytest.raises(ConfigError, match=f"^launcher {asked}: {chosen}$"):
            launcher()


def test_a_pluto_that_systemd_runs_is_stopped_by_systemd_whatever_launcher_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def run_command(args: list[str], **_how: t.Any) -> tuple[int, str, str]:
        asked.extend(word for word in args if word in ("show", "stop"))
        active = "inactive" if "stop" in asked else "active"
        return 0, f"LoadState=loaded\nActiveState={active}\nMainPID=0\nNRestarts=0\n", ""

    monkeypatch.setattr(_systemd, "booted_with_systemd", lambda: True)
    launcher = _module._launcher(
        "direct", LocalCommands(t.cast("t.Any", run_command)), SystemClock(), "/etc/ipsec.conf"
    )
    assert launcher.stop(9) is True
    assert asked == ["show", "stop", "show"]


@pytest.mark.parametrize("secret", ["one line", "-----BEGIN\nseveral lines\n", 'it\'s "both"\n'])
def test_no_secret_of_an_option_of_a_list_is_logged(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ansible logs of every call, before the module has begun."""
    logged: list[str] = []

    def log(_self: _module.Module, message: str, log_args: dict[str, str]) -> None:
        logged.extend((message, *log_args.values()))

    monkeypatch.setattr(_module.Module, "log", log)
    module = _module.Module.__new__(_module.Module)
    for name, value in {
        "params": {"certificates": [{"name": "gw1", "key": secret}]},
        "aliases": {},
        "argument_spec": {"certificates": {"type": "list"}},
        "no_log_values": {secret},
        "_name": "ipsec_certificates",
    }.items():
        setattr(module, name, value)
    module._log_invocation()
    text = "".join(logged)
    assert "gw1" in text
    assert "line" not in text
    assert "both" not in text
