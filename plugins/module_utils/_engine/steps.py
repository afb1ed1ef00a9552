# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

Observer = t.Callable[[str], None]

_observers: list[Observer] = []


def reached(step: str) -> None:
    """Say that the work has come to the named step; free when nobody watches.

    Steps are the places where a crash could matter (a request was sent, its answer read, a file was synced, linked
    or renamed, a child ended). The fault tests watch them and end the process there.
    """
    for observer in _observers:
        observer(step)


def watch(observer: Observer) -> None:
    """Call `observer` with the name of every step from now on, in the thread that reaches it."""
    _observers.append(observer)


def unwatch(observer: Observer) -> None:
    """Stop calling `observer`."""
    _observers.remove(observer)
