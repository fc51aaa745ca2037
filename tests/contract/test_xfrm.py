# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink port against this machine's kernel, in network namespaces of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MODULE_UTILS = "ansible_collections.xswan.ipsec.plugins.module_utils"
LOOK = f"""
import dataclasses, json, subprocess, sys
from {MODULE_UTILS}._xfrm import LocalKernel
for argv in json.loads(sys.argv[1]):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
print(json.dumps(dataclasses.asdict(LocalKernel(None).xfrm())))
"""
ROOT = Path(__file__).resolve().parents[2]


def sizes(*commands: str) -> dict[str, int]:
    """What the port sees in a fresh network namespace after these commands."""
    argv = [sys.executable, "-c", LOOK, json.dumps([command.split() for command in commands])]
    done = subprocess.run(
        ["unshare", "--net", *argv],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT / ".ansible/collections")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


POLICY = "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir"
TEMPLATE = "tmpl src 127.0.0.1 dst 127.0.0.2 proto esp mode tunnel"


def test_empty() -> None:
    assert set(sizes().values()) == {0}


def test_policies_and_sas_are_counted_by_kind() -> None:
    assert sizes(
        f"{POLICY} in {TEMPLATE}",
        f"{POLICY} out {TEMPLATE}",
        f"{POLICY} out {TEMPLATE}".replace("10.2.0.0", "10.3.0.0"),
        f"{POLICY} fwd {TEMPLATE}",
        # larval, for the machine's own kernel may lack ESP; the gateways of the lab have real ones
        "ip xfrm state allocspi src 127.0.0.1 dst 127.0.0.2 proto esp mode tunnel",
    ) == {"sas": 1, "policies_in": 1, "policies_out": 2, "policies_fwd": 1, "policies_socket": 0}
