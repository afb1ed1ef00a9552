# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .fingerprint import Fingerprint, TableFingerprint

_SHOWN = 50  # differences that are written out; the rest is counted

# The server keeps expressions as trees and writes them back from those: `x IN ('a', 'b')` on a varchar column comes
# back in another form after a restore, with the same meaning. A text that differs is no proof of a loss for these; that
# the object is there is still asked for.
_WITH_EXPRESSIONS = frozenset(
    (
        "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "INDEX", "CONSTRAINT", "CHECK CONSTRAINT", "DEFAULT",
        "DOMAIN", "RULE", "TRIGGER", "POLICY", "FUNCTION", "PROCEDURE", "STATISTICS", "PUBLICATION TABLE",
    )
)  # fmt: skip

# Every new database has it, and pg_dump names it only where it was made anew (pg_dump.c, selectDumpableExtension).
_BUILT_IN = frozenset(("EXTENSION plpgsql", "COMMENT EXTENSION plpgsql"))


@dataclass(frozen=True)
class Comparison:
    """How a restored database differs from its archive."""

    differences: tuple[str, ...] = ()  # losses and changes; empty: the database holds what the archive holds
    rewritten: tuple[str, ...] = ()  # definitions that are there, in another wording of the server

    @property
    def is_equal(self) -> bool:
        return not self.differences


def compare(archive: Fingerprint, restored: Fingerprint, *, same_major: bool) -> Comparison:
    """Compare what an archive holds with what was restored from it.

    Both must have been taken with the same options and with sums. Between majors the wording of definitions differs by
    nature: then rows, large objects, sequences, comments, owners' objects and privileges are compared by their
    presence, and values of sequences by text.
    """
    differences = list(_tables(archive.tables, restored.tables)) + list(_large_objects(archive, restored))
    rewritten: list[str] = []
    for key in sorted(archive.objects.keys() | restored.objects.keys()):
        found, kept = archive.objects.get(key), restored.objects.get(key)
        kind = (found or kept or archive.objects[key]).kind
        if kind.startswith("BLOB") and not same_major:
            continue  # large objects have one entry each up to PostgreSQL 16, later one for many
        if kept is None and key in _BUILT_IN:
            continue
        if kept is None or found is None:
            differences.append(f"{key}: {'not restored' if kept is None else 'not in the archive'}")
        elif found.count != kept.count:
            differences.append(f"{key}: {found.count} in the archive, {kept.count} restored")
        elif found.digest != kept.digest:
            is_wording = kind in _WITH_EXPRESSIONS or (not same_major and kind != "SEQUENCE SET")
            (rewritten if is_wording else differences).append(f"{key}: another definition")
    return Comparison(_bounded(differences), _bounded(rewritten))


def _tables(archive: t.Mapping[str, TableFingerprint], restored: t.Mapping[str, TableFingerprint]) -> t.Iterator[str]:
    for name in sorted(archive.keys() | restored.keys()):
        found, kept = archive.get(name), restored.get(name)
        if found is None and kept is not None and kept.rows == 0:
            continue  # a dump of a standby has no section for the rows of an unlogged table, which comes back empty
        if kept is None or found is None:
            yield f"table {name}: {'not restored' if kept is None else 'not in the archive'}"
        elif found.columns != kept.columns:
            yield f"table {name}: other columns"
        elif found.rows != kept.rows:
            yield f"table {name}: {found.rows} rows in the archive, {kept.rows} restored"
        elif found.ordered != kept.ordered and not _same_in_another_order(found, kept):
            yield f"table {name}: {found.rows} rows, some with other content"


def _same_in_another_order(one: TableFingerprint, other: TableFingerprint) -> bool:
    """Say whether two tables hold the same rows; the server may put a row where there is room, not behind the last
    one."""
    return one.size_bytes == other.size_bytes and one.sums is not None and one.sums == other.sums


def _large_objects(archive: Fingerprint, restored: Fingerprint) -> t.Iterator[str]:
    if archive.large_object_count != restored.large_object_count:
        yield f"{archive.large_object_count} large objects in the archive, {restored.large_object_count} restored"
        return
    groups = [group for group, found in archive.large_objects.items() if restored.large_objects.get(group) != found]
    if groups:
        yield f"large objects: at least {len(groups)} of {archive.large_object_count} have other content"


def _bounded(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _SHOWN
    return (*lines[:_SHOWN], f"and {more} more") if more > 0 else tuple(lines)
