# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway as this collection can reach it: its ports."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ._ports import Clock, Guard, Journal, Kernel, Launcher, Network, Pluto


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Host:
    """A gateway as this collection can reach it."""

    launcher: Launcher
    pluto: Pluto
    kernel: Kernel
    journal: Journal
    guard: Guard
    clock: Clock
    network: Network
