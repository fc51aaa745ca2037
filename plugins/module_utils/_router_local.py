# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ports of a gateway whose routing is set up."""

from __future__ import annotations

import typing as t

from ._filter import LocalFilter
from ._install import LocalFiles
from ._parameters import LocalParameters
from ._router import RouterHost

if t.TYPE_CHECKING:
    from ._host import Host
    from ._ports import Commands


def router_host(host: Host, commands: Commands) -> RouterHost:
    """The same host, with what it takes to set up its routing."""
    return RouterHost(
        **vars(host), files=LocalFiles(commands), parameters=LocalParameters(), filter=LocalFilter(commands)
    )
