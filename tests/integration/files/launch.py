# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a gateway: `launch.py direct|script CALL [ARGUMENT]` calls a launcher and prints as JSON what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._direct import DirectLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import IPsecError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._script import ScriptLauncher, find_script

if t.TYPE_CHECKING:
    from ansible_collections.xswan.ipsec.plugins.module_utils._ports import Launcher


def run_command(args: list[str], *, environ_update: dict[str, str], **_how: object) -> tuple[int, str, str]:
    """Stricter than AnsibleModule.run_command: it waits for ever for a program that was left with our pipes."""
    env = {**os.environ, **environ_update}
    done = subprocess.run(args, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def main(kind: str, call: str, *arguments: str) -> None:
    """Call, and print."""
    os.chdir("/")
    commands, clock = LocalCommands(run_command), SystemClock()
    script = find_script()
    launcher: Launcher = DirectLauncher(commands, clock, "/etc/ipsec.conf")
    if kind == "script":
        assert script is not None
        launcher = ScriptLauncher(commands, clock, script)
    said: dict[str, object] = {"script": script}
    try:
        result = getattr(launcher, call)(*map(json.loads, arguments))
        said["result"] = result._asdict() if isinstance(result, Unit) else result
    except IPsecError as exc:
        said |= {"error": type(exc).__name__, "msg": str(exc), "log": exc.details.get("log", [])}
    print(json.dumps(said))


main(*sys.argv[1:])
