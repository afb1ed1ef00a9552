# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

# Words, quoted names, both forms of texts, and single characters; blanks and comments between them are no tokens.
# pg_dumpall writes E'' for a text with a backslash (PostgreSQL manual, 4.1.2.2).
_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|^\\[^\n]*)|(?P<name>"(?:[^"]|"")*")|(?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')"""
    r"""|(?P<text>'(?:[^']|'')*')|(?P<word>[^\s"';,()=]+)|(?P<sign>.)""",
    re.DOTALL | re.MULTILINE,
)
_ATTRIBUTES = frozenset(
    (no + word)
    for word in ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
    for no in ("", "NO")
)
POWERFUL = frozenset(("SUPERUSER", "REPLICATION", "BYPASSRLS"))  # only a superuser may give them, up to PostgreSQL 15
Setting = tuple[str, tuple[str, ...]]  # name, values


@dataclass(frozen=True)
class Role:
    """A role as a backup of the globals has it, without its password."""

    name: str
    attributes: frozenset[str] = frozenset()  # LOGIN, NOSUPERUSER …
    connection_limit: int = -1  # -1: none
    valid_until: str = ""
    settings: tuple[Setting, ...] = ()
    comment: str = ""

    @property
    def may_login(self) -> bool:
        return "LOGIN" in self.attributes


@dataclass(frozen=True)
class Membership:
    """That a role is a member of another one."""

    role: str  # the group
    member: str
    admin: bool = False  # may let others in
    inherit: bool | None = None  # None: not said, as before PostgreSQL 16
    may_set: bool | None = None


@dataclass(frozen=True)
class ParameterGrant:
    """That a role may set or change a parameter of the server, from PostgreSQL 15 on."""

    role: str
    parameter: str
    privileges: tuple[str, ...]  # of SET, ALTER SYSTEM, ALL
    may_grant: bool = False


@dataclass(frozen=True)
class Globals:
    """Roles, memberships and privileges on parameters of a server."""

    roles: t.Mapping[str, Role] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    parameters: tuple[ParameterGrant, ...] = ()


@dataclass(frozen=True)
class _Token:
    kind: str  # name, text, word, sign
    value: str  # what it means, without quotes

    def says(self, *words: str) -> bool:
        return self.kind == "word" and self.value.upper() in words


def read_globals(script: str) -> Globals:
    """Return the roles in a script of `pg_dumpall --globals-only`. Tablespaces and passwords are left aside."""
    roles: dict[str, Role] = {}
    memberships: dict[tuple[str, str], Membership] = {}
    parameters = []
    for statement in _statements(script):
        if _begins(statement, "CREATE", "ROLE") and len(statement) == 3:
            roles.setdefault(statement[2].value, Role(statement[2].value))
        elif _begins(statement, "ALTER", "ROLE") and len(statement) > 4 and statement[2].value in roles:
            roles[statement[2].value] = _altered(roles[statement[2].value], statement[3:])
        elif _begins(statement, "COMMENT", "ON", "ROLE") and len(statement) == 6 and statement[3].value in roles:
            role = roles[statement[3].value]
            roles[role.name] = _with(role, comment=statement[5].value)
        elif _begins(statement, "GRANT") and len(statement) > 3 and statement[2].says("TO"):
            found = _membership(statement)
            known = memberships.get((found.role, found.member))
            memberships[found.role, found.member] = found if known is None else _joined(known, found)
        elif _begins(statement, "GRANT") and (grant := _parameter_grant(statement)) is not None:
            parameters.append(grant)
    return Globals(roles, tuple(memberships.values()), tuple(parameters))


def _begins(statement: t.Sequence[_Token], *words: str) -> bool:
    return len(statement) > len(words) and all(token.says(word) for token, word in zip(statement, words))


def _statements(script: str) -> t.Iterator[list[_Token]]:
    statement: list[_Token] = []
    for match in _TOKEN.finditer(script):
        kind, value = str(match.lastgroup), match.group()
        if kind == "blank":
            continue
        if kind == "sign" and value == ";":
            yield statement
            statement = []
        else:
            statement.append(_token(kind, value))


def _token(kind: str, value: str) -> _Token:
    if kind == "name":
        return _Token("name", value[1:-1].replace('""', '"'))
    if kind == "text":
        return _Token("text", value[1:-1].replace("''", "'"))
    if kind == "escaped":
        return _Token("text", re.sub(r"''|\\(.)", lambda m: m.group(1) or "'", value[2:-1], flags=re.DOTALL))
    return _Token(kind, value)


def _with(role: Role, **changes: t.Any) -> Role:
    return Role(**{**{name: getattr(role, name) for name in Role.__dataclass_fields__}, **changes})


def _altered(role: Role, rest: t.Sequence[_Token]) -> Role:
    if rest[0].says("SET"):
        return _with(role, settings=(*role.settings, _setting(rest[1:])))
    if not rest[0].says("WITH"):
        return role  # in one database: that belongs to the database
    attributes = frozenset(token.value.upper() for token in rest if token.kind == "word") & _ATTRIBUTES
    limit, until = role.connection_limit, role.valid_until
    for token, after in zip(rest, rest[1:]):
        if token.says("LIMIT") and re.fullmatch(r"-?\d+", after.value):
            limit = int(after.value)
        elif token.says("UNTIL"):
            until = after.value
    return _with(role, attributes=attributes, connection_limit=limit, valid_until=until)


def _setting(tokens: t.Sequence[_Token]) -> Setting:
    """Return a setting of the form `name TO value, …` or `name = value, …`."""
    is_name = [not (token.says("TO") or (token.kind == "sign" and token.value == "=")) for token in tokens]
    split = is_name.index(False) if False in is_name else len(tokens)
    values = tuple(token.value for token in tokens[split + 1 :] if token.kind != "sign")
    return "".join(token.value for token in tokens[:split]), values


def _membership(statement: t.Sequence[_Token]) -> Membership:
    given: dict[str, bool] = {}
    for token, after in zip(statement[4:], statement[5:]):
        if token.says("ADMIN", "INHERIT", "SET"):
            given[token.value.upper()] = after.says("OPTION", "TRUE")
    return Membership(
        statement[1].value, statement[3].value, given.get("ADMIN", False), given.get("INHERIT"), given.get("SET")
    )


def _parameter_grant(statement: t.Sequence[_Token]) -> ParameterGrant | None:
    """Read `GRANT SET, ALTER SYSTEM ON PARAMETER name TO role WITH GRANT OPTION`; None for what is no such grant."""
    at = next((number for number, token in enumerate(statement) if token.says("ON")), len(statement))
    if len(statement) < at + 5 or not statement[at + 1].says("PARAMETER"):
        return None
    words = " ".join(token.value for token in statement[1:at])
    privileges = tuple(word for word in words.upper().split(" , ") if word in ("SET", "ALTER SYSTEM", "ALL"))
    return ParameterGrant(statement[at + 4].value, statement[at + 2].value, privileges, len(statement) > at + 5)


def _joined(one: Membership, other: Membership) -> Membership:
    """Return what two grants of one membership say together: from PostgreSQL 16 on several roles can have given it,
    with options of their own, and who has it has all of them."""
    inherit, may_set = (
        None if None in pair else any(pair) for pair in ((one.inherit, other.inherit), (one.may_set, other.may_set))
    )
    return Membership(one.role, one.member, one.admin or other.admin, inherit, may_set)
