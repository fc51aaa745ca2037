# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics as Prometheus' own Python client reads them."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import fleet_facts as made_up
from ansible_collections.xswan.ipsec.plugins.plugin_utils._metrics import METRICS, PREFIX, metrics
from fleet_facts import NOW, address, connection, fleet, result

DOCUMENT = Path(__file__).resolve().parents[4] / "docs/status.md"


def parse(text: str) -> dict[str, Metric]:
    """Return the metrics by name; two of one name, or two samples with the same labels, would spoil the file."""
    found: dict[str, Metric] = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found
        labels = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(labels) == len(set(labels)), family.name
        found[family.name] = family
    return found


def values(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by the values of its labels, in the labels' order."""
    return {tuple(sample.labels.values()): sample.value for sample in parse(text)[PREFIX + name].samples}


@pytest.mark.parametrize("results", [made_up.mesh(3), made_up.office(), made_up.branches(500)], ids=["3", "5", "500"])
def test_every_line_parses_and_every_metric_has_help_and_type(results: dict[str, t.Any]) -> None:
    text = metrics(fleet(results))
    families = parse(text)
    assert sum(len(family.samples) for family in families.values()) == sum(
        not x.startswith("#") for x in text.splitlines()
    )
    assert text.endswith("\n")
    for family in families.values():
        assert family.documentation
        assert family.type == ("counter" if family.name == PREFIX + "kernel_xfrm_errors" else "gauge")
    assert values(text, "look_success").keys() == {(name,) for name in results}


def test_values() -> None:
    text = metrics(fleet(made_up.office()))
    assert values(text, "look_success") == {("gw1",): 1, ("gw2",): 1, ("gw3",): 1, ("gw4",): 1, ("gw5",): 0}
    assert values(text, "state_info")["gw5", "unreachable"] == 1
    assert values(text, "look_timestamp_seconds")["gw1",] == NOW
    assert ("gw5",) not in values(text, "running")
    assert values(text, "program_info")["gw4", "Libreswan 5.2"] == 1
    assert values(text, "findings")["gw4", "warning"] == 1
    assert values(text, "findings")["gw1", "error"] == 0
    assert values(text, "connection_well")["gw1", "gw1-gw3"] == 0
    assert values(text, "connection_well")["gw2", "gw2-gw4"] == 1
    assert values(text, "connection_declared")["gw2", "gw2-gw3"] == 0
    assert values(text, "connection_state_info")["gw1", "gw1-gw3", "gw3", "down", "no-proposal"] == 1
    assert values(text, "connection_state_info")["gw1", "customer-a", "203.0.113.77", "established", ""] == 1
    assert values(text, "connection_transmit_bytes")["gw1", "customer-a"] == 88_000_000
    assert values(text, "certificate_expiry_timestamp_seconds")["gw4", "gw4 for gw1"] == NOW + 12 * made_up.DAY
    assert values(text, "kernel_policies")["gw1", "socket"] == 8
    assert values(text, "kernel_xfrm_errors") == {("gw4", "XfrmInNoStates"): 3}


def test_hostile_names_stay_labels() -> None:
    name = 'a"} 1\nevil{x="\\'
    text = metrics(fleet({"gw1": result(address(0), {name: connection(address(0), "203.0.113.1")})}))
    assert values(text, "connection_well") == {("gw1", name.replace("\n", " ")): 1}


def test_a_certificate_that_two_files_share_a_name_for_is_counted_by_the_first_to_expire() -> None:
    tunnels = {}
    for name, days in (("a", 300), ("b", 3)):
        tunnels[name] = connection(address(0), "203.0.113.1")
        tunnels[name]["local"].update(certificate="gw", certificate_expires=NOW + days * made_up.DAY)
    text = metrics(fleet({"gw1": result(address(0), tunnels)}))
    assert values(text, "certificate_expiry_timestamp_seconds") == {("gw1", "gw"): NOW + 3 * made_up.DAY}


def test_the_document_lists_these_metrics() -> None:
    """Names and labels are a contract."""
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]*) \| (.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: (labels, text) for name, labels, text in rows}
    families = parse(metrics(fleet(made_up.office())))
    made: dict[str, tuple[str, str]] = {}
    for family in families.values():
        labels = [label for label in family.samples[0].labels if label != "gateway"]
        made[family.samples[0].name] = (", ".join(labels), family.documentation)
    assert documented == made
    assert made.keys() == {PREFIX + name for name in METRICS}
