# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.comparison import Comparison, compare
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import (
    Fingerprint,
    ObjectFingerprint,
    TableFingerprint,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.rows import RowSums

TABLE = TableFingerprint(3, 30, "c0", "d0", RowSums(1, 2))
ONE = Fingerprint(
    tables={"public.t": TABLE},
    large_objects={1: (2, "aa")},
    objects={
        "TABLE public.t": ObjectFingerprint("TABLE", 1, "01"),
        "ACL public.t": ObjectFingerprint("ACL", 1, "02"),
        "SEQUENCE SET public.s": ObjectFingerprint("SEQUENCE SET", 1, "03"),
        "BLOB": ObjectFingerprint("BLOB", 1, "04"),
    },
)


def with_table(table: TableFingerprint) -> Fingerprint:
    return replace(ONE, tables={"public.t": table})


def with_object(key: str, changed: ObjectFingerprint) -> Fingerprint:
    return replace(ONE, objects={**ONE.objects, key: changed})


def told(restored: Fingerprint, same_major: bool = True) -> tuple[str, ...]:
    return compare(ONE, restored, same_major=same_major).differences


def test_equal_fingerprints_have_no_difference() -> None:
    assert compare(ONE, ONE, same_major=True) == Comparison((), ())


def test_tables_are_compared_by_rows_columns_and_content() -> None:
    assert told(replace(ONE, tables={})) == ("table public.t: not restored",)
    assert told(replace(ONE, tables={**ONE.tables, "x": TABLE})) == ("table x: not in the archive",)
    assert told(with_table(replace(TABLE, rows=2))) == ("table public.t: 3 rows in the archive, 2 restored",)
    assert told(with_table(replace(TABLE, columns="c1"))) == ("table public.t: other columns",)
    other = ("table public.t: 3 rows, some with other content",)
    assert told(with_table(replace(TABLE, ordered="d1", sums=RowSums(1, 3)))) == other
    assert told(with_table(replace(TABLE, ordered="d1", size_bytes=31))) == other


def test_another_order_is_accepted_only_when_sums_prove_it() -> None:
    assert told(with_table(replace(TABLE, ordered="d1"))) == ()
    assert told(with_table(replace(TABLE, ordered="d1", sums=None))) != ()


def test_large_objects_are_compared_by_count_and_content() -> None:
    assert told(replace(ONE, large_objects={})) == ("2 large objects in the archive, 0 restored",)
    assert told(replace(ONE, large_objects={1: (2, "ab")})) == ("large objects: at least 1 of 2 have other content",)


def test_definitions_with_expressions_may_be_worded_otherwise_and_others_not() -> None:
    changed = with_object("TABLE public.t", ObjectFingerprint("TABLE", 1, "ff"))
    assert compare(ONE, changed, same_major=True) == Comparison((), ("TABLE public.t: another definition",))
    assert told(with_object("ACL public.t", ObjectFingerprint("ACL", 1, "ff"))) == ("ACL public.t: another definition",)


def test_between_majors_only_values_and_presence_count() -> None:
    assert told(with_object("ACL public.t", ObjectFingerprint("ACL", 1, "ff")), same_major=False) == ()
    assert told(with_object("BLOB", ObjectFingerprint("BLOB", 7, "ff")), same_major=False) == ()
    sequence = with_object("SEQUENCE SET public.s", ObjectFingerprint("SEQUENCE SET", 1, "ff"))
    assert told(sequence, same_major=False) == ("SEQUENCE SET public.s: another definition",)
    gone = replace(ONE, objects={key: found for key, found in ONE.objects.items() if key != "ACL public.t"})
    assert told(gone, same_major=False) == ("ACL public.t: not restored",)


def test_the_list_of_differences_is_bounded() -> None:
    many = replace(ONE, tables={f"t{number}": TABLE for number in range(500)})
    assert len(told(many)) == 51
    assert told(many)[-1] == "and 451 more"


def test_the_summary_is_small_whatever_the_database_holds() -> None:
    many = replace(ONE, tables={f"t{number}": TABLE for number in range(500)})
    assert len(str(many.summary())) < 400
    assert many.summary()["rows"] == 1500


def test_a_table_whose_rows_the_archive_never_had_may_come_back_empty_only() -> None:
    empty, full = replace(TABLE, rows=0, size_bytes=0), TABLE
    for table, differences in ((empty, ()), (full, ("table public.quick: not in the archive",))):
        assert told(replace(ONE, tables={**ONE.tables, "public.quick": table})) == differences
