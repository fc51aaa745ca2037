# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts: gateways are killed at each thing that a verb does, in turn, and booted again.

files/witness.py has a module stand still before the effect of a number, and tells so on the console; then the host ends
the machine, and with it all that the guest had not yet written to its disk. A command that takes long is also met after
a random delay, while it runs. The image's file system has a journal, which the kernel replays at boot.

What is held against the product: a file that is neither old nor new, nor a known backup; a plain run that fails, that
does not come to where it should, or leaves something; a second one that finds more to do; a ping that does not cross.
"""

from __future__ import annotations

import base64
import collections.abc as c
import concurrent.futures
import contextlib
import json
import random
import re
import time
import typing as t

from chaos.gateways import (
    FILES,
    Results,
    Row,
    Variant,
    call,
    converge,
    each,
    install,
    judged,
    must,
    new_psk,
    setup,
    variant,
)
from lab import Lab, LabError
from lab.lab import Gateway
from lab.tools import wait_until

ARMED = "/run/xswan-witness"
PACKAGES = "/usr/lib/python3/dist-packages"
INSTALL = f"cat >{PACKAGES}/xswan_witness.py; echo import xswan_witness >{PACKAGES}/xswan_witness.pth; sync"
REMOVE = f"rm -f {PACKAGES}/xswan_witness.* {ARMED}"
TOLD = re.compile(r"^witness: (\d+) (.*?)\r?$", re.MULTILINE)
UNTIL_TOLD = 300
LONGEST_DELAY = 4.0
"""Seconds after the beginning of a command that takes long."""
FILES_NOW = r"""
for file in /etc/ipsec.conf* /etc/ipsec.secrets* /var/lib/xswan-ipsec.json* /var/lib/xswan-ipsec/*.json*; do
    [ ! -f "$file" ] || printf '%s %s\n' "$(base64 -w 0 "$file")" "$file"
done
"""
TEMPORARY = (".xswan-new", ".new")
"""A file that is still being written may be anything."""


class Verb(t.NamedTuple):
    """What a gateway does when the power goes; before, it runs by the first of two variants."""

    name: str
    prepare: c.Callable[[Lab, Variant, Variant], object]
    do: c.Callable[[Lab, Variant], Results]


def _stop(lab: Lab, _old: Variant, _new: Variant) -> None:
    each(lab, lambda gateway: gateway.run("systemctl stop ipsec", timeout=120))


def _write(lab: Lab, _old: Variant, new: Variant) -> None:
    each(lab, lambda gateway: gateway.run("cat >/etc/ipsec.conf", stdin=new.texts[gateway.name]))


def _ready(_lab: Lab, _old: Variant, _new: Variant) -> None:
    """It runs by the old one, and that is all that it takes."""


def _forget(lab: Lab, _old: Variant, _new: Variant) -> None:
    """As if nothing had ever been installed; the pluto that runs takes no notice."""
    must(call(lab, "ipsec_config", {"state": "absent"}))


VERBS = (
    Verb("start", _stop, lambda lab, _new: setup(lab, "started")),
    Verb("stop", _ready, lambda lab, _new: setup(lab, "stopped")),
    Verb("reload", _write, lambda lab, _new: setup(lab, "reloaded")),
    Verb("config", _ready, install),
    Verb("first config", _forget, install),
    Verb("config, to be confirmed", _ready, lambda lab, new: install(lab, new, confirm_timeout=3600)),
)


class Cut(t.NamedTuple):
    """One power cut, on every gateway at once."""

    effects: dict[str, int]
    """By gateway, the number of what is about to be done."""
    delay: float | None = None
    """Seconds after it was begun; None before it is."""


def told(gateway: Gateway, since: int) -> list[str]:
    """What the console has been told since it was so long: of each module, its effects in order."""
    return [match[2] for match in TOLD.finditer(said(gateway, since))]


def said(gateway: Gateway, since: int) -> str:
    """What came to the console since it was so long."""
    return gateway.console_log.read_bytes()[since:].decode(errors="replace")


def watched(lab: Lab, verb: Verb, old: Variant, new: Variant) -> dict[str, list[str]]:
    """What the verb does when nothing befalls it, by gateway."""
    since, _before = _prepared(lab, verb, old, new, dict.fromkeys(lab.gateways, 0))
    must(verb.do(lab, new))
    return each(lab, lambda gateway: told(gateway, since[gateway.name]))


def _prepared(
    lab: Lab, verb: Verb, old: Variant, new: Variant, stop_at: dict[str, int]
) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """Get ready, and arm the witness; how long each console was then, and what the files were."""
    verb.prepare(lab, old, new)

    def arm(gateway: Gateway) -> int:
        gateway.run(f"sync; echo {stop_at[gateway.name]} >{ARMED}")
        return gateway.console_log.stat().st_size

    return each(lab, arm), each(lab, files)


def cut(lab: Lab, verb: Verb, old: Variant, new: Variant, power: Cut) -> list[str]:
    """Cut the power once, boot, and say what is wrong then."""
    stop_at = power.effects if power.delay is None else dict.fromkeys(lab.gateways, 0)
    since, before = _prepared(lab, verb, old, new, stop_at)

    def kill(gateway: Gateway) -> str:
        begun = f"witness: {power.effects[gateway.name]} "
        try:
            wait_until(
                lambda: begun in said(gateway, since[gateway.name]), UNTIL_TOLD, f"{gateway.name}: {begun}", every=0.02
            )
            time.sleep(power.delay or 0)
        except LabError as error:
            return f"the step was not reached: {error}"
        finally:
            gateway.kill()
        return ""

    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            doing = pool.submit(verb.do, lab, new)
            try:
                missed = each(lab, kill)
            finally:
                _ended(doing)
    finally:
        each(lab, Gateway.boot)
    found = [why for why in missed.values() if why]
    found += [
        what
        for whats in each(lab, lambda gateway: between(gateway, before[gateway.name], new)).values()
        for what in whats
    ]
    return found + judged(lab, new)


def _ended(doing: concurrent.futures.Future[t.Any]) -> None:
    """Wait for a run whose gateways are gone; what it says of that is not the subject."""
    with contextlib.suppress(LabError):
        doing.result()


def files(gateway: Gateway) -> dict[str, str]:
    """What the files are that the product writes, by path."""
    lines = gateway.run(FILES_NOW).stdout.splitlines()
    return {
        path: base64.b64decode(content).decode() for content, _blank, path in (line.partition(" ") for line in lines)
    }


def between(gateway: Gateway, before: dict[str, str], new: Variant) -> list[str]:
    """The files after a power cut that are neither old nor new; `before` is what was there before the verb."""
    known = {*before.values(), new.texts[gateway.name], new.secret}
    return [
        f"{gateway.name}: {path} is neither old nor new"
        for path, text in files(gateway).items()
        if not (text in known or path.endswith(TEMPORARY) or (".json" in path and is_whole(text)))
    ]


def is_whole(text: str) -> bool:
    """Whether it is a whole JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def cuts(effects: dict[str, list[str]], walk: random.Random, choose: c.Callable[[str], bool]) -> c.Iterator[Cut]:
    """Before each effect in turn, and after the beginning of each command; where one gateway does less, its last."""
    numbers = {
        name: [number for number, what in enumerate(whats, 1) if choose(what)] for name, whats in effects.items()
    }
    for turn in range(max(map(len, numbers.values()))):
        these = {name: mine[min(turn, len(mine) - 1)] for name, mine in numbers.items()}
        yield Cut(these)
        if any(effects[name][number - 1].startswith("run ") for name, number in these.items()):
            yield Cut(these, walk.uniform(0, LONGEST_DELAY))


def campaign(
    lab: Lab, seed: int, verbs: c.Collection[str] = (), choose: c.Callable[[str], bool] = lambda _what: True
) -> list[Row]:
    """Cut the power at each chosen effect of the verbs (all, if none is named); a row for each verb."""
    walk = random.Random(seed)
    code = (FILES / "witness.py").read_text()
    old, new = variant(lab, new_psk()), variant(lab, new_psk(), extra=1)
    rows = []
    try:
        each(lab, lambda gateway: gateway.run(INSTALL, stdin=code))
        converge(lab, old)
        for verb in VERBS:
            if verbs and verb.name not in verbs:
                continue
            effects = watched(lab, verb, old, new)
            converge(lab, old)
            tried, found = 0, list[str]()
            for power in cuts(effects, walk, choose):
                wrong = cut(lab, verb, old, new, power)
                # what a case leaves is what the next one begins with
                old, new = new, old
                tried += 1
                where = _where(effects, power)
                print(f"power: {verb.name}: {where}: {'; '.join(wrong) or 'survived'}", flush=True)
                if wrong:
                    found.append(f"{verb.name}: {where}: {'; '.join(wrong)}")
            rows.append(Row("power", f"both gateways cut in {verb.name}", tried, tuple(found)))
    finally:
        each(lab, lambda gateway: gateway.run(REMOVE))
    return rows


def _where(effects: dict[str, list[str]], power: Cut) -> str:
    whats = {effects[name][number - 1] for name, number in power.effects.items()}
    when = "before" if power.delay is None else f"{power.delay:.1f} s into"
    return f"{when} {' / '.join(sorted(whats))}"
