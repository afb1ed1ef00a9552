# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools

from .patterns import Patterns


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which keys of a backup are restored: those that satisfy all of what is given."""

    prefix: str = ""  # what they begin with
    keys: tuple[str, ...] = ()  # these and no others; empty: any
    include: tuple[str, ...] = ()  # patterns (`Patterns`), one of which they match; empty: any
    exclude: tuple[str, ...] = ()  # patterns, none of which they match

    @functools.cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.exclude, self.include)

    @functools.cached_property
    def _leaving_out(self) -> Patterns:
        return Patterns(self.exclude)

    @functools.cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self.keys)

    @property
    def is_all(self) -> bool:
        return not (self.prefix or self.keys or self.include or self.exclude)

    @property
    def common_prefix(self) -> str:
        """Return what all selected keys begin with, so that no more than that needs to be listed."""
        return self.keys[0] if len(self.keys) == 1 else self.prefix

    def check(self) -> None:
        """Raise UsageError for patterns that are none."""
        Patterns(self.exclude, self.include)

    def __call__(self, key: str, is_directory: bool = False, /) -> bool:
        """Say whether a key is selected; to patterns that include, a directory is a key like any other."""
        if not key.startswith(self.prefix) or (self.keys and key not in self._keys):
            return False
        if is_directory and not self._leaving_out.is_wanted(key, True):
            return False
        return not (self.include or self.exclude) or self._matches(key)

    def _matches(self, key: str) -> bool:
        at = key.find("/")
        while at >= 0:  # what lies in a directory that is left out is left out with it
            if at and not self._patterns.is_wanted(key[:at], True):
                return False
            at = key.find("/", at + 1)
        return self._patterns.is_wanted(key.rstrip("/"), key.endswith("/"))
