# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateways' disks: one image a suite, built once by mmdebstrap, kept in a cache, shared and never written."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from .preflight import cache_folder
from .tools import LabError, environment, last_lines, progress, run, wait_until

PACKAGES: t.Final = (
    # the system
    "systemd", "systemd-sysv", "dbus", "kmod", "iproute2", "iputils-ping", "procps", "openssh-server",
    # what Ansible and the collection's modules use on a host
    "python3", "python3-apt", "python3-pyroute2", "python3-psutil",
    # the subject and what one looks at it with
    "libreswan", "libnss3-tools", "nftables", "tcpdump",
)  # fmt: skip
# On User-mode Linux these cost most of the boot time (udev alone 11 s) or can only fail.
MASKED_UNITS: t.Final = (
    "systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-modules-load.service",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount", "dev-mqueue.mount", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
    "systemd-journal-flush.service", "systemd-networkd-wait-online.service", "e2scrub_reap.service",
    "e2scrub_all.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
    "getty.target", "systemd-random-seed.service", "systemd-pcrphase.service", "systemd-remount-fs.service",
    "kmod-static-nodes.service", "modprobe@.service", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service",
    "systemd-journal-catalog-update.service", "ldconfig.service",
)  # fmt: skip
FILES: t.Final = {
    # A gateway is a router; and its journal must not cost disk writes at boot.
    "etc/sysctl.d/50-router.conf": "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\n",
    # There is no name server in a lab: a lookup must fail at once, not after a time-out.
    "etc/resolv.conf": "",
    "etc/lab/README": "Files here are written at boot by /sbin/lab-init from this gateway's seed.\n",
}
# Suites whose support has ended: their security archives list packages that can no longer be downloaded.
ENDED_SUITES: t.Final = ("bullseye",)
MODULES: t.Final = Path("/usr/lib/uml/modules")
INIT: t.Final = Path(__file__).with_name("lab-init")
DISK_SIZE: t.Final = "1500M"
BUILD_TIMEOUT: t.Final = 20 * 60
KEEP_UNUSED: t.Final = 7 * 24 * 3600


def kernel_version() -> str:
    """The installed version of the package user-mode-linux: the image holds that kernel's modules."""
    return run(["dpkg-query", "--show", "--showformat=${Version}", "user-mode-linux"]).stdout


def recipe() -> bytes:
    """Everything that decides what is in an image, besides the suite and the kernel."""
    return Path(__file__).read_bytes() + INIT.read_bytes()


def image_name(suite: str, kernel: str, recipe: bytes) -> str:
    """The file name of an image, SUITE-HASH.img: another content has another name."""
    digest = hashlib.sha256("\0".join((suite, kernel, *PACKAGES)).encode() + b"\0" + recipe).hexdigest()
    return f"{suite}-{digest[:16]}.img"


def image_path(suite: str) -> Path:
    """Where the image of a suite is, or will be."""
    return cache_folder() / image_name(suite, kernel_version(), recipe())


def missing(suites: c.Iterable[str]) -> list[str]:
    """The suites whose image has still to be built."""
    return [suite for suite in suites if not image_path(suite).exists()]


def build(suites: c.Iterable[str]) -> dict[str, Path]:
    """Make sure that the images of these suites exist, side by side where they must be built; return their paths."""
    paths = {suite: image_path(suite) for suite in suites}
    wanted = [suite for suite, path in paths.items() if not path.exists()]
    if wanted:
        step = f"building image {', '.join(wanted)} (downloads packages, once)"
        with progress(step), concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for future in [pool.submit(_build, suite, paths[suite]) for suite in wanted]:
                future.result()
    for path in paths.values():
        # Not the time of modification: copy-on-write files remember it.
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    return paths


def _build(suite: str, image: Path) -> None:
    cache = image.parent
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / f"{suite}.lock") as lock:
        if image.exists():  # another builder was faster
            return
        # What a builder that was killed left; we hold the lock, so nobody is at work on it.
        for leftover in cache.glob(f"{suite}-*.tmp"):
            shutil.rmtree(leftover)
        work = image.with_suffix(".tmp")
        work.mkdir()
        try:
            _make(suite, work, lock)
            (work / "disk").chmod(0o444)
            (work / "disk").rename(image)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                (work / "log").replace(cache / f"{suite}.log")
            raise
        finally:
            shutil.rmtree(work)
        (cache / f"{suite}.log").unlink(missing_ok=True)
        # Another checkout may still use them.
        for old in cache.glob(f"{suite}-*.img"):
            if time.time() - old.stat().st_atime > KEEP_UNUSED:
                old.unlink()


def _make(suite: str, work: Path, lock: int) -> None:
    root = work / "root"
    mirror = os.environ.get("XSWAN_LAB_MIRROR")
    excluded = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
    hooks = ['--setup-hook=sed -i /-security/d "$1/etc/apt/sources.list"'] if suite in ENDED_SUITES else []
    _step(suite, work, lock, [
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        "--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in excluded), *hooks,
        suite, str(root), *([mirror] if mirror else []),
    ])  # fmt: skip
    (root / "lib/modules").mkdir(exist_ok=True)
    _step(suite, work, lock, ["cp", "--archive", *map(str, sorted(MODULES.iterdir())), str(root / "lib/modules")])
    for version in sorted(MODULES.iterdir()):
        _step(suite, work, lock, ["chroot", str(root), "depmod", version.name])
    for name, text in FILES.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    shutil.copyfile(INIT, root / "sbin/lab-init")
    (root / "sbin/lab-init").chmod(0o755)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    units = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    _step(suite, work, lock, ["chroot", str(root), "systemctl", "disable", "ipsec.service"])
    # Younger than /usr: there is nothing that systemd must bring up to date at the first boot.
    for folder in ("etc", "var"):
        (root / folder / ".updated").touch()
    # A journal, as a gateway's disk has: files that were synced survive a power cut.
    _step(suite, work, lock, [
        "mke2fs", "-q", "-t", "ext4", "-J", "size=8", "-d", str(root), str(work / "disk"), DISK_SIZE
    ])  # fmt: skip


def _step(suite: str, work: Path, lock: int, argv: list[str]) -> None:
    """Run one program of the build; it and all its children die with us, and the lock is held until they have."""
    guard = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    log = work / "log"
    try:
        with log.open("a") as out:
            result = subprocess.run(
                [*guard, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
                pass_fds=[lock],
                timeout=BUILD_TIMEOUT,
                check=False,
            )
    except FileNotFoundError as error:
        raise LabError(f"image {suite}: no program {error.filename}; run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"image {suite}: {argv[0]} did not end in {BUILD_TIMEOUT} s") from error
    if result.returncode != 0:
        kept = work.parent / f"{suite}.log"
        raise LabError(f"image {suite}: {argv[0]} failed; the whole log is {kept}\n{last_lines(log)}")


@contextlib.contextmanager
def _lock(path: Path) -> c.Iterator[int]:
    """Hold a file's lock, and give its descriptor; two builders of one suite wait for each other."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def taken() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        wait_until(taken, BUILD_TIMEOUT, f"{path}: held by another builder", every=0.5)
        yield descriptor
    finally:
        os.close(descriptor)
