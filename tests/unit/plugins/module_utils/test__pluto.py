# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections.abc as c
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _pluto, _rundir
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import ENVIRONMENT, Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._endings import end_processes, handles
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process, Program
from ansible_collections.xswan.ipsec.plugins.module_utils._nflog import LogRules
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import (
    ANSWER_TIMEOUT,
    PATIENCE,
    LocalPluto,
    bound_ports,
    listening_inodes,
)
from ansible_collections.xswan.ipsec.plugins.module_utils._processes import since_boot, stopped

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 15021 /run/pluto/pluto.ctl
0000000000000000: 00000002 00000000 00010000 0001 01 15022 /var/run/pluto/pluto.ctl
0000000000000000: 00000003 00000000 00000000 0001 03 15023 /run/pluto/pluto.ctl
0000000000000000: 00000002 00000000 00010000 0001 01 15024 /run/other.ctl
0000000000000000: 00000002 00000000 00000000 0002 01 15025
"""


class Says:
    """An `ipsec` command with one answer."""

    def __init__(self, completed: Completed | None) -> None:
        self.completed = completed

    def run(self, *argv: str, timeout: float) -> Completed:
        if self.completed is None:
            raise DependencyError("the command ipsec is not installed on this host")
        return self.completed


def test_only_listening_sockets_at_the_path_count() -> None:
    assert listening_inodes(UNIX, "/run/pluto/pluto.ctl") == {"15021", "15022"}


@pytest.fixture
def ipsec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where the command `ipsec` can be; nothing is there."""
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tmp_path))
    return tmp_path / "ipsec"


@pytest.mark.usefixtures("ipsec")
def test_no_program_is_none() -> None:
    assert LocalPluto(Says(None)).program() is None


@pytest.mark.parametrize("number", ["4.3", "5.2"])
def test_the_version_is_read_where_it_is_written(ipsec: Path, number: str) -> None:
    """Else the command is run: here one that says that it is 4.3."""
    version = f'\nexport IPSEC_VERSION="{number}"\n' if number == "5.2" else ""
    ipsec.write_text(f'{version}\techo "Libreswan ${{IPSEC_VERSION}}"\n\t    exit 0\n')
    ipsec.chmod(0o755)
    assert LocalPluto(Says(Completed((), 0, "Linux Libreswan 4.3 (netkey)\n", ""))).program() == Program(
        "Libreswan", number
    )


@pytest.mark.usefixtures("ipsec")
@pytest.mark.parametrize("text", ["Linux strongSwan U5.9.8/K6.1\n", "whatever 1.0\n"])
def test_another_program_named_ipsec_is_refused(text: str) -> None:
    with pytest.raises(DependencyError, match="another program"):
        LocalPluto(Says(Completed((), 0, text, ""))).program()


def test_a_missing_configuration_is_named(tmp_path: object) -> None:
    path = f"{tmp_path}/ipsec.conf"
    with pytest.raises(ConfigError, match="does not exist"):
        LocalPluto(Says(Completed((), 0, "", "")), config=path).check_config()


def test_a_bad_configuration_is_refused_in_the_programs_words(tmp_path: object) -> None:
    path = f"{tmp_path}/ipsec.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write("conn x\n nonsense=1\n")
    says = Says(Completed((), 3, "", f"cannot load config '{path}': {path}:2: syntax error, unexpected KEYWORD\n"))
    with pytest.raises(ConfigError, match="syntax error") as caught:
        LocalPluto(says, config=path).check_config()
    assert "nothing was changed" in str(caught.value)


def test_what_is_said_of_a_configuration_that_parses_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ipsec.conf"
    path.write_text("conn x\n also=y\n")
    pluto = LocalPluto(Says(Completed((), 0, "", "cannot find conn 'y' needed by conn 'x'\n")), config=str(path))
    assert pluto.check_config() == "cannot find conn 'y' needed by conn 'x'"
    assert pluto.config_fault(parse=True) is None
    assert (pluto.read(str(path)), pluto.read(f"{path}/y")) == ("conn x\n also=y\n", None)
    assert pluto.glob(f"{tmp_path}/*") == (str(path),)


class Answers:
    """Commands with an answer each, by a word of theirs."""

    def __init__(self, **says: tuple[int, str, str]) -> None:
        self.says = says

    def run(self, *argv: str, timeout: float) -> Completed:
        for word, (status, out, err) in self.says.items():
            if word in argv or f"--{word}" in argv:
                return Completed(argv, status, out, err)
        raise DependencyError(f"the command {argv[0]} is not installed on this host")


def test_whether_a_configuration_is_there_needs_no_program(tmp_path: Path) -> None:
    config = tmp_path / "ipsec.conf"
    pluto = LocalPluto(Says(None), config=str(config))
    fault = pluto.config_fault(parse=False)
    assert fault is not None
    assert (fault.kind, fault.reason) == ("missing", f"{config} does not exist")
    config.touch()
    assert pluto.config_fault(parse=False) is None


@pytest.mark.parametrize("name", ["", "new", "new/er"])
def test_a_run_directory_that_is_missing_or_writable_is_fine(tmp_path: Path, name: str) -> None:
    LocalPluto(Says(None), rundir=str(tmp_path / name)).check_rundir(room=True)


def test_a_run_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pluto"
    file.touch()
    with pytest.raises(DependencyError, match=f"{file} is not a directory"):
        LocalPluto(Says(None), rundir=str(file)).check_rundir(room=False)


def nss(tmp_path: Path, status: int, err: str) -> LocalPluto:
    """A pluto whose NSS database certutil reads like this."""
    setup = (0, f"export nssdir='{tmp_path}/nss'\n", "")
    return LocalPluto(Answers(configsetup=setup, certutil=(status, "", err)))


def test_an_nss_database_that_is_well_or_still_to_be_made_is_fine(tmp_path: Path) -> None:
    (tmp_path / "nss").mkdir()
    nss(tmp_path, 255, "SEC_ERROR_BAD_DATABASE").check_nss()
    (tmp_path / "nss" / "cert9.db").touch()
    nss(tmp_path, 0, "").check_nss()
    LocalPluto(Answers(configsetup=(0, "export syslog='daemon.error'\n", ""))).check_nss()
    LocalPluto(Answers(configsetup=(0, f"export nssdir='{tmp_path}/nss'\n", ""))).check_nss()


def test_an_nss_database_that_is_damaged_or_has_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="mkdir -m 700"):
        nss(tmp_path, 0, "").check_nss()
    (tmp_path / "nss").mkdir()
    (tmp_path / "nss" / "key4.db").touch()
    with pytest.raises(DependencyError, match=f"NSS database in {tmp_path}/nss is damaged.*SEC_ERROR_BAD_DATABASE"):
        nss(tmp_path, 255, "certutil: function failed: SEC_ERROR_BAD_DATABASE: security library\n").check_nss()


def test_a_socket_that_refuses_root_is_no_pluto_that_hangs() -> None:
    refusal = 'whack: no right to communicate with pluto (access("/run/pluto/pluto.ctl"))\n'
    with pytest.raises(DependencyError, match=r"refuses root.*no right to communicate"):
        LocalPluto(Answers(whack=(33, "", refusal))).ask()
    assert LocalPluto(Answers(whack=(33, "", "whack: is Pluto running?\n"))).ask() is None


class Timed:
    """An `ipsec` command whose whack comes to no end; the time that it had each time."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def run(self, *argv: str, timeout: float) -> Completed:
        self.timeouts.append(timeout)
        return Completed(argv, None, "", "")


@pytest.mark.parametrize(("is_stopped", "seconds"), [(False, PATIENCE), (True, ANSWER_TIMEOUT)])
def test_only_a_pluto_that_was_stopped_has_no_patience_to_hope_for(
    *, is_stopped: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pluto, "find_program", lambda _name: (Process(7),))
    monkeypatch.setattr(_pluto, "stopped", lambda pid: is_stopped and pid == 7)
    for patient, expected in ((True, seconds), (False, ANSWER_TIMEOUT)):
        commands = Timed()
        assert LocalPluto(commands).ask(patient=patient) is None
        assert commands.timeouts == [expected]


def test_a_process_that_is_stopped(pluto: Path) -> None:
    with subprocess.Popen([pluto, "60"]) as process:
        try:
            assert not stopped(process.pid)
            process.send_signal(signal.SIGSTOP)
            assert found(lambda: stopped(process.pid))
        finally:
            process.kill()
    assert not stopped(process.pid)


def test_traffic_is_asked_for_only_when_there_are_sas() -> None:
    """The first has no --trafficstatus that could answer, the second has one that does not."""
    version, loaded = (0, "Linux Libreswan 4.10\n", ""), '000 "c":   our auth:secret, their auth:secret\n'
    answer = LocalPluto(Answers(version=version, status=(0, loaded, ""))).ask()
    assert answer is not None
    assert answer.connections == ("c",)
    sa = f'{loaded}000 #2: "c":500 STATE_V2_ESTABLISHED_CHILD_SA (established Child SA); REKEY in 9s; IKE SA #1;\n'
    for status in (sa, sa.replace("000 ", "")):
        pluto = LocalPluto(Answers(version=version, status=(0, status, ""), trafficstatus=(33, "", "refused")))
        assert pluto.ask() is None
        pluto = LocalPluto(Answers(version=version, status=(0, status, ""), trafficstatus=(0, "", "")))
        answer = pluto.ask()
        assert answer is not None
        assert [child.serial for child in answer.child_sas] == [2]


@pytest.mark.parametrize(
    ("content", "kind"), [(None, "absent"), ("", "damaged"), ("\n", "damaged"), ("no\n", "damaged"), ("1\n", "reused")]
)
def test_lock_files(tmp_path: object, content: str | None, kind: str) -> None:
    if content is not None:
        with open(f"{tmp_path}/pluto.pid", "w", encoding="ascii") as file:
            file.write(content)
    assert LocalPluto(Says(None), rundir=str(tmp_path)).lock().kind == kind


def test_a_lock_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "pluto").touch()
    with pytest.raises(DaemonError, match=r"cannot read .*/pluto.pid: Not a directory; look at its mode and its file"):
        LocalPluto(Says(None), rundir=f"{tmp_path}/pluto").lock()


def test_a_socket_nobody_listens_on_is_stale(tmp_path: object) -> None:
    pluto = LocalPluto(Says(None), rundir=str(tmp_path))
    assert pluto.control().kind == "absent"
    with open(f"{tmp_path}/pluto.ctl", "w", encoding="ascii"):
        pass
    assert pluto.control().kind == "stale"


def test_leftovers_are_removed_and_none_is_no_error(tmp_path: object) -> None:
    pluto = LocalPluto(Says(None), rundir=str(tmp_path))
    with open(f"{tmp_path}/pluto.pid", "w", encoding="ascii"):
        pass
    pluto.remove_leftovers()
    pluto.remove_leftovers()
    assert pluto.lock().kind == "absent"


def test_leftovers_go_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What packets and names pass comes first; the locks, by which others know that something was there, come last."""
    gone: list[str] = []
    unlink = _rundir._unlink

    def note(path: str) -> None:
        gone.append(os.path.basename(path))
        unlink(path)

    def restore(_files: _rundir.RunFiles, backup: str) -> None:
        gone.append(f"restored from {os.path.basename(backup)}")

    monkeypatch.setattr(_rundir, "_unlink", note)
    monkeypatch.setattr(_rundir.RunFiles, "_restore_resolv_conf", restore)
    monkeypatch.setattr(LogRules, "remove", lambda _rules: gone.append("rules of nflog-all="))
    LocalPluto(Says(None), rundir=str(tmp_path)).remove_leftovers()
    assert gone == [
        "rules of nflog-all=",
        "restored from libreswan-resolv-conf-backup",
        "restored from openswan-resolv-conf-backup",
        "pluto.ctl",
        "pluto.pid",
        "pluto.pid.new",
        "ipsec_setup.pid",
        "ipsec.info",
        "ipsec",
        "libreswan-resolv-conf-backup",
        "openswan-resolv-conf-backup",
    ]


@pytest.mark.parametrize(
    ("current", "after"),
    [
        ("# Generated by Libreswan (IPsec)\nnameserver 10.9.0.1\n", "nameserver 192.0.2.53\n"),
        ("nameserver 198.51.100.53\n", "nameserver 198.51.100.53\n"),
    ],
)
def test_the_saved_resolv_conf_is_put_back_unless_another_was_written_since(
    tmp_path: Path, current: str, after: str
) -> None:
    resolv_conf, backup = tmp_path / "resolv.conf", tmp_path / "libreswan-resolv-conf-backup"
    resolv_conf.write_text(current)
    backup.write_text("nameserver 192.0.2.53\n")
    pluto = LocalPluto(Says(None), rundir=str(tmp_path), resolv_conf=str(resolv_conf))
    assert pluto.old_locks() == (str(backup),)
    pluto.remove_leftovers()
    assert resolv_conf.read_text() == after
    assert pluto.old_locks() == ()


UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  320: 0100007F:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1371 2 0 0
"""
UDP6 = f"""  sl  local_address {"remote_address":>40} st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  312: {1:032}:01F4 {0:032}:0000 07 00000000:00000000 00:00000000 00000000     0        0 1381 2 0 0
"""


@pytest.mark.parametrize(("table", "ports"), [(UDP, [(4500, "1371")]), (UDP6, [(500, "1381")]), ("head\n", [])])
def test_bound_ports(table: str, ports: list[tuple[int, str]]) -> None:
    assert list(bound_ports(table)) == ports


@pytest.fixture
def pluto(tmp_path: Path) -> Path:
    """A program that is called pluto, as far as the process table tells."""
    return Path(shutil.copy("/bin/sleep", tmp_path / "pluto"))


def found(predicate: c.Callable[[], bool]) -> bool:
    """Whether it is so within 10 s: a process takes a moment to become what was started."""
    deadline = time.monotonic() + 10
    while not predicate() and time.monotonic() < deadline:
        time.sleep(0.05)
    return predicate()


def test_processes_are_known_by_their_program(pluto: Path) -> None:
    look = LocalPluto(Says(None))
    with subprocess.Popen([pluto, "60"]) as process:
        try:
            assert found(lambda: process.pid in [p.pid for p in look.processes()])
            (seen,) = [p for p in look.processes() if p.pid == process.pid]
            assert abs(seen.started - time.time()) < 60
            assert seen.upgraded is False
            pluto.unlink()
            assert [p.upgraded for p in look.processes() if p.pid == process.pid] == [True]
        finally:
            process.kill()
    assert process.pid not in [p.pid for p in look.processes()]


def test_a_child_that_a_pluto_forks_is_no_pluto_of_its_own(tmp_path: Path) -> None:
    look = LocalPluto(Says(None))
    # a shell forks for a command in brackets
    pluto = Path(shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "pluto"))
    with subprocess.Popen([pluto, "-c", "(while :; do sleep 1; done); true"]) as process:
        try:
            assert found(lambda: bool(children(process.pid)))
            (child,) = children(process.pid)
            assert found(lambda: os.path.realpath(f"/proc/{process.pid}/exe") == str(pluto))
            assert os.path.realpath(f"/proc/{child}/exe") == str(pluto)
            assert process.pid in [p.pid for p in look.processes()]
            assert child not in [p.pid for p in look.processes()]
        finally:
            os.kill(child, signal.SIGKILL)
            process.kill()


def test_a_program_that_only_calls_itself_pluto_is_none() -> None:
    with subprocess.Popen(["pluto", "60"], executable="/bin/sleep") as process:
        try:
            assert found(lambda: Path(f"/proc/{process.pid}/cmdline").read_text() == "pluto\x0060\x00")
            assert process.pid not in [p.pid for p in LocalPluto(Says(None)).processes()]
        finally:
            process.kill()


@pytest.mark.parametrize("option", ["--net", "--pid"])
def test_a_pluto_in_another_namespace_is_not_ours(pluto: Path, option: str) -> None:
    look = LocalPluto(Says(None))
    before = [p.pid for p in look.processes()]
    with subprocess.Popen(["unshare", option, "--fork", "--kill-child", str(pluto), "60"]) as process:
        try:
            assert found(lambda: bool(children(process.pid)))
            assert found(lambda: Path(f"/proc/{children(process.pid)[0]}/comm").read_text() == "pluto\n")
            assert [p.pid for p in look.processes()] == before
        finally:
            process.kill()


HOLDER = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', {})); time.sleep(60)"


@pytest.mark.parametrize(("options", "strangers"), [((), []), (("--pid", "--fork"), ["pluto"])])
def test_who_holds_an_ike_port_is_a_stranger_by_its_process_not_by_its_name(
    options: tuple[str, ...], strangers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pluto in a container that shares our network is none that we could stop."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(_pluto, "IKE_PORTS", (port,))
    look = LocalPluto(Says(None))
    assert look.strangers() == ()
    python = shutil.copy("/usr/bin/python3", tmp_path / "pluto")
    words = ("unshare", "--kill-child", *options) if options else ()
    with subprocess.Popen([*words, python, "-c", HOLDER.format(port)]) as process:
        try:
            assert found(lambda: any(bound == port for bound, _inode in bound_ports(Path("/proc/net/udp").read_text())))
            assert [stranger.name for stranger in look.strangers()] == strangers
            assert all("of another pid namespace" in stranger.message for stranger in look.strangers())
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """Pids of the children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class OnlyPluto(LocalPluto):
    """A pluto of which there are no others: `end` must not meet those of other tests."""

    def __init__(self, commands: Says | Orders, rundir: Path, pluto: Process) -> None:
        super().__init__(commands, rundir=str(rundir))
        self.only = pluto

    def processes(self) -> tuple[Process, ...]:
        return (self.only,)


class Orders:
    """An `ipsec` command whose whack writes that pluto was asked to end, and does nothing."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def run(self, *argv: str, timeout: float) -> Completed:
        if "--shutdown" in argv:
            with self.notes.open("a") as notes:
                notes.write("whack\n")
        return Completed(argv, 0, "Linux Libreswan 4.10 (XFRM) on 6.1.0\n" if "--version" in argv else "", "")


def test_a_pluto_is_asked_then_told_then_killed(tmp_path: Path) -> None:
    """One that takes neither word: its notes tell their order, and only SIGKILL can have ended it."""
    notes = tmp_path / "notes"
    program = Path(shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "pluto"))
    script = f"trap 'echo TERM >>{notes}' TERM; : >{notes}; while :; do sleep 0.1; done"
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "pluto.ctl"))
        control.listen()
        process = subprocess.Popen([program, "-c", script], pass_fds=[control.fileno()])
    try:
        assert found(notes.exists)
        since = since_boot(process.pid)
        assert since is not None
        OnlyPluto(Orders(notes), tmp_path, Process(process.pid, since_boot=since)).end(6)
        assert notes.read_text() == "whack\nTERM\n"
        assert since_boot(process.pid) is None
    finally:
        process.kill()
        process.wait()


def test_a_process_that_has_the_pid_of_a_pluto_of_before_is_left_alone(pluto: Path, tmp_path: Path) -> None:
    with subprocess.Popen([pluto, "60"]) as process:
        try:
            since = since_boot(process.pid)
            assert since is not None
            reused = Process(process.pid, since_boot=since - 100)
            assert handles([reused]) == []
            OnlyPluto(Says(None), tmp_path, reused).end(3)
            assert since_boot(process.pid) == since
            (handle,) = handles([Process(process.pid, since_boot=since)])
            assert end_processes([handle], 5) == []
            assert since_boot(process.pid) is None
        finally:
            process.kill()


def test_a_zombie_is_seen_and_is_no_process(pluto: Path) -> None:
    look = LocalPluto(Says(None))
    process = subprocess.Popen([pluto, "0"])
    try:
        assert found(lambda: process.pid in look.zombies())
        assert process.pid not in [p.pid for p in look.processes()]
    finally:
        process.wait()
    assert process.pid not in look.zombies()
