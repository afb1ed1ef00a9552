# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets a process compile a source once, however often it imports it: put into an interpreter's site-packages.

ansible-test's import test forgets the collection before every file, and Ansible's loader keeps no bytecode: most of its
time went into compiling the same files again for each module. They are imported and executed each time as before.
"""

from __future__ import annotations

import builtins

TYPE_CHECKING = False  # nothing more is imported than without this
if TYPE_CHECKING:
    import types
    import typing as t

_compile = builtins.compile
_known: dict[tuple[t.Any, ...], types.CodeType] = {}


def compile_once(*words: t.Any, **named: t.Any) -> t.Any:
    """Compile as the builtin does; what depends on nothing but the arguments is remembered."""
    if not named.get("dont_inherit"):
        return _compile(*words, **named)
    key = (*words, *sorted(named.items()))
    if key not in _known:
        _known[key] = _compile(*words, **named)
    return _known[key]


builtins.compile = compile_once
