# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import textwrap
import typing as t

from .. import clock

WIDTH = 100  # columns
_GAP = "  "
_STEPS = ((86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"))


def printable(text: str) -> str:
    """Return one line of text that a terminal shows as it is: names and errors may come from anywhere."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ("\N{REPLACEMENT CHARACTER}", " ")[char.isspace()] for char in text)


def cut(text: str, width: int) -> str:
    """Return at most `width` columns of a text, and show where something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def size(count: int) -> str:
    """Return a number of bytes for people, such as `13.4 MiB`."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # noqa: B007 - the last one stays
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time span for people, such as `3 h`; rounded down, in one unit."""
    for least, unit_s, name in _STEPS:
        if seconds >= least:
            return f"{int(seconds // unit_s)} {name}"
    return f"{seconds:.1f} s" if 0 <= seconds < 10 else f"{int(seconds)} s"


def until(moment: str | None, now: dt.datetime) -> str:
    """Return how long it is until a time (as `clock.to_text` writes it), such as `in 3 h`; a dash for none."""
    return f"in {duration((clock.from_text(moment) - now).total_seconds())}" if moment else "-"


def table(head: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> list[str]:
    """Return aligned lines; `widths` are the most columns of each, 0 for the last one: what is left of 100."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    columns = []
    left = WIDTH
    for number, most in enumerate(widths):
        needed = max(len(row[number]) for row in cells)
        columns.append(min(needed, most or left, left))
        left -= columns[-1] + len(_GAP)
    return [_GAP.join(cut(cell, width).ljust(width) for cell, width in zip(row, columns)).rstrip() for row in cells]


def wrapped(head: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> list[list[str]]:
    """Return the lines of each row, the head's first, like `table`; but the last cell goes on below itself."""
    rest = [textwrap.wrap(printable(row[-1]), _last_width(head, rows, widths), break_on_hyphens=False) for row in rows]
    firsts = table(head, [[*row[:-1], (lines or [""])[0]] for row, lines in zip(rows, rest)], widths)
    begin = WIDTH - _last_width(head, rows, widths)
    return [
        firsts[:1],
        *([first, *(" " * begin + line for line in lines[1:])] for first, lines in zip(firsts[1:], rest)),
    ]


def _last_width(head: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> int:
    needed = [max(len(printable(row[number])) for row in (head, *rows)) for number in range(len(head) - 1)]
    return WIDTH - sum(min(*pair) + len(_GAP) for pair in zip(needed, widths))


def room(head: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> int:
    """Return the columns that are left for the first cell, when the others get as many as they need."""
    needed = [max(len(printable(row[number])) for row in (head, *rows)) for number in range(1, len(head))]
    return WIDTH - sum(min(*pair) + len(_GAP) for pair in zip(needed, widths))


def block(text: str) -> str:
    """Return lines that a terminal shows as they are, such as those of an error."""
    return "\n".join(printable(line) for line in text.split("\n"))


def heading(text: str) -> list[str]:
    """Return what stands above a table: the first line is not indented."""
    first, *others = note(text, "")
    return [first[len(_GAP) :], *others]


def note(text: str, mark: str = "! ") -> list[str]:
    """Return a remark below a row of a table, wrapped and indented."""
    indent = _GAP + mark
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False
    )


def nothing(what: str, reached: t.Collection[str], unreachable: t.Collection[str]) -> str:
    """Say that there is nothing of `what`, as far as that is known."""
    if not unreachable:
        return f"no {what}"
    return f"no {what} in {', '.join(reached)}" if reached else f"no repository can be read: {what} are not known"
