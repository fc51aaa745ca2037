# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates come, are renewed and go; the fake NSS is held against the real one in tests/contract."""

from __future__ import annotations

import base64
import json
import re
import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._certificates import entries_from, settle
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, VerifyError
from ansible_collections.xswan.ipsec.plugins.module_utils._record import RECORD
from ansible_collections.xswan.ipsec.plugins.module_utils._x509 import (
    certificates_in,
    fingerprint,
    is_ca,
    is_self_issued,
    pem_of,
)
from ansible_collections.xswan.ipsec.plugins.modules import ipsec_certificates
from fake_host import FakeHost, FakeSession, public_key

SECRET = "hush hush hush"


def der(tag: int, *contents: bytes) -> bytes:
    """A value of less than 64 KiB."""
    content = b"".join(contents)
    size = len(content).to_bytes(2, "big")
    return bytes([tag]) + (b"\x82" + size if len(content) > 127 else size[1:]) + content


def certificate(subject: str, *, issuer: str = "ca", key: str = "", serial: int = 1, ca: bool = False) -> bytes:
    """What looks like one."""
    true = der(0x30, der(0x01, b"\xff")) if ca else der(0x30)
    constraints = der(0x30, der(0x06, b"\x55\x1d\x13"), der(0x01, b"\xff"), der(0x04, true))
    other = der(0x30, der(0x06, b"\x55\x1d\x0e"), der(0x04, der(0x04, b"x" * 200)))
    body = (
        *(der(0xA0, der(0x02, b"\x02")), der(0x02, bytes([serial])), der(0x30), der(0x30, issuer.encode())),
        *(der(0x30), der(0x30, subject.encode()), der(0x30, (key or subject).encode())),
        der(0xA3, der(0x30, other, constraints)),
    )
    return der(0x30, der(0x30, *body), der(0x30), der(0x03, b"\0"))


CA = certificate("ca", ca=True)
MIDDLE = certificate("middle", ca=True)
GW1, RENEWED, GW2 = certificate("gw1"), certificate("gw1", key="gw1 new", serial=2), certificate("gw2")
ROOT, BETWEEN = (f"gw1 issuer {fingerprint(one).replace(':', '')[:8]}" for one in (CA, MIDDLE))
P12, NEW_P12 = b"a file", b"a new file"
KEY = "-----BEGIN PRIVATE KEY-----\nhushhush\n-----END PRIVATE KEY-----\n"


def gateway() -> FakeHost:
    fake = FakeHost()
    fake.pkcs12 = {P12: (SECRET, (GW1, CA)), NEW_P12: (SECRET, (RENEWED, MIDDLE, CA))}
    fake.pem_keys = {KEY.encode(): ("", GW1)}
    return fake


def pkcs12(content: bytes = P12, name: str = "gw1", **more: str) -> dict[str, t.Any]:
    return {"name": name, "pkcs12": base64.b64encode(content).decode(), "passphrase": SECRET, **more}


def pem(name: str, *certificates: bytes, **more: str) -> dict[str, t.Any]:
    return {"name": name, "content": "".join(map(pem_of, certificates)), **more}


def done(fake: FakeHost, *given: dict[str, t.Any], purge: bool = True, check_mode: bool = False) -> dict[str, t.Any]:
    host = fake.nss_host()
    entries = entries_from([{"state": "present", **one} for one in given], host.files)
    result = settle(entries, host, purge=purge, check_mode=check_mode)
    assert "hush" not in json.dumps([result, fake.log, {path: text for path, (_mode, text) in fake.files.items()}])
    return result


def run(fake: FakeHost, *given: dict[str, t.Any], purge: bool = True) -> list[str]:
    """Check mode foretells the run and changes nothing, and the second run finds nothing to do; what was done."""
    before = (dict(fake.nss), set(fake.nss_keys), dict(fake.files))
    told = done(fake, *given, purge=purge, check_mode=True)
    assert (fake.nss, fake.nss_keys, fake.files) == before
    result = done(fake, *given, purge=purge)
    # in check mode nothing is gone yet
    assert {**result, "undeclared": told["undeclared"]} == told
    assert result["changed"] == bool(result["actions"])
    again = done(fake, *given, purge=purge)
    assert (again["changed"], again["actions"], again["diff"]) == (False, [], [])
    actions: list[str] = result["actions"]
    return actions


def test_a_certificate_comes_with_its_key_and_its_ca() -> None:
    fake = gateway()
    assert run(fake, pkcs12()) == ["add gw1", f"add {ROOT}"]
    assert fake.nss == {"gw1": (GW1, ",,"), ROOT: (CA, "CT,,")}
    found = done(fake, pkcs12())["certificates"]["gw1"]
    assert found == {"fingerprint": fingerprint(GW1), "trust": "u,u,u", "key": True}
    assert f"certificates: add gw1, add {ROOT}" in fake.log


def test_a_renewed_one_is_replaced_with_its_key_and_pluto_is_outdated() -> None:
    fake = gateway()
    run(fake, pkcs12())
    fake.run_pluto()
    assert run(fake, pkcs12(NEW_P12)) == ["replace gw1", f"add {BETWEEN}"]
    assert fake.nss == {"gw1": (RENEWED, ",,"), ROOT: (CA, "CT,,"), BETWEEN: (MIDDLE, ",,")}
    assert fake.nss_keys == {public_key(RENEWED)}
    assert [call for call in fake.calls if call.startswith("outdate")] == [f"outdate gw1 {BETWEEN}"]
    # what is in nobody's chain any more goes
    assert run(fake, pkcs12()) == [f"remove {BETWEEN}", "replace gw1"]


def test_only_its_trust_changes() -> None:
    fake = gateway()
    run(fake, pem("peer", GW2))
    fake.calls.clear()
    assert run(fake, pem("peer", GW2, trust="P,,")) == ["trust peer"]
    assert fake.nss["peer"] == (GW2, "P,,")
    assert not [call for call in fake.calls if "add" in call or "remove" in call]


def test_what_nss_does_not_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = gateway()
    run(fake, pem("peer", GW2))
    monkeypatch.setattr(FakeSession, "set_trust", lambda *_words: None)
    with pytest.raises(VerifyError, match="this is left to do: trust peer"):
        run(fake, pem("peer", GW2, trust="P,,"))


@pytest.mark.parametrize("trust", ["u,u,u", "cCT,,", "CTw,,", "CT,,"])
def test_what_nss_does_not_keep_is_not_compared(trust: str) -> None:
    fake = gateway()
    run(fake, pem("ca", CA, trust=trust))
    fake.nss["ca"] = (CA, {"u,u,u": ",,"}.get(trust, "CT,,"))
    assert done(fake, pem("ca", CA, trust=trust))["changed"] is False


def test_a_pluto_that_runs_does_not_notice_a_new_ca_at_once() -> None:
    """An intermediate one is looked up in the database each time."""
    fake = gateway()
    assert done(fake, pkcs12(), check_mode=True)["warnings"] == []
    fake.run_pluto()
    foretold = done(fake, pkcs12(), check_mode=True)["warnings"]
    (warning,) = done(fake, pkcs12())["warnings"]
    assert foretold == [warning]
    assert f"five minutes: {ROOT} may not count" in warning
    assert done(fake, pkcs12())["warnings"] == []
    assert done(fake, pkcs12(NEW_P12))["warnings"] == []


def test_a_key_in_pem() -> None:
    fake = gateway()
    assert run(fake, pem("gw1", GW1)) == ["add gw1"]
    assert run(fake, pem("gw1", GW1, key=KEY)) == ["replace gw1"]
    assert len(fake.nss_keys) == 1
    with pytest.raises(ConfigError, match="key of certificate gw2 cannot be used"):
        done(fake, pem("gw2", GW2, key=KEY))


def test_a_key_that_was_made_in_the_database_stays_for_the_renewed_certificate() -> None:
    fake = gateway()
    fake.nss, fake.nss_keys = {"gw1": (GW1, ",,")}, {public_key(GW1)}
    renewed = certificate("gw1", serial=3)
    assert run(fake, pem("gw1", renewed)) == ["replace gw1"]
    assert fake.nss_keys == {public_key(GW1)}
    assert run(fake) == ["remove gw1"]
    assert fake.nss_keys == {public_key(GW1)}


def test_only_what_was_added_is_purged() -> None:
    fake = gateway()
    fake.nss = {"theirs": (GW2, "P,,")}
    run(fake, pkcs12(), pem("theirs", GW2, trust="P,,"))
    kept = done(fake, purge=False)
    assert (kept["changed"], kept["undeclared"]) == (False, ["gw1", ROOT])
    assert run(fake) == ["remove gw1", f"remove {ROOT}"]
    assert (fake.nss, fake.nss_keys, fake.files) == ({"theirs": (GW2, "P,,")}, set(), {})
    fake.calls.clear()
    assert run(fake) == []
    assert "open" not in fake.calls


def test_what_somebody_else_has_replaced_is_theirs() -> None:
    fake = gateway()
    run(fake, pem("peer", GW2))
    fake.nss["peer"] = (certificate("other"), ",,")
    assert run(fake) == []
    assert RECORD not in fake.files
    assert "peer" in fake.nss


def test_absent_removes_whoever_added_it_with_its_key() -> None:
    fake = gateway()
    fake.nss, fake.nss_keys = {"gw1": (GW1, ",,"), "peer": (GW2, ",,")}, {public_key(GW1)}
    absent = [{"name": name, "state": "absent"} for name in ("gw1", "peer", "nobody")]
    assert run(fake, *absent) == ["remove gw1", "remove peer"]
    assert (fake.nss, fake.nss_keys) == ({}, set())


def test_ours_is_renamed_and_that_of_others_is_not() -> None:
    fake = gateway()
    run(fake, pkcs12())
    assert run(fake, pkcs12(), pem("our-ca", CA), purge=False) == [f"remove {ROOT}", "add our-ca"]
    fake.nss["theirs"] = (GW2, ",,")
    with pytest.raises(ConfigError, match="by the nickname theirs, and NSS keeps one; call it theirs"):
        done(fake, pem("peer", GW2))
    assert run(fake, pkcs12(), pem("our-ca", CA), pem("peer", GW2), {"name": "theirs", "state": "absent"}) == [
        "remove theirs",
        "add peer",
    ]


def test_a_chain_is_there_by_whatever_nickname() -> None:
    fake = gateway()
    fake.nss = {"their-ca": (CA, "C,,")}
    assert run(fake, pkcs12()) == ["add gw1"]
    assert fake.nss["their-ca"] == (CA, "C,,")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            pkcs12(passphrase="hush"),
            "certificate gw1: the passphrase of the PKCS #12 file is wrong; give the one that it was made with; "
            "nothing was changed",
        ),
        (pkcs12(b"else"), "certificate gw1: the PKCS #12 file cannot be read"),
        (pkcs12(passphrase="hush\nhush"), r"certificates\[0\].passphrase: has more than one line"),
        (pkcs12(key=KEY), r"certificates\[0\].key: goes with a certificate in PEM"),
        ({"name": "a", "pkcs12": "hush!"}, r"certificates\[0\].pkcs12: is no base64"),
        ({"name": "a", "pkcs12_src": "/none"}, r"pkcs12_src: there is no file /none on the gateway"),
        ({"name": "a", "src": "/none"}, r"src: there is no file /none on the gateway"),
        (pem("a"), "is empty"),
        (pem("a:b", CA), "'a:b' is no nickname"),
        (pem("-a", CA), "'-a' is no nickname"),
        (pem("a", CA, trust="CT"), "'CT' is no trust"),
        (pem("a", CA, trust=",T,"), "',T,' is no trust"),
        (pem("a", CA, key="hush"), "key: is no private key in PEM"),
        ({"name": "a", "content": pem_of(GW1) + KEY}, "content: has a private key in it; give that as key"),
        ({"name": "a", "content": "text"}, "content: has no certificate in PEM"),
        ({"name": "a", "content": pem_of(GW1[:50])}, "content: a certificate in it is damaged"),
    ],
)
def test_mistakes(given: dict[str, t.Any], said: str) -> None:
    fake = gateway()
    with pytest.raises(ConfigError, match=said) as caught:
        done(fake, given)
    assert "hush" not in str(caught.value).replace("hush!", "")
    # and what to do
    assert re.search(r"; (give|take|leave|correct|allowed:) |; nothing was changed$", str(caught.value))
    assert (fake.nss, fake.files) == ({}, {})


def test_two_that_are_one() -> None:
    with pytest.raises(ConfigError, match="a and b are one certificate"):
        done(gateway(), pem("a", GW1), pem("b", GW1))
    with pytest.raises(ConfigError, match="a is there twice; leave one out"):
        done(gateway(), pem("a", GW1), pem("a", GW2))


def test_files_on_the_gateway() -> None:
    fake = gateway()
    fake.files = {"/root/a.pem": (0o600, pem_of(GW2)), "/root/b.p12": (0o600, P12.decode())}
    given = [{"name": "a", "src": "/root/a.pem"}, {"name": "b", "pkcs12_src": "/root/b.p12", "passphrase": SECRET}]
    assert run(fake, *given) == ["add a", "add b", f"add {ROOT.replace('gw1', 'b')}"]


def test_what_nss_refuses_has_changed_nothing() -> None:
    fake = gateway()
    fake.fail = "copy: add gw1"
    with pytest.raises(ConfigError, match="NSS does not take gw1") as caught:
        done(fake, pkcs12())
    assert (fake.nss, fake.files, caught.value.done) == ({}, {}, ())


def test_after_a_failure_the_record_knows_what_was_added() -> None:
    fake = gateway()
    fake.fail = f"nss: add {ROOT}"
    with pytest.raises(ConfigError) as caught:
        done(fake, pkcs12())
    assert caught.value.done == ("add gw1",)
    fake.fail = None
    assert run(fake) == ["remove gw1"]


def test_certificates_are_told_apart() -> None:
    assert (is_ca(CA), is_ca(GW1), is_self_issued(CA), is_self_issued(MIDDLE)) == (True, False, True, False)
    assert certificates_in(f"text\n{pem_of(CA)}{pem_of(GW1)}") == (CA, GW1)
    for broken in (b"", b"0", b"0\x00", b"0\x80", GW1[:-1], GW1 + b"\0"):
        with pytest.raises(ValueError, match=r"."):
            certificates_in(pem_of(broken))


def test_the_module() -> None:
    fake = gateway()
    params: dict[str, t.Any] = {"certificates": [pkcs12(state="present")], "purge": False}
    told = ipsec_certificates.action(fake.nss_host(), params, check_mode=True)
    assert not fake.nss
    assert ipsec_certificates.action(fake.nss_host(), params, check_mode=False) == told
    none = {"certificates": [], "purge": True}
    assert ipsec_certificates.action(fake.nss_host(), none, check_mode=False)["changed"] is True
    assert not fake.nss
