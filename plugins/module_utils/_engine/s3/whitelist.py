# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..errors import UsageError

# What MinIO does with other words (measured): DELETE /bucket?<word> deletes the bucket, PUT /bucket?<word> without a
# body creates it, DELETE and PUT of an object with <word> delete and overwrite the object. So only what is known to
# mean what it says is ever sent.
READABLE = frozenset(
    (
        "acl",
        "cors",
        "encryption",
        "lifecycle",
        "location",
        "notification",
        "object-lock",
        "policy",
        "replication",
        "tagging",
        "versioning",
    )
)
WRITABLE = frozenset(
    ("cors", "encryption", "lifecycle", "notification", "object-lock", "policy", "replication", "tagging", "versioning")
)
REMOVABLE = frozenset(("encryption", "lifecycle", "policy", "replication", "tagging"))

# Of an object, never without a body. Servers that do not know them would take the document for the object's new bytes:
# the caller has to have read the same document before. None is ever deleted: that would delete the object.
OBJECT_DOCUMENTS = frozenset(("legal-hold", "retention", "tagging"))
# Asks for an archived object; only sent to servers that have said that it is archived.
_RETRIEVAL = "restore"

_OBJECT_REQUESTS: dict[str, tuple[frozenset[str], ...]] = {
    "PUT": (frozenset(), frozenset(("partNumber", "uploadId"))),
    "DELETE": (frozenset(), frozenset(("versionId",)), frozenset(("uploadId",))),
    "POST": (frozenset(("uploads",)), frozenset(("uploadId",))),
}


def check(method: str, bucket: str, key: str, words: frozenset[str], has_body: bool) -> None:
    """Refuse a changing request unless its query `words` are known to do on every server what they are sent for.
    Raises UsageError.
    """
    if method in ("GET", "HEAD"):
        return
    if not bucket:
        allowed = False
    elif key and method == "PUT" and words & OBJECT_DOCUMENTS:
        allowed = has_body and len(words - {"versionId"}) == 1
    elif key and method == "POST" and _RETRIEVAL in words:
        allowed = has_body and not words - {"versionId", _RETRIEVAL}
    elif key:
        allowed = words in _OBJECT_REQUESTS.get(method, ())
    elif method == "PUT":
        allowed = not words or (has_body and len(words) == 1 and words <= WRITABLE)
    else:
        allowed = method == "DELETE" and (not words or (len(words) == 1 and words <= REMOVABLE))
    if not allowed:
        raise UsageError(
            f"Refusing to send {method} with {'&'.join(sorted(words)) or 'nothing'} to s3://{bucket}/{key}",
            "S3 servers take requests that they do not know for deletions or overwrites",
            "this is a bug in the caller: report it",
        )
