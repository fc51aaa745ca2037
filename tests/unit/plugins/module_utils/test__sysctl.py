# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameters are set, recorded and put back; the fake kernel is held against the real one in tests/contract."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, VerifyError
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD
from ansible_collections.xswan.ipsec.plugins.module_utils._sysctl import FILE, Change, canonical, settle, wanted_from
from fake_host import FakeHost

FORWARD, REDIRECTS = "net.ipv4.ip_forward", "net/ipv4/conf/all/accept_redirects"


def done(fake: FakeHost, *, purge: bool = True, check_mode: bool = False, **settings: object) -> Change:
    wanted = wanted_from({name.replace("__", "."): value for name, value in settings.items()})
    return settle(wanted, fake.router(), purge=purge, check_mode=check_mode)


FORWARDING: dict[str, t.Any] = {"net__ipv4__ip_forward": True}
EVERYWHERE: dict[str, t.Any] = {"net.ipv4.conf.*.rp_filter": 2}
GATEWAY: dict[str, t.Any] = {
    **FORWARDING,
    **EVERYWHERE,
    "net.ipv4.conf.eth0/7.rp_filter": "1",
    "net.ipv4.conf.all.accept_redirects": 1,
}


def test_check_mode_foretells_a_run_and_the_second_run_finds_nothing() -> None:
    fake = FakeHost()
    before = dict(fake.parameters)
    told = done(fake, check_mode=True, **GATEWAY).to_result()
    assert (fake.parameters, fake.files) == (before, {})
    result = done(fake, **GATEWAY).to_result()
    assert result == told
    assert result["changed"] is True
    assert result["settings"] == {
        "net.ipv4.ip_forward": {"before": "0", "after": "1"},
        **{
            f"net.ipv4.conf.{name}.rp_filter": {"before": "0", "after": "2"}
            for name in ("all", "default", "eth0", "lo")
        },
        "net/ipv4/conf/eth0.7/rp_filter": {"before": "0", "after": "1"},
    }
    # ip_forward would have switched it off
    assert fake.parameters[REDIRECTS] == "1"
    assert fake.files[FILE] == (
        0o644,
        "# Managed by Ansible (xswan.ipsec.ipsec_sysctl): changes made here are lost.\n"
        "net/ipv4/ip_forward = 1\n"
        "net/ipv4/conf/all/accept_redirects = 1\n"
        "net/ipv4/conf/all/rp_filter = 2\n"
        "net/ipv4/conf/default/rp_filter = 2\n"
        "net/ipv4/conf/eth0.7/rp_filter = 1\n"
        "net/ipv4/conf/eth0/rp_filter = 2\n"
        "net/ipv4/conf/lo/rp_filter = 2\n",
    )
    again = done(fake, **GATEWAY).to_result()
    assert (again["changed"], again["settings"], again["diff"]) == (False, {}, [])


@pytest.mark.parametrize("redirects", ["0", "1"])
def test_all_is_put_back_with_what_the_kernel_changed_besides(redirects: str) -> None:
    fake = FakeHost()
    fake.parameters[REDIRECTS] = redirects
    fake.parameters["net/ipv4/conf/lo/forwarding"] = "1"
    before = dict(fake.parameters)
    done(fake, **FORWARDING)
    assert fake.parameters["net/ipv4/conf/eth0/forwarding"] == "1"
    done(fake, **GATEWAY)
    told = done(fake, check_mode=True).to_result()
    result = done(fake).to_result()
    assert result == told
    assert result["changed"] is True
    assert fake.parameters == before
    assert fake.files == {}
    assert done(fake).to_result()["changed"] is False


def test_what_was_as_it_is_to_be_stays_when_it_is_no_longer_asked_for() -> None:
    fake = FakeHost()
    done(fake, net__ipv4__ip_forward=False)
    fake.parameters["net/ipv4/conf/eth0/forwarding"] = "1"
    assert done(fake).to_result()["settings"] == {}
    assert fake.parameters["net/ipv4/conf/eth0/forwarding"] == "1"


def test_what_somebody_else_has_changed_is_theirs() -> None:
    fake = FakeHost()
    done(fake, net__ipv4__conf__eth0__rp_filter=2)
    fake.parameters["net/ipv4/conf/eth0/rp_filter"] = "1"
    result = done(fake).to_result()
    assert (result["changed"], result["settings"]) == (True, {})
    assert fake.parameters["net/ipv4/conf/eth0/rp_filter"] == "1"
    assert fake.files == {}


def test_without_purge_what_is_not_named_stays_and_is_set_at_boot() -> None:
    fake = FakeHost()
    done(fake, net__ipv4__conf__eth0__rp_filter=2)
    done(fake, purge=False, **FORWARDING)
    assert "eth0/rp_filter = 2" in fake.files[FILE][1]
    assert "ip_forward = 1" in fake.files[FILE][1]
    done(fake, **FORWARDING)
    assert fake.parameters["net/ipv4/conf/eth0/rp_filter"] == "0"
    assert "rp_filter" not in fake.files[FILE][1]


def test_an_interface_that_is_gone_is_forgotten() -> None:
    fake = FakeHost()
    done(fake, **EVERYWHERE)
    for name in [name for name in fake.parameters if "/eth0/" in name]:
        del fake.parameters[name]
    done(fake)
    assert {fake.parameters[f"net/ipv4/conf/{name}/rp_filter"] for name in ("all", "lo")} == {"0"}
    assert fake.files == {}


def test_what_the_kernel_refuses_leaves_all_as_it_was() -> None:
    fake = FakeHost()
    done(fake, net__ipv4__conf__lo__rp_filter=2)
    before = dict(fake.parameters), dict(fake.files)
    with pytest.raises(ConfigError, match="cannot write many to /proc/sys/net/ipv4/conf/eth0/rp_filter"):
        done(fake, net__ipv4__conf__eth0__rp_filter="many", **FORWARDING)
    assert (fake.parameters, fake.files) == before


def test_a_disk_that_is_full_leaves_all_as_it_was() -> None:
    fake = FakeHost()
    before = dict(fake.parameters)
    fake.fail = "install"
    with pytest.raises(DaemonError):
        done(fake, **FORWARDING)
    assert fake.parameters == before


def test_what_the_kernel_does_not_have_is_refused_by_name() -> None:
    fake = FakeHost()
    settings = {"net.ipv6.conf.all.forwarding": 1, "net.ipv4.conf.*.none": 1, **FORWARDING}
    with pytest.raises(ConfigError, match=r"has no net.ipv4.conf.\*.none, net.ipv6.conf.all.forwarding; leave"):
        done(fake, **settings)
    assert RECORD not in fake.files


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.7/rp_filter", "net/ipv4/conf/eth0.7/rp_filter"),
        ("net.ipv4.conf.eth0/7.rp_filter", "net/ipv4/conf/eth0.7/rp_filter"),
        ("net", "net"),
    ],
)
def test_names_are_spelled_as_sysctl_does(name: str, path: str) -> None:
    assert canonical(name) == path


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("kernel.panic", 1, "kernel.panic is no name of a parameter of the network"),
        ("net/../kernel/panic", 1, "is no name"),
        ("net", 1, "net is no name"),
        ("net.ipv4.ip_forward", "", "net.ipv4.ip_forward: '' is no value"),
        ("net.ipv4.ip_forward", "1\u00e9", "is no value"),
    ],
)
def test_what_cannot_be_meant(name: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        wanted_from({name: value})


def test_one_parameter_by_two_names() -> None:
    with pytest.raises(ConfigError, match="is there twice"):
        wanted_from({"net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": 0})


def test_a_parameter_that_does_not_stay_as_it_was_set_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    monkeypatch.setattr(type(fake.router().parameters), "write", lambda self, name, value: None)
    with pytest.raises(VerifyError, match=r"set, but not as asked: .*ip_forward"):
        done(fake, net__ipv4__ip_forward=not int(fake.parameters["net/ipv4/ip_forward"]))
