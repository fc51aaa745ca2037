# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets, looked for where nobody may find them, after files/secrets.yml was played as loudly as Ansible can be.

Secrets are the pre-shared keys, the master and what is derived from it, the passphrase and the private key of a
certificate, and the keys of every SA that the kernels had. They are looked for as they are, in hex, in base64, and as
numbers, in all that Ansible printed, in the journals, with pluto's words, in kernel messages, in files that Ansible
left, and in the argument lists and environments of all processes meanwhile (files/sampler.py). The search is done here,
on texts: no secret is on a command line.
"""

from __future__ import annotations

import base64
import collections.abc as c
import contextlib
import datetime
import functools
import secrets
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from ansible_collections.xswan.ipsec.plugins.plugin_utils._keys import pair_key
from chaos.gateways import BACKUPS, FILES, Row, each, judged, new_psk, variables, variant
from lab import Lab
from lab.ansible import playbook
from lab.lab import Gateway
from lab.tools import wait_until

SECRETS = FILES / "secrets.yml"
BEGIN = (
    "mkdir -m 700 /run/chaos; cat >/run/chaos/sampler.py;"
    "setsid python3 /run/chaos/sampler.py </dev/null >/dev/null 2>&1 &"
)
CANARY = "XSWAN_CANARY"
FAILING = (
    *("Give a wrong passphrase", "Give a key that is none", "Give secrets that cannot be read"),
    *(
        "Give a configuration that is refused",
        "Give secrets without being root",
        "Give secrets for a path that is none",
    ),
    *("Misspell an option", "Restart, and wait in vain", "Start by what is rejected"),
)
"""Tasks that must fail somewhere: else nothing is proven of what a failure tells."""
PLACES = {
    "the argument lists and environments on": "cat /run/chaos/seen",
    "the journal of": "journalctl -q -o export --all",
    "the kernel's messages of": "dmesg",
    "log files of": "find /var/log -type f -exec cat {} +",
    "files that Ansible left on": "find /root/.ansible /tmp /var/tmp -type f -exec cat {} + 2>/dev/null || :",
}
"""Shell that prints what is to be searched, by what it is called."""
READABLE = " | tr -cd '\\11\\12\\40-\\176'"


def spellings(key: bytes) -> c.Iterator[str]:
    """How these bytes can be written into text: raw, in hex, as numbers, in base64 at each of its three places."""
    with contextlib.suppress(UnicodeDecodeError):
        yield key.decode()
    for text in (key.hex(), key.hex(" "), key.hex(":"), str(list(key))[1:-1]):
        yield text
        yield text.upper()
    for before in range(3):
        whole = base64.b64encode(bytes(before) + key).decode()
        yield whole[4 if before else 0 : -4]


def found_in(text: str, named: dict[str, list[bytes]]) -> list[str]:
    """The names of the secrets of which something stands in a text."""
    return [name for name, keys in named.items() if any(one in text for key in keys for one in spellings(key))]


class Identity(t.NamedTuple):
    """A certificate with its private key."""

    p12: str
    """PKCS#12, in base64."""
    passphrase: str
    key: str
    """PEM."""
    certificate: str
    """PEM."""
    parts: list[bytes]
    """What of the key is secret: its exponent and primes, and the lines of its PEM that hold these."""


def identity() -> Identity:
    """A new one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chaos")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    passphrase = secrets.token_hex(16)
    # what every version of NSS understands
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .build(passphrase.encode())
    )
    numbers = key.private_numbers()
    pem = serialization.Encoding.PEM
    return Identity(
        base64.b64encode(pkcs12.serialize_key_and_certificates(b"chaos", key, certificate, None, encryption)).decode(),
        passphrase,
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        certificate.public_bytes(pem).decode(),
        # as DER has them, without leading zeros
        [n.to_bytes((n.bit_length() + 7) // 8, "big")[:32] for n in (numbers.d, numbers.p, numbers.q)],
    )


def once(lab: Lab, *options: str) -> list[str]:
    """Play it, and search; the findings."""
    master, mine = secrets.token_hex(24), identity()
    psks = [new_psk(), new_psk()]
    one, other = (variant(lab, psk) for psk in psks)
    canary = secrets.token_hex(16)
    named = {
        "a pre-shared key": [psk.encode() for psk in psks],
        "the master": [master.encode()],
        "a derived key": [pair_key(master, ("@here", "@there")).encode()],
        "the passphrase": [mine.passphrase.encode()],
        "the private key": mine.parts,
    }
    code = (FILES / "sampler.py").read_text()
    given: dict[str, t.Any] = {name: one._asdict() for name, one in (("one", one), ("other", other))}
    given.update(mine._asdict(), master=master, backups=BACKUPS, parts=None)
    try:
        each(lab, lambda gateway: gateway.run(BEGIN, stdin=code))
        each(lab, lambda gateway: _await_canary(gateway, canary))
        with variables(**given) as words:
            run = playbook(lab, SECRETS, "-vvvv", "--diff", "-e", words, *options)
        texts = {"Ansible's output": run.text}
        for place, shell in PLACES.items():
            said = each(lab, functools.partial(_said, shell=shell))
            texts.update({f"{place} {name}": text for name, text in said.items()})
        keys = each(lab, lambda gateway: gateway.run("sort -u /run/chaos/keys").stdout.split())
    finally:
        each(lab, lambda gateway: gateway.run("rm -rf /run/chaos"))
    named["a key of an SA"] = [bytes.fromhex(key) for some in keys.values() for key in some]
    return [
        *(f"{name} stands in {place}" for place, text in texts.items() for name in found_in(text, named)),
        *_untested(lab, run.text, texts, keys),
        *judged(lab, one),
    ]


def _said(gateway: Gateway, shell: str) -> str:
    """What of it can be read as text."""
    return gateway.run(f"{{ {shell}; }}{READABLE}", timeout=120).stdout


def _await_canary(gateway: Gateway, canary: str) -> None:
    """The sampler sees what is on a command line and in an environment: or else it would prove nothing."""
    for number, command in enumerate((f"env {CANARY}={canary}0 sleep 1", f"sh -c 'sleep 1; : {canary}1'")):

        def seen(number: int = number, command: str = command) -> bool:
            gateway.run(command)
            return f"{canary}{number}" in _said(gateway, "cat /run/chaos/seen || :")

        wait_until(seen, 120, f"{gateway.name}: the sampler sees argument lists and environments")


def _untested(lab: Lab, printed: str, texts: dict[str, str], keys: dict[str, list[str]]) -> c.Iterator[str]:
    """What was not where it should have been looked for: then nothing is proven."""
    for name in lab.gateways:
        if not keys[name]:
            yield f"{name} had no SA"
        if "pluto" not in texts[f"the argument lists and environments on {name}"]:
            yield f"{name}: the sampler saw no pluto"
        if "ipsec_setup" not in texts[f"the journal of {name}"]:
            yield f"{name}: nothing is in the journal"
    for task in FAILING:
        if "...ignoring" not in printed.partition(f"TASK [{task}]")[2].partition("\nTASK [")[0]:
            yield f"the task `{task}` does not fail"


def campaign(lab: Lab, *options: str) -> list[Row]:
    """Play all; one row."""
    found = once(lab, *options)
    print(f"secrets: {'; '.join(found) or 'none was found'}", flush=True)
    return [Row("secrets", "every verb and failure, searched for secrets", 1, tuple(found))]
