# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ports of a gateway whose pluto is reloaded."""

from __future__ import annotations

import typing as t

from ._reload_host import ReloadHost
from ._reloader import LocalReloader

if t.TYPE_CHECKING:
    from ._host import Host
    from ._ports import CommandsApart


def reload_host(host: Host, commands: CommandsApart) -> ReloadHost:
    """The same host, with what it takes to reload."""
    return ReloadHost(**vars(host), reloader=LocalReloader(commands, config=host.pluto.config))
