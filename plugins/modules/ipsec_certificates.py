#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_certificates
short_description: Put certificates and their keys into pluto's NSS database, renew and remove them
version_added: 0.1.0
description:
  - Puts certificates into the NSS database from which pluto takes them, each by its nickname. Keys of ipsec.conf(5)
    such as C(leftcert) name that.
  - They are compared by the SHA-256 fingerprint. What is there already is left alone, and another certificate by the
    same nickname is replaced, with its private key where a new one is given.
  - What is to be done is done to a copy of the database first. What NSS refuses there, as a wrong passphrase, has
    changed nothing.
  - Private keys, PKCS#12 files and passphrases are never in an argument list, a diff or a log. For the programs of NSS
    they are in files of a folder in C(/run), which is in memory, for root alone and removed at the end.
  - A pluto that runs keeps the certificates of the connections that it has loaded. M(xswan.ipsec.ipsec_setup) with
    O(xswan.ipsec.ipsec_setup#module:state=reloaded) replaces those whose certificate was replaced by this module.
  - What it has added is recorded on the gateway, so that O(purge) removes that and nothing else. A certificate that it
    has replaced is not put back.
  - It needs root on the gateway, so use C(become) where the connection is not made by root.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.settings
requirements:
  - certutil and pk12util of NSS (on the gateway), in the packages libnss3-tools or nss-tools
  - openssl (on the gateway), only for O(certificates[].key)
options:
  certificates:
    description:
      - The certificates. Each present one has one of C(content), C(src), C(pkcs12) and C(pkcs12_src).
      - Further certificates of a PEM text or PKCS#12 file are its chain. Each is added by the nickname C(NAME issuer)
        and the begin of its fingerprint, unless it is there already. The root of the chain is trusted as a CA.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The nickname, without colons and quotes.
        type: str
        required: true
      state:
        description: Whether it is to be there. V(absent) removes it with its private key, whoever added it.
        type: str
        choices: [present, absent]
        default: present
      content:
        description: The certificate in PEM, and after it perhaps those of its chain.
        type: str
      src:
        description: The path of a file on the gateway with what O(certificates[].content) would hold.
        type: path
      pkcs12:
        description: A PKCS#12 file in base64, with one private key, its certificate and perhaps those of its chain.
        type: str
      pkcs12_src:
        description: The path of a PKCS#12 file on the gateway. It is not removed.
        type: path
      passphrase:
        description: That of the PKCS#12 file, or of O(certificates[].key).
        type: str
      key:
        description:
          - The private key of a certificate in PEM, in PEM too.
          - Without one, a certificate is a peer's or a CA's, or belongs to a key that was made in the database.
        type: str
      trust:
        description:
          - The trust as option C(-t) of certutil(1) takes it, three fields with commas between them.
          - When not given, V(CT,,) for a CA, and else V(,,). NSS shows a C(u) in each field where it has the
            private key. That cannot be set, and is not compared.
        type: str
  purge:
    description:
      - Whether to remove what a former call has added and O(certificates) does not name, unless somebody else has
        replaced it since.
    type: bool
    default: false
  config:
    description: The path of ipsec.conf, whose C(nssdir) says where the database is.
    type: path
    default: /etc/ipsec.conf
  nssdir:
    description:
      - The folder of the database, where it is another one than O(config) says. Without either it is that of the
        program.
    type: path
notes:
  - pluto remembers CAs until it has verified no peer for five minutes. It looks at a new one after that, or when it is
    restarted.
  - A database that has a password is worked on when pluto's own file C(nsspassword) holds it.
seealso:
  - module: xswan.ipsec.ipsec_setup
  - module: xswan.ipsec.ipsec_status
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Have the gateway's own certificate and key, with its CA
  xswan.ipsec.ipsec_certificates:
    certificates:
      - name: berlin
        pkcs12: "{{ vault_berlin_p12 }}"
        passphrase: "{{ vault_berlin_passphrase }}"

- name: The same, in PEM
  xswan.ipsec.ipsec_certificates:
    certificates:
      - name: berlin
        content: "{{ lookup('ansible.builtin.file', 'berlin.pem') }}"
        key: "{{ vault_berlin_key }}"
      - name: our-ca
        content: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"

- name: Remove what was added
  xswan.ipsec.ipsec_certificates:
    purge: true
"""

RETURN = r"""
about:
  description: What went wrong, if anything did, and for what the module has waited, in one line for a person.
  returned: after a failure, or when it has waited longer than a few seconds
  type: str
  sample: "waited 12 s for another run on this host to end"
actions:
  description: What was done. In check mode, what would be.
  returned: success
  type: list
  elements: str
  sample: [replace berlin]
certificates:
  description:
    - The declared certificates by nickname, those of chains too.
    - Each has its fingerprint, its trust as certutil prints it, and whether the private key is there.
  returned: success
  type: dict
  sample:
    berlin: {fingerprint: "5F:A4:C9:6D", trust: "u,u,u", key: true}
undeclared:
  description: Nicknames that O(purge) would remove.
  returned: success
  type: list
  elements: str
  sample: [lisbon]
error:
  description: What kind of failure it was. The types are those of RV(xswan.ipsec.ipsec_setup#module:error).
  returned: failure
  type: dict
  sample: {type: ConfigError}
"""

import typing as t

from ..module_utils._imports import compile_once

compile_once()

from ..module_utils._certificates import SOURCES, entries_from, settle
from ..module_utils._commands import LocalCommands
from ..module_utils._module import Module, run
from ..module_utils._nss_local import nss_host

if t.TYPE_CHECKING:
    from ..module_utils._nss_host import NssHost


def action(host: NssHost, params: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Have the certificates that the parameters of the module ask for."""
    entries = entries_from(params["certificates"], host.files)
    return settle(entries, host, purge=params["purge"], check_mode=check_mode)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "content": {"type": "str"},
                    "src": {"type": "path"},
                    "pkcs12": {"type": "str", "no_log": True},
                    "pkcs12_src": {"type": "path"},
                    "passphrase": {"type": "str", "no_log": True},
                    "key": {"type": "str", "no_log": True},
                    "trust": {"type": "str"},
                },
                "mutually_exclusive": [SOURCES],
                "required_if": [("state", "present", SOURCES, True)],
            },
            "purge": {"type": "bool", "default": False},
            "config": {"type": "path", "default": "/etc/ipsec.conf"},
            "nssdir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    commands = LocalCommands(module.run_command)
    params = module.params
    run(
        module,
        lambda local: action(nss_host(local, commands, params["nssdir"]), params, check_mode=module.check_mode),
    )


if __name__ == "__main__":
    main()
