# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-alone decryptor on the golden encrypted repository, which it reads with the code alone."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pathlib
import re
import shutil
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    json_document,
    keyring,
    organisation_secret,
    recovery_code,
    rescue_files,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import decompressed
from ansible_collections.lifeboat.recovery.tests.unit.fixtures.golden_keyring.write import FILES

GOLDEN = pathlib.Path(__file__).resolve().parents[4] / "fixtures" / "golden_keyring"


@pytest.fixture
def repository(tmp_path):
    return pathlib.Path(shutil.copytree(GOLDEN / "repository", tmp_path / "repository"))


@pytest.fixture(scope="module")
def program():
    """Return the decryptor as a repository has it, as a module."""
    found = types.ModuleType("rescue")
    found.__file__ = "/RESCUE/rescue.py"
    exec(compile(rescue_files.decryptor(), "rescue.py", "exec"), found.__dict__)  # what is tested is the file itself
    return found


@pytest.fixture
def run(program, repository, tmp_path, capsys):
    def act(*arguments):
        code = ["--repository", str(repository), "--code-file", str(GOLDEN / "code")]
        answer = program.main([*code, *arguments])
        said = capsys.readouterr()
        return answer, said.out + said.err

    return act


def contents(folder):
    return {
        os.fsdecode(os.path.relpath(path, folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def plain_digests(repository, job):
    (manifest,) = (repository / "manifests" / job).glob("*.json")
    fields = json.loads(manifest.read_bytes())
    return {re.sub(r"\.zst\.enc$", "", each["name"]): each["plain_sha256"] for each in fields["files"]}


def test_a_database_comes_back_as_it_was(run, repository, tmp_path):
    answer, said = run("restore", "db1-shop", "latest", str(tmp_path / "out"))
    assert answer == 0, said
    found = contents(tmp_path / "out")
    digests = plain_digests(repository, "db1-shop")
    assert sorted(found) == ["database.dump", "globals.sql"]
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == {n: digests[n] for n in found}
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_files_come_back_as_they_were(run, tmp_path):
    answer, said = run("restore", "db1-etc", "latest", str(tmp_path / "out"))
    assert answer == 0, said
    (root,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    safe = {name.replace("\n", "%0A").replace("\udce4", "%E4"): data for name, data in FILES.items()}
    assert contents(root) == safe
    rows = [json.loads(line) for line in (tmp_path / "out" / "objects.jsonl").read_text().splitlines()]
    assert set(FILES) <= {row[1] for row in rows}
    assert all((tmp_path / "out" / row[2]).exists() for row in rows)


def test_a_folder_with_the_name_of_an_object_gets_a_percent_sign(program, repository, tmp_path):
    into = tmp_path / "out"
    into.mkdir()
    (into / "p").write_bytes(b"an object")
    restore = program.Restore(program.Repository(str(repository)), {}, str(into), False)
    assert restore._folder(["p", "c"]) == restore._folder(["p", "c"]) == str(into / "p%" / "c")
    assert [program._safe(part) for part in ("", ".", "..", "a%b\\c")] == ["%", "%2E", "%2E%2E", "a%25b%5Cc"]
    assert len(program._safe("ä" * 300).encode()) <= 200


def test_without_zstd_the_files_are_left_for_the_program(run, program, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "zstd_reader", lambda: None)
    assert run("restore", "db1-shop", "latest", str(tmp_path / "out"))[0] == 0
    assert run("restore", "db1-etc", "latest", str(tmp_path / "etc"))[0] == 0
    assert sorted(contents(tmp_path / "out")) == ["database.dump.zst", "globals.sql.zst"]
    assert set(contents(tmp_path / "etc")) == {"index.jsonl.zst", "segments.jsonl.zst", "pack-0000.tar.zst"}


def test_what_is_left_for_the_program_is_what_was_backed_up(run, repository, tmp_path):
    run("--raw", "restore", "db1-shop", "latest", str(tmp_path / "out"))
    plain = b"".join(decompressed([(tmp_path / "out" / "globals.sql.zst").read_bytes()], "zstd"))
    assert hashlib.sha256(plain).hexdigest() == plain_digests(repository, "db1-shop")["globals.sql"]


def test_the_repository_is_not_written_to(run, repository, tmp_path):
    before = contents(repository)
    run("restore", "db1-etc", "latest", str(tmp_path / "out"))
    run("list")
    run("check")
    assert contents(repository) == before


def test_backups_are_listed_without_a_code(program, repository, capsys):
    assert program.main(["--repository", str(repository), "list"]) == 0
    assert re.search(r"^db1-shop 20261121T023618Z-8f9b10$", capsys.readouterr().out, re.MULTILINE)


def test_the_code_opens_all_epochs(run):
    answer, said = run("check")
    assert answer == 0 and "0001, 0002" in said


def test_another_code_is_refused(program, repository, tmp_path, capsys):
    (tmp_path / "other").write_text(recovery_code.printed(recovery_code.new()))
    for text in (recovery_code.printed(recovery_code.new()), "AAAA-BBBB"):
        (tmp_path / "other").write_text(text)
        assert program.main(["--repository", str(repository), "--code-file", str(tmp_path / "other"), "check"]) == 1
        assert "Failed: " in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_written_into(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    assert run("restore", "db1-shop", "latest", str(tmp_path / "out"))[0] == 1
    assert contents(tmp_path / "out") == {"mine": b"mine"}


@pytest.mark.parametrize("name", ["../db1-shop", "db1-shop/../db1-shop", "nothing"])
def test_a_strange_job_is_refused(run, tmp_path, name):
    assert run("restore", name, "latest", str(tmp_path / "out"))[0] == 1


@pytest.mark.parametrize("job", ["db1-shop", "db1-etc"])
def test_every_flipped_bit_of_a_stored_file_is_noticed(program, repository, tmp_path, job):
    opened = program.Repository(str(repository))
    opened.unlock(program.code_from((GOLDEN / "code").read_text()))
    manifest = opened.manifest(job, "latest")
    for path in sorted(repository.glob(f"data/{job}/*/*.enc")):
        data = path.read_bytes()
        damaged = [data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for at in range(0, len(data), len(data) // 12)]
        for changed in (*damaged, data[:-20], data + b"more"):
            path.write_bytes(changed)
            with pytest.raises((program.RescueError, ValueError)):
                program.Restore(opened, manifest, str(tmp_path / "out"), False).run()
            shutil.rmtree(tmp_path / "out")
        path.write_bytes(data)
    program.Restore(opened, manifest, str(tmp_path / "out"), False).run()


def rewritten(path, change):
    fields = json.loads(path.read_bytes())
    fields.pop("digest")
    change(fields)
    path.write_bytes(json_document.encoded(fields))


def test_a_manifest_that_was_edited_is_refused(run, repository, tmp_path):
    (path,) = (repository / "manifests" / "db1-shop").glob("*.json")
    rewritten(path, lambda fields: fields.update(host="elsewhere"))
    answer, said = run("restore", "db1-shop", "latest", str(tmp_path / "out"))
    assert answer == 1 and "signature" in said


@pytest.mark.parametrize("member", ["created", "check", "authentication", "keyring"])
def test_a_key_that_was_edited_is_refused(run, repository, member):
    other = {"created": "2020-01-01T00:00:00.000000Z", "keyring": "6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11"}
    rewritten(repository / "keys" / "0001.json", lambda fields: fields.update({member: other.get(member, "0" * 64)}))
    answer, said = run("check")
    assert answer == 1 and "edited" in said


def test_a_file_in_the_place_of_another_one_is_refused(run, repository, tmp_path):
    (dump,) = repository.glob("data/db1-shop/*/database.dump.zst.enc")
    (globals_,) = repository.glob("data/db1-shop/*/globals.sql.zst.enc")
    dump.write_bytes(globals_.read_bytes())
    answer, said = run("restore", "db1-shop", "latest", str(tmp_path / "out"))
    assert answer == 1 and "belongs to" in said


def test_the_program_is_for_python_3_6():
    source = rescue_files.decryptor().decode("utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "__future__" not in source and "from ." not in source
    assert not re.search(r"\b(?:list|dict|tuple|set)\[", source)


def test_the_program_imports_the_standard_library_only():
    allowed = {"argparse", "base64", "ctypes", "getpass", "hashlib", "hmac", "json", "os", "re", "struct", "sys"}
    allowed |= {"importlib", "typing", "zlib"}
    nodes = list(ast.walk(ast.parse(rescue_files.decryptor())))
    names = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= allowed


def test_the_page_beside_it_tells_the_commands_that_there_are(program):
    page = rescue_files.files()[rescue_files.README].decode("ascii")
    commands = re.findall(r"python3 RESCUE/rescue\.py (.*)", page)
    assert len(commands) == 3
    for command in commands:
        program._parser().parse_args(command.split())
    assert all(len(line) <= 120 for line in page.splitlines())


def test_both_the_secret_and_the_code_open_the_golden_keyring():
    store = DirectoryStore(str(GOLDEN / "repository"))
    secret = organisation_secret.from_text((GOLDEN / "secret").read_text().strip(), "secret")
    code = recovery_code.on_sheet((GOLDEN / "code").read_text())
    keys = keyring.read(store, keyring.Access(secret))
    assert keys == keyring.read(store, keyring.Access(code=code))
    assert [each.epoch for each in keys.epochs] == ["0001", "0002"]
    (path,) = (GOLDEN / "repository" / "data" / "db1-shop").glob("*/globals.sql.zst.enc")
    stage = keys.decrypting("db1-shop", path.parent.name, path.name)
    assert b"".join(stage([path.read_bytes()]))[:4] == b"\x28\xb5\x2f\xfd"  # of a zstd frame
