# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plutos of a gateway, by the shell's word: neither its children nor those of other network namespaces."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from lab.lab import Gateway

PLUTOS: t.Final = r"""
plutos() {
    # pidof leaves out one that waits for the child that it has forked, and names the child, until that runs its program
    for pid in $(pgrep -x --runstates D,R,S,T pluto); do
        [ "$(cat /proc/$(ps -o ppid= $pid | tr -d ' ')/comm)" != pluto ] || continue
        [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ] || continue
        printf '%s ' $pid
    done
    echo
}
"""
"""A function for a script, which prints their pids in one line."""


def plutos(gateway: Gateway) -> list[int]:
    """Their pids."""
    return [int(pid) for pid in gateway.run(f"{PLUTOS}plutos").stdout.split()]
