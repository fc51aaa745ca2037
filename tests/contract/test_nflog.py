# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of `nflog-all=` with the real nft, in a network namespace of the test's own.

Those of iptables are found on the lab's gateways, by tests/integration: their kernel has no nftables for IPv4.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, subprocess, sys
from ansible_collections.xswan.ipsec.plugins.module_utils._nflog import LogRules
from contract.contract import run_command
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands

def nft(*argv, stdin=""):
    return subprocess.run(["nft", *argv], input=stdin, check=True, stdout=subprocess.PIPE, text=True).stdout

rules = LogRules(LocalCommands(run_command), marker="/proc/self")
before = [rule.title for rule in rules.find()]
for ruleset in filter(None, sys.argv[1:]):
    nft("-f", "-", stdin=ruleset)
found = [rule.title for rule in rules.find()]
rules.remove()
after = [rule.title for rule in rules.find()]
print(json.dumps([before, found, after, nft("list", "ruleset")]))
"""
LIBRESWAN_4 = """
add table ip filter
add chain ip filter ipsec-all-input { type filter hook input priority 0; policy accept; }
add chain ip filter ipsec-all-output { type filter hook output priority 0; policy accept; }
add rule ip filter ipsec-all-input meta ipsec exists log prefix "all-ipsec" group 50
add rule ip filter ipsec-all-output rt ipsec exists log prefix "all-ipsec" group 50
"""
LIBRESWAN_5 = """
add table inet ipsec-log
add chain inet ipsec-log input { type filter hook input priority filter; policy accept; }
add chain inet ipsec-log output { type filter hook output priority filter; policy accept; }
add rule inet ipsec-log input meta ipsec exists log prefix "all-ipsec-input" group 50
add rule inet ipsec-log output rt ipsec exists log prefix "all-ipsec-output" group 50
"""
FOREIGN = """
add table ip filter
add chain ip filter INPUT { type filter hook input priority 0; policy accept; }
add rule ip filter INPUT meta ipsec exists log prefix "all-ipsec" group 50
add table inet others
add chain inet others input { type filter hook input priority 0; policy accept; }
add rule inet others input log prefix "ipsec-log" group 51
"""


def inside(own: str, foreign: str) -> tuple[list[str], list[str], list[str], str]:
    """Own rules that are found before and after they are made, and once removed; and the ruleset at the end."""
    tests = Path(__file__).parents[1]
    path = f"{tests}:{tests.parent / '.ansible' / 'collections'}"
    done = subprocess.run(
        ["unshare", "--net", "env", f"PYTHONPATH={path}", sys.executable, "-c", SCRIPT, own, foreign],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, found, after, ruleset = json.loads(done.stdout)
    return before, found, after, ruleset


def test_rules_of_libreswan_4_are_found_and_removed_and_no_others() -> None:
    before, found, after, ruleset = inside(LIBRESWAN_4, FOREIGN)
    assert (before, after) == ([], [])
    assert found == ["nft chain ip filter ipsec-all-input", "nft chain ip filter ipsec-all-output"]
    assert ruleset == inside("", FOREIGN)[3]


def test_the_table_of_libreswan_5_is_found_and_removed_and_no_other() -> None:
    before, found, after, ruleset = inside(LIBRESWAN_5, FOREIGN)
    assert (before, after) == ([], [])
    assert found == ["nft table inet ipsec-log"]
    assert ruleset == inside("", FOREIGN)[3]
