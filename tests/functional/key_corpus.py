# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects with keys, bodies and properties that have broken copiers: what a backup must bring back, all of it.

Not every server takes every key: some refuse, some store an object under another key, some hide one behind another.
So the truth is what a server lists after it was filled.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import string
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import object_properties
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import ObjectProperties

_THREADS = 16
_PART = 5 * 1024 * 1024  # bytes: the smallest part that S3 takes


@dataclasses.dataclass(frozen=True)
class Example:
    """One object of the corpus."""

    key: str
    body: bytes
    properties: ObjectProperties = dataclasses.field(default_factory=ObjectProperties)
    part_bytes: int = 0  # 0: written by one request


def _component(sign: str, length: int, end: str = "") -> str:
    return sign * ((length - len(end.encode())) // len(sign.encode())) + end


def _deep(length: int) -> str:
    """Return a key of many short components that is so many bytes long."""
    return ("a/" * length)[: length - 1] + "z"


_LONG = _component("l", 255)
GROUPS: dict[str, list[str]] = {
    "plain": ["readme.txt", "photos/2026/11/20/0001.jpg", "photos/2026/11/20/0002.jpg", "UPPER/lower/MiXeD"],
    "punctuation": [f"punctuation/{sign}" for sign in string.punctuation if sign not in "/."]
    + [f"punctuation/a{sign}b" for sign in string.punctuation if sign != "/"],
    "xml": ["xml/<a>&b;\"c\"'d'", "xml/&amp;", "xml/&#38;", "xml/]]>", "xml/<!--x-->", "xml/\ufffe", "xml/\uffff"],
    "control": [f"control/{number:02x}-{chr(number)}-" for number in (*range(1, 32), 127, 0x80, 0x85, 0x9F)],
    "spaces": [f"spaces/{name}" for name in (" lead", "trail ", "two  of them", " ", "\u00a0", "\u3000x", "x\u2028y")],
    "percent": [f"percent/{name}" for name in ("%", "%%", "%2F", "%2f", "%00", "%zz", "%C3%A9", "a+b", "a%20b", "a b")],
    "unicode": [
        "unicode/caf\u00e9",
        "unicode/cafe\u0301",
        "unicode/\u1100\u1161",
        "unicode/\uac00",
        "unicode/\U0001f600/\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "unicode/\u202etxt.exe",
        "unicode/\ufeffbom",
        "unicode/\u00df-\u1e9e-SS",
        "unicode/\ud7ff\ue000",
        "unicode/\U0010ffff",
        "unicode/\u0130i\u0131",
    ],
    "dots": [f"dots/{name}" for name in (".hidden", "...", "x.", "x..", ".. /x", "a/...", "..x", "x/..y")],
    "ways out": ["../x", "a/../b", "./x", "a/./b", "..", ".", "a/..", "w/../../etc/passwd", "..\\x", "a\\..\\b"],
    "slashes": ["/x", "//x", "a//b", "a///b", "s/", "s/under", "with-data/", "twin", "twin/"],
    "prefixes": ["p", "p/c", "p/c/d", "p-c", "p0", "p.", "q/c/d", "q/c"],
    "case": ["Case/x", "case/x", "CASE/x", "case/X"],
    "ours": [
        "lifeboat.json",
        "manifests/lab/20261120T020000Z-0a1b2c.json",
        "data/lab/20261120T020000Z-0a1b2c/pack-0000.tar.zst",
        "pack-0000.tar.zst",
        "files.jsonl",
        "SHA256SUMS",
        "index.jsonl.zst",
        "d/photos/readme.txt",
        "LIFEBOAT.key",
        "PaxHeaders/x",
        "GNUSparseFile.0/x",
        "././@LongLink",
        "._x",
        ".lifeboat",
        ".tmp-0a1b2c",
        "%lifeboat%x",
        "=lifeboat=x",
        "x~1",
    ],
    "theirs": ["xl.meta", "part.1", ".minio.sys/x", "a__XLDIR__", ".sgwtmp/x", "lost+found/x", ".DS_Store"],
    "windows": [f"windows/{name}" for name in ("CON", "nul.txt", "C:\\x", "a:b", "a\\b", "\\\\server\\share", "x. ")],
    "shells": [f"shells/{name}" for name in ("-rf", "--", "~", "$HOME", "`id`", "$(id)", "a;b", "*", "[a-z]", "!x")],
    "json": ['json/"', "json/\\u0041", "json/null", "json/{}", "json/\\"],
    "long": [
        f"long/{_LONG}",
        f"long/{_component('l', 255, 'x')}",
        f"long/{_component('m', 256)}",
        f"long/{_component('é', 254)}",
        f"long/{_component('😀', 252)}",
        f"long/{_component('n', 200)}",
        f"long/{_component('n', 201)}",
        f"long/{_component('o', 250)}/{_component('o', 250)}/{_component('o', 250)}/{_component('o', 250)}/tail",
        _deep(1023),
        _deep(1024),
        f"{_component('k', 200)}/{_component('k', 200)}/{_component('k', 200)}/{_component('k', 200)}/"
        f"{_component('k', 220)}",
    ],
}

_SIZES = {"size/0": 0, "size/1": 1, "size/511": 511, "size/512": 512, "size/513": 513, "size/mebibyte": 1024 * 1024}
_PROPERTIES: dict[str, ObjectProperties] = {
    "type": ObjectProperties({"content-type": "text/plain; charset=utf-8"}),
    "headers": ObjectProperties(
        {
            "content-type": "application/x-gzip",
            "cache-control": "max-age=60, no-transform",
            "content-disposition": "attachment; filename=\"a b.txt\"; filename*=UTF-8''%e2%82%ac",
            "content-encoding": "identity",
            "content-language": "de, en",
            "expires": "Wed, 21 Oct 2037 07:28:00 GMT",
        }
    ),
    "metadata": ObjectProperties(
        metadata={"plain": "x", "empty-looking": "-", "comma": "a, b; c", "quotes": "\"a\" 'b'", "percent": "%41+%20"}
    ),
    "metadata-unicode": ObjectProperties(metadata={"name": "Grüße €", "emoji": "\U0001f600", "owner": "日本"}),
    "metadata-many": ObjectProperties(metadata={f"name-{number}": "v" * 20 for number in range(40)}),
    "metadata-mtime": ObjectProperties(metadata={"mtime": "1700000000.123456789", "mc-attrs": "mode:33188"}),
    "tags": ObjectProperties(tags={"a": "b", "empty": "", "sign +-=._:/@": "x y+z=1:2/3@4"}),
    "tags-ten": ObjectProperties(tags={f"tag-{number}": str(number) for number in range(10)}),
    "everything": ObjectProperties({"content-type": "image/png"}, {"a": "1"}, {"k": "v"}),
    "zero": ObjectProperties({"content-type": "application/json"}, {"a": "1"}, {"k": "v"}),
}


def examples() -> list[Example]:
    """Return the corpus; every body is another one, and the same at every call."""
    made = [Example(key, f"{key!r}\n".encode()) for keys in GROUPS.values() for key in keys]
    made = [Example(each.key, b"") if each.key in ("s/", "twin/") else each for each in made]
    made += [Example(key, _body(key, size)) for key, size in _SIZES.items()]
    made += [
        Example(f"properties/{name}", b"" if name == "zero" else _body(name, 100), properties)
        for name, properties in _PROPERTIES.items()
    ]
    made.append(Example("size/two parts", _body("parts", _PART + 77), _PROPERTIES["everything"], part_bytes=_PART))
    return made


def _body(seed: str, size: int) -> bytes:
    """Return bytes that do not compress."""
    return hashlib.shake_128(seed.encode()).digest(size)


@dataclasses.dataclass(frozen=True)
class State:
    """What a server has under one key."""

    sha256: str
    size: int  # bytes
    properties: ObjectProperties
    etag: str

    @property
    def content(self) -> tuple[str, int]:
        return self.sha256, self.size


def fill(client: S3Client, bucket: str, chosen: t.Iterable[Example] | None = None) -> dict[str, str]:
    """Write the corpus, and return what was refused: the keys and the server's words.

    Keys are written in groups that could hide each other one after the other, so that the outcome is always the same.
    """
    refused: dict[str, str] = {}

    def write(each: Example) -> None:
        try:
            put(client, bucket, each)
        except S3Error as error:
            refused[each.key] = error.cause

    first, later = [], []
    for each in examples() if chosen is None else chosen:
        (later if "/" in each.key[:-1] and _may_collide(each.key) else first).append(each)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(write, [each for each in first if not each.key.endswith("/")]))
        for each in [*(each for each in first if each.key.endswith("/")), *later]:
            write(each)
    return refused


def _may_collide(key: str) -> bool:
    return key.startswith(("p/", "q/", "s/", "twin", "a/", "./", "../", "w/", "//", "a//")) and len(key) < 100


def put(client: S3Client, bucket: str, example: Example) -> None:
    """Write one object with its properties."""
    headers = object_properties.to_fields(example.properties)
    if not example.part_bytes:
        client.put_object(bucket, example.key, example.body, headers)
        return
    upload_id = client.create_upload(bucket, example.key, headers)
    starts = range(0, len(example.body), example.part_bytes)
    parts = [
        client.put_part(bucket, example.key, upload_id, number, (example.body[start : start + example.part_bytes],))
        for number, start in enumerate(starts, 1)
    ]
    client.complete_upload(bucket, example.key, upload_id, parts)


def state(client: S3Client, bucket: str) -> dict[str, State]:
    """Return everything that a bucket lists, read back one by one."""
    keys = [each.key for each in client.list_objects(bucket)]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(keys, pool.map(lambda key: _state(client, bucket, key), keys)))


def _state(client: S3Client, bucket: str, key: str) -> State:
    data, found = client.get_bytes(bucket, key, 1 << 28)
    tags = client.tags(bucket, key) if object_properties.tagging_count(found.fields) else {}
    properties = object_properties.from_fields(found.fields, tags)
    return State(hashlib.sha256(data).hexdigest(), len(data), properties, found.etag)


@dataclasses.dataclass(frozen=True)
class Losses:
    """What did not come through a copy: keys, of objects that are not as they were."""

    missing: tuple[str, ...]
    renamed: tuple[str, ...]  # there under another key, and the copier told so
    content: tuple[str, ...]  # other bytes
    headers: tuple[str, ...]  # what others had before: a copier may add some
    metadata: tuple[str, ...]
    tags: tuple[str, ...]
    etags: tuple[str, ...]
    strangers: tuple[str, ...]  # keys that nobody wrote

    @property
    def silent(self) -> tuple[str, ...]:
        """Return everything that is not as it was, and that nobody was told of."""
        return tuple(sorted({*self.missing, *self.content, *self.headers, *self.metadata, *self.tags, *self.strangers}))


def losses(before: t.Mapping[str, State], after: t.Mapping[str, State], renamed: t.Mapping[str, str]) -> Losses:
    """Compare two states; `renamed` are the other keys (true key → key) that the copier told of."""
    there = {key: after.get(renamed.get(key, key)) for key in before}
    pairs = [(key, before[key], found) for key, found in there.items() if found is not None]

    def worse(part: t.Callable[[State], t.Mapping[str, str]]) -> tuple[str, ...]:
        return tuple(key for key, was, now in pairs if not part(was).items() <= part(now).items())

    return Losses(
        missing=tuple(key for key, found in there.items() if found is None),
        renamed=tuple(key for key in renamed if key in before),
        content=tuple(key for key, was, now in pairs if was.content != now.content),
        headers=worse(lambda each: each.properties.headers),
        metadata=worse(lambda each: each.properties.metadata),
        tags=worse(lambda each: each.properties.tags),
        etags=tuple(key for key, was, now in pairs if was.etag != now.etag),
        strangers=tuple(sorted(set(after) - {renamed.get(key, key) for key in before})),
    )
