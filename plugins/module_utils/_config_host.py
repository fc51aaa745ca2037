# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway that is given a configuration, and the ports which that needs besides."""

from __future__ import annotations

import dataclasses
import typing as t

from ._host import Host

if t.TYPE_CHECKING:
    from ._candidate import Candidate, File, Overlay
    from ._confirm import Pending
    from ._faults import Fault, Trial
    from ._ipsec_conf import IPsecConf


class Files(t.Protocol):
    """The files of a configuration."""

    def read(self, path: str) -> str | None:
        """The text of a file; None when there is none. ConfigError when it cannot be read."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The files that a shell's pattern matches, sorted."""

    def mode(self, path: str) -> int | None:
        """Permissions of a file of root's; -1 of a file that is not root's; None when there is none."""

    def real(self, path: str) -> str:
        """Where a path leads, through symbolic links; ConfigError where a file of root's would not be safe."""

    def install(self, files: tuple[File, ...], keep: int) -> tuple[str, ...]:
        """Replace the files, in this order, or none of them; DaemonError when it cannot be done.

        Each is there whole at every moment, the old one or the new one, also after a power failure. The old ones become
        backups, of which the newest `keep` of each file stay. Returns the new backups.
        """

    def tidy(self, files: tuple[File, ...], keep: int) -> None:
        """Remove what an installation of these files left that was killed; an old file that it replaced is a backup."""


class Sandbox(t.Protocol):
    """Where a configuration is tried out, with nothing of the host within its reach."""

    def check(self) -> None:
        """DependencyError with the reason where this host allows no sandbox."""

    def load(self, candidate: Candidate, conf: IPsecConf, timeout: float) -> Trial:
        """Have a throw-away pluto load the candidate; `conf` is what our reader finds in it.

        DependencyError when the sandbox does not work or does not end in `timeout` seconds.
        """

    def remember(self, conf: IPsecConf, found: tuple[Fault, ...]) -> None:
        """Remember what the last `load` has found; its candidate is installed now, as `conf` reads it."""

    def known(self, conf: IPsecConf) -> tuple[Fault, ...] | None:
        """What was found of the installed configuration; None unless all that the trial saw is still as it was then."""

    def check_only(self, candidate: Candidate, after: Overlay, reason: str) -> Trial:
        """Let the parser alone look at the candidate; `reason` is why there is no sandbox, empty if none is wanted."""


class Rollback(t.Protocol):
    """What takes a configuration back that nobody confirms, on the host itself."""

    def pending(self) -> Pending | None:
        """What will be put back; None when nothing waits to be confirmed."""

    def past(self) -> str | None:
        """A sentence on the last configuration that was taken back; None when there was none, or it is forgotten."""

    def forget(self) -> None:
        """Forget the past."""

    def arm(self, record: Pending, seconds: int) -> None:
        """Put the files back after so many seconds, or at the next boot, in place of what was armed before.

        DependencyError or DaemonError when it cannot be.
        """

    def disarm(self, past: str | None = None) -> None:
        """Leave the files as they are; nothing stays of the record and the timer but this sentence, if there is one."""


class Baseline(t.Protocol):
    """What the configuration said when the pluto that runs read it, for a later reload."""

    def note(self) -> None:
        """Note what it says, if that pluto has read it as it is, and unless it is noted already."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ConfigHost(Host):
    """A gateway that is given a configuration."""

    files: Files
    sandbox: Sandbox
    rollback: Rollback
    baseline: Baseline
