# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration said when the pluto that runs read it.

Of many keys pluto does not tell which value it has: of `config setup` for example logfile= up to 4.x, of a connection
reqid=. So what it has read is noted, as long as its files are still older than it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ._errors import ConfigError
from ._install import LocalFiles
from ._ipsec_conf import read_conf
from ._processes import find_program
from ._settings import config_setup
from ._stamp import write_stamp

if t.TYPE_CHECKING:
    from ._model import Process
    from ._ports import Commands

STAMP = "/run/xswan-ipsec.baseline"
"""Of one pluto, in memory: a boot makes it void."""
BOOT_TIME_ERROR = 1.0
"""Seconds: the kernel tells the time of its boot, from which a start is counted, without their fraction."""
NO_SETTINGS = frozenset({"confreadstatus", "configfile", "ctlsocket", "plutostderrlog"})
"""What `ipsec addconn --configsetup` prints besides; the last one is logfile by its old name."""


class Said(t.NamedTuple):
    """What a configuration says."""

    setup: t.Mapping[str, str]
    """Keys and values of `config setup`, with defaults."""
    connections: t.Mapping[str, t.Mapping[str, str]]
    """By connection its keys and values, with those of %default and also=."""

    def changed(self, before: Said) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The connections of both whose text differs, each with its keys.

        Of auto= only what asks for a trap counts: a reload does the rest.
        """
        found = []
        for name, now in sorted(self.connections.items()):
            then = before.connections.get(name, now)
            keys = {key for key in (*then, *now) if then.get(key) != now.get(key)}
            if now.get("auto") not in ("ondemand", "route"):
                keys.discard("auto")
            if keys:
                found.append((name, tuple(sorted(keys))))
        return tuple(found)


class LocalBaseline:
    """See the port `Baseline`."""

    def __init__(self, commands: Commands, config: str, stamp: str = STAMP) -> None:
        self._commands = commands
        self._config = config
        self._stamp = stamp

    def note(self) -> None:
        """See Baseline.note. That a file has been removed since is not seen."""
        for process in find_program("pluto"):
            if self.noted(process) is None:
                # what cannot be read now, no pluto has read
                with contextlib.suppress(ConfigError):
                    self._note(process)

    def _note(self, process: Process) -> None:
        files = _Watched(LocalFiles(self._commands))
        said = self._read(files)
        if all(os.stat(path).st_ctime <= process.started + BOOT_TIME_ERROR for path in files.paths):
            self._write(process, said)

    def now(self) -> Said:
        """What the configuration says now; ConfigError when the program cannot read it."""
        return self._read(_Watched(LocalFiles(self._commands)))

    def noted(self, process: Process) -> Said | None:
        """What it said when this pluto read it, as far as that is known; a note that is not whole is none."""
        try:
            with open(self._stamp, encoding="utf-8") as file:
                noted = json.load(file)
            if noted["pluto"] == list(process.identity):
                return Said(noted["setup"], noted["connections"])
        except FileNotFoundError:
            pass  # never noted
        except (ValueError, KeyError, TypeError):
            pass  # written by nobody of ours
        return None

    def loaded(self, process: Process, name: str, now: Said) -> None:
        """Note that this pluto has loaded this connection as it is now."""
        noted = self.noted(process)
        if noted is not None and noted.connections.get(name) != now.connections[name]:
            connections = {**noted.connections, name: now.connections[name]}
            self._write(process, noted._replace(connections=connections))

    def _read(self, files: _Watched) -> Said:
        setup = config_setup(self._commands, self._config)
        conf = read_conf(files, self._config)
        return Said(
            # for a shell, the names are written with _
            {key.replace("_", "-"): value for key, value in setup.items() if key not in NO_SETTINGS},
            {name: conf.effective(name) for name in conf.names()},
        )

    def _write(self, process: Process, said: Said) -> None:
        write_stamp(self._stamp, json.dumps({"pluto": process.identity, **said._asdict()}))


class _Watched:
    """A Source that remembers which files were read."""

    def __init__(self, source: LocalFiles) -> None:
        self._source = source
        self.paths: set[str] = set()

    def read(self, path: str) -> str | None:
        """See Source.read."""
        text = self._source.read(path)
        if text is not None:
            self.paths.add(path)
        return text

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See Source.glob."""
        return self._source.glob(pattern)
