# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks over accidents, faults and verbs in any order, on the fake gateway: no way leads to one that is wedged."""

from __future__ import annotations

import random

import pytest
from accidents import HEALTHY, STRANGE, Accident, not_installed
from walks import SEED

from ansible_collections.xswan.ipsec.plugins.module_utils._converge import converge
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, IPsecError, KernelError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Desired
from ansible_collections.xswan.ipsec.plugins.module_utils._observe import observe
from ansible_collections.xswan.ipsec.plugins.module_utils._status import assess
from fake_host import FakeHost

WALKS = 200
VERBS = (Desired(running=True), Desired(running=False), Desired(running=True, restart=True))
FAULTS = ("start", "stop", "end", "write_lock", "listen", "remove_leftovers", "clean", "load")
ACCIDENTS = tuple(accident for accident in (*HEALTHY, *STRANGE) if accident is not not_installed)


@pytest.mark.parametrize("number", range(WALKS))
def test_walk(number: int) -> None:
    """The seed is at the top of the run, the number in the name of the test, the moves so far in its failure."""
    walk = random.Random(f"{SEED} {number}")
    fake = FakeHost()
    moves: list[str] = []
    for _move in range(walk.randint(10, 20)):
        kind = walk.choice(("accident", "accident", "verb", "verb", "fault"))
        if kind == "accident":
            befall(walk.choice(ACCIDENTS), fake, moves)
        elif kind == "verb":
            ask(walk.choice(VERBS), fake, moves)
        else:
            ask_in_vain(walk.choice(VERBS), walk.choice(FAULTS), fake, moves)
    for desired in VERBS:
        ask(desired, fake, moves)


def befall(accident: Accident, fake: FakeHost, moves: list[str]) -> None:
    """The next accident, upon all before it."""
    moves.append(accident.__name__)
    accident(fake)


def ask(desired: Desired, fake: FakeHost, moves: list[str]) -> None:
    """A verb brings the gateway where it should be, by the steps that check mode foretells."""
    moves.append(f"running={desired.running} restart={desired.restart}")
    before = [pluto.identity for pluto in fake.plutos]
    try:
        foretold = converge(desired, fake.host(), check_mode=True)
    except (ConfigError, KernelError):
        assert desired.running, moves
        unstartable = fake.stranger is not None or fake.config_missing or fake.config_error is not None
        assert unstartable or not fake.xfrm_available, moves
        moves.append("the cause is mended")
        fake.stranger, fake.config_missing, fake.config_error, fake.xfrm_available = None, False, None, True
        foretold = converge(desired, fake.host(), check_mode=True)
    done = converge(desired, fake.host(), check_mode=False)
    assert done.actions == foretold.actions, moves
    assert len(fake.plutos) == bool(desired.running), moves
    assert assess(observe(fake.host())).errors == frozenset(), moves
    assert converge(desired.settled(), fake.host(), check_mode=False).actions == (), moves
    if desired.restart:
        assert fake.plutos[0].identity not in before, moves


def ask_in_vain(desired: Desired, fault: str, fake: FakeHost, moves: list[str]) -> None:
    """A verb meets a fault, when it comes that far; what it says to have done is a beginning of what was foretold."""
    moves.append(f"running={desired.running} restart={desired.restart} with a fault in {fault}")
    fake.fail = fault
    foretold: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    try:
        foretold = converge(desired, fake.host(), check_mode=True).actions
        done = converge(desired, fake.host(), check_mode=False).actions
    except IPsecError as error:
        done = error.done
    finally:
        fake.fail = None
    assert done == foretold[: len(done)], moves
