# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening the firewall and closing it; nft itself is in tests/contract."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, VerifyError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Firewall, Refusal
from ansible_collections.xswan.ipsec.plugins.module_utils._opening import DROP_IN, RULES, Tool, Wish, settle
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD
from ansible_collections.xswan.ipsec.plugins.module_utils._router import Opening
from fake_host import FakeHost

INPUT, OTHER = "inet filter input", "ip fw in"


def done(
    fake: FakeHost,
    tool: Tool,
    *,
    chain: str = INPUT,
    zone: str | None = None,
    ah: bool = False,
    check_mode: bool = False,
) -> dict[str, t.Any]:
    return settle(Wish(tool, chain, zone, ah), fake.router(), check_mode=check_mode)


def test_nftables_is_opened_and_closed_again() -> None:
    fake = FakeHost()
    told = done(fake, "nftables", check_mode=True)
    assert not fake.files
    result = done(fake, "nftables")
    assert result == {**told, "warnings": []}
    assert (result["changed"], result["actions"]) == (True, [f"open {INPUT}"])
    words = {"before_header": "firewall", "after_header": "firewall", "before": "", "after": f"{INPUT} lets IPsec in\n"}
    assert [words, RULES, DROP_IN] == [result["diff"][0], *(each["after_header"] for each in result["diff"][1:])]
    assert list(fake.openings) == [Opening(INPUT, ah=False)]
    assert {RULES, DROP_IN, RECORD} == set(fake.files)
    assert "reload units" in fake.calls
    assert done(fake, "nftables") == {"changed": False, "actions": [], "diff": [], "warnings": []}
    told = done(fake, "none", check_mode=True)
    result = done(fake, "none")
    assert result == {**told, "warnings": []}
    assert (result["changed"], result["actions"]) == (True, ["close nftables"])
    assert (len(fake.openings), len(fake.files)) == (0, 0)
    assert done(fake, "none")["changed"] is False


def test_a_minus_keeps_the_firewall_up_when_our_rules_do_not_load() -> None:
    fake = FakeHost()
    done(fake, "nftables")
    orders = [line for line in fake.files[DROP_IN][1].splitlines() if line.startswith("Exec")]
    assert len(orders) == 2
    assert all("=-nft -f" in order for order in orders)


def test_where_nothing_was_opened_nothing_is_looked_at() -> None:
    """Nft would load the kernel's modules."""
    fake = FakeHost()
    fake.openings = (Opening(INPUT, ah=False),)
    assert done(fake, "none")["changed"] is False
    assert "openings" not in fake.calls


def test_another_chain_takes_the_place_of_the_old_one() -> None:
    fake = FakeHost()
    fake.chains = [INPUT, OTHER]
    done(fake, "nftables")
    result = done(fake, "nftables", chain=OTHER, ah=True)
    assert result["actions"] == [f"open {OTHER}"]
    diff = result["diff"][0]
    assert (diff["before"], diff["after"]) == (f"{INPUT} lets IPsec in\n", f"{OTHER} lets IPsec in, with AH\n")
    assert fake.openings == (Opening(OTHER, ah=True),)
    assert "meta l4proto 51 accept" in fake.files[RULES][1]
    assert done(fake, "nftables", chain=OTHER, ah=True)["changed"] is False


@pytest.mark.parametrize(
    "found", [(), (Opening(INPUT, ah=False), Opening(INPUT, ah=False)), (Opening(OTHER, ah=False),)]
)
def test_rules_that_were_lost_or_doubled_are_mended(found: tuple[Opening, ...]) -> None:
    fake = FakeHost()
    done(fake, "nftables")
    fake.openings = found
    assert done(fake, "nftables")["changed"] is True
    assert fake.openings == (Opening(INPUT, ah=False),)


def test_a_chain_that_is_not_there_is_refused_before_anything_changes() -> None:
    fake = FakeHost()
    with pytest.raises(ConfigError, match="no base chain ip fw in"):
        done(fake, "nftables", chain=OTHER)
    with pytest.raises(ConfigError, match="is no chain; allowed: ip, ip6 or inet, a table and a name"):
        done(fake, "nftables", chain="inet filter input; flush ruleset")
    assert not fake.files
    assert not fake.openings


def test_rules_that_nft_refuses_leave_the_files_as_they_were() -> None:
    fake = FakeHost()
    fake.fail = "load rules"
    with pytest.raises(ConfigError, match="nft refuses"):
        done(fake, "nftables")
    assert RULES not in fake.files
    assert DROP_IN not in fake.files
    fake.fail = None
    assert done(fake, "none")["changed"] is False
    assert fake.files == {}


def test_what_still_refuses_is_told() -> None:
    fake = FakeHost()
    fake.firewall = Firewall("nftables", (Refusal("esp", "inet other", "input", "policy drop"),))
    (warning,) = done(fake, "nftables")["warnings"]
    assert warning.startswith("the firewall still refuses esp: inet other input, policy drop; ")
    assert done(fake, "none")["warnings"] == []


def test_firewalld_is_opened_and_only_what_was_opened_is_closed() -> None:
    fake = FakeHost()
    fake.zones = {"permanent": {"home", "public"}, "runtime": {"home"}}
    told = done(fake, "firewalld", check_mode=True)
    result = done(fake, "firewalld")
    assert result == {**told, "warnings": []}
    assert result["actions"] == ["open zone public (runtime)"]
    assert done(fake, "firewalld")["changed"] is False
    assert done(fake, "none")["actions"] == ["close zone public (runtime)"]
    assert fake.zones == {"permanent": {"home", "public"}, "runtime": {"home"}}
    assert fake.files == {}


def test_another_zone_and_another_tool() -> None:
    fake = FakeHost()
    fake.zones = {"permanent": set(), "runtime": set()}
    done(fake, "firewalld")
    result = done(fake, "firewalld", zone="external")
    assert result["actions"] == [
        *("open zone external (permanent)", "open zone external (runtime)"),
        *("close zone public (permanent)", "close zone public (runtime)"),
    ]
    assert [result["diff"][0][side].splitlines() for side in ("before", "after")] == [
        [f"zone {name} ({place}) lets IPsec in" for place in ("permanent", "runtime")]
        for name in ("public", "external")
    ]
    done(fake, "nftables")
    assert fake.zones == {"permanent": set(), "runtime": set()}
    assert fake.openings == (Opening(INPUT, ah=False),)


def test_half_opened_is_closed_whole() -> None:
    fake = FakeHost()
    fake.zones = {"permanent": set(), "runtime": set()}
    fake.fail = "set runtime"
    with pytest.raises(DaemonError):
        done(fake, "firewalld")
    assert fake.zones["permanent"] == {"public"}
    fake.fail = None
    done(fake, "none")
    assert fake.zones["permanent"] == set()
    assert fake.files == {}


def test_firewalld_that_does_not_run() -> None:
    fake = FakeHost()
    with pytest.raises(ConfigError, match="does not run"):
        done(fake, "firewalld")


def test_rules_that_are_not_there_after_all_are_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    monkeypatch.setattr(type(fake.router().filter), "load", lambda self, path: None)
    with pytest.raises(VerifyError, match="our rules are not there"):
        done(fake, "nftables")
