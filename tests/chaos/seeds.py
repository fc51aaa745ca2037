# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fuzzing starts from: what real programs and kernels say. Longer ones are the fixtures of the unit tests."""

from __future__ import annotations

import json
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "unit/plugins/module_utils/fixtures"
PIECE = 20
"""Lines of a piece of a long output."""
PIECES = 12
"""Of each long output, evenly spread."""


def recorded(kind: str) -> tuple[str, ...]:
    """The golden outputs of this kind (status, trafficstatus, log, ...), long ones in pieces."""
    found: list[str] = []
    for path in sorted(FIXTURES.glob(f"*-{kind}.txt")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if len(lines) <= 3 * PIECE:
            found.append("".join(lines))
            continue
        gap = max(1, len(lines) // PIECES)
        found += ["".join(lines[at : at + PIECE]) for at in range(0, len(lines), gap)]
    return tuple(found)


VERSIONS = (
    "Linux Libreswan 4.10 (netkey) on 6.1.0-13-amd64\n",
    "Libreswan 5.2\n",
    "Linux Openswan U2.6.52/K6.1 (netkey)\nSee `ipsec --copyright' for copyright information.\n",
    "Linux strongSwan U5.9.8/K6.1.0\n",
)
SCRIPTS = ('#!/bin/sh\nexport IPSEC_VERSION="4.10"\n\t    echo "Libreswan ${IPSEC_VERSION}"\n\t    exit 0\n',)
CONFIGSETUP = (
    "export logfile='/var/log/pluto.log'\nexport nssdir='/var/lib/ipsec/nss'\nexport protostack='netkey'\n"
    "export syslog='daemon.error'\nexport interfaces='ipsec0=eth0'\nexport overridemtu='1400'\n",
    "export interfaces='%defaultroute'\nexport nhelpers='-1'\nexport secretsfile='/etc/ipsec.secrets'\n",
)
TRIAL = (
    "\nMARK checked\nwhile loading 'one': bad subnet\n\nMARK status 3\n\nMARK started\n\nMARK add one\n"
    'conn: "one" warning PFS policy is disabled\n\nMARK loaded\n000 "one": 192.0.2.1...192.0.2.9; unrouted;\n'
    "\nMARK added\n\"one\": failed to add connection: left certificate 'x' not found in the NSS database\n"
    '\nMARK said\nlast words\n\nMARK log\n"/etc/ipsec.secrets" line 3: unrecognized key format: PSKK\n\nMARK end\n',
    "\nMARK checked\n/etc/ipsec.conf:7: syntax error [nosuch]\n\nMARK status 1\n\nMARK said\nFATAL\n\nMARK log\n"
    "\nMARK end\n",
    "\nMARK broken no memory file system\n",
)
NET_UNIX = (
    "Num       RefCount Protocol Flags    Type St Inode Path\n"
    "000000004d344a94: 00000002 00000000 00010000 0001 01 6695097 /run/pluto/pluto.ctl\n"
    "000000009aeec694: 00000003 00000000 00000000 0001 03 6696028\n"
    "000000009aeec699: 00000002 00000000 00000000 0002 01 12345 @/org/kernel/linux/storage/multipathd\n",
)
NET_UDP = (
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
    "drops            \n  205: 010200C0:01F4 00000000:0000 07 "
    "00000000:00000000 00:00000000 00000000     0        0 22061 2 "
    "00000000b1bd8ec8 0        \n  301: 0100007F:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0"
    "        0 22059 2 00000000b1bd8ec8 0        \n",
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when"
    " retrnsmt   uid  timeout inode ref pointer drops\n  205: 00000000000000000000000001000000:01F4 "
    "00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22063 2 "
    "00000000b1bd8ec8 0\n",
)
NET_ROUTE = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth1.7\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n",
)
NET_IPV6_ROUTE = (
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db80000000000000000000000fe 00000005"
    " 00000001 00000000 00000003     eth0\n"
    "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100"
    " 00000002 00000000 00000001     eth0\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff"
    " 00000001 00000000 00200200       lo\n",
)
NET_NETLINK = (
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
    "0000000075a3aa0e 0   0          00000000 0        0        0     2        0        4       \n"
    "00000000eff3d990 6   0          00000000 0        0        0     2        0        556     \n",
)
STAT = (
    "814 (pluto) S 1 814 814 0 -1 4194560 1553 0 1 0 12 7 0 0 20 0 3 0 4210 31338496 2421 18446744073709551615 1 1 0 0"
    " 0 0 0 16781312 70 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
    "815 (a) (b) c) Z 814 814 814 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4300 0 0 18446744073709551615 0 0 0 0 0 0 0 0"
    " 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
)
BOOT = ("cpu  1 2 3 4 5 6 7 8 9 0\nintr 1 2\nbtime 1764000000\nprocesses 9\n",)
LOCKS = ("814\n", "1\n", "", "pluto\n")
CMDLINES = ("/bin/sh\0/usr/lib/ipsec/_plutorun\0--debug\0\0", "sleep\x0010\0", "")
TNCFG = ("ipsec0 -> eth0 mtu=16260(1500) -> 1500\nipsec1 -> NULL mtu=0(0) -> 0\nmast0 -> NULL mtu=0(0) -> 0\n",)
IP_ADDRESS = (
    "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 16436 qdisc noqueue state UNKNOWN\n"
    "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n"
    "    inet6 ::1/128 scope host\n       valid_lft forever preferred_lft forever\n"
    "3: eth1.7@eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n"
    "    inet 198.51.100.1/24 brd 198.51.100.255 scope global eth1.7\n"
    "    inet6 2001:db8::ff:fe00:1/64 scope global dynamic\n",
)
CONF = (
    "# a comment\nversion 2\nconfig setup\n    plutodebug = none   # of the day\n\ninclude /etc/ipsec.d/*.conf\n\n"
    "conn %default\n    authby=secret\n    ike=aes256\n\nconn base\n"
    '    IKE="aes128 # no comment"\n    left=%defaultroute\n\nconn one   # the first\n    also=base\n'
    "    leftsubnets={10.0.0.0/8,\n    rightsubnets={10.1.0.0/16 10.2.0.0/16}\n    right=192.0.2.9\n    auto=start\n"
    "    ikelifetime=8h\n\nconn two\n    also=one\n    auto=add\n    right=2001:db8::9\n",
)
SECRETS = (
    '# keys\n@gw1 @gw2 : PSK "correct horse battery"\n192.0.2.1 %any : PSK 0x1234\n: RSA {\n\tModulus: 0x03\n\t}\n'
    'user : XAUTH "pass word"\ninclude /etc/ipsec.d/*.secrets\n',
)
IPTABLES_SAVE = (
    "# Generated by iptables-save v1.8.9\n*nat\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:sub - [0:0]\n"
    "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    '-A INPUT -p esp -m comment --comment "-j ACCEPT" -j DROP\n-A INPUT ! -p udp -g sub\n'
    "-A sub -p udp -m multiport --dports 500,4500:4501 -j RETURN\n"
    "-A sub -j REJECT --reject-with icmp-port-unreachable\n"
    "COMMIT\n",
)
IPTABLES_LIST = (
    "-P INPUT ACCEPT\n-A INPUT -m policy --dir in --pol ipsec -j NFLOG --nflog-prefix  all-ipsec --nflog-group 13\n"
    '-A INPUT -i eth0 -j NFLOG --nflog-prefix "all ipsec" --nflog-group 14\n',
)
NFT_CHAINS = (
    "table inet ipsec-log {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
    "table ip filter {\n\tchain ipsec-all-input {\n\t}\n}\n",
)
_PLACE = {"family": "inet", "table": "filter"}
NFT_RULESET = (
    json.dumps(
        {
            "nftables": [
                {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
                {"table": {"family": "inet", "name": "filter", "handle": 1}},
                {"chain": {**_PLACE, "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
                {"chain": {**_PLACE, "name": "xswan_ipsec", "handle": 2}},
                *(
                    {"rule": {**_PLACE, "chain": chain, "handle": number, "expr": rule}}
                    for number, (chain, rule) in enumerate(
                        (
                            ("input", [{"jump": {"target": "xswan_ipsec"}}]),
                            (
                                "input",
                                [
                                    {
                                        "vmap": {
                                            "key": {"ct": {"key": "state"}},
                                            "data": {"set": [["established", {"accept": None}]]},
                                        }
                                    }
                                ],
                            ),
                            (
                                "input",
                                [
                                    {
                                        "match": {
                                            "op": "==",
                                            "left": {"payload": {"protocol": "udp", "field": "dport"}},
                                            "right": {"set": [500, {"range": [4500, 4510]}]},
                                        }
                                    },
                                    {"counter": {"packets": 0, "bytes": 0}},
                                    {"drop": None},
                                ],
                            ),
                            (
                                "xswan_ipsec",
                                [
                                    {
                                        "match": {
                                            "op": "==",
                                            "left": {"payload": {"protocol": "udp", "field": "dport"}},
                                            "right": {"set": [500, 4500]},
                                        }
                                    },
                                    {"accept": None},
                                ],
                            ),
                            (
                                "xswan_ipsec",
                                [
                                    {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": 50}},
                                    {"accept": None},
                                ],
                            ),
                            (
                                "input",
                                [
                                    {
                                        "match": {
                                            "op": "in",
                                            "left": {"ip": "saddr"},
                                            "right": {"prefix": {"addr": "10.0.0.0", "len": 8}},
                                        }
                                    },
                                    {"xt": {"type": "target", "name": "NFLOG"}},
                                ],
                            ),
                        )
                    )
                ),
            ]
        },
        indent=1,
    ),
)
SYSTEMCTL_SHOW = (
    "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=814\nNRestarts=0\n"
    "Result=success\n",
    "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nMainPID=0\nNRestarts=0\nResult=success\n",
)
SCRIPT_STATUS = ("pluto (pid 814) is running...\n", "IPsec running  - pluto pid: 814\npluto pid 814\n1 tunnels up\n")
IP_JSON = (
    json.dumps(
        [
            {
                "ifname": "eth0",
                "flags": ["BROADCAST", "UP"],
                "addr_info": [
                    {"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "scope": "global"},
                    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                ],
            },
            {
                "ifname": "ipsec1",
                "flags": ["UP"],
                "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 32}],
            },
            {"dst": "default", "gateway": "192.0.2.254", "dev": "eth0", "prefsrc": "192.0.2.1", "metric": 100},
            {"dst": "default", "nexthops": [{"gateway": "192.0.2.253", "dev": "eth0"}, {"dev": "eth1"}]},
            {"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "eth0"},
        ],
        indent=1,
    ),
)
RECORD = (
    json.dumps(
        {
            "files": {
                "/etc/ipsec.conf": {"text": "conn old\n", "mode": 420, "secret": False},
                "/etc/ipsec.secrets": {"text": None, "mode": None, "secret": True},
            },
            "sysctl": {
                "before": {"net/ipv4/ip_forward": "0", "net/ipv4/conf/eth0/rp_filter": "1"},
                "ours": {"net/ipv4/ip_forward": "0", "net/ipv4/conf/eth0/rp_filter": "0"},
            },
            "firewall": {"chain": "inet filter input", "zones": ["public/permanent", "public/runtime"]},
        },
        indent=1,
    ),
)
ROLLBACK = (
    json.dumps(
        {
            "config": "/etc/ipsec.conf",
            "files": [["/etc/ipsec.conf", "conn old\n", False, 420], ["/etc/ipsec.secrets", None, True, None]],
            "running": True,
            "until": 1764000000.5,
            "keep": 5,
            "purged": ["/etc/ipsec.d/policies/private"],
            "boot": "3d0c35c4-7e4b-4c4e-9c1a-1d2e5c8f9a00",
            "token": "0123456789abcdef",
        },
        indent=1,
    ),
)
STAMP = (
    f"814 1764000000.25 {'ab' * 32}",
    json.dumps({"sight": "ab" * 32, "time": 1764000000.25, "found": [{"id": "remark", "message": "a word"}]}),
)
XFRM_STAT = ("XfrmInError             \t0\nXfrmInNoStates          \t3\nXfrmOutPolError         \t0\n",)
PRIORITIES = ("daemon.error", "local3.info", "authpriv.warning")
