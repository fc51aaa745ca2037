# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake gateway keeps the contract; tests/integration holds real gateways to the same one."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._model import Stranger
from contract.contract import CHECKS, World
from fake_host import FakeHost


class FakeWorld:
    """The fake and its accidents."""

    def __init__(self) -> None:
        self.fake = FakeHost()
        self.host = self.fake.host()

    def pluto_by_hand(self) -> None:
        self.fake.run_pluto(by_unit=False)

    def pluto_hangs(self) -> None:
        self.fake.hung = True

    def no_lock_file(self) -> None:
        self.fake.lock_present, self.fake.lock_pid = False, None

    def old_lock_file(self) -> None:
        self.fake.old_lock = True

    @contextlib.contextmanager
    def stranger_on_port_500(self) -> t.Iterator[None]:
        self.fake.stranger = Stranger(500, 77, "charon")
        yield
        self.fake.stranger = None

    def dead_lock_file(self) -> None:
        self.fake.lock_present, self.fake.lock_pid = True, 4242

    def stale_socket(self) -> None:
        self.fake.control_present = True

    def break_config(self) -> None:
        self.fake.config_error = "/etc/ipsec.conf is not valid"

    def doubtful_config(self) -> None:
        self.fake.config_said = "cannot find conn 'nosuch' needed by conn 'doubtful'"
        self.fake.files["/etc/ipsec.conf"] = (0o644, "conn doubtful\n also=nosuch\n auto=add\n")

    def mend_config(self) -> None:
        self.fake.config_error, self.fake.config_said = None, ""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: t.Callable[[World], None]) -> None:
    check(FakeWorld())
