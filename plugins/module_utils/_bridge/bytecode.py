# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compiled forms of sources, made by the interpreter that is to run them: without them every start compiles anew."""

from __future__ import annotations

import base64
import json
import threading
import typing as t

from .._engine.child import Child
from .._engine.errors import LifeboatError

# What is compiled carries the digest of its source instead of a time, and is not compared with it when it is loaded
# (PEP 552, "unchecked"). Another version of Python sees by the first bytes that it cannot use it, and takes the source.
_SCRIPT = """
import base64, importlib.util, json, marshal, sys

found = {}
for name, text in json.load(sys.stdin).items():
    source = base64.b64decode(text)
    code = compile(source, name, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    found[name] = base64.b64encode(head + marshal.dumps(code)).decode()
json.dump(found, sys.stdout)
"""


def compiled(interpreter: str, sources: t.Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bytecode of each source, by its name; nothing where the interpreter is not there or cannot do it.

    `interpreter` is what stands in the first line of a script after `#!`: a path and at most one argument. The same
    interpreter makes the same bytes.
    """
    argv = [*interpreter.split(None, 1), "-c", _SCRIPT]
    asked = json.dumps({name: base64.b64encode(sources[name]).decode() for name in sorted(sources)}).encode()
    try:
        # The seed makes the order in sets of constants the same each time.
        with Child(argv, environment={"PYTHONHASHSEED": "0"}, pipe_stdin=True, pipe_stdout=True) as child:
            writer = threading.Thread(target=_write, args=(child, asked), daemon=True)
            writer.start()
            answer = child.stdout.read()
            writer.join()
            child.check("Cannot compile the command")
    except LifeboatError:
        return {}
    return {name: base64.b64decode(text) for name, text in json.loads(answer).items()}


def _write(child: Child, data: bytes) -> None:
    try:
        child.stdin.write(data)
        child.stdin.close()
    except OSError:  # it has ended early; its exit code tells
        return
