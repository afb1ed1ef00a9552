# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host command as one executable file, made of the engine's own sources."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import pkgutil
import re
import typing as t
import zipfile

from .. import _engine
from .._engine.errors import LifeboatError
from .._engine.host.version import VERSION
from .bytecode import compiled

if t.TYPE_CHECKING:
    # Never executed, and yet an import: what it leads to is what Ansible sends to a host with the module, and all that
    # the command needs. To execute it would compile the whole engine here, of which the sources are enough.
    from .._engine.host import cli as _cli  # noqa: F401

PACKAGE = "lifeboat"  # what the engine is called inside the file
_ENTRY = "host.cli"
_OLDEST_PYTHON = (3, 9)
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
_READABLE = 0o644 << 16  # of members, for who unpacks the file
_MAIN = f"""\
import os
import signal
import sys

# Who ends this while it is being loaded wants no traceback; main has a better answer later.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

if sys.version_info < {_OLDEST_PYTHON}:
    sys.stderr.write("lifeboat needs Python {_OLDEST_PYTHON[0]}.{_OLDEST_PYTHON[1]} or later, and this is %s\\n"
                     "Remedy: install it, and set option interpreter of backup_command\\n" % sys.version.split()[0])
    raise SystemExit(2)

# An upgrade may put another file in the place of this one; what is imported later comes from this one all the same.
# It must not get the number of a standard stream that the caller closed: what is said would be written to it.
from fcntl import F_DUPFD_CLOEXEC, fcntl

opened = os.open(sys.path[0], os.O_RDONLY | os.O_CLOEXEC)
held = "/proc/self/fd/%d" % fcntl(opened, F_DUPFD_CLOEXEC, 3)
os.close(opened)
if os.path.exists(held):
    sys.path[0] = held

from {PACKAGE}.{_ENTRY} import main

raise SystemExit(main())
"""
_VERSION_LINE = re.compile(rb'^VERSION = "([0-9A-Za-z.+-]+)"', re.MULTILINE)


def build(interpreter: str) -> bytes:
    """Return the file: a line for the system that names the interpreter, then a zip archive (PEP 441).

    Each source lies beside its bytecode for that interpreter, if it is there. Sorted names, fixed dates and no
    compression: the same sources and the same interpreter are the same bytes, whichever Python and zlib build them.
    Raises LifeboatError when a source cannot be read.
    """
    sources = {f"{PACKAGE}/{name}": data for name, data in _sources().items()}
    sources.update({f"{name}c": data for name, data in compiled(interpreter, sources).items()})
    sources["__main__.py"] = _MAIN.encode()
    file = io.BytesIO()
    file.write(b"#!" + interpreter.encode() + b"\n")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            member = zipfile.ZipInfo(name, date_time=_DATE)
            member.create_system = 3  # Unix, wherever it is built
            member.external_attr = _READABLE
            archive.writestr(member, sources[name])
    return file.getvalue()


def version_in(data: bytes) -> str:
    """Return the version of the command in a file's bytes; empty when they are something else, or damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            text = archive.read(f"{PACKAGE}/host/version.py")
    except (zipfile.BadZipFile, KeyError, OSError):
        return ""
    found = _VERSION_LINE.search(text)
    return found.group(1).decode() if found else ""


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes, as `lifeboat --version` and `sha256sum` say it."""
    return hashlib.sha256(data).hexdigest()


def current_version() -> str:
    """Return the version of the command that `build` makes."""
    return VERSION


def _sources() -> dict[str, bytes]:
    """Return what the command consists of, by path: its entry, and by imports everything that it leads to.

    The imports are followed here, and not the folders, because a checkout has more than what Ansible sends.
    """
    found: dict[str, bytes] = {}
    waiting = [_ENTRY]
    while waiting:
        module = waiting.pop()
        path = module.replace(".", "/") + ".py"
        if path in found:
            continue
        found[path] = _source(module)
        waiting += _imports(module, found[path])
    folders = {"", *(path[: at + 1] for path in found for at, char in enumerate(path) if char == "/")}
    return {**found, **{f"{folder}__init__.py": b"" for folder in folders}}


def _source(module: str) -> bytes:
    package, _dot, name = f"{_engine.__name__}.{module}".rpartition(".")
    try:
        data = pkgutil.get_data(package, f"{name}.py")
    except OSError as error:
        raise _unreadable(module, str(error)) from error
    if data is None:
        raise _unreadable(module, "its loader does not show sources")
    return data


def _imports(module: str, source: bytes) -> t.Iterator[str]:
    """Yield the engine's modules that a module imports; inside the engine all imports are relative."""
    parts = module.split(".")
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*parts[: len(parts) - node.level], *(node.module.split(".") if node.module else [])]
            if node.module and not _is_package(base):
                yield ".".join(base)
            else:
                yield from (".".join([*base, each.name]) for each in node.names)


def _statements(node: ast.AST) -> t.Iterator[ast.AST]:
    """Yield all statements in a source; what they are made of, which is ten times as much, imports nothing."""
    for field in ("body", "orelse", "finalbody", "handlers"):
        for each in getattr(node, field, ()):
            yield each
            yield from _statements(each)


def _is_package(parts: t.Sequence[str]) -> bool:
    """Say whether the name is that of a part, a folder, not of a file in it."""
    spec = importlib.util.find_spec(".".join([_engine.__name__, *parts]))
    return spec is not None and spec.submodule_search_locations is not None


def _unreadable(module: str, cause: str) -> LifeboatError:
    return LifeboatError(
        f"Cannot build the command: the source of {module} cannot be read",
        cause,
        "install the collection anew on the controller",
    )
