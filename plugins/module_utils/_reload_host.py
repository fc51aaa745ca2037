# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway whose pluto is reloaded, and the port which that needs besides."""

from __future__ import annotations

import dataclasses
import typing as t

from ._host import Host

if t.TYPE_CHECKING:
    from ._reload import Reload, Unread


class Reloader(t.Protocol):
    """The connections of the living pluto, one by one."""

    def compare(self) -> Reload:
        """What the living pluto holds, beside what its configuration asks for; changes nothing about either.

        The configuration is tried out once: what is wanted stays what it was at the first look.
        ConfigError when the configuration, or a connection in it, is refused by the program; DaemonError when pluto
        does not answer; DependencyError where there can be no throw-away pluto to ask.
        """

    def reread(self, what: Unread) -> None:
        """Have pluto read these files again; DaemonError when it does not."""

    def delete(self, name: str) -> None:
        """Delete a connection with its SAs, and tell the peer; DaemonError when pluto does not answer."""

    def load(self, name: str) -> None:
        """Load a connection that pluto does not hold; DaemonError when it does not take it."""

    def start(self, name: str) -> None:
        """Have pluto start the tunnel of a connection. Whether the peer answers is not waited for."""

    def route(self, name: str) -> None:
        """Have pluto start the tunnel of a connection when a packet needs it; DaemonError when it refuses."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ReloadHost(Host):
    """A gateway whose pluto is reloaded."""

    reloader: Reloader
