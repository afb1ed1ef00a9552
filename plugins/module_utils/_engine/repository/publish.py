# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..stream import encryption
from ..stream.compression import SUFFIXES
from ..stream.framed import FramedStream
from ..stream.pipeline import StreamFacts, store_stream
from ..stream.stage import Stage
from . import keys, layout
from .intent import Intent, LiveIntent, host_name, machine_id
from .manifest import WARNINGS, Manifest, Need, StoredFile, TakenFile, file_list, need_list, sums
from .store import Entry, ExistsError, ExpiredError, Store, UnavailableError, Upload

_PAUSES_S = (0, 1, 5, 20, 60)  # before each attempt to publish: servers that restart must not cost a backup
PACK = "pack"  # role of stored files that have a number, which is that of their line in files.jsonl


class PublishError(LifeboatError):
    """The manifest could not be published; there is no new backup."""


class BaseGoneError(PublishError):
    """The backup that this run builds on was removed meanwhile: start over under a new id."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a manifest says beyond the files."""

    kind: str
    versions: t.Mapping[str, str]
    source: t.Mapping[str, t.Any]
    statistics: t.Mapping[str, t.Any]
    warnings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    taken_over: tuple[TakenFile, ...] = ()  # stored files of earlier backups; the run's needs name them


class FramedFile:
    """A stored file that a run writes frame by frame. One thread at a time may call its methods.

    After a failure of any method, and after `abort`, nothing is left of it.
    """

    def __init__(
        self, upload: Upload, stream: FramedStream, accept: t.Callable[[StreamFacts, Entry], StoredFile]
    ) -> None:
        self._upload = upload
        self._stream = stream
        self._accept = accept

    @property
    def size(self) -> int:
        """Return the compressed bytes so far: the offset of the next frame."""
        return self._stream.size

    @property
    def plain_size(self) -> int:
        """Return the plain bytes so far."""
        return self._stream.plain_size

    def add(self, plain: bytes) -> tuple[int, int]:
        """Write one frame of plain bytes; return its offset and length in compressed bytes."""
        with self._dropped_on_failure():
            return self._stream.add(plain)

    def add_frame(self, frame: bytes, plain_size: int) -> int:
        """Write one frame that `compression.block_compressor` has made, and return its offset; only in packs."""
        with self._dropped_on_failure():
            return self._stream.add_frame(frame, plain_size)

    def finish(self) -> StoredFile:
        """Make the file durable and part of the run. Raises PublishError when the store has another size."""
        with self._dropped_on_failure():
            return self._accept(self._stream.finish(), self._upload.finish())

    def abort(self) -> None:
        """Drop what was written; never raises, and does nothing after `finish`."""
        self._stream.abort()
        self._upload.abort()

    @contextlib.contextmanager
    def _dropped_on_failure(self) -> t.Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise


class Run:
    """One run of a job into one repository, from its intent to its manifest (docs/protocol.md, "A run").

    Under one id only: a run that moves on to another repository, or whose base has gone, starts over with a new `Run`.
    """

    def __init__(self, store: Store, job: str, base: str = "") -> None:
        """Write the intent. Raises BaseGoneError when the base was removed before the intent could protect it."""
        self.store = store
        self.job = layout.checked_job(job)
        self.base = base
        self._keys = store.keys
        if self._keys is not None:
            encryption.require_library()
        self.started = store.now()
        self.id = clock.new_backup_id(self.started)
        self._packs: dict[int, StoredFile] = {}  # by number
        self._others: list[StoredFile] = []
        self._manifest_was_sent = False
        self._intent = LiveIntent(store, Intent(job, self.id, base, host_name(), machine_id()))
        try:
            self._check_base()
        except BaseException:
            self.abandon()
            raise

    def store_file(
        self, name: str, role: str, chunks: t.Iterable[bytes], compression: str, estimate: int = 0
    ) -> StoredFile:
        """Write a stored file from plain chunks; `estimate` is its expected plain size in bytes, 0 for unknown."""
        full_name, stages = self._encrypted(name + SUFFIXES[compression])
        upload = self.store.upload(layout.data(self.job, self.id, full_name), estimate)
        try:
            facts = store_stream(chunks, upload, compression, self._intent.keep_alive, stages)
            entry = upload.finish()
        except BaseException:
            upload.abort()
            raise
        return self._accept(full_name, role, None, facts, entry)

    def open_file(
        self, name: str, role: str, compression: str, estimate: int = 0, number: int | None = None
    ) -> FramedFile:
        """Begin a stored file that is written frame by frame; several may be open at once.

        Packs have a `number`, which becomes that of their line in `files.jsonl`; an aborted pack gives its number back.
        `estimate` is the expected plain size in bytes, 0 for unknown. Whoever opens a file finishes or aborts it.
        """
        if (role == PACK) != (number is not None):
            raise ValueError("packs have a number, and nothing else has")
        full_name, stages = self._encrypted(name + SUFFIXES[compression])
        upload = self.store.upload(layout.data(self.job, self.id, full_name), estimate)
        try:
            stream = FramedStream(upload, compression, self._intent.keep_alive, stages, has_plain_digest=role != PACK)
        except BaseException:
            upload.abort()
            raise
        return FramedFile(upload, stream, functools.partial(self._accept, full_name, role, number))

    def _encrypted(self, name: str) -> tuple[str, tuple[Stage, ...]]:
        """Return the name of a data file, and what encrypts it; nothing where the store has no keys."""
        if self._keys is None:
            return layout.checked_file_name(name), ()
        full_name = layout.checked_file_name(name + encryption.SUFFIX)
        return full_name, (self._keys.encrypting(self.job, self.id, full_name),)

    def _accept(self, name: str, role: str, number: int | None, facts: StreamFacts, entry: Entry) -> StoredFile:
        if entry.size != facts.stored_size:
            raise PublishError(
                f"Cannot store {name} in {self.store.name}",
                f"{facts.stored_size} bytes were sent and {entry.size} are there",
                "run the job again",
            )
        file = StoredFile(name, role, facts, keys.NONE if self._keys is None else self._keys.encryption)
        if number is None:
            self._others.append(file)
        elif self._packs.setdefault(number, file) is not file:
            raise ValueError(f"there are two packs of number {number}")
        return file

    @property
    def files(self) -> list[StoredFile]:
        """Return the data files so far, in the order of `files.jsonl`: packs by number, then the others."""
        return [*(self._packs[number] for number in sorted(self._packs)), *self._others]

    def number_of(self, file: StoredFile) -> int:
        """Return the number of a data file in `files.jsonl`; to be asked when all packs are finished."""
        return self.files.index(file)

    @property
    def plain_bytes(self) -> int:
        return sum(file.facts.plain_size for file in self.files)

    @property
    def stored_bytes(self) -> int:
        return sum(file.facts.stored_size for file in self.files)

    def publish(self, contents: Contents, needs: t.Sequence[Need] = ()) -> Manifest:
        """Write the lists and then the manifest.

        From then on the backup exists. Raises PublishError, IntentLostError.
        """
        contents = self._without_names(contents)
        data_files = self.files
        if sorted(self._packs) != list(range(len(self._packs))):
            raise ValueError("a pack is missing: locations would name other files")
        lists = [
            self._store_list(layout.FILES, "files", file_list(data_files)),
            self._store_list(layout.NEEDS, "needs", need_list(needs)),
        ]
        finished = self.store.now()  # not later: from the last file on, only `_send` asks anything, and it is patient
        self.store.put(layout.data(self.job, self.id, layout.SUMS), sums([*data_files, *lists]))
        manifest = Manifest(
            id=self.id,
            job=self.job,
            base=self.base,
            started=self.started,
            finished=finished,
            host=host_name(),
            files=tuple(file for file in [*data_files, *lists] if file.role != PACK),
            **{field.name: getattr(contents, field.name) for field in dataclasses.fields(contents)},
        ).signed(self._keys)
        self._send(manifest)
        return manifest

    def _without_names(self, contents: Contents) -> Contents:
        """Move the warnings, which may name tables or objects, into a stored file where these are encrypted."""
        if self._keys is None or not contents.warnings:
            return contents
        data = json.dumps(list(contents.warnings)).encode("ascii")
        file = self.store_file(f"{WARNINGS}.json", WARNINGS, [data], "none", len(data))
        return dataclasses.replace(contents, warnings=(f"{len(contents.warnings)} warnings are in {file.name}",))

    def close(self) -> None:
        """End a run that has published, or has sent nothing: the intent goes; if it cannot now, it dies in a week."""
        with contextlib.suppress(LifeboatError):
            self._intent.remove()

    def abandon(self) -> None:
        """End a run that failed. Its files become garbage; where its manifest was ever sent, nothing is removed."""
        if not self._manifest_was_sent:
            self.close()

    def _store_list(self, name: str, role: str, data: bytes) -> StoredFile:
        upload = self.store.upload(layout.data(self.job, self.id, name), len(data))
        try:
            facts = store_stream([data], upload, "none")
            upload.finish()
        except BaseException:
            upload.abort()
            raise
        return StoredFile(name, role, facts)

    def _check_base(self) -> None:
        if self.base and self.store.stat(layout.manifest(self.job, self.base)) is None:
            raise BaseGoneError(
                f"Cannot build on backup {self.base} of {self.job}",
                f"it was removed from {self.store.name} meanwhile",
                "the run starts over with another base",
            )

    def _send(self, manifest: Manifest) -> None:
        key = layout.manifest(self.job, self.id)
        data = manifest.to_bytes()
        cause = ""
        for pause_s in _PAUSES_S:
            clock.sleep(pause_s)
            try:
                with self.store.shared_lock(self.job):
                    self._check_and_put(key, data)
                return
            except (ExpiredError, UnavailableError) as error:
                cause = error.cause or error.problem
        raise PublishError(
            f"Cannot publish backup {self.id} of {self.job} in {self.store.name}", cause, "run the job again"
        )

    def _check_and_put(self, key: str, data: bytes) -> None:
        moment = self.store.now()  # before the checks: a freeze after them makes the server refuse the request
        self._intent.check()
        self._check_base()
        self._manifest_was_sent = True
        try:
            self.store.put_new(key, data, signed_at=moment)
        except ExistsError:
            self._accept_own(key, data)

    def _accept_own(self, key: str, data: bytes) -> None:
        found = self.store.get(key)
        if found is None or found.data != data:
            raise PublishError(
                f"Cannot publish backup {self.id} of {self.job} in {self.store.name}",
                "there is another manifest under this id",
                "find out who writes into this repository; run the job again",
            )
