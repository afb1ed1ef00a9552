# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket in memory, as both sides of a mirror: with versions or without, and with faults."""

from __future__ import annotations

import collections
import hashlib
import threading

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_copy import parts_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_guards import Location
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_plan import Verdict
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE, Subject
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    ObjectError,
    VanishedError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import ObjectProperties


class Bucket:
    """Objects by key; `old` has the former states that can still be had."""

    def __init__(self, objects=(), versioned=True, name="bucket"):
        self.location = Location(name)
        self.versioned = versioned
        self.objects = dict(objects)
        self.old = []  # (key, bytes) of noncurrent versions and of the quarantine
        self.requests = []
        self.failures = {}  # (request, key) → error, raised once each time it stands there
        self.lost = False  # the server does not answer any more
        self.during = {}  # key → what happens while it is read
        self._lock = threading.Lock()
        self.notes = collections.Counter()

    def _asked(self, request, key):
        with self._lock:
            self.requests.append((request, key))
            if self.lost:
                raise LifeboatError("Cannot reach the server")
            error = self.failures.pop((request, key), None)
        if error is not None:
            raise error
        change = self.during.pop(key, None)
        if change is not None:
            change()

    def items(self, is_compared=True):
        self._asked("list", "")
        for key in sorted(self.objects, key=order):
            if not key.startswith(QUARANTINE):
                yield self.item(key)

    def item(self, key):
        data = self.objects[key]
        return Item(key, len(data), hashlib.md5(data).hexdigest(), "2026-11-21T00:00:00.000000Z")

    # As a source

    def has(self, key):
        return key in self.objects

    def describe(self, item):
        self._asked("describe", item.key)
        if item.key not in self.objects:
            raise VanishedError("gone")
        return Subject(self.item(item.key), ObjectProperties())

    def read_whole(self, item):
        self._asked("read", item.key)
        subject = self.describe(item)
        return subject, self.objects[item.key]

    def read_range(self, subject, offset, length):
        self._asked("range", subject.item.key)
        self._same(subject.item)
        return self.objects[subject.item.key][offset : offset + length]

    def chunks(self, item):
        self._same(item)
        yield self.objects[item.key]

    def _same(self, item):
        if item.key not in self.objects:
            raise VanishedError("gone")
        if self.item(item.key).etag != item.etag:
            raise ChangedError("changed")

    # As a target

    copies = False
    is_tree = False
    quarantine = ""

    def wants(self, item):
        return True

    def judge(self, item, own):
        return Verdict.SAME if (item.size, item.etag) == (own.size, own.etag) else Verdict.OTHER

    def look(self, source, item, own):
        raise AssertionError("nothing to look at")

    def prepare(self):
        self._asked("prepare", "")

    def keep(self, own):
        if self.versioned:
            return
        self._asked("keep", own.key)
        self._same(own)
        with self._lock:
            self.old.append((own.key, self.objects[own.key]))

    def put(self, subject, data):
        self._asked("put", subject.item.key)
        self._written(subject.item.key, data)

    def _written(self, key, data):
        with self._lock:
            if self.versioned and key in self.objects:
                self.old.append((key, self.objects[key]))
            self.objects[key] = data

    def begin(self, subject):
        self._asked("begin", subject.item.key)
        return Parts(self, subject)

    def copy(self, subject):
        return False

    def remove(self, own):
        self._asked("remove", own.key)
        with self._lock:
            data = self.objects.pop(own.key)
            if self.versioned:
                self.old.append((own.key, data))

    def settle(self):
        self.requests.append(("settle", ""))

    def remarks(self):
        return []


class Parts:
    """An upload in parts."""

    def __init__(self, bucket, subject):
        self.bucket, self.subject = bucket, subject
        self.parts = {}
        self.aborted = False

    def write(self, number, offset, data):
        self.bucket._asked("part", self.subject.item.key)
        self.parts[number] = data

    def give_up(self):
        pass

    def finish(self):
        self.bucket._asked("finish", self.subject.item.key)
        if sorted(self.parts) != list(range(1, len(list(parts_of(self.subject))) + 1)):
            raise ObjectError("a part is missing")
        self.bucket._written(self.subject.item.key, b"".join(self.parts[number] for number in sorted(self.parts)))

    def abort(self):
        self.aborted = True
        self.bucket.requests.append(("abort", self.subject.item.key))
