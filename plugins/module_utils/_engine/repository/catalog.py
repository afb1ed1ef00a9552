# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import itertools
import typing as t

from .. import clock
from ..errors import DamagedError, GuardRefusal, LifeboatError, UsageError
from . import acknowledgement, layout, proof, signing
from .catalog_reading import CatalogReading
from .judged import Judged
from .manifest import Manifest, read
from .memory import no_search_for_cycles
from .recall import Recall
from .standings import Standings
from .store import Store, Version
from .stored_files import is_self_contained

_READERS = 8  # requests at once
_SHARES = 4 * _READERS
_UNKNOWN = proof.Standing(False, (), None)


@dataclasses.dataclass(frozen=True)
class Backup:
    """One backup as one repository has it."""

    job: str
    id: str
    manifest: Manifest | None  # None when it cannot be read
    standing: proof.Standing
    alarms: tuple[str, ...] = ()  # manifest overwritten or hidden, damaged …
    acknowledged: str = ""  # id up to which somebody has acknowledged the backups of this job here
    signature: str = signing.NOT_CHECKED  # what that of the manifest is worth
    is_usable: bool = True  # it may be restored when it is named by its id: authentic, or nobody insists on that

    @property
    def is_good(self) -> bool:
        """Proved, readable, authentic, and nobody has touched it."""
        return self.standing.is_proved and self.is_sound

    @property
    def is_authentic(self) -> bool:
        """Say whether it is from who has the keys, as far as that is asked: others are listed, and never chosen."""
        return signing.counts(self.signature)

    @property
    def is_sound(self) -> bool:
        """Say whether its manifest can be relied on: readable, authentic, and not tampered with."""
        return self.manifest is not None and self.is_authentic and not self.alarms

    @property
    def is_vouched(self) -> bool:
        """Good by the records that count alone; without keys this is the same."""
        return self.standing.is_vouched and self.is_sound

    @property
    def is_claimed(self) -> bool:
        """Good if nobody asked for signatures; without keys this is the same."""
        return self.manifest is not None and self.standing.is_claimed and not self.alarms

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the alarms, and why it is not believed to be authentic."""
        words = "" if self.signature == signing.WRONG else signing.words(self.signature)
        return (*self.alarms, words) if words else self.alarms

    @property
    def is_flagged(self) -> bool:
        """Say whether a guard doubts what the backup holds, and nobody has acknowledged it."""
        return self.manifest is not None and bool(self.manifest.flags) and self.id > self.acknowledged

    @property
    def is_trusted(self) -> bool:
        """Say whether `latest_good` may mean it: good, and not flagged."""
        return self.is_good and not self.is_flagged

    @property
    def has_failed(self) -> bool:
        """Say whether a stored file did not read back, or the manifest does not."""
        return self.manifest is None or bool(self.standing.problems)


def jobs(store: Store) -> list[str]:
    """Return the names of the jobs that ever ran into this repository."""
    bound = (entry.key[len(layout.JOBS) : -len(".json")] for entry in store.entries(layout.JOBS))
    return sorted(bound)


@no_search_for_cycles()
def backups(store: Store, job: str, with_proof: bool = True, recall: Recall | None = None) -> list[Backup]:
    """Return the backups of a job, oldest first (ids begin with the repository's time).

    With `recall`, what it knows and the listings show to be unchanged is not read again: for looking only.
    """
    prefix = layout.manifests(layout.checked_job(job))
    store = CatalogReading(store, job, with_proof, recall)
    before = {key: _believed(store, job, each) for key, each in store.judged().items()}
    listing = itertools.groupby(store.versions(prefix), key=lambda version: version.entry.key)
    found = [(key, list(group)) for key, group in listing if key not in before and key.endswith(".json")]
    standings = Standings(store, job) if with_proof else None
    with concurrent.futures.ThreadPoolExecutor(_readers(store, job, found), "catalog") as pool:
        shares = [found[number::_SHARES] for number in range(_SHARES)]  # a task of its own costs more than most rows
        rows = pool.map(lambda share: [_backup(store, job, key, each, standings) for key, each in share], shares)
        known = [row for part in rows for row in part if row is not None]
    known = sorted((*before.values(), *known), key=lambda backup: backup.id)
    return _with_acknowledgement(store, job, known)


def _believed(store: Store, job: str, judged: Judged) -> Backup:
    """Return a backup that was judged before: of those with alarms nothing is kept."""
    is_usable = signing.counts(judged.signature) or store.allow_unsigned
    manifest, signature, standing = judged
    return Backup(job, manifest.id, manifest, standing, signature=signature, is_usable=is_usable)


def _readers(store: Store, job: str, found: t.Sequence[tuple[str, list[Version]]]) -> int:
    """Return how many threads judge backups fastest: only those that need files of others have to wait for some."""
    written_once = (each for each in reversed(found) if len(each[1]) == 1)  # others are asked for one by one
    newest = next((_backup(store, job, *each, standings=None) for each in written_once), None)
    try:
        has_all = newest is None or newest.manifest is None or is_self_contained(newest.manifest)
    except DamagedError:
        has_all = True
    return 1 if has_all else _READERS


def find(store: Store, job: str, backup_id: str, with_proof: bool = True) -> Backup | None:
    """Return one backup by its id, or None when the repository does not have it."""
    key = layout.manifest(layout.checked_job(job), layout.checked_id(backup_id))
    versions = [version for version in store.versions(key) if version.entry.key == key]
    found = _backup(store, job, key, versions, Standings(store, job) if with_proof else None) if versions else None
    return _with_acknowledgement(store, job, [found])[0] if found else None


def _with_acknowledgement(store: Store, job: str, found: list[Backup]) -> list[Backup]:
    """Tell flagged backups up to which id somebody has acknowledged them; without flags nobody is asked."""
    if not any(backup.is_flagged for backup in found):
        return found
    newest = acknowledgement.newest(store, job)
    return [dataclasses.replace(backup, acknowledged=newest) for backup in found]


def choose(found: t.Sequence[Backup], wanted: str, job: str, where: str, stores: t.Sequence[Store] = ()) -> Backup:
    """Return the backup that an operator means: an id, `latest`, or `latest_good`.

    The last is the newest one that is proved, that nobody has touched and no guard doubts. What is not authentic is
    never meant but by its id. `stores` are asked for their clocks where a backup seems to be of the future. Raises
    LifeboatError that says what there is instead, GuardRefusal (`unsigned`).
    """
    if wanted not in ("latest", "latest_good"):
        layout.checked_id(wanted)
    candidates = [
        backup
        for backup in found
        if (wanted == "latest" and backup.is_authentic)
        or backup.id == wanted
        or (wanted == "latest_good" and backup.is_trusted)
    ]
    if candidates:
        order = age_order([backup.id for backup in candidates], stores)
        newest = max(candidates, key=lambda backup: order(backup.id))
        require_usable([newest], job)
        return newest
    raise LifeboatError(
        f"Cannot find backup {wanted} of {job} in {where}",
        f"{len(found)} backups are there, {sum(backup.is_good for backup in found)} of them proved"
        + flagged_words(sum(backup.is_flagged for backup in found)),
        "look at the list of backups, verify them so that they are proved, or acknowledge those that are flagged",
    )


def require_usable(found: t.Sequence[Backup], job: str) -> None:
    """Raise GuardRefusal where copies of a backup are there, and none of them is authentic (`unsigned`)."""
    if found and not any(backup.is_usable for backup in found):
        is_wrong = any(backup.signature == signing.WRONG for backup in found)
        remedy = "find out who changed it; take another backup, or a copy in another repository"
        if not is_wrong:
            remedy = "take a signed one; if you know who made this one, say allow_unsigned with its repository"
        raise GuardRefusal(
            "unsigned",
            f"Cannot trust backup {found[0].id} of {job}",
            "; ".join(dict.fromkeys(signing.words(backup.signature) for backup in found)),
            remedy,
        )


def flagged_words(count: int) -> str:
    """Return how many backups are flagged, to be added to a count of others; nothing for none."""
    return f", {count} flagged" if count else ""


def _backup(
    store: Store, job: str, key: str, versions: t.Sequence[Version], standings: Standings | None
) -> Backup | None:
    backup_id = layout.id_of(key)
    real = [version for version in versions if not version.is_delete_marker]
    if not real or not clock.is_backup_id(backup_id):
        return None
    alarms = _alarms(versions, real)
    oldest = real[-1].entry.version_id if alarms else ""
    try:
        document = store.get(key, oldest)
        if document is None:
            return None  # removed since it was listed
        manifest, signature = read(document.data, job, backup_id, store.keys)
    except (DamagedError, UsageError) as error:
        return Backup(job, backup_id, None, _UNKNOWN, (*alarms, error.cause))
    if signature == signing.WRONG:
        alarms = (*alarms, "the manifest, or its signature, was changed")
    standing = _UNKNOWN if standings is None else standings.of(manifest)
    if isinstance(store, CatalogReading) and not alarms:
        store.keep(manifest, signature)
    is_usable = signing.counts(signature) or (signature != signing.WRONG and store.allow_unsigned)
    return Backup(job, backup_id, manifest, standing, alarms, signature=signature, is_usable=is_usable)


def _alarms(versions: t.Sequence[Version], real: t.Sequence[Version]) -> tuple[str, ...]:
    """Say what was done to a manifest after it was written.

    It is written once, and only removed with all its versions.
    """
    alarms = []
    if len(real) > 1:
        alarms.append(f"the manifest was written {len(real)} times; the oldest counts")
    if len(versions) > len(real):
        alarms.append("the manifest is hidden by a delete marker")
    return tuple(alarms)


@dataclasses.dataclass(frozen=True)
class MergedBackup:
    """A backup with all its copies."""

    job: str
    id: str
    manifest: Manifest | None
    copies: tuple[tuple[str, Backup], ...]  # name of the repository, the backup there

    @property
    def is_proved(self) -> bool:
        return any(backup.is_good for _name, backup in self.copies)

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the names of the repositories whose manifests can be read, if these are not all the same."""
        found = [(name, backup.manifest) for name, backup in self.copies if backup.manifest is not None]
        is_one = all(manifest == found[0][1] for _name, manifest in found)
        return () if is_one else tuple(name for name, _manifest in found)

    @property
    def is_trusted(self) -> bool:
        return any(backup.is_trusted for _name, backup in self.copies)

    @property
    def is_authentic(self) -> bool:
        return any(backup.is_authentic for _name, backup in self.copies)

    @property
    def is_flagged(self) -> bool:
        """Say whether it is flagged, and not acknowledged in any repository."""
        if not any(backup.is_flagged for _name, backup in self.copies):
            return False
        readable = [backup for _name, backup in self.copies if backup.manifest is not None]
        readable = [backup for backup in readable if backup.is_authentic] or readable
        return bool(readable) and all(backup.is_flagged for backup in readable)


def merged(found: t.Mapping[str, t.Sequence[Backup]]) -> list[MergedBackup]:
    """Join the catalogs of several repositories (their names → their backups) into one, oldest first."""
    by_id: dict[tuple[str, str], list[tuple[str, Backup]]] = {}
    for name, each in found.items():
        for backup in each:
            by_id.setdefault((backup.id, backup.job), []).append((name, backup))
    rows = []
    for (backup_id, job), copies in sorted(by_id.items()):
        believed = sorted(copies, key=lambda copy: not copy[1].is_authentic)
        manifest = next((backup.manifest for _name, backup in believed if backup.manifest is not None), None)
        rows.append(MergedBackup(job, backup_id, manifest, tuple(copies)))
    return rows


def of_the_future(ids: t.Iterable[str], stores: t.Iterable[Store] = ()) -> frozenset[str]:
    """Return the ids that are later than this host's clock and those of the repositories, by more than they may be.

    A clock was ahead when these backups or points began. Repositories are asked only where an id is later than here.
    """
    moment = clock.now()
    found = {each for each in ids if _is_later(each, moment)}
    for store in stores if found else ():
        with contextlib.suppress(LifeboatError):
            moment = max(moment, store.now())
    return frozenset(each for each in found if _is_later(each, moment))


def age_order(ids: t.Collection[str], stores: t.Iterable[Store] = ()) -> t.Callable[[str], tuple[bool, str]]:
    """Return the key that sorts ids from the oldest to the newest; those of the future count as older than all others.

    Else one that began while a clock was ahead would be the newest one until its date comes, and nothing that is done
    since would ever be meant by that.
    """
    future = of_the_future(ids, stores)
    return lambda each: (each not in future, each)


def _is_later(backup_id: str, moment: dt.datetime) -> bool:
    try:
        return clock.from_backup_id(backup_id) > moment + clock.AHEAD
    except ValueError:
        return False  # it tells no time that there is
