# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from ..errors import UsageError

_CLASS_END = re.compile(r"\[[!^]?\]?[^\]]*\]")


class Patterns:
    """Which keys of a directory are wanted.

    A pattern is a glob like those of `.gitignore` (git's "gitignore", "Pattern format"), matched against keys:

    - `*` stands for any characters but a slash, `?` for one of them, `[a-z]` and `[!a-z]` for one of or none of a set;
      a backslash takes the meaning from the character behind it.
    - A pattern with a slash at its beginning or in its middle is anchored at the root of its collection: `/cache`,
      `var/log/*.log`. All others match a name at any depth: `*.tmp`.
    - A slash at the end makes it match directories only: `cache/`.
    - `**/` stands for any directories or none, `/**` at the end for everything below.
    - What lies in a directory that matches belongs to the match.

    `exclude` leaves out what matches. A pattern in it that begins with `!` takes back what earlier ones left out (the
    last one that matches decides), though nothing below a directory that is left out: that is never entered.
    `include`, where there is any, takes only what matches, and the directories on the way to it. The root itself is
    always taken.
    """

    def __init__(self, exclude: t.Sequence[str] = (), include: t.Sequence[str] = ()) -> None:
        self.exclude = tuple(exclude)
        self.include = tuple(include)
        self._exclude = [_Pattern(text) for text in exclude]
        self._include = [_Pattern(text) for text in include]
        for pattern in self._include:
            if pattern.is_negated:
                raise _unusable(pattern.text, "only patterns that exclude can be taken back with an exclamation mark")

    def is_wanted(self, key: str, is_directory: bool) -> bool:
        """Say whether a key is taken, when all directories above it are; an unwanted directory need not be entered."""
        if not key:
            return True
        for pattern in reversed(self._exclude):
            if pattern.matches(key, is_directory):
                if not pattern.is_negated:
                    return False
                break
        return not self._include or any(self._takes(pattern, key, is_directory) for pattern in self._include)

    @staticmethod
    def _takes(pattern: _Pattern, key: str, is_directory: bool) -> bool:
        if pattern.matches(key, is_directory) or (is_directory and pattern.may_match_below(key)):
            return True
        above = key.rpartition("/")[0]
        while above:
            if pattern.matches(above, True):
                return True
            above = above.rpartition("/")[0]
        return False


class _Pattern:
    def __init__(self, text: str) -> None:
        self.text = text
        self.is_negated = text.startswith("!")
        glob = text[1:] if self.is_negated else text
        self._only_directories = glob.endswith("/")
        glob = glob[:-1] if self._only_directories else glob
        is_anchored = "/" in glob
        glob = glob[1:] if glob.startswith("/") else glob
        if not glob or any(part in ("", ".", "..") for part in glob.split("/")):
            raise _unusable(text, "it is empty, or has an empty part or dots as a part")
        self._whole = re.compile(("" if is_anchored else "(?:.*/)?") + _expression(glob, text), re.DOTALL)
        parts = glob.split("/")
        fixed = parts[: parts.index("**")] if "**" in parts else parts
        # What directories on the way to a match look like, the shallowest first; None: anything can be on the way.
        self._way = [re.compile(_expression(part, text), re.DOTALL) for part in fixed] if is_anchored else None
        self._is_deep = "**" in parts

    def matches(self, key: str, is_directory: bool) -> bool:
        if self._only_directories and not is_directory:
            return False
        return self._whole.fullmatch(key) is not None

    def may_match_below(self, key: str) -> bool:
        """Say whether something below the directory `key` can match."""
        if self._way is None:
            return True
        parts = key.split("/")
        if len(parts) >= len(self._way) and not self._is_deep:
            return False
        return all(way.fullmatch(part) for way, part in zip(self._way, parts))


def _unusable(text: str, why: str) -> UsageError:
    return UsageError(f"Cannot use the pattern {text!r}", why, "write it like a line of .gitignore")


def _expression(glob: str, text: str) -> str:
    """Return the regular expression of a glob without the slash at its beginning or end."""
    parts = glob.split("/")
    made = []
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            made.append(".+" if is_last else "(?:[^/]+/)*")
        else:
            made.append("".join(_tokens(part, text)) + ("" if is_last else "/"))
    return "".join(made)


def _tokens(part: str, text: str) -> t.Iterator[str]:
    at = 0
    while at < len(part):
        letter = part[at]
        found = _CLASS_END.match(part, at) if letter == "[" else None
        if letter == "*":
            yield "" if at and part[at - 1] == "*" else "[^/]*"
        elif letter == "?":
            yield "[^/]"
        elif letter == "\\" and at + 1 < len(part):
            at += 1
            yield re.escape(part[at])
        elif letter == "\\":
            raise _unusable(text, "nothing stands behind the backslash at its end")
        elif found is not None:
            yield _set(found.group(), text)
            at = found.end() - 1
        else:
            yield re.escape(letter)
        at += 1


def _set(text: str, pattern: str) -> str:
    is_negated = text[1] in "!^"
    inner = text[2:-1] if is_negated else text[1:-1]
    inner = re.sub(r"([\\\[\]&~|^])", r"\\\1", inner)
    try:
        return re.compile(f"(?!/)[{'^' if is_negated else ''}{inner}]").pattern
    except re.error as error:
        raise _unusable(pattern, f"its set {text} is none ({error})") from error
