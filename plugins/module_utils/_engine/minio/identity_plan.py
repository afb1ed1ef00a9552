# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plans of users, groups and access keys share: wanted lists, secrets, and what must be there."""

from __future__ import annotations

import re
import typing as t

from .. import clock
from ..errors import GuardRefusal, UsageError
from . import iam_policy

_SIGNING = re.compile(r"[\x21-\x7e]*")  # of what stands in the header of a signed request
ABSENT: dict[str, t.Any] = {"state": "absent"}
_START_S = 10.0  # how long a server may need for its built-in policies
_LOOK_S = 0.2


def wanted_names(given: t.Collection[str] | None, found: t.Collection[str], appends: bool) -> tuple[str, ...]:
    """Return the names that shall be there: those that are given, beside or instead of those that are found."""
    if given is None:
        return tuple(sorted(found))
    return tuple(sorted({*given, *(found if appends else ())}))


def signing_fault(name: str, secret: str | None) -> str:
    """Say why nobody could sign a request with this name and secret, which the server would take. Empty: they can."""
    if not _SIGNING.fullmatch(name):
        return "whoever has a secret signs requests with the name, which must be ASCII without blanks"
    if secret is not None and secret != secret.strip("\r\n"):
        return "the secret begins or ends with a line feed, as of a file that was read"
    return ""


def secret_shown(is_written: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a difference says of a secret, before and after, without saying the secret."""
    return ({"secret": "another one"}, {"secret": "the given one"}) if is_written else ({}, {})


def refuse_own(callers: t.Collection[str], names: t.Collection[str], problem: str) -> None:
    """Refuse to take away what the request itself is signed with. Raises GuardRefusal."""
    if set(callers) & set(names):
        raise GuardRefusal(
            "own_key",
            problem,
            "this task signs its requests with it, and would lock itself out",
            "use another access_key for the task, such as that of the server's root user",
        )


def missing_policies(names: t.Iterable[str], find: t.Callable[[str], object]) -> tuple[str, ...]:
    """Return the policies that are not there.

    A server that has just started answers before it has its built-in ones: these are waited for.
    """
    return tuple(name for name in names if find(name) is None and not _comes(name, find))


def _comes(name: str, find: t.Callable[[str], object]) -> bool:
    deadline_s = clock.monotonic() + _START_S
    while name in iam_policy.BUILT_IN and clock.monotonic() < deadline_s:
        clock.sleep(_LOOK_S)
        if find(name) is not None:
            return True
    return False


def require_policies(missing: t.Collection[str], problem: str) -> None:
    """Refuse to attach policies that are not there. Raises UsageError."""
    if missing:
        raise UsageError(
            problem,
            f"there is no policy {' and no policy '.join(missing)}",
            "make it first, with the module minio_policy",
        )


def missing_warnings(what: str, missing: t.Collection[str]) -> list[str]:
    """Return what a plan says of names that must be there when it is applied."""
    return [f"There is no {what} {name} yet: it must be there when this is done" for name in missing]
