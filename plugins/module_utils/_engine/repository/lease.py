# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import random
import secrets
import threading
import typing as t

from .. import clock
from ..errors import BusyError, DamagedError, GuardRefusal, LifeboatError
from . import json_document, layout
from .intent import host_name
from .store import ChangedError, ExistsError, Store, UnavailableError

TERM = dt.timedelta(minutes=30)  # a holder changes things only this long after its last renewal began
RENEW_AFTER = dt.timedelta(minutes=10)
MARGIN = dt.timedelta(minutes=45)  # take-over after the signature window plus this
WAIT_S = 70 * 60.0  # longer than window + margin of a usual server, so that a crashed holder is outlived
SKEW = dt.timedelta(minutes=5)

Permit = t.Callable[[], dt.datetime]


class LeaseLostError(LifeboatError):
    """The maintenance lease ran out or somebody else took it over; nothing more may be changed."""


@contextlib.contextmanager
def held(
    store: Store,
    job: str,
    window: dt.timedelta,
    wait_s: float = WAIT_S,
    on_wait: t.Callable[[str], None] = lambda _text: None,
    is_removing: bool = False,
) -> t.Iterator[Permit]:
    """Hold the maintenance lease of a job in a repository; yields the permit for changing requests.

    Ask the permit just before each changing request, and give its answer as `signed_at`: it renews the lease when
    that is due and returns the clock reading at which the lease was valid, so that a server refuses the request if
    this process is frozen in between. Several threads may ask. With `is_removing`, for holders that delete stored
    files, a lease is not given back after an UnavailableError, nor after a signal: the request may still be on its way,
    and whoever took the lease at once could bring in a file that it then removes. Raises BusyError after `wait_s`,
    GuardRefusal (`clock`) when this host's clock is wrong, and LeaseLostError from the permit.
    """
    _check_clock(store)
    if store.has_locks:
        with _locked(store, job, wait_s, on_wait):
            yield store.now
        return
    lease = _Lease(store, job, window)
    may_release = True
    try:
        lease.take(wait_s, on_wait)
        yield lease.permit
    except LifeboatError as error:
        may_release = not (is_removing and isinstance(error, UnavailableError))
        raise
    except BaseException:  # such as a signal, which may have come between a request and its answer
        may_release = not (is_removing and lease.has_permitted)
        raise
    finally:
        if may_release:
            lease.release()


@contextlib.contextmanager
def _locked(store: Store, job: str, wait_s: float, on_wait: t.Callable[[str], None]) -> t.Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.exclusive_lock(job, 0))
        except BusyError:
            if wait_s <= 0:
                raise
            on_wait(f"waiting for the maintenance lock of {job} in {store.name}")
            stack.enter_context(store.exclusive_lock(job, wait_s))
        yield


def _check_clock(store: Store) -> None:
    skew = abs(store.now() - clock.now())
    if skew > SKEW:
        raise GuardRefusal(
            "clock",
            f"Cannot maintain {store.name}",
            f"its clock and that of this host differ by {skew.total_seconds():.0f} s",
            "set the clocks right (NTP) and run again",
        )


class _Lease:
    """The lease document of a bucket, where there are no locks."""

    def __init__(self, store: Store, job: str, window: dt.timedelta) -> None:
        self._store = store
        self._job = job
        self._key = layout.lease(job)
        self._window = window
        self._etag = ""
        self._sent = b""  # our newest document, which may have arrived though nobody heard the answer
        self._began = dt.datetime.min.replace(tzinfo=clock.UTC)
        self._watched = ("", 0.0)  # ETag of somebody else's lease, and the reading of our clock when it was seen first
        self.has_permitted = False  # a changing request
        self._asking = threading.Lock()  # parts of an upload are sent by several threads: one of them renews

    def take(self, wait_s: float, on_wait: t.Callable[[str], None]) -> None:
        deadline = clock.monotonic() + wait_s
        while not self._try_take():
            if clock.monotonic() >= deadline:
                raise BusyError(
                    f"Cannot maintain job {self._job} in {self._store.name}",
                    "another process holds its maintenance lease",
                    "wait for it; a lease that its holder left behind ends by itself within about an hour",
                )
            on_wait(f"waiting for the maintenance lease of {self._job} in {self._store.name}")
            clock.sleep(min(20 + 20 * random.random(), max(1.0, deadline - clock.monotonic())))

    def _try_take(self) -> bool:
        found = self._store.get(self._key)
        began = self._store.now()
        if found is None:
            return self._write(began, lambda data: self._store.put_new(self._key, data))
        try:
            is_free = bool(json_document.decoded(found.data, self._key).get("released"))
        except DamagedError:
            is_free = False  # it is free when its time is over, whoever damaged it
        is_over = began - found.modified >= self._window + MARGIN or self._stands_still(found.etag)
        if not (is_free or is_over):
            return False
        return self._write(began, lambda data: self._store.replace(self._key, data, found.etag))

    def _stands_still(self, etag: str) -> bool:
        """Say whether a lease was not renewed as long as we looked on, and that was long enough.

        It may have been written while the server's clock was ahead: by its time alone it would be held until then.
        """
        now = clock.monotonic()
        if self._watched[0] != etag:
            self._watched = (etag, now)
        return now - self._watched[1] >= (self._window + MARGIN).total_seconds()

    def _write(self, began: dt.datetime, send: t.Callable[[bytes], str], released: bool = False) -> bool:
        """Send a lease document; whether it is ours is decided by reading it back when the answer does not tell."""
        nonce = secrets.token_hex(8)  # no two documents are alike, so that reading one back tells whose it is
        data = json_document.encoded({"job": self._job, "host": host_name(), "nonce": nonce, "released": released})
        before, self._sent = self._sent, data
        try:
            self._etag = send(data)
        except (ExistsError, ChangedError, UnavailableError):
            found = self._store.get(self._key)
            if found is None or found.data != data:
                self._sent = before
                return False
            self._etag = found.etag
        self._began = began
        return True

    def permit(self) -> dt.datetime:
        with self._asking:
            moment = self._store.now()
            if abs(moment - self._began) >= RENEW_AFTER:  # clocks that were ahead are put back
                self._renew(moment)
                moment = self._store.now()
            if moment - self._began >= TERM:
                raise self._lost("it ran out while this process stood still")
            self.has_permitted = True
            return moment

    def _renew(self, moment: dt.datetime) -> None:
        if not self._write(moment, lambda data: self._store.replace(self._key, data, self._etag)):
            raise self._lost("somebody else took it over")

    def release(self) -> None:
        """Say that the lease is free if it is ours; when that fails it runs out by itself.

        It may be ours without our knowing: a signal can end the work while the answer is on its way.
        """
        if not self._sent:
            return
        with contextlib.suppress(LifeboatError):
            found = self._store.get(self._key)
            if found is not None and found.data == self._sent:
                self._write(self._began, lambda data: self._store.replace(self._key, data, found.etag), released=True)

    def _lost(self, cause: str) -> LeaseLostError:
        return LeaseLostError(
            f"Cannot go on maintaining job {self._job} in {self._store.name}",
            f"its maintenance lease is lost: {cause}",
            "run it again; it goes on where it stopped",
        )
