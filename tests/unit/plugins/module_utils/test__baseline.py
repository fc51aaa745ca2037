# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On real files: what a pluto has read, and what has become of that."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _baseline
from ansible_collections.xswan.ipsec.plugins.module_utils._baseline import LocalBaseline, Said
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process


class Addconn:
    """Tells its `config setup` in the words of `ipsec addconn --configsetup` of 4.10."""

    def __init__(self) -> None:
        self.status = 0
        self.lines = ["confreadstatus=''", "configfile='/etc/ipsec.conf'", "virtual_private='%v4:10.0.0.0/8'"]

    def run(self, *argv: str, timeout: float) -> Completed:
        return Completed(argv, self.status, "".join(f"export {line}\n" for line in self.lines), "bad")


class Gateway:
    """An ipsec.conf with a file that it includes, and a pluto that was started when they were there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addconn = Addconn()
        self.config, self.included, self.stamp = (folder / name for name in ("ipsec.conf", "more.conf", "stamp"))
        self.config.write_text("conn %default\n ike=aes\nconn a\n reqid=1\n auto=add\ninclude *.conf\n")
        self.included.write_text("conn b\n auto=start\n")
        self.pluto = Process(7, started=time.time())
        monkeypatch.setattr(_baseline, "find_program", lambda name: (self.pluto,))
        self.baseline = LocalBaseline(self.addconn, str(self.config), str(self.stamp))

    def changed(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        noted = self.baseline.noted(self.pluto)
        assert noted is not None
        return self.baseline.now().changed(noted)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    return Gateway(tmp_path, monkeypatch)


def test_what_pluto_has_read_is_noted_once(gateway: Gateway) -> None:
    assert gateway.baseline.noted(gateway.pluto) is None
    gateway.baseline.note()
    said = Said(
        {"virtual-private": "%v4:10.0.0.0/8"},
        {"a": {"ike": "aes", "reqid": "1", "auto": "add"}, "b": {"ike": "aes", "auto": "start"}},
    )
    assert gateway.baseline.noted(gateway.pluto) == said
    assert stat.S_IMODE(gateway.stamp.stat().st_mode) == 0o600
    gateway.included.write_text("conn b\n auto=start\n reqid=2\n")
    gateway.addconn.lines.append("logfile='/var/log/pluto'")
    gateway.baseline.note()
    assert gateway.baseline.noted(gateway.pluto) == said
    assert gateway.baseline.now().setup == {"virtual-private": "%v4:10.0.0.0/8", "logfile": "/var/log/pluto"}
    assert gateway.changed() == (("b", ("reqid",)),)


@pytest.mark.parametrize("name", ["config", "included"])
def test_a_file_that_is_newer_than_pluto_tells_nothing(gateway: Gateway, name: str) -> None:
    late: Path = getattr(gateway, name)
    late.touch()
    gateway.pluto = Process(7, started=late.stat().st_ctime - 1.5)
    gateway.baseline.note()
    assert gateway.baseline.noted(gateway.pluto) is None
    gateway.pluto = Process(7, started=late.stat().st_ctime - 0.9)
    gateway.baseline.note()
    assert gateway.baseline.noted(gateway.pluto) is not None, "the kernel does not tell it to the second"


def test_another_pluto_has_read_something_else(gateway: Gateway) -> None:
    gateway.baseline.note()
    assert gateway.baseline.noted(Process(7, since_boot=2.5)) is None
    for broken in ("[1]", "{}", "no"):
        gateway.stamp.write_text(broken)
        assert gateway.baseline.noted(gateway.pluto) is None
    gateway.baseline.note()
    assert gateway.baseline.noted(gateway.pluto) is not None


def test_what_cannot_be_read_is_not_noted(gateway: Gateway) -> None:
    gateway.addconn.status = 3
    gateway.baseline.note()
    assert not gateway.stamp.exists()
    with pytest.raises(ConfigError, match="cannot read"):
        gateway.baseline.now()


def test_a_connection_that_was_loaded_anew_has_what_is_there_now(gateway: Gateway) -> None:
    gateway.baseline.loaded(gateway.pluto, "a", gateway.baseline.now())
    assert not gateway.stamp.exists(), "of a pluto that is not known"
    gateway.baseline.note()
    gateway.config.write_text("conn a\n reqid=2\n auto=add\nconn new\n reqid=3\ninclude *.conf\n")
    assert gateway.changed() == (("a", ("ike", "reqid")), ("b", ("ike",)))
    for name in ("a", "new"):
        gateway.baseline.loaded(gateway.pluto, name, gateway.baseline.now())
    assert gateway.changed() == (("b", ("ike",)),)
    gateway.config.write_text("conn a\n reqid=2\n auto=add\nconn new\n reqid=4\ninclude *.conf\n")
    assert gateway.changed() == (("b", ("ike",)), ("new", ("reqid",)))


@pytest.mark.parametrize(("auto", "counts"), [("start", False), ("add", False), ("ondemand", True), ("route", True)])
def test_of_auto_counts_what_a_reload_does_not_do(auto: str, counts: bool) -> None:
    now, before = (Said({}, {"a": {"auto": value}}) for value in (auto, "keep"))
    assert now.changed(before) == ((("a", ("auto",)),) if counts else ())
