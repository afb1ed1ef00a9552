# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors between buckets and directories."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.mirror_job import Side
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mirror_directory_target
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE
from ansible_collections.lifeboat.recovery.tests.functional.mirror_fixtures import (
    MIB,
    PART,
    Makes,
    counts,
    here,
    here_server,
    mirrored,
    planned,
    there,
    there_server,
)

__all__ = ["here", "here_server", "there", "there_server"]


def side(folder: pathlib.Path) -> Side:
    return Side("", path=str(folder))


def files(folder: pathlib.Path) -> dict[str, bytes]:
    """Return the files of a directory, by path, but for the quarantine."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(QUARANTINE)}


def quarantined(folder: pathlib.Path) -> dict[str, bytes]:
    found = {path.relative_to(folder / QUARANTINE): path for path in (folder / QUARANTINE).rglob("*") if path.is_file()}
    return {"/".join(name.parts[1:]): path.read_bytes() for name, path in found.items()}


def test_a_bucket_becomes_a_directory_and_comes_back(here: Makes, there: Makes, tmp_path: pathlib.Path) -> None:
    source, back = here(), there()
    source.put("a", b"1", content_type="text/plain", x_amz_meta_name="ä", x_amz_tagging="a=b")
    source.put("d/e/f", b"")
    source.put("d.x", b"2")
    source.put("ä ö\n", b"3")
    source.put("folder/", b"")
    source.put_parts("parts", os.urandom(PART), os.urandom(PART), b"the end")
    source.put("large", os.urandom(33 * MIB))
    result = mirrored(source.side(), side(tmp_path))
    assert files(tmp_path) == {key: source.get(key) for key in source.etags() if key != "folder/"}
    assert counts(result) == {"copy": 6}
    assert any("1 empty objects that stand for folders were left out" in words for words in result.remarks)
    assert planned(source.side(), side(tmp_path)) == [{}]
    assert planned(source.side(), side(tmp_path), compares_properties=True) == [{}]
    mirrored(side(tmp_path), back.side())
    assert {key: back.get(key) for key in back.etags()} == files(tmp_path)
    kept, first = back.properties("a"), source.properties("a")
    assert (kept.headers, kept.tags) == (first.headers, first.tags)
    assert {name: kept.metadata[name] for name in first.metadata} == first.metadata
    assert planned(side(tmp_path), back.side()) == [{}]


def test_a_directory_keeps_what_is_overwritten_or_removed(here: Makes, tmp_path: pathlib.Path) -> None:
    source = here()
    for key in ("same", "changed", "d/gone"):
        source.put(key, b"old")
    mirrored(source.side(), side(tmp_path))
    os.symlink("/etc/passwd", tmp_path / "link")
    source.put("changed", b"new")
    source.put("link", b"object")
    source.client.delete(source.name, "d/gone")
    assert counts(mirrored(source.side(), side(tmp_path))) == {"copy": 1, "replace": 1, "remove": 1}
    assert files(tmp_path) == {"same": b"old", "changed": b"new", "link": b"object"}
    assert not (tmp_path / "d").exists()
    (run,) = (tmp_path / QUARANTINE).iterdir()
    assert (run / "link").is_symlink() and (run / "changed").read_bytes() == b"old"
    assert (run / "d" / "gone").read_bytes() == b"old"
    assert planned(source.side(), side(tmp_path)) == [{}]


def test_a_file_that_somebody_changed_is_replaced_and_kept(here: Makes, tmp_path: pathlib.Path) -> None:
    source = here()
    source.put("a", b"1")
    mirrored(source.side(), side(tmp_path))
    (tmp_path / "a").write_bytes(b"2")
    mirrored(source.side(), side(tmp_path))
    assert files(tmp_path) == {"a": b"1"} and quarantined(tmp_path) == {"a": b"2"}


def test_changed_tags_are_noticed_when_properties_are_compared(here: Makes, tmp_path: pathlib.Path) -> None:
    source = here()
    source.put("a", b"1")
    mirrored(source.side(), side(tmp_path))
    source.client.set_tags(source.name, "a", {"x": "y"})
    assert planned(source.side(), side(tmp_path), compares_properties=True) == [{"replace": 1}]
    mirrored(source.side(), side(tmp_path), compares_properties=True)
    kept = json.loads(os.getxattr(tmp_path / "a", "user.lifeboat.properties"))
    assert kept["tags"] == {"x": "y"}


@pytest.mark.parametrize("versioned", [True, False])
def test_a_directory_becomes_a_bucket(here: Makes, tmp_path: pathlib.Path, versioned: bool) -> None:
    target = here(versioned)
    (tmp_path / "d" / "empty").mkdir(parents=True)
    (tmp_path / "d" / "a").write_bytes(b"1")
    (tmp_path / "d.x").write_bytes(b"")
    os.link(tmp_path / "d" / "a", tmp_path / "z")
    os.symlink("a", tmp_path / "d" / "link")
    (tmp_path / "large").write_bytes(os.urandom(33 * MIB))
    target.put("gone", b"old")
    target.put("large", b"old")
    result = mirrored(side(tmp_path), target.side())
    assert {key: target.get(key) for key in target.etags()} == {
        name: data for name, data in files(tmp_path).items() if name != "d/link"
    }
    assert result.remarks == (f"{tmp_path}: 1 links, devices, sockets or pipes were left out",)
    old = {key: data for (key, _etag), data in target.old_versions().items()} | target.quarantined()
    assert old == {"gone": b"old", "large": b"old"}
    assert planned(side(tmp_path), target.side()) == [{}]
    (tmp_path / "d" / "a").write_bytes(b"2")
    assert planned(side(tmp_path), target.side()) == [{"replace": 2}]
    os.chmod(tmp_path / "d.x", 0o600)
    mirrored(side(tmp_path), target.side())
    assert json.loads(target.properties("d.x").metadata["lifeboat-file"])["mode"] == 0o600
    assert planned(side(tmp_path), target.side()) == [{}]


def test_keys_never_lead_out_of_the_directory(here: Makes, tmp_path: pathlib.Path, monkeypatch: t.Any) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", target / "link")
    source = here()
    source.put("link/a", b"1")
    source.put("good", b"1")
    with pytest.raises(IncompleteError, match="link/a"):
        mirrored(source.side(), side(target))
    assert list((tmp_path / "outside").iterdir()) == []
    assert (target / "good").read_bytes() == b"1"


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/../b", ".", "", "x/", "n" * 256, "a\0b"])
def test_what_cannot_be_a_path_is_an_error_of_that_object(key: str) -> None:
    assert not mirror_directory_target.is_path(key)


def test_a_directory_gives_way_to_a_file_of_its_name(here: Makes, tmp_path: pathlib.Path) -> None:
    source = here()
    source.put("a/b", b"1")
    mirrored(source.side(), side(tmp_path))
    source.client.delete(source.name, "a/b")
    source.put("a", b"2")
    mirrored(source.side(), side(tmp_path))
    assert files(tmp_path) == {"a": b"2"}
    assert [path.read_bytes() for path in tmp_path.glob(".lifeboat-quarantine/*/a/b")] == [b"1"]


def test_a_missing_directory_is_refused(here: Makes, tmp_path: pathlib.Path) -> None:
    bucket = here()
    bucket.put("a", b"1")
    with pytest.raises(GuardRefusal) as refusal:
        mirrored(side(tmp_path / "none"), bucket.side())
    assert refusal.value.guard == "source"
    with pytest.raises(LifeboatError, match="No such file"):
        mirrored(bucket.side(), side(tmp_path / "none"))
    with pytest.raises(UsageError, match="directories"):
        mirrored(side(tmp_path), side(tmp_path / "none"))
