# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._nflog import LogRules, iptables_rules, nft_rules

# iptables 1.8.7 after `ipsec --checknflog` of Libreswan 4.3, with a rule of somebody else and one of a connection
RULES = """\
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A INPUT -m policy --dir in --pol ipsec -j NFLOG --nflog-prefix  all-ipsec --nflog-group 13
-A INPUT -i eth0 -j NFLOG --nflog-prefix "all ipsec" --nflog-group 14
-A OUTPUT -m comment --comment all-ipsec -j ACCEPT
-A OUTPUT -m policy --dir out --pol ipsec -j NFLOG --nflog-prefix  all-ipsec --nflog-group 13
-A OUTPUT -m policy --dir out --pol ipsec -j NFLOG --nflog-prefix site-b --nflog-group 13
"""
CHAINS = """\
table inet ipsec-log {
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t}
}
table ip filter {
\tchain ipsec-all-input {
\t\ttype filter hook input priority filter; policy accept;
\t}
}
table ip other {
\tchain ipsec-all-output {
\t}
}
table inet filter {
\tchain ipsec-log {
\t}
}
"""


class Firewall:
    """The tools, of which some may not be installed, or fail."""

    def __init__(self, **says: str | None) -> None:
        self.says = says
        self.calls: list[tuple[str, ...]] = []

    def run(self, *argv: str, timeout: float) -> Completed:
        self.calls.append(argv)
        if argv[0] not in self.says:
            raise DependencyError(f"the command {argv[0]} is not installed on this host")
        text = self.says[argv[0]]
        return Completed(argv, 0, text, "") if text is not None else Completed(argv, 4, "", "Permission denied\n")


def test_only_the_rules_of_the_start_scripts_are_own() -> None:
    match = ("-m", "policy", "--dir")
    log = ("--pol", "ipsec", "-j", "NFLOG", "--nflog-prefix", "all-ipsec", "--nflog-group", "13")
    assert [rule.remove for rule in iptables_rules(RULES)] == [
        (("iptables", "-w", "5", "-D", "INPUT", *match, "in", *log),),
        (("iptables", "-w", "5", "-D", "OUTPUT", *match, "out", *log),),
    ]


def test_only_the_chains_and_the_table_of_the_start_scripts_are_own() -> None:
    chain = ("chain", "ip", "filter", "ipsec-all-input")
    assert [rule.remove for rule in nft_rules(CHAINS)] == [
        (("nft", "delete", "table", "inet", "ipsec-log"),),
        (("nft", "flush", *chain), ("nft", "delete", *chain)),
    ]


def test_where_nothing_logs_to_a_group_no_tool_is_called() -> None:
    firewall = Firewall(iptables=RULES, nft=CHAINS)
    assert LogRules(firewall, marker="/nonexistent").find() == ()
    assert firewall.calls == []


@pytest.mark.parametrize(("tools", "found"), [({}, 0), ({"nft": CHAINS}, 2), ({"iptables": RULES}, 2)])
def test_a_tool_that_is_not_installed_made_no_rules(tools: dict[str, str], found: int) -> None:
    assert len(LogRules(Firewall(**tools), marker="/proc/self").find()) == found


def test_a_tool_that_fails_is_told() -> None:
    with pytest.raises(DaemonError, match="`iptables -w 5 -S`, for the rules of nflog-all=, failed: Permission denied"):
        LogRules(Firewall(iptables=None, nft=""), marker="/proc/self").remove()
