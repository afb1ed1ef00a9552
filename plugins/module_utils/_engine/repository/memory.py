# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import gc
import threading
import typing as t

_Key = t.TypeVar("_Key", bound=t.Hashable)
_Value = t.TypeVar("_Value")


class Memory(t.Generic[_Key, _Value]):
    """What was found out once; of several threads that want the same, one finds it out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[_Key, threading.Lock] = {}
        self._known: dict[_Key, _Value] = {}

    def of(self, key: _Key, find: t.Callable[[_Key], _Value]) -> _Value:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = find(key)
            return self._known[key]


@contextlib.contextmanager
def no_search_for_cycles() -> t.Iterator[None]:
    """Let Python not look for cycles while very many objects are made that are in none, such as those of a catalog.

    It would look through all of them again and again: a fifth of the time of a listing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
