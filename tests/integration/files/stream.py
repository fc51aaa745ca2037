# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a gateway: `stream.py FILE OWN[=OTHER] ...`, addresses. Every 10 ms a question from each OWN to its OTHER.

Questions that come are answered; "ready" is printed when they are. On SIGTERM, FILE gets a line for each pair: OTHER,
how many questions were sent, how many answers came, and in how many seconds they were sent. One process in place of
many pings: a simulated machine cannot run enough of those at that pace.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import time

PORT = 7777
INTERVAL = 0.01
BEHIND = 0.05
"""Seconds that are made up for: a machine may tell the time in ticks that are longer than the interval."""
WINDOW = 20
"""Questions of a pair that may be without an answer. So a machine that is held up is not sent more than the queues
before it hold (500 packets at a tap); a question that was lost stays without an answer, and is counted, all the same.
"""
LAST = 3.0
"""Seconds that the last answers have to come."""
QUESTION, ANSWER = b"?" * 64, b"!" * 64


class Pair:
    """An own address, and the other one that it asks, if any."""

    def __init__(self, own: str, other: str) -> None:
        self.other = other
        self.sent = self.received = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((own, PORT))

    def ask(self) -> None:
        """Send a question."""
        if self.other and self.sent - self.received < WINDOW:
            self.socket.sendto(QUESTION, (self.other, PORT))
            self.sent += 1

    def read(self) -> None:
        """Answer a question, or count an answer."""
        data, sender = self.socket.recvfrom(2048)
        if data == QUESTION:
            self.socket.sendto(ANSWER, sender)
        else:
            self.received += 1


def main(path: str, words: list[str]) -> None:
    """Ask until told to end, and count."""
    pairs = [Pair(own, other) for own, _equals, other in (word.partition("=") for word in words)]
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
        if not orders and time.monotonic() >= following:
            # a machine that was held up for longer does not send all at once what it missed
            following = max(following + INTERVAL, time.monotonic() - BEHIND)
            for pair in pairs:
                pair.ask()
        for key, _events in selector.select(INTERVAL if orders else max(0.0, following - time.monotonic())):
            key.data()
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{pair.other} {pair.sent} {pair.received} {seconds:.3f}\n" for pair in pairs if pair.other)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
