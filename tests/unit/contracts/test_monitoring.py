# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics, the alerts on them, the tests of these and the page that explains all say the same."""

from __future__ import annotations

import re

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import metrics
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

PAGE = (collection.ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
RULES = collection.load_yaml(
    (collection.ROOT / "extensions" / "prometheus" / "lifeboat.rules.yml").read_text(encoding="utf-8")
)
LABELS = {metrics.JOB, metrics.MIRROR}


def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def metric_names(text):
    return set(re.findall(r"\blifeboat_[a-z0-9_]+", text)) - LABELS


def cases_of_rules():
    paths = sorted((collection.ROOT / "tests" / "prometheus").glob("*.test.yml"))
    return [test for path in paths for test in collection.load_yaml(path.read_text(encoding="utf-8"))["tests"]]


def test_the_page_explains_every_metric_and_no_other():
    table = PAGE.partition("## Metrics")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(lifeboat_[a-z0-9_]+)` \|", table, re.MULTILINE)) == set(metrics.FAMILIES)


def test_the_page_explains_every_alert_and_no_other():
    table = PAGE.partition("## Alerts")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(Lifeboat\w+)` \|", table, re.MULTILINE)) == {rule["alert"] for rule in rules()}


def test_alerts_ask_for_metrics_that_there_are():
    for rule in rules():
        assert metric_names(rule["expr"]) <= set(metrics.FAMILIES), rule["alert"]


def test_every_alert_says_how_bad_it_is_what_happened_and_what_to_do():
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def test_every_alert_is_seen_to_come_and_to_stay_away():
    comes, stays = set(), set()
    for test in cases_of_rules():
        for case in test["alert_rule_test"]:
            (comes if case["exp_alerts"] else stays).add(case["alertname"])
    names = {rule["alert"] for rule in rules()}
    assert comes == names
    # Their series that are no reason for an alert stand beside one that is.
    assert names - stays <= {"LifeboatFailed", "LifeboatFlagged", "LifeboatRepositoryFilling"}


def test_tests_of_alerts_use_metrics_that_there_are():
    for test in cases_of_rules():
        for series in test["input_series"]:
            assert metric_names(series["series"]) <= set(metrics.FAMILIES), test["name"]
