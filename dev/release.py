# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a release of this checkout: changelog, version, tarball, and the proof that the tarball works by itself.

Run by `make release VERSION=x.y.z`, in .venv/dev. All is done in a copy, and comes back only when all of it was right,
so a release that fails leaves the checkout as it was. Nothing is committed, tagged or published.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import yaml

from project import CORES, DEV, ROOT, files

Version = tuple[int, int, int]
GALAXY = "galaxy.yml"
RENEWED = (GALAXY, "CHANGELOG.rst", "changelogs/changelog.yaml")
"""What a release writes anew."""
FRAGMENTS = "changelogs/fragments"
BREAKING = frozenset({"breaking_changes", "removed_features"})
FEATURES = frozenset({"major_changes", "minor_changes", "deprecated_features"})
HEADER = 3
"""Lines of the header that every file of ours has."""


class ReleaseError(Exception):
    """Why there can be no release, and what to do about it, in one line."""


def parse(text: str) -> Version:
    """`1.2.3` as numbers; ReleaseError for anything else."""
    match = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", text)
    if not match:
        raise ReleaseError(f"{text!r} is no version; write it as 1.2.3 (semantic versioning, and no pre-releases)")
    return (int(match[1]), int(match[2]), int(match[3]))


def check_version(new: Version, last: Version | None, sections: t.Collection[str]) -> None:
    """ReleaseError unless semantic versioning allows `new` after `last` for fragments with these sections.

    Before 1.0.0 a breaking change raises the second number. The first release of all may have any version.
    """
    if not sections:
        raise ReleaseError(f"nothing is to be released: {FRAGMENTS} has no fragment")
    if last is None:
        return
    name = ".".join(map(str, last))
    if new <= last:
        raise ReleaseError(f"{name} is released already; take a higher version")
    place = 2
    if BREAKING.intersection(sections):
        place = 0 if last[0] > 0 else 1
    elif FEATURES.intersection(sections):
        place = 1
    least = (*last[:place], last[place] + 1, *([0] * (2 - place)))
    if new < least:
        found = ", ".join(sorted((BREAKING | FEATURES).intersection(sections)))
        raise ReleaseError(f"after {name}, with {found}, the version is {'.'.join(map(str, least))} or higher")


def last_release(changes: Path) -> Version | None:
    """The newest version in changelog.yaml; None before the first release."""
    if not changes.exists():
        return None
    found = yaml.safe_load(changes.read_text(encoding="utf-8")).get("releases") or {}
    return max(map(parse, found), default=None)


def sections_of(folder: Path) -> set[str]:
    """The sections that the fragments use."""
    return {section for path in folder.glob("*.yml") for section in yaml.safe_load(path.read_text(encoding="utf-8"))}


def run(*argv: str | Path, cwd: Path, env: t.Mapping[str, str] | None = None) -> str:
    """Run a command and return its output; ReleaseError with all of it when it fails."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, argv))} ended with status {done.returncode}:\n{done.stdout}")
    return done.stdout


def say(text: str) -> None:
    """Tell what is done, for some of it takes long."""
    print(f"== {text}", flush=True)


def write_changelog(tree: Path, version: str) -> None:
    """Turn the fragments in the tree into the changelog, and give the collection its version."""
    galaxy = tree / GALAXY
    text, count = re.subn(
        r"^version: .*$", f"version: {version}", galaxy.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    if count != 1:
        raise ReleaseError(f"{GALAXY} has {count} lines with a version; one is expected")
    galaxy.write_text(text, encoding="utf-8")
    header = "".join(text.splitlines(keepends=True)[:HEADER])
    environment = {**clean_environment(), "ANSIBLE_COLLECTIONS_PATH": str(tree.parents[2])}
    run(DEV.path / "bin/antsibull-changelog", "release", "--version", version, cwd=tree, env=environment)
    changes = tree / "changelogs/changelog.yaml"
    # the tool keeps no comments
    changes.write_text(header + changes.read_text(encoding="utf-8"), encoding="utf-8")
    run(DEV.path / "bin/antsibull-changelog", "lint", cwd=tree, env=environment)
    run(DEV.path / "bin/yamllint", "--strict", GALAXY, "changelogs", cwd=tree)


def clean_environment() -> dict[str, str]:
    """Return this process' environment without what steers Ansible and Python, and with the tools of .venv/dev."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON"))}
    return {**kept, "PATH": os.pathsep.join([str(DEV.path / "bin"), os.environ.get("PATH", os.defpath)])}


def prove(tarball: Path, folder: Path) -> None:
    """Let the tarball, in a virtual environment with nothing but the oldest ansible-core and psutil, look at IPsec."""
    venv, collections = folder / "venv", folder / "collections"
    run(sys.executable, "-m", "venv", venv, cwd=folder)
    pins = DEV.requirements.read_text(encoding="utf-8")
    psutil = next(line for line in pins.splitlines() if line.startswith("psutil=="))
    oldest = CORES["2.18"].requirements
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run(venv / "bin/python", "-m", "pip", "install", *options, "-r", oldest, psutil, cwd=folder)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON"))},
        "HOME": str(folder),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": str(venv / "bin/python"),
        "ANSIBLE_REMOTE_TMP": str(folder / "remote-tmp"),
    }
    install = ["collection", "install", str(tarball), "--offline", "--collections-path", str(collections)]
    run(venv / "bin/ansible-galaxy", *install, cwd=folder, env=environment)
    command = ["localhost", "-i", "localhost,", "-c", "local", "-m", "xswan.ipsec.ipsec_status"]
    output = run(venv / "bin/ansible", *command, cwd=folder, env=environment)
    result = json.loads(output[output.index("=> {") + 3 : output.rindex("}") + 1])
    if not result["ipsec"]["lines"]:
        raise ReleaseError(f"the installed tarball says nothing of IPsec:\n{output}")


def release(version: str, *, dry: bool) -> Path | None:
    """Make it; the tarball in the checkout, or None when it was only tried."""
    if not dry and run("git", "status", "--porcelain", cwd=ROOT).strip():
        raise ReleaseError("there are changes that are not committed; commit them, or take them back")
    check_version(parse(version), last_release(ROOT / "changelogs/changelog.yaml"), sections_of(ROOT / FRAGMENTS))
    with tempfile.TemporaryDirectory(prefix="xswan-ipsec-") as temporary:
        folder = Path(temporary)
        tree = folder / "ansible_collections/xswan/ipsec"
        for path in files():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
        say(f"changelog and version {version}")
        write_changelog(tree, version)
        say("tarball")
        build = ["collection", "build", "--output-path", str(folder)]
        run(DEV.path / "bin/ansible-galaxy", *build, cwd=tree, env=clean_environment())
        (built,) = folder.glob("*.tar.gz")
        say(f"{built.name} in a clean virtual environment: ansible -m xswan.ipsec.ipsec_status")
        prove(built, folder)
        if dry:
            return None
        for path in RENEWED:
            shutil.copy2(tree / path, ROOT / path)
        for fragment in (ROOT / FRAGMENTS).glob("*.yml"):
            if not (tree / FRAGMENTS / fragment.name).exists():
                fragment.unlink()
        return Path(shutil.copy2(built, ROOT / built.name))


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="x.y.z")
    parser.add_argument("--dry-run", action="store_true", help="try all of it in a copy, and keep nothing")
    arguments = parser.parse_args()
    tarball = release(arguments.version, dry=arguments.dry_run)
    if tarball is None:
        print("All of it worked, and nothing was kept: this was a dry run.")
        return
    print(
        f"{tarball} is made, and nothing is published. Next:\n  git diff\n  git add -A {FRAGMENTS} {' '.join(RENEWED)}"
    )
    print(f"  git commit -m 'Release {arguments.version}'\n  git tag {arguments.version}")
    if not yaml.safe_load((ROOT / GALAXY).read_text(encoding="utf-8"))["repository"]:
        print(f"Galaxy will refuse it: {GALAXY} names no repository. Put its public address there first.")


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(f"dev/release.py: {error}")
