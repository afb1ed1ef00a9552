# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import file_properties as fp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.property_writer import (
    PropertyWriter,
    modified_ns,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.tree_model import (
    file_row,
    object_row,
)

OWN: dict[str, t.Any] = {"mode": 0o644, "uid": 1, "gid": 2, "mtime_ns": -5}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"user": "bin", "group": "daemon", "type": "directory"},
        {"type": "symlink", "target": "../\udcff/é"},
        {"type": "char", "device": [1, 3]},
        {"xattrs": {"user.a": "AAE="}, "holes": [[0, 65536]]},
    ],
)
def test_properties_of_a_file_travel_as_metadata(more: dict[str, t.Any]) -> None:
    text, left_out = fp.as_metadata({**OWN, **more, "headers": {"content-type": "a/b"}})
    assert text.isascii() and "\n" not in text
    assert (fp.from_metadata(text), left_out) == ({**OWN, **more}, ())


def test_what_metadata_have_no_room_for_is_named() -> None:
    large = {**OWN, "holes": [[n, 1] for n in range(400)], "xattrs": {"user.a": "A" * 1_600}}
    text, left_out = fp.as_metadata(large)
    assert (len(text) < 2_000, left_out) == (True, ("holes",))
    text, left_out = fp.as_metadata({**large, "xattrs": {"user.a": "A" * 4_000}})
    assert (fp.from_metadata(text), left_out) == (OWN, ("holes", "xattrs"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": 0o10000},
        {"mode": True},
        {"mode": "644"},
        {"uid": -1},
        {"gid": 2**32 - 1},
        {"mtime_ns": 1.5},
        {"mtime_ns": 2**63},
        {"user": 1},
        {"type": "socket"},
        {"type": "symlink"},
        {"type": "hardlink"},
        {"type": "block"},
        {"type": "char", "device": [1]},
        {"type": "char", "device": [1, -3]},
        {"holes": [[1]]},
        {"holes": [[1, "2"]]},
        {"xattrs": []},
        {"xattrs": {"user.a": "no base64!"}},
        {"xattrs": {"user.a": 1}},
        {"surprise": 1},
    ],
)
def test_metadata_that_are_no_properties_are_refused(wrong: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fp.from_metadata(json.dumps({**OWN, **wrong}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{"])
def test_metadata_that_are_no_json_object_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fp.from_metadata(text)


def test_a_link_without_its_first_name_is_restored_as_a_file() -> None:
    first = file_row("a", b"bytes", mode=0o600)
    link = file_row("b", type="hardlink", target="a")
    assert fp.as_file(link, first) == first._replace(key="b")


def test_only_the_largest_holes_are_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fp, "_MOST_HOLES", 2)
    with (tmp_path / "f").open("wb") as file:
        for at, end in ((0, 1), (1_048_576, 1_048_577), (1_572_864, 1_572_865), (4_194_304, 4_194_305)):
            file.seek(at)
            file.write(b"x" * (end - at))
        file.truncate(4_194_305)
    with (tmp_path / "f").open("rb") as file:
        holes = fp.holes_of(file.fileno(), os.fstat(file.fileno()))
    assert len(holes) == 2
    assert [at < 1_048_576 for at, _length in holes] == [True, False]
    assert all(length > 900_000 for _at, length in holes)


@pytest.mark.parametrize(
    ("modified", "expected"),
    [
        ("2026-11-21T02:36:20.639906Z", 1_795_228_580_639_906_000),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
        ("", None),
        ("yesterday", None),
    ],
)
def test_the_time_of_an_object_is_that_of_its_row(modified: str, expected: int | None) -> None:
    assert modified_ns(object_row("a")._replace(modified=modified)) == expected


def test_owners_are_found_by_name_where_this_host_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fp, "user_number", {"app": 77}.get)
    monkeypatch.setattr(fp, "group_number", {"web": 88}.get)
    known = {**OWN, "user": "app", "group": "web"}
    assert PropertyWriter().owner_of(known) == (77, 88)
    assert PropertyWriter(numeric_owners=True).owner_of(known) == (1, 2)
    assert PropertyWriter().owner_of({**OWN, "user": "other"}) == (1, 2)
