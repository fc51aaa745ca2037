# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine must have before a lab is built: looked at once, judged by pure functions, one line a problem.

Run as a script (`python3 tests/lab/preflight.py [host] [tools]`) it needs nothing but Python 3.9, so that `make` can
ask before it installs anything: `host` is what set-up cannot mend, `tools` the programs that set-up installs.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

GIB: t.Final = 1024**3
DISK: t.Final = 4 * GIB
MEMORY: t.Final = 2 * GIB
TUN: t.Final = "/dev/net/tun"
REGISTRY_TIMEOUT: t.Final = 20

# A program (or file) the lab uses, and the Debian package that brings it.
TOOLS: t.Final = {
    "linux.uml": "user-mode-linux",
    "cc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "mke2fs": "e2fsprogs",
    "ip": "iproute2",
    "nft": "nftables",
    "tcpdump": "tcpdump",
    "nc": "netcat-openbsd",
    "ping": "iputils-ping",
    "ssh": "openssh-client",
    "unshare": "util-linux",
}


def cache_folder() -> Path:
    """Where images are kept: XSWAN_LAB_CACHE, or /var/cache/xswan-lab."""
    return Path(os.environ.get("XSWAN_LAB_CACHE") or "/var/cache/xswan-lab").absolute()


def state_root() -> Path:
    """Where the labs' state folders are: XSWAN_LAB_STATE, or `.lab` of the checkout."""
    return Path(os.environ.get("XSWAN_LAB_STATE") or Path(__file__).resolve().parents[2] / ".lab").absolute()


@dataclass(frozen=True)
class Machine:
    """One look at the machine. `registry` is None where it was not asked or answered, else why it did not."""

    uid: int
    tun: str | None
    system: frozenset[str]
    free: t.Mapping[str, int]
    memory: int
    missing: tuple[str, ...]
    registry: str | None = None


def look(*, cache: Path, state: Path, ask_registry: bool) -> Machine:
    """Look at this machine."""
    return Machine(
        uid=os.geteuid(),
        tun=_open_error(TUN),
        system=system_ids(_text("/etc/os-release")),
        free={str(folder): _free(folder) for folder in (cache, state)},
        memory=available_memory(_text("/proc/meminfo")),
        missing=tuple(tool for tool in TOOLS if not _have(tool)),
        registry=registry_error() if ask_registry else None,
    )


def host_problems(machine: Machine) -> list[str]:
    """What set-up cannot mend, each with its cure."""
    problems = []
    if machine.uid != 0:
        problems.append("not root: network namespaces, taps and images need it; run this as root, for example by sudo")
    if not machine.system & {"debian", "ubuntu"}:
        problems.append(
            "not Debian or Ubuntu: the package user-mode-linux is found nowhere else; use a Debian 12 machine or newer"
        )
    if machine.tun is not None:
        problems.append(
            f"no {TUN} ({machine.tun}): gateways have no network without it; run `modprobe tun`, "
            f"or start the container with `--device {TUN}`"
        )
    for folder, free in machine.free.items():
        if free < DISK:
            problems.append(
                f"disk: {free / GIB:.1f} GiB free for {folder}, {DISK // GIB} GiB are needed; free some, or choose "
                "other folders by XSWAN_LAB_CACHE and XSWAN_LAB_STATE"
            )
    if machine.memory < MEMORY:
        problems.append(
            f"memory: {machine.memory / GIB:.1f} GiB available, {MEMORY // GIB} GiB are needed; "
            "end some programs or take a larger machine"
        )
    if machine.registry is not None:
        problems.append(
            f"no package registry reachable ({machine.registry}): packages cannot be downloaded; check the network, "
            "the proxy and apt's sources with `apt-get update`"
        )
    return problems


def tool_problems(machine: Machine) -> list[str]:
    """The programs that are not installed, each with the package that brings it."""
    return [
        f"no {tool}: install its package with `apt-get install {TOOLS[tool]}`, or everything with `make setup`"
        for tool in machine.missing
    ]


def system_ids(os_release: str) -> frozenset[str]:
    """The names of the system and of those it descends from, out of the text of os-release(5)."""
    words: set[str] = set()
    for line in os_release.splitlines():
        key, _equals, value = line.partition("=")
        if key in ("ID", "ID_LIKE"):
            words.update(value.strip("\"'").split())
    return frozenset(words)


def available_memory(meminfo: str) -> int:
    """The memory that programs can still have, in bytes, out of the text of /proc/meminfo."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def registry_error() -> str | None:
    """Why apt cannot download from the first of its own sources; None when it can.

    apt's own downloader is asked, so its proxies, certificates and mirrors are those of the real download.
    """
    helper = "/usr/lib/apt/apt-helper"
    if not Path(helper).exists():
        return "apt is not installed"
    listed = subprocess.run(
        ["apt-get", "--print-uris", "update"],
        capture_output=True, text=True, timeout=REGISTRY_TIMEOUT, check=False,
    )  # fmt: skip
    sources = [line.split("'")[1] for line in listed.stdout.splitlines() if line.startswith("'")]
    if not sources:
        return f"apt has no sources: {listed.stderr.strip() or 'its list is empty'}"
    with tempfile.TemporaryDirectory() as folder:
        download = subprocess.Popen(
            [helper, "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "APT::Sandbox::User=root",
             "download-file", sources[0], f"{folder}/release"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for waited in range(0, REGISTRY_TIMEOUT, 4):
            try:
                error = download.communicate(timeout=4)[1]
            except subprocess.TimeoutExpired:
                print(f"waiting for {sources[0]} ... {waited + 4} s", file=sys.stderr, flush=True)
                continue
            return " ".join(error.split()) or "no reason given" if download.returncode else None
        download.kill()
        download.communicate()
    return f"{sources[0]} did not answer in {REGISTRY_TIMEOUT} s"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def _open_error(path: str) -> str | None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        # Of those who are not root nothing else is to be expected; that they are not is told already.
        return None if error.errno == errno.EACCES and os.geteuid() != 0 else error.strerror
    return None


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def _have(tool: str) -> bool:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"))
    return Path(tool).exists() if tool.startswith("/") else shutil.which(tool, path=path) is not None


def main(stages: t.Sequence[str]) -> int:
    """Print the problems of the stages asked for on standard error; the exit status is 1 when there are any."""
    judges = {"host": host_problems, "tools": tool_problems}
    unknown = [stage for stage in stages if stage not in judges]
    if unknown:
        print(f"usage: preflight.py [{'] ['.join(judges)}]; unknown: {' '.join(unknown)}", file=sys.stderr)
        return 2
    cache = cache_folder()
    # Something will have to be downloaded: packages for this machine, or those of an image.
    download = not all(map(_have, TOOLS)) or not any(cache.glob("*.img"))
    machine = look(cache=cache, state=state_root(), ask_registry=download and "host" in (stages or ["host"]))
    problems = [problem for stage in stages or ["host"] for problem in judges[stage](machine)]
    for problem in problems:
        print(f"preflight: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
