# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import queue
import typing as t

Item = t.TypeVar("Item")


class OrderQueue(t.Generic[Item]):
    """Orders for threads that have several of them in hand at once. Several threads may put and take."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Item | None] = queue.SimpleQueue()

    def put(self, order: Item) -> None:
        """Bring an order."""
        self._orders.put(order)

    def close(self) -> None:
        """Let all who take know that nothing more comes."""
        self._orders.put(None)

    def take(self, may_wait: bool) -> Item | None:
        """Return the next order, waiting for it if told so; None in the end, and where there is none yet."""
        try:
            order = self._orders.get(may_wait)
        except queue.Empty:
            return None
        if order is None:
            self._orders.put(None)  # for the other threads
        return order
