# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..errors import LifeboatError, UsageError
from .contents import Contents, Entry
from .description import Description
from .quoting import shorten

_TABLES = ("TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW")
_RELATIONS = (*_TABLES, "SEQUENCE")
# Entries of the archive itself, which pg_restore heeds whatever is selected.
_SPECIAL = ("ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES")
# Of the whole database: nobody who asks for one table asks for these.
_OF_DATABASE = ("PUBLICATION", "SUBSCRIPTION", "EVENT TRIGGER", "BLOB", "BLOB METADATA", "BLOBS")
# Parts of something else, which come or stay with it.
_PARTS = (
    *_OF_DATABASE, "TABLE DATA", "TABLE ATTACH", "INDEX", "INDEX ATTACH", "CONSTRAINT", "CHECK CONSTRAINT",
    "FK CONSTRAINT", "DEFAULT", "STATISTICS", "STATISTICS DATA", "RULE", "TRIGGER", "POLICY", "ROW SECURITY",
    "SEQUENCE SET", "SEQUENCE OWNED BY", "MATERIALIZED VIEW DATA", "COMMENT", "ACL", "SECURITY LABEL", "DEFAULT ACL",
    "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA", "USER MAPPING", "NOT NULL CONSTRAINT",
)  # fmt: skip
_OF_SCHEMA = "SCHEMA "  # begins the names of comments, privileges and labels of one
_SHOWN = 10  # problems in an error's text
_WORD = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^"\s.](?:[^".]*?[^"\s.])?))\s*(\.|$)')


@dataclass(frozen=True)
class Pattern:
    """Names a schema, or tables and the like in schemas; `*` and `?` stand for anything and for one character."""

    text: str
    schema: re.Pattern[str]
    table: re.Pattern[str] | None = None  # None: the whole schema

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read `schema` or `schema.table`; a name with a dot stands in double quotes. Raises UsageError."""
        words: list[str] = []
        position = 0
        while position < len(text) or not words:
            match = _WORD.match(text, position)
            if match is None or len(words) == 2 or (match.group(3) == "." and match.end() == len(text)):
                remedy = 'write schema or schema.table, such as public.users; quote a name with a dot: "a.b".c'
                raise UsageError(f"Cannot use the pattern {text!r}", "it names no schema and no table", remedy)
            quoted = match.group(1)
            words.append(re.escape(quoted.replace('""', '"')) if quoted is not None else _wild(match.group(2)))
            position = match.end()
        table = re.compile(words[1], re.DOTALL) if len(words) > 1 else None
        return cls(text, re.compile(words[0], re.DOTALL), table)

    def names(self, entry: Entry) -> bool:
        """Say whether the pattern names an entry by itself, or by its schema."""
        if self.table is not None:
            is_named = entry.kind in _RELATIONS and self.table.fullmatch(entry.name)
            return bool(is_named and self.schema.fullmatch(entry.schema))
        return bool(self.schema.fullmatch(entry.name if entry.kind == "SCHEMA" else entry.schema))


def _wild(word: str) -> str:
    return re.escape(word).replace(r"\*", ".*").replace(r"\?", ".")


@dataclass(frozen=True)
class Selection:
    """Which entries of an archive are to be restored."""

    wanted: tuple[Entry, ...]  # in the order of the archive
    tables: tuple[str, ...]  # that come: schema and name
    left_out: tuple[str, ...]  # parts of what comes that need something that does not
    problems: tuple[str, ...]  # why it cannot be restored alone

    def lines(self) -> str:
        """Return the list that pg_restore takes (option --use-list)."""
        return "".join(f"{entry.id};\n" for entry in self.wanted)

    def require(self, job: str) -> None:
        """Raise LifeboatError that names what the selection lacks."""
        if self.problems:
            raise LifeboatError(
                f"Cannot restore this part of {job}",
                "; ".join(self.problems[:_SHOWN]),
                "include what is named, or exclude what needs it; nothing was touched",
            )

    def narrowed(self, source: Description) -> Description:
        """Return the description of the database with what these entries need of a server, and without its size."""
        extensions = {entry.name for entry in self.wanted if entry.kind == "EXTENSION"}
        tablespaces = {entry.tablespace for entry in self.wanted if entry.tablespace} | {str(source["tablespace"])}
        return {
            **source,
            "extensions": [each for each in source["extensions"] if each["name"] in extensions],
            "tablespaces": [name for name in source["tablespaces"] if name in tablespaces],
            "size_bytes": 0,
        }


def patterns(texts: t.Iterable[str]) -> tuple[Pattern, ...]:
    """Read several patterns. Raises UsageError."""
    return tuple(Pattern.parse(text) for text in texts)


def select(contents: Contents, include: t.Sequence[Pattern], exclude: t.Sequence[Pattern]) -> Selection:
    """Choose what `include` names (nothing: everything) and `exclude` does not.

    Partitions and the sequences of columns go with their tables. What a table needs to exist (schemas, types,
    functions, extensions) comes with it. A table or view that needs another one which does not come is a problem; a
    foreign key, trigger or the like that does is left out.
    """
    chooser = _Chooser(contents, include, exclude)
    problems = [*_unmatched(contents, "include", include), *_unmatched(contents, "exclude", exclude)]
    return chooser.selection(problems)


def _unmatched(contents: Contents, option: str, given: t.Sequence[Pattern]) -> t.Iterator[str]:
    for pattern in given:
        if not any(pattern.names(entry) for entry in contents.entries):
            meant = [
                f"{e.schema}.{e.name}" for e in contents.entries if e.kind in _RELATIONS and e.name == pattern.text
            ]
            hint = f" (did you mean {shorten(meant)}?)" if meant else ""
            yield f"{option}: nothing in the backup is called {pattern.text}{hint}"


class _Chooser:
    def __init__(self, contents: Contents, include: t.Sequence[Pattern], exclude: t.Sequence[Pattern]) -> None:
        self._entries = contents.entries
        self._by_id = {entry.id: entry for entry in contents.entries}
        self._include = include
        self._exclude = exclude
        self._excluded = self._with_followers(e.id for e in self._primary() if self._is_named(e, exclude))
        named = {e.id for e in self._primary() if not include or self._is_named(e, include)}
        self._named = self._with_followers(named) - self._excluded
        self._blockers: dict[int, Entry | None] = {}  # number → what it needs and cannot have

    def _primary(self) -> t.Iterator[Entry]:
        return (entry for entry in self._entries if entry.kind not in _PARTS and entry.kind not in _SPECIAL)

    @staticmethod
    def _is_named(entry: Entry, given: t.Sequence[Pattern]) -> bool:
        return any(pattern.names(entry) for pattern in given)

    def _with_followers(self, numbers: t.Iterable[int]) -> set[int]:
        """Add the partitions of tables, and the sequences that belong to their columns."""
        found = set(numbers)
        attached = {e.needs[0] for e in self._entries if e.kind == "TABLE ATTACH" and len(e.needs) > 1}
        size = -1
        while size != len(found):
            size = len(found)
            for entry in self._entries:
                is_partition = entry.id in attached and entry.kind in ("TABLE", "FOREIGN TABLE")
                if (is_partition or entry.kind == "SEQUENCE") and any(
                    number in found and self._by_id[number].kind in _TABLES for number in entry.needs
                ):
                    found.add(entry.id)
        return found

    def selection(self, problems: list[str]) -> Selection:
        wanted: dict[int, Entry] = {}
        for entry in self._primary():
            if entry.id not in self._named:
                continue
            blocker = self._blocker(entry)
            if blocker is None:
                self._take(entry, wanted)
            elif entry.kind in _RELATIONS:
                problems.append(f"{entry} needs {blocker}, which is not selected")
        left_out = [] if problems else list(self._take_parts(wanted))
        missing = [f"{entry}, which needs {blocker}" for entry, blocker in self._lost()] + left_out
        return Selection(
            wanted=tuple(e for e in self._entries if e.id in wanted or e.kind in _SPECIAL),
            tables=tuple(f"{e.schema}.{e.name}" for e in self._entries if e.id in wanted and e.kind in _TABLES),
            left_out=tuple(missing),
            problems=tuple(problems),
        )

    def _lost(self) -> t.Iterator[tuple[Entry, Entry]]:
        """Yield functions and the like that were named and need what does not come: no pattern could leave them out."""
        for entry in self._primary():
            blocker = self._blocker(entry) if entry.id in self._named and entry.kind not in _RELATIONS else None
            if blocker is not None:
                yield entry, blocker

    def _take(self, entry: Entry, wanted: dict[int, Entry]) -> None:
        waiting = [entry]
        while waiting:
            each = waiting.pop()
            if each.id not in wanted:
                wanted[each.id] = each
                waiting += [self._by_id[number] for number in each.needs if number in self._by_id]

    def _take_parts(self, wanted: dict[int, Entry]) -> t.Iterator[str]:
        """Take the parts of what is wanted; yield those that need something else that is not."""
        for entry in self._entries:
            if entry.kind not in _PARTS or entry.id in wanted:
                continue
            if not self._has_whole(entry, wanted):
                continue
            blocker = self._blocker(entry)
            if blocker is None:
                self._take(entry, wanted)
            elif not (self._include and blocker.kind in _OF_DATABASE):
                yield f"{entry}, which needs {blocker}"

    def _has_whole(self, entry: Entry, wanted: t.Mapping[int, Entry]) -> bool:
        """Say whether what a part belongs to comes: something in the archive, a schema, or the database."""
        if any(number in self._by_id for number in entry.needs):
            return self._whole(entry).id in wanted
        schema = _schema_of(entry)
        if not schema:
            return not self._include
        if not self._include:
            return not any(pattern.table is None and pattern.schema.fullmatch(schema) for pattern in self._exclude)
        return any(each.schema == schema for each in wanted.values())

    def _whole(self, entry: Entry) -> Entry:
        """Return what an entry is a part of."""
        needs = [self._by_id[number] for number in entry.needs if number in self._by_id]
        for each in needs:
            if each.kind in _RELATIONS and each.schema == entry.schema and entry.name.startswith(f"{each.name} "):
                return each
        return needs[0] if needs else entry

    def _blocker(self, entry: Entry) -> Entry | None:
        """Return what keeps an entry from being restored: itself, or something that it needs, however far away."""
        if entry.id in self._blockers:
            return self._blockers[entry.id]
        self._blockers[entry.id] = None  # for entries that need each other
        found = entry if self._is_barred(entry) else None
        for number in entry.needs if found is None else ():
            if number in self._by_id and found is None:
                found = self._blocker(self._by_id[number])
        self._blockers[entry.id] = found
        return found

    def _is_barred(self, entry: Entry) -> bool:
        if entry.id in self._excluded:
            return True
        if entry.kind in _OF_DATABASE:
            return bool(self._include)
        return entry.kind in _TABLES and entry.id not in self._named


def _schema_of(entry: Entry) -> str:
    """Return the schema that a part belongs to which is in no archive: `public`, which every database has."""
    if entry.kind == "DEFAULT ACL":
        return entry.schema
    return entry.name[len(_OF_SCHEMA) :] if entry.name.startswith(_OF_SCHEMA) else ""
