# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import socket
import typing as t

from ..errors import GuardRefusal, UsageError
from ..s3.endpoint import Endpoint
from .entropy import is_compressible
from .mirror_plan import Action, Tally
from .rows import Item
from .source import ObjectError

GUARDS = ("source", "nested", "mass_delete", "mass_rewrite", "entropy_jump")  # that can be allowed for once
_FEW = 100  # objects: fewer are no mass
_MOST_REMOVED = 0.10  # of what the target has
_MOST_REPLACED = 0.20
_FEW_REPLACED = 20  # objects: fewer that cannot be compressed any more are no attack
_BEGINNING = 64 * 1024  # bytes of an object that are looked into


Read = t.Callable[[Item], t.Iterator[bytes]]  # a generator of the bytes of exactly this object


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
    problem, remedy = f"Cannot mirror to {name}", "look at the source; if that is what you want, allow {} for this run"
    if _is_mass(removed, tally.objects, _MOST_REMOVED) and "mass_delete" not in allowed:
        cause = f"{removed:,} of its {tally.objects:,} objects are not in the source any more"
        raise GuardRefusal("mass_delete", problem, cause, remedy.format("mass_delete"))
    if _is_mass(replaced, tally.objects, _MOST_REPLACED) and "mass_rewrite" not in allowed:
        cause = f"{replaced:,} of its {tally.objects:,} objects are others in the source now"
        raise GuardRefusal("mass_rewrite", problem, cause, remedy.format("mass_rewrite"))


def check_entropy(tally: Tally, name: str, allowed: t.Collection[str], theirs: Read, own: Read) -> None:
    """Refuse to replace more than 20 objects where more than half of those that are looked into compress here, and do
    not at the source any more: so do files that somebody has encrypted. Raises GuardRefusal.
    """
    if tally.counts[Action.REPLACE] <= _FEW_REPLACED or "entropy_jump" in allowed:
        return
    sampled = jumped = 0
    for _rank, item, old in tally.rewritten:
        with contextlib.suppress(ObjectError):  # what changes meanwhile tells nothing
            had, has = is_compressible(_beginning(own(old))), is_compressible(_beginning(theirs(item)))
            sampled += 1
            jumped += had and not has
    if jumped * 2 > sampled:
        raise GuardRefusal(
            "entropy_jump",
            f"Cannot mirror to {name}",
            f"of {sampled} objects that are others in the source now, {jumped} cannot be compressed any more, as if "
            "they were encrypted",
            "look at the source; if that is what you want, allow entropy_jump for this run",
        )


def _beginning(chunks: t.Iterator[bytes]) -> bytes:
    with contextlib.closing(t.cast("t.Generator[bytes, None, None]", chunks)):
        return next(chunks, b"")[:_BEGINNING]


def _is_mass(count: int, objects: int, share: float) -> bool:
    return count > _FEW and count > share * objects


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
