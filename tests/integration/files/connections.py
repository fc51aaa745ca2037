# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a gateway: prints as JSON its connections, and how many lines of whack were not understood."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._connections import connections
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto


def run_command(args: list[str], *, environ_update: dict[str, str], **_how: object) -> tuple[int, str, str]:
    """What AnsibleModule.run_command does, for this file runs where no Ansible is."""
    env = {**os.environ, **environ_update}
    done = subprocess.run(args, env=env, capture_output=True, text=True, cwd="/", check=False)
    return done.returncode, done.stdout, done.stderr


pluto = LocalPluto(LocalCommands(run_command))
(process,) = pluto.processes()
answer = pluto.ask()
states = subprocess.run(["ip", "xfrm", "state"], capture_output=True, text=True, check=True).stdout
spis = re.findall(r"^src \S+ dst (\S+)\n\tproto (?:esp|ah) spi (0x[0-9a-f]+)", states, re.MULTILINE)
found = connections(
    pluto.configured(),
    answer,
    now=time.time(),
    kernel_spis=frozenset((address, int(spi, 16)) for address, spi in spis),
    certificates=pluto.certificates(),
    loading=pluto.loading(),
    log=lambda: pluto.log(process.started),
)
print(json.dumps({"connections": found, "unknown": answer.unknown if answer else None}))
