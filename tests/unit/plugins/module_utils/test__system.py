# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import syslog

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._system import parse_priority


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("daemon.error", syslog.LOG_DAEMON | syslog.LOG_ERR),
        ("local0.info", syslog.LOG_LOCAL0 | syslog.LOG_INFO),
        ("local7.warn", syslog.LOG_LOCAL7 | syslog.LOG_WARNING),
        ("AuthPriv.Notice", syslog.LOG_AUTHPRIV | syslog.LOG_NOTICE),
        ("kern.panic", syslog.LOG_KERN | syslog.LOG_EMERG),
        ("", None),
        (".err", None),
        ("daemon", None),
        ("daemon.loud", None),
        ("nobody.err", None),
    ],
)
def test_priorities(text: str, priority: int | None) -> None:
    assert parse_priority(text) == priority
