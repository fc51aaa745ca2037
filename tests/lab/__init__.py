# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway lab: whole gateways with their own kernels, by User-mode Linux, for tests and for people.

For example:

    with Lab.load("lab.yml") as lab:
        lab.gateways["gw1"].run(["ipsec", "status"])
"""

from __future__ import annotations

from .lab import Capture, Gateway, Host, Lab, Node
from .spec import GatewaySpec, LabSpec, SpecError
from .tools import CommandError, LabError

__all__ = [
    "Capture",
    "CommandError",
    "Gateway",
    "GatewaySpec",
    "Host",
    "Lab",
    "LabError",
    "LabSpec",
    "Node",
    "SpecError",
]
