# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed of all random walks: the same on every run, unless XSWAN_SEED gives another. pytest prints it at its top."""

from __future__ import annotations

import os

SEED = int(os.environ.get("XSWAN_SEED", "3"))
