# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters as Jinja calls them; what they compute is tested with plugin_utils."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.xswan.ipsec.plugins.filter import configuration, gateways, psk, topology
from ansible_collections.xswan.ipsec.plugins.plugin_utils._keys import pair_key

MASTER = "a master of these tests, and of nothing else"
ENTRIES = [{"type": "mesh", "groups": ["all"]}]
GROUPS = {"all": ["gw1", "gw2"]}
HOSTVARS = {f"gw{number}": {"ipsec_gateway": {"address": f"192.0.2.{number}"}} for number in (1, 2)}


def test_names() -> None:
    for module in (configuration, gateways, psk, topology):
        (name,) = module.FilterModule().filters()
        assert module.__name__.endswith(f".{name}")
        assert f"name: {name}\n" in module.DOCUMENTATION


def test_psk() -> None:
    assert psk.psk(["@gw1", "@gw2"], MASTER) == pair_key(MASTER, ["@gw1", "@gw2"])
    with pytest.raises(AnsibleFilterError, match="master has 4 characters; allowed: 32 or more") as caught:
        psk.psk(["@gw1", "@gw2"], "hush")
    assert "hush" not in str(caught.value)
    for ids in ("@gw1", ["@gw1"]):
        with pytest.raises(AnsibleFilterError, match="no list of two identities"):
            psk.psk(ids, MASTER)


def test_topology() -> None:
    (found,) = topology.topology(ENTRIES, "gw1", GROUPS, HOSTVARS)
    assert found["name"] == "gw1-gw2"
    with pytest.raises(AnsibleFilterError, match="ipsec_gateway of gw2: is missing"):
        topology.topology(ENTRIES, "gw1", GROUPS, {**HOSTVARS, "gw2": {}})


def test_configuration_asks_hostvars_for_what_was_not_read_before() -> None:
    variables = {"ipsec_topology": ENTRIES, "ipsec_psk_master": MASTER}
    known = gateways.gateways(ENTRIES, GROUPS, HOSTVARS)
    assert known == {"gw1": {"address": "192.0.2.1"}, "gw2": {"address": "192.0.2.2"}}
    found = configuration.configuration(variables, "gw1", GROUPS, HOSTVARS)
    assert found["mistakes"] == []
    assert len(found["secrets"]) == 1
    assert configuration.configuration(variables, "gw1", GROUPS, {}, known) == found
    del known["gw2"]
    assert configuration.configuration(variables, "gw1", GROUPS, HOSTVARS, known) == found


def test_what_is_wrong_with_the_inventory_is_told_without_what_a_terminal_obeys() -> None:
    evil = "\x1b[2J\u202e"
    with pytest.raises(AnsibleFilterError) as caught:
        topology.topology([{**ENTRIES[0], evil: 1}], "gw1", GROUPS, HOSTVARS)
    assert str(caught.value).isprintable()
    variables = {
        "ipsec_connections": [{"name": evil}, {"name": "a", f"left{evil}": "x"}],
        "ipsec_policies": {evil: [], "clear": [f"::%{evil}"]},
        "ipsec_sysctl": {evil: 1},
        "ipsec_secrets": [{evil: 1}],
        "ipsec_topology": [{**ENTRIES[0], "groups": [evil]}],
    }
    found = configuration.configuration(variables, "gw1", GROUPS, HOSTVARS)
    assert len(found["mistakes"]) > 6
    assert all(mistake.isprintable() for mistake in found["mistakes"])
