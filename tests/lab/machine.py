# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One gateway as a User-mode Linux machine: its seed, its start, whether it lives, its power cut."""

from __future__ import annotations

import io
import subprocess
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .network import namespace
from .tools import LabError, environment, run, wait_until

PROGRAM: t.Final = "linux.uml"
INTERPOSER: t.Final = Path(__file__).with_name("ptrace.c")


@dataclass(frozen=True)
class Machine:
    """The files of one machine in the lab's state folder, and its processes.

    `sockets` holds UML's control socket; a socket's path is limited to 107 bytes, so it is not in the state folder.
    """

    lab: str
    name: str
    number: int
    memory: int
    image: Path
    state: Path
    sockets: Path

    @property
    def disk(self) -> Path:
        """What the machine wrote; it survives a power cut."""
        return self.state / f"{self.name}.cow"

    @property
    def seed(self) -> Path:
        """The second disk: a tar file with the machine's identity, unpacked by /sbin/lab-init at each boot."""
        return self.state / f"{self.name}.seed"

    @property
    def console_log(self) -> Path:
        """Everything the machine ever said on its console."""
        return self.state / f"{self.name}.console.log"

    def start(self) -> None:
        """Power on; the processes live on when we end."""
        if self.alive():
            raise LabError(f"{self.name}: is running already")
        wires = (f"eth{n}=tuntap,{self.name}-eth{n},02:00:00:00:{self.number:02x}:{n:02x}" for n in range(3))
        # A machine is some twenty host processes, and those of its programs outlive a kill of the kernel's. In a
        # process namespace of its own the kernel's process is the first one, whose end takes all others at once.
        argv = [
            "setsid", "--fork",
            "ip", "netns", "exec", namespace(self.lab),
            "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
            "env", f"LD_PRELOAD={interposer(self.state)}",
            PROGRAM, f"mem={self.memory}M", f"umid={umid(self.lab, self.name)}", f"uml_dir={self.sockets}",
            f"ubd0={self.disk},{self.image}", f"ubd1r={self.seed}", "root=/dev/ubda", "rw", "init=/sbin/lab-init",
            *wires, "con=null", "con0=fd:0,fd:1", "quiet",
        ]  # fmt: skip
        with self.console_log.open("ab") as log:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd="/",
                check=True,
                timeout=30,
            )
        # setsid has come back, but what it started takes a moment to become the machine.
        wait_until(self.alive, 10, "the machine does not start", every=0.02)

    def alive(self) -> bool:
        """Whether it is powered on."""
        return bool(processes.find(of_lab(self.lab, self.name)))

    def kill(self) -> None:
        """Cut the power."""
        processes.end(of_lab(self.lab, self.name), f"machine {self.name}")


def interposer(state: Path) -> Path:
    """The library of a lab that is preloaded into its machines, which ptrace.c explains."""
    return state / "ptrace.so"


def build_interposer(state: Path) -> None:
    """Compile it into the state folder of a lab, in a moment."""
    run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(interposer(state)), str(INTERPOSER)])


def umid(lab: str, gateway: str) -> str:
    """The identity of a machine among all of the host."""
    return f"{namespace(lab)}-{gateway}"


def of_lab(lab: str, gateway: str | None = None) -> processes.Match:
    """Match the processes of a lab's machines (or of one of them)."""
    # Names hold no hyphen, so the part after the lab's name is the whole of the gateway's.
    wanted = f"umid={umid(lab, gateway or '')}"

    def match(pid: int) -> bool:
        if processes.program(pid) != PROGRAM:
            return False
        return any(word == wanted if gateway else word.startswith(wanted) for word in processes.arguments(pid))

    return match


def write_seed(path: Path, files: dict[str, tuple[int, str]]) -> None:
    """Write a seed: the file's path in the machine (no leading slash) to its mode and text."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, (mode, text) in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
