# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.member_names import (
    COLLECTION_FIELD,
    KEY_FIELD,
    MemberName,
    MemberNames,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_frames import header
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, order
from hypothesis import example, given, settings
from hypothesis import strategies as st

PIECES = [
    "a",
    "A",
    "b.txt",
    "",
    ".",
    "..",
    "%",
    "%2E",
    "%~",
    "%long",
    "d",
    "é",
    "e\u0301",
    "\n",
    "\0",
    "\udcff",
    "x" * 250,
]
pieces = st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
keys = st.lists(pieces, min_size=1, max_size=5).map("/".join).filter(bool)


def names_of(keys_: list[str], collection: str = "uploads") -> list[MemberName]:
    names = MemberNames(collection)
    return [names.name(key) for key in keys_]


@given(st.sets(keys, max_size=30))
@example({"p", "p!", "p/c", "p//c", "p/", "p%", "p%/c"})
@example({"p", "p/" + "x" * 250 + "/a", "p/" + "x" * 250})
@example({"\udcc3", "\udcc3/x", "é"})
@settings(deadline=None, max_examples=300)
def test_names_are_different_safe_and_not_below_each_other(found: set[str]) -> None:
    ordered = sorted(found, key=order)
    names = [each.name for each in names_of(ordered)]
    assert len(set(names)) == len(names)
    for name in names:
        parts = name.encode("utf-8").split(b"/")
        assert parts[:2] == [b"d", b"uploads"]
        assert all(part not in (b"", b".", b"..") and len(part) <= 210 for part in parts)
        assert all(byte >= 32 and byte != 127 for part in parts for byte in part)
        above = {name[:at] for at in range(len(name)) if name[at] == "/"}
        assert not above.intersection(names)


@given(st.sets(keys, max_size=10))
@settings(deadline=None, max_examples=100)
def test_the_header_tells_the_true_key_wherever_the_name_does_not(found: set[str]) -> None:
    for key, name in zip(sorted(found, key=order), names_of(sorted(found, key=order))):
        data = header(name, Item(key, 0, "", "2026-11-21T02:36:20.639906Z"), 0) + bytes(1024)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            [one] = archive.getmembers()
        assert one.name == name.name
        assert one.pax_headers.get(KEY_FIELD, one.name[len("d/uploads/") :]) == key


@pytest.mark.parametrize(
    "key, name",
    [
        ("2026/11/photo 1.jpg", "2026/11/photo 1.jpg"),
        ("über/ü", "über/ü"),
        ("../x", "%2E%2E/x"),
        ("/x", "%/x"),
        ("a//b", "a/%/b"),
        ("a/", "a/%"),
        ("100%", "100%25"),
        ("a\nb", "a%0Ab"),
        ("a\\b", "a%5Cb"),
        ("caf\udce9", "caf%E9"),
        (".profile", ".profile"),
        ("pack-0000.tar.zst", "pack-0000.tar.zst"),
    ],
)
def test_names_are_the_keys_as_far_as_that_is_safe(key: str, name: str) -> None:
    assert names_of([key]) == [MemberName(f"d/uploads/{name}", {} if key == name else {KEY_FIELD: key})]


def test_what_lies_below_an_object_gets_a_folder_of_another_name() -> None:
    names = [each.name for each in names_of(["p", "p-1", "p/c", "p/c/d", "q/c"])]
    assert names == [f"d/uploads/{path}" for path in ("p", "p-1", "p%/c", "p%/c%/d", "q/c")]


def test_a_long_component_is_shortened_and_a_long_key_has_a_name_of_its_own() -> None:
    [first, second] = [each.name for each in names_of(["x" * 300, "x" * 301])]
    assert first != second
    assert all(name.startswith("d/uploads/xxx") and len(name) == 210 for name in (first, second))
    [long] = names_of(["/".join(["y" * 100] * 40)])
    assert long.name.startswith("d/uploads/%long/")


def test_a_collection_with_slashes_is_one_folder() -> None:
    [found] = names_of(["a"], "/srv/data")
    assert found == MemberName("d/%2Fsrv%2Fdata/a", {COLLECTION_FIELD: "/srv/data"})


@pytest.mark.parametrize("size", [0, 1, 8**11 - 1, 8**11, 10**13])
@pytest.mark.parametrize("key", ["a", "x" * 89, "x" * 90, "x" * 91, "é", "%"])
def test_the_cheap_header_is_that_of_pax(key: str, size: int) -> None:
    [name] = names_of([key])
    item = Item(key, size, "", "1700000000123456789")
    info = tarfile.TarInfo(name.name)
    info.size, info.mode, info.mtime, info.pax_headers = size, 0o600, 1_700_000_000, name.fields
    assert header(name, item, size) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
