# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import re
import secrets
import time

UTC = dt.timezone.utc
AHEAD = dt.timedelta(minutes=15)  # an id may be ahead of the server's clock by this; more, and its clock has jumped
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_ID_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z")
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_KEPT_DATES = 1024  # many objects were written in the same second
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def now() -> dt.datetime:
    """Return this host's time, in UTC."""
    return dt.datetime.now(UTC)


def monotonic() -> float:
    """Return seconds that never go back, for durations and deadlines."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; the only place that does."""
    time.sleep(seconds)


def to_text(moment: dt.datetime) -> str:
    """Return `2026-11-20T02:00:00.000000Z` (UTC, microseconds), the form of every time in a repository."""
    moment = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{moment.isoformat('T', 'microseconds')[:26]}Z"  # by position: catalogs write ten thousands of times


def from_text(text: str) -> dt.datetime:
    """Parse what `to_text` writes; fractions may be missing. Raises ValueError."""
    if _TEXT.fullmatch(text):  # far the most are: listings are full of them, and strptime takes 50 times as long
        return dt.datetime.fromisoformat(f"{text[:-1]}+00:00")
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return dt.datetime.strptime(text, pattern).replace(tzinfo=UTC)


def from_zoned_text(text: str) -> dt.datetime:
    """Parse a time as operators write it, such as 2026-11-20T02:00:00Z or 2026-11-20T03:00:00+01:00.

    Raises ValueError, also for a time without a zone: hours are lost where it is guessed.
    """
    found = dt.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if found.tzinfo is None:
        raise ValueError("it does not say in which time zone")
    return found.astimezone(UTC)


def from_nanoseconds(count: int) -> dt.datetime:
    """Return the moment that many nanoseconds after 1970, as file systems tell it. Raises ValueError."""
    try:
        return dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=count // 1000)
    except OverflowError as error:
        raise ValueError(f"not a time: {count} ns") from error


@functools.lru_cache(maxsize=_KEPT_DATES)
def from_http_date(text: str) -> dt.datetime:
    """Parse an HTTP `Date` or `Last-Modified` header (RFC 9110, section 5.6.7). Raises ValueError."""
    usual = _HTTP_DATE.fullmatch(text)
    if usual is not None and usual.group(2) in _MONTHS:
        day, month, *rest = usual.groups()
        year, hour, minute, second = map(int, rest)
        return dt.datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    try:
        return email.utils.parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, IndexError) as error:
        raise ValueError(f"not an HTTP date: {text!r}") from error


def seconds_since(begun: float) -> float:
    """Return the seconds since a reading of the monotonic clock, to the millisecond."""
    return round(monotonic() - begun, 3)


def compact(moment: dt.datetime) -> str:
    """Return `20261120T020000Z`, the form of a time in names."""
    return moment.astimezone(UTC).isoformat()[:19].replace("-", "").replace(":", "") + "Z"


def new_backup_id(moment: dt.datetime) -> str:
    """Return a fresh id, `<UTC start>-<6 hex>`; `moment` is the repository server's clock."""
    return f"{compact(moment)}-{secrets.token_hex(3)}"


def from_backup_id(text: str) -> dt.datetime:
    """Return when a backup began, by its id, to the second. Raises ValueError."""
    found = _ID_TIME.fullmatch(text.partition("-")[0])  # retention asks for ten thousands: strptime is slow
    if found is None:
        raise ValueError(f"not a backup id: {text!r}")
    year, month, day, hour, minute, second = map(int, found.groups())
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def is_backup_id(text: str) -> bool:
    """Say whether `text` has the form of a backup id."""
    return _ID.fullmatch(text) is not None
