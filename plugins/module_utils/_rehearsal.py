# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a throw-away pluto makes of the installed configuration, to be compared with what the living one holds."""

from __future__ import annotations

import typing as t

from ._candidate import Candidate, secrets_in
from ._definitions import definitions, setup
from ._errors import ConfigError, DependencyError
from ._faults import faults
from ._install import LocalFiles
from ._ipsec_conf import read_conf
from ._preflight import Unshared
from ._reload import Holding
from ._secrecy import safe_text
from ._stamp import SECRETS

if t.TYPE_CHECKING:
    from ._ports import CommandsApart

TIMEOUT = 120.0
"""Seconds; a thousand connections take some ten."""
FAULTS = 3
"""Mistakes that one message tells."""

OVERRIDDEN = {"nhelpers": "-1", "logfile": "<syslog>"}
"""Keys that the trial sets on pluto's command line, and what they are by default: Libreswan 4.3 to 5.2."""
UNTOLD = frozenset({"audit-log"})
"""Keys that it sets too, and that change nothing about a gateway."""


def rehearse(commands: CommandsApart, config: str) -> Holding:
    """All connections of this configuration, and its settings.

    ConfigError when the program refuses any of it; DependencyError where there can be no throw-away pluto.
    """
    files, sandbox = LocalFiles(commands), Unshared(commands)
    candidate = Candidate(files.real(config), ())
    conf = read_conf(files, candidate.config)
    sandbox.check()
    trial = sandbox.load(candidate, conf, TIMEOUT)
    own = conf.setup()
    secrets = secrets_in(files.read(own.get("secretsfile", SECRETS)) or "")
    wrong = [fault for fault in faults(conf, trial, secrets) if fault.severity == "error"]
    if wrong:
        said = "; ".join(fault.message for fault in wrong[:FAULTS])
        more = f"; and {len(wrong) - FAULTS} more" if len(wrong) > FAULTS else ""
        raise ConfigError(
            f"{config} is not what pluto would load: {said}{more}; nothing was changed",
            findings=[{"id": f.id, "connection": f.connection, "key": f.key, "message": f.message} for f in wrong],
        )
    if not trial.started:
        raise DependencyError(
            f"a throw-away pluto does not start with {config}: {safe_text(trial.said or trial.log)}; mend that, or "
            "restart instead"
        )
    told = {key: value for key, value in setup(trial.status).items() if key not in UNTOLD}
    return Holding(
        definitions(trial.status),
        {key: own.get(key, OVERRIDDEN[key]) if key in OVERRIDDEN else value for key, value in told.items()},
    )


def held(status: str) -> Holding:
    """What a living pluto tells of itself in `ipsec whack --status`."""
    told = {key: value.strip("'") if key in OVERRIDDEN else value for key, value in setup(status).items()}
    return Holding(definitions(status), {key: value for key, value in told.items() if key not in UNTOLD})
