# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of ipsec_sysctl and ipsec_firewall reach the core, and its result comes back."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError
from ansible_collections.xswan.ipsec.plugins.module_utils._router import Opening
from ansible_collections.xswan.ipsec.plugins.modules import ipsec_firewall, ipsec_sysctl
from fake_host import FakeHost


def test_ipsec_sysctl() -> None:
    fake = FakeHost()
    params: dict[str, t.Any] = {"settings": {"net.ipv4.conf.eth0.rp_filter": True}, "purge": True}
    told = ipsec_sysctl.action(fake.router(), params, check_mode=True)
    assert told["settings"] == {"net.ipv4.conf.eth0.rp_filter": {"before": "0", "after": "1"}}
    assert not fake.files
    assert ipsec_sysctl.action(fake.router(), params, check_mode=False) == told
    kept = ipsec_sysctl.action(fake.router(), {"settings": {}, "purge": False}, check_mode=False)
    assert kept["changed"] is False
    back = ipsec_sysctl.action(fake.router(), {"settings": {}, "purge": True}, check_mode=False)
    assert back["settings"] == {"net.ipv4.conf.eth0.rp_filter": {"before": "1", "after": "0"}}
    with pytest.raises(ConfigError, match=r"settings: kernel\.panic is no name"):
        ipsec_sysctl.action(fake.router(), {"settings": {"kernel.panic": 1}, "purge": True}, check_mode=False)


def test_ipsec_firewall() -> None:
    fake = FakeHost()
    fake.zones = {"permanent": set(), "runtime": set()}
    params: dict[str, t.Any] = {"tool": "nftables", "chain": "inet filter input", "zone": None, "ah": True}
    ipsec_firewall.action(fake.router(), params, check_mode=True)
    assert not fake.files
    result = ipsec_firewall.action(fake.router(), params, check_mode=False)
    assert result["actions"] == ["open inet filter input"]
    assert list(fake.openings) == [Opening("inet filter input", ah=True)]
    ipsec_firewall.action(fake.router(), {**params, "tool": "firewalld", "zone": "home"}, check_mode=False)
    assert fake.zones == {"permanent": {"home"}, "runtime": {"home"}}
    assert not fake.openings
