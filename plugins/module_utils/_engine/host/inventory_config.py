# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..errors import UsageError
from ..repository.layout import checked_job
from .job_kinds import SET, user_of_members

Entry = t.Mapping[str, t.Any]  # one job, repository or mirror of the inventory

SECRETS_FOLDER = "/etc/lifeboat/secrets"
_SOURCE = "lifeboat_jobs, lifeboat_repositories and lifeboat_mirrors"
# What only playbooks and schedules need.
_NOT_OF_JOBS = ("name", "job", "schedule", "verify", "copy", "prune", "lock")
_NOT_OF_MIRRORS = ("name", "schedule", "verify")
# How to reach an S3 server: jobs of kind bucket have these at their own level, and in the configuration below `source`.
_S3_LOGIN = (
    "endpoint_url", "region", "access_key", "secret_key", "secret_key_file", "session_token", "session_token_file",
    "ca_cert", "validate_certs", "allow_plaintext", "addressing_style",
)  # fmt: skip
_SECRETS = ("secret_key", "session_token", "login_password")
_SECRETS_OF_CHANNELS = ("password", "token", "url")  # addresses for pings are secrets
# Templates make texts of numbers and truth values.
_WHOLE = frozenset(("login_port", "lock_timeout_s", "parallel", "concurrency", "threads"))
_FLAGS = frozenset(
    (
        *("allow_partial", "allow_plaintext", "validate_certs", "allow_empty", "one_file_system", "devices"),
        *("keep_overwritten", "compare_properties"),
    )
)
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclasses.dataclass(frozen=True)
class Secret:
    """A secret that has a file of its own."""

    path: str
    owner: str  # user of the host who alone may read it
    value: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class HostFiles:
    """What a host needs to run its jobs: the configuration of the command, and the secrets that it names."""

    document: dict[str, t.Any]
    secrets: tuple[Secret, ...]  # in the order of their paths
    users: tuple[str, ...]  # who runs jobs or mirrors, in the order of their names
    repository_users: dict[str, tuple[str, ...]]  # repository → who writes to it, the user of the first job first


def full_name(host: str, job: Entry) -> str:
    """Return the name that a job's backups are filed under. Raises UsageError."""
    return checked_job(str(job.get("job") or f"{host}-{_name(job, 'job')}"))


def host_files(
    host: str,
    jobs: t.Sequence[Entry],
    repositories: t.Sequence[Entry],
    mirrors: t.Sequence[Entry] = (),
    run_as: str = "lifeboat",
    timings: t.Mapping[str, Entry] | None = None,
    settings: Entry | None = None,
    mirror_timings: t.Mapping[str, Entry] | None = None,
) -> HostFiles:
    """Return the configuration of a host, in the form that docs/host_command.md describes, for its inventory.

    `run_as` is who runs jobs that do not say it; `timings` (full name of a job → `cron`, `timezone`) and
    `mirror_timings` (by name) become the keys `schedule`; `settings` are further keys, such as `notifications`. Raises
    UsageError for anything that the host command would refuse, by the same rules.
    """
    names = _distinct(repositories, "repository")
    found_jobs = [(full_name(host, job), job) for job in jobs]
    servers = [str(job["name"]) for _name, job in found_jobs if job.get("databases")]
    builder = _Builder(run_as, {str(job["name"]): name for name, job in found_jobs}, servers)
    _refuse_twins([name for name, _job in found_jobs], "job")
    _distinct(mirrors, "mirror")
    document: dict[str, t.Any] = {
        "jobs": {name: builder.job(name, job, names) for name, job in found_jobs},
        "repositories": {_name(each, "repository"): builder.repository(each) for each in repositories},
    }
    if mirrors:
        document["mirrors"] = {_name(each, "mirror"): builder.mirror(each) for each in mirrors}
    document.update(builder.settings(settings or {}))
    for name, timing in (timings or {}).items():
        document["jobs"][name]["schedule"] = {"cron": timing["cron"], "timezone": timing["timezone"]}
    for name, timing in (mirror_timings or {}).items():
        document["mirrors"][name]["schedule"] = {"cron": timing["cron"], "timezone": timing["timezone"]}
    from . import config  # not above: it brings along what jobs do, and few who import this file need that

    config.parse(json.dumps(document).encode("utf-8"), _SOURCE)
    _refuse_shared_directories(repositories, builder.repository_users)
    secrets = tuple(sorted(builder.secrets, key=lambda secret: secret.path))
    return HostFiles(document, secrets, tuple(sorted(builder.users)), builder.repository_users)


class _Builder:
    """Collects users and secrets while it translates entry by entry; jobs come before repositories."""

    def __init__(self, run_as: str, full_names: t.Mapping[str, str], servers: t.Sequence[str]) -> None:
        self._run_as = run_as
        self._full_names = full_names  # of jobs, by their names in the inventory
        self._servers = servers  # names in the inventory of jobs for several databases
        self.users: set[str] = set()
        self.secrets: list[Secret] = []
        self.repository_users: dict[str, tuple[str, ...]] = {}

    def job(self, name: str, job: Entry, repositories: t.Sequence[str]) -> dict[str, t.Any]:
        values = {key: value for key, value in _plain(job).items() if key not in _NOT_OF_JOBS}
        if values.get("kind") == SET:
            return self._set(values)
        user = self._user(values)
        values.setdefault("repositories", list(repositories))
        for repository in values["repositories"]:
            users = self.repository_users.get(repository, ())
            self.repository_users[repository] = users if user in users else (*users, user)
        if values.get("kind") in ("bucket", "minio"):
            login = {key: values.pop(key) for key in _S3_LOGIN if key in values}
            values["source"] = self._without_secrets(login, f"job-{name}", [user])
        return self._without_secrets(values, f"job-{name}", [user])

    def _set(self, values: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return a set: it has the users and repositories of its members, which the inventory calls by short names."""
        values.pop("run_as", None)
        for key in ("members", "restore_order"):
            if isinstance(values.get(key), list):
                values[key] = [self._full_names.get(name, name) for name in values[key]]
        references = values.get("references")
        if isinstance(references, dict):
            values["references"] = {name: self._reference(each) for name, each in references.items()}
        return values

    def _reference(self, values: t.Any) -> t.Any:
        if not isinstance(values, dict):
            return values
        jobs = {key: self._full_name(values[key]) for key in ("database", "objects") if key in values}
        return {**values, **jobs}

    def _full_name(self, name: t.Any) -> t.Any:
        """Return the full name of a job, or of a database of one for several, that is called by its short name."""
        for server in self._servers:
            if str(name).startswith(f"{server}."):
                return self._full_names[server] + str(name)[len(server) :]
        return self._full_names.get(name, name)

    def repository(self, repository: Entry) -> dict[str, t.Any]:
        values = _plain(repository)
        name = str(values.pop("name"))
        if str(values.get("offsite", "")).lower() in _TRUTH:  # in objectives of jobs it is a number
            values["offsite"] = _TRUTH[str(values["offsite"]).lower()]
        # `lifeboat check` looks at a repository that no job uses as the user who runs it.
        users = self.repository_users.get(name) or ("root",)
        if isinstance(values.get("lock"), dict):
            values["lock"] = self._without_secrets(values["lock"], f"repository-{name}-lock", users)
        if isinstance(values.get("keyring"), dict):
            values["keyring"] = self._without_secrets(values["keyring"], f"keyring-{name}", users, ("secret",))
        return self._without_secrets(values, f"repository-{name}", users)

    def mirror(self, mirror: Entry) -> dict[str, t.Any]:
        values = {key: value for key, value in _plain(mirror).items() if key not in _NOT_OF_MIRRORS}
        prefix, users = f"mirror-{mirror['name']}", [self._user(values)]
        values["source"] = self._without_secrets(dict(values.get("source") or {}), f"{prefix}-source", users)
        targets: dict[str, t.Any] = {}
        for number, target in enumerate(values.get("targets") or (), 1):
            name = str(target.get("name") or target.get("bucket") or f"target-{number}")
            if name in targets:
                raise _refusal("mirror", f"{mirror['name']} has two targets {name}", "give each a name")
            rest = {key: value for key, value in target.items() if key != "name"}
            targets[name] = self._without_secrets(rest, f"{prefix}-to-{number}", users)
        return {**values, "targets": targets}

    def settings(self, settings: Entry) -> dict[str, t.Any]:
        """Return further keys; every user has the secrets of all channels, and so has root, who asks for the status."""
        values = {key: value for key, value in _plain(settings).items() if value}
        channels = dict(values.get("notifications", {}).get("channels", {}))
        for name, channel in channels.items():
            users = sorted({*self.users, "root"})
            channels[name] = self._without_secrets(dict(channel), f"channel-{name}", users, _SECRETS_OF_CHANNELS)
        if channels:
            values["notifications"] = {**values["notifications"], "channels": channels}
        return values

    def _user(self, values: dict[str, t.Any]) -> str:
        values["run_as"] = str(values.get("run_as") or self._run_as)
        self.users.add(values["run_as"])
        return str(values["run_as"])

    def _without_secrets(
        self, values: dict[str, t.Any], prefix: str, users: t.Sequence[str], keys: t.Sequence[str] = _SECRETS
    ) -> dict[str, t.Any]:
        for key in keys:
            if key not in values:
                continue
            file = f"{prefix}.{key}"
            value = str(values.pop(key))
            self.secrets += [Secret(f"{SECRETS_FOLDER}/{user}/{file}", user, value) for user in users]
            values[f"{key}_file"] = f"{SECRETS_FOLDER}/{{user}}/{file}"
        return values


def job_users(host: str, jobs: t.Sequence[Entry], run_as: str) -> dict[str, str]:
    """Return who runs each job, by its full name: a set is run by the user of its members, or by root for several."""
    users = {full_name(host, job): str(job.get("run_as") or run_as) for job in jobs}
    short = {str(job["name"]): full_name(host, job) for job in jobs}
    for job in jobs:
        if job.get("kind") == SET:
            members = [short.get(str(name), str(name)) for name in job.get("members") or ()]
            users[full_name(host, job)] = user_of_members([users.get(name, run_as) for name in members])
    return users


# The first five tell one server from another.
_SERVER = (
    *("login_host", "login_port", "login_unix_socket", "container", "container_engine"),
    *("ssl_mode", "ca_cert"),
)


def database_roles(jobs: t.Sequence[Entry], run_as: str) -> list[dict[str, t.Any]]:
    """Return the roles that jobs of kind pg_database log in as: for each role of each server its `name`, `password`
    (empty: none), the `databases`, whether it is `all_databases`, and under `server` how to reach it."""
    found: dict[tuple[str, ...], dict[str, t.Any]] = {}
    for job in jobs:
        values = _plain(job)
        if values.get("kind") != "pg_database" or values.get("login_service"):
            continue  # how a service logs in only its file knows
        server = {key: values[key] for key in _SERVER if key in values}
        name = str(values.get("login_user") or values.get("run_as") or run_as)
        place = tuple(str(server.get(key, "")) for key in _SERVER[:5])
        new = {"name": name, "password": "", "databases": [], "all_databases": False, "server": server}
        role = found.setdefault((name, *place), new)
        role["password"] = role["password"] or values.get("login_password", "")
        role["all_databases"] = role["all_databases"] or values.get("databases") == "all"
        named = values.get("databases", [values.get("database")])
        role["databases"] += [each for each in named if named != "all" and each not in role["databases"]]
    return list(found.values())


def _refuse_shared_directories(repositories: t.Sequence[Entry], users: t.Mapping[str, t.Sequence[str]]) -> None:
    for each in repositories:
        found = users.get(str(each["name"]), ())
        if each.get("path") and len(found) > 1:
            raise UsageError(
                f"Cannot let {' and '.join(found)} write into repository {each['name']}",
                "a directory belongs to one user",
                "give each of them a directory of its own, or all its jobs the same run_as",
            )


def _distinct(entries: t.Sequence[Entry], what: str) -> list[str]:
    names = [_name(each, what) for each in entries]
    _refuse_twins(names, what)
    return names


def _refuse_twins(names: t.Sequence[str], what: str) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise _refusal(what, f"{twins[0]} is there twice", "give each a name of its own")


def _name(entry: Entry, what: str) -> str:
    if not isinstance(entry, t.Mapping) or not entry.get("name"):
        raise _refusal(what, "one of them has no name", "give each a name")
    return str(entry["name"])


def _refusal(what: str, cause: str, remedy: str) -> UsageError:
    return UsageError(f"Cannot use {_SOURCE}", f"{what}: {cause}", remedy)


def _plain(entry: Entry) -> dict[str, t.Any]:
    """Return an entry as JSON knows it, without what is not set."""
    return without_empty({str(key): _plain_value(str(key), value) for key, value in entry.items()})


def without_empty(entry: Entry) -> dict[str, t.Any]:
    """Return an entry of the inventory without what is empty in it: that is as if it were not there."""
    return {key: value for key, value in entry.items() if value is not None and value != ""}


def _plain_value(key: str, value: t.Any) -> t.Any:
    if isinstance(value, t.Mapping):
        return _plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain_value("", each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    if key in _WHOLE and text.isdigit():
        return int(text)
    if key in _FLAGS and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    return text
