# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has once found a backup to be, in the few words that listings need of it."""

from __future__ import annotations

import hashlib
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError
from .manifest import Manifest
from .proof import Standing

Read = t.Callable[[], bytes]  # reads the document of a manifest again
_LEFT_OUT = ("base", "versions", "files", "mac")  # members of manifests that are not kept


class RememberedManifest(Manifest):
    """A manifest that was read and judged before, of which only what listings show is at hand.

    Whoever asks for another member reads the document again: LifeboatError is raised then when it cannot be had, or is
    not what it was. To compare it reads nothing.
    """

    _digest: str  # SHA-256 of the document
    _read: Read

    def __init__(self, job: str, backup_id: str, kept: t.Sequence[t.Any], read: Read) -> None:
        """Take what `kept_of` has returned. Raises ValueError and TypeError for something else."""
        digest, kind, host, started, finished, source, statistics, warnings, flags = kept
        vars(self).update(
            id=backup_id,
            job=job,
            kind=kind,
            host=host,
            started=clock.from_text(started),
            finished=clock.from_text(finished),
            source=source,
            statistics=statistics,
            warnings=tuple(warnings),
            flags=tuple(flags),
            taken_over=(),
            _digest=digest,
            _read=read,
        )

    def __getattr__(self, name: str) -> t.Any:
        if name not in _LEFT_OUT:
            raise AttributeError(name)
        whole = self._whole()
        vars(self).update({each: getattr(whole, each) for each in _LEFT_OUT})
        return vars(self)[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        if isinstance(other, RememberedManifest):
            return self._digest == other._digest
        if self._digest == _digest_of(other.to_bytes()):
            return True
        try:  # a newer version may have written members that this one does not know
            return self._whole() == other
        except LifeboatError:
            return False

    __hash__ = Manifest.__hash__

    def _whole(self) -> Manifest:
        data = self._read()
        if _digest_of(data) != self._digest:
            problem = f"Cannot read the manifest of backup {self.id} of {self.job}"
            raise DamagedError(problem, "it is not what it was when it was listed", "look at the list of backups again")
        return Manifest.from_bytes(data, self.job, self.id)


class Judged(t.NamedTuple):
    """A backup that needs none but its own files, as its manifest and its proofs show it."""

    manifest: Manifest
    signature: str  # what that of the manifest is worth
    standing: Standing

    def kept(self, document: bytes) -> list[t.Any] | None:
        """Return what can be kept as JSON of a backup whose manifest has these bytes; None: too much would be lost."""
        manifest, standing = self.manifest, self.standing
        if manifest.taken_over:
            return None
        return [
            self.signature,
            standing.is_proved,
            list(standing.problems),
            clock.to_text(standing.proved_at) if standing.proved_at else None,
            standing.is_vouched,
            standing.is_claimed,
            _digest_of(document),
            manifest.kind,
            manifest.host,
            clock.to_text(manifest.started),
            clock.to_text(manifest.finished),
            dict(manifest.source),
            dict(manifest.statistics),
            list(manifest.warnings),
            list(manifest.flags),
        ]

    @classmethod
    def from_kept(cls, kept: t.Sequence[t.Any], job: str, backup_id: str, read: Read) -> Judged:
        """Return what `kept` was made of. Raises ValueError and TypeError for something else."""
        signature, is_proved, problems, proved_at, is_vouched, is_claimed, *of_manifest = kept
        moment = clock.from_text(proved_at) if proved_at else None
        standing = Standing(is_proved, tuple(problems), moment, is_vouched, is_claimed)
        return cls(RememberedManifest(job, backup_id, of_manifest, read), signature, standing)


def _digest_of(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()
