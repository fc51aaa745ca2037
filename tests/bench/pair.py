# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways, Libreswan 4.10 and 5.2, with any number of tunnels between them, each with an IKE SA of its own.

So they are what a gateway has with so many peers. The same connections are laid out in the ways that are compared: the
role writes one file, the plain playbook one for each connection.
"""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import contextlib
import functools
import json
import random
import re
import typing as t

from bench.tools import cost, until, up
from lab import LabError
from lab.tools import progress
from traffic import Tunnel, give_addresses, started

if t.TYPE_CHECKING:
    from lab.lab import Gateway, Lab

LAB = """
gateways:
  bookworm: {suite: bookworm, wan: 192.0.2.1, lan: 10.1.0.0/24}
  trixie: {suite: trixie, wan: 192.0.2.2, lan: 10.2.0.0/24}
"""
CONF = "config setup\n\ninclude /etc/ipsec.d/*.conf\n"
FILES = "/etc/ipsec.conf /etc/ipsec.secrets /etc/ipsec.d/*.conf /var/lib/xswan-ipsec.json"
"""What IPsec has on a gateway, and what the role remembers of it."""
PATIENCE, MORE = 120.0, 1.0
"""Seconds that tunnels have to come up in, and as many more for each: plutos that start many at once give some up."""

Connection = dict[str, str]


class Pair:
    """The two gateways; `near` begins all tunnels, and it is the one that changes. `far` is its peer."""

    def __init__(self, lab: Lab, chance: random.Random) -> None:
        self.lab = lab
        self.near, self.far = lab.gateways.values()
        self.psk = f"{chance.getrandbits(160):040x}"
        """No secret: these gateways end with the run, and it has to be the same for the same seed."""
        self.tunnels: tuple[Tunnel, ...] = ()
        self.variables = lab.state / "bench.json"
        """The file of variables that the playbooks get."""

    @property
    def ends(self) -> tuple[Gateway, Gateway]:
        """Both, the one that only answers first."""
        return self.far, self.near

    def have(self, number: int) -> None:
        """Have so many tunnels from now on; nothing is written yet but their addresses."""
        self.tunnels = tuple(Tunnel(f"t{index}", self.near, self.far) for index in range(number))
        for gateway in self.ends:
            gateway.run("ip address flush dev lo scope global")
            give_addresses(gateway, self.tunnels)
        self.tell()

    def tell(self, only: c.Collection[str] = (), **more: str) -> None:
        """Write the variables for the playbooks; `only` these connections, with these keys besides on `near`."""
        connections = {
            gateway.name: [
                connection(tunnel, gateway, **(more if gateway is self.near else {}))
                for tunnel in self.tunnels
                if not only or tunnel.name in only
            ]
            for gateway in self.ends
        }
        self.variables.touch(0o600)
        self.variables.write_text(json.dumps({"bench_connections": connections, "bench_psk": self.psk}))

    def both(self, work: c.Callable[[Gateway], object]) -> None:
        """Do something on both gateways at once."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(work, self.ends))

    def playbook(self, name: str, *options: str) -> None:
        """Run a playbook on both gateways with these variables."""
        cost(self.lab, name, "-e", f"@{self.variables}", *options)

    def write(self, gateway: Gateway) -> None:
        """Write on a gateway what plain.yml would write, at once."""
        texts = {"/etc/ipsec.conf": CONF, "/etc/ipsec.secrets": f': PSK "{self.psk}"\n'}
        texts |= {f"/etc/ipsec.d/{tunnel.name}.conf": section(connection(tunnel, gateway)) for tunnel in self.tunnels}
        gateway.run(["python3", "-c", WRITER], stdin=json.dumps(texts))

    def change(self, tunnel: Tunnel, **more: str) -> None:
        """Write one connection of `near` anew, with these keys besides."""
        text = section(connection(tunnel, self.near, **more))
        self.near.run(f"cat >/etc/ipsec.d/{tunnel.name}.conf", stdin=text)

    def clear(self) -> None:
        """Leave neither files nor a pluto, as on a gateway that never had any."""
        self.both(lambda gateway: gateway.run(f"systemctl disable --now ipsec; rm -f {FILES}", timeout=180))

    def missing(self) -> set[str]:
        """The tunnels of which not both plutos have traffic counters, as they have of those that are up."""
        wanted = {tunnel.name for tunnel in self.tunnels}
        said = [gateway.run("ipsec whack --trafficstatus", check=False).stdout for gateway in self.ends]
        return wanted - set.intersection(*(set(re.findall(r'"(t\d+)"', text)) for text in said))

    def established(self) -> bool:
        """Whether all tunnels are up."""
        return not self.missing()

    @property
    def patience(self) -> float:
        """Seconds after which a tunnel that is not up counts as missing."""
        return PATIENCE + MORE * len(self.tunnels)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all tunnels are up, if they are in time."""
        return until(self.established, self.patience if seconds is None else seconds)

    def mend(self) -> None:
        """Have all tunnels up by hand, if some do not come by themselves; LabError when they cannot be had."""
        if self.wait(5):
            return
        for tunnel in self.tunnels:
            if not until(functools.partial(started, tunnel), 120):
                raise LabError(f"{tunnel.name}: cannot be started")


WRITER = """
import json, os, sys
for path, text in json.load(sys.stdin).items():
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600 if path.endswith("secrets") else 0o644)
"""


def connection(tunnel: Tunnel, own: Gateway, **more: str) -> Connection:
    """A tunnel as the role's variable has it. IKE is pinned: 4.x and 5.x guess different groups first.

    The script of leftupdown= would set no route that these tunnels need, and forks are what costs a User-mode Linux
    machine most: with it a restart takes much longer there than on a real gateway.
    """
    other = tunnel.right if own is tunnel.left else tunnel.left
    return {
        "name": tunnel.name,
        "left": str(own.spec.wan.ip),
        "leftid": f"@{tunnel.name}.{own.name}",
        "leftsubnet": f"{tunnel.address(own)}/32",
        "right": str(other.spec.wan.ip),
        "rightid": f"@{tunnel.name}.{other.name}",
        "rightsubnet": f"{tunnel.address(other)}/32",
        "authby": "secret",
        "ikev2": "insist",
        "ike": "aes256-sha2_256;dh19",
        "esp": "aes256-sha2_256",
        "leftupdown": "%disabled",
        "auto": "start" if own is tunnel.left else "add",
        **more,
    }


def section(one: Connection) -> str:
    """A connection as ipsec.conf has it, letter for letter as the plain playbook's template."""
    lines = [f"    {key}={value}\n" for key, value in one.items() if key != "name"]
    return "".join((f"conn {one['name']}\n", *lines))


@contextlib.contextmanager
def pair(chance: random.Random) -> c.Iterator[Pair]:
    """The two gateways, up, and down afterwards."""
    with up(LAB, "pair") as lab:
        yield Pair(lab, chance)


def by_hand(made: Pair, what: str) -> None:
    """Write the files of the plain layout, start IPsec, and have all tunnels up."""
    with progress(f"{what}: {len(made.tunnels)} tunnels up"):
        made.clear()
        made.both(made.write)
        for gateway in made.ends:
            gateway.run("systemctl enable --now ipsec", timeout=300)
        made.wait()
        made.mend()
