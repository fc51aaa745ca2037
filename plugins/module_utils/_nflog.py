# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall's rules of `nflog-all=`, which Libreswan's start scripts make (`ipsec --checknflog`) and should remove.

They do not when pluto's host lost power, when `nflog-all=` left the configuration first, and never up to 4.10, whose
`--stopnflog` calls a program iptablese. Own are, by the scripts of 4.3, 4.10 and 5.2, and by nothing but their names:

- iptables rules of the table filter that hand to NFLOG with the prefix all-ipsec (IPv4 only: the scripts make no other)
- nftables chains ipsec-all-input and ipsec-all-output of the table ip filter (4.x), and the table inet ipsec-log (5.x)

The rules of a single connection's `nflog=` are not among them: their prefix is the connection's name, which anybody can
use.
"""

from __future__ import annotations

import os
import re
import shlex
import typing as t

from ._errors import DaemonError, DependencyError, understood

if t.TYPE_CHECKING:
    from ._ports import Commands

NFNETLINK_LOG = "/proc/net/netfilter/nfnetlink_log"
"""There when the kernel can log packets to a group, which it loads with the first rule of that kind."""
TIMEOUT = 30.0
LOCK_WAIT = "5"
"""Seconds that iptables waits for another iptables."""

PREFIX = "all-ipsec"
CHAINS = ("ipsec-all-input", "ipsec-all-output")
TABLE = "ipsec-log"


class Rule(t.NamedTuple):
    """A rule, chain or table, and the commands that remove it."""

    title: str
    remove: tuple[tuple[str, ...], ...]


class LogRules:
    """Finds and removes them. Where nothing logs to a group, which is usual, that costs a look at one file."""

    def __init__(self, commands: Commands, *, marker: str = NFNETLINK_LOG) -> None:
        self._commands = commands
        self._marker = marker

    def find(self) -> tuple[Rule, ...]:
        """All of them; DaemonError when the firewall's tool fails."""
        if not os.path.exists(self._marker):
            return ()
        rules = self._ask("iptables", "-w", LOCK_WAIT, "-S")
        return (*iptables_rules(rules), *nft_rules(self._ask("nft", "list", "chains")))

    def remove(self) -> None:
        """Remove them; DaemonError when the firewall's tool fails."""
        for rule in self.find():
            for argv in rule.remove:
                self._do(*argv)

    def _ask(self, *argv: str) -> str:
        """What the tool prints; nothing where it is not installed, for then nobody has made rules with it."""
        try:
            return self._do(*argv)
        except DependencyError:
            return ""

    def _do(self, *argv: str) -> str:
        done = self._commands.run(*argv, timeout=TIMEOUT)
        if done.status != 0:
            raise DaemonError(
                f"`{shlex.join(argv)}`, for the rules of nflog-all=, failed: {done.reason}; remove them by hand"
            )
        return done.out


def iptables_rules(text: str) -> t.Iterator[Rule]:
    """The own rules in what `iptables -S` prints."""
    with understood("what `iptables -S` prints"):
        for line in text.splitlines():
            words = shlex.split(line)
            if words[:1] == ["-A"] and (_after(words, "-j"), _after(words, "--nflog-prefix")) == ("NFLOG", PREFIX):
                yield Rule(f"iptables {line}", (("iptables", "-w", LOCK_WAIT, "-D", *words[1:]),))


def _after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def nft_rules(text: str) -> t.Iterator[Rule]:
    """The own chains and tables in what `nft list chains` prints."""
    family, table = "", ""
    for line in text.splitlines():
        head = re.match(r"\s*(table (?P<family>\w+)|chain) (?P<name>[^\s{]+) \{", line)
        if head and head["family"]:
            family, table = head["family"], head["name"]
            if (family, table) == ("inet", TABLE):
                yield Rule(f"nft table inet {TABLE}", (("nft", "delete", "table", "inet", TABLE),))
        elif head and (family, table) == ("ip", "filter") and head["name"] in CHAINS:
            chain = ("chain", "ip", "filter", head["name"])
            yield Rule(f"nft {' '.join(chain)}", (("nft", "flush", *chain), ("nft", "delete", *chain)))
