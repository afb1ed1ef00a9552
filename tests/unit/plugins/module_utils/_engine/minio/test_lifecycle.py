# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import lifecycle
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.lifecycle import LifecycleRule

RULES = (
    LifecycleRule(id="old", noncurrent_days=90, newer_noncurrent_versions=3),
    LifecycleRule(id="markers", expired_object_delete_marker=True),
    LifecycleRule(id="tmp", prefix="tmp/", tags=(("a", "1"), ("b", "ä & <x>")), min_size=5, expiration_days=7),
    LifecycleRule(id="date", enabled=False, prefix="x", expiration_date="2030-12-31"),
    LifecycleRule(id="tag", tags=(("only", "one"),), expiration_days=1),
    LifecycleRule(id="size", max_size=100, expiration_days=1),
    LifecycleRule(id="cold", transition_days=0, transition_class="WARM", abort_multipart_days=2),
    LifecycleRule(id="older", noncurrent_transition_days=3, noncurrent_transition_class="WARM"),
)


def document(*rules: str) -> bytes:
    return (
        f"<LifecycleConfiguration>{''.join(f'<Rule>{rule}</Rule>' for rule in rules)}</LifecycleConfiguration>".encode()
    )


def only(*parts: str) -> LifecycleRule:
    (rule,) = lifecycle.from_xml(document("".join(parts)))
    return rule


def test_what_is_written_reads_back_equal():
    assert lifecycle.from_xml(lifecycle.to_xml(RULES)) == RULES


@pytest.mark.parametrize("order", list(itertools.permutations(RULES[:4])))
def test_the_order_of_rules_does_not_matter(order):
    assert lifecycle.same(RULES[:4], order)


def test_a_rule_without_id_matches_the_one_that_the_server_named():
    wanted = (LifecycleRule(noncurrent_days=9), LifecycleRule(id="b", expiration_days=1))
    found = (LifecycleRule(id="b", expiration_days=1), LifecycleRule(id="d0cb5c1e", noncurrent_days=9))
    assert lifecycle.same(wanted, found)


def test_a_named_rule_is_matched_before_one_without_name_can_take_its_place():
    twice = (LifecycleRule(id="x", expiration_days=1), LifecycleRule(id="named", expiration_days=1))
    assert lifecycle.same((LifecycleRule(expiration_days=1), twice[1]), twice)
    assert lifecycle.same((LifecycleRule(expiration_days=1), twice[1]), twice[::-1])


@pytest.mark.parametrize(
    "found",
    [
        (LifecycleRule(id="other", expiration_days=1),),
        (LifecycleRule(id="a", expiration_days=2),),
        (LifecycleRule(id="a", expiration_days=1, enabled=False),),
        (LifecycleRule(id="a", expiration_days=1, prefix="p"),),
        (LifecycleRule(id="a", expiration_days=1, other=("DelMarkerExpiration/Days=3",)),),
        (LifecycleRule(id="a", expiration_days=1), LifecycleRule(id="b", expiration_days=2)),
        (),
    ],
)
def test_another_rule_is_a_difference(found):
    assert not lifecycle.same((LifecycleRule(id="a", expiration_days=1),), found)


@pytest.mark.parametrize(
    "filters, prefix",
    [
        ("<Prefix>a/</Prefix>", "a/"),
        ("<Filter><Prefix>a/</Prefix></Filter>", "a/"),
        ("<Filter><And><Prefix>a/</Prefix></And></Filter>", "a/"),
        ("<Filter></Filter>", ""),
        ("<Filter><Prefix></Prefix></Filter>", ""),
        ("<Prefix/>", ""),
        ("", ""),
    ],
)
def test_each_form_of_a_filter_means_its_prefix(filters, prefix):
    rule = only("<ID>a</ID><Status>Enabled</Status>", filters, "<Expiration><Days>1</Days></Expiration>")
    assert rule == LifecycleRule(id="a", prefix=prefix, expiration_days=1)


def test_tags_match_in_any_order():
    tags = [f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in (("b", "2"), ("a", "1"))]
    rule = only(
        "<Status>Enabled</Status><Filter><And>", *tags, "</And></Filter><Expiration><Days>1</Days></Expiration>"
    )
    assert lifecycle.same((LifecycleRule(tags=(("a", "1"), ("b", "2")), expiration_days=1),), (rule,))


def test_a_transition_after_no_days_may_come_back_without_them():
    rule = only("<Status>Enabled</Status><Transition><StorageClass>WARM</StorageClass></Transition>")
    assert rule == LifecycleRule(transition_days=0, transition_class="WARM")


def test_what_this_collection_does_not_know_makes_a_rule_different_but_false_flags_do_not():
    known = (
        "<Status>Enabled</Status><Expiration><Days>1</Days><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>"
    )
    assert only(known, "</Expiration>") == LifecycleRule(expiration_days=1)
    extra = only(known, "<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>")
    assert extra.other == ("Expiration/ExpiredObjectAllVersions=true",)
    second = only(
        "<Status>Enabled</Status><Transition><Days>1</Days><StorageClass>A</StorageClass></Transition>"
        "<Transition><Days>9</Days><StorageClass>B</StorageClass></Transition>"
    )
    assert second.other == ("Transition/Days=9", "Transition/StorageClass=B")


def test_a_document_with_a_namespace_reads_the_same():
    plain = document("<ID>a</ID><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>")
    named = plain.replace(b"<LifecycleConfiguration>", b'<LifecycleConfiguration xmlns="http://example.com/x">')
    assert lifecycle.from_xml(named) == lifecycle.from_xml(plain)


@pytest.mark.parametrize("data", [b"", b"<html>", document("<Expiration><Days>soon</Days></Expiration>")])
def test_an_answer_that_is_no_lifecycle_is_refused(data):
    with pytest.raises(DamagedError):
        lifecycle.from_xml(data)


@pytest.mark.parametrize(
    "rules",
    [
        [LifecycleRule()],
        [LifecycleRule(id="only-a-filter", prefix="x", tags=(("a", "b"),))],
        [LifecycleRule(expiration_days=0)],
        [LifecycleRule(noncurrent_days=-1)],
        [LifecycleRule(newer_noncurrent_versions=0)],
        [LifecycleRule(transition_days=-1, transition_class="A")],
        [LifecycleRule(expiration_days=1, expired_object_delete_marker=True)],
        [LifecycleRule(expiration_days=1, expiration_date="2030-01-01")],
        [LifecycleRule(expiration_date="2030-02-30")],
        [LifecycleRule(expiration_date="soon")],
        [LifecycleRule(transition_days=1)],
        [LifecycleRule(noncurrent_transition_class="A")],
        [LifecycleRule(tags=(("a", "b"),), expired_object_delete_marker=True)],
        [LifecycleRule(id="a", expiration_days=1), LifecycleRule(id="a", noncurrent_days=1)],
        [LifecycleRule(expiration_days=1), LifecycleRule(expiration_days=1)],
        [LifecycleRule(id="a" * 256, expiration_days=1)],
    ],
)
def test_a_rule_that_no_server_takes_is_refused(rules):
    with pytest.raises(UsageError):
        lifecycle.check(rules, "docs")


def test_good_rules_are_accepted():
    lifecycle.check(RULES, "docs")


def test_a_rule_is_shown_without_what_it_leaves_open():
    assert lifecycle.shown(RULES[0]) == {
        "id": "old",
        "enabled": True,
        "noncurrent_days": 90,
        "newer_noncurrent_versions": 3,
    }
    assert lifecycle.shown(RULES[2])["tags"] == {"a": "1", "b": "ä & <x>"}
