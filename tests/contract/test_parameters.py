# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port Parameters: the fake one, and this machine's kernel in a network namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError
from fake_host import INTERFACES, FakeHost

if t.TYPE_CHECKING:
    from ansible_collections.xswan.ipsec.plugins.module_utils._router import Parameters

MODULE_UTILS = "ansible_collections.xswan.ipsec.plugins.module_utils"
ROOT = Path(__file__).resolve().parents[2]
CONF = "net/ipv4/conf"
START = {
    "net/ipv4/ip_forward": "0",
    f"{CONF}/all/accept_redirects": "1",
    f"{CONF}/eth0/forwarding": "0",
    f"{CONF}/lo/rp_filter": "0",
}
RUN = f"""
import json
from contract.test_parameters import story
from {MODULE_UTILS}._parameters import LocalParameters
print(json.dumps(story(LocalParameters())))
"""


def story(parameters: Parameters) -> list[t.Any]:
    """What a kernel answers, whichever it is."""

    def look() -> dict[str, str | None]:
        names = (*parameters.names(f"{CONF}/*/forwarding"), *parameters.names(f"{CONF}/*/accept_redirects"))
        return {name: parameters.read(name) for name in ("net/ipv4/ip_forward", *names)}

    for name, value in START.items():
        parameters.write(name, value)
    said: list[t.Any] = [look()]
    for name, value in (
        ("net/ipv4/ip_forward", "1"),
        (f"{CONF}/eth0/forwarding", "0"),
        # a switch that is where it is to be changes nothing
        ("net/ipv4/ip_forward", "1"),
        (f"{CONF}/all/forwarding", "0"),
        (f"{CONF}/eth0.7/rp_filter", "2"),
    ):
        parameters.write(name, value)
        said.append(look())
    said.append(parameters.names(f"{CONF}/*/rp_filter"))
    said.append([parameters.read(name) for name in (f"{CONF}/eth0.7/rp_filter", f"{CONF}/gone/rp_filter", "net/none")])
    for name, value in ((f"{CONF}/lo/rp_filter", "many"), (f"{CONF}/gone/rp_filter", "1")):
        try:
            parameters.write(name, value)
        except ConfigError as error:
            said.append(str(error).rpartition(":")[0])
    said.append(parameters.read(f"{CONF}/lo/rp_filter"))
    return said


def test_the_fake_kernel_is_like_the_real_one() -> None:
    links = "".join(f"ip link add {name} type bridge; " for name in INTERFACES if name.startswith("eth"))
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", f'{links} exec "$@"', "sh", sys.executable, "-c", RUN],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"{ROOT / '.ansible/collections'}:{ROOT / 'tests'}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(story(FakeHost().router().parameters)))
