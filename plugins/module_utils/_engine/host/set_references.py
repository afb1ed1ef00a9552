# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the objects that a database speaks of are in the backup of the same recovery point."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..errors import DamagedError, LifeboatError
from ..objects.restore_plan import printable
from ..objects.rows import order
from ..postgres.connection import Server, connect
from ..repository import catalog
from ..repository.store import StoreError
from .candidates import Candidate
from .objects_copy import StoredCopy
from .place import Place
from .set_settings import ReferenceSettings

_AT_ONCE = 10_000  # keys that are fetched from the database by one request
SHOWN = 20  # missing keys that results name
# Bytes sort as the rows of an index do.
_KEYS = """DECLARE lifeboat_keys NO SCROLL CURSOR FOR
SELECT pg_catalog.convert_to(found.key, 'UTF8') FROM (SELECT DISTINCT each.key::text FROM (
{query}
) AS each (key)) AS found (key) WHERE found.key OPERATOR(pg_catalog.<>) '' ORDER BY 1"""


@dataclasses.dataclass(frozen=True)
class Compared:
    """What a comparison found."""

    keys: int
    missing: int
    sample: tuple[str, ...]  # of the missing keys


def collect(server: Server, database: str, query: str, file: t.IO[bytes]) -> int:
    """Write the keys that a query returns to a file, one JSON text per line in the order of their bytes, and return how
    many there are.

    The query cannot change anything. Memory does not grow with their number. Raises LifeboatError.
    """
    count = 0
    with connect(server, database, keeps_search_path=True) as session, session.transaction():
        session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        session.run(_KEYS.format(query=query.rstrip().rstrip(";")))
        while True:
            rows = session.rows(f"FETCH {_AT_ONCE} FROM lifeboat_keys")
            if not rows:
                break
            keys = (bytes(key).decode("utf-8", "surrogateescape") for (key,) in rows)
            file.write(b"".join(_line(key) for key in keys))
            count += len(rows)
    file.flush()
    return count


def compare(
    wanted: ReferenceSettings, job: str, backup_id: str, places: t.Sequence[Place], keys: t.IO[bytes], lack: t.IO[bytes]
) -> Compared:
    """Compare collected keys with the index of a backup; what it does not have goes to `lack`, a JSON text per line.

    The first of the `places` whose copy of the backup can be read is asked. Raises LifeboatError when none can.
    """
    problems = []
    for place in places:
        keys.seek(0)
        lack.seek(0)
        lack.truncate()
        try:
            return _compared(wanted, job, backup_id, place, keys, lack)
        except (DamagedError, StoreError) as error:
            problems.append(f"{place.name}: {error.summary}")
    raise LifeboatError(f"Cannot read the index of backup {backup_id} of {job}", "; ".join(problems))


def _compared(
    wanted: ReferenceSettings, job: str, backup_id: str, place: Place, keys: t.IO[bytes], lack: t.IO[bytes]
) -> Compared:
    found = catalog.find(place.store, job, backup_id, with_proof=False)
    if found is None or found.manifest is None:
        raise DamagedError(f"Cannot use backup {backup_id} of {job}", "it is not there, or its manifest is damaged")
    copy = StoredCopy(Candidate(place, found))
    collection = _collection(wanted, copy)
    rows = copy.rows(collection, wanted.prefix) if collection else iter(())
    sample: list[str] = []
    total = count = 0
    for key, is_there in held(read_keys(keys, wanted.prefix), (row.key for row in rows)):
        total += 1
        if is_there:
            continue
        count += 1
        lack.write(_line(key))
        if len(sample) < SHOWN:
            sample.append(printable(key))
    lack.flush()
    return Compared(total, count, tuple(sample))


def held(keys: t.Iterable[str], rows: t.Iterable[str]) -> t.Iterator[tuple[str, bool]]:
    """Yield each key with whether it is among the `rows`; both come in the order of their bytes."""
    others = iter(rows)
    other = next(others, None)
    for key in keys:
        while other is not None and order(other) < order(key):
            other = next(others, None)
        yield key, other == key


def read_keys(file: t.IO[bytes], prefix: str = "") -> t.Iterator[str]:
    """Yield the keys that `collect` or `compare` wrote, from the beginning, each with `prefix` before it."""
    file.seek(0)
    for line in file:
        yield prefix + json.loads(line)


def _collection(wanted: ReferenceSettings, copy: StoredCopy) -> str:
    """Return where the keys are to be; nothing where the backup has no object at all. Raises LifeboatError."""
    names = copy.collections()
    if wanted.collection or len(names) < 2:
        return wanted.collection or "".join(names)
    raise LifeboatError(
        f"Cannot check reference {wanted.name}",
        f"the backup of {wanted.objects} has {len(names)} buckets or roots",
        f"name one of them as its collection: {', '.join(names[:5])}",
    )


def _line(key: str) -> bytes:
    return json.dumps(key).encode("ascii") + b"\n"
