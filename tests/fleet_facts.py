# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up fleets: what ipsec_status would return for each host, as Ansible registers it."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.xswan.ipsec.plugins.plugin_utils._fleet import Fleet, look_from

NOW = 1796000000
"""Seconds since the epoch, the moment of every made-up look."""
DAY = 86400

Result = dict[str, t.Any]


def address(number: int) -> str:
    """The address of a gateway by its number, of the nets for documentation and benchmarks."""
    return f"198.18.{number // 250}.{number % 250 + 1}"


def reason(identity: str, message: str, cure: str, log: str | None = None) -> dict[str, t.Any]:
    """Why a connection is not well."""
    return {"id": identity, "message": message, "cure": cure, "log": log}


NO_ANSWER = reason(
    "no-answer",
    "the peer does not answer",
    "see that UDP ports 500 and 4500 reach the peer, and that IPsec runs there",
    '"to-peer" #4: STATE_V2_PARENT_I1: retransmission; will wait 0.5 seconds for response',
)


def connection(local: str, remote: str, *, up: bool = True, traffic: tuple[int, int] = (0, 0), **more: t.Any) -> Result:
    """One value of `connections`: an established tunnel, or one with `up` false that no peer answers to."""
    sa = {
        "serial": 2,
        "connection": "c",
        "state": "established",
        "added": NOW - 3600,
        "bytes_in": traffic[0],
        "bytes_out": traffic[1],
        "rekey_in": 25000,
        "algorithms": "AES_GCM_16_256",
        "spi_in": "0xc0ffee01",
        "spi_out": "0xc0ffee02",
        "reqid": 16389,
        "peer": remote,
        "lease": None,
        "username": None,
    }
    ike = {
        "serial": 1,
        "state": "established",
        "version": 2,
        "established": NOW - 7200,
        "age": 7200,
        "algorithms": "AES_GCM_16_256-HMAC_SHA2_512-ECP_256",
        "rekey_in": 20000,
        "peer": remote,
        "initiator": True,
    }
    ends = {"subnets": [], "auth": "secret"}
    facts = {
        "declared": True,
        "auto": "start",
        "loaded": True,
        "routed": up,
        "established": up,
        "state": "established" if up else "connecting",
        "well": up,
        "reason": None if up else NO_ANSWER,
        "local": {
            "address": local,
            "id": local,
            "interface": "eth0",
            "certificate": None,
            "certificate_expires": None,
            **ends,
        },
        "remote": {"address": remote, "id": remote, **ends},
        "ike": ike if up else None,
        "child_sas": [sa] if up else [],
        "bytes_in": traffic[0] if up else 0,
        "bytes_out": traffic[1] if up else 0,
        "last_traffic": NOW - 40 if up and any(traffic) else None,
        "instances": 0,
        "expansions": 0,
    }
    return {**facts, **more}


def facts(own: str, connections: dict[str, Result] | None, **more: t.Any) -> Result:
    """The facts of a gateway that runs well; more of its keys by name."""
    values = list((connections or {}).values())
    found = {
        "at": NOW,
        "gathered": ["min", "daemon", "connections", "kernel", "host"],
        "state": "running",
        "running": True,
        "lines": ["IPsec running", "pluto pid 814"],
        "exit_status": 0,
        "lsb_status": 0,
        "findings": [],
        "program": "Libreswan",
        "version": "4.10",
        "pluto_pid": 814,
        "pluto_started": NOW - 3 * DAY - 4000,
        "connections_loaded": len(values),
        "tunnels_up": sum(bool(value["child_sas"]) for value in values),
        "bytes_in": sum(value["bytes_in"] for value in values),
        "bytes_out": sum(value["bytes_out"] for value in values),
        "listening": [
            {"interface": "lo", "address": "127.0.0.1", "port": 500, "protocol": "udp", "nat_t": False},
            {"interface": "eth0", "address": own, "port": 500, "protocol": "udp", "nat_t": False},
        ],
        "kernel": {
            "backend": "xfrm",
            "loaded": True,
            "sas": 2 * len(values),
            "larval": 0,
            "policies_in": len(values),
            "policies_out": len(values),
            "policies_fwd": len(values),
            "policies_socket": 8,
            "statistics": {},
        },
    }
    if connections is not None:
        found["connections"] = connections
    return {**found, **more}


def result(own: str, connections: dict[str, Result] | None = None, **more: t.Any) -> Result:
    """What a task registers for a gateway."""
    return {"changed": False, "failed": False, "ipsec": facts(own, connections, **more)}


def unreachable(message: str = "Failed to connect to the host via ssh: connect: No route to host") -> Result:
    """What a task registers for a host that does not answer."""
    return {"changed": False, "unreachable": True, "msg": message}


def hostvars(results: dict[str, Result | None]) -> dict[str, dict[str, t.Any]]:
    """The variables that the filters look at, the hosts with the addresses of `address`."""
    found: dict[str, dict[str, t.Any]] = {}
    for number, (name, value) in enumerate(results.items()):
        found[name] = {"ansible_host": address(number)}
        if value is not None:
            found[name]["ipsec_look"] = value
    return found


def mesh(count: int) -> dict[str, Result]:
    """A full mesh in which all is well."""
    names = [f"gw{number + 1}" for number in range(count)]
    found = {}
    for one in range(count):
        connections = {
            f"{names[one]}-{names[other]}": connection(address(one), address(other), traffic=_bytes(one, other))
            for other in range(count)
            if other != one
        }
        found[names[one]] = result(address(one), connections)
    return found


def _bytes(one: int, other: int) -> tuple[int, int]:
    """In and out, such that what one sends the other receives."""

    def sent(a: int, b: int) -> int:
        return (a + 3) * (b + 7) * 91_813 * (1 + (a * 7 + b) % 13)

    return sent(other, one), sent(one, other)


def office() -> dict[str, Result]:
    """Five gateways with one of each trouble."""
    found = mesh(5)
    ipsec = {name: value["ipsec"] for name, value in found.items()}

    def tunnel(one: str, other: str) -> Result:
        return t.cast("Result", ipsec[one]["connections"][f"{one}-{other}"])

    # gw1 and gw2 contradict each other: gw2 has lost it
    tunnel("gw2", "gw1").update(connection(address(1), address(0), up=False))
    # gw1 and gw3: down on both, declared on both
    for one, other in (("gw1", "gw3"), ("gw3", "gw1")):
        numbers = [int(name[2:]) - 1 for name in (one, other)]
        wrong = reason(
            "no-proposal",
            "the peer accepts none of our IKE proposals",
            "make ike= the same on both ends",
            f'"{one}-{other}" #9: NO_PROPOSAL_CHOSEN; no acceptable proposal from {address(numbers[1])}',
        )
        down = connection(*map(address, numbers), up=False, state="down", reason=wrong)
        tunnel(one, other).update(down)
    # gw2 and gw3: only one of them has it, and it is no longer in its configuration
    del ipsec["gw3"]["connections"]["gw3-gw2"]
    tunnel("gw2", "gw3").update(declared=False, auto=None)
    # gw3 and gw4: traffic goes one way
    tunnel("gw4", "gw3").update(bytes_in=0)
    # gw2 and gw4: idle, as it should be
    for one, other in (("gw2", "gw4"), ("gw4", "gw2")):
        numbers = [int(name[2:]) - 1 for name in (one, other)]
        idle = connection(*map(address, numbers), up=False, state="ondemand", well=True, reason=None, auto="ondemand")
        tunnel(one, other).update(idle)
    # outside the fleet
    ipsec["gw1"]["connections"]["customer-a"] = connection(address(0), "203.0.113.77", traffic=(4_100_000, 88_000_000))
    ipsec["gw1"]["connections"]["customer-b"] = connection(address(0), "203.0.113.9", up=False)
    ipsec["gw4"]["findings"] = [
        {
            "id": "upgraded",
            "severity": "warning",
            "message": "Pluto (pid 814) still runs a binary that was replaced on disk",
            "cure": "run ipsec_setup with state restarted in a maintenance window; its tunnels drop",
        }
    ]
    ipsec["gw4"].update(version="5.2")
    ipsec["gw4"]["kernel"]["statistics"] = {"XfrmInNoStates": 3}
    for other, days in (("gw1", 12), ("gw3", 400)):
        local = tunnel("gw4", other)["local"]
        local.update(certificate=f"gw4 for {other}", certificate_expires=NOW + days * DAY)
    found["gw5"] = unreachable()
    return found


def branches(count: int, hubs: int = 3) -> dict[str, Result]:
    """Branches that each have a tunnel to each hub, every 17th in trouble, and one branch in 90 unreachable."""
    found: dict[str, Result] = {}
    names = [f"hub{number + 1}" if number < hubs else f"branch-{number:03d}" for number in range(count)]
    connections: list[dict[str, Result]] = [{} for _name in names]
    for hub, branch in itertools.product(range(hubs), range(hubs, count)):
        name = f"{names[branch]}-{names[hub]}"
        for one, other in ((hub, branch), (branch, hub)):
            up = branch % 17 != 0 or (branch % 2 == 0 and hub > 0)
            connections[one][name] = connection(address(one), address(other), up=up, traffic=_bytes(one, other))
    for number, name in enumerate(names):
        dead = number >= hubs and number % 90 == 7
        version = "5.2" if number % 3 == 0 else "4.10"
        found[name] = unreachable() if dead else result(address(number), connections[number], version=version)
    return found


def fleet(results: dict[str, Result | None] | dict[str, Result], now: int = NOW + 20) -> Fleet:
    """The picture of such a fleet."""
    found = hostvars(dict(results))
    return Fleet(
        (look_from(name, value.get("ipsec_look"), value["ansible_host"]) for name, value in found.items()), now
    )
