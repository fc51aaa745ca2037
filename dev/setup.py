# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare this checkout: check the machine, install what is missing, make the virtual environments and the link.

Does only what is still to do, so that every make target can begin with it. Standard library only, Python 3.9.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import select
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from project import COLLECTION_LINK, CORES, DEV, OLDEST, ROOT, VENVS, Venv, find_python

PREFLIGHT = ROOT / "tests/lab/preflight.py"
APT_PACKAGES = ROOT / "dev/apt-packages.txt"
# A person at the screen hears from a silent command after this many seconds.
HEARTBEAT_S = 4.0


class SetupError(Exception):
    """What happened and what to do about it, in one line."""


def run(what: str, argv: t.Sequence[str | Path], *, cure: str, env: t.Mapping[str, str] | None = None) -> None:
    """Run a command with its output shown and a sign of life while it is silent; raise SetupError if it fails."""
    print(f"== {what}", flush=True)
    began = time.monotonic()
    with subprocess.Popen(
        argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        if process.stdout is None:
            raise RuntimeError("no pipe from " + str(argv[0]))
        output = process.stdout.fileno()
        while True:
            if select.select([output], [], [], HEARTBEAT_S)[0]:
                chunk = os.read(output, 65536)
                if not chunk:
                    break
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
            else:
                print(f"   ... {time.monotonic() - began:.0f} s", flush=True)
    if process.returncode != 0:
        raise SetupError(f"{what}: {argv[0]} ended with status {process.returncode}. {cure}")


def check_machine() -> None:
    """Let the lab say whether this machine can run it, before anything is installed."""
    if subprocess.run([sys.executable, PREFLIGHT, "host"], cwd=ROOT, check=False).returncode != 0:
        # It has told the user what to do.
        raise SystemExit(1)


def install_packages() -> None:
    """Install the Debian packages that are missing."""
    if shutil.which("dpkg-query") is None:
        raise SetupError("dpkg-query not found: this is neither Debian nor Ubuntu. Use a Debian 12 machine.")
    lines = APT_PACKAGES.read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    known = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\n", *wanted],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it names the missing ones there, and so do we
        text=True,
        check=False,  # and calls it a failure
    ).stdout
    installed = {line.split()[1] for line in known.splitlines() if line.startswith("ii")}
    missing = [package for package in wanted if package not in installed]
    if not missing:
        return
    if os.geteuid() != 0:
        raise SetupError("Not root, and these packages are missing. As root: apt-get install " + " ".join(missing))
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    cure = "Check the network and /etc/apt/sources.list*, then run this again."
    # Without the option apt-get calls an unreachable registry a success.
    run("apt-get update", ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"], cure=cure, env=env)
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    run("apt-get install " + " ".join(missing), install, cure=cure, env=env)


def make_venv(venv: Venv, python: Path) -> None:
    """Make a virtual environment anew, unless it was made by this Python from these pins."""
    stamp = venv.path / "stamp"
    made_from = f"{hashlib.sha256(venv.requirements.read_bytes()).hexdigest()} {python}\n"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    if venv.path.exists():
        shutil.rmtree(venv.path)
    cure = "Is a package index reachable? Check the network and pip's own configuration, then run this again."
    what = f"{venv.path.relative_to(ROOT)} by {python}"
    run(what, [python, "-m", "venv", venv.path], cure="Its venv module must work: apt-get install python3-venv.")
    options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off"]
    install = [str(venv.path / "bin/python"), "-m", "pip", "install", *options, "--requirement", str(venv.requirements)]
    run(f"pip install -r {venv.requirements.relative_to(ROOT)}", install, cure=cure)
    stamp.write_text(made_from, encoding="utf-8")


def link_collection() -> None:
    """Make the link through which Ansible, pytest and mypy find the checkout as the collection xswan.ipsec."""
    target = os.path.relpath(ROOT, COLLECTION_LINK.parent)
    if COLLECTION_LINK.is_symlink() and os.readlink(COLLECTION_LINK) == target:
        return
    COLLECTION_LINK.parent.mkdir(parents=True, exist_ok=True)
    if COLLECTION_LINK.is_symlink():
        COLLECTION_LINK.unlink()
    COLLECTION_LINK.symlink_to(target)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", action="store_true", help="also what the lab needs: checks and Debian packages (root)")
    parser.add_argument(
        "--cores",
        action="store_true",
        help="also other ansible-core versions, for ansible-test, and Python 3.9, for unit tests",
    )
    arguments = parser.parse_args()

    if arguments.lab:
        check_machine()
        install_packages()
    VENVS.mkdir(exist_ok=True)
    with open(VENVS / "lock", "w", encoding="ascii") as lock:
        # Two make targets at once must not build the same environment.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for venv in (*CORES.values(), OLDEST) if arguments.cores else (DEV,):
            python = find_python(venv.pythons)
            if python is not None:
                make_venv(venv, python)
            elif venv is DEV:
                wanted = " or ".join(venv.pythons)
                raise SetupError(
                    f"No Python {wanted} with its venv module found. As root on Debian 12 or newer: "
                    "apt-get install python3-venv"
                )
            else:
                print(f"== .venv/{venv.name} left out: no Python {' or '.join(venv.pythons)} found")
        link_collection()


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit("dev/setup.py: " + str(error))
