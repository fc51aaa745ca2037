# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fleet_facts as made_up
from ansible_collections.xswan.ipsec.plugins.plugin_utils._table import table
from fleet_facts import address, connection, fleet, result


def test_one_line_a_gateway_and_one_for_each_trouble() -> None:
    lines = table(fleet(made_up.office()))
    assert lines[:9] == [
        "Gateways: 4 running, 1 unreachable. Tunnel ends: 11 up, 2 idle, 4 down. Seen 2026-11-30 00:53:20 UTC.",
        "",
        "GATEWAY  STATE        UP  TUNNELS        IN       OUT   UPTIME  VERSION",
        "gw1      running       4        6   75.2 MB   38.0 MB  3 d 1 h  Libreswan 4.10",
        "gw2      running       2        4   80.1 MB  142.5 MB  3 d 1 h  Libreswan 4.10",
        "gw3      running       2        3  123.9 MB   70.7 MB  3 d 1 h  Libreswan 4.10",
        "gw4      running       3        4  112.9 MB  212.1 MB  3 d 1 h  Libreswan 5.2",
        "gw5      unreachable   -        -         -         -        -  -",
        "",
    ]
    assert lines[10].split(None, 3) == [
        "gw1",
        "tunnel",
        "gw1-gw3",
        "no-proposal: the peer accepts none of our IKE proposals. Cure: make ike= the same on both ends",
    ]
    assert len(lines) == 10 + 10


def test_500_gateways_have_500_lines() -> None:
    picture = fleet(made_up.branches(500))
    assert len(table(picture)) == 2 + 1 + 500 + 1 + 1 + len(picture.troubles)


def test_nothing_that_a_terminal_obeys_and_no_quotes_that_json_escapes() -> None:
    name = '<b>"\x1b]0;evil\x07\n\u202e'
    wrong = made_up.reason("\x1b[2J", "a\rb", "\x00")
    tunnel = connection(address(0), "203.0.113.1", up=False, reason=wrong)
    text = "\n".join(
        table(fleet({"gw1": result(address(0), {name: tunnel}), "gw2": made_up.unreachable("\x1b[31mno")}))
    )
    assert "tunnel <b>'?]0;evil? ?" in text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert '"' not in text


def test_a_play_without_hosts() -> None:
    assert table(fleet({}))[0].startswith("Gateways: none. Tunnel ends: none.")
