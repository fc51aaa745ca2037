# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._errors import (
    ConfigError,
    DaemonError,
    KernelError,
    VerifyError,
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
