# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters that turn what ipsec_status told about each host into what people and Prometheus read.

Only this file knows Ansible's variables; the work is done by the pure files of plugin_utils.
"""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleError, AnsibleFilterError

from ..plugin_utils._fleet import Fleet, look_from
from ..plugin_utils._metrics import metrics
from ..plugin_utils._page import page
from ..plugin_utils._table import table


def _fleet(hostvars: t.Any, hosts: t.Any, variable: str) -> Fleet:
    if not isinstance(hostvars, t.Mapping) or not isinstance(hosts, (list, tuple)):
        raise AnsibleFilterError(
            f"expected hostvars and a list of host names, got {type(hostvars).__name__} and {type(hosts).__name__}"
        )
    return Fleet((_gateway(hostvars, host, variable) for host in hosts), time.time())


def _gateway(hostvars: t.Mapping[str, t.Any], host: str, variable: str) -> t.Any:
    variables = hostvars[host]
    try:
        address = variables.get("ansible_host")
    except AnsibleError:
        address = None  # a template that does not resolve: the host is known by its name alone
    return look_from(host, variables.get(variable), address)


def fleet_table(hostvars: t.Any, hosts: t.Any, variable: str = "ipsec_look") -> list[str]:
    """Lines for a terminal."""
    return table(_fleet(hostvars, hosts, variable))


def fleet_page(hostvars: t.Any, hosts: t.Any, variable: str = "ipsec_look") -> str:
    """One HTML page."""
    return page(_fleet(hostvars, hosts, variable))


def fleet_metrics(hostvars: t.Any, hosts: t.Any, variable: str = "ipsec_look") -> str:
    """Prometheus' text format."""
    return metrics(_fleet(hostvars, hosts, variable))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"fleet_table": fleet_table, "fleet_page": fleet_page, "fleet_metrics": fleet_metrics}
