# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every campaign on gateways needs: tunnels, the plain run that must mend all, and what came of it."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import contextlib
import functools
import itertools
import json
import re
import secrets
import signal
import subprocess
import tempfile
import typing as t
from pathlib import Path

from plutos import plutos

from lab import Lab, LabError
from lab.ansible import ad_hoc, playbook
from lab.lab import Gateway
from lab.tools import wait_until

FILES = Path(__file__).with_name("files")
CONVERGE = FILES / "converge.yml"
LOCK = "/run/xswan-ipsec.lock"
BACKUPS = 2
"""Of each file, by converge.yml."""

Result = t.TypeVar("Result")
Results = dict[str, dict[str, t.Any]]


LEFT_OVER = "left over: "
"""Before the name of what is, in a finding."""


class Row(t.NamedTuple):
    """What came of the faults of one kind."""

    campaign: str
    fault: str
    tried: int
    findings: tuple[str, ...] = ()
    """One for each that was not survived."""
    lost: int | None = None
    """Packets; None where none were sent all the time."""

    @property
    def left(self) -> int:
        """Files, processes, SAs, policies and interfaces that were left over."""
        return sum(finding.count(LEFT_OVER) for finding in self.findings)


def table(rows: c.Iterable[Row]) -> str:
    """The rows for a person, and for docs/faults.md."""
    lines = ["| campaign | fault | tried | survived | packets lost | left over |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        lost = "" if row.lost is None else row.lost
        survived = row.tried - len(row.findings)
        lines.append(f"| {row.campaign} | {row.fault} | {row.tried} | {survived} | {lost} | {row.left} |")
    return "\n".join(lines)


class Variant(t.NamedTuple):
    """A configuration of all gateways of a lab."""

    texts: dict[str, str]
    """ipsec.conf, by gateway."""
    secret: str
    """ipsec.secrets."""


def variant(lab: Lab, psk: str, extra: int = 0) -> Variant:
    """A tunnel between the LANs of each two gateways, and so many connections to nobody, which are only loaded."""
    texts = dict.fromkeys(lab.gateways, "config setup\n")
    for left, right in itertools.combinations(lab.gateways.values(), 2):
        # of two, one begins: were it both, there might be two tunnels, one of which ends at some time
        for own, auto in ((left, "start"), (right, "add")):
            texts[own.name] += (
                f"\nconn {left.name}-{right.name}\n"
                f"    left={left.spec.wan.ip}\n    leftsubnet={left.spec.lan}\n"
                f"    right={right.spec.wan.ip}\n    rightsubnet={right.spec.lan}\n"
                f"    authby=secret\n    ikev2=insist\n    retransmit-timeout=5s\n    auto={auto}\n"
            )
    more = "".join(
        f"\nconn extra{number}\n    left=%defaultroute\n    right=203.0.113.{number}\n    authby=secret\n    auto=add\n"
        for number in range(1, extra + 1)
    )
    return Variant({name: text + more for name, text in texts.items()}, f': PSK "{psk}"\n')


def new_psk() -> str:
    """A secret that nothing else holds."""
    return secrets.token_hex(20)


def each(lab: Lab, do: c.Callable[[Gateway], Result]) -> dict[str, Result]:
    """Do something on all gateways at once; the results by gateway."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(lab.gateways, pool.map(do, lab.gateways.values()), strict=True))


@contextlib.contextmanager
def variables(**values: t.Any) -> c.Iterator[str]:
    """An argument that gives Ansible these variables: in a file for us alone, for an argument list can be read."""
    with tempfile.NamedTemporaryFile("w", prefix="chaos-", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        yield f"@{file.name}"


def converge(lab: Lab, wanted: Variant) -> dict[str, dict[str, int]]:
    """The plain run: its recap. LabError when it fails anywhere."""
    with variables(**wanted._asdict()) as given:
        run = playbook(lab, CONVERGE, "-e", given)
    if run.status != 0:
        raise LabError(f"the plain run fails: {run.text}")
    return run.recap


def call(
    lab: Lab, module: str, args: dict[str, t.Any], *options: str, hosts: str = "gateways", **values: t.Any
) -> Results:
    """Call a module of the collection, with variables that its arguments may name; the results by gateway."""
    with variables(**values) as given:
        return ad_hoc(
            lab, f"xswan.ipsec.{module}", json.dumps(args) if args else "", "-e", given, *options, hosts=hosts
        )


def install(lab: Lab, wanted: Variant, hosts: str = "gateways", **args: t.Any) -> Results:
    """Install a variant's files, as the plain run does."""
    words = {"content": "{{ texts[inventory_hostname] }}", "secrets": "{{ secret }}", "record": True, "timeout": 300}
    return call(lab, "ipsec_config", {**words, "backups": BACKUPS, **args}, hosts=hosts, **wanted._asdict())


def setup(lab: Lab, state: str, hosts: str = "gateways", **args: t.Any) -> Results:
    """Call ipsec_setup."""
    return call(lab, "ipsec_setup", {"state": state, "start_timeout": 300, **args}, hosts=hosts)


def must(results: Results) -> Results:
    """LabError where one of them failed."""
    for name, result in results.items():
        if result["failed"]:
            raise LabError(f"{name}: {result['msg']}")
    return results


def _succeeds(command: c.Callable[[], subprocess.CompletedProcess[str]]) -> bool:
    return command().returncode == 0


def await_pings(lab: Lab) -> None:
    """Wait until one crosses the tunnel between each two gateways."""
    for here, there in itertools.combinations(lab.gateways.values(), 2):
        argv = ["ping", "-n", "-c", "1", "-W", "1", there.lan_host.address]

        ping = functools.partial(here.lan_host.run, argv, check=False)
        wait_until(functools.partial(_succeeds, ping), 120, f"a ping from {here.name}'s LAN to {there.name}'s")


class Pings:
    """Pings between two LANs for as long as the `with` block lasts; `lost` counts those that had no answer."""

    def __init__(self, here: Gateway, there: Gateway) -> None:
        self._argv = here.lan_host.command(["ping", "-n", "-i", "0.5", there.lan_host.address])
        self.sent = self.lost = 0

    def __enter__(self) -> t.Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        self._reader = concurrent.futures.ThreadPoolExecutor(1)
        self._text = self._reader.submit(lambda: self._process.communicate()[0])
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGINT)
        said = self._text.result(60)
        self._reader.shutdown()
        found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        if found is None:
            raise LabError(f"ping said no end: {said[-300:]}")
        self.sent = int(found[1])
        self.lost = self.sent - int(found[2])


LEFT = f"""
find /etc /var/lib /run -xdev \\( -name '*.xswan-*' -o -name '*.new' -path '*xswan*' \\) -print
ls -A /var/lib/xswan-ipsec 2>/dev/null
ls -d /etc/ipsec.conf.*~ 2>/dev/null | head -n -{BACKUPS}
ls -d /etc/ipsec.secrets.*~ 2>/dev/null | head -n -{BACKUPS}
pgrep -x addconn; pgrep -x unshare; pgrep -a python3
:
"""


def left_over(gateway: Gateway) -> list[str]:
    """Files and processes that no run that has ended leaves."""
    return gateway.run(LEFT).stdout.splitlines()


def failing(gateway: Gateway, wanted: Variant) -> t.Iterator[str]:
    """What is not as the variant has it, by the shell's word: files, one pluto that answers, and what is left over."""
    conf, secret = (gateway.run(["cat", f"/etc/ipsec.{name}"], check=False).stdout for name in ("conf", "secrets"))
    if conf != wanted.texts[gateway.name]:
        yield f"{gateway.name}: ipsec.conf is not the one that was installed"
    if secret != wanted.secret:
        yield f"{gateway.name}: ipsec.secrets is not the one that was installed"
    count = len(plutos(gateway))
    if count != 1:
        yield f"{gateway.name}: {count} plutos"
    if gateway.run(["flock", "--nonblock", LOCK, "true"], check=False).returncode != 0:
        yield f"{gateway.name}: somebody holds {LOCK}"
    for path in left_over(gateway):
        yield f"{gateway.name}: {LEFT_OVER}{path}"


def judged(lab: Lab, wanted: Variant) -> list[str]:
    """What is wrong after a fault and one plain run, on any gateway; empty when nothing is."""
    try:
        converge(lab, wanted)
        found = [what for told in each(lab, lambda gateway: list(failing(gateway, wanted))).values() for what in told]
        await_pings(lab)
    except LabError as error:
        return [str(error)]
    return found
