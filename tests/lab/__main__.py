# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command: `PYTHONPATH=tests python -m lab COMMAND`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from . import network, preflight, spec
from .lab import Lab, build_images, known_labs, remove
from .machine import of_lab
from .processes import find
from .tools import LabError, environment


def build(options: argparse.Namespace) -> int:
    """Print the paths of the images."""
    for suite in options.suites:
        if suite not in spec.SUITES:
            raise LabError(f"build: suite {suite} is unknown; allowed: {', '.join(spec.SUITES)}")
    for path in build_images(options.suites or spec.SUITES).values():
        print(path)
    return 0


def up(options: argparse.Namespace) -> int:
    """Print where the inventory is."""
    lab = Lab.load(options.file, options.name)
    lab.up()
    print(f"lab {lab.name} is up; inventory: {lab.inventory}")
    return 0


def down(options: argparse.Namespace) -> int:
    """Print nothing."""
    remove(options.name, options.keep_logs)
    return 0


def status(options: argparse.Namespace) -> int:
    """Exit status 0 when all gateways of the labs asked for are powered on, else 1."""
    all_on = True
    for name in [options.name] if options.name else known_labs():
        if not options.name and not Lab.known(name):
            print(f"{name} {_stateless(name)}")
            all_on = False
            continue
        lab = Lab.find(name)
        for gateway in lab.gateways.values():
            on = gateway.machine.alive()
            all_on = all_on and on
            print(
                f"{name} {gateway.name} {'on' if on else 'off'} {gateway.spec.suite} wan {gateway.spec.wan.ip} "
                f"lan {gateway.spec.lan} host {gateway.lan_host.address}{' nat' if gateway.spec.nat else ''}"
            )
    return 0 if all_on else 1


def run_on_node(options: argparse.Namespace) -> int:
    """The command's own exit status; without a command `ssh` opens a shell."""
    words = _words(options)
    node = Lab.find(options.name).node(options.node)
    if not words and options.command == "run":
        raise LabError("run: no command; give one after `--`")
    if not words and options.node not in Lab.find(options.name).gateways:
        words = [os.environ.get("SHELL", "/bin/sh")]
    return subprocess.run(node.command(words), env=environment(), check=False).returncode


def capture(options: argparse.Namespace) -> int:
    """Print one line a packet; what the command says goes to standard error, and its exit status is ours."""
    words = _words(options)
    if not words:
        raise LabError("capture: no command; give one after `--`")
    lab = Lab.find(options.name)
    node = lab.node(options.node)
    with lab.capture(options.interface, options.filter) as packets:
        done = subprocess.run(node.command(words), env=environment(), stdout=sys.stderr, check=False)
    for line in packets.lines:
        print(line)
    return done.returncode


def _words(options: argparse.Namespace) -> list[str]:
    words: list[str] = options.words
    return words[1:] if words[:1] == ["--"] else words


def list_labs(_options: argparse.Namespace) -> int:
    """Print one line a lab."""
    for name in known_labs():
        machines = find(of_lab(name))
        state = "up" if network.namespace(name) in network.namespaces(name) and machines else "not running"
        print(f"{name} {state} {preflight.state_root() / name if Lab.known(name) else _stateless(name)}")
    return 0


def _stateless(name: str) -> str:
    return f"not in {preflight.state_root()}: another checkout's lab, or its state is lost; `down {name}` removes it"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="lab", description="Real gateways by User-mode Linux, in namespaces of their own."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    sub = command("build", build, "build the images of the suites (all, if none is named) that are not in the cache")
    sub.add_argument("suites", nargs="*", metavar="SUITE", help=f"one of {', '.join(spec.SUITES)}")
    sub = command("up", up, "bring up the lab that a YAML file describes")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("--name", help="instead of the name in the file")
    sub = command("down", down, "remove all of a lab, also what a crash left; nothing happens if there is none")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("--keep-logs", type=Path, metavar="DIR", help="copy the console logs there first")
    sub = command("status", status, "say which gateways are powered on; exit status 1 if one is not")
    sub.add_argument("name", metavar="NAME", nargs="?")
    for name, text in (("ssh", "open a shell, or run a command, on a node"), ("run", "run a command on a node")):
        sub = command(name, run_on_node, f"{text}: a gateway, GW-lan (its LAN host), GW-nat (its NAT box) or wan")
        sub.add_argument("name", metavar="NAME")
        sub.add_argument("node", metavar="GW")
        sub.add_argument("words", metavar="-- CMD", nargs=argparse.REMAINDER)
    sub = command(
        "capture", capture, "print the packets on a bridge of a lab (wan, mgmt, lan-GW, nat-GW) while a command runs"
    )
    sub.add_argument(
        "--filter", default="", metavar="EXPR", help="which packets, as tcpdump's filter: ip, 'udp port 500'"
    )
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("interface", metavar="BRIDGE")
    sub.add_argument("node", metavar="GW")
    sub.add_argument("words", metavar="-- CMD", nargs=argparse.REMAINDER)
    command("list", list_labs, "list the labs, whether they are up, and their state folders")
    return top


def main() -> int:
    """Run the command and return its exit status; a failure is told in one line on standard error."""
    options = parser().parse_args()
    try:
        return int(options.function(options))
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `down NAME` removes what is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
