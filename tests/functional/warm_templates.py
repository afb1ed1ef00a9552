# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible makes of templates, shared by the processes of a run.

Each task has a process of its own, which would compile all templates that it meets, and look through a collection for
each filter of it: a third of what a small task takes. Here a template is compiled once: what comes of it depends on
nothing but its text and the settings of its environment, because Ansible folds no constants.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import marshal
import os
import types
import typing as t
from pathlib import Path


class Compiled:
    """What templates were compiled to: in this process, and in a folder for others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, types.CodeType] = {}

    def find(self, *words: object) -> types.CodeType | None:
        """Return what was compiled from this, or None."""
        name = self._name(words)
        if name not in self._known:
            try:
                stored = (self._folder / name).read_bytes()
            except FileNotFoundError:
                return None
            self._known[name] = marshal.loads(stored)
        return self._known[name]

    def keep(self, code: types.CodeType, *words: object) -> None:
        name = self._name(words)
        self._known[name] = code
        fresh = self._folder / f"{name}.{os.getpid()}"
        fresh.write_bytes(marshal.dumps(code))
        fresh.replace(self._folder / name)

    @staticmethod
    def _name(words: t.Sequence[object]) -> str:
        return hashlib.sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()


def share_compiled(folder: Path) -> None:
    """Have templates compiled once by all processes that share a folder."""
    folder.mkdir(exist_ok=True)
    bits = importlib.import_module("ansible._internal._templating._jinja_bits")
    environment = bits.AnsibleEnvironment
    compiled = Compiled(folder)
    expressions: list[tuple[object, ...]] = []  # the one that is being compiled
    of_template, of_expression = environment.compile, environment.compile_expression

    def settings(self: t.Any) -> tuple[object, ...]:
        context = bits._TemplateCompileContext.current(optional=True)
        names = bits._TEMPLATE_OVERRIDE_FIELD_NAMES
        return bool(context and context.escape_backslashes), *(getattr(self, name) for name in names)

    def compile_template(self: t.Any, source: t.Any, *words: t.Any, **more: t.Any) -> t.Any:
        if words or more or not (expressions or isinstance(source, str)):
            return of_template(self, source, *words, **more)
        key = ("template", str(source), *settings(self)) if isinstance(source, str) else expressions[-1]
        code = compiled.find(*key)
        if code is None:
            code = of_template(self, source)
            compiled.keep(code, *key)
        return code

    def compile_expression(self: t.Any, source: str, undefined_to_none: bool = True) -> t.Any:
        key = ("expression", str(source), *settings(self))
        code = compiled.find(*key)
        if code is not None:
            template = self.template_class.from_code(self, code, self.make_globals(None), None)
            return vars(bits)["TemplateExpression"](template, undefined_to_none)
        expressions.append(key)
        try:
            return of_expression(self, source, undefined_to_none)
        finally:
            expressions.pop()

    environment.compile, environment.compile_expression = compile_template, compile_expression


def load_filters(collection: str, files: t.Iterable[str]) -> None:
    """Load all filters and tests, once; and those of a collection, which lie in these files."""
    loader = importlib.import_module("ansible.plugins.loader")
    for each in (loader.filter_loader, loader.test_loader):
        list(each.all())
    kind = type(loader.filter_loader)
    kind.get_with_context = functools.lru_cache(None)(kind.get_with_context)
    for file in files:
        module = importlib.import_module(f"ansible_collections.{collection}.plugins.filter.{file}")
        for name in module.FilterModule().filters():
            loader.filter_loader.get(f"{collection}.{name}")
