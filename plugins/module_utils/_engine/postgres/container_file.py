# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small files inside containers, for programs there that take something by the name of a file."""

from __future__ import annotations

import contextlib
import typing as t

from ..child import Child
from ..errors import LifeboatError
from .container import Container, client_environment

# In memory where there is such a place, so that nothing outlasts the container. Its input ends when this process does,
# however that happened, and the file goes.
_HOLD = """
umask 077
file=$(mktemp -p /dev/shm lifeboat.XXXXXX 2>/dev/null || mktemp) || exit 1
trap 'rm -f "$file"' EXIT
head -c "$1" > "$file" || exit 1
[ "$(wc -c < "$file")" -eq "$1" ] || exit 1
echo "$file"
read -r word
exit 0
"""


@contextlib.contextmanager
def file_inside(container: Container, data: bytes) -> t.Iterator[str]:
    """Yield the path of a file inside a container that holds `data`, and is gone afterwards. Raises LifeboatError.

    The programs that run there by default can read it, and nobody else.
    """
    argv = container.command(["sh", "-c", _HOLD, "sh", str(len(data))], with_input=True)
    holder = Child(argv, environment=client_environment(), pipe_stdin=True, pipe_stdout=True)
    try:
        with contextlib.suppress(OSError):  # it has ended, and said why
            holder.stdin.write(data)
            holder.stdin.flush()
        path = holder.stdout.readline().decode("utf-8", "replace").strip()
        if not path:
            holder.wait()
            raise LifeboatError(
                f"Cannot write a temporary file in {container}",
                holder.stderr() or "it said nothing",
                "see that the container runs, that its image has sh, mktemp and head, and that /dev/shm has room",
            )
        yield path
        with contextlib.suppress(OSError):
            holder.stdin.close()
        holder.wait()
    finally:
        holder.stop()
