# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site from docs/ and from what modules, filters and role say of themselves.

It needs no network, and a warning is an error. Run by `make docs`, in .venv/dev.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from project import COLLECTION_LINK, DEV, ROOT, files

SITE = ROOT / "tests/output/docs"


def build(site: Path) -> int:
    """Make the site anew in the folder `site`, its pages in html/; the exit status of the tool that failed, or 0."""
    shutil.rmtree(site, ignore_errors=True)
    source, reference = site / "source", site / "source/reference"
    for path in files():
        if path.startswith("docs/"):
            target = source / Path(path).relative_to("docs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, target)
    reference.mkdir()
    # antsibull-docs wants a folder that nobody else can write to.
    reference.chmod(0o700)
    tools = DEV.path / "bin"
    search_path = os.pathsep.join([str(tools), os.environ.get("PATH", os.defpath)])
    collections = str(COLLECTION_LINK.parents[2])
    environment = {**os.environ, "PATH": search_path, "ANSIBLE_COLLECTIONS_PATH": collections}
    commands: list[list[str | Path]] = [
        [
            *(tools / "antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy"),
            *("--dest-dir", reference, "xswan.ipsec"),
        ],
        [
            *(tools / "sphinx-build", "--fresh-env", "--quiet", "--nitpicky", "--fail-on-warning", "--keep-going"),
            *("--doctree-dir", site / "doctrees", "--builder", "html", source, site / "html"),
        ],
    ]
    for command in commands:
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status != 0:
            return status
    return 0


def main() -> int:
    """Build it, and say where it is."""
    site = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SITE
    status = build(site)
    if status == 0:
        print(f"The documentation is there: {site / 'html/index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
