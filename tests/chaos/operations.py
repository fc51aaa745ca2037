# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done while system calls fail: the real ports on real files, and in a network namespace of the test's own.

Each operation is told how to make what it begins with, what to do, and which folders and tables it is about.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import typing as t
import zipfile
import zipimport
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.xswan.ipsec.plugins.module_utils import _record, _rollback, _sysctl
from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._config import Proposal, install
from ansible_collections.xswan.ipsec.plugins.module_utils._confirm import Pending
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._install import LocalFiles
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Listing, Process
from ansible_collections.xswan.ipsec.plugins.module_utils._parameters import LocalParameters
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto
from ansible_collections.xswan.ipsec.plugins.module_utils._rollback import LocalRollback
from ansible_collections.xswan.ipsec.plugins.module_utils._rundir import RESOLV_BACKUPS
from ansible_collections.xswan.ipsec.plugins.module_utils._sysctl import settle, wanted_from
from ansible_collections.xswan.ipsec.plugins.module_utils._system import LockFile
from ansible_collections.xswan.ipsec.plugins.module_utils._xfrm import XfrmKernel
from fake_host import FakeHost

State = dict[str, t.Any]
PARAMETERS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects", "net/ipv4/conf/lo/rp_filter")


class Commands:
    """No program is there; see the port Commands."""

    def run(self, *argv: str, timeout: float) -> t.NoReturn:
        raise DependencyError(f"the command {argv[0]} is not installed on this host")


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something that is done while a system call fails."""

    name: str
    prepare: t.Callable[[Path], None]
    """Make, in a folder of its own, what it begins with."""
    run: t.Callable[[Path], object]
    """Do it; what it returns is what it found."""
    atomic: bool = False
    """All that it changes is changed, or nothing."""
    reports: bool = False
    """Its result says whether it has changed anything, and an error of it too."""
    kernel: bool = False
    """It changes parameters or tables of the kernel as well."""
    again: bool = True
    """Done once more, it comes to the same."""


def state(operation: Operation, folder: Path) -> State:
    """Every file below the folder with its mode, backups without their time; and what is in the kernel."""
    found: State = {}
    for path in sorted(folder.rglob("*")):
        name = re.sub(r"\.\d{8}T\d{6}\.\d{6}Z~$", ".TIME~", str(path.relative_to(folder)))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            text = path.read_bytes().decode("latin-1").replace(str(folder), "PLACE")
            found[name] = f"{path.stat().st_mode & 0o7777:o} " + re.sub('"token": "[0-9a-f]+"', "", text)
    if operation.kernel:
        found["xfrm"] = XfrmKernel(Commands()).leftovers()._asdict()
        found["parameters"] = {name: LocalParameters().read(name) for name in PARAMETERS}
    return found


def _conf(folder: Path) -> Path:
    return folder / "etc/ipsec.conf"


def _etc(folder: Path) -> None:
    for name, text in (("ipsec.conf", "old\n"), ("ipsec.secrets", "old secret\n"), ("d/gone.conf", "conn gone\n")):
        path = folder / "etc" / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600 if "secrets" in name else 0o644)


def _files(folder: Path) -> tuple[File, ...]:
    etc = folder / "etc"
    return (
        File(f"{etc}/new/more.conf", "conn more\n"),
        File(f"{etc}/d/gone.conf", None),
        File(f"{etc}/ipsec.secrets", "new secret\n", secret=True),
        File(f"{etc}/ipsec.conf", "new\n"),
    )


def _install(keep: int) -> t.Callable[[Path], object]:
    files = LocalFiles(Commands())

    def run(folder: Path) -> object:
        changes = tuple(file for file in _files(folder) if files.read(file.path) != file.text)
        return len(files.install(changes, keep))

    return run


def _read(folder: Path) -> object:
    files = LocalFiles(Commands())
    paths = files.glob(f"{folder}/etc/*.conf")
    return [(path, files.read(path), files.mode(path), files.real(path)) for path in paths]


def _lock(folder: Path) -> object:
    with LockFile(SystemClock(), str(folder / "lock")).exclusive(1):
        return None


def _pluto(folder: Path) -> LocalPluto:
    return LocalPluto(Commands(), rundir=str(folder), resolv_conf=str(folder / "resolv.conf"))


def _rundir(folder: Path) -> None:
    for name in ("pluto.pid", "ipsec.info", *RESOLV_BACKUPS):
        (folder / name).write_text("nameserver 192.0.2.1\n" if "resolv" in name else "1\n")
    (folder / "resolv.conf").write_text("nameserver 192.0.2.2 # by Libreswan\n")


def _look_at_pluto(folder: Path) -> object:
    pluto = _pluto(folder)
    pluto.check_rundir(room=True)
    return pluto.lock(), pluto.control(), pluto.old_locks(), pluto.processes(), pluto.strangers()


def _none(folder: Path) -> None:
    """Nothing to begin with."""


def _record_it(folder: Path) -> object:
    _record.RECORD = str(folder / "record.json")
    _record.record(LocalFiles(Commands()), "sysctl", {"before": {"a": "1"}, "ours": {"a": "2"}})
    return None


def _code(folder: Path) -> None:
    """The zip file that Ansible sent."""
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("nothing.py"), "")
    vars(_rollback)["__spec__"].loader = zipimport.zipimporter(str(folder / "code.zip"))


def _arm(folder: Path) -> object:
    """With no systemd it starts a process, which ends at once, for there is nothing in its zip file."""
    rollback = LocalRollback(Commands(), str(folder / "rollback"))
    rollback.arm(Pending("/etc/ipsec.conf", (File("/etc/ipsec.conf", "old\n"),), True, 2.0, 5), 60)
    return rollback.pending()


def _armed(folder: Path) -> None:
    _code(folder)
    _arm(folder)


def _disarm(folder: Path) -> object:
    rollback = LocalRollback(Commands(), str(folder / "rollback"))
    rollback.disarm("a sentence")
    return rollback.pending(), rollback.past()


def _parameters(folder: Path) -> object:
    LocalParameters().write("net/ipv4/conf/lo/rp_filter", "2")
    return LocalParameters().names("net/ipv4/conf/*/rp_filter"), LocalParameters().read("net/ipv4/conf/lo/rp_filter")


def _settle(folder: Path) -> object:
    _record.RECORD, _sysctl.FILE = str(folder / "record.json"), str(folder / "sysctl.conf")
    host = dataclasses.replace(FakeHost().router(), files=LocalFiles(Commands()), parameters=LocalParameters())
    wanted = wanted_from({"net.ipv4.ip_forward": 1, "net.ipv4.conf.*.rp_filter": 2})
    return settle(wanted, host, purge=True, check_mode=False).to_result()["changed"]


def _config(folder: Path) -> object:
    _record.RECORD = str(folder / "record.json")
    host = dataclasses.replace(FakeHost().host(), files=LocalFiles(Commands()))
    candidate = Candidate(str(_conf(folder)), _config_files(folder))
    proposal = Proposal(candidate, (f"{folder}/etc/ipsec.secrets",), record=True, purge=True, keep=1)
    return install(proposal, host, check_mode=False).to_result()["changed"]


def _config_files(folder: Path) -> tuple[File, ...]:
    return (
        File(f"{folder}/etc/ipsec.secrets", ': PSK "a new secret"\n', secret=True),
        File(str(_conf(folder)), "conn one\n left=%defaultroute\n right=192.0.2.9\n auto=add\n"),
    )


def _sas(_folder: Path) -> None:
    """A larval SA and a policy as a pluto makes them, and a policy of somebody else."""
    for command in (
        "ip xfrm state allocspi src 127.0.0.1 dst 127.0.0.2 proto esp reqid 16389 mode tunnel min 0x1000 max 0x1fff",
        "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out tmpl src 127.0.0.1 dst 127.0.0.2 proto esp "
        "mode tunnel reqid 16389",
        "ip xfrm policy add src 10.3.0.0/24 dst 10.4.0.0/24 dir out priority 7 action block",
    ):
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


def _kernel_look(_folder: Path) -> object:
    kernel = XfrmKernel(Commands())
    contents = kernel.contents(Listing(limit=5))
    return kernel.tables(), contents and (contents.tables, contents.totals, len(contents.sa_list)), kernel.leftovers()


def _kernel_clean(_folder: Path) -> object:
    XfrmKernel(Commands()).clean("own")
    return None


with patch_module_args({}):
    RUN_COMMAND = AnsibleModule(argument_spec={}).run_command


def _program(_folder: Path) -> object:
    done = LocalCommands(RUN_COMMAND).run("sh", "-c", "echo out; echo err >&2; exit 3", timeout=20)
    return done.status, done.out, done.err


OPERATIONS = (
    Operation("files-install", _etc, _install(2), atomic=True),
    Operation("files-install-without-backups", _etc, _install(0), atomic=True),
    Operation("files-read", _etc, _read),
    Operation("guard", _none, _lock),
    Operation("pluto-look", _rundir, _look_at_pluto),
    Operation("pluto-write-lock", _none, lambda folder: _pluto(folder).write_lock(Process(814))),
    Operation("pluto-remove-leftovers", _rundir, lambda folder: _pluto(folder).remove_leftovers()),
    Operation("record", _none, _record_it),
    Operation("rollback-arm", _code, _arm, again=False),
    Operation("rollback-disarm", _armed, _disarm),
    Operation("parameters", _none, _parameters, kernel=True),
    Operation("sysctl", _none, _settle, reports=True, kernel=True),
    Operation("config", _etc, _config, reports=True),
    Operation("xfrm-look", _sas, _kernel_look, kernel=True),
    Operation("xfrm-clean", _sas, _kernel_clean, kernel=True),
    Operation("commands", _none, _program),
)
