# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What crashes leave behind: repositories to crash in, and which states of them the next run was seen to make good.

Many steps lie between two changes of a repository, and a run that dies at any of them leaves the same. The next run
knows nothing but what it finds there: what is proved of it after one of these steps is proved for all of them.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import typing as t

from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Lab, Site

State = t.FrozenSet[t.Tuple[str, str]]  # noqa: UP006 - evaluated at run time on Python 3.9 as well

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}\b")
_ACCIDENT = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9a-f]{4}\b)?|[0-9a-f]{6,}|[0-9]+|(?<=\.tmp-)\S+")
_DATA = re.compile(r"(data|keys|RESCUE)/")


def copy_of(lab: Lab, site: Site) -> Site:
    """Return a repository that holds the same, under another path."""
    if "directory" in site.facts:
        fresh = lab.directory()
        root = pathlib.Path(fresh.facts["directory"])
        shutil.rmtree(root)
        shutil.copytree(site.facts["directory"], root)
    else:
        fresh = lab.bucket()
        written = site.documents("")
        for key, data in written.items():
            fresh.store.put(key, data)
        fresh.remember(written)
    return fresh.opened_like(site)


def state_of(job: str, *sites: Site) -> State:
    """Return what lies in repositories of one job, without what differs at every run: times, ids, digests, nonces.

    Of stored files their names and sizes count, of documents their text. Repositories must hold this job only.
    """
    found = [(f"{site.name}/{key}", data) for site in sites for key, data in site.documents("").items()]
    found += [(f"{site.name}/{path}", b"") for site in sites for path in site.temporary_files()]
    ids = sorted({each for key, _data in found for each in _ID.findall(key)})
    numbers = {each: f"<{chr(ord('a') + number)}>" for number, each in enumerate(ids)}

    def plain(text: str) -> str:
        return _ACCIDENT.sub("#", _ID.sub(lambda each: numbers.get(each.group(), "<?>"), text.replace(job, "<job>")))

    return frozenset(
        (plain(key), str(len(data)) if _DATA.search(key) else plain(data.decode("utf-8", "replace")))
        for key, data in found
    )


class Recovered:
    """The states that a next run was seen to make good."""

    def __init__(self) -> None:
        self._states: set[t.Hashable] = set()

    def is_new(self, state: t.Hashable) -> bool:
        """Say whether nothing is known of a state, which is known from now on."""
        is_new = state not in self._states
        self._states.add(state)
        return is_new
