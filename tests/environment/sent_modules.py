# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An interpreter for modules of the collection, forked from one that has imported everything but the collection.

A module runs from the archive that Ansible sends, and fails if something is not in it. Only what is the same in every
archive is not compiled again, and what is Ansible's own or comes from elsewhere is not imported again: that takes more
time than most modules themselves.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import types
import typing as t
import zipimport
from pathlib import Path

import documented_results
import fork_server

_ANSIBLE = ("command", "copy", "file", "find", "setup", "slurp", "stat", "uri")  # modules of the targets
_COLLECTIONS = "ansible_collections"


@contextlib.contextmanager
def interpreter(collection: Path, environment: t.Mapping[str, str]) -> t.Iterator[Path]:
    """Have an interpreter for modules while the context lasts; `environment` finds Ansible."""
    folder = Path(tempfile.mkdtemp(prefix="lbs-", dir="/tmp"))  # the path of a socket has little room
    process = fork_server.start([__file__, collection], folder, environment)
    try:
        yield fork_server.interpreter(folder)
    finally:
        process.communicate()  # closes its input
        shutil.rmtree(folder, ignore_errors=True)  # it is there if the program failed


def _import_what_others_wrote(collection: Path) -> None:
    """Import the modules of the collection for what they import in turn, and forget the collection itself."""
    for name in _ANSIBLE:
        importlib.import_module(f"ansible.modules.{name}")
    root = str(collection.parents[2])
    sys.path.insert(0, root)
    for path in sorted((collection / "plugins" / "modules").glob("*.py")):
        importlib.import_module(f"{_COLLECTIONS}.lifeboat.recovery.plugins.modules.{path.stem}")
    for name in [name for name in sys.modules if name.partition(".")[0] == _COLLECTIONS]:
        del sys.modules[name]
    sys.path[:] = [each for each in sys.path if each != root]
    sys.path_importer_cache.clear()


def _remember_compiled(collection: Path) -> None:
    """Have sources in archives that are those of the collection, byte by byte, compiled here and once."""
    known: dict[bytes, types.CodeType] = {}
    for path in (collection / "plugins").rglob("*.py"):
        source = path.read_bytes()
        known[source] = compile(source, str(path), "exec", dont_inherit=True)
    compiled = t.cast(t.Callable[[str, bytes], types.CodeType], vars(zipimport)["_compile_source"])

    def compile_source(path: str, source: bytes) -> types.CodeType:
        return known.get(source) or compiled(path, source)

    vars(zipimport)["_compile_source"] = compile_source


def main(collection: Path, listening: int, folder: Path) -> None:
    """Import and compile, then fork."""
    _import_what_others_wrote(collection)
    _remember_compiled(collection)
    documented_results.watch()
    fork_server.serve(listening, folder, fork_server.execute_file)


if __name__ == "__main__":
    sys.path[:] = [each for each in sys.path if each != os.path.dirname(os.path.abspath(__file__))]
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
