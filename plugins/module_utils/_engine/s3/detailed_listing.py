# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import html
import re
import typing as t
import xml.etree.ElementTree

from . import listing, object_properties
from .listing import Fetch, Listed, MalformedPage, Page
from .object_properties import ObjectProperties

_KEPT = 4096  # entries: most objects of a bucket have the same few sets of metadata


class Shown(t.NamedTuple):
    """What MinIO's listing shows of an object besides what every listing does."""

    properties: ObjectProperties
    digest: str  # of the properties


class Detailed(t.NamedTuple):
    """One line of a listing with metadata; a tuple, because there can be millions."""

    listed: Listed
    shown: Shown | None  # None where the server shows nothing: it is no MinIO, or the right to read is missing


# What MinIO adds to an entry of its listing (its cmd/api-response.go, Object.UserMetadata), last of all. Names of user
# metadata are written as they are, also with signs that XML forbids in names.
_DETAILS = re.compile(
    rb"<UserMetadata>((?:<([!-;=?-~]+)>[^<]*</\2>)*)</UserMetadata>"
    rb"(?:<UserTags>([^<]*)</UserTags>|<UserTags/>)?"
    rb"(?:<Internal>(?:<[A-Z]>[^<]*</[A-Z]>)*</Internal>)?</Contents>"
)
_FIELD = re.compile(rb"<([!-;=?-~]+)>([^<]*)</\1>")


def parse(body: bytes) -> tuple[Page, list[Shown | None]]:
    """Read a page of ListObjectsV2 with `metadata=true`: the page, and what is shown of each entry. Raises
    MalformedPage.
    """
    found = _DETAILS.findall(body)
    # An entry without details has nothing between the plain elements and its end.
    plain_body = _DETAILS.sub(b"</Contents>", body)
    if b"<UserMetadata" in plain_body or b"<UserTags" in plain_body:
        return _by_xml(body)
    page = listing.parse_objects(plain_body)
    if len(found) == len(page.entries):
        return page, [_shown(fields, tags) for fields, _name, tags in found]
    if found:
        return _by_xml(body)
    return page, [None] * len(page.entries)


def objects(fetch: Fetch, problem: str, prefix: str = "", start_after: str = "") -> t.Iterator[Detailed]:
    """List objects with what MinIO shows of them, in the order of their UTF-8 bytes. Raises S3Error."""
    shown: list[Shown | None] = []

    def plain(body: bytes) -> Page:
        page, shown[:] = parse(body)
        return page

    for number, entry in listing.numbered_objects(fetch, problem, prefix, start_after, plain, (("metadata", "true"),)):
        yield Detailed(entry, shown[number])


@functools.lru_cache(maxsize=_KEPT)
def _shown(fields: bytes, tags: bytes) -> Shown | None:
    found = {
        name.decode("ascii").lower(): html.unescape(value.decode("utf-8", "replace"))
        for name, value in _FIELD.findall(fields)
    }
    return _complete(found, html.unescape(tags.decode("utf-8", "replace")))


def _complete(found: dict[str, str], tags: str) -> Shown | None:
    # Without s3:GetObject the server leaves all of it out, without a word. Every object has a content type.
    if "content-type" not in found:
        return None
    properties = object_properties.from_listing(found, tags)
    return Shown(properties, properties.digest())


def _by_xml(body: bytes) -> tuple[Page, list[Shown | None]]:
    root = listing.parse_xml(body, "ListBucketResult")
    shown = []
    for item in root.findall("Contents"):
        details = item.find("UserMetadata")
        found = {} if details is None else _texts(details)
        shown.append(_complete(found, item.findtext("UserTags") or ""))
    page = listing.parse_objects(body)
    if len(page.entries) != len(shown):
        raise MalformedPage("the number of its entries is not clear")
    return page, shown


def _texts(element: xml.etree.ElementTree.Element) -> dict[str, str]:
    return {item.tag.lower(): item.text or "" for item in element}
