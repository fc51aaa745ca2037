# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many tunnels between gateways of a lab: what pluto tells of them, and a stream of datagrams through each.

For tests and benchmarks. Each tunnel has an address of its own on `lo` of both its gateways.
"""

from __future__ import annotations

import collections.abc as c
import contextlib
import re
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from lab.lab import Gateway, Lab

ESP = re.compile(r'"(?P<name>t\d+)"\S* (?:esp|ah)\.(?P<spi>[0-9a-f]+)@')
IKE = re.compile(r'#(?P<serial>\d+): "(?P<name>t\d+)"\S*:\d+ (?:STATE_V2_)?ESTABLISHED_IKE_SA')
STREAM = Path(__file__).with_name("integration") / "files/stream.py"
INTERVAL: t.Final = 0.01
"""Seconds between two questions of a stream, unless told otherwise."""
WINDOW: t.Final = 20
"""Questions of a stream that may be without an answer, unless told otherwise; stream.py says why."""


class Tunnel(t.NamedTuple):
    """One of them, called t0, t1, ..., between two gateways; the first one starts it."""

    name: str
    left: Gateway
    right: Gateway

    def address(self, end: Gateway) -> str:
        """Its own address on a gateway, which is in no LAN of a lab: those end with their third number at 0."""
        return f"10.{end.spec.number}.{1 + int(self.name[1:])}.1"


class Sent(t.NamedTuple):
    """What went through a tunnel."""

    questions: int
    lost: int
    """Those without an answer."""
    seconds: float
    pause: float
    """The longest time without an answer, in seconds."""

    @property
    def rate(self) -> float:
        """Questions a second."""
        return self.questions / self.seconds


def give_addresses(gateway: Gateway, tunnels: c.Iterable[Tunnel]) -> None:
    """Give a gateway the addresses of its tunnels; `ip address flush dev lo scope global` takes them away."""
    own = [tunnel.address(gateway) for tunnel in tunnels if gateway in (tunnel.left, tunnel.right)]
    gateway.run("ip -batch -", stdin="".join(f"address add {address}/32 dev lo\n" for address in own))


def spis(gateway: Gateway) -> dict[str, frozenset[str]]:
    """The SPIs of each tunnel, as pluto tells them."""
    found: dict[str, set[str]] = {}
    for line in gateway.run("ipsec whack --status").stdout.splitlines():
        for match in ESP.finditer(line):
            found.setdefault(match["name"], set()).update(re.findall(r"(?:esp|ah)\.([0-9a-f]+)@", line))
    return {name: frozenset(values) for name, values in found.items()}


def ike_sas(gateway: Gateway) -> dict[int, str]:
    """The tunnels that have set up an IKE SA, which others may share, by the SA's serial number in this pluto."""
    status = gateway.run("ipsec whack --status").stdout
    return {int(match["serial"]): match["name"] for match in IKE.finditer(status)}


def carries(tunnel: Tunnel) -> bool:
    """Whether a ping crosses it and comes back."""
    argv = ["ping", "-n", "-c", "1", "-W", "2", "-I", tunnel.address(tunnel.left), tunnel.address(tunnel.right)]
    return tunnel.left.run(argv, check=False).returncode == 0


def started(tunnel: Tunnel) -> bool:
    """Whether it is up; if not, it is started by hand: plutos that start many at once give some of them up."""
    if carries(tunnel):
        return True
    tunnel.left.run(f"timeout 30 ipsec whack --name {tunnel.name} --initiate", check=False, timeout=60)
    return False


@contextlib.contextmanager
def streams(
    lab: Lab, tunnels: c.Iterable[Tunnel], interval: float = INTERVAL, window: int = WINDOW
) -> c.Iterator[dict[str, Sent]]:
    """A datagram at each interval through each of these tunnels, and back; afterwards what went through by name."""
    by_address = {tunnel.address(tunnel.right): tunnel for tunnel in tunnels}
    counts: dict[str, Sent] = {}
    # those that only answer first: nothing is to be sent to one that does not
    for gateway in reversed(lab.gateways.values()):
        gateway.run("cat >/tmp/stream.py", stdin=STREAM.read_text())
        words = [
            tunnel.address(gateway) + (f"={tunnel.address(tunnel.right)}" if tunnel.left is gateway else "")
            for tunnel in by_address.values()
            if gateway in (tunnel.left, tunnel.right)
        ]
        order = f"python3 /tmp/stream.py /tmp/counts {interval} {window} {' '.join(words)}"
        gateway.run(f"{order} >/tmp/stream.log 2>&1 </dev/null & echo $! >/tmp/stream")
        gateway.run("timeout 60 sh -c 'until grep -q ready /tmp/stream.log; do sleep 0.1; done'", timeout=90)
    try:
        yield counts
    finally:
        for gateway in lab.gateways.values():
            # they send no more, and answer a little longer
            gateway.run("kill -TERM $(cat /tmp/stream)")
    for gateway in lab.gateways.values():
        said = gateway.run(
            "while kill -0 $(cat /tmp/stream) 2>/dev/null; do sleep 0.2; done; cat /tmp/counts; cat /tmp/stream.log >&2"
        )
        for line in said.stdout.splitlines():
            there, sent, received, seconds, pause = line.split()
            lost = int(sent) - int(received)
            counts[by_address[there].name] = Sent(int(sent), lost, float(seconds), float(pause))
