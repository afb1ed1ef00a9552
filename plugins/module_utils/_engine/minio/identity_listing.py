# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is of users, groups, policies and access keys, for those who only look."""

from __future__ import annotations

import dataclasses
import typing as t

from . import access_keys, groups, iam_policy, users
from .identity_api import IdentityApi
from .policy import Document

Row = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Listing:
    """Some of what there is, ordered by name."""

    rows: tuple[Row, ...]
    total: int  # how many there are; more than rows where there was a limit


def every_user(api: IdentityApi, name: str | None, limit: int) -> Listing:
    """Describe one user or all, at most `limit` (0: without limit). Raises LifeboatError."""
    if name is not None:
        found = {each: user for each in (name,) for user in (api.user(each),) if user is not None}
    else:
        found = api.users_by_name()
    rows = [{"name": each, **users.described(found[each])} for each in _first(found, limit)]
    return Listing(tuple(rows), len(found))


def every_group(api: IdentityApi, name: str | None, limit: int) -> Listing:
    """Describe one group or all, at most `limit` (0: without limit). Raises LifeboatError."""

    def described(each: str) -> Row | None:
        found = api.group(each)
        return None if found is None else {"name": each, **groups.described(found)}

    return _listing(None if name is None else (name,), api.group_names, described, limit)


def every_policy(api: IdentityApi, name: str | None, limit: int, shows_holders: bool) -> Listing:
    """Describe one policy or all, at most `limit` (0: without limit); who has them costs a request for each.

    Raises LifeboatError.
    """
    found: dict[str, Document]
    if name is not None:
        found = {each: document for each in (name,) for document in (api.policy(each),) if document is not None}
    else:
        found = api.policies_by_name()
    rows = []
    for each in _first(found, limit):
        row: Row = {"name": each, "document": dict(found[each]), "is_built_in": each in iam_policy.BUILT_IN}
        if shows_holders:
            row["users"], row["groups"] = map(list, api.holders(each))
        rows.append(row)
    return Listing(tuple(rows), len(found))


def every_key(api: IdentityApi, key_id: str | None, user: str | None, limit: int) -> Listing:
    """Describe one access key, those of a user or all, at most `limit` (0: without limit). Raises LifeboatError."""

    def described(each: str) -> Row | None:
        found = api.access_key(each)
        if found is None or user not in (None, found.user):
            return None
        return {"key_id": each, **access_keys.described(found)}

    def names() -> tuple[str, ...]:
        return api.key_names() if user is None else api.keys_of(user)

    return _listing(None if key_id is None else (key_id,), names, described, limit)


def _listing(
    asked: tuple[str, ...] | None,
    names: t.Callable[[], tuple[str, ...]],
    described: t.Callable[[str], Row | None],
    limit: int,
) -> Listing:
    """Describe what was asked for, else what `names` returns; what is not there, or goes meanwhile, is left out."""
    known = names() if asked is None else asked
    rows = tuple(row for row in map(described, _first(known, limit)) if row is not None)
    return Listing(rows, len(known) if asked is None else len(rows))


def _first(names: t.Iterable[str], limit: int) -> list[str]:
    return sorted(names)[: limit or None]
