# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reload does: no more than the difference, and what check mode says."""

from __future__ import annotations

import collections.abc as c
import itertools

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, IPsecError, VerifyError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired
from ansible_collections.xswan.ipsec.plugins.module_utils._reload import Reload, Unread
from fake_host import FakeHost, FakeReloader

RELOAD = Desired(running=True, reload=True)


def running(held: dict[str, str], configured: dict[str, str]) -> FakeHost:
    """A gateway whose pluto holds `held`, and whose configuration has become `configured`."""
    fake = FakeHost()
    fake.wanted = held
    fake.run_pluto()
    fake.wanted = configured
    return fake


def reload(fake: FakeHost, desired: Desired = RELOAD) -> tuple[str, ...]:
    """Reload; check mode has foretold it, and there is nothing to do afterwards."""
    foretold = converge(desired, fake.host(), check_mode=True).to_result()
    assert fake.calls == []
    result = converge(desired, fake.host(), check_mode=False).to_result()
    assert (result["actions"], result["diff"]) == (foretold["actions"], foretold["diff"])
    assert fake.held == fake.wanted
    assert fake.lost == set()
    assert fake.unread == set()
    assert fake.up == set(fake.wanted)
    assert converge(desired, fake.host(), check_mode=False).actions == ()
    return tuple(result["actions"])


CASES: dict[str, tuple[dict[str, str], dict[str, str], tuple[str, ...]]] = {
    "nothing": ({"a": "1", "b": "1"}, {"a": "1", "b": "1"}, ()),
    "added": ({"a": "1"}, {"a": "1", "b": "1"}, ("add connection b",)),
    "removed": ({"a": "1", "b": "1"}, {"a": "1"}, ("delete connection b",)),
    "changed": ({"a": "1", "b": "1"}, {"a": "1", "b": "2"}, ("replace connection b",)),
    "renamed": ({"a": "1"}, {"b": "1"}, ("delete connection a", "add connection b")),
    "all": ({"a": "1", "b": "1"}, {}, ("delete connection a", "delete connection b")),
}


@pytest.mark.parametrize(("held", "configured", "actions"), CASES.values(), ids=CASES)
def test_only_the_difference_is_touched(
    held: dict[str, str], configured: dict[str, str], actions: tuple[str, ...]
) -> None:
    """A connection that did not change is never named to pluto."""
    assert reload(running(held, configured)) == actions


def test_those_below_an_ike_sa_that_ends_are_replaced_too() -> None:
    """When the owner of a shared IKE SA goes, the peer gives up the Child SAs of the others."""
    fake = running({"a": "1", "b": "1", "c": "1"}, {"a": "2", "b": "1", "c": "2"})
    fake.sharers = {"a": ("b", "c")}
    assert reload(fake) == (
        "replace connection a",
        "replace connection c",
        "replace connection b, which shares the IKE SA of a",
    )


def test_those_below_the_ike_sas_of_those_in_turn() -> None:
    """An IKE SA of an older day ends with its owner too."""
    fake = running({"a": "1", "b": "1", "c": "1"}, {"a": "2", "b": "1", "c": "1"})
    fake.sharers = {"a": ("b",), "b": ("c",)}
    assert reload(fake) == (
        "replace connection a",
        "replace connection b, which shares the IKE SA of a",
        "replace connection c, which shares the IKE SA of b",
    )


def test_an_ike_sa_that_stays_costs_nobody_anything() -> None:
    """The owner is not touched when another connection below its IKE SA changes."""
    fake = running({"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "1", "c": "2"})
    fake.sharers = {"a": ("b", "c")}
    assert reload(fake) == ("replace connection c",)


def test_secrets_come_first() -> None:
    """A new connection needs its secret."""
    fake = running({}, {"a": "1"})
    fake.unread = {"secrets"}
    assert reload(fake) == ("read the secrets again", "add connection a")


GROUP = "192.0.2.1...%group"


def regroup(fake: FakeHost) -> tuple[str, ...]:
    """Reload; check mode has foretold it, and there is nothing to do afterwards."""
    foretold = converge(RELOAD, fake.host(), check_mode=True).actions
    assert converge(RELOAD, fake.host(), check_mode=False).actions == foretold
    assert converge(RELOAD, fake.host(), check_mode=False).actions == ()
    return foretold


def test_policy_groups_come_last() -> None:
    """Their members are those of a connection, which must be there; 5.2 must not see that one has lost a member."""
    fake = running({"a": "1", "b": GROUP}, {"a": "1", "b": GROUP, "c": GROUP})
    assert regroup(fake) == ("add connection c", "read the policy groups again")
    assert fake.calls == ["load c", "reread policy groups", "route c"]
    fake = running({"a": "1", "b": GROUP}, {"a": "1", "b": GROUP})
    fake.unread = {"policy groups"}
    assert regroup(fake) == ("replace connection b, whose policy group has changed", "read the policy groups again")
    assert fake.calls == ["delete b", "load b", "reread policy groups", "route b"]


def test_groups_that_nobody_asks_for() -> None:
    fake = running({"a": "1"}, {"a": "1"})
    fake.unread = {"policy groups"}
    assert converge(RELOAD, fake.host(), check_mode=False).actions == ()


def test_a_tunnel_that_was_given_up_is_started() -> None:
    """Its peer was changed before us, and our pluto does not try again by itself."""
    fake = running({"a": "1", "b": "1"}, {"a": "1", "b": "1"})
    fake.up.discard("b")
    assert reload(fake) == ("start connection b",)


def test_settings_need_a_restart() -> None:
    """They are named, and pluto is restarted only when that is allowed."""
    fake = running({"a": "1"}, {"a": "1"})
    fake.nhelpers = ("1", "2")
    result = converge(RELOAD, fake.host(), check_mode=False).to_result()
    assert (result["changed"], result["restart_required"]) == (False, ["nhelpers"])
    assert reload(fake, RELOAD._replace(allow_restart=True)) == ("stop pluto", "start pluto")


def test_settings_that_no_restart_takes_over_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = running({"a": "1"}, {"a": "1"})
    compare = FakeReloader.compare

    def differing(self: FakeReloader) -> Reload:
        found = compare(self)
        return found._replace(wanted=found.wanted._replace(setup={"nhelpers": "9"}))

    monkeypatch.setattr(FakeReloader, "compare", differing)
    with pytest.raises(VerifyError, match=r"still to do: stop pluto, start pluto; .* differ in config setup, nhelpers"):
        converge(RELOAD._replace(allow_restart=True), fake.host(), check_mode=False)


def warnings(fake: FakeHost) -> list[str]:
    """Those of a run; check mode has foretold them."""
    foretold = converge(RELOAD, fake.host(), check_mode=True).to_result()["warnings"]
    result = converge(RELOAD, fake.host(), check_mode=False).to_result()
    assert result["warnings"] == foretold
    return list(foretold)


def test_what_pluto_does_not_tell_is_warned_of() -> None:
    """A connection is not replaced for it, unless it is for something else."""
    fake = running(dict.fromkeys("abcde", "1"), {**dict.fromkeys("abcde", "1"), "e": "2"})
    assert warnings(running({"a": "1"}, {"a": "1"})) == []
    fake.rewritten = {"a": ("reqid",), "b": ("esp", "reqid"), "c": ("x",), "d": ("x",), "e": ("x",), "gone": ("x",)}
    (said,) = warnings(fake)
    assert "the same: a (reqid), b (esp, reqid), c (x) and 1 more; where that has to count" in said
    assert fake.calls == ["delete e", "load e", "start e"]


def test_a_pluto_that_was_never_seen_before_its_configuration_changed() -> None:
    """What it does not tell is not known, and that is said until it is another pluto."""
    fake = running({"a": "1"}, {"a": "1"})
    fake.rewritten = None
    (said,) = warnings(fake)
    assert "not known whether keys differ that pluto does not tell" in said
    fake.nhelpers = ("1", "2")
    assert converge(RELOAD._replace(allow_restart=True), fake.host(), check_mode=False).to_result()["warnings"] == []


def test_a_stopped_gateway_is_started() -> None:
    """There is nothing to reload, and everything to load."""
    fake = FakeHost()
    fake.wanted = {"a": "1"}
    assert reload(fake) == ("start pluto",)


def test_a_bad_configuration_is_refused() -> None:
    """Before anything changes."""
    fake = running({"a": "1"}, {"a": "2"})
    fake.config_error = "connection a: bad"
    with pytest.raises(ConfigError, match="connection a: bad"):
        converge(RELOAD, fake.host(), check_mode=False)
    assert fake.calls == []


UNREAD: tuple[tuple[Unread, ...], ...] = ((), ("secrets",))


def every_difference() -> c.Iterator[FakeHost]:
    """Two connections, each in every relation to pluto and the configuration, and each owner of an IKE SA."""
    for relations in itertools.product(("", "held", "wanted", "same", "different"), repeat=2):
        for owner, unread in itertools.product((None, "a", "b"), UNREAD):
            held = {n: "1" for n, how in zip("ab", relations) if how in ("held", "same", "different")}
            wanted = {
                n: "2" if how == "different" else "1"
                for n, how in zip("ab", relations)
                if how in ("wanted", "same", "different")
            }
            fake = running(held, wanted)
            fake.unread = {*unread}
            if owner and {"a", "b"} <= set(held):
                fake.sharers = {owner: tuple({"a", "b"} - {owner})}
            yield fake


def test_every_difference_is_foretold_and_converges() -> None:
    """All of them, and a failure at each call: what was done is told, and the next run does the rest."""
    for fake in every_difference():
        reload(fake)
    for fake in every_difference():
        calls = len(converge(RELOAD, fake.host(), check_mode=True).actions)
        for index in range(calls):
            again = next(
                f
                for f in every_difference()
                if (f.held, f.wanted, f.sharers, f.unread) == (fake.held, fake.wanted, fake.sharers, fake.unread)
            )
            assert_failure_is_survived(again, index)


def assert_failure_is_survived(fake: FakeHost, index: int) -> None:
    """The call that the step of this index ends with fails once."""
    title = converge(RELOAD, fake.host(), check_mode=True).actions[index]
    words = title.split(",")[0].split()
    fake.fail = {
        "read": title.replace("read the", "reread").replace(" again", ""),
        "delete": f"delete {words[-1]}",
        "replace": f"load {words[-1]}",
        "add": f"load {words[-1]}",
    }[words[0]]
    with pytest.raises(IPsecError) as caught:
        converge(RELOAD, fake.host(), check_mode=False)
    assert len(caught.value.done) == index
    fake.fail, fake.calls = None, []
    reload(fake)
