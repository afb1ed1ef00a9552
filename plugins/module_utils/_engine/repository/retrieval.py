# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings stored files back that lie in an archive of their server, such as S3 Glacier (docs/copies.md, "Archives")."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import typing as t

from .. import clock
from ..s3.archive_calls import ArchiveState
from ..s3.client import S3Client
from ..steps import reached
from .store import ArchivedError


@dataclasses.dataclass(frozen=True)
class RetrievalPolicy:
    """How archived files are brought back."""

    tier: str = "Standard"  # one of archive_calls.TIERS: 3 to 5 hours, Deep Archive 12; Bulk is cheaper and slower
    days: int = 7  # how long they can be read then
    wait: dt.timedelta = dt.timedelta(hours=48)  # how long to wait at most
    poll_s: float = 60.0


class Retrieval:
    """Asks for archived files and waits for them; several threads may use it.

    A process that was ended while it waited goes on when it runs again: what was asked for comes all the same.
    """

    def __init__(self, policy: RetrievalPolicy, say: t.Callable[[str], None] = lambda _text: None) -> None:
        self.policy = policy
        self.asked_for = 0  # files
        self.waited_s = 0.0  # in all, of whoever waited longest
        self._say = say
        self._begun: float | None = None
        self._lock = threading.Lock()

    def ask(self, client: S3Client, bucket: str, key: str, version_id: str = "") -> bool:
        """Ask for a file unless that was done; return whether it can be read."""
        found = client.head(bucket, key, version_id=version_id)
        state = ArchiveState(False, True) if found is None else ArchiveState.of(found)
        if state.is_back:
            return True
        if not state.is_asked_for:
            client.retrieve(bucket, key, self.policy.days, self.policy.tier, version_id=version_id)
            with self._lock:
                self.asked_for += 1
            reached("retrieval.asked_for")
        return False

    def bring(self, client: S3Client, bucket: str, key: str, version_id: str = "") -> None:
        """Ask for a file and wait until it can be read. Raises ArchivedError after the longest wait, S3Error."""
        with self._lock:
            self._begun = clock.monotonic() if self._begun is None else self._begun
            begun = self._begun
        limit_s = self.policy.wait.total_seconds()
        while not self.ask(client, bucket, key, version_id):
            waited_s = clock.monotonic() - begun
            if waited_s >= limit_s:
                raise ArchivedError(
                    f"Cannot read s3://{bucket}/{key} at {client.endpoint.url}",
                    f"it is asked for, and has not come back from its archive within {limit_s / 3600:g} h",
                    "run it again: it goes on waiting; or raise wait of the section archive",
                )
            self._say(f"waiting for {key} to come back from its archive, since {waited_s / 60:.0f} min")
            clock.sleep(min(self.policy.poll_s, max(0.0, limit_s - waited_s)))
            with self._lock:
                self.waited_s = max(self.waited_s, clock.monotonic() - begun)

    def ask_early(self, client: S3Client, bucket: str, keys: t.Iterable[str]) -> int:
        """Ask for archived files that will be read, and do not wait: so that they come back at the same time.

        Return how many are on their way.
        """
        return sum(self._is_archived(client, bucket, key) and not self.ask(client, bucket, key) for key in keys)

    @staticmethod
    def _is_archived(client: S3Client, bucket: str, key: str) -> bool:
        found = client.head(bucket, key)
        return found is not None and found.fields.get("x-amz-storage-class", "") in _ARCHIVES

    @property
    def words(self) -> str:
        """Return what was done, empty for nothing."""
        if not self.asked_for and not self.waited_s:
            return ""
        return (
            f"{self.asked_for} files were asked for in its archive, and came back within {self.waited_s / 60:.0f} min"
        )


# Those of Intelligent-Tiering tell by x-amz-archive-status; they are asked for when they are read.
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
