# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes, names, headers and forbidden texts of all files."""

from __future__ import annotations

import ast
import pathlib
import re
import statistics

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

MOST_LINES_OF_A_FUNCTION = 80
MOST_LINES_OF_A_FILE = 400
MEDIAN_OF_A_FUNCTION = 12
HEADER = (
    "# Copyright (c) Lifeboat maintainers\n"
    "# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)
VAGUE_NAMES = frozenset(("utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core", "impl"))
# Hosts that texts may name: examples (RFC 2606, 5737), loopback, standards, licences, documentation, and our own place.
KNOWN_HOSTS = re.compile(
    r"localhost(?:\.example\.org)?|127\.\d+\.\d+\.\d+|0\.0\.0\.0|10\.0\.0\.1|192\.0\.2\.\d+|\[?::1\]?|h|s3|host"
    r"|(?:[a-z0-9-]+\.)*example(?:\.(?:com|org|net))?"
    r"|(?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?"
    r"|www\.gnu\.org|fsf\.org|json-schema\.org|www\.postgresql\.org|www\.rfc-editor\.org|docs\.ansible\.com"
    r"|keepachangelog\.com|semver\.org|github\.com"
)
URL = re.compile(r"\b(?:https?|ftp|git\+https)://(?:[^\s/@\"'<>`]+@)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*[A-Za-z0-9])")
# Words that only our own workshop uses, and folders of one machine; taken apart, so that this file has none of them.
WORKSHOP = re.compile(
    "|".join(
        (
            r"(?<![\w./-])/(?:wo" + r"rk/\w|ro" + r"ot/\.|ho" + r"me/[a-z]+/)",
            r"/tmp/" + "bu" + "ild",
            r"\b(?:is" + r"sue|tick" + r"et) #?\d",
            r"\bC" + r"EO\b",
            r"\bsub-?ag" + r"ent",
            r"\bLL" + r"M\b|\bChat" + r"GPT\b|\bCla" + r"ude\b",
            r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b",
            r"(?i:coming so" + r"on|not yet implemen" + r"ted)",
        )
    )
)
# Hosts of package indexes and image registries, with or without a scheme before them.
REGISTRY = re.compile(
    r"(?i)\b(?:(?:regis" + r"try|py" + r"pi|artifact" + r"ory|nex" + r"us|mirror|proxy)\.(?:[a-z0-9-]+\.)*"
    r"(?:org|io|com|net|dev|cloud|internal)|qu" + r"ay\.io|gh" + r"cr\.io)\b"
)


def function_problems(path: str, source: str) -> list[str]:
    return [
        f"{path}: {node.name} has {lines} lines"
        for node in ast.walk(collection.tree(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]


def header_problems(path: str, source: str) -> list[str]:
    if pathlib.PurePath(path).name == "__init__.py":
        return [f"{path} is not empty"] if source else []
    first, _newline, rest = source.partition("\n")
    text = rest if first.startswith("#!") else source
    return [] if text.startswith(HEADER) else [f"{path} has not the usual header"]


def name_problems(path: str) -> list[str]:
    words = {pathlib.PurePath(part).stem.lstrip("_") for part in pathlib.PurePath(path).parts}
    return [f"{path} is called {word}" for word in sorted(words & VAGUE_NAMES)]


def text_problems(path: str, text: str) -> list[str]:
    """Return the hosts that nobody needs to know, and what comes from the workshop."""
    hosts = {host for host in URL.findall(text) if not KNOWN_HOSTS.fullmatch(host.lower())}
    problems = [f"{path} names the host {host}" for host in sorted(hosts)]
    problems += [f"{path} names {found!r}" for found in sorted(set(REGISTRY.findall(text)))]
    return problems + [f"{path} says {found!r}" for found in sorted(set(WORKSHOP.findall(text)))]


def test_no_function_is_longer_than_a_screen():
    problems = [
        problem
        for path in collection.python_files()
        for problem in function_problems(collection.relative(path), path.read_text(encoding="utf-8"))
    ]
    assert problems == []


def test_most_functions_are_small():
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in collection.python_files(collection.PLUGINS)
        for node in ast.walk(collection.parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert statistics.median(lengths) <= MEDIAN_OF_A_FUNCTION


def test_no_file_of_the_plugins_holds_more_than_one_thing():
    lengths = {
        collection.relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in collection.python_files(collection.PLUGINS)
    }
    assert {path: length for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == {}


def test_every_python_file_has_the_header_and_packages_are_empty():
    found = collection.python_files()
    assert len(found) > 150, "the checkout was not found"
    sources = ((collection.relative(path), path.read_text(encoding="utf-8")) for path in found)
    assert [problem for path, source in sources for problem in header_problems(path, source)] == []


def test_every_part_of_the_engine_is_a_package():
    folders = {path.parent for path in collection.python_files(collection.PLUGINS / "module_utils")}
    assert [collection.relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_nothing_has_a_name_that_says_nothing():
    names = [collection.relative(path) for path in collection.files()]
    assert [problem for name in names for problem in name_problems(name)] == []


def test_no_file_names_a_registry_a_folder_of_one_machine_or_the_workshop():
    problems = [
        problem for path, text in collection.text_files() for problem in text_problems(collection.relative(path), text)
    ]
    assert problems == []


def test_the_licence_is_said_where_tools_look_for_it():
    assert collection.load_yaml((collection.ROOT / "galaxy.yml").read_text(encoding="utf-8"))["license"] == [
        "GPL-3.0-or-later"
    ]
    assert "GNU GENERAL PUBLIC LICENSE" in (collection.ROOT / "COPYING").read_text(encoding="utf-8")
    for path in sorted((collection.ROOT / "docs" / "schemas").glob("*.json")):
        assert "SPDX-License-Identifier: GPL-3.0-or-later" in path.read_text(encoding="utf-8")


def test_a_long_function_is_found():
    body = "    x = 1\n" * MOST_LINES_OF_A_FUNCTION
    assert function_problems("x.py", f"def long():\n{body}")
    assert function_problems("x.py", f"def short():\n{body[10:]}") == []


def test_a_missing_header_and_a_package_that_is_not_empty_are_found():
    assert header_problems("plugins/x.py", "from __future__ import annotations\n")
    assert header_problems("plugins/__init__.py", HEADER)
    assert header_problems("plugins/x.py", "#!/usr/bin/python\n" + HEADER) == []


@pytest.mark.parametrize("path", ["plugins/module_utils/helpers.py", "plugins/utils/x.py", "a/_common.py"])
def test_a_name_that_says_nothing_is_found(path):
    assert name_problems(path)


@pytest.mark.parametrize(
    "text",
    [
        "pip install --index-url ht" + "tps://registry.in" + "ternal/simple x",
        "ht" + "tps://user:word@mirror.in" + "ternal:8080/simple",
        "image: qu" + "ay.io/x/y",
        "set the index to py" + "pi.org",
        "see /ro" + "ot/.cache/x",
        "cd /wo" + "rk/main",
        "as is" + "sue 17 says",
        "as the C" + "EO wants",
        "# TO" + "DO: later",
        "Encryption is coming so" + "on.",
    ],
)
def test_a_host_or_a_word_that_nobody_needs_to_know_is_found(text):
    assert text_problems("README.md", text)


@pytest.mark.parametrize(
    "text",
    ["https://minio.example.com:9000", "http://127.0.0.1:9000/x", "the server's work/ folder", "issue a certificate"],
)
def test_ordinary_texts_are_let_pass(text):
    assert text_problems("README.md", text) == []
