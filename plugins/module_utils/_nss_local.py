# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real ports of a gateway with pluto's NSS database."""

from __future__ import annotations

import typing as t

from ._install import LocalFiles
from ._nss import LocalNss
from ._nss_host import NssHost

if t.TYPE_CHECKING:
    from ._host import Host
    from ._ports import Commands


def nss_host(host: Host, commands: Commands, nssdir: str | None) -> NssHost:
    """The same host, with what it takes to work on its NSS database; `nssdir` None: where its configuration says."""
    return NssHost(
        **vars(host), files=LocalFiles(commands), nss=LocalNss(commands, config=host.pluto.config, nssdir=nssdir)
    )
