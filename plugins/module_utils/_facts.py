# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of a gateway, gathered by subset: what ipsec_status returns. Pure."""

from __future__ import annotations

import fnmatch
import typing as t

from ._errors import ConfigError
from ._model import ConfigFault, Contents, Listing, Tables
from ._observe import observe
from ._status import Finding, daemon, minimum

if t.TYPE_CHECKING:
    from ._host import Host
    from ._model import Answer, Firewall, Settings, State

SUBSETS = ("daemon", "connections", "kernel", "links", "host", "firewall")
DEFAULT = ("daemon", "connections", "kernel", "host")
"""What costs little: links imports pyroute2, firewall runs the tools of a firewall."""
WORDS = ("all", "min", *SUBSETS)

LOOK_AGAIN = (
    "look again; if it stays, run `ipsec whack --terminate --name NAME`, then `ipsec whack --initiate --name NAME`, "
    "or restart IPsec"
)


class Request(t.NamedTuple):
    """What to gather."""

    subsets: frozenset[str] = frozenset(("min", *DEFAULT))
    connections: tuple[str, ...] = ("*",)
    """Globs of names."""
    listing: Listing = Listing()


def chosen(words: t.Sequence[str]) -> frozenset[str]:
    """The subsets that a gather_subset means, as in ansible.builtin.setup; ConfigError for an unknown name.

    `!NAME` leaves one out, by itself of the default. `!all` leaves out all but min. What is named stays.
    """
    unknown = [word for word in words if word.removeprefix("!") not in WORDS]
    if unknown:
        raise ConfigError(
            f"gather_subset: there is no subset {', '.join(unknown)}; write any of {', '.join(WORDS)}, "
            "each with a ! before it to leave it out"
        )
    named = {word for word in words if not word.startswith("!")}
    without = {word[1:] for word in words if word.startswith("!")}
    found = set(SUBSETS) if "all" in named else named - {"min"} if named else set(DEFAULT)
    if "all" in without:
        without |= set(SUBSETS)
    found -= without - named
    return frozenset(found if "min" in without - named else found | {"min"})


def gather(host: Host, request: Request) -> dict[str, t.Any]:
    """Look at a host, and tell it, JSON-ready. Reads only, and never holds a key."""
    state = observe(host)
    findings: tuple[Finding, ...] = ()
    contents = None
    if request.subsets & {"kernel", "connections"}:
        state, contents, findings = _cross_check(host, state, request)
    facts: dict[str, t.Any] = {}
    if "connections" in request.subsets:
        state, facts["connections"] = _connections(host, state, contents, request)
    if "kernel" in request.subsets:
        facts["kernel"] = _kernel(state, contents, request.listing)
    if "links" in request.subsets:
        interfaces = [interface._asdict() for interface in host.kernel.interfaces()]
        facts.setdefault("kernel", {})["interfaces"] = interfaces
    if "host" in request.subsets:
        facts["host"] = host_facts(host.network.settings())
    if "firewall" in request.subsets:
        facts.setdefault("host", {})["firewall"] = firewall_facts(host.network.firewall())
    return {
        "at": int(state.at),
        "gathered": sorted(request.subsets),
        **(minimum(state, findings) if "min" in request.subsets else {}),
        **(daemon(state) if "daemon" in request.subsets else {}),
        **facts,
    }


def _cross_check(host: Host, state: State, request: Request) -> tuple[State, Contents | None, tuple[Finding, ...]]:
    """What the kernel has, and where it and pluto disagree.

    SAs come and go between the two looks, so who disagrees is looked at twice: only what holds both times is told.
    """
    contents = host.kernel.contents(request.listing)
    # of several plutos, the one that answers does not know what the others have in the kernel
    if state.answer is None or contents is None or len(state.plutos) > 1:
        return state, contents, ()
    if not any(_differences(state.answer, contents)):
        return state, contents, ()
    answer, again = host.pluto.ask(), host.kernel.contents(request.listing)
    if answer is None or again is None:
        return state, contents, ()
    before, after = _differences(state.answer, contents), _differences(answer, again)
    found = _disagreements(
        missing=tuple(sorted(before[0] & after[0])),
        extra=tuple(sorted(before[1] & after[1])),
        unserved=tuple(sorted(before[2] & after[2])),
    )
    return state._replace(answer=answer), again, tuple(found)


def _differences(
    answer: Answer, contents: Contents
) -> tuple[frozenset[tuple[str, int]], frozenset[tuple[str, int]], frozenset[int]]:
    """What only pluto has, what only the kernel has, and what the kernel lacks for itself.

    Child SAs (connection, serial) without a kernel SA; own kernel SAs (address, SPI) that pluto does not know; reqids
    that own policies ask for and no SA has.
    """
    missing = frozenset((sa.connection, sa.serial) for sa in answer.missing(contents.spis))
    served = frozenset(total.reqid for total in contents.totals)
    known = frozenset(half for sa in (*answer.child_sas, *answer.negotiating) for half in sa.halves)
    return missing, contents.own_spis - known, contents.asked - served


def _disagreements(
    missing: tuple[tuple[str, int], ...], extra: tuple[tuple[str, int], ...], unserved: tuple[int, ...]
) -> t.Iterator[Finding]:
    if missing:
        names = _some(f"{connection} (#{serial})" for connection, serial in missing)
        yield Finding(
            "child-sa-without-kernel-sa",
            "warning",
            f"Pluto believes in {len(missing)} Child SAs that the kernel does not have: {names}; their traffic is lost",
            LOOK_AGAIN,
        )
    if extra:
        names = _some(f"0x{spi:08x} to {address}" for address, spi in extra)
        yield Finding(
            "kernel-sa-without-child-sa",
            "warning",
            f"The kernel has {len(extra)} SAs of a Pluto that this Pluto does not know: {names}",
            "run ipsec_setup with state restarted in a maintenance window; its tunnels drop",
        )
    if unserved:
        names = _some(str(reqid) for reqid in unserved)
        yield Finding(
            "policy-without-sa",
            "warning",
            f"The kernel has policies for tunnels without an SA, reqid {names}: they swallow traffic",
            LOOK_AGAIN,
        )


def _some(names: t.Iterable[str], limit: int = 5) -> str:
    """The first of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _connections(
    host: Host, state: State, contents: Contents | None, request: Request
) -> tuple[State, dict[str, t.Any]]:
    """Every connection; in the State, whether the configuration that declares them can be read."""
    from ._connections import connections

    try:
        configured = host.pluto.configured() if state.program else {}
    except ConfigError as exc:
        # it must not hide what pluto holds
        configured = {}
        if state.config_fault is None:
            state = state._replace(config_fault=ConfigFault("invalid", f"{exc}; what it declares is not shown"))
    started = state.plutos[0].started if state.plutos else state.at
    found = connections(
        configured,
        state.answer,
        now=state.at,
        kernel_spis=contents.spis if contents else None,
        certificates=host.pluto.certificates() if _names_certificates(state.answer) else {},
        loading=state.loading,
        log=lambda: host.pluto.log(started),
        wanted=lambda name: any(fnmatch.fnmatchcase(name, glob) for glob in request.connections),
    )
    return state, found


def _names_certificates(answer: Answer | None) -> bool:
    """Whether a connection has one: only then is the database worth a call of its program."""
    return answer is not None and any(loaded.local.certificate for loaded in answer.loaded)


def host_facts(settings: Settings) -> dict[str, t.Any]:
    """The facts of the subset host."""
    return {
        **settings._asdict(),
        "default_route": [route._asdict() for route in settings.default_route],
        "ike_ports": [owner._asdict() for owner in settings.ike_ports],
    }


def firewall_facts(firewall: Firewall) -> dict[str, t.Any]:
    """The facts of the subset firewall."""
    return {"tool": firewall.tool, "refuses": [refusal._asdict() for refusal in firewall.refuses]}


def _kernel(state: State, contents: Contents | None, listing: Listing) -> dict[str, t.Any]:
    found = contents or Contents(Tables())
    facts: dict[str, t.Any] = {
        "backend": state.backend,
        "loaded": contents is not None,
        **found.tables._asdict(),
        "larval": found.larval,
        "foreign_sas": found.foreign_sas,
        "foreign_policies": found.foreign_policies,
        "totals": [total._asdict() for total in found.totals],
        "statistics": dict(found.statistics),
        "offloaded": found.offloaded,
        "acq_expires": found.acq_expires,
    }
    if listing.limit:
        facts |= {"sa_list": list(found.sa_list), "policy_list": list(found.policy_list)}
    return facts
