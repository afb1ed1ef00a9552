# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import LifeboatError
from ..repository.store import Store, StoreError
from .place import Place, Site


def closed(name: str, site: Site, why: LifeboatError) -> Place:
    """Return a repository that cannot be opened: to a run it is like one that is away."""
    return Place(name, ClosedStore(name, why), site=site)


class ClosedStore(Store):
    """Answers everything with the reason why nobody has opened it."""

    def __init__(self, name: str, why: LifeboatError) -> None:
        self.name = name
        self._why = why

    def _refuse(self, *_given: t.Any, **_more: t.Any) -> t.NoReturn:
        raise StoreError(f"Cannot open repository {self.name}", self._why.summary, self._why.remedy)

    now = get = stat = entries = versions = put = put_new = refuses_second = replace = delete = _refuse
    upload = discard_unfinished = read = shared_lock = exclusive_lock = _refuse

    @property
    def has_locks(self) -> bool:
        return False
