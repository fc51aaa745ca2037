# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port Nss: the fake one, and this machine's certutil, pk12util and openssl in a database of the test's own."""

from __future__ import annotations

import collections.abc as c
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed, LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._nss import LocalNss
from ansible_collections.xswan.ipsec.plugins.module_utils._nss_host import Key
from ansible_collections.xswan.ipsec.plugins.module_utils._x509 import certificates_in
from contract.contract import run_command
from fake_host import FakeHost, FakeNss

if t.TYPE_CHECKING:
    from ansible_collections.xswan.ipsec.plugins.module_utils._nss_host import Nss

PASSPHRASE = "hush hush hush"
MAKE = f"""
umask 077
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -key ca.key -out ca.pem -subj /O=Lab/CN=ca -days 9
for name in gw renewed; do
    openssl ecparam -name prime256v1 -genkey -noout -out $name.key
    openssl req -new -key $name.key -out request -subj /O=Lab/CN=gw
    openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 9
    openssl pkcs12 -export -inkey $name.key -in $name.pem -certfile ca.pem -passout 'pass:{PASSPHRASE}' -out $name.p12
done
openssl pkcs12 -export -inkey gw.key -in gw.pem -passout pass: -name other -out open.p12
openssl pkcs12 -export -nokeys -in ca.pem -passout 'pass:{PASSPHRASE}' -out keyless.p12
openssl ec -in gw.key -aes256 -passout 'pass:{PASSPHRASE}' -out locked.key
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    subprocess.run(["sh", "-ec", MAKE], cwd=folder, capture_output=True, check=True, timeout=60)
    return folder


class Programs(LocalCommands):
    """Those of the machine, but for `ipsec`; what they are told is kept."""

    def __init__(self, setup: dict[str, Path]) -> None:
        super().__init__(self._run_program)
        self._setup = setup
        self.missing: str | None = None
        self.told: list[str] = []

    def run(self, *argv: str, timeout: float) -> Completed:
        if argv[0] == "ipsec":
            lines = "".join(f"export {key}='{path}'\n" for key, path in self._setup.items())
            return Completed(argv, 0, lines, "")
        return super().run(*argv, timeout=timeout)

    def _run_program(self, args: list[str], **how: t.Any) -> tuple[int, str, str]:
        self.told.append(" ".join(args))
        if self.missing in args:
            # as timeout(1) says it
            return 127, "", ""
        return run_command(args, **how)


def real(tmp_path: Path) -> tuple[LocalNss, Programs]:
    (tmp_path / "nss").mkdir()
    programs = Programs({"nssdir": tmp_path / "nss", "ipsecdir": tmp_path})
    return LocalNss(programs, config="/etc/ipsec.conf", work=str(tmp_path / "work")), programs


def one(file: Path) -> bytes:
    (found,) = certificates_in(file.read_text())
    return found


def fake(pki: Path) -> FakeNss:
    host = FakeHost()
    ca, gw, renewed = (one(pki / f"{name}.pem") for name in ("ca", "gw", "renewed"))
    host.pkcs12 = {
        (pki / "gw.p12").read_bytes(): (PASSPHRASE, (gw, ca)),
        (pki / "renewed.p12").read_bytes(): (PASSPHRASE, (renewed, ca)),
        (pki / "open.p12").read_bytes(): ("", (gw,)),
    }
    host.pem_keys = {(pki / "gw.key").read_bytes(): ("", gw), (pki / "locked.key").read_bytes(): (PASSPHRASE, gw)}
    return FakeNss(host)


def story(nss: Nss, pki: Path) -> list[t.Any]:
    """What an NSS answers, whichever it is."""
    ca, gw, renewed = (one(pki / f"{name}.pem") for name in ("ca", "gw", "renewed"))
    said: list[t.Any] = []

    def key(name: str, passphrase: str = "") -> Key:
        return Key("pkcs12" if name.endswith("p12") else "pem", (pki / name).read_bytes(), passphrase)

    def refused(action: c.Callable[[], object]) -> None:
        try:
            action()
        except ConfigError as error:
            said.append(str(error).partition(":")[0].partition(",")[0])

    with nss.open() as session:
        said += [session.listing(), session.unpack(key("gw.p12", PASSPHRASE)) == (gw, ca)]
        said.append(session.unpack(key("open.p12")) == (gw,))
        refused(lambda: session.unpack(key("gw.p12", "wrong")))
        session.add("our ca", ca, "CT,,", None)
        session.add("gw", gw, ",,", key("gw.p12", PASSPHRASE))
        said += [session.listing(), session.certificates("gw") == (gw,), session.certificates("our ca") == (ca,)]
        for trust in ("P,,", "C,,", "c,c,c", ",,", "CT,C,C"):
            session.set_trust("our ca", trust)
            said.append(session.listing()["our ca"])
        # one certificate has one nickname
        session.add("second", ca, "C,,", None)
        said.append(session.listing())
        copy = session.copy()
        copy.remove("our ca", key=False)
        said += [sorted(copy.listing()), sorted(session.listing())]
    with nss.open() as session:
        # two of one subject are found by the nicknames of both
        session.add("renewed", renewed, ",,", None)
        said += [set(session.certificates("gw")) == {gw, renewed}, session.listing()]
        session.remove("gw", key=True)
        said.append(session.listing())
        other = session.copy()
        refused(lambda: other.add("gw", gw, ",,", key("gw.p12", PASSPHRASE)))
        session.remove("renewed", key=False)
        refused(lambda: session.add("gw", renewed, ",,", key("gw.key")))
        session.add("gw", gw, ",,", key("gw.key"))
        session.remove("gw", key=False)
        # the key is still there
        session.add("gw again", gw, ",,", None)
        said.append(session.listing())
        session.remove("gw again", key=True)
        session.add("gw", gw, "P,,", key("locked.key", PASSPHRASE))
        said.append(session.listing())
    return said


def test_the_fake_database_is_like_the_real_one(pki: Path, tmp_path: Path) -> None:
    nss, programs = real(tmp_path)
    assert story(nss, pki) == story(fake(pki), pki)
    assert not (tmp_path / "work").exists()
    assert PASSPHRASE not in "\n".join(programs.told)


def test_a_database_is_asked_again_only_when_it_has_changed(pki: Path, tmp_path: Path) -> None:
    nss, programs = real(tmp_path)
    gw = one(pki / "gw.pem")
    with nss.open() as session:
        session.add("gw", gw, ",,", None)
        for trust in (",,", "P,,"):
            session.set_trust("gw", trust)
            before = len(programs.told)
            for _again in range(3):
                assert (session.listing()["gw"], session.certificates("gw")) == (trust, (gw,))
            assert len(programs.told) == before + 2


def test_nothing_is_left_after_a_failure(pki: Path, tmp_path: Path) -> None:
    nss, _programs = real(tmp_path)
    wrong = Key("pkcs12", (pki / "gw.p12").read_bytes(), "wrong")
    with pytest.raises(ConfigError, match="the passphrase of the PKCS #12 file is wrong"), nss.open() as session:
        session.unpack(wrong)
    assert not (tmp_path / "work").exists()
    with pytest.raises(ConfigError, match="it holds 0 certificates with their private keys"), nss.open() as session:
        session.unpack(Key("pkcs12", (pki / "keyless.p12").read_bytes(), PASSPHRASE))


def test_who_fails_says_what_to_do(pki: Path, tmp_path: Path) -> None:
    nss, _programs = real(tmp_path)
    gw, stranger = one(pki / "gw.pem"), one(pki / "ca.pem")
    with nss.open() as session:
        with pytest.raises(
            ConfigError, match=r"cannot be read: .*; give one that `openssl pkcs12 -info -in FILE` reads"
        ):
            session.unpack(Key("pkcs12", b"none"))
        wrong = Key("pem", (pki / "gw.key").read_bytes())
        with pytest.raises(ConfigError, match=r"cannot be used: .*; give the one that belongs to the certificate, and"):
            session.add("gw", stranger, ",,", wrong)
        session.add("gw", gw, ",,", None)
        with pytest.raises(ConfigError, match=r"does not remove certificate none: .* room, and whether `certutil -L`"):
            session.remove("none", key=False)
        (tmp_path / "nss/cert9.db").write_bytes(b"")
        (tmp_path / "nss/key4.db").write_text("none")
        with pytest.raises(
            ConfigError, match=r"the NSS database in .* does not .* room, and whether `certutil -L` reads"
        ):
            session.certificates("gw")


@pytest.mark.parametrize(
    ("program", "cure"),
    [
        ("openssl", "the package openssl, or give PKCS #12 in place of PEM"),
        ("certutil", "the package libnss3-tools (Debian), nss-tools (Red Hat, Alpine) or mozilla-nss-tools (SUSE)"),
    ],
)
def test_a_program_that_is_missing(program: str, cure: str, pki: Path, tmp_path: Path) -> None:
    nss, programs = real(tmp_path)
    programs.missing = program
    key = Key("pem", (pki / "gw.key").read_bytes())
    with nss.open() as session, pytest.raises(DependencyError) as raised:
        session.add("gw", one(pki / "gw.pem"), ",,", key)
    assert str(raised.value) == f"the command {program} is not installed on this host; install it: {cure}"


def test_a_database_with_a_password(pki: Path, tmp_path: Path) -> None:
    nss, programs = real(tmp_path)
    password = tmp_path / "password"
    password.write_text("hush\n")
    subprocess.run(["certutil", "-N", "-d", f"sql:{tmp_path}/nss", "-f", password], check=True, timeout=60)
    gw, key = one(pki / "gw.pem"), Key("pkcs12", (pki / "gw.p12").read_bytes(), PASSPHRASE)
    with nss.open() as session:
        for secret in (None, key):
            with pytest.raises(ConfigError, match=f"has a password, which is not in {tmp_path}/nsspassword; write"):
                session.add("gw", gw, "CT,,", secret)
        (tmp_path / "nsspassword").write_text("NSS Certificate DB:hush\n")
        session.add("gw", gw, ",,", key)
        assert session.listing() == {"gw": "u,u,u"}
        session.remove("gw", key=True)
        assert session.listing() == {}
    assert "hush" not in "\n".join(programs.told)


def test_no_folder_for_the_database(tmp_path: Path) -> None:
    nss = LocalNss(Programs({"nssdir": tmp_path / "none"}), config=os.devnull, work=str(tmp_path / "work"))
    with pytest.raises(DependencyError, match=f"there is no folder {tmp_path}/none"), nss.open():
        pass
