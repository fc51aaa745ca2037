# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orders that pluto gets. What real ones do with them is seen in tests/integration."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _baseline, _reloader
from ansible_collections.xswan.ipsec.plugins.module_utils._baseline import LocalBaseline
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Process
from ansible_collections.xswan.ipsec.plugins.module_utils._rehearsal import held
from ansible_collections.xswan.ipsec.plugins.module_utils._reload import Reload
from ansible_collections.xswan.ipsec.plugins.module_utils._reloader import LocalReloader
from ansible_collections.xswan.ipsec.plugins.module_utils._unread import STAMPS


class Recorder:
    """Commands that are only written down; each ends in the same way."""

    def __init__(self, status: int | None = 0, err: str = "") -> None:
        self.status, self.err = status, err
        self.orders: list[str] = []

    def run(self, *argv: str, timeout: float) -> Completed:
        # the programs of `ipsec` are called by path where they are found
        words = argv[1:] if argv[0] == "ipsec" else (argv[0].rpartition("/")[2], *argv[1:])
        self.orders.append(" ".join(words))
        return Completed(argv, self.status, "", self.err)

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        raise AssertionError("no sandbox is needed for an order")


def reloader(recorder: Recorder) -> LocalReloader:
    return LocalReloader(recorder, config="/etc/ipsec.conf")


class OnlyOne(LocalReloader):
    """The pluto that runs is not looked for on this host."""

    def processes(self) -> tuple[Process, ...]:
        return (Process(7, started=1.5),)


def test_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `ipsec auto`, which 5.x does not have, nor --replace, which leaves subnets, nor --rereadcerts."""
    noted: list[str] = []
    monkeypatch.setattr(_reloader, "note", lambda _process, _signed, stamp: noted.append(stamp))
    monkeypatch.setattr(_reloader, "note_connection", lambda _process, name, _now: noted.append(name))
    recorder = Recorder()
    ours = OnlyOne(recorder, config="/etc/ipsec.conf")
    for order in ("delete", "load", "start", "route"):
        getattr(ours, order)("a")
    for what in STAMPS:
        ours.reread(what)
    assert noted == ["a", *STAMPS.values()]
    # where the files are, and what they say, is asked too
    asked = ("whack --status", "addconn --config /etc/ipsec.conf --configsetup")
    assert [order for order in recorder.orders if order not in asked] == [
        "whack --name a --terminate",
        "whack --name a --delete",
        "addconn --config /etc/ipsec.conf a",
        "whack --name a --initiate --asynchronous",
        "whack --name a --route",
        "whack --rereadsecrets",
        "whack --listen",
    ]


@pytest.mark.parametrize("status", [20, 33, None])
def test_a_refusal_is_an_error_in_the_programs_words(status: int | None) -> None:
    for order in ("delete", "load", "route"):
        with pytest.raises(DaemonError, match="no end in time" if status is None else "no connection named"):
            getattr(reloader(Recorder(status, "no connection named a")), order)("a")


def test_what_the_peer_makes_of_a_start_is_not_asked() -> None:
    for status in (20, None):
        reloader(Recorder(status)).start("a")


def test_a_pluto_that_does_not_answer() -> None:
    with pytest.raises(DaemonError, match="pluto does not answer: connection refused; run the task again"):
        reloader(Recorder(1, "connection refused")).compare()


class Gateway(OnlyOne):
    """Files are real; `ipsec` says what is written here, and `whack --status` what 4.10 does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status = (Path(__file__).parent / "fixtures/whack-4.10-status.txt").read_text()
        self.wanted = self.status
        self.exports = ["uniqueids='yes'"]
        self.conf = folder / "ipsec.conf"
        self.conf.write_text("conn gw1-gw2\n right=192.0.2.2\n auto=start\n")
        super().__init__(self, config=str(self.conf))
        self._baseline = LocalBaseline(self, str(self.conf), str(folder / "stamp"))
        self.started = time.time()
        monkeypatch.setattr(_reloader, "rehearse", lambda _commands, _config: held(self.wanted))
        monkeypatch.setattr(_baseline, "find_program", lambda _name: self.processes())

    def processes(self) -> tuple[Process, ...]:
        return (Process(7, started=self.started),)

    def run(self, *argv: str, timeout: float) -> Completed:
        said = {"--status": self.status, "--configsetup": "".join(f"export {line}\n" for line in self.exports)}
        return Completed(argv, 0, said.get(argv[-1], ""), "")

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        raise AssertionError("the rehearsal is left out")

    def configured(self) -> dict[str, str]:
        return {"gw1-gw2": "start"}

    def again(self) -> Reload:
        """What another run sees."""
        for name in ("_said", "_wanted", "_auto"):
            vars(self).pop(name, None)
        return self.compare()


def test_keys_that_pluto_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pluto that was seen before they changed: all of them. What somebody has told it by whack is no change."""
    gateway = Gateway(tmp_path, monkeypatch)
    first = gateway.compare()
    assert (first.restart_required, first.rewritten) == ((), ())
    gateway.exports.append("logfile='/var/log/pluto.log'")
    gateway.status = gateway.status.replace("000 debug:", "000 debug: base")
    gateway.conf.write_text(gateway.conf.read_text() + " reqid=7\n")
    second = gateway.again()
    assert (second.restart_required, second.untold) == (("logfile",), (("gw1-gw2", ("reqid",)),))
    gateway.load("gw1-gw2")
    assert gateway.again().untold == ()


def test_a_pluto_that_was_not_seen_before_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what it tells is all that can be compared, and that is said."""
    gateway = Gateway(tmp_path, monkeypatch)
    gateway.started -= 60
    gateway.wanted = gateway.status.replace("000 debug:", "000 debug: base")
    found = gateway.compare()
    assert (found.restart_required, found.rewritten) == (("plutodebug",), None)
