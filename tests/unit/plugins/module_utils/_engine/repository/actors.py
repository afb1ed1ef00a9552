# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What simulated processes do with the engine: back up, prove, copy, restore."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    binding,
    catalog,
    copy,
    identity,
    layout,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    Need,
    parse_file_list,
    parse_need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import (
    BaseGoneError,
    Contents,
    PublishError,
    Run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Store,
    UnavailableError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import Place
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    Violation,
)

JOB = "lab"
KIND = "pg_database"
SOURCE = {"system_identifier": "7431", "database": "lab"}
CONTENTS = Contents(KIND, {"lifeboat": "1.0.0"}, {"database": "lab"}, {"plain_bytes": 3})
RESTORE_TIME = dt.timedelta(hours=24)  # a restore that takes no longer succeeds whatever is removed meanwhile
_STARTS = 4  # of a run whose base goes again and again


@dataclasses.dataclass
class BackUpResult:
    """What a run achieved."""

    id: str
    place: str  # name of the repository that it was written to
    problems: list[str]  # why it is not in every repository


def initialise(place: Place) -> None:
    """Make a repository of a place, as the module does; no simulated process is involved."""
    store = place.store()
    found = identity.Identity("6f0c1a1e-7b2c-4a86-9f0e-1d2c3b4a5f60", store.now(), True, place.window)
    store.put_new(layout.IDENTITY, found.to_bytes())


def back_up(
    process: Process,
    places: t.Sequence[Place],
    pauses: t.Sequence[dt.timedelta] = (),
    shares: bool = True,
    packs: int = 1,
) -> BackUpResult:
    """Do one run: write to the first repository that works, prove, copy to the others.

    `pauses` is how long the source takes before each chunk; with `shares` the run needs packs of its base.
    """
    problems: list[str] = []
    for place in places:
        try:
            run, manifest = _write(process, place.store(process), pauses, shares, packs)
        except (UnavailableError, PublishError) as error:
            problems.append(f"{place.name}: {error.problem}: {error.cause}")
            continue
        prove(run.store, manifest)
        run.close()
        for other in places:
            if other is not place:
                try:
                    copy_in(process, place, other, manifest.id)
                except LifeboatError as error:
                    problems.append(f"{other.name}: {error.problem}: {error.cause}")
        return BackUpResult(manifest.id, place.name, problems)
    raise LifeboatError("Cannot back up", "; ".join(problems))


def _write(
    process: Process, store: Store, pauses: t.Sequence[dt.timedelta], shares: bool, packs: int
) -> tuple[Run, Manifest]:
    identity.require(store)
    binding.bind(store, JOB, KIND, SOURCE)
    for _start in range(_STARTS):
        base = choose_base(store) if shares else None
        try:
            run = Run(store, JOB, base.id if base else "")
        except BaseGoneError:
            continue
        try:
            unique = f"{process.name} {run.id}"
            run.store_file("dump", "dump", _chunks(process, unique, pauses), "none")
            for number in range(packs):
                run.store_file(f"pack-{number}", "pack", [f"{unique} pack {number}".encode()], "none")
            return run, run.publish(CONTENTS, _needs(process, store, base) if base else ())
        except BaseGoneError:
            run.abandon()
        except BaseException:
            run.abandon()
            raise
    raise PublishError(f"Cannot back up {JOB}", "its base goes again and again")


def choose_base(store: Store) -> Manifest | None:
    """Return the newest backup of which no stored file failed (rule 1)."""
    usable = [backup.manifest for backup in catalog.backups(store, JOB) if not backup.has_failed]
    return usable[-1] if usable else None


def _chunks(process: Process, unique: str, pauses: t.Sequence[dt.timedelta]) -> t.Iterator[bytes]:
    for number, pause in enumerate(pauses):
        process.world.sleep(pause.total_seconds())
        yield f"{unique} chunk {number}".encode()
    yield b"end"


def _needs(process: Process, store: Store, base: Manifest) -> list[Need]:
    """Return needs of packs: all of the base's own, and most of those that it needs itself."""
    key = layout.data(JOB, base.id, layout.FILES)
    listed = parse_file_list(b"".join(store.read(key)), key)
    numbers = [number for number, file in enumerate(listed) if file.role == "pack"]
    own = Need(base.id, base.file("files").facts.stored_sha256, tuple((number, number) for number in numbers))
    earlier = parse_need_list(b"".join(store.read(layout.data(JOB, base.id, layout.NEEDS))), "needs")
    return [own, *(need for need in earlier if process.world.random.random() < 0.7)]


def prove(store: Store, manifest: Manifest) -> None:
    """Read every stored file back and record the verdicts. Raises DamagedError when one is bad."""
    moment = store.now()
    verdicts: dict[str, list[proof.FileVerdict]] = {}
    for each in needed_files(store, manifest):
        problem = problem_of(store, each.key(JOB), each.file.facts.stored_sha256)
        verdict = proof.FileVerdict(each.file.name, each.file.facts.stored_sha256, not problem, problem)
        verdicts.setdefault(each.owner, []).append(verdict)
    for owner, found in verdicts.items():
        proof.write(store, proof.ProofRecord(JOB, owner, "content", moment, "host", tuple(found)))
    bad = [f"{owner}: {v.name}: {v.problem}" for owner, found in verdicts.items() for v in found if not v.is_good]
    if bad:
        raise DamagedError(f"Cannot prove {manifest.id}", "; ".join(bad))


def problem_of(store: Store, key: str, sha256: str) -> str:
    """Read a stored file, and say what is wrong with it."""
    try:
        data = b"".join(store.read(key))
    except DamagedError as error:
        return error.cause
    return "" if hashlib.sha256(data).hexdigest() == sha256 else "other bytes"


def copy_in(process: Process, source: Place, target: Place, backup_id: str) -> None:
    """Copy a backup and prove the copy."""
    store = target.store(process)
    manifest = manifest_of(source.store(process), backup_id)
    copy.copy(source.store(process), store, manifest, identity.require(store))
    prove(store, manifest)


def manifest_of(store: Store, backup_id: str) -> Manifest:
    """Return a manifest. Raises DamagedError when there is none."""
    backup = catalog.find(store, JOB, backup_id)
    if backup is None or backup.manifest is None:
        raise DamagedError(f"Cannot find {backup_id} in {store.name}", "it is gone")
    return backup.manifest


def verify(process: Process, place: Place) -> None:
    """Prove every backup of a repository."""
    store = place.store(process)
    for backup in catalog.backups(store, JOB, with_proof=False):
        if backup.manifest is not None:
            prove(store, backup.manifest)


def restore(process: Process, place: Place, backup_id: str = "", pause: dt.timedelta = dt.timedelta(0)) -> int:
    """Restore a proved backup (the newest, or the named one), and return the number of its files.

    `pause` passes before each file. Raises Violation when a file has gone or changed although a day has not passed.
    """
    store = place.store(process)
    wanted = backup_id or "latest_good"
    manifest = catalog.choose(catalog.backups(store, JOB), wanted, JOB, place.name).manifest
    if manifest is None:
        raise Violation(f"{wanted} of {place.name} is good, and has no readable manifest")
    begun = process.world.now
    read = 0
    try:
        for each in needed_files(store, manifest):
            process.world.sleep(pause.total_seconds())
            problem = problem_of(store, each.key(JOB), each.file.facts.stored_sha256)
            if problem:
                raise DamagedError(f"Cannot restore {each.key(JOB)}", problem)
            read += 1
    except DamagedError as error:
        took = process.world.now - begun
        if took <= RESTORE_TIME:
            raise Violation(f"the restore of {manifest.id} from {place.name} failed after {took}: {error}") from error
        raise
    return read
