# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import operator
import re
import typing as t
import urllib.parse
import xml.etree.ElementTree

from . import failure
from .failure import S3Error
from .signature import Query

Fetch = t.Callable[[Query], bytes]  # sends GET /bucket?query and returns the page
_Element = xml.etree.ElementTree.Element

PAGE_KEYS = 1000  # MinIO echoes more, but gives no more
_FIRST_KEYS = 100  # of the first page: what waits for it can begin; many only want to see whether there is a key


class Listed(t.NamedTuple):
    """One line of a listing; a tuple, because there can be millions."""

    key: str
    size: int  # bytes
    etag: str  # without quotes
    modified: dt.datetime  # the server's clock, UTC
    version_id: str = ""
    is_latest: bool = True
    is_delete_marker: bool = False


class Page(t.NamedTuple):
    """One page of a listing."""

    entries: list[Listed]
    is_truncated: bool
    marker: tuple[str, ...]  # where the next page begins: (token,) or (key, version id)

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self.entries]


class _Paged(t.Protocol):
    """What a page says about the next one."""

    @property
    def is_truncated(self) -> bool:
        """Say whether there is a next page."""

    @property
    def marker(self) -> tuple[str, ...]:
        """Return where it begins."""


class _Keyed(_Paged, t.Protocol):
    """A page of objects."""

    @property
    def keys(self) -> list[str]:
        """Return the keys as they were listed."""


_AnyPage = t.TypeVar("_AnyPage", bound=_Paged)
_ObjectPage = t.TypeVar("_ObjectPage", bound=_Keyed)


class MalformedPage(ValueError):
    """A page of a listing is not what an S3 server sends."""


# The order of elements and the signs that MinIO, Versity Gateway and AWS use; all others are left to the XML parser.
_QUOTE = rb"(?:&#34;|&quot;|\")?"
# How an entry begins: its key, time (without the Z), ETag and size; and what stands between that and its end.
HEAD = (
    rb"<Contents><Key>([!-%'-;=-~]*)</Key><LastModified>([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:"
    rb"[0-5][0-9](?:\.[0-9]{3}(?:[0-9]{3})?)?)Z</LastModified>"
    rb"<ETag>" + _QUOTE + rb"([0-9A-Za-z-]*)" + _QUOTE + rb"</ETag>"
    rb"(?:<Checksum[A-Za-z]+>[^<]*</Checksum[A-Za-z]+>)*<Size>([0-9]+)</Size>"
)
OWNER = (
    rb"(?:<StorageClass>[^<]*</StorageClass>)?"
    rb"(?:<Owner>(?:<ID>[^<]*</ID>|<ID/>)?(?:<DisplayName>[^<]*</DisplayName>|<DisplayName/>)?</Owner>)?"
    rb"(?:<StorageClass>[^<]*</StorageClass>)?"
)
_CONTENTS = re.compile(HEAD + OWNER + b"</Contents>")
_VERSION = re.compile(
    rb"<Version><Key>([!-%'-;=-~]*)</Key><LastModified>([0-9TZ:.-]+)</LastModified>"
    rb"<ETag>" + _QUOTE + rb"([0-9A-Za-z-]*)" + _QUOTE + rb"</ETag><Size>([0-9]+)</Size>"
    rb"(?:<Owner>(?:<ID>[^<]*</ID>|<ID/>)?(?:<DisplayName>[^<]*</DisplayName>|<DisplayName/>)?</Owner>)?"
    rb"(?:<StorageClass>[^<]*</StorageClass>)?"
    rb"<IsLatest>(true|false)</IsLatest><VersionId>([!-%'-;=-~]*)</VersionId></Version>"
)
_TRUNCATED = re.compile(rb"<IsTruncated>(true|false)</IsTruncated>")
_TOKEN = re.compile(rb"<NextContinuationToken>([!-%'-;=-~]*)</NextContinuationToken>")
_BEGUN_VERSION = re.compile(rb"<Version[\s/>]")
_KEY_MARKER = re.compile(rb"<NextKeyMarker>([!-%'-;=-~]*)</NextKeyMarker>")
_VERSION_MARKER = re.compile(rb"<NextVersionIdMarker>([!-%'-;=-~]*)</NextVersionIdMarker>")
_END = b"</ListBucketResult>"
_END_OF_VERSIONS = b"</ListVersionsResult>"


def parse_objects(body: bytes) -> Page:
    """Read a page of ListObjectsV2. Raises MalformedPage."""
    page = _plain_objects(body)
    return _xml_objects(body) if page is None else page


def _plain_objects(body: bytes) -> Page | None:
    """Read a page with regular expressions (a tenth of the XML parser's time); None unless every element was
    understood.
    """
    found, next_page = _CONTENTS.findall(body), following(body)
    if next_page is None or body.count(b"<Contents") != len(found):
        return None
    try:
        entries = [
            Listed(decoded(key.decode("ascii")), int(size), etag.decode("ascii"), _time(f"{modified.decode('ascii')}Z"))
            for key, modified, etag, size in found
        ]
    except ValueError:
        return None
    return Page(entries, *next_page)


def following(body: bytes) -> tuple[bool, tuple[str, ...]] | None:
    """Return whether a page of objects is not the last one, and where the next one begins, without the XML parser;
    None unless that is clear. Entries may have been left out of the page.
    """
    truncated, tokens = _TRUNCATED.findall(body), _TOKEN.findall(body)
    is_plain = (
        _is_plain(body, _END) and len(truncated) == 1 and body.count(b"<NextContinuationToken") == len(tokens) <= 1
    )
    if not is_plain:
        return None
    return truncated[0] == b"true", tuple(token.decode("ascii") for token in tokens)


def _is_plain(body: bytes, end: bytes) -> bool:
    """Say whether a page is one whose elements regular expressions can find."""
    return (
        body.count(b"<EncodingType>url</EncodingType>") == 1
        and body.rstrip().endswith(end)
        and body.count(end) == 1
        and b"<!" not in body
        and b"\0" not in body
    )


def _xml_objects(body: bytes) -> Page:
    root = parse_xml(body, "ListBucketResult")
    decode = _decoder(root)
    entries = [_listed(item, decode) for item in root if item.tag == "Contents"]
    token = root.findtext("NextContinuationToken")
    return Page(entries, _is_true(root, "IsTruncated"), (token,) if token else ())


def parse_versions(body: bytes) -> Page:
    """Read a page of ListObjectVersions, delete markers at their place among the versions. Raises MalformedPage."""
    page = _plain_versions(body)
    return _xml_versions(body) if page is None else page


def _plain_versions(body: bytes) -> Page | None:
    """Read a page without delete markers as `_plain_objects` does."""
    found = _VERSION.findall(body)
    truncated = _TRUNCATED.findall(body)
    keys, ids = _KEY_MARKER.findall(body), _VERSION_MARKER.findall(body)
    is_plain = (
        _is_plain(body, _END_OF_VERSIONS)
        and len(_BEGUN_VERSION.findall(body)) == len(found)
        and b"<DeleteMarker" not in body
        and len(truncated) == 1
        and body.count(b"<NextKeyMarker") == len(keys) <= 1
        and body.count(b"<NextVersionIdMarker") == len(ids) <= 1
    )
    if not is_plain:
        return None
    try:
        entries = [
            Listed(
                decoded(key.decode("ascii")),
                int(size),
                etag.decode("ascii"),
                _time(modified.decode("ascii")),
                version.decode("ascii"),
                latest == b"true",
            )
            for key, modified, etag, size, latest, version in found
        ]
    except ValueError:
        return None
    key = decoded(keys[0].decode("ascii")) if keys else ""
    marker = (key, ids[0].decode("ascii") if ids else "") if key else ()
    return Page(entries, truncated[0] == b"true", marker)


def _xml_versions(body: bytes) -> Page:
    root = parse_xml(body, "ListVersionsResult")
    decode = _decoder(root)
    entries = [_listed(item, decode) for item in root if item.tag in ("Version", "DeleteMarker")]
    key = root.findtext("NextKeyMarker")
    marker = (decode(key), root.findtext("NextVersionIdMarker") or "") if key else ()
    return Page(entries, _is_true(root, "IsTruncated"), marker)


def parse_xml(body: bytes, name: str) -> _Element:
    """Parse an answer whose root is `name`, with namespaces taken off. Document types and entities are refused. Raises
    MalformedPage.
    """
    # Without NUL bytes it is no UTF-16, in which a document type could hide from this search.
    if b"\0" in body or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise MalformedPage("it declares a document type, or is not UTF-8")
    try:
        root = xml.etree.ElementTree.fromstring(body)
    except (xml.etree.ElementTree.ParseError, ValueError, LookupError) as error:
        raise MalformedPage(f"it is no XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != name:
        raise MalformedPage(f"it is a {root.tag[:40]}, not a {name}")
    return root


def _listed(item: _Element, decode: t.Callable[[str], str]) -> Listed:
    is_marker = item.tag == "DeleteMarker"
    try:
        return Listed(
            decode(_text(item, "Key")),
            0 if is_marker else int(_text(item, "Size")),
            _etag(item.findtext("ETag") or ""),
            _time(_text(item, "LastModified")),
            item.findtext("VersionId") or "",
            item.findtext("IsLatest") in (None, "true"),
            is_marker,
        )
    except ValueError as error:
        raise MalformedPage(str(error)) from error


def _text(item: _Element, name: str) -> str:
    text = item.findtext(name)
    if text is None:
        raise MalformedPage(f"an entry has no {name}")
    return text


def _is_true(root: _Element, name: str) -> bool:
    text = _text(root, name)
    if text not in ("true", "false"):
        raise MalformedPage(f"{name} is {text[:40]!r}")
    return text == "true"


def _decoder(root: _Element) -> t.Callable[[str], str]:
    return decoded if root.findtext("EncodingType") == "url" else str


def decoded(text: str) -> str:
    """Return a key as it is, by the form that it has in a listing of `encoding-type=url`."""
    return urllib.parse.unquote_plus(text, errors="surrogateescape")


def _etag(text: str) -> str:
    return text.strip('"')


def _time(text: str) -> dt.datetime:
    if not text.endswith("Z"):
        raise ValueError(f"a time is {text[:40]!r}")
    return dt.datetime.fromisoformat(text[:-1] + "+00:00")


def objects(fetch: Fetch, problem: str, prefix: str = "", start_after: str = "") -> t.Iterator[Listed]:
    """List the objects whose key begins with `prefix`, behind `start_after`, in the order of their UTF-8 bytes. Raises
    S3Error.
    """
    for page in object_pages(fetch, problem, prefix, start_after, parse_objects):
        yield from page.entries


def object_pages(
    fetch: Fetch,
    problem: str,
    prefix: str,
    start_after: str,
    parse: t.Callable[[bytes], _ObjectPage],
    words: Query = (),
) -> t.Iterator[_ObjectPage]:
    """List objects page by page, each read by `parse` and asked for with more `words`; in order and below `prefix`, or
    refused. Raises S3Error.
    """
    query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix), *words]
    if start_after:
        query.append(("start-after", start_after))
    last = ""
    for page in _pages(fetch, problem, parse, query, ("continuation-token",)):
        keys = page.keys
        _require_order(problem, last, keys, prefix)
        last = keys[-1] if keys else last
        yield page


def _require_order(problem: str, last: str, keys: t.Sequence[str], prefix: str) -> None:
    """Refuse keys that do not ascend, from behind `last` on, or that do not begin with `prefix`."""
    row = [last, *keys]
    places: t.Sequence[str | bytes] = row if "".join(row).isascii() else [_utf8(key) for key in row]
    # In between two keys that begin with the prefix all do.
    if all(map(operator.lt, places, places[1:])) and all(key.startswith(prefix) for key in (*keys[:1], *keys[-1:])):
        return
    for before, key in zip(row, keys):
        if not _follows(before, key) or not key.startswith(prefix):
            raise _bad(problem, f"{key!r} stands behind {before!r}, below {prefix!r}")


def versions(fetch: Fetch, problem: str, prefix: str = "") -> t.Iterator[Listed]:
    """List all versions and delete markers below `prefix`: keys in order, of each key the newest first. Raises
    S3Error.
    """
    query = [("versions", ""), ("encoding-type", "url"), ("prefix", prefix)]
    last, seen = "", set[str]()
    for page in _pages(fetch, problem, parse_versions, query, ("key-marker", "version-id-marker")):
        for entry in page.entries:
            if entry.key != last:
                if not _follows(last, entry.key) or not entry.key.startswith(prefix):
                    raise _bad(problem, f"{entry.key!r} stands behind {last!r}, below {prefix!r}")
                last, seen = entry.key, set()
            if entry.version_id in seen:
                raise _bad(problem, f"version {entry.version_id} of {entry.key!r} is listed twice")
            seen.add(entry.version_id)
            yield entry


def _pages(
    fetch: Fetch,
    problem: str,
    parse: t.Callable[[bytes], _AnyPage],
    query: list[tuple[str, str]],
    markers: tuple[str, ...],
) -> t.Iterator[_AnyPage]:
    place: list[tuple[str, str]] = []
    keys = min(_FIRST_KEYS, PAGE_KEYS)
    used = set[tuple[str, ...]]()
    while True:
        try:
            page = parse(fetch([*query, ("max-keys", str(keys)), *place]))
        except MalformedPage as error:
            raise _bad(problem, f"a page of the listing cannot be read: {error}") from error
        yield page
        if not page.is_truncated:
            return
        if not page.marker or page.marker in used:
            raise _bad(problem, "a page does not say where the next one begins, or says it twice")
        used.add(page.marker)
        keys = PAGE_KEYS
        place = [(name, value) for name, value in zip(markers, page.marker) if value]


def _follows(last: str, key: str) -> bool:
    """Say whether `key` comes behind `last` in UTF-8 order, which is the order of code points but for bytes that are
    no UTF-8.
    """
    return key > last if key.isascii() else _utf8(key) > _utf8(last)


def _utf8(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _bad(problem: str, message: str) -> S3Error:
    return S3Error(problem, 200, failure.BAD_ANSWER, message)
