# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a certificate; those that openssl makes are in tests/contract."""

from __future__ import annotations

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._x509 import certificates_in, is_ca, is_self_issued, pem_of


def der(tag: int, *contents: bytes) -> bytes:
    """A value of less than 128 bytes."""
    content = b"".join(contents)
    return bytes([tag, len(content)]) + content


def certificate(*extensions: bytes, fields: int = 7) -> bytes:
    """What looks like one, as far as it is read."""
    version, serial, other = der(0xA0, der(0x02, b"\x02")), der(0x02, b"\x01"), der(0x30)
    body = [version, serial, other, der(0x30, b"issuer"), other, der(0x30, b"subject"), other][:fields]
    return der(0x30, der(0x30, *body, *extensions), other, der(0x03, b"\0"))


def extensions(*contents: bytes) -> bytes:
    return der(0xA3, der(0x30, *contents))


KEY_USAGE = der(0x30, der(0x06, b"\x55\x1d\x0f"), der(0x04, der(0x03, b"\0")))


@pytest.mark.parametrize("given", [(), (extensions(KEY_USAGE),), (extensions(),)])
def test_without_basic_constraints_it_is_no_ca(given: tuple[bytes, ...]) -> None:
    assert is_ca(certificate(*given)) is False
    assert is_self_issued(certificate(*given)) is False


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (certificate(fields=4), "this is no certificate"),
        (certificate(der(0xA3)), "this is no certificate"),
        (certificate()[:-1], "cut off"),
        (der(0x30), "."),
        (b"", "."),
    ],
)
def test_what_is_damaged(value: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        certificates_in(pem_of(value))
