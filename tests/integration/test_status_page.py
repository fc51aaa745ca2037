# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the playbook status, opened in a real Chromium that has no network.

What was seen is kept in tests/output/status-page.
"""

from __future__ import annotations

import collections.abc as c
import typing as t
from pathlib import Path

import pytest

import fleet_facts as made_up
from ansible_collections.xswan.ipsec.plugins.plugin_utils._page import page
from browser import Browser, browser
from fleet_facts import address, connection, fleet, result

PICTURES = Path(__file__).parents[1] / "output/status-page"

# The contrast of each visible text with what is behind it, as WCAG 2 counts it; the lowest ones come first.
CONTRAST = """
(() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    throw new Error('no background');
  };
  const found = {};
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!(own || element.matches('svg.i')) || !element.getClientRects().length) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), key = element.className.baseVal ?? (element.className || element.tagName);
    found[key] = Math.min(found[key] ?? 99, ratio);
  }
  return Object.entries(found).sort((x, y) => x[1] - y[1]);
})()
"""
PAIRS = """
Object.fromEntries([...document.querySelectorAll('td[data-pair]')].map(cell => [cell.dataset.pair, [
  ...[...cell.querySelectorAll('.h b')].map(word => word.textContent), cell.classList.contains('asym')]]))
"""
VISIBLE = "[...document.querySelectorAll('#{0} tbody tr')].filter(row => row.checkVisibility()).length"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> c.Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as started:
        yield started


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> c.Iterator[c.Callable[..., Browser]]:
    """Return a function that shows the page of a fleet; in the end, nothing may have complained or asked for more."""
    file = tmp_path / "fleet.html"

    def shown(results: dict[str, t.Any], scheme: str = "light", *, width: int = 1440, height: int = 1200) -> Browser:
        file.write_text(page(fleet(results)), encoding="utf-8")
        chromium.window(width, height)
        chromium.scheme(scheme)
        chromium.open(file)
        return chromium

    chromium.complaints.clear()
    chromium.requests.clear()
    yield shown
    assert chromium.complaints == []
    assert {request for request in chromium.requests if not request.startswith("data:")} == {file.as_uri()}


def test_there_is_no_network(chromium: Browser) -> None:
    assert chromium.evaluate("navigator.onLine") is False
    assert chromium.evaluate("fetch('http://127.0.0.1/').then(() => 'answer', () => 'no way')") == "no way"
    chromium.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_five_gateways(show: c.Callable[..., Browser], scheme: str) -> None:
    seen = show(made_up.office(), scheme, height=2600)
    seen.screenshot(PICTURES / f"5-{scheme}.png")
    pairs = seen.evaluate(PAIRS)
    assert len(pairs) == 20
    assert pairs["gw1 gw2"] == ["up", "down", True]
    assert pairs["gw2 gw1"] == ["down", "up", True]
    assert pairs["gw1 gw3"] == ["down", "down", False]
    assert pairs["gw2 gw3"] == ["up", "none", True]
    assert pairs["gw3 gw4"] == ["up", "up", True]
    assert pairs["gw2 gw4"] == ["idle", "idle", False]
    assert pairs["gw4 gw5"] == ["up", "unknown", False]
    assert seen.evaluate("document.querySelector('td.outside').innerText").split("\n")[0] == "1 of 2 up"
    assert seen.evaluate(VISIBLE.format("attention")) == 10
    assert seen.evaluate(VISIBLE.format("gateways")) == 5
    assert seen.evaluate(VISIBLE.format("tunnels")) == 17
    assert seen.evaluate("document.querySelector('#gateways tbody td').innerText") == "unreachable"
    text = seen.evaluate("document.body.innerText")
    for expected in (
        "Seen 2026-11-30 00:53:20 UTC",
        "no-proposal: the peer accepts none of our IKE proposals",
        "NO_PROPOSAL_CHOSEN",
        "make ike= the same on both ends",
        "gw3 sends to gw4, and nothing arrives",
        "not in the configuration",
        "Libreswan 5.2",
        "in 11 days",
        "Failed to connect to the host via ssh",
    ):
        assert expected in text
    dark = seen.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    background = seen.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark, background) == ((True, "rgb(17, 21, 26)") if scheme == "dark" else (False, "rgb(255, 255, 255)"))
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(show: c.Callable[..., Browser], scheme: str) -> None:
    found = show(made_up.office(), scheme).evaluate(CONTRAST)
    assert len(found) > 15
    assert [(name, round(ratio, 2)) for name, ratio in found if ratio < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_500_gateways(show: c.Callable[..., Browser], scheme: str) -> None:
    results = made_up.branches(500)
    seen = show(results, scheme, height=1300)
    seen.screenshot(PICTURES / f"500-{scheme}.png")
    assert seen.evaluate(VISIBLE.format("gateways")) == 500
    assert seen.evaluate(VISIBLE.format("attention")) == 2, "of one sort many are one row"
    pairs = seen.evaluate(PAIRS)
    assert pairs["hub1 branch-017"] == ["down", "down", False]
    assert pairs["hub1 branch-007"] == ["up", "unknown", False]
    assert seen.evaluate("document.querySelectorAll('table.matrix tbody tr').length") == 37
    assert "hub1 branch-010" not in pairs, "what is well on both ends is only in the picture of all"
    titles = seen.evaluate("[...document.querySelectorAll('svg.map title')].map(title => title.textContent)")
    picture = fleet(results)
    words: list[str] = [there.word for there, _back, _wrong in picture.pairs.values()]
    assert set(words) == {"up", "down", "unknown"}
    assert sorted(titles) == sorted(
        f"{words.count(word):,} directions: {meaning}"
        for word, meaning in (("up", "up"), ("down", "down, and should not be"), ("unknown", "not known"))
    )
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # the head of the matrix and the names at its left stay where they are while it scrolls
    seen.evaluate("document.querySelector('#matrix .frame').scrollIntoView()")
    seen.evaluate("document.querySelector('#matrix .frame').scrollTo(0, 300)")
    offset = "document.querySelector('#matrix thead th').getBoundingClientRect().top"
    frame = "document.querySelector('#matrix .frame').getBoundingClientRect().top"
    assert abs(seen.evaluate(f"{offset} - {frame}")) <= 2
    seen.evaluate("document.querySelector('#matrix').scrollIntoView()")
    seen.screenshot(PICTURES / f"500-matrix-{scheme}.png")


def test_a_large_fleet_that_is_well(show: c.Callable[..., Browser]) -> None:
    seen = show(made_up.mesh(50))
    assert "All is well." in seen.evaluate("document.getElementById('attention').innerText")
    assert "All pairs are well." in seen.evaluate("document.getElementById('matrix').innerText")
    assert seen.evaluate("document.querySelector('svg.map title').textContent") == "2,450 directions: up"
    assert "1,450 more are left out here, all of them well" in seen.evaluate("document.body.innerText")


def test_the_filter(show: c.Callable[..., Browser]) -> None:
    seen = show(made_up.branches(60))
    typed = "(() => { const box = document.getElementById('filter'); box.value = '%s';"
    typed += " box.dispatchEvent(new Event('input')); })()"
    seen.evaluate(typed % "BRANCH-017")
    assert seen.evaluate(VISIBLE.format("gateways")) == 1
    assert seen.evaluate(VISIBLE.format("tunnels")) == 6
    assert "rows" in seen.evaluate("document.getElementById('shown').textContent")
    seen.evaluate(typed % "branch-017 hub2")
    assert seen.evaluate(VISIBLE.format("tunnels")) == 2
    seen.evaluate(typed % "")
    seen.evaluate("document.getElementById('trouble').click()")
    levels = "[...document.querySelectorAll('tbody tr[data-level=good]')].filter(row => row.checkVisibility()).length"
    assert seen.evaluate(levels) == 0
    assert seen.evaluate(VISIBLE.format("tunnels")) > 0


def test_without_scripts(show: c.Callable[..., Browser], chromium: Browser) -> None:
    chromium.scripts(on=False)
    try:
        seen = show(made_up.office())
        # the browser itself may still be asked
        assert seen.evaluate("document.getElementById('tools').checkVisibility()") is False
        assert seen.evaluate(VISIBLE.format("tunnels")) == 17
    finally:
        chromium.scripts(on=True)


def test_hostile_texts_do_nothing(show: c.Callable[..., Browser]) -> None:
    evil = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">\"'\x1b[31m"
    wrong = made_up.reason(evil, evil, evil, evil)
    tunnel = connection(address(0), address(1), up=False, reason=wrong)
    seen = show({"gw1": result(address(0), {evil: tunnel}), evil: made_up.unreachable(evil)})
    assert seen.evaluate("document.title") == "IPsec: 2 gateways"
    assert seen.evaluate("document.querySelectorAll('script').length") == 1
    assert seen.evaluate("document.querySelectorAll('img').length") == 0
    assert evil.replace("\x1b", "?") in seen.evaluate("document.body.innerText")


def test_the_policy_of_the_page_stops_what_would_slip_through(show: c.Callable[..., Browser]) -> None:
    seen = show(made_up.mesh(3))
    seen.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\";"
        " document.body.append(s); })()"
    )
    assert seen.evaluate("document.title") == "IPsec: 3 gateways"
    assert [complaint for complaint in seen.complaints if "Content Security Policy" in complaint]
    seen.complaints.clear()


def test_print(show: c.Callable[..., Browser]) -> None:
    seen = show(made_up.office(), "dark")
    seen.print(PICTURES / "5.pdf")
    seen.scheme("dark", media="print")
    assert seen.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert seen.evaluate("document.getElementById('tools').checkVisibility()") is False
    # no row is hidden in a frame that scrolls
    assert seen.evaluate("getComputedStyle(document.querySelector('.frame')).overflow") == "visible"
    assert [name for name, ratio in seen.evaluate(CONTRAST) if ratio < 4.5] == []
    seen.scheme("light")
