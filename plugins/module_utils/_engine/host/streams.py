# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The standard streams of the command, whatever the caller made of them."""

from __future__ import annotations

import contextlib
import os
import sys
import typing as t

from .tables import block


def tell(text: str) -> bool:
    """Write to standard output, and say whether nothing got lost.

    A reader that went away (`| head`) has read what it wanted. What does not fit on a full disk is missed by somebody.
    """
    try:
        if text:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        complain(f"Cannot write to standard output: {error.strerror or error}.")
        return False
    return True


def complain(text: str) -> None:
    """Write to standard error, if that can be."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{block(text)}\n")  # errors have words of servers, and names from anywhere
        sys.stderr.flush()


def open_missing() -> None:
    """Open standard streams that the caller closed; else files that are opened later would take their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # names of databases are not bound to the terminal's character set
            reconfigure(errors="backslashreplace")


def _discard(stream: t.TextIO) -> None:
    """Let the rest go nowhere: the interpreter flushes once more at its end, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
