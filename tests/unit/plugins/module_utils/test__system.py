# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import syslog

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._system import SystemLog, parse_priority


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


def test_a_line_of_the_log_is_one_that_can_only_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """syslog(3) itself refuses a null character, and what is no UTF-8."""
    said: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _priority, line: said.append(line))
    SystemLog().write("pluto said: a\0\nb\x1b[2J\udc80\u202e\u00e9")
    assert said == ["pluto said: a??b?[2J??\u00e9"]
