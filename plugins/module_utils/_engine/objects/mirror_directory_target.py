# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import contextlib
import errno
import os
import stat
import threading
import typing as t

from .. import clock
from ..s3.object_properties import ObjectProperties
from . import file_properties as fp
from .directory_notes import DirectoryNotes
from .mirror_copy import parts_of
from .mirror_directory import DirectorySide, explained, is_path
from .mirror_guards import Location
from .mirror_plan import SAMPLE, Verdict
from .mirror_sides import QUARANTINE, MirrorSource, Subject, Upload
from .property_writer import PropertyWriter, modified_ns
from .rows import Item, Row
from .source import ObjectError, VanishedError
from .tree_names import is_temporary, shown
from .tree_writer import TreeWriter

_KEPT, _FOLDERS = "kept", "folders"
_MOST_LEFTOVERS = 10_000
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.ENOSYS)


class DirectoryTarget(DirectorySide):
    """A directory that becomes the mirror of a bucket. Keys that cannot be paths of files are errors of these objects.

    A file has the time of its object, by which the next run tells that it is still the same; headers, metadata and tags
    are kept in an extended attribute.
    """

    copies = False
    is_tree = True

    def __init__(
        self, location: Location, left_out: t.Sequence[str] = (), *, compares_properties: bool = False
    ) -> None:
        super().__init__(location, left_out)
        self._compares_properties = compares_properties
        self._properties = PropertyWriter()
        self._written: TreeWriter | None = None
        self._changed: DirectoryNotes | None = None  # directories with names that are not durable yet
        self._stamp = clock.new_backup_id(clock.now())
        self._lock = threading.Lock()
        self._leftovers: list[str] = []
        # Files that were kept, objects that stand for folders, and what could not be kept → of how many files.
        self.notes: collections.Counter[str] = collections.Counter()

    def close(self) -> None:
        """Give the directory back."""
        super().close()
        if self._written is not None:
            self._written.close()
            self._written = None
        if self._changed is not None:
            self._changed.close()
            self._changed = None

    @property
    def _writer(self) -> TreeWriter:
        with self._lock:
            if self._written is None:
                with explained(f"Cannot write to {shown(self.location.path)}"):
                    self._written = TreeWriter(self.location.path, before_change=self._note_change)
            return self._written

    def _note_change(self, names: t.Sequence[str], _at: int) -> None:
        with self._lock:
            if self._changed is None:
                self._changed = DirectoryNotes()
            self._changed.touch(names, lambda: 0)

    def settle(self) -> None:
        """Make the names in directories durable that this process has changed; files are when they get their names."""
        with self._lock:
            changed, self._changed = self._changed, None
        if changed is None:
            return
        try:
            with explained(f"Cannot write to {shown(self.location.path)}"):
                for names, _changed_ns in changed.times():
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                        self._writer.sync(names)
        finally:
            changed.close()

    @property
    def quarantine(self) -> str:
        """Return where what was kept lies, empty when nothing was."""
        return os.path.join(self.location.path, QUARANTINE, self._stamp) if self.notes[_KEPT] else ""

    def takes(self, key: str, facts: os.stat_result) -> bool:
        """Say whether something takes part; what a run that was killed was writing is remembered."""
        if is_temporary(key.rpartition("/")[2]):
            if len(self._leftovers) < _MOST_LEFTOVERS:
                self._leftovers.append(key)
            return False
        return super().takes(key, facts)

    def prepare(self) -> None:
        """Open the directory for writing, and remove what a run that was killed was writing. Raises LifeboatError."""
        for key in self._leftovers:
            self._writer.remove_leftover(key.split("/"))
        self.settle()  # processes that are forked off note what they change themselves

    def wants(self, item: Item) -> bool:
        """Say no to empty objects that stand for folders: a directory is there as soon as something is in it."""
        if item.size or not item.key.endswith("/"):
            return True
        self.notes[_FOLDERS] += 1
        return False

    def judge(self, item: Item, own: Item) -> Verdict:
        """Compare by size and time."""
        if item.size != own.size or _time_of(item) != int(own.modified):
            return Verdict.OTHER
        return Verdict.LOOK if self._compares_properties else Verdict.SAME

    def look(self, source: MirrorSource, item: Item, own: Item) -> bool:
        """Compare what the extended attribute keeps with the properties of the object."""
        try:
            theirs = source.describe(item).properties
        except VanishedError:
            return True
        with self.opened(own.key) as (descriptor, _facts):
            return fp.extended_attributes(fp.handle(descriptor)).get(fp.OBJECT_ATTRIBUTE, b"") == _attribute(theirs)

    def keep(self, own: Item) -> None:
        """Give a file another name in the quarantine."""
        self._keep(own.key)

    def _keep(self, key: str) -> None:
        names, to = key.split("/"), [*QUARANTINE.strip("/").split("/"), self._stamp, *key.split("/")]
        with explained(f"Cannot keep the old state of {shown(key)}"):
            try:
                is_kept = self._writer.write_link(to, names) == to
            except OSError as error:
                if error.errno not in (*_NO_LINKS, errno.EINVAL):
                    raise
                is_kept = self._writer.move(names, to)
        if not is_kept:
            raise ObjectError(f"Cannot keep the old state of {shown(key)}", "its place in the quarantine is taken")
        with self._lock:
            self.notes[_KEPT] += 1

    def remove(self, own: Item) -> None:
        """Remove a file, which `keep` has saved, and the directories that become empty by that."""
        names = own.key.split("/")
        with explained(f"Cannot remove {shown(own.key)}"):
            self._writer.remove(names)
        with contextlib.suppress(OSError):
            while len(names) > 1:
                names.pop()
                self._writer.remove(names)

    def put(self, subject: Subject, data: bytes) -> None:
        """Write a file at once."""
        self.write(subject, iter((data,)))

    def write(self, subject: Subject, chunks: t.Iterator[bytes]) -> None:
        """Write a file of the bytes that come; it appears when they are all there."""
        item, row = subject.item, _row(subject)
        problem = f"Cannot write {shown(item.key)}"
        if not is_path(item.key):
            raise ObjectError(
                problem, "its name cannot be that of a file below a directory", "back the bucket up instead"
            )
        names = item.key.split("/")
        self._keep_what_stands_there(names)
        with explained(problem):
            found, remarks = self._writer.write_file(
                names, item.size, chunks, (), lambda descriptor: self._properties.give(descriptor, row)
            )
            if found != names:
                self._remove_beside(found, names)
                raise ObjectError(problem, "a directory and a file want the same name", "remove what is not needed")
        self._note(remarks)

    def _remove_beside(self, found: t.Sequence[str], names: t.Sequence[str]) -> None:
        """Remove a file that lies under another name than its own, and the directories that were made for it."""
        self._writer.remove(found)
        with contextlib.suppress(OSError):  # somebody has put something there
            for depth in range(len(found) - 1, 0, -1):
                if list(found[:depth]) != list(names[:depth]):
                    self._writer.remove_directory(found[:depth])

    def _keep_what_stands_there(self, names: list[str]) -> None:
        """Keep what is no regular file, which no listing shows, from being replaced."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            with self._writer.found(names) as place:
                mode = place.there().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                self._keep("/".join(names))

    def begin(self, subject: Subject) -> Upload:
        """Begin to write a file whose parts come one by one."""
        return FileUpload(self, subject)

    def copy(self, subject: Subject) -> bool:
        """Never: there is no server."""
        return False

    def _note(self, remarks: t.Sequence[str]) -> None:
        with self._lock:
            for words in remarks:
                if words in self.notes or len(self.notes) < SAMPLE:
                    self.notes[words] += 1

    def remarks(self) -> t.Sequence[str]:
        """Say what could not be kept with files."""
        name, folders = self.location.name, self.notes[_FOLDERS]
        lost = {words: count for words, count in self.notes.items() if words not in (_KEPT, _FOLDERS)}
        lines = [f"{name}: of {count} files: {words}" for words, count in sorted(lost.items())]
        if folders:
            lines.append(f"{name}: {folders} empty objects that stand for folders were left out")
        return lines


class FileUpload:
    """A file on its way whose parts come from several threads, and are written in their order by one of its own."""

    def __init__(self, target: DirectoryTarget, subject: Subject) -> None:
        self._pieces: dict[int, bytes] = {}
        self._changed = threading.Condition()
        self._has_ended = False
        self._error: BaseException | None = None
        self._parts = sum(1 for _size in parts_of(subject))
        self._thread = threading.Thread(target=self._write, args=(target, subject), name="lifeboat-file", daemon=True)
        self._thread.start()

    def _write(self, target: DirectoryTarget, subject: Subject) -> None:
        try:
            target.write(subject, self._chunks())
        except BaseException as error:
            self._error = error
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _chunks(self) -> t.Iterator[bytes]:
        for number in range(1, self._parts + 1):
            with self._changed:
                self._changed.wait_for(lambda number=number: self._has_ended or number in self._pieces)  # type: ignore[misc]
                if self._has_ended:
                    raise ObjectError("Cannot write a file", "the copy was given up")
                data = self._pieces[number]
            yield data
            with self._changed:
                del self._pieces[number]
                self._changed.notify_all()

    def write(self, number: int, offset: int, data: bytes) -> None:
        """Hand a part over, and wait until it is written."""
        with self._changed:
            self._pieces[number] = data
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_ended or number not in self._pieces)
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """Let go the parts that wait for one that will not come."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until the file is there."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Give the file up."""
        self.give_up()
        self._thread.join()


def _row(subject: Subject) -> Row:
    """Return an object as the writer of properties has it; with the exact time of its item."""
    found, item = subject.properties, subject.item
    kept = {name: dict(value) for name, value in _members(found).items() if value}
    if found.lock.retains or found.lock.hold:
        kept["lock"] = {"mode": found.lock.mode, "until": found.lock.until}
    return Row(item.key, item.size, item.etag, item.modified, "", "", "", None, kept)


def _members(properties: ObjectProperties) -> dict[str, t.Mapping[str, str]]:
    return {"headers": properties.headers, "metadata": properties.metadata, "tags": properties.tags}


def _attribute(properties: ObjectProperties) -> bytes:
    return fp.object_attribute(_members(properties))


def _time_of(item: Item) -> int | None:
    return modified_ns(Row(*item, "", "", None, {}))
