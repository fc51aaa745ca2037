# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._candidate import File
from ansible_collections.xswan.ipsec.plugins.module_utils._config import Proposal
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError
from ansible_collections.xswan.ipsec.plugins.modules.ipsec_config import proposal_from
from fake_host import FakeHost

DEFAULTS: dict[str, t.Any] = {
    "state": "present",
    "record": False,
    "purge": False,
    "content": None,
    "src": None,
    "config": "/etc/ipsec.conf",
    "secrets": None,
    "secrets_src": None,
    "secrets_file": "/etc/ipsec.secrets",
    "policies": {},
    "policies_dir": "/etc/ipsec.d/policies",
    "files": [],
    "preflight": "auto",
    "strict": False,
    "accept": [],
    "backups": 5,
    "timeout": 60,
    "confirm_timeout": None,
}
ENTRY: dict[str, t.Any] = {"content": None, "secrets": None, "src": None, "secret": False, "state": "present"}


def proposed(**params: t.Any) -> Proposal:
    fake = FakeHost()
    fake.files = {"/root/new": (0o600, "from a file")}
    return proposal_from({**DEFAULTS, **params}, fake.host().files)


def test_nothing_is_given() -> None:
    assert proposed().candidate.files == ()


def test_ipsec_conf_comes_last() -> None:
    files = [
        {**ENTRY, "path": "/etc/ipsec.d/a.conf", "content": "a"},
        {**ENTRY, "path": "/etc/ipsec.d/b.secrets", "secrets": "b"},
        {**ENTRY, "path": "/etc/ipsec.d/c.secrets", "src": "/root/new", "secret": True},
        {**ENTRY, "path": "/etc/ipsec.d/d.conf", "state": "absent"},
    ]
    assert proposed(
        content="text", secrets_src="/root/new", policies={"private": "p"}, files=files
    ).candidate.files == (
        File("/etc/ipsec.d/policies/private", "p"),
        File("/etc/ipsec.d/a.conf", "a"),
        File("/etc/ipsec.d/b.secrets", "b", secret=True),
        File("/etc/ipsec.d/c.secrets", "from a file", secret=True),
        File("/etc/ipsec.d/d.conf", None),
        File("/etc/ipsec.secrets", "from a file", secret=True),
        File("/etc/ipsec.conf", "text"),
    )


def test_an_empty_text_is_a_text() -> None:
    assert proposed(content="", secrets="").candidate.files == (
        File("/etc/ipsec.secrets", "", secret=True),
        File("/etc/ipsec.conf", ""),
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"src": "/root/gone"}, "src /root/gone does not exist"),
        ({"files": [{**ENTRY, "path": "/etc/x"}]}, "/etc/x needs one of content, secrets and src"),
        ({"policies": {"../../passwd": "x"}}, "no name of a policy group"),
    ],
)
def test_what_cannot_be_meant(params: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        proposed(**params)
