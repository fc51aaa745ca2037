# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports out of the zip file that Ansible sends: what costs a module most of its time."""

from __future__ import annotations

import sys
import typing as t
import zipimport
from importlib.machinery import ModuleSpec

if t.TYPE_CHECKING:
    from importlib.abc import Loader


class Siblings:
    """Finds the files of this package in a zip file, by their names alone.

    Left to itself zipimport compiles every file twice: once for its spec, to learn the file's name (get_filename() in
    Lib/zipimport.py, Python 3.9 to 3.13), and once to run it.
    """

    def __init__(self, importer: zipimport.zipimporter) -> None:
        self._importer = importer

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder. A file that is not there is an ImportError later, when it is loaded."""
        package, _dot, name = fullname.rpartition(".")
        if package != __package__:
            return None
        origin = f"{self._importer.archive}/{self._importer.prefix}{name}.py"
        spec = ModuleSpec(fullname, t.cast("Loader", self._importer), origin=origin)
        spec.has_location = True
        return spec


def compile_once() -> None:
    """From here on, compile each file of this package once; call it before any other is imported."""
    importer = getattr(__spec__, "loader", None)
    if isinstance(importer, zipimport.zipimporter):
        sys.meta_path.insert(0, Siblings(importer))
