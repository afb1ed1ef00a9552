# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.client
import typing as t

from ..errors import LifeboatError
from ..s3 import failure
from ..s3.failure import S3Error
from .source import ChangedError, ObjectError, VanishedError

# What is said of one object, and will be said of all others too: the run ends.
_ACCOUNT_CODES = frozenset(
    (
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "QuotaExceeded",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
        failure.NO_TLS,
        failure.UNTRUSTED,
    )
)


def of_object(error: S3Error) -> LifeboatError:
    """Return an error of a request for one object as one of that object, unless it concerns all of them."""
    if error.is_transient or error.status == 0 or error.code in _ACCOUNT_CODES:
        return error
    if error.is_missing_key:
        kind: type[ObjectError] = VanishedError
    else:
        kind = ChangedError if error.status == http.client.PRECONDITION_FAILED else ObjectError
    return kind(error.problem, error.cause, error.remedy)


@contextlib.contextmanager
def for_one_object() -> t.Iterator[None]:
    """Let errors of requests for one object out as errors of that object."""
    try:
        yield
    except S3Error as error:
        raise of_object(error) from error
