# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections of the living pluto, changed one by one.

By `ipsec whack` and `ipsec addconn`: `ipsec auto` is gone in Libreswan 5. Never by `whack --rereadcerts`, which crashes
a pluto up to 4.10 that has active connections; and a connection is never added that pluto holds, for that would end its
tunnel, and leave subnets loaded that the new definition does not have.
"""

from __future__ import annotations

import functools
import typing as t

from ._baseline import LocalBaseline
from ._clock import SystemClock
from ._definitions import nicknames, setup, sharers, stranded, up
from ._errors import DaemonError
from ._outdated import note_connection, outdated
from ._pluto import ANSWER_TIMEOUT, LocalPluto
from ._rehearsal import held, rehearse
from ._reload import Reload
from ._stamp import FOLDER, SECRETS, group_files, secret_files, signature
from ._unread import STAMPS, changed, note
from ._whack import parse_status

if t.TYPE_CHECKING:
    from ._baseline import Said
    from ._model import Process
    from ._ports import CommandsApart
    from ._reload import Holding, Unread

LOAD_TIMEOUT = 60.0
"""Seconds that a connection has to be loaded; it may have a name to resolve."""
END_TIMEOUT = 120.0
"""Seconds that the end of a connection's SAs may take: it runs a script for each, and waits for the peer's word."""
INITIATE_TIMEOUT = 2.0
"""Seconds that the order to start a connection takes at most."""
WHACK_ERRORS = range(20, 100)
"""Exit statuses by which whack tells that pluto refused: include/oswlog.h of Openswan, lswlog.h of Libreswan."""


class LocalReloader(LocalPluto):
    """See the port `Reloader`."""

    def __init__(self, commands: CommandsApart, *, config: str) -> None:
        super().__init__(commands, config=config)
        self._apart = commands
        self._baseline = LocalBaseline(commands, config)

    def compare(self) -> Reload:
        """See Reloader.compare."""
        status = self._status()
        answer = parse_status(status, "")
        process = self._process()
        now_held, wanted = held(status), self._wanted
        self._baseline.note()
        noted = self._baseline.noted(process)
        if noted is not None:
            # of some keys pluto tells nothing, and of others what somebody has told it since by whack
            now_held, wanted = now_held._replace(setup=noted.setup), wanted._replace(setup=self._said.setup)
        return Reload(
            held=now_held,
            wanted=wanted,
            auto=self._auto,
            sharers=sharers(answer),
            up=up(answer),
            stranded=stranded(answer),
            unread=tuple(what for what in STAMPS if changed(process, _files(what, status), STAMPS[what])),
            outdated=outdated(process, nicknames(status)),
            rewritten=None if noted is None else self._said.changed(noted),
        )

    @functools.cached_property
    def _said(self) -> Said:
        return self._baseline.now()

    @functools.cached_property
    def _auto(self) -> dict[str, str]:
        """The auto= of every connection that is to be loaded."""
        return {name: auto for name, auto in self.configured().items() if auto != "ignore"}

    @functools.cached_property
    def _wanted(self) -> Holding:
        tried = rehearse(self._apart, self.config)
        wanted = {name: fields for name, fields in tried.connections.items() if name in self._auto}
        return tried._replace(connections=wanted)

    def reread(self, what: Unread) -> None:
        """See Reloader.reread. Policy groups are read by whack_listen() of pluto's rcv_whack.c, 3.32 to 5.x."""
        signed = signature(_files(what, self._status()))
        self._order("--rereadsecrets" if what == "secrets" else "--listen")
        note(self._process(), signed, STAMPS[what])

    def delete(self, name: str) -> None:
        """See Reloader.delete. 5.2 tells the peer of the end of a Child SA only when asked to end it first."""
        self._order("--name", name, "--terminate", timeout=END_TIMEOUT)
        self._order("--name", name, "--delete", timeout=END_TIMEOUT)

    def load(self, name: str) -> None:
        """See Reloader.load. addconn(8) with a name neither starts nor routes."""
        now = SystemClock().now()
        done = self._ipsec("addconn", "--config", self.config, name, timeout=LOAD_TIMEOUT)
        if done.status != 0:
            raise DaemonError(
                f"pluto did not load connection {name}: {done.reason}; correct it in {self.config}", connection=name
            )
        for process in self.processes():
            note_connection(process, name, now)
            self._baseline.loaded(process, name, self._said)

    def start(self, name: str) -> None:
        """See Reloader.start. Up to 4.x whack stays to tell how it goes, whatever it is told."""
        self._ipsec("whack", "--name", name, "--initiate", "--asynchronous", timeout=INITIATE_TIMEOUT)

    def route(self, name: str) -> None:
        """See Reloader.route."""
        self._order("--name", name, "--route")

    def _status(self) -> str:
        status = self._ipsec("whack", "--status", timeout=ANSWER_TIMEOUT)
        if status.status != 0:
            raise DaemonError(f"pluto does not answer: {status.reason}; run the task again")
        return status.out

    def _process(self) -> Process:
        for process in self.processes():
            return process
        raise DaemonError("pluto has ended meanwhile; run the task again")

    def _order(self, *options: str, timeout: float = ANSWER_TIMEOUT) -> None:
        done = self._ipsec("whack", *options, timeout=timeout)
        if done.status is None or done.status in WHACK_ERRORS:
            raise DaemonError(f"`ipsec whack {' '.join(options)}` failed: {done.reason}; run it by hand to see more")


def _files(what: Unread, status: str) -> tuple[str, ...]:
    told = setup(status)
    if what == "secrets":
        return secret_files(told.get("secrets", SECRETS))
    return group_files(told.get("ipsecdir", FOLDER))
