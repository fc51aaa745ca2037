# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzing of every reader of what comes from outside: `make fuzz`, and a short fixed part with the unit tests.

What is held against a reader: that it raises anything but our own errors, that it does not end, that its result cannot
be written as JSON or is out of proportion, or that it would print what a terminal obeys.

Hypothesis draws where to begin and a random walk from there; each step of the walk is a case. What is found is made
smaller, and kept in corpus/, which the short part replays.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
import signal
import time
import typing as t
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import IPsecError
from chaos.mutate import LARGEST, step
from chaos.targets import Shown, Target, plain

if t.TYPE_CHECKING:
    import types

CORPUS = Path(__file__).parent / "corpus"
WALK = 16
"""Cases of a walk."""
CPU_S = 5.0
"""Processor seconds, not those of a clock, after which a reader of a few kilobytes is taken to hang."""
PROPORTION, ALLOWANCE = 100, 20_000
"""A result may have so many characters for each of its case, and so many besides."""
PUMPED = 8 * LARGEST
"""Characters of a case that is one piece again and again."""


MOST_PUMPED = 250
"""Such cases of a target."""


class HangError(BaseException):
    """A reader did not end. No Exception, for no reader may catch it."""


class WrongError(Exception):
    """A reader's result cannot be used."""


class Finding(t.NamedTuple):
    """What is wrong with a reader, and the case that shows it."""

    target: str
    what: str
    text: str

    @property
    def file(self) -> Path:
        """Where the corpus keeps it: as bytes, for what it holds is often no text that linters could read."""
        digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
        return CORPUS / self.target / f"{digest[:12]}.bin"


class _Caught:
    """Catches what a reader must not raise."""

    error: BaseException | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        self.error = error
        return isinstance(error, (Exception, HangError))


def _hang(_signal: int, _frame: types.FrameType | None) -> t.NoReturn:
    raise HangError


@contextlib.contextmanager
def watched() -> t.Iterator[None]:
    """Interrupt a case that does not end, in this thread of this process."""
    before = signal.signal(signal.SIGVTALRM, _hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def wrong(target: Target, text: str) -> str | None:
    """What is wrong with what a reader makes of a case; None when nothing is. Called inside `watched`."""
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    with _Caught() as caught:
        try:
            result = target.read(target.case(text))
        except IPsecError as exc:
            result = [str(exc), exc.details]
        _judge(result, len(text))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    error = caught.error
    if error is None:
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}" if trace is not None and not isinstance(error, HangError) else ""
    return f"{type(error).__name__}{where}"


def _judge(result: object, size: int) -> None:
    said = json.dumps(result, allow_nan=False, default=plain)
    if len(said) > PROPORTION * size + ALLOWANCE:
        raise WrongError(f"{len(said)} characters for {size}")
    for text in result if isinstance(result, list) else ():
        if isinstance(text, Shown) and not text.isprintable():
            raise WrongError(f"printed raw: {text!r}")


def walk(target: Target, start: str, number: int) -> t.Iterator[str]:
    """The cases of one walk."""
    chance = random.Random(number)
    text = start
    for _case in range(WALK):
        text = step(text, chance, target.seeds)
        yield text
        if chance.randrange(6) == 0:
            text = chance.choice(target.seeds)


def pumped(target: Target) -> t.Iterator[str]:
    """A piece of every line again and again: what takes a reader more than linear time becomes a hang."""
    seen: set[tuple[str, str]] = set()
    for seed in target.seeds:
        for line in seed.split("\n"):
            words = line.split(" ")
            pieces = (line, line + "\n", line[:1], words[0], words[-1] + " ", *(word[:3] for word in words[:2]))
            for piece in (*pieces, " ", '"', "'", "(", "9", "\n", "[", "a=b;"):
                key = (line[:12], piece[:12])
                if piece and key not in seen and len(seen) < MOST_PUMPED:
                    seen.add(key)
                    yield line[: len(line) // 2] + piece * (PUMPED // len(piece)) + line[len(line) // 2 :]


def fuzz(target: Target, cases: int, seed: int | None) -> tuple[int, list[Finding]]:
    """Try so many cases, at least; how many it were, and one finding of each sort. `seed` None: always the same."""
    starts = st.one_of(st.sampled_from(target.seeds), st.sampled_from(target.seeds), st.text(max_size=200))
    found: dict[str, Finding] = {}
    count = itertools.count()

    @settings(
        max_examples=max(1, -(-cases // WALK)),
        derandomize=seed is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(starts, st.integers(0, 2**64 - 1))
    def walks(start: str, number: int) -> None:
        for text in walk(target, start, number):
            next(count)
            what = wrong(target, text)
            if what is not None and what not in found:
                found[what] = Finding(target.name, what, smaller(target, text, what))

    with watched():
        if seed is None:
            walks()
        else:
            tries = 0
            # a round that Hypothesis ends early, having seen all there is, is followed by another one
            while tries == 0 or (next(count) < cases and tries < 40):
                hypothesis_seed(seed + tries)(walks)()
                tries += 1
            for text in pumped(target):
                next(count)
                what = wrong(target, text)
                if what is not None and what not in found:
                    found[what] = Finding(target.name, what, smaller(target, text, what))
    return next(count), list(found.values())


def smaller(target: Target, text: str, what: str, tries: int = 1500) -> str:
    """The same finding in less text: pieces are left out for as long as it stays."""
    if what == "HangError":
        return text
    size = len(text)
    while size and tries > 0:
        at = 0
        while at < len(text) and tries > 0:
            shorter = text[:at] + text[at + size :]
            tries -= 1
            if wrong(target, shorter) == what:
                text = shorter
            else:
                at += size
        size //= 2
    return text


def kept() -> list[tuple[str, str]]:
    """Target and text of every finding of the corpus."""
    files = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
    return [(path.parent.name, path.read_bytes().decode("utf-8", "surrogateescape")) for path in files]


def keep(finding: Finding) -> None:
    """Add it to the corpus."""
    finding.file.parent.mkdir(parents=True, exist_ok=True)
    finding.file.write_bytes(finding.text.encode("utf-8", "surrogateescape"))


def campaign(all_targets: t.Sequence[Target], cases: int, seed: int) -> int:
    """The long form: the number of findings. It prints a table, and keeps what it finds."""
    total = findings = 0
    weights = sum(target.weight for target in all_targets)
    began = time.monotonic()
    print(f"{'target':22}{'cases':>10}{'findings':>10}{'minutes':>9}", flush=True)
    for target in all_targets:
        start = time.monotonic()
        count, found = fuzz(target, cases * target.weight // weights + 1, seed)
        total, findings = total + count, findings + len(found)
        print(f"{target.name:22}{count:>10,}{len(found):>10}{(time.monotonic() - start) / 60:>9.1f}", flush=True)
        for finding in found:
            keep(finding)
            print(f"    {finding.what}: {finding.file.relative_to(CORPUS)}: {finding.text[:100]!r}", flush=True)
    print(f"{'all':22}{total:>10,}{findings:>10}{(time.monotonic() - began) / 60:>9.1f}   seed {seed}")
    return findings
