# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-shared keys that both ends of a pair derive from one secret: nothing is stored, nothing is sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import typing as t

MASTER_LENGTH: t.Final = 32
"""Least characters of a master. It is the whole security of every key, so it has to be a random one."""

_HASH: t.Final = hashlib.sha256
_PURPOSE: t.Final = b"xswan.ipsec PSK 1"
_KEY_BYTES: t.Final = 32


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869): `length` bytes, at most 8160, that `info` tells apart."""
    size = _HASH().digest_size
    if length > 255 * size:
        raise ValueError(f"HKDF gives at most {255 * size} bytes")
    extracted = hmac.new(salt or bytes(size), key, _HASH).digest()
    block, output = b"", b""
    for number in range(1, -(-length // size) + 1):
        block = hmac.new(extracted, block + info + bytes([number]), _HASH).digest()
        output += block
    return output[:length]


def pair_key(master: str, ids: t.Iterable[str]) -> str:
    """The key of those who have these IKE identities, in any order: 43 letters, digits, "-" and "_" (256 bits).

    The same master and identities always give the same key. ValueError when the master is too short.
    """
    if len(master) < MASTER_LENGTH:
        raise ValueError(f"has {len(master)} characters; allowed: {MASTER_LENGTH} or more, random ones")
    # Each with its length in front, so that no two lists of identities are one text.
    names = b"".join(len(name).to_bytes(4, "big") + name for name in sorted(one.encode() for one in ids))
    derived = hkdf(master.encode(), b"", _PURPOSE + names, _KEY_BYTES)
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")
