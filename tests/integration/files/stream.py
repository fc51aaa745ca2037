# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a gateway: `stream.py FILE INTERVAL WINDOW OWN[=OTHER] ...`, seconds, a number, and addresses.

At every interval a question goes from each OWN to its OTHER, unless WINDOW questions of this pair are without an
answer. So a machine that is held up is not sent more than the queues before it hold (500 packets at a tap); a question
that was lost stays without an answer, and is counted, all the same.

Questions that come are answered; "ready" is printed when they are. On SIGTERM, FILE gets a line for each pair: OTHER,
how many questions were sent, how many answers came, in how many seconds they were sent, and the longest time without
an answer. One process in place of many pings: a simulated machine cannot run enough of those at that pace.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import sys
import time

PORT = 7777
BEHIND = 0.05
"""Seconds that are made up for: a machine may tell the time in ticks that are longer than the interval."""
LAST = 3.0
"""Seconds that the last answers have to come."""
QUESTION, ANSWER = b"?" * 64, b"!" * 64


class Pair:
    """An own address, and the other one that it asks, if any."""

    def __init__(self, own: str, other: str, window: int) -> None:
        self.other = other
        self.window = window
        self.sent = self.received = 0
        self.pause = 0.0
        """The longest time without an answer."""
        self.last = time.monotonic()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((own, PORT))

    def ask(self) -> None:
        """Send a question; one that the kernel refuses, as it does while there is no tunnel, is lost like any other."""
        if self.other and self.sent - self.received < self.window:
            self.sent += 1
            self.send(QUESTION, self.other)

    def send(self, data: bytes, address: str) -> None:
        """Send it, or not."""
        with contextlib.suppress(OSError):
            self.socket.sendto(data, (address, PORT))

    def read(self) -> None:
        """Answer a question, or count an answer."""
        data, sender = self.socket.recvfrom(2048)
        if data == QUESTION:
            self.send(ANSWER, sender[0])
        else:
            self.received += 1
            self.look()
            self.last = time.monotonic()

    def look(self) -> None:
        """Take note of a pause that ends now."""
        self.pause = max(self.pause, time.monotonic() - self.last)


def main(path: str, interval: float, window: int, words: list[str]) -> None:
    """Ask until told to end, and count."""
    pairs = [Pair(own, other, window) for own, _equals, other in (word.partition("=") for word in words)]
    orders: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: orders.append(number))
    selector = selectors.DefaultSelector()
    for pair in pairs:
        selector.register(pair.socket, selectors.EVENT_READ, pair.read)
    print("ready", flush=True)
    began = following = time.monotonic()
    end, seconds = float("inf"), 0.0
    while time.monotonic() < end:
        if orders and end == float("inf"):
            seconds = time.monotonic() - began
            end = time.monotonic() + LAST
            for pair in pairs:
                pair.look()
        if not orders and time.monotonic() >= following:
            # a machine that was held up for longer does not send all at once what it missed
            following = max(following + interval, time.monotonic() - BEHIND)
            for pair in pairs:
                pair.ask()
        for key, _events in selector.select(interval if orders else max(0.0, following - time.monotonic())):
            key.data()
    with open(path, "w", encoding="ascii") as file:
        file.writelines(
            f"{pair.other} {pair.sent} {pair.received} {seconds:.3f} {pair.pause:.3f}\n" for pair in pairs if pair.other
        )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
