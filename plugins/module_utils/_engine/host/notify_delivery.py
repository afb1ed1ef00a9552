# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends an event on several channels at once, within a bounded time, and never fails for it."""

from __future__ import annotations

import dataclasses
import threading
import typing as t

from .. import clock
from ..errors import LifeboatError
from .notify_channel import Channel, NotSent, Opened, hears_begin, without
from .notify_event import START, Event

DEADLINE_S = 60.0  # for all channels together
_BEGIN_S = 15.0  # the same for a begin: the run waits for it
_PAUSES_S = (1.0, 4.0)  # before the second try, and before each later one


@dataclasses.dataclass(frozen=True)
class Delivery:
    """What became of an event on one channel."""

    channel: str
    problem: str = ""  # empty: it was taken

    @property
    def is_done(self) -> bool:
        return not self.problem

    def document(self) -> dict[str, t.Any]:
        return {"channel": self.channel, "delivered": self.is_done, "problem": self.problem}


class Outbox:
    """Some channels with their secrets. What cannot be opened is a delivery that fails, not an error."""

    def __init__(self, channels: t.Iterable[Channel]) -> None:
        self._channels = tuple(channels)
        self._opened: dict[str, Opened] = {}
        self._refused: dict[str, str] = {}
        for channel in self._channels:
            try:
                self._opened[channel.name] = channel.opened()
            except LifeboatError as error:
                self._refused[channel.name] = error.summary
            except Exception as error:  # noqa: BLE001 - a bug here must not cost a backup; its words may hold a secret
                self._refused[channel.name] = f"it cannot be opened: {type(error).__name__}"

    def begin(self, event: Event) -> tuple[Delivery, ...]:
        """Tell of a begin whoever wants that, by one try."""
        wanted = [channel for channel in self._channels if hears_begin(channel) and channel.wants(event)]
        return self._sent([dataclasses.replace(channel, attempts=1) for channel in wanted], event, _BEGIN_S)

    def send(self, event: Event, deadline_s: float = DEADLINE_S) -> tuple[Delivery, ...]:
        """Tell everybody who wants to hear of it; returns when all have answered, or when the time is over."""
        return self._sent([channel for channel in self._channels if channel.wants(event)], event, deadline_s)

    def _sent(
        self, channels: t.Sequence[Channel], event: Event, deadline_s: float = DEADLINE_S
    ) -> tuple[Delivery, ...]:
        until = clock.monotonic() + deadline_s
        found = dict(self._refused)
        threads = []
        for channel in channels:
            if channel.name in self._opened:
                work = threading.Thread(target=self._tried, args=(channel, event, found, until), daemon=True)
                work.start()
                threads.append(work)
        for work in threads:
            work.join(max(0.0, until - clock.monotonic()))
        late = f"no answer within {deadline_s:g} s"
        return tuple(Delivery(channel.name, found.get(channel.name, late)) for channel in channels)

    def _tried(self, channel: Channel, event: Event, found: dict[str, str], until: float) -> None:
        opened = self._opened[channel.name]
        for number in range(channel.attempts):
            try:
                opened.send(event)
            except NotSent as error:
                problem, may_retry = error.cause, error.may_retry
            except Exception as error:  # noqa: BLE001 - a bug here must not cost a backup, and must be seen
                problem, may_retry = f"{type(error).__name__}: {error}", False
            else:
                found[channel.name] = ""
                return
            pause = _PAUSES_S[min(number, len(_PAUSES_S) - 1)]
            is_last = number + 1 == channel.attempts or clock.monotonic() + pause > until
            if is_last or not may_retry:
                found[channel.name] = " ".join(without(problem, opened.secrets).split()) or "it said nothing"
                return
            clock.sleep(pause)


def begun(command: str, job: str, kind: str, host: str) -> Event:
    """Return the event that a run has begun."""
    moment = clock.now()
    return Event(command, job, host, START, moment, moment, kind=kind)
