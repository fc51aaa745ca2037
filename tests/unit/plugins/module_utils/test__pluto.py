# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._pluto import LocalPluto, listening_inodes

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 15021 /run/pluto/pluto.ctl
0000000000000000: 00000002 00000000 00010000 0001 01 15022 /var/run/pluto/pluto.ctl
0000000000000000: 00000003 00000000 00000000 0001 03 15023 /run/pluto/pluto.ctl
0000000000000000: 00000002 00000000 00010000 0001 01 15024 /run/other.ctl
0000000000000000: 00000002 00000000 00000000 0002 01 15025
"""


class Says:
    """An `ipsec` command with one answer."""

    def __init__(self, completed: Completed | None) -> None:
        self.completed = completed

    def run(self, *argv: str, timeout: float) -> Completed:
        if self.completed is None:
            raise DependencyError("the command ipsec is not installed on this host")
        return self.completed


def test_only_listening_sockets_at_the_path_count() -> None:
    assert listening_inodes(UNIX, "/run/pluto/pluto.ctl") == {"15021", "15022"}


def test_no_program_is_none() -> None:
    assert LocalPluto(Says(None)).program() is None


@pytest.mark.parametrize("text", ["Linux strongSwan U5.9.8/K6.1\n", "whatever 1.0\n"])
def test_another_program_named_ipsec_is_refused(text: str) -> None:
    with pytest.raises(DependencyError, match="another program"):
        LocalPluto(Says(Completed((), 0, text, ""))).program()


def test_a_missing_configuration_is_named(tmp_path: object) -> None:
    path = f"{tmp_path}/ipsec.conf"
    with pytest.raises(ConfigError, match="does not exist"):
        LocalPluto(Says(Completed((), 0, "", "")), config=path).check_config()


def test_a_bad_configuration_is_refused_in_the_programs_words(tmp_path: object) -> None:
    path = f"{tmp_path}/ipsec.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write("conn x\n nonsense=1\n")
    says = Says(Completed((), 3, "", f"cannot load config '{path}': {path}:2: syntax error, unexpected KEYWORD\n"))
    with pytest.raises(ConfigError, match="syntax error") as caught:
        LocalPluto(says, config=path).check_config()
    assert "nothing was changed" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind"), [(None, "absent"), ("", "damaged"), ("\n", "damaged"), ("no\n", "damaged"), ("1\n", "reused")]
)
def test_lock_files(tmp_path: object, content: str | None, kind: str) -> None:
    if content is not None:
        with open(f"{tmp_path}/pluto.pid", "w", encoding="ascii") as file:
            file.write(content)
    assert LocalPluto(Says(None), rundir=str(tmp_path)).lock().kind == kind


def test_a_socket_nobody_listens_on_is_stale(tmp_path: object) -> None:
    pluto = LocalPluto(Says(None), rundir=str(tmp_path))
    assert pluto.control().kind == "absent"
    with open(f"{tmp_path}/pluto.ctl", "w", encoding="ascii"):
        pass
    assert pluto.control().kind == "stale"


def test_leftovers_are_removed_and_none_is_no_error(tmp_path: object) -> None:
    pluto = LocalPluto(Says(None), rundir=str(tmp_path))
    with open(f"{tmp_path}/pluto.pid", "w", encoding="ascii"):
        pass
    pluto.remove_leftovers()
    pluto.remove_leftovers()
    assert pluto.lock().kind == "absent"
