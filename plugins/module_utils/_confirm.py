# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration that is taken back unless it is confirmed, so that nobody is locked out of a gateway for good."""

from __future__ import annotations

import datetime
import typing as t

from ._candidate import File
from ._errors import ConfigError, IPsecError, after_changes
from ._model import Desired
from ._record import differs, forget

if t.TYPE_CHECKING:
    from ._config_host import ConfigHost
    from ._reload_host import ReloadHost

LOCK_TIMEOUT = 600.0
"""Seconds that a run of this collection which is at work is waited for before its configuration is taken back."""


class Pending(t.NamedTuple):
    """How the host was before a configuration that is still to be confirmed."""

    config: str
    """Path of ipsec.conf."""
    files: tuple[File, ...]
    """All files that have changed, as they were."""
    running: bool
    """Whether there was a pluto."""
    until: float
    """When they are put back, in seconds since the epoch."""
    keep: int
    """Backups of each file, also of the one that is taken back."""
    purged: tuple[str, ...] = ()
    """Paths of files that are recorded, and are to be no longer once it is confirmed."""


def timeout_mistake(seconds: int) -> str | None:
    """What is wrong with the time after which a configuration is taken back."""
    return None if seconds >= 1 else f"is {seconds}; allowed: one second or more"


def confirm(host: ConfigHost, *, check_mode: bool) -> dict[str, t.Any]:
    """Let the installed configuration stay; ConfigError when it has already been taken back."""
    if check_mode:
        record = _still_pending(host)
    else:
        # not while it is taken back
        with host.guard.exclusive(LOCK_TIMEOUT):
            record = _still_pending(host)
            if record is not None:
                host.rollback.disarm()
                with after_changes(True):
                    forget(host.files, record.purged)
                host.journal.write(f"confirmed {', '.join(file.path for file in record.files)}")
    return {"changed": record is not None, "files": [file.path for file in record.files] if record else []}


def _still_pending(host: ConfigHost) -> Pending | None:
    past = host.rollback.past()
    if past is not None:
        raise ConfigError(f"too late to confirm: {past}; correct the configuration and install it again")
    return host.rollback.pending()


def arm(
    host: ConfigHost, config: str, before: tuple[File, ...], purged: tuple[str, ...], seconds: int, keep: int
) -> None:
    """From now on the host will be as it is, in so many seconds; or as it was before a change that is not confirmed."""
    earlier = host.rollback.pending()
    files = {file.path: file for file in (*before, *(earlier.files if earlier else ()))}
    running = earlier.running if earlier else bool(host.pluto.processes())
    record = Pending(config, tuple(files.values()), running, host.clock.epoch() + seconds, keep, purged)
    host.rollback.arm(record, seconds)


def take_back(host: ConfigHost, reload: ReloadHost, *, booted: bool) -> str | None:
    """Put the files back that wait to be confirmed, and give the pluto that runs its old connections.

    `reload` is the same host. After a boot (`booted`) pluto is not touched: it starts later, and reads them then.
    Returns a sentence on what was done; None when nothing waits any more.
    """
    # only the gateway's own program needs it, not the module
    from ._converge import converge

    with host.guard.exclusive(LOCK_TIMEOUT):
        # whoever held the lock may have confirmed
        record = host.rollback.pending()
        if record is None:
            return None
        changes = tuple(file for file in record.files if differs(host.files, file))
        if changes:
            host.files.install(changes, record.keep)
        when = datetime.datetime.fromtimestamp(host.clock.epoch(), datetime.timezone.utc)
        names = ", ".join(file.path for file in record.files)
        said = f"nobody confirmed {names} in time, so at {when:%Y-%m-%d %H:%M:%S} UTC it was made what it had been"
        host.rollback.disarm(said)
    if booted or not record.running:
        return said
    try:
        converge(Desired(running=True, reload=True, allow_restart=True), reload, check_mode=False)
    except IPsecError as exc:
        # whoever is locked out needs the old tunnels, whatever that takes
        converge(Desired(running=True, restart=True), host, check_mode=False)
        return f"{said}, and pluto was restarted, for it could not be reloaded: {exc}"
    return f"{said}, and pluto took it over"
