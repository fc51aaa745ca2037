# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m chaos fuzz faults`: the long forms of the campaigns. A campaign on gateways would be one word more."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from walks import SEED

from chaos import calls, fuzz
from chaos.targets import targets


def main() -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="chaos", description="Campaigns of faults that need no gateway.")
    parser.add_argument("campaigns", nargs="+", choices=("fuzz", "faults"))
    parser.add_argument("--cases", type=int, default=1_000_000, help="of fuzzing, over all targets (1000000)")
    parser.add_argument("--only", action="append", help="only this target or operation; more than once for more")
    args = parser.parse_args()
    findings = 0
    if "fuzz" in args.campaigns:
        findings += _fuzz(args.cases, args.only)
    if "faults" in args.campaigns:
        why = calls.missing()
        if why is not None:
            parser.error(why)
        findings += calls.campaign(args.only)
    return 1 if findings else 0


def _fuzz(cases: int, only: list[str] | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        chosen = [one for one in targets(Path(folder)) if only is None or one.name in only]
        return fuzz.campaign(chosen, cases, SEED)


if __name__ == "__main__":
    sys.exit(main())
