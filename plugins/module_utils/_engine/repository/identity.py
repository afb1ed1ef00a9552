# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import typing as t
import uuid

from .. import clock
from ..errors import DamagedError, GuardRefusal
from . import json_document, layout
from .store import DeniedError, ExistsError, ExpiredError, Store

USUAL_WINDOW = dt.timedelta(minutes=15)  # how old a signature may be (Amazon S3, "Authenticating Requests")
_WIDER_WINDOWS = (dt.timedelta(hours=24), dt.timedelta(days=7))  # Garage accepts a day


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a repository is and what its server can do; the first document of a repository, written once."""

    repository: str  # UUID
    created: dt.datetime  # the repository's clock
    has_conditional_writes: bool
    signature_window: dt.timedelta  # how old a signed request the server accepts

    def to_bytes(self) -> bytes:
        return json_document.encoded(
            {
                "repository": self.repository,
                "created": clock.to_text(self.created),
                "conditional_writes": self.has_conditional_writes,
                "signature_window_s": int(self.signature_window.total_seconds()),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Identity:
        """Parse `lifeboat.json`. Raises DamagedError."""
        what = f"{layout.IDENTITY} of {where}"
        fields = json_document.decoded(data, what)
        try:
            return cls(
                str(uuid.UUID(fields["repository"])),
                clock.from_text(fields["created"]),
                bool(fields["conditional_writes"]),
                _window(fields["signature_window_s"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(
                f"Cannot read {what}", f"damaged: {error}", "restore it from a copy; it never changes"
            ) from error


def _window(value: t.Any) -> dt.timedelta:
    """Return a window of signatures. Raises ValueError: the grace of garbage and the end of a lease depend on it."""
    seconds = int(value)
    if not 0 <= seconds <= _WIDER_WINDOWS[-1].total_seconds():
        raise ValueError(f"{seconds} s is no window of signatures")
    return dt.timedelta(seconds=seconds)


def find(store: Store) -> Identity | None:
    """Return the identity of the repository at this place, or None when there is none."""
    document = store.get(layout.IDENTITY)
    return None if document is None else Identity.from_bytes(document.data, store.name)


def require(store: Store, repository: str = "") -> Identity:
    """Return the identity of the repository at this place; a run never makes one.

    Raises GuardRefusal (`repository`) where there is none (an unmounted file system, a wrong bucket) or another one
    than `repository`.
    """
    identity = find(store)
    if identity is None:
        raise GuardRefusal(
            "repository",
            f"Cannot use {store.name}",
            "there is no repository (no lifeboat.json)",
            "check the mount, bucket and prefix; make a new repository with the module backup_repository",
        )
    if repository and identity.repository != repository:
        raise GuardRefusal(
            "repository",
            f"Cannot use {store.name}",
            f"it is repository {identity.repository}, not {repository}",
            "check the mount, bucket and prefix, or correct the id",
        )
    return identity


def check_free(store: Store) -> None:
    """Make sure that nothing lies where a repository is to be made. Raises GuardRefusal (`repository`).

    The identity and probes are no hindrance: another process may be making the same repository at this moment, or was
    killed while it did.
    """
    found = next((entry for entry in store.entries("") if not entry.key.startswith(layout.IDENTITY)), None)
    if found is not None:
        raise GuardRefusal(
            "repository",
            f"Cannot make a repository at {store.name}",
            f"something else is there: {found.key}",
            "choose an empty directory, or another prefix of the bucket",
        )


def initialise(store: Store) -> Identity:
    """Make a repository at an empty place: probe the server, then write `lifeboat.json`, once.

    Two at once get the same repository, and so does who asks again. Raises GuardRefusal when something else lies there.
    """
    found = find(store)
    if found is not None:
        return found
    check_free(store)
    identity = Identity(str(uuid.uuid4()), store.now(), _has_conditional_writes(store), _signature_window(store))
    try:
        store.put_new(layout.IDENTITY, identity.to_bytes())
    except ExistsError:
        return require(store)
    return require(store, identity.repository)


def _has_conditional_writes(store: Store) -> bool:
    key = _probe_key()
    try:
        store.put_new(key, b"first\n")
        return store.refuses_second(key)
    finally:
        _remove(store, key)


def _signature_window(store: Store) -> dt.timedelta:
    """Return the smallest of the usual windows after which the server refuses; the widest when it refuses none."""
    if store.has_locks:
        return dt.timedelta(0)
    for shorter, wider in zip((USUAL_WINDOW, *_WIDER_WINDOWS), _WIDER_WINDOWS):
        if not _accepts(store, shorter + dt.timedelta(minutes=2)):
            return shorter
        if wider == _WIDER_WINDOWS[-1]:
            return wider
    return _WIDER_WINDOWS[-1]


def _accepts(store: Store, age: dt.timedelta) -> bool:
    key = _probe_key()
    try:
        store.put_new(key, b"old signature\n", signed_at=store.now() - age)
    except (ExpiredError, DeniedError):
        return False
    _remove(store, key)
    return True


def _probe_key() -> str:
    return f"{layout.IDENTITY}.probe-{secrets.token_hex(4)}"


def _remove(store: Store, key: str) -> None:
    """Remove a probe; one that a default retention of the bucket locks is hidden, and is nobody's hindrance."""
    versions: t.Sequence[t.Any] = list(store.versions(key))
    is_locked = False
    for version in versions:
        try:
            store.delete(version.entry.key, version.entry.version_id)
        except DeniedError:
            if not version.entry.version_id:
                raise
            is_locked = True
    if is_locked:
        store.delete(key)
