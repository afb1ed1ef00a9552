# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that restore objects or files (the specification RESTORE).
    DOCUMENTATION = r"""
options:
  job:
    description:
      - Name of the backup job.
    type: str
    required: true
  backup:
    description:
      - Which backup to restore. An id, V(latest) or V(latest_good).
      - V(latest_good) is the newest one that was proved and that no guard doubts.
        If its index cannot be read in any copy, older good ones are tried.
      - V(latest) is the newest one, proved or not.
    type: str
    default: latest_good
  as_of:
    description:
      - A time with its zone, such as V(2026-11-20T02:00:00Z).
      - Only backups that began not later are considered. The newest good one of them is restored, or with
        O(backup=latest) the newest one.
    type: str
  prefix:
    description:
      - Restore only what begins with this.
    type: str
    default: ""
  key:
    description:
      - Restore only this key of a bucket, or this path below a folder.
    type: str
  include:
    description:
      - Restore only what matches one of these patterns, which are like those of C(.gitignore).
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Leave out what matches one of these patterns.
    type: list
    elements: str
    default: []
  conflicts:
    description:
      - What becomes of an object that is there and differs from the backup.
      - With V(overwrite_if_different) it is overwritten. What is equal is not written again in any case.
      - With V(skip) it stays.
      - With V(rename) it stays, and the one of the backup is written beside it under its key and
        C(.restored-<id of the backup>).
      - With V(refuse) nothing is restored when there is such an object.
    type: str
    choices: [overwrite_if_different, skip, rename, refuse]
    default: overwrite_if_different
  exact:
    description:
      - Whether what the backup does not have is removed, as far as O(prefix), O(key), O(include) and O(exclude) select
        it. Where there are versions that is by a delete marker.
      - It is removed last, and only if all others could be brought.
      - What the job was to leave out of the backup (by its patterns, its prefix, as a device or socket) stays, and so
        does what it could not read, with all below it, and what lies on file systems that are mounted below a folder,
        or were when it was backed up without them.
        RV(ignore:counts) has it as C(leave).
      - Backups that were made before there was a stored file of role C(scope) do not say what they left out. For these,
        give the same patterns as O(exclude).
    type: bool
    default: false
  confirm:
    description:
      - Names of the buckets, or paths of the folders, in which something may be overwritten or removed.
      - If the plan overwrites or removes something elsewhere, the task fails with V(confirm) as RV(ignore:guard).
      - Nothing needs to be confirmed where a restore only adds.
    type: list
    elements: str
    default: []
  quarantine:
    description:
      - Where everything that would be overwritten or removed is copied before that, with a list of it.
      - A bucket on the server of O(endpoint_url), or a folder. Below it a new prefix is made, named after the job and
        the time.
      - If anything cannot be saved, nothing is restored.
    type: dict
    suboptions:
      path:
        description:
          - A folder on the host that the task runs on.
          - Exactly one of O(quarantine.path) and O(quarantine.bucket) is needed.
        type: path
      bucket:
        description:
          - A bucket, which is made if it is not there.
        type: str
      prefix:
        description:
          - Under which prefix, or in which folder below O(quarantine.path).
        type: str
        default: ""
  check:
    description:
      - By what is judged whether something is there as in the backup, before and after the restore.
      - V(listing) believes size, ETag or times as the target lists them.
      - V(content) reads it and compares its SHA-256. Choose it after an attack, as whoever may write to a bucket of
        MinIO can forge its ETags and times.
    type: str
    choices: [listing, content]
    default: listing
  plan_file:
    description:
      - File on the host that the task runs on that gets the whole plan, a line of JSON for each object. In check mode
        too.
    type: path
  remarks_file:
    description:
      - File that gets a line of JSON for each object that could not be restored as the backup has it, and why.
      - Each line is a list of bucket or folder, key, what became of it, and why.
    type: path
  concurrency:
    description:
      - How many objects are written at once.
    type: int
    default: 24
"""
