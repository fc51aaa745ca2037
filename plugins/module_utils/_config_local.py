# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ports of a gateway that is given a configuration."""

from __future__ import annotations

import typing as t

from ._baseline import LocalBaseline
from ._config_host import ConfigHost
from ._install import LocalFiles
from ._preflight import Unshared
from ._rollback import LocalRollback

if t.TYPE_CHECKING:
    from ._host import Host
    from ._ports import CommandsApart


def config_host(host: Host, commands: CommandsApart) -> ConfigHost:
    """The same host, with what it takes to give it a configuration."""
    return ConfigHost(
        **vars(host),
        files=LocalFiles(commands),
        sandbox=Unshared(commands),
        rollback=LocalRollback(commands),
        baseline=LocalBaseline(commands, host.pluto.config),
    )
