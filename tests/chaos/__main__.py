# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m chaos fuzz`: the long form of fuzzing. More campaigns are more words."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from walks import SEED

from chaos import fuzz
from chaos.targets import targets


def main() -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="chaos", description="Campaigns of faults that need no gateway.")
    parser.add_argument("campaign", choices=("fuzz",))
    parser.add_argument("--cases", type=int, default=1_000_000, help="of fuzzing, over all targets (1000000)")
    parser.add_argument("--target", action="append", help="only this one; more than once for more")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [one for one in targets(Path(folder)) if args.target is None or one.name in args.target]
        return 1 if fuzz.campaign(chosen, args.cases, SEED) else 0


if __name__ == "__main__":
    sys.exit(main())
