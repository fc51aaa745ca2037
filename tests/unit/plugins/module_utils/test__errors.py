# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils import _devices, _endings
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    DependencyError,
    KernelError,
    VerifyError,
    require_version,
    system_errors,
    understood,
)


def test_a_bug_asks_to_be_reported() -> None:
    error = VerifyError("still to do: start pluto", left=["start pluto"])
    assert str(error).startswith("still to do: start pluto; ")
    assert str(error).endswith("report it as a bug of xswan.ipsec")
    assert error.details == {"left": ["start pluto"]}


def test_what_cannot_be_understood_is_told_without_its_text() -> None:
    with pytest.raises(KernelError) as caught, understood("/proc/net/udp"):
        int("hush")
    assert str(caught.value).startswith("/proc/net/udp cannot be understood (ValueError): it is damaged, or")
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError, match="known here; remove it"), understood("a record", ConfigError, "remove it"):
        "".index("hush")
    with pytest.raises(DaemonError, match="as it was"), understood("a record"):
        raise DaemonError("as it was")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/run/x"), "needs: /run/x: No space left on device; look"),
        (OSError(errno.EMFILE, "Too many open files"), "needs: Too many open files; look"),
        (OSError(errno.EBADF, "Bad file descriptor", 7), "needs: Bad file descriptor; look"),
        (TimeoutError("timed out"), "needs: timed out; look"),
    ],
)
def test_a_system_call_that_fails_is_one_clear_error(error: OSError, said: str) -> None:
    with pytest.raises(DaemonError, match=said) as caught, system_errors():
        raise error
    assert caught.value.details == {"errno": error.errno}


@pytest.mark.parametrize(
    ("version", "least", "fine"),
    [
        ("5.7.3", (5, 8), False),
        ("5.8", (5, 8), True),
        ("5.10.0", (5, 8), True),
        ("7.2.2", (5, 8), True),
        ("0.5.9", (0, 5, 14), False),
        ("0.5.14", (0, 5, 14), True),
        ("0.9", (0, 5, 14), True),
        ("unknown", (0, 5, 14), True),
        ("0.5.14.post1", (0, 5, 14), True),
    ],
)
def test_a_library_that_is_too_old_is_named(version: str, least: tuple[int, ...], fine: bool) -> None:
    if fine:
        require_version("library", version, least)
    else:
        with pytest.raises(DependencyError, match=f"library {version} of this host is too old; install library "):
            require_version("library", version, least)


def test_the_libraries_are_asked_for_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are imported: a look needs neither."""
    monkeypatch.setattr("psutil.__version__", "5.7.2")
    with pytest.raises(DependencyError, match=r"psutil 5\.7\.2 of this host is too old; install psutil 5\.8 or newer"):
        _endings.handles(())
    monkeypatch.setattr("pyroute2.__version__", "0.5.2")
    with pytest.raises(DependencyError, match=r"install pyroute2 0\.5\.14 or newer"):
        _devices.require_pyroute2("ipsec1")
