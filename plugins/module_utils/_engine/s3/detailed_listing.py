# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import functools
import html
import re
import typing as t
import xml.etree.ElementTree

from .. import clock
from . import listing, object_properties
from .listing import Fetch, MalformedPage
from .object_properties import ObjectProperties

_KEPT = 4096  # ends of entries: most objects of a bucket have the same few sets of metadata


class Shown(t.NamedTuple):
    """What MinIO's listing shows of an object besides what every listing does."""

    properties: ObjectProperties
    digest: str  # of the properties


class DetailedPage(t.NamedTuple):
    """One page of a listing with metadata; in columns, because there can be millions of entries."""

    keys: list[str]
    sizes: list[int]  # bytes
    etags: list[str]  # without quotes
    times: list[str]  # by the server's clock: 2026-11-21T02:36:20.639906Z
    shown: list[Shown | None]  # None where the server shows nothing: it is no MinIO, or the right to read is missing
    is_truncated: bool
    marker: tuple[str, ...]  # where the next page begins


_HEAD = re.compile(listing.HEAD)
# What comes behind the head of an entry. Its last part is what MinIO adds (its cmd/api-response.go,
# Object.UserMetadata). Names of user metadata are written as they are, also with signs that XML forbids in names.
_TAIL = re.compile(
    listing.OWNER + rb"(?:<UserMetadata>(?P<fields>(?:<([A-Za-z][!-;=?-~]*)>[^<\0]*</\2>)*)</UserMetadata>"
    rb"(?:<UserTags>(?P<tags>[^<\0]*)</UserTags>|<UserTags/>)?"
    rb"(?:<Internal>(?:<[A-Z]>[^<]*</[A-Z]>)*</Internal>)?)?</Contents>"
)
_FIELD = re.compile(rb"<([!-;=?-~]+)>([^<]*)</\1>")
_END = b"</Contents>"
_TO_MICROSECONDS = {19: ".000000Z", 23: "000Z", 26: "Z"}  # length of a time → what it lacks


def pages(
    fetch: Fetch, problem: str, prefix: str = "", start_after: str = "", *, is_plain: bool = False
) -> t.Iterator[DetailedPage]:
    """List objects in the order of their UTF-8 bytes, with what MinIO shows of them unless that is not wanted: to find
    it out takes a server as long as the rest. Raises S3Error.
    """
    words = () if is_plain else (("metadata", "true"),)
    return listing.object_pages(fetch, problem, prefix, start_after, parse, words)


def parse(body: bytes) -> DetailedPage:
    """Read a page of ListObjectsV2 with `metadata=true`. Raises MalformedPage."""
    page = _plain(body)
    return _by_xml(body) if page is None else page


def _plain(body: bytes) -> DetailedPage | None:
    """Read a page with regular expressions; None unless every element was understood.

    It is cut at the heads of its entries. What lies between two heads is the same for most, and looked into once.
    """
    before, *parts = _HEAD.split(body)
    tails = parts[4::5]
    behind = b""
    if tails:
        last, end, behind = tails[-1].partition(_END)
        tails[-1] = last + end
    frame = before + b"\n" + behind
    next_page = listing.following(frame)
    if next_page is None or b"<Contents" in frame:
        return None
    try:
        return DetailedPage(
            _keys(_texts(parts[0::5])),
            list(map(int, parts[3::5])),
            _texts(parts[2::5]),
            _times(_texts(parts[1::5])),
            list(map(_shown, tails)),
            *next_page,
        )
    except ValueError:
        return None


def _texts(column: t.Sequence[bytes]) -> list[str]:
    return b"\n".join(column).decode("ascii").split("\n") if column else []


def _keys(column: list[str]) -> list[str]:
    return [listing.decoded(key) if "%" in key or "+" in key else key for key in column]


def _times(column: list[str]) -> list[str]:
    """Return times in the form of `clock.to_text`. Raises ValueError for one that there is not."""
    for _moment in map(dt.datetime.fromisoformat, column):
        pass
    return [text + _TO_MICROSECONDS[len(text)] for text in column]


@functools.lru_cache(maxsize=_KEPT)
def _shown(tail: bytes) -> Shown | None:
    """Return what is shown behind the head of an entry. Raises ValueError when that is not plain."""
    parts = _TAIL.fullmatch(tail)
    if parts is None or b"\r" in tail:  # which XML would take for a line feed
        raise ValueError("an entry has other elements")
    found = {
        name.decode("ascii").lower(): html.unescape(value.decode("utf-8", "replace"))
        for name, value in _FIELD.findall(parts["fields"] or b"")
    }
    return _complete(found, html.unescape((parts["tags"] or b"").decode("utf-8", "replace")))


def _complete(found: dict[str, str], tags: str) -> Shown | None:
    # Without s3:GetObject the server leaves all of it out, without a word. Every object has a content type.
    if "content-type" not in found:
        return None
    properties = object_properties.from_listing(found, tags)
    return Shown(properties, properties.digest())


def _by_xml(body: bytes) -> DetailedPage:
    root = listing.parse_xml(body, "ListBucketResult")
    shown = []
    for item in root.findall("Contents"):
        details = item.find("UserMetadata")
        found = {} if details is None else _fields(details)
        shown.append(_complete(found, item.findtext("UserTags") or ""))
    page = listing.parse_objects(body)
    if len(page.entries) != len(shown):
        raise MalformedPage("the number of its entries is not clear")
    return DetailedPage(
        page.keys,
        [entry.size for entry in page.entries],
        [entry.etag for entry in page.entries],
        [clock.to_text(entry.modified) for entry in page.entries],
        shown,
        page.is_truncated,
        page.marker,
    )


def _fields(element: xml.etree.ElementTree.Element) -> dict[str, str]:
    return {item.tag.lower(): item.text or "" for item in element}
