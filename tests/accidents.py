# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can befall a gateway, on the fake one: each accident is a function that makes it happen."""

from __future__ import annotations

import typing as t

from ansible_collections.xswan.ipsec.plugins.module_utils._model import Leftovers, Stranger
from fake_host import FakeHost


def stopped(fake: FakeHost) -> None:
    """Nothing runs."""


def running(fake: FakeHost) -> None:
    """All is well."""
    fake.run_pluto()


def enabled(fake: FakeHost) -> None:
    """Stopped, and to be started at boot."""
    fake.enabled = True


def no_xfrm(fake: FakeHost) -> None:
    """The kernel's XFRM interface is not loaded."""
    fake.xfrm_loaded = False


def orphaned(fake: FakeHost) -> None:
    """The lock file is gone."""
    fake.run_pluto()
    fake.lock_present, fake.lock_pid = False, None


def emptied_lock(fake: FakeHost) -> None:
    """The lock file is empty."""
    fake.run_pluto()
    fake.lock_pid = None


def illicit(fake: FakeHost) -> None:
    """The lock file names another process."""
    fake.run_pluto()
    fake.lock_pid = 12


def illicit_reused(fake: FakeHost) -> None:
    """The lock file names another process, which lives and is not pluto."""
    illicit(fake)
    fake.foreign_pids = {12}


def several(fake: FakeHost) -> None:
    """A second pluto took lock file and socket from the first."""
    fake.run_pluto()
    fake.run_pluto(by_unit=False)


def unreachable(fake: FakeHost) -> None:
    """The control socket is gone."""
    fake.run_pluto()
    fake.control_present, fake.control_pid = False, None


def hung(fake: FakeHost) -> None:
    """Pluto does not answer."""
    fake.run_pluto()
    fake.hung = True


def hung_by_hand(fake: FakeHost) -> None:
    """A pluto that the manager does not know does not answer."""
    fake.run_pluto(by_unit=False)
    fake.hung = True


def deaf(fake: FakeHost) -> None:
    """Pluto was started before there was an address."""
    fake.run_pluto()
    fake.answer = fake.answer._replace(interfaces=())


def deaf_orphan(fake: FakeHost) -> None:
    """Both."""
    deaf(fake)
    fake.lock_present, fake.lock_pid = False, None


def by_hand(fake: FakeHost) -> None:
    """Pluto runs, and the manager does not know it."""
    fake.run_pluto(by_unit=False)


def upgraded(fake: FakeHost) -> None:
    """The package was upgraded under a running pluto."""
    pluto = fake.run_pluto()
    fake.plutos = [pluto._replace(upgraded=True)]


def upgraded_and_silent(fake: FakeHost) -> None:
    """As upgraded, and the new whack is not understood by the old pluto."""
    upgraded(fake)
    fake.hung = True


def no_xfrm_under_pluto(fake: FakeHost) -> None:
    """What cannot be, is named all the same."""
    fake.run_pluto()
    fake.xfrm_loaded = False


def no_xfrm_at_all(fake: FakeHost) -> None:
    """Stopped, and the kernel has no XFRM interface that could be loaded."""
    fake.xfrm_loaded = fake.xfrm_available = False


def dead(fake: FakeHost) -> None:
    """Kill -9: lock file, socket and kernel state stay."""
    fake.kill_pluto(fake.run_pluto())


def reused(fake: FakeHost) -> None:
    """As dead, and another program has the pid now."""
    dead(fake)
    fake.foreign_pids = {800}


def damaged_lock(fake: FakeHost) -> None:
    """A lock file without a pid in it."""
    fake.lock_present = True


def stale_socket(fake: FakeHost) -> None:
    """A socket without a listener."""
    fake.control_present = True


def stale_kernel_state(fake: FakeHost) -> None:
    """SAs and policies of a pluto that is gone, and some that are not pluto's."""
    fake.leftovers = Leftovers(policies=3, sas=2, foreign_policies=5, foreign_sas=4)


def foreign_kernel_state(fake: FakeHost) -> None:
    """Only what is not pluto's."""
    fake.leftovers = Leftovers(foreign_policies=5, foreign_sas=4)


def leftover_interface(fake: FakeHost) -> None:
    """ipsec1 of a pluto that is gone."""
    fake.leftovers = Leftovers(interfaces=("ipsec1",))


def old_lock(fake: FakeHost) -> None:
    """Openswan's setup script was interrupted."""
    fake.old_lock = True


def log_rules(fake: FakeHost) -> None:
    """Rules of nflog-all= of a pluto that is gone."""
    fake.log_rules = ("iptables -A INPUT -m policy --dir in --pol ipsec -j NFLOG --nflog-prefix all-ipsec",)


def no_config(fake: FakeHost) -> None:
    """Stopped, and there is no configuration."""
    fake.config_missing = True


def no_config_under_pluto(fake: FakeHost) -> None:
    """Running, and there is no configuration any more."""
    fake.run_pluto()
    fake.config_missing = True


def bad_config(fake: FakeHost) -> None:
    """Stopped, and the configuration does not parse."""
    fake.config_error = "/etc/ipsec.conf is not valid: syntax error"


def zombie(fake: FakeHost) -> None:
    """Pluto has ended and nobody reaped it."""
    fake.zombies = (790,)


def unit_without_pluto(fake: FakeHost) -> None:
    """The manager believes in a pluto that is not there."""
    fake.unit_active = "active"


def unit_failed(fake: FakeHost) -> None:
    """The manager gave up."""
    fake.unit_active = "failed"


def flapping(fake: FakeHost) -> None:
    """The manager starts it again and again."""
    fake.unit_active = "activating"
    fake.restarts = 7


def reborn(fake: FakeHost) -> None:
    """As dead, and the manager is about to start it again."""
    dead(fake)
    fake.unit_active = "activating"
    fake.restarts = 1


def stranger(fake: FakeHost) -> None:
    """StrongSwan has the IKE ports."""
    fake.stranger = Stranger(500, 77, "charon")


def deaf_by_stranger(fake: FakeHost) -> None:
    """StrongSwan had the IKE ports first."""
    deaf(fake)
    stranger(fake)


def not_installed(fake: FakeHost) -> None:
    """No program, no unit."""
    fake.installed = False


Accident = t.Callable[[FakeHost], None]
UNSTARTABLE: tuple[Accident, ...] = (
    stranger,
    deaf_by_stranger,
    no_config,
    no_config_under_pluto,
    bad_config,
    no_xfrm_at_all,
    not_installed,
)
"""From which no verb can start a pluto before somebody has mended the cause."""
HEALTHY: tuple[Accident, ...] = (stopped, running, enabled, no_xfrm, foreign_kernel_state)
STRANGE: dict[Accident, tuple[str, str, int]] = {
    # word, a finding, LSB status
    orphaned: ("orphaned", "orphaned", 4),
    emptied_lock: ("orphaned", "orphaned", 4),
    illicit: ("illicit", "illicit", 4),
    illicit_reused: ("illicit", "illicit", 4),
    several: ("several", "several", 4),
    unreachable: ("unreachable", "unreachable", 4),
    hung: ("hung", "hung", 4),
    hung_by_hand: ("hung", "manager-disagrees", 4),
    deaf: ("deaf", "deaf", 4),
    deaf_orphan: ("deaf", "orphaned", 4),
    by_hand: ("running", "manager-disagrees", 0),
    upgraded: ("running", "upgraded", 0),
    upgraded_and_silent: ("running", "upgraded", 0),
    no_xfrm_under_pluto: ("backend-missing", "backend-missing", 4),
    no_xfrm_at_all: ("stopped", "backend-missing", 3),
    dead: ("dead", "stale-kernel-state", 1),
    reused: ("reused-pid", "reused-pid", 1),
    damaged_lock: ("damaged-lock", "damaged-lock", 1),
    stale_socket: ("stale-socket", "stale-socket", 4),
    stale_kernel_state: ("stale-kernel-state", "stale-kernel-state", 4),
    leftover_interface: ("leftover-interface", "leftover-interface", 4),
    old_lock: ("leftover-lock", "leftover-lock", 4),
    log_rules: ("leftover-log-rule", "leftover-log-rule", 4),
    no_config: ("stopped", "config-missing", 3),
    no_config_under_pluto: ("running", "config-missing", 0),
    bad_config: ("stopped", "config-invalid", 3),
    zombie: ("stopped", "zombie", 3),
    unit_without_pluto: ("stopped", "manager-disagrees", 3),
    unit_failed: ("stopped", "unit-failed", 3),
    flapping: ("flapping", "flapping", 4),
    reborn: ("dead", "flapping", 1),
    stranger: ("stopped", "foreign-ike", 3),
    deaf_by_stranger: ("deaf", "foreign-ike", 4),
}
