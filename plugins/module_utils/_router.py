# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway whose routing is set up for IPsec, and the ports which that needs besides."""

from __future__ import annotations

import dataclasses
import typing as t

from ._host import Host

if t.TYPE_CHECKING:
    from ._config_host import Files


class Parameters(t.Protocol):
    """The kernel's parameters, sysctl(8). Names are paths below /proc/sys."""

    def read(self, name: str) -> str | None:
        """The value, its words separated by single blanks; None when this kernel has no such parameter.

        ConfigError when it cannot be read.
        """

    def write(self, name: str, value: str) -> None:
        """Set the value; ConfigError when the kernel refuses."""

    def names(self, pattern: str) -> tuple[str, ...]:
        """The names that a shell's pattern matches, sorted."""


class Opening(t.NamedTuple):
    """Where a chain of nftables lets IPsec in by rules of ours."""

    chain: str
    """With its table and family, as nft writes it: inet filter input."""
    ah: bool
    """AH too, besides IKE, NAT-T and ESP."""


Place = t.Literal["permanent", "runtime"]
"""firewalld's two configurations."""


class PacketFilter(t.Protocol):
    """The host's firewall, as far as it is opened for IPsec. Rules of others are never changed."""

    def check_chain(self, chain: str) -> None:
        """ConfigError where nftables has no such base chain on the hook input; DependencyError without nft."""

    def openings(self) -> tuple[Opening, ...]:
        """Where our rules are, once for each jump to them; DependencyError without nft."""

    def load(self, path: str) -> None:
        """Have nft do what a file says, all or nothing; ConfigError when it refuses."""

    def close(self) -> None:
        """Remove our rules from nftables, wherever they are."""

    def reload_units(self) -> None:
        """Let the service manager read its units again."""

    def default_zone(self) -> str:
        """The zone of firewalld that interfaces are in; DependencyError or ConfigError when it does not run."""

    def has_service(self, zone: str, place: Place) -> bool:
        """Whether a zone of firewalld lets in its service `ipsec`; ConfigError when there is no such zone."""

    def set_service(self, zone: str, place: Place, present: bool) -> None:
        """Let it in, or no longer."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RouterHost(Host):
    """A gateway whose routing is set up for IPsec."""

    files: Files
    parameters: Parameters
    filter: PacketFilter
