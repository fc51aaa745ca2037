# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible on a lab: ad hoc calls and playbooks from this checkout, with their results as data."""

from __future__ import annotations

import codecs
import dataclasses
import json
import os
import re
import selectors
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from .tools import LabError, environment

if t.TYPE_CHECKING:
    from .lab import Lab

CHECKOUT: t.Final = Path(__file__).resolve().parents[2]
SILENCE: t.Final = 4.0
"""Seconds after which a person is told that a run still goes on."""

_HOST = re.compile(r"^(?P<host>\S+) \| (?P<word>[A-Z]+)!? => ", re.MULTILINE)
_RECAP = re.compile(r"^(?P<host>\S+) +: (?P<counts>ok=\d+ .*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished ansible-playbook: its exit status, all it printed, and the counts of its recap by host."""

    status: int
    text: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """By host: ok, changed, unreachable, failed, skipped, rescued, ignored."""
        return {
            match["host"]: {key: int(value) for key, value in (pair.split("=") for pair in match["counts"].split())}
            for match in _RECAP.finditer(self.text)
        }


def ad_hoc(
    lab: Lab, module: str, args: str = "", *options: str, hosts: str = "gateways"
) -> dict[str, dict[str, t.Any]]:
    """Run a module on the gateways: its result by host, a failed one with "failed": true; LabError if there is none."""
    argv = ["ansible", hosts, "-i", str(lab.inventory), "-m", module, *(["-a", args] if args else []), *options]
    env = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "0"}
    done = subprocess.run(
        argv, cwd=CHECKOUT, env=_environment(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    results = {}
    for match in _HOST.finditer(done.stdout):
        result, _end = json.JSONDecoder().raw_decode(done.stdout, match.end())
        results[match["host"]] = {**result, "failed": match["word"] in ("FAILED", "UNREACHABLE")}
    if not results:
        raise LabError(f"lab {lab.name}: `{' '.join(argv)}` brought no result: {done.stderr or done.stdout}")
    return results


def start_playbook(
    lab: Lab, path: Path, *options: str, apart: bool = False, more: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Begin to run a playbook on the lab, if `apart` in a session of its own, with `more` in its environment.

    Its output is in a pipe.
    """
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(lab.inventory), str(path), *options],
        cwd=CHECKOUT,
        env=_environment(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=apart,
    )


def playbook(lab: Lab, path: Path, *options: str, echo: bool = False) -> Run:
    """Run a playbook on the lab; `echo` shows its output as it comes, and that it goes on when none comes."""
    process = start_playbook(lab, path, *options)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    texts: list[str] = []
    with process, selectors.DefaultSelector() as selector:
        output = t.cast("t.BinaryIO", process.stdout).fileno()
        selector.register(output, selectors.EVENT_READ)
        began = time.monotonic()
        while True:
            if not selector.select(SILENCE):
                if echo:
                    print(f"  ... {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                continue
            data = os.read(output, 65536)
            if not data:
                break
            texts.append(decoder.decode(data))
            if echo:
                print(texts[-1], end="", flush=True)
    return Run(process.returncode, "".join(texts))


def line(text: str, folder: Path, *, stdin: str = "", **more: str) -> Run:
    """Run a line of a shell in a folder, with `more` in its environment; it has no terminal to ask at."""
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=_environment(more),
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def _environment(more: dict[str, str]) -> dict[str, str]:
    """The checkout's own tools and settings, whatever the caller's shell has set."""
    env = {key: value for key, value in environment().items() if not key.startswith("ANSIBLE_")}
    folder = str(Path(sys.executable).parent)
    return {
        **env,
        "PATH": f"{folder}{os.pathsep}{env['PATH']}",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        # ansible refuses to run in the C locale
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **more,
    }
