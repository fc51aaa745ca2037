# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about this checkout that the scripts of dev/ and the gates share. Standard library only, Python 3.9."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".venv"
# The collection as Ansible looks for it: NAMESPACE/NAME below a folder called ansible_collections.
COLLECTION_LINK = ROOT / ".ansible/collections/ansible_collections/xswan/ipsec"


class Venv(t.NamedTuple):
    """A virtual environment, .venv/NAME with the pins of dev/requirements/NAME.txt, and the Pythons it may have."""

    name: str
    pythons: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Return its folder."""
        return VENVS / self.name

    @property
    def requirements(self) -> Path:
        """Return the file of its pins."""
        return ROOT / "dev/requirements" / f"{self.name}.txt"


# The Pythons are those that the pinned ansible-core supports on the controller, the preferred one first.
DEV = Venv("dev", ("3.11", "3.12", "3.13"))
CORES = {
    "2.18": Venv("core-2.18", ("3.11", "3.12", "3.13")),
    "2.19": DEV,
    "2.21": Venv("core-2.21", ("3.12", "3.13", "3.14")),
}
# What the oldest gateways have; no ansible-core that is supported runs there, only what it sends to them.
OLDEST = Venv("python-3.9", ("3.9",))


def find_python(versions: t.Iterable[str]) -> Path | None:
    """Return the first interpreter of one of these versions ("3.11") that works and can make virtual environments.

    Looks where Debian and a local build put it, then at the versions that pyenv has installed. Never goes by PATH:
    the shims there that pyenv makes are found for versions that are not enabled, and then fail.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in versions:
        name = f"python{version}"
        places = [Path("/usr/bin", name), Path("/usr/local/bin", name), *pyenv.glob(f"versions/{version}.*/bin/{name}")]
        for place in places:
            if place.exists() and _makes_venvs(place):
                return place
    return None


def _makes_venvs(python: Path) -> bool:
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0


def files() -> list[str]:
    """Return the paths, relative to ROOT, of the files that git tracks or would add: the project without its litter."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    # A file deleted but not yet committed is still listed.
    return sorted({path for path in listing.split("\0") if path and os.path.lexists(ROOT / path)})
