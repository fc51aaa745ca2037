# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real gateways for tests: labs that are brought up once a session and always taken down."""

from __future__ import annotations

import collections.abc as c
import contextlib
import itertools
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from lab import Lab, LabError
from lab.lab import known_labs, remove

OUTPUT = Path(__file__).parents[1] / "output"
LOGS = OUTPUT / "lab"


class Outcome(t.NamedTuple):
    """What a verb of ipsec_setup did with a gateway after an accident."""

    accident: str
    verb: str
    suite: str
    state: str
    """The word of ipsec_status for it, before."""
    did: str
    """Its actions, or its error."""
    seconds: float
    """How long the slowest gateway took, Ansible's own time included."""


RESULTS = """\
# What each verb did with each accident

Made by `make accidents`; do not edit. The gateways are those of tests/integration/labs/suites.yml, with real tunnels:
bullseye (Libreswan 4.3), bookworm (4.10), trixie (5.2). A line stands for a test that passed: the accident was named,
check mode foretold the actions, the gateway was as asked afterwards, and with a pluto every tunnel carried a ping.
Where an error is shown, the verb was right to refuse or to fail, and succeeded once the accident was mended.

The seconds are those of the slowest gateway, Ansible's included, with all gateways on one busy machine.
"""
OUTCOMES = pytest.StashKey[list[Outcome]]()
BUILDER = pytest.StashKey["subprocess.Popen[bytes]"]()
SUITES = ("bullseye", "bookworm", "trixie")


@pytest.fixture(scope="session")
def note_outcome(pytestconfig: pytest.Config) -> c.Callable[..., None]:
    """Return a function that adds a row, an Outcome, to the table at the end of the run."""
    table = pytestconfig.stash.setdefault(OUTCOMES, [])
    return lambda *row: table.append(Outcome(*row))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of outcomes, and keep it in tests/output/accidents.md; `make accidents` publishes it."""
    found = config.stash.get(OUTCOMES, [])
    if not found:
        return
    lines = [
        *RESULTS.splitlines(),
        "",
        "| accident | verb | suites | state before | what it did | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for (accident, verb), cases in itertools.groupby(found, key=lambda outcome: (outcome.accident, outcome.verb)):
        rows: dict[tuple[str, str, float], list[str]] = {}
        for case in cases:
            rows.setdefault((case.state, case.did, case.seconds), []).append(case.suite)
        for (state, said, seconds), suites in rows.items():
            did = said.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {accident} | {verb} | {', '.join(sorted(suites))} | {state} | {did} | {seconds:.0f} |")
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "accidents.md").write_text("\n".join((*lines, "")))
    terminalreporter.section("accidents")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def lab_name() -> c.Callable[[str], str]:
    """Return a function that names a lab of this session for a purpose (letters).

    Sessions side by side do not meet, and the labs of one that died are known by the process id in their names.
    """
    return lambda purpose: f"test{os.getpid()}{purpose}"


Up = c.Callable[[Path, str], Lab]


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, lab_name: c.Callable[[str], str]) -> c.Iterator[Up]:
    """Return a function (YAML file, purpose) that gives a lab which is up.

    The same purpose gives the same lab, whatever test asks. All are down when the session ends; when a test failed,
    their console logs are kept in tests/output/lab.
    """
    _remove_labs_of_dead_sessions()
    with _labs(request, lab_name) as up:
        yield up


@pytest.fixture(scope="module")
def own_lab(request: pytest.FixtureRequest, lab: Up, lab_name: c.Callable[[str], str]) -> c.Iterator[Up]:
    """Return the same for labs that no other module needs: they cost the rest of the session nothing."""
    with _labs(request, lab_name) as up:
        yield up


@contextlib.contextmanager
def _labs(request: pytest.FixtureRequest, lab_name: c.Callable[[str], str]) -> c.Iterator[Up]:
    labs: dict[str, Lab] = {}
    failures: dict[str, LabError] = {}

    def take_down(made: Lab) -> None:
        made.down(keep_logs=LOGS / made.name if request.session.testsfailed else None)

    with contextlib.ExitStack() as stack:

        def up(path: Path, purpose: str) -> Lab:
            if purpose in failures:
                raise failures[purpose]
            if purpose not in labs:
                wanted = Lab.load(path, lab_name(purpose))
                stack.callback(take_down, wanted)
                try:
                    wanted.up()
                except LabError as error:
                    failures[purpose] = error
                    raise
                labs[purpose] = wanted
            return labs[purpose]

        yield up


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to build the images that are missing: the tests before those of the lab leave a core idle.

    A lab waits for an image that another process builds, and builds it itself, and tells why not, when that one failed.
    """
    if any(item.get_closest_marker("lab") for item in session.items) and not session.config.option.collectonly:
        session.config.stash[BUILDER] = subprocess.Popen(
            [sys.executable, "-m", "lab", "build", *SUITES],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the builder, if the session is over before it is; what it had begun ends with it."""
    builder = config.stash.get(BUILDER, None)
    if builder is not None:
        builder.terminate()
        builder.wait()


def _remove_labs_of_dead_sessions() -> None:
    for name in known_labs():
        session = re.fullmatch(r"test(\d+)[a-z]*", name)
        if session and not Path("/proc", session[1]).exists():
            remove(name)
