# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel parameters that a gateway needs: set now and at boot, recorded, and put back when nobody asks for them."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ._candidate import File
from ._errors import ConfigError, IPsecError, VerifyError, after_changes, system_errors
from ._record import record, recorded

if t.TYPE_CHECKING:
    from ._router import Parameters, RouterHost

FILE = "/etc/sysctl.d/99-xswan-ipsec.conf"
"""sysctl.d(5); the name sorts behind 99-sysctl.conf, so that it has the last word."""
HEADER = "# Managed by Ansible (xswan.ipsec.ipsec_sysctl): changes made here are lost.\n"
TIMEOUT = 60.0
"""Seconds to wait for another run."""

FORWARDING4 = ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/all/accept_redirects")
SWITCHES = {
    "net/ipv4/ip_forward": FORWARDING4,
    "net/ipv4/conf/all/forwarding": FORWARDING4,
    "net/ipv6/conf/all/forwarding": ("net/ipv6/conf/*/forwarding",),
}
"""Parameters that change others when they change: Documentation/networking/ip-sysctl.rst (ip_forward), and the kernel's
inet_forward_change() and addrconf_fixup_forwarding()."""

_NAME = re.compile(r"net(/[\w*@:-][\w.*@:-]*)+", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")

Values = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to become of the gateway."""

    targets: Values
    """Values that parameters are to have now."""
    now: Values
    """Their values, and those of what they change besides."""
    file: File
    """What is set at boot."""
    old: File
    before: Values
    """The record: values before this module's first change."""
    ours: Values
    """The record: values that this module has set."""

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        """The parameters that change, by name, with their value before and after."""
        changed = {name: (self.now[name], value) for name, value in self.targets.items() if self.now[name] != value}
        return {spelled(name): {"before": old, "after": new} for name, (old, new) in _in_order(changed)}

    def to_result(self) -> dict[str, t.Any]:
        """The module's result."""
        settings = self.settings
        texts = [
            "".join(f"{name} = {values[side]}\n" for name, values in settings.items()) for side in ("before", "after")
        ]
        kernel = {"before_header": "kernel", "after_header": "kernel", "before": texts[0], "after": texts[1]}
        boot = {
            "before_header": FILE,
            "after_header": FILE,
            "before": self.old.text or "",
            "after": self.file.text or "",
        }
        return {
            "changed": bool(settings) or self.file != self.old,
            "settings": settings,
            "diff": [*([kernel] if settings else []), *([boot] if self.file != self.old else [])],
        }


def wanted_from(settings: t.Mapping[str, t.Any]) -> Values:
    """Names and values as the kernel spells them; ConfigError with all that cannot be meant."""
    wanted: Values = {}
    mistakes = []
    for given, value in settings.items():
        name, text = canonical(given), str(int(value)) if isinstance(value, bool) else " ".join(str(value).split())
        if not _NAME.fullmatch(name):
            mistakes.append(f"{given} is no name of a parameter of the network; take one such as net.ipv4.ip_forward")
        elif not _VALUE.fullmatch(text):
            mistakes.append(f"{given}: {value!r} is no value; take a number, a boolean or a word")
        elif name in wanted:
            mistakes.append(f"{given} is there twice")
        wanted[name] = text
    if mistakes:
        raise ConfigError(f"settings: {'; '.join(mistakes)}")
    return wanted


def canonical(name: str) -> str:
    """The path below /proc/sys. As in sysctl(8) the first separator decides what the others mean."""
    dot, slash = name.find("."), name.find("/")
    if dot < 0 or 0 <= slash < dot:
        return name
    return name.translate(str.maketrans("./", "/."))


def spelled(name: str) -> str:
    """The name as sysctl(8) writes it, or the path where the name of an interface has a dot."""
    return name if "." in name else name.replace("/", ".")


def settle(wanted: Values, host: RouterHost, *, purge: bool, check_mode: bool) -> Change:
    """Set the parameters, and put back what was set before and is not wanted now; in check mode only say so.

    Names may have `*` for a part; one without comes before. ConfigError when the kernel refuses; then all is as before.
    """
    if check_mode:
        return _change(wanted, host, purge)
    with host.guard.exclusive(TIMEOUT):
        change = _change(wanted, host, purge)
        _apply(change, host)
        return change


def _change(wanted: Values, host: RouterHost, purge: bool) -> Change:
    kernel = host.parameters
    known = recorded(host.files, "sysctl")
    before: Values = known.get("before", {})
    ours = {name: value for name, value in known.get("ours", {}).items() if kernel.read(name) is not None}
    asked = _asked(wanted, kernel)
    if not purge:
        asked = {**ours, **asked}
    governed = _governed(asked, kernel)
    targets = dict(asked)
    for name, value in ours.items():
        # what somebody else has changed since is theirs
        if name in asked or name in governed or kernel.read(name) != value:
            continue
        targets[name] = before[name]
        if before[name] != value:
            besides = _governed({name: value}, kernel) - asked.keys() - governed
            targets.update({other: before[other] for other in besides if other in before})
    everything = targets.keys() | governed
    now = {name: kernel.read(name) or "" for name in everything}
    lines = "".join(f"{name} = {value}\n" for name, value in _in_order(asked))
    return Change(
        targets,
        now,
        File(FILE, HEADER + lines if asked else None),
        File(FILE, host.files.read(FILE)),
        before={name: before.get(name, now[name]) for name in asked.keys() | governed},
        ours=asked,
    )


def _asked(wanted: Values, kernel: Parameters) -> Values:
    """The wanted values of single parameters; ConfigError when the kernel lacks one."""
    found: Values = {}
    missing = []
    for name, value in sorted(wanted.items(), key=lambda item: "*" not in item[0]):
        names = kernel.names(name) if "*" in name else [name]
        if not names or any(kernel.read(one) is None for one in names):
            missing.append(spelled(name))
        found.update(dict.fromkeys(names, value))
    if missing:
        raise ConfigError(f"settings: the kernel of this host has no {', '.join(missing)}; leave it out")
    return found


def _governed(asked: t.Iterable[str], kernel: Parameters) -> set[str]:
    """What else changes when these do, without these."""
    patterns = {pattern for name in asked for pattern in SWITCHES.get(name, ())}
    return {other for pattern in patterns for other in kernel.names(pattern)} - set(asked)


def _in_order(values: dict[str, t.Any]) -> list[tuple[str, t.Any]]:
    """First those that change others."""
    return sorted(values.items(), key=lambda item: (item[0] not in SWITCHES, item[0]))


def _apply(change: Change, host: RouterHost) -> None:
    known = recorded(host.files, "sysctl")
    # before the first change, which may be the last one; until it is done, what was recorded is needed too
    both = {
        "before": {**change.before, **known.get("before", {})},
        "ours": {**known.get("ours", {}), **change.ours},
    }
    record(host.files, "sysctl", both if both["ours"] else {})
    changed = change.to_result()["changed"]
    try:
        with system_errors():
            _set(change.targets, host.parameters)
            if change.file != change.old:
                host.files.install((change.file,), 0)
    except IPsecError:
        with after_changes(changed):
            _set(change.now, host.parameters)
            record(host.files, "sysctl", known)
        raise
    with after_changes(changed):
        left = [spelled(name) for name, value in change.targets.items() if host.parameters.read(name) != value]
        if left:
            raise VerifyError(f"set, but not as asked: {', '.join(left)}", left=left)
        record(host.files, "sysctl", {"before": change.before, "ours": change.ours} if change.ours else {})
    words = [f"{name}={values['after']}" for name, values in change.settings.items()]
    if words:
        host.journal.write(f"set {', '.join(words)}")


def _set(values: Values, kernel: Parameters) -> None:
    for name, value in _in_order(values):
        # asked again each time, for one may have changed another
        if kernel.read(name) != value:
            kernel.write(name, value)
