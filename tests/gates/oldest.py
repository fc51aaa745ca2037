# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imported by a Python too old for any supported ansible-core: lets it find what ansible-core sends to gateways.

That is the package ansible of the controller's environment; the rest of that is not for this Python.
"""

from __future__ import annotations

import importlib.machinery
import sys
import typing as t

from project import CORES

(ANSIBLE,) = CORES["2.19"].path.glob("lib/python3*/site-packages/ansible")


class Finder:
    """For sys.meta_path."""

    @staticmethod
    def find_spec(name: str, path: t.Any = None, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        """Only the package itself; its parts it finds by itself."""
        return importlib.machinery.PathFinder.find_spec(name, [str(ANSIBLE.parent)]) if name == "ansible" else None


sys.meta_path.append(Finder)
