# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration behind `make demo`: two gateways, one playbook, one tunnel, and what the gateways say of it."""

from __future__ import annotations

import sys
from pathlib import Path

from lab import Lab, LabError
from lab.ansible import ad_hoc, playbook
from lab.lab import known_labs

DEMO = Path(__file__).parent
COLUMNS = (
    ("gateway", lambda name, facts: name),
    ("program", lambda name, facts: f"{facts['program']} {facts['version']}"),
    ("state", lambda name, facts: facts["state"]),
    ("pluto pid", lambda name, facts: facts["pluto_pid"]),
    ("tunnels up", lambda name, facts: facts["tunnels_up"]),
    ("bytes in", lambda name, facts: facts["bytes_in"]),
    ("bytes out", lambda name, facts: facts["bytes_out"]),
)


def main(name: str) -> None:
    """Bring lab `name` up unless it is, run the playbook twice, and show the facts."""
    lab = Lab.load(DEMO / "lab.yml", name)
    if name in known_labs() and all(gateway.machine.alive() for gateway in lab.gateways.values()):
        say(f"lab {name} is up: taken as it is")
    else:
        lab.down()
        lab.up()

    say("the playbook: packages, configuration, IPsec started, tunnel up, ping through it")
    converge(lab)
    say("the same playbook again: it must change nothing")
    changed = {host: counts["changed"] for host, counts in converge(lab).items()}
    if any(changed.values()):
        raise LabError(f"the second run of the playbook changed something: {changed}")

    say("what the gateways say (xswan.ipsec.ipsec_status)")
    facts = {host: result["ipsec"] for host, result in sorted(ad_hoc(lab, "xswan.ipsec.ipsec_status").items())}
    rows = [[title for title, _value in COLUMNS]]
    rows += [[str(value(host, facts[host])) for _title, value in COLUMNS] for host in facts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    more = "" if name == "demo" else f" LAB={name}"
    print(f"\nThe lab stays up. Log in:  make ssh GW=gw1{more}\nTake it down:              make clean-lab{more}")


def converge(lab: Lab) -> dict[str, dict[str, int]]:
    """Run the playbook; LabError when it fails."""
    run = playbook(lab, DEMO / "site.yml", echo=True)
    if run.status != 0:
        raise LabError(f"the playbook failed (exit status {run.status}); the lab stays up: `make ssh GW=gw1`")
    return run.recap


def say(text: str) -> None:
    """A headline."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LabError as error:
        sys.exit(f"demo: {error}")
