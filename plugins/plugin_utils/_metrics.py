# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet as Prometheus metrics, in the text format 0.0.4 that node_exporter's textfile collector reads. Pure.

Names, labels and meanings are a contract: docs/status.md lists them.
"""

from __future__ import annotations

import typing as t

from ._fleet import certificates

if t.TYPE_CHECKING:
    from ._fleet import Fleet, Gateway

Sample = tuple[str, dict[str, str], t.Optional[float]]
"""A metric's name without the prefix, its labels besides the gateway, and its value; None is not written."""

PREFIX = "xswan_ipsec_"
# What is a counter ends in _total. Bytes are gauges: they fall when a Child SA is replaced.
METRICS = {
    "look_success": "Whether the gateway could be looked at.",
    "look_timestamp_seconds": "When the gateway was looked at, in seconds since the epoch.",
    "running": "Whether IPsec runs as it should.",
    "state_info": "The state of IPsec, as its label.",
    "program_info": "The IPsec program and its version, as its label.",
    "pluto_start_time_seconds": "When pluto was started, in seconds since the epoch.",
    "findings": "What is strange about the gateway, by severity.",
    "finding_info": "A strange thing about the gateway, as its label.",
    "connections_loaded": "Connections that pluto holds.",
    "tunnels_up": "Connections with at least one established Child SA.",
    "receive_bytes": "Bytes that came in through the Child SAs that are established now.",
    "transmit_bytes": "Bytes that went out through the Child SAs that are established now.",
    "connection_well": "Whether the connection is as the configuration wants it.",
    "connection_declared": "Whether the connection is in the configuration.",
    "connection_established": "Whether all of the connection is established.",
    "connection_state_info": "The connection's peer, its state, and the reason when it is not well, as labels.",
    "connection_child_sas": "Established Child SAs of the connection.",
    "connection_receive_bytes": "Bytes that came in through the connection's Child SAs that are established now.",
    "connection_transmit_bytes": "Bytes that went out through the connection's Child SAs that are established now.",
    "connection_last_traffic_timestamp_seconds": "When traffic last went through, in seconds since the epoch.",
    "certificate_expiry_timestamp_seconds": "When a certificate of the gateway expires, in seconds since the epoch.",
    "kernel_sas": "SAs in the kernel.",
    "kernel_larval_sas": "SAs in the kernel that wait for a key exchange.",
    "kernel_policies": "Policies in the kernel, by direction.",
    "kernel_xfrm_errors_total": "Packets that the kernel's IPsec dropped since it booted, by counter of xfrm_stat.",
}


def metrics(fleet: Fleet) -> str:
    """All metrics of all gateways, each gateway as the label `gateway`."""
    found: dict[str, dict[str, float]] = {name: {} for name in METRICS}
    for gateway in fleet.gateways:
        for name, labels, value in _samples(fleet, gateway):
            if value is not None:
                # of two samples with the same labels, which would spoil the file, the first stays
                found[name].setdefault(_labels({"gateway": gateway.name, **labels}), value)
    lines = []
    for name, samples in found.items():
        if samples:
            full = PREFIX + name
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {full} {METRICS[name]}", f"# TYPE {full} {kind}"]
            lines += [f"{full}{labels} {value}" for labels, value in samples.items()]
    return "".join(line + "\n" for line in lines)


def _samples(fleet: Fleet, gateway: Gateway) -> t.Iterator[Sample]:
    yield "look_success", {}, int(gateway.seen)
    yield "state_info", {"state": gateway.word}, 1
    if not gateway.seen:
        return
    yield "look_timestamp_seconds", {}, gateway.at
    yield "running", {}, int(gateway.word == "running")
    if gateway.version:
        yield "program_info", {"version": gateway.version}, 1
    yield "pluto_start_time_seconds", {}, gateway.started
    for severity in ("error", "warning"):
        yield "findings", {"severity": severity}, sum(finding.severity == severity for finding in gateway.findings)
    for finding in gateway.findings:
        yield "finding_info", {"id": finding.id, "severity": finding.severity}, 1
    yield "connections_loaded", {}, gateway.loaded
    yield "tunnels_up", {}, gateway.up
    yield "receive_bytes", {}, gateway.traffic.received
    yield "transmit_bytes", {}, gateway.traffic.sent
    for tunnel in gateway.tunnels or ():
        labels = {"connection": tunnel.name}
        yield "connection_well", labels, int(tunnel.well)
        yield "connection_declared", labels, int(tunnel.declared)
        yield "connection_established", labels, int(tunnel.state == "established")
        words = {
            "peer": fleet.peer(gateway, tunnel) or tunnel.remote or "",
            "state": tunnel.state,
            "reason": tunnel.reason.id if tunnel.reason else "",
        }
        yield "connection_state_info", {**labels, **words}, 1
        yield "connection_child_sas", labels, len(tunnel.children)
        yield "connection_receive_bytes", labels, tunnel.traffic.received
        yield "connection_transmit_bytes", labels, tunnel.traffic.sent
        yield "connection_last_traffic_timestamp_seconds", labels, tunnel.last_traffic
    for certificate, expires in certificates(gateway):
        yield "certificate_expiry_timestamp_seconds", {"certificate": certificate}, expires
    yield "kernel_sas", {}, gateway.sas
    yield "kernel_larval_sas", {}, gateway.larval
    for direction, count in gateway.policies:
        yield "kernel_policies", {"direction": direction}, count
    for counter, count in gateway.xfrm_errors:
        yield "kernel_xfrm_errors_total", {"counter": counter}, count


def _labels(labels: dict[str, str]) -> str:
    pairs = (f'{key}="{_escape(value)}"' for key, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
