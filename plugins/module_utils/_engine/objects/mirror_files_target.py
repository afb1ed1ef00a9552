# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import hashlib

from .mirror_bucket_target import BucketTarget
from .mirror_copy import WHOLE, parts_of
from .mirror_plan import Verdict
from .mirror_sides import MirrorSource, Subject
from .object_errors import for_one_object
from .property_writer import modified_ns
from .rows import Item, Row
from .source import ObjectError

_CLOCKS_NS = 3_000_000_000  # how exactly the clocks of two machines are compared by the Date of an answer


class FilesTarget(BucketTarget):
    """A bucket that becomes the mirror of a directory.

    Files have no ETags, so time tells: an object that came later than the last change of its file is a copy of it. A
    file's change time (st_ctime) cannot be set by anybody; the server's clock is compared with ours.
    """

    tells_by_etag = False

    @functools.cached_property
    def _ahead_ns(self) -> int:
        """Return how far the server's clock is before ours, in nanoseconds."""
        return int(self.client.skew(self.bucket, self.full("x")).total_seconds() * 1e9)

    def judge(self, item: Item, own: Item) -> Verdict:
        """Compare by size and time; what is within the accuracy of the clocks is looked at."""
        if item.size != own.size:
            return Verdict.OTHER
        written = modified_ns(Row(*own, "", "", None, {})) or 0
        changed = int(item.etag.rpartition("-")[2])
        lead = written - self._ahead_ns - changed
        if abs(lead) <= _CLOCKS_NS:
            return Verdict.LOOK
        return Verdict.SAME if lead > 0 else Verdict.OTHER

    def look(self, source: MirrorSource, item: Item, own: Item) -> bool:
        """Compare bytes by their MD5, and the properties."""
        try:
            subject = source.describe(item)
            expected = _etag_of(source, subject)
        except ObjectError:
            return False
        with for_one_object():
            found = self.client.head(self.bucket, self.full(own.key))
        if found is None or found.etag != expected:
            return False
        own_properties, theirs = self.subject(own.key, found).properties, subject.properties
        # Servers give a type to what has none.
        headers = {"content-type": own_properties.headers.get("content-type", ""), **theirs.headers}
        return self._has(own_properties, dataclasses.replace(theirs, headers=headers))


def _etag_of(source: MirrorSource, subject: Subject) -> str:
    """Return the ETag that a file has as an object, where the server makes it of MD5s."""
    if subject.item.size <= WHOLE:
        return hashlib.md5(b"".join(source.chunks(subject.item)), usedforsecurity=False).hexdigest()
    digests, offset, parts = b"", 0, 0
    for size in parts_of(subject):
        digests += hashlib.md5(source.read_range(subject, offset, size), usedforsecurity=False).digest()
        offset, parts = offset + size, parts + 1
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{parts}"
