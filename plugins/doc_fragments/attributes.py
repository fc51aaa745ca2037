# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - psutil 5.8 or newer (Python library, on the gateway)
  - pyroute2 0.5.14 or newer (Python library, on the gateway), only to remove an ipsecN device that a dead pluto left,
    and for the subsets V(links) and V(all) of M(xswan.ipsec.ipsec_status)
  - Libreswan (on the gateway)
attributes:
  platform:
    description: Target OS families that can be operated against.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/xswan.ipsec.ipsec) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - xswan.ipsec.ipsec
"""

    CHANGES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would do without doing it.
    support: full
  diff_mode:
    description: Returns what changes in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
    support: partial
    details:
      - O(state=restarted) always restarts.
      - O(state=reloaded) starts a tunnel that is down at every run until its peer lets it come up.
"""

    CONFIG = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would do without doing it.
    support: full
    details:
      - The candidate is tried all the same.
  diff_mode:
    description: Returns what changes in diff mode.
    support: full
    details:
      - Secrets are not shown.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
    support: full
"""

    SETTINGS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would do without doing it.
    support: full
  diff_mode:
    description: Returns what changes in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
    support: full
"""

    FACTS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would do without doing it.
    support: full
    details:
      - This module only looks.
  diff_mode:
    description: Returns what changes in diff mode.
    support: N/A
    details:
      - This module only looks.
  facts:
    description: Returns C(ansible_facts), which are added to the host's facts.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
    support: full
"""
