# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every step of a backup, a copy and a restore is once the last one of its process.

A run without faults names its steps (a request was sent, its answer read, a file synced, linked or renamed, a child
started or ended, a database created, renamed …). Then each of them kills a run of its own with SIGKILL, or ends one
with SIGTERM, and what is left is judged from outside: by the bytes in the repositories and the rows in the databases.
SIGKILL comes at all of them; but only at the first and last occurrence of each step while a backup is copied, because
copies are killed at all of theirs anyway. SIGTERM comes at the first and last ones everywhere in a backup. A next run
follows on each state that crashes leave (`crash_states.py`). One of the layouts is encrypted, and the restores that are
killed. The shares only spread the work over several workers.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.quoting import identifier
from ansible_collections.lifeboat.recovery.tests.functional.crash_states import Recovered, copy_of, state_of
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import (
    PART_BYTES,
    Driver,
    Ended,
    Lab,
    Order,
    Site,
    driver,
    lab,
)

__all__ = ["driver", "lab"]

LAYOUTS = ("directory to bucket", "bucket to directory")
ENCRYPTED = "bucket to directory"
STATUS = {"kill": -9, "terminate": 128 + 15}
_STATES_PER_READING = 4
_MULTIPART = ("s3.begin", "s3.part", "s3.complete")
# Most steps need no data worth the name; those of an upload in several parts need more than one part.
_TINY: dict[str, t.Any] = {"database": "tiny", "compression": "none", "wait_s": 0}
_LONG: dict[str, t.Any] = {"database": "long", "compression": "none", "wait_s": 0}


def of_share(steps: t.Sequence[str], share: int, shares: int) -> t.Sequence[str]:
    # In one piece: neighbours leave the same state more often than others do.
    chosen = steps[len(steps) * share // shares : len(steps) * (share + 1) // shares]
    if not chosen:
        raise AssertionError("a share without steps tests nothing")
    return chosen


def ends_of_steps(steps: t.Sequence[str]) -> list[str]:
    """Return the first and the last occurrence of each step in its phase."""
    by_name = {name: list(group) for name, group in itertools.groupby(sorted(steps, key=_name), key=_name)}
    chosen = {step for group in by_name.values() for step in (min(group, key=_number), max(group, key=_number))}
    return [step for step in steps if step in chosen]


def _name(step: str) -> str:
    return step.partition("#")[0]


def _number(step: str) -> int:
    return int(step.partition("#")[2])


class Backups:
    """Jobs of one layout that are backed up, killed, and looked at."""

    def __init__(self, lab: Lab, driver: Driver, layout: str, is_encrypted: bool = False) -> None:
        self.lab = lab
        self.driver = driver
        self.layout = layout
        self.is_encrypted = is_encrypted
        self.empty = self._made()
        self.sites = self.empty
        self.good: list[set[str]] = []  # ids in each of them, as of the last look
        self.recovered = Recovered()
        self._begun: dict[str, tuple[str, tuple[Site, ...], list[set[str]]]] = {}  # by database: job, sites, good ids
        self._first: dict[str, t.Sequence[str]] = {}  # by database: steps of a first run
        self._later: dict[str, t.Sequence[str]] = {}  # and of one after it

    def _made(self) -> tuple[Site, ...]:
        local, site = self.lab.directory(), self.lab.bucket()
        if self.is_encrypted:
            local, site = self.lab.encrypted(local, site)
        return (local, site) if self.layout == "directory to bucket" else (site, local)

    def order(
        self, job: str, options: t.Mapping[str, t.Any], step: str = "", fault: str = "", is_hour_later: bool = True
    ) -> Order:
        places = [site.facts for site in self.sites]
        order = Order("back_up", job, places, self.lab.server, options, step, fault, part_bytes=PART_BYTES)
        return dataclasses.replace(order, is_hour_later=is_hour_later)

    def begin(self, options: t.Mapping[str, t.Any]) -> str:
        """Use repositories in which there is one good backup of a job, and nothing else; return the job."""
        name = str(options["database"])
        if name not in self._begun:
            job, self.sites, self.good = self.lab.job(), self._made(), []
            self._first[name] = self.recover(job, options, "the first run").steps
            self._begun[name] = (job, self.sites, self.good)
        job, sites, self.good = self._begun[name]
        self.sites = tuple(copy_of(self.lab, site) for site in sites)
        return job

    def steps(self, options: t.Mapping[str, t.Any]) -> tuple[t.Sequence[str], t.Sequence[str]]:
        """Return the steps of the first run of a job, and those of later ones."""
        name = str(options["database"])
        if name not in self._later:
            later = self.driver.run(self.order(self.begin(options), options))
            assert later.is_good, later.error
            self._later[name] = later.steps
        return self._first[name], self._later[name]

    def all_steps(self) -> list[tuple[dict[str, t.Any], str]]:
        """Return all steps of a run, each with the options of a run that has it."""
        (_first, tiny), (_first, long) = self.steps(_TINY), self.steps(_LONG)
        multipart = [step for step in long if any(name in step for name in _MULTIPART)]
        return [(_TINY, step) for step in tiny] + [(_LONG, step) for step in multipart]

    def good_ids(self, job: str) -> list[set[str]]:
        return [set(site.good_ids(job)) for site in self.sites]

    def crash(self, job: str, options: t.Mapping[str, t.Any], step: str, fault: str, may_miss: bool = False) -> None:
        """End a run at a step; what was good before is good afterwards, and all that is called good is proved.

        With `may_miss` the run need not have the step, as after other crashes.
        """
        before = self.good
        ended = self.driver.run(self.order(job, options, step, fault))
        assert ended.status == STATUS[fault] or (may_miss and ended.is_good), f"{step}: {ended}"
        self.good = self.good_ids(job)
        assert all(was <= now for was, now in zip(before, self.good)), f"{step}: a good backup was lost"
        self.look_at(job, step)

    def look_at(self, job: str, step: str) -> None:
        """Look at what lies in the repositories, after `good` was asked for."""
        for site, good in zip(self.sites, self.good):
            assert site.faults(job) == [], step
            assert site.good_without_proof(job, good) == [], step

    def leftovers(self, job: str) -> list[str]:
        """Return what only runs that are under way may have in a repository."""
        found = [f"{site.name}: {key}" for site in self.sites for key in site.documents(f"intents/{job}/")]
        found += [f"temporary file {path}" for site in self.sites for path in site.temporary_files()]
        return found + [f"upload {each}" for each in self.lab.unfinished_uploads()]

    def recover(self, job: str, options: t.Mapping[str, t.Any], step: str) -> Ended:
        """Run the job again, after the time of a lease that was left behind: it succeeds, and nothing is left."""
        ended = self.driver.run(self.order(job, options))
        assert ended.is_good, f"{step}: {ended.error}"
        self.good = self.good_ids(job)
        assert all(ended.one["id"] in good for good in self.good), step
        assert self.leftovers(job) == [], step
        self.look_at(job, step)
        assert all(site.is_readable_by_all is not self.is_encrypted for site in self.sites), step
        return ended

    def is_new_state(self, job: str, options: t.Mapping[str, t.Any]) -> bool:
        """Say whether no crash left the repositories so before; then the job is to recover."""
        # What is left of uploads in parts lies beside the repositories, and would be found after the crashes to come.
        return self.recovered.is_new(state_of(job, *self.sites)) or options is _LONG


@pytest.fixture(scope="session", params=LAYOUTS)
def backups(request: pytest.FixtureRequest, lab: Lab) -> Backups:
    """Return jobs of each layout, one of which is encrypted."""
    return Backups(lab, lab.driver(), request.param, is_encrypted=request.param == ENCRYPTED)


def crash_at_each(backups: Backups, chosen: t.Sequence[tuple[dict[str, t.Any], str]], fault: str) -> None:
    recovered = 0
    for options, step in chosen:
        job = backups.begin(options)
        backups.crash(job, options, step, fault)
        if fault == "terminate":
            # A run that is told to end cleans up itself, but for its intent where its manifest may be on its way.
            kept = [each for each in backups.leftovers(job) if "intents/" not in each]
            assert kept == [], f"{step}: {kept}"
        if backups.is_new_state(job, options):
            if recovered % _STATES_PER_READING == 0:
                assert_readable(backups, job, step)
            recovered += 1
            backups.recover(job, options, step)


def assert_readable(backups: Backups, job: str, step: str) -> None:
    """The newest backup that was good before a crash is read to its end, through pg_restore, in both repositories."""
    newest = max(backups.sites[1].good_ids(job))
    order = Order("verify", job, [s.facts for s in backups.sites], options={"backup": newest, "level": "content"})
    ended = backups.driver.run(dataclasses.replace(order, server=backups.lab.server))
    assert [verdict["is_good"] for verdict in ended.result] == [True, True], f"{step}: {ended}"


@pytest.mark.parametrize("share", range(4))
def test_a_backup_killed_at_any_step_costs_nothing_but_itself(backups: Backups, share: int) -> None:
    everything = backups.all_steps()
    copying = [step for _options, step in everything if step.startswith("copying/")]
    left_out = {*copying} - {*ends_of_steps(copying)}
    crash_at_each(backups, of_share([each for each in everything if each[1] not in left_out], share, 4), "kill")


@pytest.mark.parametrize("share", range(2))
def test_a_backup_ended_at_any_step_costs_nothing_but_itself(backups: Backups, share: int) -> None:
    everything = backups.all_steps()
    chosen = ends_of_steps([step for _options, step in everything])
    crash_at_each(backups, of_share([each for each in everything if each[1] in chosen], share, 2), "terminate")


def test_a_first_backup_killed_at_any_step_does_not_stand_in_the_way_of_the_next(backups: Backups) -> None:
    first, later = backups.steps(_TINY)
    until_dump = first[: first.index("backing/child.started#1") + 1]
    assert len(until_dump) > len(later[: later.index("backing/child.started#1") + 1]), "a first run binds the job"
    for step in until_dump:
        job = backups.lab.job()
        backups.sites = tuple(copy_of(backups.lab, site) for site in backups.empty)
        backups.good = []
        backups.crash(job, _TINY, step, "kill")
        assert backups.good == [set(), set()]
        if backups.is_new_state(job, _TINY):
            backups.recover(job, _TINY, step)


def test_the_lease_of_a_killed_copy_is_left_alone_until_its_time_is_over(lab: Lab, driver: Driver) -> None:
    backups, job = Backups(lab, driver, "directory to bucket"), lab.job()
    backups.crash(job, _TINY, "copying/s3.put.answered#1", "kill")
    early = driver.run(backups.order(job, _TINY, is_hour_later=False))
    assert early.exit_code == 5, early.error
    assert "maintenance lease" in early.error
    assert backups.sites[0].good_ids(job) == sorted({*backups.sites[0].ids(job)})
    assert backups.sites[1].ids(job) == []
    backups.recover(job, _TINY, "the lease")


@pytest.mark.parametrize("share", range(2))
def test_a_copy_killed_at_any_step_is_made_good_by_the_next(backups: Backups, share: int) -> None:
    """The target has no keyring yet where the source has one: that comes first."""
    for options, names in ((_TINY, ()), (_LONG, _MULTIPART)):
        job, recovered = backups.begin(options), Recovered()
        source, _copy = backups.sites
        backups.sites = (source, new_target(backups))
        steps = copied(backups, job, "", "").steps
        chosen = [step for step in steps if not names or any(name in step for name in names)]
        for step in of_share(chosen, share, 2) if chosen else ():
            backups.sites = (source, new_target(backups))
            ended = copied(backups, job, step, "kill")
            assert ended.status == STATUS["kill"], f"{step}: {ended}"
            backups.good = backups.good_ids(job)
            backups.look_at(job, step)
            if recovered.is_new(state_of(job, backups.sites[1])) or options is _LONG:
                assert copied(backups, job, "", "").is_good, step
                assert backups.sites[1].good_ids(job) == source.good_ids(job), step
                assert backups.leftovers(job) == [], step
                backups.good = backups.good_ids(job)
                backups.look_at(job, step)
                assert backups.sites[1].is_readable_by_all is not backups.is_encrypted


def new_target(backups: Backups) -> Site:
    lab = backups.lab
    made = lab.bucket() if backups.layout == "directory to bucket" else lab.directory()
    return made.opened_like(backups.sites[0])


def copied(backups: Backups, job: str, step: str, fault: str) -> Ended:
    places = [site.facts for site in backups.sites]
    options = {"backup": "all", "wait_s": 0}
    order = Order("copy", job, places, backups.lab.server, options, step, fault, part_bytes=PART_BYTES)
    return backups.driver.run(dataclasses.replace(order, is_hour_later=not step))


class Restores:
    """One database that is restored, killed meanwhile, and looked at."""

    def __init__(self, lab: Lab, driver: Driver, is_encrypted: bool = False) -> None:
        self.lab = lab
        self.driver = driver
        self.name = f"ward_{lab.job().replace('-', '_')}"
        self.folder = lab.folder / self.name
        self.folder.mkdir()
        self._make("new")
        repository = lab.directory()
        if is_encrypted:
            (repository,) = lab.encrypted(repository)
        self.order = Order("back_up", lab.job(), [repository.facts], lab.server, {"database": self.name})
        assert driver.run(self.order).is_good
        self._make("old")

    def _sql(self, statement: str, database: str = "postgres") -> list[str]:
        return self.lab.rows(statement, database)

    def _make(self, age: str) -> None:
        self._sql(f"DROP DATABASE IF EXISTS {identifier(self.name)} WITH (FORCE)")
        self._sql(f"CREATE DATABASE {identifier(self.name)}")
        self._sql(f"CREATE TABLE ward AS SELECT '{age}' AS age FROM generate_series(1, 100)", self.name)

    def run(self, step: str = "", fault: str = "") -> Ended:
        options = {"backup": "latest_good", "confirm": self.name, "folder": str(self.folder)}
        return self.driver.run(
            dataclasses.replace(self.order, use_case="restore", options=options, step=step, fault=fault)
        )

    def renew(self) -> None:
        """Begin anew: the database has old rows, and there is no other, and no temporary file."""
        for name in (*self.databases(f"{self.name}_before%"), *self.databases("lifeboat%")):
            self._sql(f"DROP DATABASE {identifier(name)} WITH (FORCE)")
        for path in self.folder.iterdir():
            path.unlink()
        self._sql(f"ALTER DATABASE {identifier(self.name)} ALLOW_CONNECTIONS true")
        self._sql("UPDATE ward SET age = 'old'", self.name)

    def databases(self, pattern: str) -> list[str]:
        return self._sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{pattern}' ORDER BY datname")

    def is_open(self, name: str) -> bool:
        return self._sql(f"SELECT datallowconn FROM pg_database WHERE datname = '{name}'") == ["True"]

    def age(self, name: str) -> str:
        """Return whose rows a database has, whether it is open to connections or not."""
        if not self.is_open(name):
            self._sql(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true")
            try:
                return self.age(name)
            finally:
                self._sql(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS false")
        (found,) = self._sql("SELECT age || count(*) FROM ward GROUP BY age", name)
        return found

    def wait_for_orphans(self) -> None:
        """Return when the programs that a killed run left have seen that nobody wants them any more."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('lifeboat', 'pg_dump', 'pg_restore')"
        while self._sql(query) != ["0"]:
            self._sql("SELECT pg_sleep(0.01)")

    def look_at(self, step: str, is_killed: bool) -> t.Mapping[str, str]:
        """Nothing is lost: the name leads to the old rows or to the new ones, and the old ones are kept."""
        ages = {name: self.age(name) for name in self.databases(f"{self.name}%")}
        assert ages[self.name] in ("old100", "new100"), step
        assert "old100" in ages.values(), step
        is_closed = not self.is_open(self.name)
        closing = ("swapping/swap.closed#1", "swapping/swap.emptied#1", "swapping/swap.first_rename#1")
        assert is_closed is (is_killed and step in closing), step
        return ages

    def state(self, ages: t.Mapping[str, str]) -> t.Hashable:
        """Return what a restore has left: databases, what is in them and who may enter, and temporary files."""
        rows = [(age, name == self.name, self.is_open(name)) for name, age in ages.items()]
        unfinished = [self._tables(name) for name in self.databases("lifeboat%")]
        return tuple(sorted(rows)), tuple(unfinished), len(list(self.folder.iterdir()))

    def _tables(self, name: str) -> int:
        """Return how many tables an unfinished database has; -1 where it takes no connections."""
        if not self.is_open(name):
            return -1
        return int(self._sql("SELECT count(*) FROM pg_tables WHERE tablename = 'ward'", name)[0])


@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("fault", ["kill", "terminate"])
def test_a_restore_that_ends_at_any_step_leaves_the_old_database_or_the_new_one(
    lab: Lab, driver: Driver, fault: str, share: int
) -> None:
    restores, recovered = Restores(lab, driver, is_encrypted=fault == "kill"), Recovered()
    whole = restores.run()
    assert whole.is_good, whole.error
    for step in of_share(whole.steps, share, 2):
        restores.renew()
        ended = restores.run(step, fault)
        assert ended.status == STATUS[fault], f"{step}: {ended}"
        ages = restores.look_at(step, fault == "kill")
        restores.wait_for_orphans()
        if fault == "terminate":
            assert restores.databases("lifeboat%") == [], f"{step}: it could have cleaned up"
        if recovered.is_new(restores.state(ages)):
            again = restores.run()
            assert again.is_good, f"{step}: {again.error}"
            assert restores.age(restores.name) == "new100", step
            restores.look_at(step, is_killed=False)
            assert restores.databases("lifeboat%") == [], step
            assert list(restores.folder.iterdir()) == [], step


def test_a_restored_database_that_waits_for_its_swap_is_left_alone_by_another_restore(lab: Lab, driver: Driver) -> None:
    first, second = Restores(lab, driver), Restores(lab, lab.driver())
    options = {"backup": "latest_good", "confirm": first.name, "folder": str(first.folder)}
    order = dataclasses.replace(first.order, use_case="restore", options=options)
    driver.begin(dataclasses.replace(order, step="restoring/restore.finished#1", fault="hold"))
    driver.wait_until_held()
    assert second.run().is_good
    driver.go_on()
    ended = driver.ended()
    assert ended.is_good, ended.error
    assert [restores.age(restores.name) for restores in (first, second)] == ["new100", "new100"]
