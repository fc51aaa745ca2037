# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site builds without a warning, and what a guide promises of an inventory is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gates.tools import BIN, run
from project import ROOT


def test_the_site_builds(tmp_path: Path) -> None:
    run(sys.executable, "dev/docs.py", tmp_path / "site")
    html = tmp_path / "site/html"
    # the guides, and what the collection's parts say of themselves
    for page in ("index", "getting-started", "reference/ipsec_setup_module", "reference/ipsec_role"):
        assert (html / f"{page}.html").is_file()
    setup = (html / "reference/ipsec_setup_module.html").read_text(encoding="utf-8")
    assert "start_timeout" in setup
    from_elsewhere = [
        f"{path.relative_to(html)}: {url}"
        for path in html.rglob("*.html")
        for url in re.findall(
            r"<(?:script|img|link)[^>]* (?:src|href)=\"(https?:[^\"]+)", path.read_text(encoding="utf-8")
        )
    ]
    assert not from_elsewhere, "the site needs the network"


def test_the_mesh_of_the_guide_has_fifty_gateways(tmp_path: Path) -> None:
    """Its inventory and its first play as they stand there; the play asserts 49 connections of each gateway."""
    text = (ROOT / "docs/mesh.md").read_text(encoding="utf-8")
    inventory, play = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[:2]
    (tmp_path / "inventory.yml").write_text(inventory, encoding="utf-8")
    (tmp_path / "play.yml").write_text(play, encoding="utf-8")
    master = "vault_ipsec_psk_master=" + "x" * 32
    some = ["--limit", "gw01,gw26,gw50"]  # each second of theirs is one of `make test`
    output = run(BIN / "ansible-playbook", "-i", tmp_path / "inventory.yml", "-e", master, *some, tmp_path / "play.yml")
    assert len(re.findall(r"^gw\d\d +: ok=1 ", output, re.MULTILINE)) == 3, output
