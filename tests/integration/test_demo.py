# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` and `make clean-lab` as a newcomer calls them."""

from __future__ import annotations

import collections.abc as c
import re
import subprocess
from pathlib import Path

import pytest

from lab import Lab
from lab.lab import known_labs
from lab.network import namespaces

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.lab


def make(*words: str) -> str:
    """What a target prints; it must succeed."""
    done = subprocess.run(
        ["make", *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_and_clean_lab(lab_name: c.Callable[[str], str]) -> None:
    name = lab_name("demo")
    try:
        said = make("demo", f"LAB={name}")
        # what the last table says is what the gateways say
        rows = dict(re.findall(r"^(gw\d) +(Libreswan .*)$", said, re.MULTILINE))
        made = Lab.find(name)
        for gateway, version in (("gw1", "4.10"), ("gw2", "5.2")):
            pid = made.gateways[gateway].run("pidof pluto").stdout.strip()
            assert re.fullmatch(rf"Libreswan {version} +running +{pid} +1 +[1-9]\d* +[1-9]\d*", rows[gateway])
        assert re.search(r"^gw1 .* changed=0 .* failed=0 .*\ngw2 .* changed=0 .* failed=0 ", said, re.MULTILINE)
        assert said.splitlines()[-2:] == [
            f"The lab stays up. Log in:  make ssh GW=gw1 LAB={name}",
            f"Take it down:              make clean-lab LAB={name}",
        ]
    finally:
        make("clean-lab", f"LAB={name}")
    assert name not in known_labs()
    assert namespaces(name) == []
