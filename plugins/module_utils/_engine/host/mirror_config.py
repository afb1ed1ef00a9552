# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from ..minio.bucket_settings import bytes_from
from .cron_time import Schedule
from .fields import Fields
from .mirror_job import MOST_THREADS, THREADS, MirrorJob, Side
from .notify_config import Notify, notify_from, schedule_from
from .repository_settings import check_name
from .s3_login import S3Login, login_from


@dataclasses.dataclass(frozen=True)
class SideSettings:
    """A source or a target of the configuration; its secrets are read when it is used."""

    name: str
    path: str = ""  # a directory; empty: a bucket
    bucket: str = ""
    prefix: str = ""
    login: S3Login | None = None

    def side(self) -> Side:
        """Return it with its secrets. Raises UsageError when they cannot be read."""
        if self.login is None:
            return Side(self.name, path=self.path)
        return Side(self.name, self.login.client().endpoint, self.bucket, self.prefix)


@dataclasses.dataclass(frozen=True)
class MirrorSettings:
    """A mirror of the configuration."""

    name: str
    source: SideSettings
    targets: tuple[SideSettings, ...]
    threads: int = THREADS
    bytes_per_s: int = 0
    keeps_overwritten: bool = True
    compares_properties: bool = False
    run_as: str = ""  # user of this host; empty: whoever runs the command
    notify: Notify | None = None  # None: as for all
    schedule: Schedule | None = None  # None: not known here
    rpo_hours: float | None = None  # objective: how long ago the last success may be; None: no objective

    def job(self, allowed: t.Collection[str] = (), plan_file: str = "") -> MirrorJob:
        """Return what a run works with. Raises UsageError when a secret cannot be read."""
        return MirrorJob(
            self.source.side(),
            tuple(target.side() for target in self.targets),
            frozenset(allowed),
            self.threads,
            self.bytes_per_s,
            self.keeps_overwritten,
            self.compares_properties,
            plan_file,
        )


def mirrors_from(document: Fields) -> dict[str, MirrorSettings]:
    """Return the mirrors of a configuration, by name. Raises UsageError."""
    return {name: _mirror(name, each) for name, each in document.sections("mirrors").items()}


def _mirror(name: str, fields: Fields) -> MirrorSettings:
    check_name(name, "a mirror", fields)
    targets = tuple(_side(each, section) for each, section in fields.sections("targets").items())
    if not targets:
        raise fields.refuse("targets", "is missing or empty", 'write it as {"offsite": {"bucket": …}}')
    objectives = fields.section("objectives")
    settings = MirrorSettings(
        name,
        _side("", fields.section("source")),
        targets,
        threads=fields.whole("threads", THREADS, 1, MOST_THREADS),
        bytes_per_s=_bytes(fields, "bandwidth"),
        keeps_overwritten=fields.flag("keep_overwritten", True),
        compares_properties=fields.flag("compare_properties", False),
        run_as=fields.text("run_as"),
        notify=notify_from(fields),
        schedule=schedule_from(fields),
        rpo_hours=objectives.hours("rpo_hours"),
    )
    objectives.finish()
    fields.finish()
    return settings


def _side(name: str, fields: Fields) -> SideSettings:
    if fields.has("path") == fields.has("bucket"):
        words = "has both path and bucket" if fields.has("path") else "is missing, and so is bucket"
        raise fields.refuse("path", words, "give either path, or bucket with its endpoint_url")
    name = fields.text("name", name)
    if fields.has("path"):
        side = SideSettings(name, path=fields.path("path", None))
    else:
        side = SideSettings(name, "", fields.text("bucket", None), fields.text("prefix"), login_from(fields))
    fields.finish()
    return side


def _bytes(fields: Fields, key: str) -> int:
    text = fields.text(key)
    try:
        return bytes_from(text) if text else 0
    except UsageError as error:
        raise fields.refuse(key, f"is {text!r}", "write it like 20MB or 10MiB, for each second") from error
