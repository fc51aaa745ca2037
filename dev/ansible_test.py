# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test on a copy of the checkout, as in `python3 dev/ansible_test.py dev sanity --test pylint`.

ansible-test wants a real folder ansible_collections/NAMESPACE/NAME (a link will not do), a pip that its own virtual
environments can start from, and it writes into the user's home. This gives it a copy, a stand-in and a home of its own.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from project import DEV, ROOT, VENVS, files

HOME = VENVS / "ansible-test-home"

# ansible-test downloads get-pip.py from a host that is no package registry, unless it finds the file in its cache.
PIP_STAND_IN = '''\
"""Stand-in for get-pip.py: the pip that comes with Python, then the wanted version from the configured index."""
import subprocess
import sys

wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"] + wanted))
'''


def prepare_home(venv: Path, python: Path) -> None:
    """Put the pip stand-in and the user's pip settings into the home that ansible-test gets."""
    library = next(venv.glob("lib/python3*/site-packages/ansible_test"))
    source = (library / "_internal/python_requirements.py").read_text(encoding="utf-8")
    cache = HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    versions = set(re.findall(r"\bpip='([\d.]+)'", source))
    if not versions:
        sys.exit(f"dev/ansible_test.py: no pip version found in {library}: adapt prepare_home to it.")
    for version in versions:
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(PIP_STAND_IN, encoding="utf-8")

    # ansible-test passes on neither PIP_* nor the user's home, so settings from there go into the file pip reads here.
    settings = subprocess.run([python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, check=True, text=True)
    config = configparser.RawConfigParser()
    for line in settings.stdout.splitlines():
        name, value = line.split("=", 1)
        section, option = name.rsplit(".", 1)
        section = "global" if section == ":env:" else section
        if not config.has_section(section):
            config.add_section(section)
        config.set(section, option, ast.literal_eval(value))
    pip_conf = HOME / ".config/pip/pip.conf"
    pip_conf.parent.mkdir(parents=True, exist_ok=True)
    with open(pip_conf, "w", encoding="utf-8") as stream:
        config.write(stream)


def main() -> int:
    """Run it and return its exit status."""
    name, *arguments = sys.argv[1:] or [""]
    if not name or not arguments:
        sys.exit("usage: python3 dev/ansible_test.py VENV ARGUMENTS, with VENV one of the folders in .venv")
    venv = VENVS / name
    python = venv / "bin/python"
    if not python.exists():
        sys.exit(f"dev/ansible_test.py: there is no {venv.relative_to(ROOT)}: run `make setup` first.")
    prepare_home(venv, python)
    version = next((venv / "lib").glob("python3*")).name.replace("python", "")
    # Not inside the checkout: ansible-test would ask the git repository around it, which ignores the folder.
    with tempfile.TemporaryDirectory(prefix="xswan-ipsec-") as folder:
        tree = Path(folder, "ansible_collections/xswan/ipsec")
        for path in files():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
        # .venv/dev has the shellcheck that ansible-test leaves out silently where it finds none.
        search_path = [str(venv / "bin"), str(DEV.path / "bin"), os.environ.get("PATH", os.defpath)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON"))}
        environment.update(HOME=str(HOME), PATH=os.pathsep.join(search_path))
        command = [str(venv / "bin/ansible-test"), *arguments, "--python", version]
        return subprocess.run(command, cwd=tree, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
