# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback of Ansible: when each task began."""

from __future__ import annotations

import json
import os
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: bench_times
type: notification
short_description: When each task began
description:
  - Writes a JSON list of triples to the file that the environment variable BENCH_TIMES names, the name of a task, its
    action, and when it began, by the clock that time.monotonic() reads. The last triple is the end of the play.
"""


class CallbackModule(CallbackBase):
    """Notes the beginning of each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "bench_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.began: list[tuple[str, str, float]] = []

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self.began.append((task.get_name(), task.action, time.monotonic()))

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self.began.append(("", "", time.monotonic()))
        Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(self.began))
