# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..errors import DamagedError, GuardRefusal, LifeboatError
from ..steps import reached
from ..stream.pipeline import StreamFacts, store_stream
from . import acknowledgement, binding, deletion_plan, json_document, keyring, layout, proof
from .identity import Identity
from .keys import NONE
from .lease import WAIT_S, Permit, held
from .manifest import Manifest, Need
from .removal import remove_all
from .store import Document, ExistsError, Store
from .stored_files import NeededFile, files_of_need, needs_of, own_files

_FOLDERS = 8  # of backups that are listed one by one
_LISTS = ("files", "needs")  # roles of stored files that are never encrypted
_LOOKED_AT = 4  # backups whose copies may have been killed lately


@dataclasses.dataclass(frozen=True)
class CopyPlan:
    """What a copy would move."""

    job: str
    id: str
    is_published: bool  # the target already has the manifest
    missing: tuple[NeededFile, ...]  # not there, of another size, or found bad when last read

    @property
    def bytes(self) -> int:
        return sum(each.file.facts.stored_size for each in self.missing)

    @property
    def is_empty(self) -> bool:
        return self.is_published and not self.missing


def nothing(job: str, backup_id: str) -> CopyPlan:
    """Return the plan for a backup of which the target is known to have all."""
    return CopyPlan(job, backup_id, True, ())


def plan(source: Store, target: Store, manifest: Manifest, trusting: bool = False) -> CopyPlan:
    """Say what the target lacks of a backup; reads listings, small lists and proof records only.

    A manifest there that is damaged is lacking, too. Raises LifeboatError for another one under the same id.

    With `trusting` nothing is asked about what the target's copy of the base needs in the same way: that is there, as
    a manifest is published only where all of it is, and what a manifest needs is not deleted. So the cost is that of
    what is new, however many backups share files.
    """
    job = manifest.job
    is_published = _has_same(source, target, manifest)
    known = _needs_of_base(target, manifest) if trusting else frozenset()
    wanted = list(_wanted(source, manifest, known))
    sizes = _sizes(target, job, {each.owner for each in wanted})
    verdicts: dict[str, dict[str, proof.FileVerdict]] = {}
    missing: list[NeededFile] = []
    for each in wanted:
        if each.owner not in verdicts:
            verdicts[each.owner] = _verdicts(target, job, each.owner)
        verdict = verdicts[each.owner].get(each.file.name)
        is_bad = verdict is not None and not verdict.is_good
        if sizes.get(each.key(job)) != each.file.facts.stored_size or is_bad:
            missing.append(each)
    return CopyPlan(job, manifest.id, is_published, tuple(missing))


def _wanted(source: Store, manifest: Manifest, known: t.Collection[Need]) -> t.Iterator[NeededFile]:
    """Yield the files that a backup needs, but for what is known to be in the target."""
    yield from own_files(source, manifest)
    for need in needs_of(source, manifest):
        if need not in known:
            yield from files_of_need(source, manifest, need)


def _needs_of_base(target: Store, manifest: Manifest) -> frozenset[Need]:
    """Return what the target's copy of the base needs, nothing where it has none that can be read."""
    document = target.get(layout.manifest(manifest.job, manifest.base)) if manifest.base else None
    if document is None:
        return frozenset()
    try:
        return frozenset(needs_of(target, Manifest.from_bytes(document.data, manifest.job, manifest.base)))
    except DamagedError:
        return frozenset()


def copy(
    source: Store,
    target: Store,
    manifest: Manifest,
    identity: Identity,
    wait_s: float = WAIT_S,
    on_wait: t.Callable[[str], None] = lambda _text: None,
    trusting: bool = False,
) -> CopyPlan:
    """Bring a backup into another repository and return what was moved; done again it moves nothing.

    `identity` is the target's; for `trusting` see `plan`. The caller proves the copy afterwards. Raises BusyError,
    DamagedError when a file of the source is not what it was.
    """
    target.discard_abandoned(manifest.job)
    first = plan(source, target, manifest, trusting)
    if first.is_empty:
        return first
    with held(target, manifest.job, identity.signature_window, wait_s, on_wait) as permit:
        data = _same_bytes(source, manifest)
        _has_same(source, target, manifest)  # or refuse before anything is touched
        keyring.bring(source, target, permit)  # or refuse
        if target.encrypted_only:
            _refuse_plain(target, manifest, _wanted(source, manifest, frozenset()))
        _discard_unfinished(source, target, manifest, first)
        _copy_binding(source, target, manifest.job, permit)
        known = _needs_of_base(target, manifest) if trusting else frozenset()  # what a backup needs is in no open plan
        keys = [each.key(manifest.job) for each in _wanted(source, manifest, known)]
        keys.append(layout.data(manifest.job, manifest.id, layout.SUMS))
        deletion_plan.strike(target, manifest.job, keys, permit)
        # Under the lease and after the strike nothing of it can vanish.
        wanted = plan(source, target, manifest, trusting)
        for owner in dict.fromkeys(each.owner for each in wanted.missing):
            names = {each.file.name for each in wanted.missing if each.owner == owner}
            proof.forget(target, manifest.job, owner, names, permit)
        for each in wanted.missing:
            _copy_file(source, target, manifest.job, each, permit)
        _copy_sums(source, target, manifest, permit)
        _publish(source, target, manifest, data, permit)
        reached("copy.published")
        acknowledgement.bring(source, target, manifest.job, permit)
    return wanted


def _refuse_plain(target: Store, manifest: Manifest, files: t.Iterable[NeededFile]) -> None:
    """Raise GuardRefusal (`unencrypted`) for a backup that may not go to a place that is somebody else's.

    The lists of files and needs name no objects, and are never encrypted.
    """
    plain = next((each for each in files if each.file.encryption == NONE and each.file.role not in _LISTS), None)
    if plain is not None:
        raise GuardRefusal(
            "unencrypted",
            f"Cannot copy backup {manifest.id} of {manifest.job} to {target.name}",
            f"{plain.file.name} of {plain.owner} is not encrypted, and this place takes only what is",
            "encrypt the backups of the job, or copy this one to a directory or bucket of your own",
        )


def _discard_unfinished(source: Store, target: Store, manifest: Manifest, planned: CopyPlan) -> None:
    """Drop the uploads of copies that were killed; whoever copies holds the lease, so nobody is at one now.

    Killed was the copy of this backup, or of one that is newer than all the target has and was not brought since. Only
    the newest of those are looked at: filling a new repository must not ask for every backup each time.
    """
    if target.has_locks:
        return  # there an upload is a temporary file, which was dropped already
    job = manifest.job
    there = {layout.id_of(entry.key) for entry in target.entries(layout.manifests(job))}
    newer = {layout.id_of(entry.key) for entry in source.entries(layout.manifests(job))}
    missed = sorted(each for each in newer if each > max(there, default=""))[-_LOOKED_AT:]
    for backup_id in sorted({manifest.id, *missed}):
        with contextlib.suppress(DamagedError):  # such a backup was not copied
            lacking = planned if backup_id == manifest.id else _lacking(source, target, job, backup_id)
            for each in lacking.missing:  # what is there was finished
                target.discard_unfinished(each.key(job))


def _lacking(source: Store, target: Store, job: str, backup_id: str) -> CopyPlan:
    document = source.get(layout.manifest(job, backup_id))
    if document is None:
        return CopyPlan(job, backup_id, False, ())  # removed since it was listed
    return plan(source, target, Manifest.from_bytes(document.data, job, backup_id), trusting=True)


def _sizes(store: Store, job: str, owners: t.Collection[str]) -> dict[str, int]:
    """Return the sizes of what lies in the folders of some backups; many of them are told by one listing."""
    prefixes = [layout.data(job, owner) for owner in sorted(owners)]
    if len(prefixes) > _FOLDERS:
        prefixes = [f"data/{job}/"]
    return {entry.key: entry.size for prefix in prefixes for entry in store.entries(prefix)}


def _verdicts(store: Store, job: str, owner: str) -> dict[str, proof.FileVerdict]:
    return proof.verdicts(proof.records(store, job, owner))


def _copy_binding(source: Store, target: Store, job: str, permit: Permit) -> None:
    """Bind the job in the target as it is in the source.

    Raises GuardRefusal when it is bound to something else there.
    """
    document = source.get(layout.binding(job))
    if document is not None:
        permit()
        binding.bind(target, job, *binding.parsed(document.data, job))


def _copy_file(source: Store, target: Store, job: str, each: NeededFile, permit: Permit) -> None:
    """Write a file in place of what the target may have under its key, once all of it has arrived as it should be.

    In a bucket the upload itself replaces: a request to delete the old object could be held up on its way and remove
    the new one. In a directory the name must be free.
    """
    key = each.key(job)
    wanted = each.file.facts
    upload = target.upload(key, wanted.stored_size, signed_at=permit)
    try:
        moved = store_stream(source.read(key), upload, "none")
        _check(moved, wanted, key, source)
        if target.has_locks:
            target.delete(key, signed_at=permit())
        entry = upload.finish()
    except BaseException:
        upload.abort()
        raise
    if entry.size != wanted.stored_size:
        raise LifeboatError(
            f"Cannot copy {key} to {target.name}", f"{entry.size} bytes arrived of {wanted.stored_size}"
        )


def _check(moved: StreamFacts, wanted: StreamFacts, key: str, source: Store) -> None:
    if (moved.stored_size, moved.stored_sha256) != (wanted.stored_size, wanted.stored_sha256):
        raise DamagedError(
            f"Cannot copy {key} from {source.name}",
            "its bytes are not those that the backup wrote",
            "copy from another repository, and verify this one",
        )


def _copy_sums(source: Store, target: Store, manifest: Manifest, permit: Permit) -> None:
    key = layout.data(manifest.job, manifest.id, layout.SUMS)
    document = source.get(key)
    if document is not None:
        with contextlib.suppress(ExistsError):
            target.put_new(key, document.data, signed_at=permit())


def _publish(source: Store, target: Store, manifest: Manifest, data: bytes, permit: Permit) -> None:
    key = layout.manifest(manifest.job, manifest.id)
    found = _oldest(target, key)
    if found is not None and found.data != data and _is_damaged(found.data, manifest):
        remove_all(target, key, permit)  # nothing can be read from it, and it would be in the way
    try:
        target.put_new(key, data, signed_at=permit())
    except ExistsError:
        if not _has_same(source, target, manifest):
            raise


def _has_same(source: Store, target: Store, manifest: Manifest) -> bool:
    """Say whether the target has this manifest, whole. Raises LifeboatError when it has another one under its id."""
    found = _oldest(target, layout.manifest(manifest.job, manifest.id))
    if found is None or found.data == manifest.to_bytes():
        return found is not None
    if _is_damaged(found.data, manifest):
        return False
    raise LifeboatError(
        f"Cannot copy backup {manifest.id} of {manifest.job} to {target.name}",
        "there is another manifest under this id",
        f"compare it with that in {source.name}; one of the two repositories was tampered with",
    )


def _is_damaged(data: bytes, manifest: Manifest) -> bool:
    """Say whether a document is none, or was changed by accident: of what somebody else wrote the digest is right.

    One of a newer format is not damaged: only this code cannot read it.
    """
    try:
        json_document.decoded(data, manifest.id)
    except json_document.NewerFormatError:
        return False
    except DamagedError:
        return True
    return False


def _oldest(store: Store, key: str) -> Document | None:
    """Return the version of a manifest that counts (docs/protocol.md, rule 11), also where a delete marker hides it."""
    versions = [v for v in store.versions(key) if v.entry.key == key and not v.is_delete_marker]
    if not versions:
        return None
    return store.get(key, versions[-1].entry.version_id if len(versions) > 1 or not versions[0].is_latest else "")


def _same_bytes(source: Store, manifest: Manifest) -> bytes:
    """Return the oldest version of the manifest as it is stored: a copy is the same bytes."""
    key = layout.manifest(manifest.job, manifest.id)
    document = _oldest(source, key)
    if document is None or document.data != manifest.to_bytes():
        raise DamagedError(f"Cannot copy {key} from {source.name}", "it was removed or replaced meanwhile")
    return document.data
