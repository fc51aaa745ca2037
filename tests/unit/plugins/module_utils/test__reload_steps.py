# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a reload by themselves."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._host import Host
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._reload import (
    DeleteConnection,
    Holding,
    LoadConnection,
    Reload,
    look,
    reload_steps,
)
from fake_host import FakeHost

RELOAD = Desired(running=True, reload=True)
SAME = Holding({name: frozenset("1") for name in "abc"}, {})


def running() -> FakeHost:
    fake = FakeHost()
    fake.run_pluto()
    return fake


def titles(compared: Reload) -> list[str]:
    state = observe(running().host())._replace(reload=compared)
    return [step.title for step in reload_steps(RELOAD, state)]


def test_only_what_starts_by_itself_is_started() -> None:
    idle = Reload(SAME, SAME, {"a": "add", "b": "start", "c": "ondemand"}, {}, frozenset(), (), unread=())
    assert titles(idle) == ["start connection b"]


def test_one_below_two_ike_sas_is_replaced_once() -> None:
    wanted = Holding({**SAME.connections, "a": frozenset("2"), "b": frozenset("2")}, {})
    auto = {"a": "ondemand", "b": "add", "c": "add"}
    sharers = {"a": ("c",), "b": ("c",)}
    both = Reload(SAME, wanted, auto, sharers, frozenset({"c"}), (), unread=())
    found = titles(both)
    assert found[:2] == ["replace connection a", "replace connection b"]
    (last,) = found[2:]
    assert last.startswith("replace connection c, which shares the IKE SA of ")


def test_what_has_a_certificate_that_was_replaced_is_replaced_and_nothing_else() -> None:
    auto = {"a": "add", "b": "start", "c": "add"}
    compared = Reload(SAME, SAME, auto, {}, frozenset("b"), (), unread=(), outdated=frozenset({"b", "gone"}))
    assert titles(compared) == ["replace connection b, whose certificate was replaced"]
    assert compared.without("b").outdated == {"gone"}


def test_a_trap_is_set_after_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = running()
    fake.wanted = {"a": "1"}
    host = fake.host()
    said: list[str] = []
    monkeypatch.setattr(type(host.reloader), "load", lambda self, name: said.append(f"load {name}"))
    monkeypatch.setattr(type(host.reloader), "route", lambda self, name: said.append(f"route {name}"))
    LoadConnection("a", "route").apply(host)
    LoadConnection("b", "").apply(host)
    assert said == ["load a", "route a", "load b"]


def test_a_pluto_that_never_ends_loading() -> None:
    fake = running()
    fake.loading_looks = 10**9
    with pytest.raises(DaemonError, match="still loading connections after 90 s; try again later"):
        look(RELOAD, fake.host())


def test_steps_of_a_reload_are_for_a_host_that_can_reload() -> None:
    host = running().host()
    with pytest.raises(TypeError):
        DeleteConnection("a").predict(observe(host))
    plain = Host(**{field.name: getattr(host, field.name) for field in dataclasses.fields(Host)})
    with pytest.raises(TypeError):
        DeleteConnection("a").apply(plain)
