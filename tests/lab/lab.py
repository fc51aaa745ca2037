# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole lab: up, down, and its nodes. This is what tests and the command line use."""

from __future__ import annotations

import collections.abc as c
import concurrent.futures
import dataclasses
import errno
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import typing as t
from pathlib import Path

from . import image, inventory, network, preflight, processes
from . import spec as specs
from .machine import Machine, build_interposer, of_lab, write_seed
from .preflight import cache_folder, state_root
from .tools import CommandError, LabError, environment, last_lines, progress, run, wait_until

RUNTIME: t.Final = Path("/run/xswan-lab")
SCRIPT_INIT: t.Final = Path(__file__).with_name("script-init")
BOOT_TIMEOUT: t.Final = 120
BOOTS: t.Final = 6 * (os.cpu_count() or 1)
"""So many gateways boot at once: more would only wait for each other, until none of them is there in time."""

Result = subprocess.CompletedProcess


class Node(t.Protocol):
    """Whatever in a lab runs commands."""

    name: str

    def command(self, argv: c.Sequence[str]) -> list[str]:
        """The host's command that runs `argv` on the node."""

    def run(
        self, argv: c.Sequence[str] | str, *, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Result[str]:
        """Run a command (a string goes through the shell) and return it with its output as text.

        CommandError when it fails and `check` is true; LabError when it does not end in `timeout` seconds.
        """


def _run(node: Node, argv: c.Sequence[str] | str, stdin: str | None, timeout: float, check: bool) -> Result[str]:
    words = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
    result = run(node.command(words), where=node.name, stdin=stdin, timeout=timeout, check=False)
    # What the caller asked for, not how it got there.
    result.args = argv
    if check and result.returncode != 0:
        raise CommandError(node.name, result)
    return result


class Host:
    """A node that is a network namespace: a LAN host, a NAT box, or the WAN itself."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address

    def command(self, argv: c.Sequence[str]) -> list[str]:
        """See Node."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def run(
        self, argv: c.Sequence[str] | str, *, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Result[str]:
        """See Node."""
        return _run(self, argv, stdin, timeout, check)


class Gateway:
    """A gateway: a machine reached over SSH on its management interface."""

    def __init__(self, lab: Lab, spec: specs.GatewaySpec) -> None:
        self.name = spec.name
        self.spec = spec
        self.lan_host = Host(f"{spec.name}-lan", network.namespace(lab.name, spec.name, "lan"), str(spec.lan_host.ip))
        self._lab = lab

    @property
    def machine(self) -> Machine:
        """The machine it runs on."""
        return Machine(
            lab=self._lab.name,
            name=self.name,
            number=self.spec.number,
            memory=self.spec.memory,
            image=self._lab.state / f"{self.spec.suite}.img",
            state=self._lab.state,
            sockets=self._lab.sockets,
        )

    @property
    def console_log(self) -> Path:
        """The file with everything the machine said on its console."""
        return self.machine.console_log

    def command(self, argv: c.Sequence[str]) -> list[str]:
        """See Node."""
        return ["ssh", "-F", str(self._lab.state / "ssh_config"), self.name, *([shlex.join(argv)] if argv else [])]

    def run(
        self, argv: c.Sequence[str] | str, *, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Result[str]:
        """See Node. A connection that fails ends with ssh's status 255."""
        return _run(self, argv, stdin, timeout, check)

    def boot(self) -> None:
        """Power on and wait until SSH answers and systemd, if any, has started everything, or given up on a unit.

        LabError with the end of the console log when that does not come about.
        """
        said_before = self.console_log.stat().st_size
        try:
            self.machine.start()
            self._wait_ready(said_before)
        except LabError as error:
            log = self.console_log
            raise LabError(f"{self.name}: did not boot: {error}; console log {log} ends:\n{last_lines(log)}") from error

    def _wait_ready(self, said_before: int) -> None:
        address = str(self.spec.management.ip)
        # Asked from inside the namespace; nc itself waits up to a second for an answer.
        probe = ["ip", "netns", "exec", network.namespace(self._lab.name), "nc", "-z", "-w", "1", address, "22"]

        def answers() -> bool:
            if not self.machine.alive():
                raise LabError("the machine died")
            # After a panic the process only hangs.
            said = self.console_log.read_bytes()[said_before:].decode(errors="replace")
            for line in said.splitlines():
                if "Kernel panic" in line:
                    raise LabError(line)
            return run(probe, check=False).returncode == 0

        wait_until(answers, BOOT_TIMEOUT, "SSH does not answer")
        if self.spec.init != "systemd":
            return  # sshd is the last that its init starts
        # Its exit status tells whether a unit failed; that is for the caller to ask, not a reason to refuse here.
        state = self.run(["systemctl", "is-system-running", "--wait"], timeout=BOOT_TIMEOUT, check=False)
        if state.stdout.strip() not in ("running", "degraded"):
            raise CommandError(self.name, state)

    def kill(self) -> None:
        """Cut the power: nothing is flushed. `boot` starts it again on the same disk."""
        self.machine.kill()
        processes.end(_ssh_masters(self._lab.name, self.name), f"SSH connections to {self.name}")


class Capture:
    """A tcpdump on a bridge of the lab, listening once the `with` block is entered; read `text` after or during it."""

    def __init__(self, lab: Lab, interface: str, expression: str) -> None:
        self._lab = lab
        self._interface = interface
        self._expression = expression
        self._file = lab.state / f"capture-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._text: str | None = None

    @property
    def text(self) -> str:
        """One line a packet, as tcpdump prints it without resolving names."""
        return self._file.read_text() if self._text is None else self._text

    @property
    def lines(self) -> list[str]:
        """The packets, one line each."""
        return [line for line in self.text.splitlines() if line]

    def wait_for(self, part: str, timeout: float = 10) -> None:
        """Wait until a packet's line holds `part`; LabError if none does in `timeout` seconds."""
        wait_until(lambda: part in self.text, timeout, f"capture on {self._interface}: no packet with {part!r}")

    def __enter__(self) -> t.Self:
        log = self._file.with_suffix(".log")
        # It ends with us, whatever happens to us; tcpdump must stay root, for a change of user would cancel that.
        argv = [
            "setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", network.namespace(self._lab.name),
            "tcpdump", "-Z", "root", "-i", self._interface, "-n", "-l", "--immediate-mode", self._expression,
        ]  # fmt: skip
        with self._file.open("wb") as out, log.open("wb") as err:
            self._process = process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment()
            )

        def listening() -> bool:
            if process.poll() is not None:
                raise LabError(f"capture on {self._interface}: tcpdump ended: {log.read_text().strip()}")
            return "listening on" in log.read_text()

        try:
            wait_until(listening, 20, f"capture on {self._interface}: tcpdump is not listening", every=0.05)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise LabError(f"capture on {self._interface}: tcpdump did not stop, packets may be missing") from None
        self._text = self._file.read_text()
        self._file.unlink()
        self._file.with_suffix(".log").unlink()


class Lab:
    """A lab, up or down. As a context manager it is up inside the block and gone after it."""

    def __init__(self, spec: specs.LabSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.state = state_root() / spec.name
        self.sockets = RUNTIME / spec.name
        self.inventory = self.state / "inventory.yml"
        self.gateways = {gateway.name: Gateway(self, gateway) for gateway in spec.gateways}
        wan = Host("wan", network.namespace(spec.name), str(spec.wan_router.ip))
        boxes = [
            Host(f"{gateway.name}-nat", network.namespace(spec.name, gateway.name, "nat"), str(gateway.wan.ip))
            for gateway in spec.gateways
            if gateway.nat
        ]
        everything: list[Node] = [*self.gateways.values(), *(g.lan_host for g in self.gateways.values()), *boxes, wan]
        self.nodes: dict[str, Node] = {node.name: node for node in everything}

    @classmethod
    def load(cls, path: Path | str, name: str | None = None) -> t.Self:
        """The lab that a YAML file describes; `name` overrides the one in the file."""
        return cls(specs.load(Path(path), name))

    @classmethod
    def find(cls, name: str) -> t.Self:
        """A lab that was brought up before, from its state folder."""
        path = _description(name)
        if not path.exists():
            raise LabError(f"lab {name}: not found in {state_root()}; see `list`, or make it with `up FILE`")
        return cls.load(path, name)

    @staticmethod
    def known(name: str) -> bool:
        """Whether `find` would find it."""
        return _description(name).exists()

    def node(self, name: str) -> Node:
        """The gateway, LAN host (GW-lan), NAT box (GW-nat) or `wan` of that name."""
        if name not in self.nodes:
            raise LabError(f"lab {self.name}: has no node {name}; it has {', '.join(self.nodes)}")
        return self.nodes[name]

    def capture(self, interface: str = "wan", expression: str = "") -> Capture:
        """Capture on a bridge of the lab (wan, mgmt, lan-GW, nat-GW), with tcpdump's filter `expression`."""
        return Capture(self, interface, expression)

    def up(self) -> None:
        """Build what images are missing, make the network, boot all gateways; LabError and nothing running if not."""
        images = build_images(self.spec.suites)
        network.claim(self.name)
        try:
            network.build(self.spec)
            self._write_state(images)
            with (
                progress(f"lab {self.name}: booting {', '.join(self.gateways)}"),
                concurrent.futures.ThreadPoolExecutor(max_workers=min(len(self.gateways), BOOTS)) as pool,
            ):
                boots = [pool.submit(gateway.boot) for gateway in self.gateways.values()]
                try:
                    for boot in concurrent.futures.as_completed(boots):
                        boot.result()
                except BaseException:
                    # The other boots need not go on; each ends as soon as its machine has.
                    processes.end(of_lab(self.name), f"the machines of lab {self.name}")
                    raise
        except BaseException:
            # The state folder stays: it has the console logs.
            _end_everything(self.name)
            raise

    def down(self, keep_logs: Path | None = None) -> None:
        """Remove all of the lab; see `remove`."""
        remove(self.name, keep_logs)

    def __enter__(self) -> t.Self:
        self.up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()

    def _write_state(self, images: dict[str, Path]) -> None:
        """Everything a machine, an SSH client and a later `find` need, made anew."""
        if self.state.exists():
            shutil.rmtree(self.state)
        self.state.mkdir(parents=True)
        self.state.chmod(0o700)
        self.sockets.mkdir(parents=True, exist_ok=True)
        build_interposer(self.state)
        for suite, path in images.items():
            _link(path, self.state / f"{suite}.img")
        client = _new_key(self.state / "id_ed25519")
        known_hosts = []
        for gateway in self.gateways.values():
            key = self.state / f"{gateway.name}.host_key"
            public = _new_key(key)
            known_hosts.append(f"{gateway.name} {public}\n")
            write_seed(gateway.machine.seed, self._seed(gateway.spec, key.read_text(), client))
            gateway.console_log.touch()
        for name, text in (
            ("known_hosts", "".join(known_hosts)),
            ("ssh_config", inventory.ssh_config(self.spec, self.state, self.sockets)),
            ("inventory.yml", inventory.inventory_yaml(self.spec, self.state, self.sockets)),
            ("lab.yml", specs.dump(self.spec)),
        ):
            (self.state / name).write_text(text)

    def _seed(self, gateway: specs.GatewaySpec, host_key: str, client: str) -> dict[str, tuple[int, str]]:
        hosts = ["127.0.0.1 localhost", "::1 localhost"]
        hosts += [f"{other.wan.ip} {other.name}" for other in self.spec.gateways]
        seed = {
            "etc/hostname": (0o644, f"{gateway.name}\n"),
            "etc/machine-id": (0o444, f"{secrets.token_hex(16)}\n"),
            "etc/hosts": (0o644, "\n".join(hosts) + "\n"),
            "etc/ssh/ssh_host_ed25519_key": (0o600, host_key),
            "root/.ssh/authorized_keys": (0o600, f"{client}\n"),
            "etc/lab/network": (0o644, "\n".join(network.gateway_commands(self.spec, gateway)) + "\n"),
        }
        if gateway.init == "script":
            seed["sbin/init"] = (0o755, SCRIPT_INIT.read_text())
        return seed


def build_images(suites: c.Iterable[str]) -> dict[str, Path]:
    """Check that this machine can run a lab and make sure that the suites' images are there; return their paths."""
    machine = preflight.look(cache=cache_folder(), state=state_root(), ask_registry=False)
    problems = preflight.host_problems(machine) + preflight.tool_problems(machine)
    if not problems and image.missing(suites) and (unreachable := preflight.registry_error()):
        problems = preflight.host_problems(dataclasses.replace(machine, registry=unreachable))
    if problems:
        raise LabError("\n".join(problems))
    return image.build(suites)


def remove(name: str, keep_logs: Path | None = None) -> None:
    """End and remove all of the lab of that name, found by the name alone; to do it again does nothing.

    The console logs go to the folder `keep_logs`, if one is given.
    """
    state = state_root() / specs.checked_name(name)
    _end_everything(name)
    if keep_logs is not None:
        keep_logs.mkdir(parents=True, exist_ok=True)
        for log in state.glob("*.console.log"):
            shutil.copy(log, keep_logs)
    if state.exists():
        shutil.rmtree(state)
    for parent in (RUNTIME, state_root()):
        try:
            parent.rmdir()
        except OSError as error:
            # Another lab's are in it; or it is gone.
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise


def _description(name: str) -> Path:
    return state_root() / specs.checked_name(name) / "lab.yml"


def known_labs() -> list[str]:
    """The names of all labs that have a state folder or a namespace."""
    root = state_root()
    stored = {path.parent.name for path in root.glob("*/ssh_config")}
    running = {name.split("-")[1] for name in network.namespaces()}
    return sorted(stored | running)


def _end_everything(name: str) -> None:
    processes.end(of_lab(name), f"the machines of lab {name}")
    # What is in a lab's namespace is the lab's: relays of SSH connections, captures, commands on LAN hosts.
    for namespace in network.namespaces(name):
        processes.end(processes.in_namespace(namespace), f"the processes in namespace {namespace}")
    processes.end(_ssh_masters(name), f"the SSH connections to lab {name}")
    network.remove(name)
    if (RUNTIME / name).exists():
        shutil.rmtree(RUNTIME / name)


def _ssh_masters(lab: str, gateway: str | None = None) -> processes.Match:
    """Match the shared SSH connections to a lab; ssh writes the control path in its process title."""
    socket = str(RUNTIME / lab / (gateway or ""))

    def match(pid: int) -> bool:
        if processes.program(pid) != "ssh":
            return False
        title = " ".join(processes.arguments(pid)).strip()
        return title == f"ssh: {socket} [mux]" if gateway else title.startswith(f"ssh: {socket}/")

    return match


def _new_key(path: Path) -> str:
    """Make an ed25519 key pair and return the public half."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "xswan-lab", "-f", str(path)])
    return path.with_name(f"{path.name}.pub").read_text().strip()


def _link(image_file: Path, link: Path) -> None:
    """A second name for an image, so that its place in the cache may be taken by a newer one while the lab is up."""
    try:
        link.hardlink_to(image_file)
    except OSError:  # another file system
        link.symlink_to(image_file)
