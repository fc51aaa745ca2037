# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error says about having changed the host, when a system call failed on the way."""

from __future__ import annotations

import errno
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import Candidate, File
from ansible_collections.xswan.ipsec.plugins.module_utils._config import Proposal, install
from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError, IPsecError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired
from ansible_collections.xswan.ipsec.plugins.module_utils._opening import Wish
from ansible_collections.xswan.ipsec.plugins.module_utils._opening import settle as settle_firewall
from ansible_collections.xswan.ipsec.plugins.module_utils._sysctl import settle as settle_sysctl
from fake_host import FakeFiles, FakeFilter, FakeHost, FakeKernel, FakeLauncher, FakeParameters

FULL = OSError(errno.EMFILE, "Too many open files", "/x")
CONF = "conn one\n left=%defaultroute\n right=192.0.2.9\n auto=add\n"


def fails_from(monkeypatch: pytest.MonkeyPatch, port: type, method: str, number: int) -> None:
    """The system fails this method of a fake port from its call of this number on."""
    real, calls = getattr(port, method), []

    def failing(*args: t.Any, **how: t.Any) -> t.Any:
        calls.append(args)
        if len(calls) >= number:
            raise FULL
        return real(*args, **how)

    monkeypatch.setattr(port, method, failing)


def test_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    fails_from(monkeypatch, FakeLauncher, "start", 1)
    with pytest.raises(DaemonError, match="Too many open files") as caught:
        converge(Desired(running=True), fake.host(), check_mode=False)
    assert caught.value.changed is False


def test_a_look_after_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can no longer look does not know, and so it may have changed."""
    fake = FakeHost()
    fails_from(monkeypatch, FakeKernel, "tables", 2)
    with pytest.raises(DaemonError, match="Too many open files") as caught:
        converge(Desired(running=True), fake.host(), check_mode=False)
    assert (caught.value.changed, caught.value.done) == (True, ("start pluto",))


@pytest.mark.parametrize("seconds", [None, 60])
def test_an_installation_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch, seconds: int | None) -> None:
    """And what would take it back stays armed: it is installed."""
    fake = FakeHost()
    fake.files = {"/etc/ipsec.conf": (0o644, "old\n")}
    proposal = Proposal(Candidate("/etc/ipsec.conf", (File("/etc/ipsec.conf", CONF),)), (), confirm_timeout=seconds)
    real = FakeFiles.install

    def installs(self: FakeFiles, files: tuple[File, ...], keep: int) -> tuple[str, ...]:
        monkeypatch.setattr(FakeFiles, "mode", fails)
        return real(self, files, keep)

    def fails(_self: FakeFiles, _path: str) -> int:
        raise FULL

    monkeypatch.setattr(FakeFiles, "install", installs)
    with pytest.raises(DaemonError, match="Too many open files") as caught:
        install(proposal, fake.host(), check_mode=False)
    assert caught.value.changed is True
    assert fake.files["/etc/ipsec.conf"][1] == CONF
    assert (fake.record is not None) == (seconds is not None)


def test_parameters_that_cannot_be_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    fails_from(monkeypatch, FakeParameters, "write", 1)
    with pytest.raises(IPsecError) as caught:
        settle_sysctl({"net/ipv4/conf/eth0/rp_filter": "2"}, fake.router(), purge=False, check_mode=False)
    assert caught.value.changed is False
    assert fake.parameters["net/ipv4/conf/eth0/rp_filter"] == "0"


@pytest.mark.parametrize(("method", "number", "changed"), [("close", 1, False), ("openings", 2, True)])
def test_a_firewall(monkeypatch: pytest.MonkeyPatch, method: str, number: int, *, changed: bool) -> None:
    fake = FakeHost()
    fails_from(monkeypatch, FakeFilter, method, number)
    with pytest.raises(DaemonError, match="Too many open files") as caught:
        settle_firewall(Wish("nftables", "inet filter input", None, ah=False), fake.router(), check_mode=False)
    assert caught.value.changed is changed
