# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As much of X.509 (RFC 5280) as it takes to tell certificates apart, without a library. Pure."""

from __future__ import annotations

import base64
import hashlib
import re

_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s(?P<text>.*?)-----END (?P=label)-----", re.DOTALL)
"""RFC 7468."""
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")

_SEQUENCE, _OBJECT_ID, _BOOLEAN, _VERSION, _EXTENSIONS = 0x30, 0x06, 0x01, 0xA0, 0xA3
_BASIC_CONSTRAINTS = b"\x55\x1d\x13"
"""2.5.29.19"""


def certificates_in(pem: str) -> tuple[bytes, ...]:
    """The DER of every certificate in a text, in its order; ValueError when one is damaged."""
    blocks = (match["text"] for match in _BLOCK.finditer(pem) if match["label"] in _LABELS)
    found = tuple(base64.b64decode("".join(text.split()), validate=True) for text in blocks)
    for certificate in found:
        try:
            is_ca(certificate)
        except IndexError as exc:
            raise ValueError("this is no certificate") from exc
    return found


def has_private_key(pem: str) -> bool:
    """Whether a text has the PEM of a private key, encrypted or not."""
    return any(match["label"].endswith("PRIVATE KEY") for match in _BLOCK.finditer(pem))


def pem_of(certificate: bytes) -> str:
    """The certificate as text."""
    text = base64.b64encode(certificate).decode("ascii")
    lines = "".join(f"{text[begin : begin + 64]}\n" for begin in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate, as certutil and openssl print it."""
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(certificate).digest())


def is_ca(certificate: bytes) -> bool:
    """Whether it may issue others: cA of its basic constraints (RFC 5280, 4.2.1.9)."""
    for tag, extensions in _body(certificate):
        if tag != _EXTENSIONS:
            continue
        for _tag, extension in _values(_values(extensions)[0][1]):
            (_object, identity), *_critical, (_octets, content) = _values(extension)
            if identity == _BASIC_CONSTRAINTS:
                constraints = _values(_values(content)[0][1])
                return bool(constraints) and constraints[0][0] == _BOOLEAN and constraints[0][1] != b"\0"
    return False


def is_self_issued(certificate: bytes) -> bool:
    """Whether issuer and subject are the same, as with the root of a chain."""
    fields = [value for tag, value in _body(certificate) if tag != _VERSION]
    # serial number, signature algorithm, issuer, validity, subject
    return fields[2] == fields[4]


def _body(certificate: bytes) -> list[tuple[int, bytes]]:
    """The fields of tbsCertificate; ValueError when it is none."""
    ((tag, signed),) = _values(certificate)
    (inner, body), *_signature = _values(signed) if tag == _SEQUENCE else [(0, b"")]
    fields = _values(body) if inner == _SEQUENCE else []
    if len(fields) < 6:
        raise ValueError("this is no certificate")
    return fields


def _values(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each value (X.690, tags of one byte, definite lengths); ValueError when it is cut off."""
    found = []
    at = 0
    while at < len(der):
        tag, length, begin = der[at], der[at + 1] if at + 1 < len(der) else 0, at + 2
        if length & 0x80:
            size = length & 0x7F
            length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
        at = begin + length
        if at > len(der):
            raise ValueError("it is cut off")
        found.append((tag, der[begin:at]))
    return found
