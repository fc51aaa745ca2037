# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the role's variables to the text of its files, or to all that is wrong with them."""

from __future__ import annotations

import re
import typing as t

from ..module_utils._certificates import SOURCES, TEXTS, check_words, entry_of, spelling_mistake
from ..module_utils._confirm import timeout_mistake
from ..module_utils._errors import ConfigError
from ..module_utils._opening import chain_mistake
from ._keys import pair_key
from ._text import (
    destination_mistake,
    identity,
    key_lines,
    name_mistake,
    parameter_mistake,
    quoted,
    shown,
    text_mistake,
)
from ._topology import connections

Variables = t.Mapping[str, t.Any]

_STATES: t.Final = ("present", "absent")
_KINDS: t.Final = {
    "psk": ("PSK", ("psk",)),
    "xauth": ("XAUTH", ("xauth",)),
    "ppk": ("PPKS", ("ppk_id", "ppk")),
    "rsa": ("RSA", ("rsa", "passphrase")),
    "pin": ("PIN %smartcard", ("pin",)),
}
"""By the key that makes an entry of the kind: what its line has after the colon, and the keys of the texts then."""
_SECRET_KEYS: t.Final = ("ids", *(key for _word, keys in _KINDS.values() for key in keys))
_PSK_FLOOR: t.Final = 8
_CERTIFICATE_KEYS: t.Final = (
    *("name", "state", "content", "src", "pkcs12", "pkcs12_src", "passphrase", "key", "trust"),
)
_AH: t.Final = re.compile(r"ah=|phase2=\W*ah\b", re.IGNORECASE)
_HEADER: t.Final = "# Managed by Ansible (role xswan.ipsec.ipsec): changes made here are lost."


class Section(t.TypedDict):
    """A section of ipsec.conf."""

    title: str
    lines: list[str]


class Configuration(t.TypedDict):
    """What the templates print. As long as there are mistakes, all else is empty."""

    mistakes: list[str]
    """Each begins with the path of the variable; none holds a secret."""
    sections: list[Section]
    secrets: list[str]
    policies: dict[str, str]
    """The text of each policy group's file, by the group's name."""
    ah: bool
    """Whether a connection asks for AH."""


def configuration(
    variables: Variables, me: str, groups: t.Mapping[str, t.Sequence[str]], variable: t.Callable[[str], object]
) -> Configuration:
    """Check the role's variables, by their names, and say what its files are to hold.

    `me`, `groups` and `variable` are those of `_topology.connections`.
    """
    mistakes: list[str] = []
    if variables.get("ipsec_package_state") == "absent":
        mistakes.append("ipsec_package_state: absent goes with ipsec_state absent; allowed: present, latest")
    derived, wrong = connections(me, variables.get("ipsec_topology") or [], groups, variable)
    mistakes += wrong
    mistakes += _numbers_and_chain(variables)
    declared: dict[str, tuple[str, Variables]] = {one["name"]: ("ipsec_topology", one) for one in derived}
    if len(declared) < len(derived):
        names = [connection["name"] for connection in derived]
        twice = sorted({name for name in names if names.count(name) > 1})
        mistakes.append(f"ipsec_topology: two peers of {me} would share the name {', '.join(twice)}; rename a gateway")
    declared.update(_explicit(variables.get("ipsec_connections") or [], mistakes))

    sections: list[Section] = []
    for title, name in (("config setup", "ipsec_config_setup"), ("conn %default", "ipsec_connection_defaults")):
        lines = key_lines(variables.get(name) or {}, name, mistakes)
        if lines or title == "config setup":
            sections.append({"title": title, "lines": lines})
    for name, (path, connection) in sorted(declared.items()):
        if connection.get("state", "present") == "present":
            keys = {key: value for key, value in connection.items() if key not in ("name", "state")}
            where = path if path.endswith("]") else f"{path}: {name}"
            sections.append({"title": f"conn {name}", "lines": key_lines(keys, where, mistakes)})

    wanted = [one for one in derived if declared[one["name"]][1].get("state", "present") == "present"]
    secrets = _secrets(variables, wanted, mistakes)
    policies = _policies(variables.get("ipsec_policies") or {}, mistakes)
    _certificates(variables.get("ipsec_certificates") or [], mistakes)
    for parameter, value in (variables.get("ipsec_sysctl") or {}).items():
        wrong_parameter = parameter_mistake(parameter, value)
        if wrong_parameter:
            mistakes.append(f"ipsec_sysctl.{parameter}: {wrong_parameter}")
    if mistakes:
        return {"mistakes": [*map(shown, mistakes)], "sections": [], "secrets": [], "policies": {}, "ah": False}
    ah = any(_AH.match(line) for section in sections for line in section["lines"])
    return {"mistakes": [], "sections": sections, "secrets": secrets, "policies": policies, "ah": ah}


def _numbers_and_chain(variables: Variables) -> t.Iterator[str]:
    """What is wrong with the variables that are one word."""
    least = _whole(variables.get("ipsec_psk_minimum", _PSK_FLOOR))
    if least is None or least < _PSK_FLOOR:
        said = variables["ipsec_psk_minimum"]
        yield f"ipsec_psk_minimum: is {said!r}; allowed: a number of characters, {_PSK_FLOOR} or more"
    seconds = _whole(variables.get("ipsec_confirm_timeout", 0))
    wrong = "is no number; allowed: seconds" if seconds is None else timeout_mistake(seconds) if seconds else None
    if wrong:
        yield f"ipsec_confirm_timeout: {wrong}, or 0 for a change that stays"
    wrong = chain_mistake(str(variables.get("ipsec_firewall_chain", "inet filter input")))
    if wrong:
        yield f"ipsec_firewall_chain: {wrong}"


def _whole(value: object) -> int | None:
    """A number, which may have come as text; None when it is none."""
    text = str(value)
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) else None


def _explicit(entries: t.Sequence[t.Any], mistakes: list[str]) -> dict[str, tuple[str, Variables]]:
    """The entries of ipsec_connections by name, each with its path."""
    found: dict[str, tuple[str, Variables]] = {}
    for index, entry in enumerate(entries):
        path = f"ipsec_connections[{index}]"
        if not isinstance(entry, t.Mapping):
            mistakes.append(f"{path}: is no dictionary; allowed: one with name and keys of a conn section")
            continue
        wrong = name_mistake(entry.get("name"))
        if wrong:
            mistakes.append(f"{path}.name: {wrong}")
            continue
        if entry.get("state", "present") not in _STATES:
            mistakes.append(f"{path}.state: {entry['state']!r} is unknown; allowed: {', '.join(_STATES)}")
        name = str(entry["name"])
        if name in found:
            mistakes.append(f"{path}.name: {name} is the name of {found[name][0]} too; each connection needs its own")
        found[name] = (path, entry)
    return found


def _certificates(entries: t.Sequence[t.Any], mistakes: list[str]) -> None:
    """What is wrong with ipsec_certificates, as far as it can be known without the gateway."""
    names: dict[str, str] = {}
    for index, entry in enumerate(entries):
        path = f"ipsec_certificates[{index}]"
        if not isinstance(entry, t.Mapping):
            mistakes.append(f"{path}: is no dictionary; allowed: one with {', '.join(_CERTIFICATE_KEYS)}")
            continue
        mistakes += [
            f"{path}: key {key!r} is unknown; allowed: {', '.join(_CERTIFICATE_KEYS)}"
            for key in entry
            if key not in _CERTIFICATE_KEYS
        ]
        name = str(entry.get("name", ""))
        wrong = spelling_mistake(name, entry.get("trust"))
        if wrong:
            mistakes.append(f"{path}.{wrong}")
        elif name in names:
            mistakes.append(f"{path}.name: {name} is the name of {names[name]} too; each certificate needs its own")
        names[name] = path
        state = entry.get("state", "present")
        given = [source for source in SOURCES if entry.get(source) is not None]
        if state not in _STATES:
            mistakes.append(f"{path}.state: {state!r} is unknown; allowed: {', '.join(_STATES)}")
        elif state == "present" and len(given) != 1:
            mistakes.append(
                f"{path}: has {' and '.join(given) or 'no certificate'}; allowed: one of {', '.join(SOURCES)}"
            )
        elif state == "present":
            texts = {key: None if value is None else str(value) for key, value in {"name": name, **entry}.items()}
            try:
                check_words(texts, given[0])
                if given[0] in TEXTS:
                    entry_of(texts, given[0], str(entry[given[0]]))
            except ConfigError as error:
                mistakes.append(f"{path}.{error}")


def _policies(groups: object, mistakes: list[str]) -> dict[str, str]:
    """The text of the file of each policy group: ipsec.conf(5), section OPPORTUNISTIC."""
    if not isinstance(groups, t.Mapping):
        mistakes.append("ipsec_policies: is no dictionary; allowed: names of policy groups, each with destinations")
        return {}
    texts = {}
    for name, destinations in groups.items():
        path = f"ipsec_policies.{name}"
        wrong = name_mistake(name)
        if wrong:
            mistakes.append(f"ipsec_policies: {wrong}")
        elif not isinstance(destinations, (list, tuple)):
            mistakes.append(f"{path}: is no list; allowed: destinations, one by one, or an empty list")
        else:
            lines = [_HEADER]
            for index, destination in enumerate(destinations):
                wrong = destination_mistake(destination)
                if wrong:
                    mistakes.append(f"{path}[{index}]: {wrong}")
                lines.append(str(destination))
            texts[str(name)] = "".join(f"{line}\n" for line in lines)
    return texts


def _secrets(variables: Variables, derived: t.Sequence[Variables], mistakes: list[str]) -> list[str]:
    """The lines of ipsec.secrets: those of ipsec_secrets, and one for each other pair of the topology."""
    lines: list[str] = []
    taken: dict[tuple[str, ...], str] = {}
    for index, entry in enumerate(variables.get("ipsec_secrets") or []):
        path = f"ipsec_secrets[{index}]"
        line, ids, kind = _secret(entry, path, variables, mistakes)
        if kind != "psk":
            lines.append(line)
        elif ids in taken:
            mistakes.append(f"{path}.ids: {' '.join(ids) or 'no id'} has a key in {taken[ids]} already")
        else:
            taken[ids] = path
            lines.append(line)
    for connection in derived:
        ids = tuple(sorted((connection["leftid"], connection["rightid"])))
        if ids not in taken and "secret" in str(connection.get("authby")).replace(",", " ").split():
            taken[ids] = "ipsec_topology"
            line, ids, kind = _secret({"ids": ids}, f"ipsec_topology: {connection['name']}", variables, mistakes)
            lines.append(line)
    return lines


def _secret(
    entry: object, path: str, variables: Variables, mistakes: list[str]
) -> tuple[str, tuple[str, ...], str | None]:
    """The line of an entry, its identities, sorted, and what it is. After a mistake the line is not to be used."""
    if not isinstance(entry, t.Mapping):
        mistakes.append(f"{path}: is no dictionary; allowed: one with {', '.join(_SECRET_KEYS)}")
        return "", (), None
    mistakes += [
        f"{path}: key {key!r} is unknown; allowed: {', '.join(_SECRET_KEYS)}"
        for key in entry
        if key not in _SECRET_KEYS
    ]
    ids = tuple(sorted(str(one) for one in entry.get("ids") or []))
    for one in ids:
        wrong = text_mistake(one) if one else "holds an empty one; allowed: identities, or no list at all"
        if wrong:
            mistakes.append(f"{path}.ids: {wrong}")
    kinds = [kind for kind in _KINDS if kind in entry] or ["psk"]
    if len(kinds) > 1:
        mistakes.append(f"{path}: has {' and '.join(kinds)}; allowed: one of {', '.join(_KINDS)}")
    kind = kinds[0]
    if (kind == "ppk") != ("ppk_id" in entry):
        mistakes.append(f"{path}.ppk_id: goes with ppk; allowed: both or none")
    if "passphrase" in entry and kind != "rsa":
        mistakes.append(f"{path}.passphrase: goes with rsa; allowed: both, rsa alone or none")

    texts = []
    word, keys = _KINDS[kind]
    for key in (key for key in keys if key == kind or key in entry):
        # A variable or a lookup that gave nothing is no wish for a derived key.
        given = entry.get(key) or ""
        text = str(given) if key in entry else _derived(ids, path, variables, mistakes)
        wrong = text_mistake(text) if isinstance(given, (str, int)) else "is no text; allowed: one line of characters"
        shared = key in ("psk", "ppk")
        least = max(_PSK_FLOOR, _whole(variables.get("ipsec_psk_minimum")) or 0) if shared else 1
        if not wrong and key in entry and len(text) < least:
            least_of = " (ipsec_psk_minimum)" if shared else ""
            wrong = f"has {len(text)} characters; allowed: {least} or more{least_of}"
        if wrong:
            mistakes.append(f"{path}.{key}: {wrong}")
        texts.append(quoted(text))
    index = "".join(f"{identity(one)} " for one in ids)
    return f"{index}: {word} {' '.join(texts)}", ids, kind


def _derived(ids: tuple[str, ...], path: str, variables: Variables, mistakes: list[str]) -> str:
    master = variables.get("ipsec_psk_master")
    if not master:
        mistakes.append(f"{path}: has no key; set ipsec_psk_master, or give these ids a psk in ipsec_secrets")
    elif len(ids) < 2:
        mistakes.append(f"{path}.ids: a key is derived for a pair; give the ids of both ends, or a psk")
    else:
        try:
            return pair_key(str(master), ids)
        except ValueError as error:
            wrong = f"ipsec_psk_master: {error}"
            if wrong not in mistakes:
                mistakes.append(wrong)
    return ""
