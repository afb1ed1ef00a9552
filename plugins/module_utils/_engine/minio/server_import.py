# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings identities and bucket settings of an export to a server: what is missing there, or differs."""

from __future__ import annotations

import dataclasses
import json
import typing as t
import xml.etree.ElementTree as ET

from ..errors import UsageError
from . import policy
from .admin import AdminClient
from .server_export import KINDS, ServerExport, pack_buckets, pack_identities

WHAT = ("all", "buckets", "identities")
ADD, CHANGE = "add", "change"
_VOLATILE = ("updatedAt", "version", "claims")  # written anew by each import, and follow from the rest
_STAMP = "ExpiryUpdatedAt"  # MinIO notes in a lifecycle when its rules were written
_SKIPPED_DOCUMENTS = ("replication.xml", "bucket-targets.json")


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which part of an export."""

    what: str = "all"  # one of WHAT
    buckets: tuple[str, ...] = ()  # empty: all
    users: tuple[str, ...] = ()  # with their access keys and policies; empty: all identities

    def chosen(self, found: ServerExport) -> ServerExport:
        """Return that part. Raises UsageError for names that the export does not have."""
        _require(self.buckets, found.buckets, "bucket")
        _require(self.users, found.identities.get("users", {}), "user")
        if self.what == "identities" and self.buckets:
            raise UsageError("Cannot choose buckets", "only identities are restored", "leave buckets out")
        if self.what == "buckets" and self.users:
            raise UsageError("Cannot choose users", "only settings of buckets are restored", "leave users out")
        identities = {} if self.what == "buckets" else self._identities(found)
        buckets: dict[str, t.Mapping[str, bytes]] = {}
        if self.what != "identities":
            names = self.buckets or tuple(found.buckets)
            buckets = {name: found.buckets[name] for name in names}
        return ServerExport(identities, buckets)

    def missing_groups(self, found: ServerExport) -> tuple[str, ...]:
        """Return the groups whose rights the chosen users had and do not get: groups come with all identities only."""
        groups = found.identities.get("groups", {})
        return tuple(name for name in sorted(groups) if set(self.users) & set(groups[name].get("members") or ()))

    def _identities(self, found: ServerExport) -> dict[str, t.Mapping[str, t.Any]]:
        if not self.users:
            return dict(found.identities)
        part = found.identities
        mappings = {name: each for name, each in part.get("user_mappings", {}).items() if name in self.users}
        wanted = {name for each in mappings.values() for name in policies_of(each)}
        return {
            "policies": {name: each for name, each in part.get("policies", {}).items() if name in wanted},
            "users": {name: part["users"][name] for name in self.users},
            "svcaccts": {
                name: each for name, each in part.get("svcaccts", {}).items() if each.get("parent") in self.users
            },
            "user_mappings": mappings,
        }


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that an import writes."""

    kind: str  # one of KINDS, or bucket
    name: str
    action: str  # add | change
    documents: tuple[str, ...] = ()  # of a bucket: the names of those that differ

    @property
    def words(self) -> str:
        """Return it for people; no secret is part of it."""
        more = f" ({', '.join(self.documents)})" if self.documents and self.action == CHANGE else ""
        return f"{self.action} {self.kind} {self.name}{more}"


@dataclasses.dataclass(frozen=True)
class ImportPlan:
    """What an import would write."""

    changes: tuple[Change, ...]
    identities: t.Mapping[str, t.Mapping[str, t.Any]] = dataclasses.field(repr=False)
    buckets: t.Mapping[str, t.Mapping[str, bytes]] = dataclasses.field(repr=False)

    @property
    def overwritten(self) -> tuple[str, ...]:
        """Return what is there and would become something else."""
        return tuple(each.words for each in self.changes if each.action == CHANGE)


def plan(wanted: ServerExport, found: ServerExport) -> ImportPlan:
    """Compare the wanted part of an export with what a server has. Nothing is ever removed by an import."""
    changes: list[Change] = []
    identities: dict[str, dict[str, t.Any]] = {}
    for kind in (*KINDS, *sorted(set(wanted.identities) - set(KINDS))):
        there = found.identities.get(kind, {})
        for name, entry in wanted.identities.get(kind, {}).items():
            if name in there and is_same(kind, entry, there[name]):
                continue
            changes.append(Change(kind, name, CHANGE if name in there else ADD))
            identities.setdefault(kind, {})[name] = entry
    buckets: dict[str, dict[str, bytes]] = {}
    for name, documents in wanted.buckets.items():
        existing = found.buckets.get(name)
        differing = {each: data for each, data in documents.items() if _differs(each, data, existing)}
        if existing is not None and not differing:
            continue
        changes.append(Change("bucket", name, ADD if existing is None else CHANGE, tuple(sorted(differing))))
        buckets[name] = {**differing, **_lock(documents)}
    return ImportPlan(tuple(changes), identities, buckets)


def apply(admin: AdminClient, planned: ImportPlan, secrets: t.Collection[str]) -> tuple[str, ...]:
    """Write what was planned, and return what the server did not take, without secrets. Raises AdminError."""
    problems: list[str] = []
    if planned.buckets:
        body = pack_buckets(planned.buckets)
        answer = admin.send("Cannot import settings of buckets", "PUT", "import-bucket-metadata", _ALL_BUCKETS, body)
        problems += _of_buckets(_parsed(answer))
    if planned.identities:
        body = pack_identities(planned.identities)
        answer = admin.send("Cannot import identities", "PUT", "import-iam-v2", (), body)
        problems += _of_identities(_parsed(answer))
    return tuple(scrubbed(each, secrets) for each in problems)


_ALL_BUCKETS = (("bucket", ""),)


def scrubbed(text: str, secrets: t.Collection[str]) -> str:
    """Return a text of a server without any of the secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def is_same(kind: str, wanted: t.Any, found: t.Any) -> bool:
    """Say whether an entry of a server means what the export says. Groups may have further members."""
    if kind == "policies":
        return policy.meaning(wanted) == policy.meaning(found)
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return bool(wanted == found)
    one, other = _lasting(wanted), _lasting(found)
    if kind == "groups":
        members, others = set(one.pop("members", None) or ()), set(other.pop("members", None) or ())
        return members <= others and one == other
    if kind.endswith("_mappings"):
        return policies_of(wanted) == policies_of(found)
    if kind == "svcaccts":
        narrowed = [policy.meaning(each.pop("sessionPolicy", None)) for each in (one, other)]
        return narrowed[0] == narrowed[1] and one == other
    return one == other


def policies_of(mapping: t.Mapping[str, t.Any]) -> frozenset[str]:
    """Return the names of the policies that a mapping attaches."""
    return frozenset(filter(None, (name.strip() for name in str(mapping.get("policy", "")).split(","))))


def _lasting(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in entry.items() if name not in _VOLATILE and value not in (None, "", [])}


def _differs(name: str, data: bytes, existing: t.Mapping[str, bytes] | None) -> bool:
    if name in _SKIPPED_DOCUMENTS:
        return False
    return existing is None or name not in existing or _meaning(name, data) != _meaning(name, existing[name])


def _lock(documents: t.Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the document that decides how a bucket is made: an import makes those that are missing."""
    return {name: data for name, data in documents.items() if name == "object-lock.xml"}


def _meaning(name: str, data: bytes) -> t.Any:
    """Return a document in a form that is equal for those that say the same."""
    try:
        if name == "policy.json":
            return policy.meaning(json.loads(data))
        if name.endswith(".json"):
            return {key: value for key, value in json.loads(data).items() if value}
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            return data  # entities could grow without end
        return _tree(ET.fromstring(data))
    except (ValueError, AttributeError, ET.ParseError):
        return data


def _tree(element: ET.Element) -> tuple[str, str, tuple[t.Any, ...]]:
    name = element.tag.rpartition("}")[2]
    children = (child for child in element if not child.tag.endswith(_STAMP))
    return name, (element.text or "").strip(), tuple(_tree(child) for child in children)


def _parsed(answer: bytes) -> dict[str, t.Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_buckets(answer: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for name, parts in (answer.get("buckets") or {}).items():
        if isinstance(parts, dict):
            if parts.get("error"):
                yield f"bucket {name}: {parts['error']}"
            for part, state in parts.items():
                if isinstance(state, dict) and state.get("error"):
                    yield f"bucket {name}: {part}: {state['error']}"


def _of_identities(answer: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for outcome in ("failed", "skipped"):
        for kind, entries in (answer.get(outcome) or {}).items():
            for entry in entries or ():
                name = entry.get("name", entry) if isinstance(entry, dict) else entry
                error = entry.get("error") if isinstance(entry, dict) else None
                why = f": {error}" if error and isinstance(error, str) else ""
                yield f"{kind} {name} {outcome}{why}"


def _require(names: t.Sequence[str], known: t.Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)[:20]) or "none"
            raise UsageError(f"Cannot restore {what} {name}", "the backup does not have it", f"it has {there}")
