#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_config
short_description: Install an IPsec configuration after a throw-away pluto has loaded it
version_added: 0.1.0
description:
  - Takes ipsec.conf, ipsec.secrets, policy groups and further files, as one candidate. What is not given stays.
  - A throw-away pluto of the gateway's own version loads the candidate, in namespaces of its own with a copy of the
    gateway's addresses and NSS database. What it says is compared with what was declared.
  - Only when nothing is wrong are the files replaced, all or none. Otherwise nothing on the gateway has changed.
  - The pluto that runs takes no notice of the trial, nor of the new files. It has to be told to take them over.
  - With no file given, the installed configuration is tried, and nothing changes.
  - What a trial has found of the files that were installed then is remembered in C(/run), and holds for a day, or until
    anything changes that the trial has seen. So a run that has nothing to install is cheap.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.config
options:
  state:
    description:
      - V(present) tries and installs what is given.
      - V(confirmed) lets a configuration stay that was installed with O(confirm_timeout). Ask for it over a connection
        that was made anew, so that it proves that the gateway can still be reached. The other options have no
        effect then. It fails when the configuration has already been taken back.
      - V(absent) puts every file back as it was before O(record) first noted it, without a trial, and removes the
        backups that were made of it. Files of which nothing is recorded stay. No other option but O(config) counts.
    type: str
    choices: [present, confirmed, absent]
    default: present
  record:
    description:
      - Whether to note in C(/var/lib/xswan-ipsec.json), for root alone, how each file was before, so that it can be put
        back by O(state=absent) or O(purge). What is noted already stays.
    type: bool
    default: false
  purge:
    description:
      - Whether to put back, with the same trial, the recorded files that this call does not name. From then on they are
        not this module's any more, so the backups that were made of them are removed.
    type: bool
    default: false
  content:
    description: Text of ipsec.conf.
    type: str
  src:
    description: Path of a file on the gateway that holds the text of ipsec.conf, in place of O(content).
    type: path
  config:
    description: Path of ipsec.conf on the gateway.
    type: path
    default: /etc/ipsec.conf
  secrets:
    description:
      - Text of ipsec.secrets.
      - It travels by the task's arguments and a pipe, never in an argument list, and is in no result, diff or log.
    type: str
  secrets_src:
    description: Path of a file on the gateway that holds the text of ipsec.secrets, in place of O(secrets).
    type: path
  secrets_file:
    description:
      - Path of ipsec.secrets on the gateway.
      - The configuration must name the same one, in C(secretsfile=), where it is not the program's default.
    type: path
    default: /etc/ipsec.secrets
  policies:
    description:
      - Policy groups, by name, each with the text of its file, one destination on a line.
    type: dict
    default: {}
  policies_dir:
    description: Path of the directory of the policy groups on the gateway.
    type: path
    default: /etc/ipsec.d/policies
  files:
    description:
      - Further files, for example those that ipsec.conf includes, or files of secrets that ipsec.secrets includes.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the file on the gateway.
        type: path
        required: true
      content:
        description: Its text. For a file of secrets use O(files[].secrets).
        type: str
      secrets:
        description: Its text, of a file of secrets. The mode of the file is 0600 then.
        type: str
      src:
        description: Path of a file on the gateway that holds its text.
        type: path
      secret:
        description: Whether the file at O(files[].src) is one of secrets.
        type: bool
        default: false
      state:
        description:
          - V(absent) removes the file.
        type: str
        choices: [present, absent]
        default: present
  preflight:
    description:
      - V(auto) tries the candidate in a sandbox. Where the gateway does not allow one, for example a container without
        the right to make namespaces, it warns, and only checks the syntax as V(static) does. What is installed already
        is not tried again while a former trial of it holds.
      - V(sandbox) has a trial in any case, and fails where there can be no sandbox.
      - V(static) lets the program's parser look at the candidate, and reads it for what is there twice or missing.
        Bad algorithms, subnets and certificates are not found.
    type: str
    choices: [auto, sandbox, static]
    default: auto
  strict:
    description: Whether to refuse a candidate also for what is only a warning, as a key that this version ignores.
    type: bool
    default: false
  accept:
    description:
      - Findings, by their C(id), that are to be warnings only.
      - Use V(unoriented) on a gateway whose address comes later, for example from its partner in a cluster,
        and V(missing-certificate) where the certificate does.
    type: list
    elements: str
    default: []
  backups:
    description:
      - How many old versions of each file to keep beside it. The name of a backup is that of the file, the time in UTC,
        and a tilde.
      - With V(0) none is made, and those that are there stay.
    type: int
    default: 5
  timeout:
    description: Seconds that the trial may take. Give more to a gateway with thousands of connections.
    type: int
    default: 120
  confirm_timeout:
    description:
      - Seconds after which the gateway, by itself, puts the old files back and has pluto take them over, unless
        O(state=confirmed) comes before. For a gateway that is managed through its own tunnel.
      - Give more than it takes to reload pluto and to connect again.
      - The gateway does the same at its next boot, where systemd runs it. Without systemd, a boot leaves the new files.
      - With another change before the first one is confirmed, the time begins anew, and what is put back is the state
        before the first one.
      - Without it, a configuration stays, and nothing has to be confirmed.
    type: int
notes:
  - The sandbox has the devices and addresses of the gateway as veth devices, and its default routes. The kernel module
    veth is loaded for it where it is not.
  - A file keeps its SELinux context, and a new one gets that of the policy where matchpathcon(8) tells it. It was not
    tried on a gateway where SELinux is enforced.
  - Names in C(left=) and C(right=) are not resolved in the sandbox. Whether such a connection is one of this host is
    not judged.
  - C(logfile=) is read, but not opened in the trial.
  - Each file is replaced atomically. After a power failure in the middle, some may be the new ones and others the old
    ones. C(ipsec.conf) comes last.
seealso:
  - module: xswan.ipsec.ipsec_setup
  - module: xswan.ipsec.ipsec_status
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Install a configuration that pluto is known to load
  xswan.ipsec.ipsec_config:
    record: true
    content: "{{ lookup('ansible.builtin.template', 'ipsec.conf.j2') }}"
    secrets: "{{ lookup('ansible.builtin.template', 'ipsec.secrets.j2') }}"

- name: Add a connection in a file of its own
  xswan.ipsec.ipsec_config:
    files:
      - path: /etc/ipsec.d/branch.conf
        content: |
          conn branch
              left=%defaultroute
              right=198.51.100.7
              authby=secret
              auto=start
      - path: /etc/ipsec.d/branch.secrets
        secrets: "%any 198.51.100.7 : PSK \"{{ branch_psk }}\"\n"

- name: Change the tunnel by which the gateway is managed
  xswan.ipsec.ipsec_config:
    content: "{{ lookup('ansible.builtin.template', 'ipsec.conf.j2') }}"
    confirm_timeout: 120

- name: Have pluto take the change over
  xswan.ipsec.ipsec_setup:
    state: reloaded

- name: Connect anew
  ansible.builtin.meta: reset_connection

- name: Let the change stay, for we still come through
  xswan.ipsec.ipsec_config:
    state: confirmed

- name: Take it all back
  xswan.ipsec.ipsec_config:
    state: absent

- name: Ask whether the installed configuration suits the installed version, after an upgrade
  xswan.ipsec.ipsec_config:
    preflight: sandbox
    strict: true
"""

RETURN = r"""
about:
  description: What went wrong, if anything did, and for what the module has waited, in one line for a person.
  returned: after a failure, or when it has waited longer than a few seconds
  type: str
  sample: "waited 12 s for a throw-away pluto to load the candidate"
files:
  description: The files that were replaced or removed. In check mode, that would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/ipsec.conf]
backups:
  description: The backups that were made.
  returned: success
  type: list
  elements: str
  sample: [/etc/ipsec.conf.20261123T171500.123456Z~]
preflight:
  description:
    - How the candidate was tried, V(sandbox) or V(static), or V(none) with O(state=absent).
    - V(known) when it is installed already, and a former trial of it still holds. RV(findings) are those of that trial.
  returned: success
  type: str
  sample: sandbox
findings:
  description:
    - What is to be said of the candidate. On success these are warnings; after a refusal all are in RV(error).
    - Each has an C(id), a C(severity) (error or warning), a C(message), the C(connection), C(key) and C(value) and the
      C(place) it is about (null where it is about none), the words of the program in C(said), and a C(cure).
  returned: success
  type: list
  elements: dict
  sample:
    - id: keyword-ignored
      severity: warning
      message: "/etc/ipsec.conf:11: obsolete keyword ignored: dpdaction=restart"
      connection: gw1-gw2
      key: dpdaction
      value: restart
      place: "/etc/ipsec.conf:11"
      said: "warning: obsolete keyword ignored: dpdaction=restart"
      cure: remove the key; this version does nothing with it
connections:
  description: >-
    How the candidate differs from what was installed, C(added) and C(removed) names, C(changed) names with their keys,
    and the number of C(unchanged) ones.
  returned: success
  type: dict
  sample: {added: [], changed: {gw1-gw2: [ike]}, removed: [], unchanged: 41}
setup_changed:
  description: Keys of C(config setup) that differ.
  returned: success
  type: list
  elements: str
  sample: []
restart_required:
  description: The same as RV(setup_changed). pluto reads C(config setup) only when it starts.
  returned: success
  type: list
  elements: str
  sample: []
secrets_changed:
  description: Whether a file of secrets differs.
  returned: success
  type: bool
  sample: false
impact:
  description:
    - What the difference means for the tunnels, once pluto takes the new configuration over.
    - Unchanged connections keep their tunnels, unless they share an IKE SA with one that renegotiates or ends.
      M(xswan.ipsec.ipsec_setup) with O(xswan.ipsec.ipsec_setup#module:state=reloaded) names these, in check mode too.
  returned: success
  type: list
  elements: str
  sample: ["gw1-gw2: ike changed, will renegotiate", 41 unchanged, no restart needed]
confirm_timeout:
  description:
    - Seconds until the change is taken back unless it is confirmed. Null when it stays.
    - Where nothing is to be changed, those that are left to a former change that nobody has confirmed yet, and null
      when there is none.
  returned: success
  type: int
  sample: 120
recorded:
  description:
    - Of what this gateway has a record of how it was before this collection changed it, any of V(certificates),
      V(files), V(firewall) and V(sysctl). What is not among them need not be put back.
  returned: success
  type: list
  elements: str
  sample: [files, sysctl]
error:
  description:
    - What kind of failure it was, and details of it. The types are those of RV(xswan.ipsec.ipsec_setup#module:error).
    - For a refused candidate it is ConfigError, with C(findings).
  returned: failure
  type: dict
  sample: {type: ConfigError, findings: []}
"""

import typing as t

from ..module_utils._imports import compile_once

compile_once()

from ..module_utils._candidate import Candidate, File
from ..module_utils._commands import LocalCommands
from ..module_utils._config import Proposal, install, restore
from ..module_utils._config_local import config_host
from ..module_utils._confirm import confirm, timeout_mistake
from ..module_utils._errors import ConfigError
from ..module_utils._module import Module, run

if t.TYPE_CHECKING:
    from ..module_utils._config_host import ConfigHost, Files


def proposal_from(params: dict[str, t.Any], files: Files) -> Proposal:
    """Translate the module's parameters; files of the gateway are read. ipsec.conf comes last."""

    def text(content: str | None, src: str | None) -> str | None:
        if content is not None or src is None:
            return content
        found = files.read(src)
        if found is None:
            raise ConfigError(f"src {src} does not exist on this host")
        return found

    for name in params["policies"]:
        if "/" in name or name.startswith("."):
            raise ConfigError(f"policies: {name} is no name of a policy group; take one without a slash or leading dot")
    new = [File(f"{params['policies_dir']}/{name}", str(lines)) for name, lines in sorted(params["policies"].items())]
    for entry in params["files"]:
        secret = entry["secrets"] is not None or entry["secret"]
        content = text(entry["content"] if entry["secrets"] is None else entry["secrets"], entry["src"])
        if content is None and entry["state"] == "present":
            raise ConfigError(f"files: {entry['path']} needs one of content, secrets and src, or state absent")
        new.append(File(entry["path"], content if entry["state"] == "present" else None, secret))
    named = [
        File(params["secrets_file"], text(params["secrets"], params["secrets_src"]), secret=True),
        File(params["config"], text(params["content"], params["src"])),
    ]
    return Proposal(
        candidate=Candidate(params["config"], (*new, *(file for file in named if file.text is not None))),
        secrets=(params["secrets_file"],),
        preflight=params["preflight"],
        strict=params["strict"],
        accept=frozenset(params["accept"]),
        keep=params["backups"],
        timeout=params["timeout"],
        confirm_timeout=params["confirm_timeout"],
        record=params["record"],
        purge=params["purge"],
    )


def action(host: ConfigHost, params: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Install the configuration that the parameters describe, or what was before, or confirm the one that is there."""
    if params["state"] == "confirmed":
        return confirm(host, check_mode=check_mode)
    if params["state"] == "absent":
        return restore(params["config"], host, params["timeout"], check_mode=check_mode).to_result()
    wrong = None if params["confirm_timeout"] is None else timeout_mistake(params["confirm_timeout"])
    if wrong:
        raise ConfigError(f"confirm_timeout: {wrong}, or leave it out")
    return install(proposal_from(params, host.files), host, check_mode=check_mode).to_result()


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "confirmed", "absent"], "default": "present"},
            "record": {"type": "bool", "default": False},
            "purge": {"type": "bool", "default": False},
            "content": {"type": "str"},
            "src": {"type": "path"},
            "config": {"type": "path", "default": "/etc/ipsec.conf"},
            "secrets": {"type": "str", "no_log": True},
            "secrets_src": {"type": "path", "no_log": False},
            "secrets_file": {"type": "path", "default": "/etc/ipsec.secrets", "no_log": False},
            "policies": {"type": "dict", "default": {}},
            "policies_dir": {"type": "path", "default": "/etc/ipsec.d/policies"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "secrets": {"type": "str", "no_log": True},
                    "src": {"type": "path"},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
                "mutually_exclusive": [("content", "secrets", "src")],
            },
            "preflight": {"type": "str", "choices": ["auto", "sandbox", "static"], "default": "auto"},
            "strict": {"type": "bool", "default": False},
            "accept": {"type": "list", "elements": "str", "default": []},
            "backups": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 120},
            "confirm_timeout": {"type": "int"},
        },
        mutually_exclusive=[("content", "src"), ("secrets", "secrets_src")],
        supports_check_mode=True,
    )
    commands = LocalCommands(module.run_command)
    run(module, lambda local: action(config_host(local, commands), module.params, check_mode=module.check_mode))


if __name__ == "__main__":
    main()
