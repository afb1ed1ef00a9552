# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import difflib
import typing as t

from ..errors import UsageError

_KINDS = {str: "a text", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}


class Fields:
    """A JSON object whose keys are taken one by one; every refusal is a UsageError that names the key.

    Values that were not taken when `finish` is called have no meaning, and are refused too: a misspelt key would
    otherwise be a safety that is silently not there.
    """

    def __init__(self, source: str, where: str, value: t.Any) -> None:
        self.source = source  # the file, for messages
        self._where = where  # such as `jobs.lab`; empty for the whole document
        self._known: list[str] = []
        if not isinstance(value, dict):
            raise UsageError(f"Cannot use {source}", f"{where or 'it'} is not an object", 'write it as {"key": value}')
        self._values: dict[str, t.Any] = value

    def refuse(self, key: str, words: str, remedy: str) -> UsageError:
        """Return the error for a key, to be raised; `words` go on after its name."""
        return UsageError(f"Cannot use {self.source}", f"{self._path(key)} {words}", remedy)

    def has(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = "") -> str:
        """Return a text; `default` None: it must be there and not be empty."""
        value = self._take(key, str, default)
        if default is None and not value:
            raise self.refuse(key, "is empty", "give it a value")
        if "\0" in value:
            raise self.refuse(key, "holds a null character", "remove it")
        return str(value)

    def path(self, key: str, default: str | None = "") -> str:
        """Return an absolute path."""
        value = self.text(key, default)
        if value and not value.startswith("/"):
            raise self.refuse(key, f"is {value!r}", "write an absolute path: the command runs in any folder")
        return value

    def choice(self, key: str, choices: t.Sequence[str], default: str | None) -> str:
        """Return one of several texts; `default` None: it must be there."""
        value = self.text(key, default)
        if value not in choices:
            raise self.refuse(key, f"is {value!r}", f"use one of {', '.join(choices)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._take(key, bool, default))

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`."""
        value = int(self._take(key, int, default))
        if not least <= value <= most:
            raise self.refuse(key, f"is {value}", f"use {least} to {most}")
        return value

    def hours(self, key: str) -> float | None:
        """Return a positive number of hours, None when it is not set."""
        self._known.append(key)
        value = self._values.get(key)
        if value is None and key not in self._values:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self.refuse(key, f"is {_shown(value)}", "use a number of hours above 0")
        return float(value)

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of different texts; `default` None: it must be there and have at least one."""
        if default is not None and not self.has(key):
            self._known.append(key)
            return default
        found = self._take(key, list, None)
        if not found or not all(isinstance(each, str) for each in found):
            raise self.refuse(key, "is not a list of names", 'write it as ["first", "second"]')
        if len(set(found)) < len(found):
            raise self.refuse(key, "has a name twice", "name each once")
        return tuple(found)

    def names(self, key: str) -> tuple[str, ...] | None:
        """Return a list of different texts, which may be empty; None when it is not set."""
        if not self.has(key):
            self._known.append(key)
            return None
        return self.texts(key) if self._take(key, list, None) else ()

    def anything(self, key: str) -> t.Any:
        """Return a value of any type as it stands there, None when it is not set."""
        self._known.append(key)
        return self._values.get(key)

    def section(self, key: str) -> Fields:
        """Return an object inside this one, an empty one when it is not set."""
        return Fields(self.source, self._path(key), self._take(key, dict, {}))

    def mapping(self, key: str) -> dict[str, t.Any]:
        """Return an object as it stands there, an empty one when it is not set."""
        return dict(self._take(key, dict, {}))

    def sections(self, key: str) -> dict[str, Fields]:
        """Return the objects inside an object, by their names."""
        found = self._take(key, dict, {})
        return {name: Fields(self.source, f"{self._path(key)}.{name}", value) for name, value in found.items()}

    def finish(self) -> None:
        """Refuse keys that nobody took."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise self.refuse(key, "is not known", f"{hint}known here: {', '.join(sorted(self._known))}")

    def _path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def _take(self, key: str, kind: type, default: t.Any) -> t.Any:
        self._known.append(key)
        if key not in self._values:
            if default is None:
                raise self.refuse(key, "is missing", f"set it to {_KINDS[kind]}")
            return default
        value = self._values[key]
        # In Python a truth value is a number too; in a configuration it is a mistake.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.refuse(key, f"is {_shown(value)}", f"set it to {_KINDS[kind]}")
        return value


def _shown(value: t.Any) -> str:
    """Return what stands there, as JSON names it; not a text's content, which may be a secret in the wrong place."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value}" if isinstance(value, (int, float)) else _KINDS.get(type(value), "something else")
