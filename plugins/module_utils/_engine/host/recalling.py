# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import pwd
import typing as t

from ..repository.recall import Recall
from .place import Place

_OF_ROOT = "/var/cache"  # Filesystem Hierarchy Standard 3.0, section 5.5

Recalling = t.Callable[[Place, str], t.ContextManager[t.Optional[Recall]]]  # noqa: UP045 - takes the job, too


@contextlib.contextmanager
def of_nothing(_place: Place, _job: str) -> t.Iterator[Recall | None]:
    """Yield None: everything is read anew, as by whoever changes, copies or restores something."""
    yield None


@contextlib.contextmanager
def of_this_user(place: Place, job: str) -> t.Iterator[Recall | None]:
    """Yield what this user has read before of a job in a bucket, and keep what is read now.

    What lies in a directory is as near as a file of ours would be: None.
    """
    if place.store.has_locks:
        yield None
        return
    repository = place.identity().repository  # opens the keyring
    keys = place.store.keys
    epochs = [f"{keys.keyring}/{each.epoch}" for each in keys.epochs] if keys is not None else []
    recall = Recall(folder(), repository, place.store.name, job, *epochs)
    yield recall
    recall.save()


def folder() -> str:
    """Return where this user keeps what can be had again (XDG Base Directory Specification 0.8)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(named if os.path.isabs(named) else _default(), "lifeboat", "catalog")


def _default() -> str:
    if os.geteuid() == 0:
        return _OF_ROOT
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir  # not $HOME: it may be that of root, who works for this user
    except KeyError:
        home = os.path.expanduser("~")
    return os.path.join(home, ".cache")
