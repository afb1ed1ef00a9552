# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import typing as t

from ..errors import GuardRefusal, UsageError
from ..s3.endpoint import Endpoint
from .mirror_plan import Action, Tally

GUARDS = ("source", "nested", "mass_delete", "mass_rewrite")  # that can be allowed for once
_FEW = 100  # objects: fewer are no mass
_MOST_REMOVED = 0.10  # of what the target has
_MOST_REPLACED = 0.20


def check_source(objects: int, name: str, allowed: t.Collection[str]) -> None:
    """Refuse a source without any object: it is more likely lost, or the wrong one, than meant. Raises GuardRefusal."""
    if objects == 0 and "source" not in allowed:
        raise GuardRefusal(
            "source",
            f"Cannot mirror {name}",
            "it has no objects",
            "look whether it is the right one; if it is meant to be empty, allow source for this run",
        )


def check_masses(tally: Tally, name: str, allowed: t.Collection[str]) -> None:
    """Refuse to remove more than a tenth, or to replace more than a fifth, of what a target has, where that is more
    than 100 objects. Raises GuardRefusal.
    """
    removed, replaced = tally.counts[Action.REMOVE], tally.counts[Action.REPLACE]
    if _is_mass(removed, tally.objects, _MOST_REMOVED) and "mass_delete" not in allowed:
        raise _mass("mass_delete", name, f"{removed:,} of its {tally.objects:,} objects are not in the source any more")
    if _is_mass(replaced, tally.objects, _MOST_REPLACED) and "mass_rewrite" not in allowed:
        raise _mass("mass_rewrite", name, f"{replaced:,} of its {tally.objects:,} objects are others in the source now")


def _is_mass(count: int, objects: int, share: float) -> bool:
    return count > _FEW and count > share * objects


def _mass(guard: str, name: str, cause: str) -> GuardRefusal:
    remedy = f"look at the source; if that is what you want, allow {guard} for this run"
    return GuardRefusal(guard, f"Cannot mirror to {name}", cause, remedy)


class Location(t.NamedTuple):
    """Where a side of a mirror lies."""

    name: str
    endpoint: Endpoint | None = None  # None: a directory of this host
    bucket: str = ""
    path: str = ""  # a bucket's prefix, which ends with a slash or is empty; a directory's absolute path


def left_out(place: Location, others: t.Sequence[Location], allowed: t.Collection[str]) -> tuple[str, ...]:
    """Return the prefixes of `place` that hold one of the others: they take no part.

    Raises GuardRefusal (`nested`) unless that is allowed, and UsageError where both are the same place.
    """
    prefixes = []
    for other in others:
        inside = _inside(place, other)
        if inside is None:
            continue
        if not inside:
            raise UsageError(
                f"Cannot mirror {place.name} to {other.name}", "they are the same place", "name two different ones"
            )
        if "nested" not in allowed:
            raise GuardRefusal(
                "nested",
                f"Cannot mirror {place.name}",
                f"{other.name} lies in it, under {inside}",
                "choose places beside each other, or allow nested: then that part of it is left alone",
            )
        prefixes.append(inside)
    return tuple(prefixes)


def _inside(place: Location, other: Location) -> str | None:
    """Return under which prefix of `place` the other lies: empty where it is the same place, None where it does not."""
    if (place.endpoint is None) != (other.endpoint is None):
        return None
    if place.endpoint is None or other.endpoint is None:
        path, inner = (f"{os.path.realpath(each.path).rstrip('/')}/" for each in (place, other))
    elif place.bucket != other.bucket or not is_same_server(place.endpoint, other.endpoint):
        return None
    else:
        path, inner = place.path, other.path
    return inner[len(path) :] if inner.startswith(path) else None


def is_same_server(one: Endpoint, other: Endpoint) -> bool:
    """Say whether two endpoints are one server, under whatever names."""
    if one.is_aws and other.is_aws:
        return True
    if (one.hostname.lower(), one.port) == (other.hostname.lower(), other.port):
        return True
    return bool(_addresses(one) & _addresses(other))


def _addresses(endpoint: Endpoint) -> set[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(endpoint.hostname, endpoint.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(address[0]), endpoint.port) for *_kind, address in found}
