# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import typing as t

from ..errors import DamagedError
from ..stream.encryption import WrongKeyError
from ..stream.pipeline import StreamFacts, plain_stream, stored_digest
from ..stream.stage import Stage
from . import keys, layout
from .manifest import WARNINGS, Manifest, Need, StoredFile, file_list, parse_file_list, parse_need_list
from .store import Store


@dataclasses.dataclass(frozen=True)
class NeededFile:
    """A stored file that a backup needs, and whose data folder it lies in."""

    owner: str  # id of the backup that wrote it
    file: StoredFile
    number: int = -1  # of its line in the owner's files.jsonl, from 0; -1 for the lists themselves

    def key(self, job: str) -> str:
        return layout.data(job, self.owner, self.file.name)


def is_self_contained(manifest: Manifest) -> bool:
    """Say whether the manifest itself names all stored files that the backup needs: no packs, none of earlier backups.

    Raises DamagedError when it has no lists.
    """
    listed = file_list([file for file in manifest.files if file.role not in ("files", "needs")])
    has_needs = manifest.file("needs").facts.plain_size > 0
    return not has_needs and manifest.file("files").facts.plain_sha256 == hashlib.sha256(listed).hexdigest()


def decrypting(store: Store, job: str, owner: str, file: StoredFile) -> tuple[Stage, ...]:
    """Return the stages between the stored bytes of a file and its compressed ones: none for one that is plain.

    Raises WrongKeyError where it is encrypted and there are no keys.
    """
    if file.encryption == keys.NONE:
        return ()
    found = keys.require(store.keys, file.encryption, f"{file.name} of backup {owner} of {job}")
    return (found.decrypting(job, owner, file.name),)


def plain_chunks(store: Store, job: str, owner: str, file: StoredFile) -> t.Iterator[bytes]:
    """Yield the plain bytes of a stored file; they are provisional until the end.

    Raises DamagedError, and WrongKeyError for one that is encrypted under a key that is not at hand.
    """
    stages = decrypting(store, job, owner, file)
    with damage_told_from_keys(store, job, owner, file):
        yield from plain_stream(store.read(layout.data(job, owner, file.name)), file.facts, stages)


@contextlib.contextmanager
def damage_told_from_keys(store: Store, job: str, owner: str, file: StoredFile) -> t.Iterator[None]:
    """Turn a WrongKeyError into a DamagedError where the file is not what was written: its header may be damaged."""
    try:
        yield
    except WrongKeyError as error:
        found = stored_digest(store.read(layout.data(job, owner, file.name)))
        if found != (file.facts.stored_size, file.facts.stored_sha256):
            cause = f"its stored SHA-256 is {found[1]}, not {file.facts.stored_sha256}"
            raise DamagedError(error.problem, cause, "use another copy of the backup") from error
        raise


def small_file(store: Store, job: str, owner: str, file: StoredFile) -> bytes:
    """Return a list of files or needs, checked. Raises DamagedError."""
    return b"".join(plain_chunks(store, job, owner, file))


def warnings_of(store: Store, manifest: Manifest) -> tuple[str, ...]:
    """Return the warnings of a backup, also those of an encrypted one where there are keys. Raises DamagedError."""
    file = next((each for each in manifest.files if each.role == WARNINGS), None)
    if file is None or store.keys is None:
        return manifest.warnings
    try:
        return tuple(str(each) for each in json.loads(small_file(store, manifest.job, manifest.id, file)))
    except (TypeError, ValueError) as error:
        raise DamagedError(f"Cannot read {file.name} of backup {manifest.id}", f"damaged: {error}") from error


def needed_files(store: Store, manifest: Manifest) -> t.Iterator[NeededFile]:
    """Yield every stored file without which the backup cannot be restored: its own, then those of earlier backups.

    Reads `files.jsonl` and `needs.jsonl` (docs/format.md, "Files and needs"). Raises DamagedError.
    """
    yield from own_files(store, manifest)
    for need in needs_of(store, manifest):
        yield from files_of_need(store, manifest, need)


def own_files(store: Store, manifest: Manifest) -> t.Iterator[NeededFile]:
    """Yield the stored files that the backup wrote itself, packs last. Raises DamagedError."""
    listed = parse_file_list(
        small_file(store, manifest.job, manifest.id, manifest.file("files")), f"files.jsonl of {manifest.id}"
    )
    numbers = {file.name: number for number, file in enumerate(listed)}
    in_manifest = {file.name for file in manifest.files}
    for file in (*manifest.files, *(each for each in listed if each.name not in in_manifest)):
        yield NeededFile(manifest.id, file, numbers.get(file.name, -1))


def needs_of(store: Store, manifest: Manifest) -> list[Need]:
    """Return what a backup needs of earlier ones. Raises DamagedError."""
    data = small_file(store, manifest.job, manifest.id, manifest.file("needs"))
    return parse_need_list(data, f"needs.jsonl of {manifest.id}")


def files_of_need(store: Store, manifest: Manifest, need: Need) -> t.Iterator[NeededFile]:
    """Yield what a backup needs of one earlier backup: that one's list of files, and files. Raises DamagedError."""
    key = layout.data(manifest.job, need.owner, layout.FILES)
    size, digest, data = _whole(store, key)
    if digest != need.files_sha256:
        problem = f"Cannot use backup {manifest.id} of {manifest.job}"
        raise DamagedError(problem, f"{key} ({size} bytes) is not what it was")
    yield NeededFile(need.owner, _list_itself(data, digest))
    numbered = parse_file_list(data, key)
    if any(last >= len(numbered) for _first, last in need.ranges):
        problem = f"Cannot use backup {manifest.id} of {manifest.job}"
        raise DamagedError(problem, f"it needs more files than {key} lists")
    for first, last in need.ranges:
        yield from (NeededFile(need.owner, numbered[number], number) for number in range(first, last + 1))


def _whole(store: Store, key: str) -> tuple[int, str, bytes]:
    data = b"".join(store.read(key))
    size, digest = stored_digest([data])
    return size, digest, data


def _list_itself(data: bytes, digest: str) -> StoredFile:
    facts = StreamFacts(len(data), digest, len(data), digest, "none")
    return StoredFile(layout.FILES, "files", facts)
