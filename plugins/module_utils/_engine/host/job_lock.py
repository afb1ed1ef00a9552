# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import typing as t

from ..errors import BusyError, LifeboatError
from ..repository.layout import checked_job
from ..repository.tree import opened_lock

_FOLDERS = ("/run/lock", tempfile.gettempdir())  # Filesystem Hierarchy Standard 3.0, section 5.9


@contextlib.contextmanager
def job_lock(job: str) -> t.Iterator[None]:
    """Keep other runs of a job on this host out for the duration of the block.

    Raises BusyError when one is under way.
    """
    folder = next((each for each in _FOLDERS if os.access(each, os.W_OK)), _FOLDERS[-1])
    path = os.path.join(folder, f"lifeboat-{checked_job(job)}.lock")
    descriptor = _opened(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"Cannot run job {job}", "it is running on this host already", "wait until that run has ended"
            ) from error
        yield
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    try:
        return opened_lock(path)
    except OSError as error:
        raise LifeboatError(
            f"Cannot lock {path}", error.strerror or str(error), "run the job as the user who ran it before"
        ) from error
