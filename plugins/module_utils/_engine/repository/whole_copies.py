# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which copies lack nothing, told of very many backups by one listing."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import typing as t

from ..errors import DamagedError
from . import layout
from .catalog import Backup
from .manifest import Manifest, Need, parse_file_list, parse_need_list
from .store import Entry, Store
from .stored_files import is_self_contained

FEW = 8  # backups that are looked at one by one
_Entries = t.Mapping[str, Entry]  # by key: what the target has in the folders of a job


def whole_copies(source: Store, target: Store, job: str, found: t.Sequence[tuple[Backup, Backup]]) -> frozenset[str]:
    """Return the ids of backups of which the target has all that `copy.plan` would ask for, each by eight requests.

    `found` are backups of the source with what the target's catalog says of them, judged by their proofs. A copy is
    whole if its manifest is the same, no stored file was found bad when it was last read, and each is there with its
    size. Of a few backups none is returned.
    """
    same = [mine.manifest for mine, theirs in found if mine.manifest is not None and _is_sound(mine, theirs)]
    return frozenset() if len(same) <= FEW else complete(source, target, job, same)


def complete(source: Store, target: Store, job: str, manifests: t.Sequence[Manifest]) -> frozenset[str]:
    """Return the ids of the backups of which a repository (`target`) has every stored file with its size.

    That is told by one listing, and by the lists of files and needs of those backups that have packs, or need files of
    others: each list is read once, from `source`. A backup whose lists cannot be read is not returned.
    """
    there = {entry.key: entry for entry in target.entries(f"{layout.DATA}{job}/")}
    named = [manifest for manifest in manifests if _has_named(there, manifest)]
    alone = {manifest.id for manifest in named if _is_alone(manifest)}
    others = [manifest for manifest in named if manifest.id not in alone]
    needs = _needs(source, there, others)
    wanted = {(need.owner, need.files_sha256) for each in needs.values() for need in each}
    listed = _listed(source, there, job, wanted)
    whole = (backup_id for backup_id, each in needs.items() if all(_has_needed(need, listed) for need in each))
    return frozenset({*alone, *whole})


def _is_sound(mine: Backup, theirs: Backup) -> bool:
    has_alarms = bool(mine.alarms or theirs.alarms)
    return not has_alarms and not theirs.has_failed and mine.manifest == theirs.manifest


def _is_alone(manifest: Manifest) -> bool:
    try:
        return is_self_contained(manifest)
    except DamagedError:
        return False


def _has_named(there: _Entries, manifest: Manifest) -> bool:
    """Say whether all stored files that a manifest names are there with their sizes."""
    named = [(layout.data(manifest.job, manifest.id, file.name), file) for file in manifest.files]
    named += [(layout.data(manifest.job, each.owner, each.file.name), each.file) for each in manifest.taken_over]
    return all(key in there and there[key].size == file.facts.stored_size for key, file in named)


def _needs(source: Store, there: _Entries, manifests: t.Sequence[Manifest]) -> dict[str, list[Need]]:
    """Return what each of these backups needs, its own files included, by lists that can be read."""
    lists: dict[str, Manifest] = {}
    for manifest in manifests:
        roles = [file.role for file in manifest.files]
        if "files" in roles and "needs" in roles:
            lists[layout.data(manifest.job, manifest.id, manifest.file("needs").name)] = manifest
    found: dict[str, list[Need]] = {}
    for entry, document in source.documents([there[key] for key in lists]):
        manifest = lists[entry.key]
        if hashlib.sha256(document.data).hexdigest() == manifest.file("needs").facts.plain_sha256:  # as it is
            own = Need(manifest.id, manifest.file("files").facts.plain_sha256, ())
            with contextlib.suppress(DamagedError):
                found[manifest.id] = [own, *parse_need_list(document.data, entry.key)]
    return found


class _Listed(t.NamedTuple):
    """The files that a backup wrote."""

    length: int  # lines of its list
    lacking: t.Sequence[int]  # numbers of the lines whose files are missing, or have another size; ascending


def _listed(
    source: Store, there: _Entries, job: str, wanted: t.AbstractSet[tuple[str, str]]
) -> dict[tuple[str, str], _Listed]:
    """Return what backups wrote, by the id of each and the SHA-256 of its list of files, if that is there, too."""
    owners = {layout.data(job, owner, layout.FILES): owner for owner, _digest in wanted}
    found: dict[tuple[str, str], _Listed] = {}
    for entry, document in source.documents([there[key] for key in owners if key in there]):
        known = owners[entry.key], hashlib.sha256(document.data).hexdigest()
        if known in wanted and len(document.data) == entry.size:
            with contextlib.suppress(DamagedError):
                files = parse_file_list(document.data, entry.key)
                keys = (layout.data(job, known[0], file.name) for file in files)
                has = [key in there and there[key].size == file.facts.stored_size for key, file in zip(keys, files)]
                found[known] = _Listed(len(files), [number for number, is_there in enumerate(has) if not is_there])
    return found


def _has_needed(need: Need, listed: t.Mapping[tuple[str, str], _Listed]) -> bool:
    """Say whether the files of a need are there; one without ranges is that of a backup for all that it wrote."""
    found = listed.get((need.owner, need.files_sha256))
    if found is None:
        return False
    ranges = need.ranges or ((0, found.length - 1),)
    return all(last < found.length and not _is_any(found.lacking, first, last) for first, last in ranges)


def _is_any(numbers: t.Sequence[int], first: int, last: int) -> bool:
    """Say whether one of some ascending numbers is between these two."""
    at = bisect.bisect_left(numbers, first)
    return at < len(numbers) and numbers[at] <= last
