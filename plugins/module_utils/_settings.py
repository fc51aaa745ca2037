# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`config setup`, as the program itself reads it."""

from __future__ import annotations

import re
import typing as t

from ._errors import ConfigError

if t.TYPE_CHECKING:
    from ._ports import Commands

TIMEOUT = 30.0
"""Seconds."""


def config_setup(commands: Commands, config: str) -> dict[str, str]:
    """Every keyword of `config setup` that has a value, its own or by default; ConfigError when it cannot be read.

    The output is made for a shell to evaluate: ipsec_addconn(8), option --configsetup.
    """
    done = commands.run("ipsec", "addconn", "--config", config, "--configsetup", timeout=TIMEOUT)
    if done.status != 0:
        raise ConfigError(f"`ipsec addconn --configsetup` cannot read {config}: {done.reason}; correct it")
    return dict(re.findall(r"^export ([\w-]+)='(.*)'$", done.out, re.MULTILINE))
