# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from . import failure, integrity
from .calls import Calls, named, version_query
from .download import Stored
from .transport import Request

TIERS = ("Standard", "Bulk", "Expedited")
ARCHIVED = "InvalidObjectState"  # code of the answer to a GET of what lies in an archive
# The answer to a second request; and codes of a server that has nobody free for an expedited one.
_UNDER_WAY = "RestoreAlreadyInProgress"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclasses.dataclass(frozen=True)
class ArchiveState:
    """Whether an object can be read (Amazon S3 API, HeadObject, x-amz-restore)."""

    is_asked_for: bool  # a request to bring it back is under way
    is_back: bool  # a copy that can be read is there for some days

    @classmethod
    def of(cls, found: Stored) -> ArchiveState:
        """Read it from the headers of an object."""
        words = found.fields.get("x-amz-restore", "")
        return cls('ongoing-request="true"' in words, 'ongoing-request="false"' in words)


class ArchiveCalls(Calls):
    """The requests for objects in an archive, such as S3 Glacier. All raise S3Error."""

    def retrieve(self, bucket: str, key: str, days: int, tier: str, *, version_id: str = "") -> None:
        """Ask for an archived object to be brought back for some days; again does no harm.

        Only for an object of which the server has answered that it is archived (code `ARCHIVED`).
        """
        root = ET.Element("RestoreRequest", xmlns=_NAMESPACE)
        ET.SubElement(root, "Days").text = str(days)
        ET.SubElement(ET.SubElement(root, "GlacierJobParameters"), "Tier").text = tier
        body: bytes = ET.tostring(root, encoding="utf-8")
        query: t.Any = (*version_query(version_id), ("restore", ""))
        headers = {"content-md5": integrity.base64_md5(body)}
        problem = self.problem("bring back from its archive", bucket, key)
        try:
            self.transport.whole(Request(problem, "POST", bucket, named(key), query, headers, (body,), step="retrieve"))
        except failure.S3Error as error:
            if error.code != _UNDER_WAY:
                raise
