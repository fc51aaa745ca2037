#!/bin/sh
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Finds or installs the python3 that dev/setup.py, which does the work, runs with.
set -eu

# Debian's own first: what PATH finds may be a shim that cannot run.
for python in /usr/bin/python3 "$(command -v python3 || echo /usr/bin/python3)"; do
    [ ! -x "$python" ] || exec "$python" "$(dirname "$0")/setup.py" "$@"
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: there is no python3; install it (on Debian, as root: apt-get install python3)" >&2
    exit 1
fi
echo "setup: installing python3"
export DEBIAN_FRONTEND=noninteractive
apt-get -o Dpkg::Use-Pty=0 update
apt-get -o Dpkg::Use-Pty=0 install --yes --no-install-recommends python3
exec python3 "$(dirname "$0")/setup.py" "$@"
