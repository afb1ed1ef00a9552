# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes many small objects with one request: MinIO unpacks an archive that is sent as one ("Snowball", in MinIO's own
`mc mirror` and batch replication). That takes a third of the server's work off a small object.
"""

from __future__ import annotations

import functools
import re
import tarfile
import typing as t

from ..s3 import flight, object_properties
from ..s3.client import S3Client
from ..s3.integrity import MD5
from . import tar_headers
from .object_errors import for_one_object
from .source import ObjectError
from .target import Bring, Outcome, Take, Written

_UNPACK = {"x-amz-meta-snowball-auto-extract": "true"}  # PutObjectExtractHandler in MinIO's object-handlers.go
_PROPERTY = "minio.metadata."  # begins the pax records that become headers of the object
_NO_TYPE = {"content-type": "binary/octet-stream"}  # what MinIO gives a PUT without one; unpacked ones get it by name
_TAGS = "x-amz-tagging"
# What MinIO takes as tags with a PUT; of unpacked objects it looks at none.
_MOST_TAGS = 10
_TAG_NAME, _TAG_VALUE = re.compile(r"[A-Za-z0-9 +\-=._:/@]{1,128}"), re.compile(r"[A-Za-z0-9 +\-=._:/@]{0,256}")
# Headers whose records MinIO reads as those of a PUT; user metadata besides.
_TRAVEL = frozenset(
    (
        "content-type",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "expires",
        _TAGS,
    )
)
_LARGEST = 64 * 1024  # bytes of a member: the server writes up to 16 of at most 128 KiB side by side, others in turn
_MOST_MEMBERS = 64
_MOST_BYTES = 1024 * 1024  # of the members of one archive
_ON_THEIR_WAY = 3  # archives: objects that come meanwhile make the next ones
_MOST_REFUSED = 3  # archives: then no more are sent
_KEPT = 256  # sets of headers, which many objects share
# The server cleans names as paths, and writes what it finds then: none may become another one.
_CLEAN = re.compile("(?!/)(?!(?:.*/)?\\.{0,2}(?:/|$))[^\0-\x1f\x7f\ud800-\udfff]+")


class Member(t.NamedTuple):
    """An object that can travel with others."""

    order: Bring
    fields: dict[str, str]  # headers that it would be written with alone
    written: Written  # what is told of it then

    @property
    def is_rich(self) -> bool:
        """Say whether it has metadata or tags, which old servers do not read from an archive."""
        return any(name.startswith("x-amz-") for name in self.fields)


def may_travel(order: Bring) -> bool:
    """Say whether an object can be told apart from all others by its name in an archive, and afterwards by its ETag."""
    row = order.row
    return (
        len(order.data) <= _LARGEST
        and not row.properties.get("parts")
        and MD5.fullmatch(row.etag) is not None
        and _CLEAN.fullmatch(order.key) is not None
    )


def has_simple(fields: t.Mapping[str, str]) -> bool:
    """Say whether headers of an object can travel in an archive: those that are not judged anew when it is unpacked."""
    return all(
        value and (name in _TRAVEL or name.startswith(object_properties.METADATA)) for name, value in fields.items()
    ) and _has_good_tags(fields.get(_TAGS, ""))


def _has_good_tags(text: str) -> bool:
    tags = object_properties.tags_from_query(text)
    return len(tags) <= _MOST_TAGS and all(
        _TAG_NAME.fullmatch(name) and _TAG_VALUE.fullmatch(value) for name, value in tags.items()
    )


class ArchivedPuts:
    """Writes small objects in archives where the server unpacks these, and one by one where it does not.

    That it does is seen: of the first archives an object is looked at. One that is refused, or not unpacked, does no
    harm: its request names its first object, and then all of them are written alone. The server compares the archive's
    checksum only when its objects are there already: who uses this compares afterwards.
    """

    def __init__(
        self,
        client: S3Client,
        member: t.Callable[[Bring], Member | None],
        put_task: t.Callable[[Bring], flight.Task[tuple[Bring, Outcome]]],
    ) -> None:
        """`member` returns an order as it can travel, None for one that must go alone, by `put_task`."""
        self._client = client
        self._member = member
        self._put_task = put_task
        self._held: Bring | Member | None = None  # it was taken, and is for later
        self._out = 0  # archives on their way
        self._proved = 0  # 1: that archives are unpacked, 2: with metadata and tags
        self._refused = 0
        self._is_off = False

    def through(self, take: Take, at_once: int) -> t.Iterator[tuple[Bring, Outcome]]:
        """Yield each object with what became of it, as `target.WritesSeveral.write_through`."""
        for results in flight.through(functools.partial(self._next, take), self._task, at_once):
            yield from results

    def _next(self, take: Take, may_wait: bool) -> Bring | list[Member] | None:
        """Take what goes with the next request."""
        first = self._taken(take, may_wait)
        if not isinstance(first, Member):
            return first
        if self._is_off:
            return first.order
        if self._out >= _ON_THEIR_WAY and not may_wait:
            self._held = first
            return None
        group, size = [first], len(first.order.data)
        while len(group) < _MOST_MEMBERS and size < _MOST_BYTES:
            more = self._taken(take, False)
            if not isinstance(more, Member) or more.order.collection != first.order.collection:
                self._held = more
                break
            group.append(more)
            size += len(more.order.data)
        return group

    def _taken(self, take: Take, may_wait: bool) -> Bring | Member | None:
        """Take an order, as a member of an archive where it can be one."""
        held, self._held = self._held, None
        if held is not None:
            return held
        order = take(may_wait)
        if order is None or self._is_off or not may_travel(order):
            return order
        return self._member(order) or order

    def _task(self, found: Bring | list[Member]) -> flight.Task[list[tuple[Bring, Outcome]]]:
        if isinstance(found, Bring):
            return [(yield from self._put_task(found))]
        if len(found) > 1 and not self._is_off:
            self._out += 1
            try:
                is_done = yield from self._archive_task(found)
            finally:
                self._out -= 1
            if is_done:
                return [(member.order, member.written) for member in found]
        results = []
        for member in found:
            results.append((yield from self._put_task(member.order)))
        return results

    def _archive_task(self, members: list[Member]) -> flight.Task[bool]:
        """Send an archive, and say whether all its objects are there. Raises what concerns the whole target."""
        first = members[0].order
        try:
            with for_one_object():
                yield from self._client.put_task(first.collection, first.key, archive(members), _UNPACK)
                is_there = yield from self._proof_task(members)
        except ObjectError:
            self._refused += 1  # such as by a policy that lets us write below one prefix only
            self._is_off = self._is_off or self._refused >= _MOST_REFUSED
            return False
        self._is_off = self._is_off or not is_there
        return is_there

    def _proof_task(self, members: list[Member]) -> flight.Task[bool]:
        """Say whether the server has done what it was asked for, until that is known."""
        rich = next((member for member in members if member.is_rich), None)
        wanted = 1 if rich is None else 2
        if self._proved < wanted:
            member = rich or members[0]
            order = member.order
            found = yield from self._client.head_task(order.collection, order.key)
            if found is None or (found.size, found.etag) != (len(order.data), order.row.etag):
                return False
            if not _shows(found.fields, member.fields):
                return False
            self._proved = wanted
        return True


def archive(members: t.Sequence[Member]) -> bytes:
    """Return an archive of objects. The blocks that usually end one are left out: the server then reads up to the end
    of the request, where it compares the checksum.
    """
    pieces: list[bytes] = []
    for member in members:
        data = member.order.data
        pieces += (_header(member), data, tar_headers.padding(len(data)))
    return b"".join(pieces)


def _header(member: Member) -> bytes:
    key = member.order.key
    fields = {**_NO_TYPE, **member.fields}
    path = key.encode()
    is_short = len(path) <= tarfile.LENGTH_NAME and key.isascii()
    extension = _extension(tuple(fields.items()), "" if is_short else key)
    # The time 0 stands for the present one.
    return extension + tar_headers.of_file(path if is_short else b"object", len(member.order.data), 0)


@functools.lru_cache(maxsize=_KEPT)
def _extension(fields: tuple[tuple[str, str], ...], path: str) -> bytes:
    """Return the extended header of a member: headers that it gets, and its path where that is none of ustar."""
    records = {_PROPERTY + name: value for name, value in fields}
    if path:
        records["path"] = path
    body = b"".join(_record(name, value) for name, value in records.items())
    info = tarfile.TarInfo("properties")
    info.type = tarfile.XHDTYPE
    info.size = len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + tar_headers.padding(len(body))


def _record(name: str, value: str) -> bytes:
    """Return a pax record, which begins with its own length."""
    rest = f" {name}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%b" % (length, rest)


def _shows(found: t.Mapping[str, str], wanted: t.Mapping[str, str]) -> bool:
    """Say whether an object has the metadata, as many tags and the type that it was to get."""
    own = object_properties.from_fields(found)
    asked = object_properties.from_fields({**_NO_TYPE, **wanted})
    tags = len(object_properties.tags_from_query(wanted.get(_TAGS, "")))
    return (own.headers, own.metadata, object_properties.tagging_count(found)) == (asked.headers, asked.metadata, tags)
