# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as text; tests/integration/test_status_page.py opens it in a browser."""

from __future__ import annotations

import html.parser
import re
import typing as t

import pytest

import fleet_facts as made_up
from ansible_collections.xswan.ipsec.plugins.plugin_utils._page import page
from fleet_facts import address, connection, fleet, result

VOID = {"meta", "link", "input", "br"}


class Document(html.parser.HTMLParser):
    """What a parser finds: elements, attributes, text; elements must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data


HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(2)>"\'><b onclick="alert(3)">&amp;</style></script>-->\x1b[31m'
)


def hostile() -> dict[str, t.Any]:
    """A fleet in which every text that comes from a gateway, its peers or its log is an attack."""
    wrong = made_up.reason(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    down = connection(address(0), HOSTILE, up=False, reason=wrong, state=HOSTILE, auto=HOSTILE)
    up = connection(address(0), address(1), declared=False)
    for tunnel in (down, up):
        for end in ("local", "remote"):
            tunnel[end]["id"] = HOSTILE
        tunnel["local"].update(certificate=HOSTILE, certificate_expires=made_up.NOW)
    up["ike"]["algorithms"] = HOSTILE
    finding = dict.fromkeys(("id", "severity", "message", "cure"), HOSTILE)
    facts = result(
        address(0), {HOSTILE: down, "up": up}, version=HOSTILE, program=HOSTILE, state=HOSTILE, findings=[finding] * 9
    )
    return {"gw1": facts, HOSTILE: made_up.unreachable(HOSTILE), "gw3": {"failed": True, "msg": HOSTILE}}


@pytest.mark.parametrize(
    "results",
    [made_up.mesh(3), made_up.office(), made_up.mesh(20), made_up.branches(100), hostile(), {}],
    ids=["3", "5", "20", "100", "hostile", "none"],
)
def test_the_page_is_well_formed_and_asks_for_nothing(results: dict[str, t.Any]) -> None:
    text = page(fleet(results))
    document = Document(text)
    names = [name for name, _attributes in document.elements]
    assert names.count("script") == 1
    assert not {"img", "iframe", "object", "embed", "form", "base"} & set(names)
    for name, attributes in document.elements:
        assert not [key for key in attributes if key.startswith("on")], (name, attributes)
        assert "src" not in attributes
        assert attributes.get("href", "data:,") in {
            "data:,",
            "#up",
            "#partial",
            "#idle",
            "#down",
            "#none",
            "#unknown",
            "#warn",
        }
        if "style" in attributes:
            assert re.fullmatch(r"--w:\d+\.\d%", attributes["style"] or "")
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert all(char.isprintable() or char == "\n" for char in text)


def test_hostile_text_is_shown_as_it_is() -> None:
    document = Document(page(fleet(hostile())))
    assert document.text.count(HOSTILE.replace("\x1b", "?")) >= 10


def test_bars_show_each_number_as_its_share_of_the_largest() -> None:
    """A table of gateways, then one of tunnels; a number of 0 has no bar."""
    office = connection(address(0), address(1), traffic=(1000, 250))
    other = connection(address(0), address(9), traffic=(0, 250))
    branch = connection(address(1), address(0), traffic=(125, 2000))
    results = {"gw1": result(address(0), {"a": office, "b": other}), "gw2": result(address(1), {"a": branch})}
    bars = [
        (attributes["class"], attributes["style"])
        for name, attributes in Document(page(fleet(results))).elements
        if (attributes.get("class") or "").startswith("bar")
    ]
    gateways = [("bar in", "50.0"), ("bar out", "25.0"), ("bar in", "6.2"), ("bar out", "100.0")]
    tunnels = [("bar in", "50.0"), ("bar out", "12.5"), ("bar out", "12.5"), ("bar in", "6.2"), ("bar out", "100.0")]
    assert bars == [(kind, f"--w:{width}%") for kind, width in gateways + tunnels]


def test_the_same_fleet_makes_the_same_page() -> None:
    assert page(fleet(made_up.office())) == page(fleet(made_up.office()))


def test_the_page_of_500_gateways_is_not_heavy() -> None:
    assert len(page(fleet(made_up.branches(500)))) < 2_500_000
