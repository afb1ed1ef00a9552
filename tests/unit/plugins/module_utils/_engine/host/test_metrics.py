# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import metrics
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.metrics import Subject
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.run_history import (
    BackupFacts,
    ChannelFacts,
    End,
    History,
    RepositoryFacts,
)

NOW = 1795132800.25
JOB = Subject("job", "db1-shop", ("run",), "pg_database", 93600.0, NOW + 60)
FULL = History(
    ends={"run": End("failure", 3, NOW - 5, 2.5, NOW - 100, NOW - 5, "No"), "verify": End("success", 0, 1.0, 2.0, 1.0)},
    backup=BackupFacts(NOW - 3600, NOW - 1800, True, 3000, 1000, 1, 2, 4),
    repositories=(RepositoryFacts("local", True, 5000, 100, 20), RepositoryFacts("site", False, 0)),
    channels={"mail": ChannelFacts(7, NOW, "away")},
)


def values(history, subject=JOB):
    found = {}
    for line in metrics.text_of(metrics.samples(subject, history, NOW)).splitlines():
        if not line.startswith("#"):
            name, _blank, value = line.rpartition(" ")
            assert name not in found
            found[name] = value
    return found


def test_a_job_that_never_ran_is_there_with_zeros():
    found = values(History())
    assert found['lifeboat_last_success_timestamp_seconds{command="run",lifeboat_job="db1-shop"}'] == "0"
    assert found['lifeboat_backup_timestamp_seconds{kind="pg_database",lifeboat_job="db1-shop"}'] == "0"
    assert found['lifeboat_objective_seconds{lifeboat_job="db1-shop"}'] == "93600"
    assert not any("exit_code" in name or "flagged" in name for name in found)


def test_all_that_is_known_is_there():
    found = values(FULL)
    assert found['lifeboat_last_exit_code{command="run",lifeboat_job="db1-shop"}'] == "3"
    assert found['lifeboat_last_duration_seconds{command="run",lifeboat_job="db1-shop"}'] == "2.5"
    assert found['lifeboat_last_failure_timestamp_seconds{command="run",lifeboat_job="db1-shop"}'] == str(NOW - 5)
    assert found['lifeboat_last_success_timestamp_seconds{command="verify",lifeboat_job="db1-shop"}'] == "1"
    label = '{kind="pg_database",lifeboat_job="db1-shop"}'
    assert found[f"lifeboat_backup_flagged{label}"] == "1"
    assert found[f"lifeboat_backup_source_bytes{label}"] == "3000"
    assert found[f"lifeboat_problems{label}"] == "4"
    assert found['lifeboat_repository_free_bytes{lifeboat_job="db1-shop",repository="local"}'] == "20"
    assert found['lifeboat_repository_reachable{lifeboat_job="db1-shop",repository="site"}'] == "0"
    assert 'lifeboat_repository_stored_bytes{lifeboat_job="db1-shop",repository="site"}' not in found
    assert found['lifeboat_notification_failures_total{channel="mail",lifeboat_job="db1-shop"}'] == "7"


@pytest.mark.parametrize(("outcome", "value"), [("flagged", "1"), ("failure", "0")])
def test_an_end_with_3_is_a_refusal_or_a_flag(outcome, value):
    found = values(History(ends={"run": End(outcome, 3, NOW, 1.0)}))
    assert found['lifeboat_last_flagged{command="run",lifeboat_job="db1-shop"}'] == value


def test_failures_of_a_channel_are_counted_from_zero_on():
    subject = Subject("job", "x", ("run",), "files", channels=("mail", "hook"))
    found = values(FULL, subject)
    assert found['lifeboat_notification_failures_total{channel="hook",lifeboat_job="x"}'] == "0"
    assert found['lifeboat_notification_failures_total{channel="mail",lifeboat_job="x"}'] == "7"


def test_times_are_moments_and_no_label_grows_with_every_run():
    for name, value in values(FULL).items():
        labels = re.findall(r'(\w+)="', name)
        assert set(labels) <= {"lifeboat_job", "command", "kind", "repository", "channel"}, name
        assert not {"job", "instance"} & set(labels), "these belong to the scrape"
        if "timestamp" in name and value != "0":
            assert float(value) > 0
        assert "age" not in name


def test_every_metric_is_explained_once_before_its_values():
    text = metrics.text_of(metrics.samples(JOB, FULL, NOW))
    names = re.findall(r"^# HELP (\S+)", text, re.MULTILINE)
    assert names == re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert all(name.endswith("_total") for name in re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE))


def test_a_mirror_has_a_label_of_its_own_so_that_a_job_may_have_its_name():
    mirror = values(History(), Subject("mirror", "db1-shop", ("mirror",)))
    assert not set(mirror) & set(values(History()))
    assert mirror['lifeboat_last_success_timestamp_seconds{command="mirror",lifeboat_mirror="db1-shop"}'] == "0"


def test_names_are_escaped():
    found = metrics.text_of([metrics.Sample("lifeboat_info", {"version": 'a"b\\c\nd'}, 1.0)])
    assert found.splitlines()[-1] == 'lifeboat_info{version="a\\"b\\\\c\\nd"} 1'


def test_a_file_is_replaced_whole_and_readable_by_the_exporter(tmp_path):
    metrics.write(str(tmp_path), JOB, History(), NOW)
    (path,) = tmp_path.iterdir()
    assert (path.name, stat.S_IMODE(path.stat().st_mode)) == ("lifeboat.job.db1-shop.prom", 0o644)
    before = path.stat().st_ino
    metrics.write(str(tmp_path), JOB, FULL, NOW)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_ino != before, "a file that is written in place can be read half"


def test_a_job_that_is_removed_vanishes_and_files_of_others_stay(tmp_path):
    for name in ("other.prom", "lifeboat.job.gone.prom.bak"):
        (tmp_path / name).touch()
    gone, mirror = Subject("job", "gone", ("run",)), Subject("mirror", "gone", ("mirror",))
    for subject in (JOB, gone, mirror):
        metrics.write(str(tmp_path), subject, History(), NOW)
    metrics.write_host(str(tmp_path), NOW, [JOB, mirror])
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "lifeboat.job.db1-shop.prom",
        "lifeboat.job.gone.prom.bak",
        "lifeboat.mirror.gone.prom",
        "lifeboat.prom",
        "other.prom",
    ]


def test_a_folder_that_is_not_there_is_a_failure_with_a_remedy(tmp_path):
    with pytest.raises(LifeboatError, match="Cannot write metrics"):
        metrics.write(str(tmp_path / "x"), JOB, History(), NOW)
