# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.dump_place import DumpPlace, with_digest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.contents import (
    contents_of_chunks,
    read_contents,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.extensions import (
    is_older,
    package_of,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.foreign_dump import (
    Form,
    description_of,
    form_of,
    require_own_files,
    require_restricting,
    require_whole_tar,
    version_number,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.script_filter import (
    ScriptFilter,
    filtered,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import Tool

SCRIPT = rb"""--
-- PostgreSQL database dump
--
\restrict AbC123

SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $body$ BEGIN
ALTER TABLE t OWNER TO me; /* ' */ RETURN '\connect x'; -- it's "fine"
END $body$;
ALTER TABLE "a;b".t OWNER TO "some ""one"" else";
/* a /* nested; */ comment ' */
COMMENT ON TABLE t IS E'it\'s; \\ GRANT';
COPY t (a) FROM stdin;
\\.
ALTER TABLE t OWNER TO me;
\.

COPY t (a) FROM stdin;
\.
GRANT SELECT ON TABLE t TO you;
ALTER DEFAULT PRIVILEGES FOR ROLE me GRANT SELECT ON TABLES TO you;
COMMENT ON EXTENSION plpgsql IS 'x';
CREATE TABLE a$b$c (d int);
INSERT INTO t VALUES ('a\');
ALTER TABLE t ALTER a SET DEFAULT 'not the OWNER TO me';
COPY t (a) FROM stdin WITH (FORMAT csv, DELIMITER ';', NULL '');
it's;"5"
\.
ALTER TABLE t RENAME TO "x OWNER TO y";

--
-- PostgreSQL database dump complete
--

\unrestrict AbC123

"""


def through(data, size=1 << 20, **options):
    script = ScriptFilter(**{"no_owner": False, "no_privileges": False, **options})
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(filtered(chunks, script)), script


@pytest.mark.parametrize("size", [1, 2, 7, 100, 201, 4096])
def test_a_script_goes_through_unchanged_without_its_frame_however_it_is_cut(size):
    out, script = through(SCRIPT, size)
    assert out == SCRIPT.replace(b"\\restrict AbC123", b"").replace(b"\\unrestrict AbC123", b"")
    assert script.is_complete and script.left_out == 0


@pytest.mark.parametrize("size", [1, 3, 300, 4096])
def test_owners_and_privileges_are_left_out_where_they_are_statements(size):
    out, script = through(SCRIPT, size, no_owner=True, no_privileges=True)
    assert script.left_out == 4
    assert out.count(b"OWNER TO me") == 3 and b'OWNER TO "some' not in out and b'RENAME TO "x OWNER TO y"' in out
    assert b"GRANT SELECT" not in out and b"EXTENSION" not in out and b"GRANT'" in out
    assert through(SCRIPT, no_owner=True)[1].left_out == 2


@pytest.mark.parametrize(
    "text",
    [
        rb"\! id",
        b"SELECT 1 \\! id\n;",
        rb"\connect other",
        rb"\restrict a b",
        b"CREATE TABLE t (a int) \\restrict abc\n;",
        b"SELECT 'a' \\g /tmp/x\n;",
        b"COPY t FROM stdin;\n1\n\\.\n\\i /etc/passwd\n",
    ],
)
def test_a_command_of_psql_is_refused_wherever_it_stands(text):
    with pytest.raises(UsageError, match="a command of psql"):
        through(text)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1",
        b"SELECT 'a;\n",
        b"SELECT $x$ a;",
        b"COPY t FROM stdin;\n1\n2\n",
        b"/* a /* b */ ",
        b'ALTER TABLE "x',
        b"COPY t FROM stdin; SELECT 1;",
    ],
)
def test_a_script_that_breaks_off_is_damaged(text):
    with pytest.raises(DamagedError):
        through(text)


def test_the_mark_counts_only_at_the_end_and_outside_of_texts():
    mark = b"-- PostgreSQL database dump complete\n"
    assert through(b"SELECT 1;\n" + mark)[1].is_complete
    assert not through(mark + b"SELECT 1;\n")[1].is_complete
    assert not through(b"SELECT '\n" + mark + b"';\n")[1].is_complete


def test_a_long_statement_goes_through_in_little_memory():
    text = b"INSERT INTO t VALUES ('" + b"x;" * 1_500_000 + b"');\n"
    assert through(text, 65536)[0] == text


TAR = io.BytesIO()
with tarfile.open(fileobj=TAR, mode="w", format=tarfile.USTAR_FORMAT) as _file:
    _file.addfile(tarfile.TarInfo("toc.dat"), io.BytesIO())


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"PGDMP\x01\x0e", Form("custom")),
        (gzip.compress(b"PGDMP\x01\x0e", mtime=0), Form("custom", "gzip")),
        (TAR.getvalue(), Form("tar")),
        (SCRIPT, Form("sql")),
        (gzip.compress(SCRIPT, mtime=0), Form("sql", "gzip")),
    ],
)
def test_the_form_of_a_dump_is_seen_by_its_first_bytes(data, form):
    assert form_of([data[:3], data[3:]], "lab") == form


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"\0\1\2", "neither an archive"),
        (b"BZh91AY", "a file of bzip2"),
        (b"PK\x03\x04", "a file of zip"),
        (TAR.getvalue().replace(b"toc.dat", b"any.dat"), "tar file of something else"),
    ],
)
def test_what_is_no_dump_is_refused(data, words):
    with pytest.raises(LifeboatError, match=words):
        form_of([data], "lab")


def number(value):
    return b"\0" + value.to_bytes(4, "little")


def text(value):
    return b"\1\1\0\0\0" if value is None else number(len(value.encode())) + value.encode()


def archive(version=14, kind="DATABASE"):
    head = b"PGDMP\x01" + bytes([version]) + b"\0\x04\x08\x01"
    head += b"\0" if version >= 15 else number(0)
    head += number(0) * 7 + text("lab") + text("15.18 (Debian)") + text("16.2") + number(1)
    entry = number(7) + number(1) + text("1259") + text("16384") + text("lab") + text(kind) + number(2)
    made = "CREATE DATABASE lab WITH ENCODING = 'LATIN1' LC_COLLATE = 'de_DE' LC_CTYPE = 'C' LOCALE_PROVIDER = icu"
    entry += text(made) + text("") + text("") + text("clinic") + text("fast") + text("heap")
    entry += (number(114) if version >= 16 else b"") + text("me") + text("false") + text("3") + text(None)
    return head + entry + b"\0" * 9


@pytest.mark.parametrize("version", [14, 15, 16])
def test_the_table_of_contents_is_read_as_each_version_writes_it(version, tmp_path):
    data = archive(version)
    contents = contents_of_chunks([data[:11], data[11:]], "lab")
    assert (contents.database, contents.server_version, contents.dumped_by) == ("lab", "15.18", "16.2")
    (entry,) = contents.entries
    assert (entry.id, entry.schema, entry.owner, entry.tablespace, entry.needs) == (7, "clinic", "me", "fast", (3,))
    path = tmp_path / "lab"
    path.write_bytes(data)
    assert read_contents(str(path)) == contents
    source = description_of(contents, 5, with_owners=True)
    assert (source["encoding"], source["collate"], source["ctype"]) == ("LATIN1", "de_DE", "C")
    assert (source["locale_provider"], source["roles"][0]["name"], source["tablespaces"]) == ("icu", "me", ["fast"])
    for size in range(len(data)):
        with pytest.raises(DamagedError):
            contents_of_chunks([data[:size]], "lab")


def in_folder(file, version=14, kind="DATABASE"):
    head, data = archive(version, kind)[: 10 + 1], archive(version, kind)[11:-9]
    return head[:-1] + b"\x03" + data + text(file)


@pytest.mark.parametrize(("file", "is_good"), [("3000.dat", True), ("../../etc/passwd", False), ("/etc/passwd", False)])
def test_an_archive_in_a_folder_names_files_of_that_folder_only(file, is_good, tmp_path):
    (tmp_path / "toc.dat").write_bytes(in_folder(file))
    if is_good:
        assert read_contents(str(tmp_path)).format == "directory"
        return
    with pytest.raises(DamagedError, match="names a file that is not in it"):
        read_contents(str(tmp_path))


@pytest.mark.parametrize(("file", "is_good"), [("blobs_9.toc", True), ("", True), ("blobs.dat", False)])
def test_a_list_of_large_objects_is_a_file_that_is_looked_into(file, is_good, tmp_path):
    (tmp_path / "toc.dat").write_bytes(in_folder(file, 16, "BLOBS"))
    if is_good:
        assert read_contents(str(tmp_path)).format == "directory"
        return
    with pytest.raises(DamagedError, match=r"lists large objects in 'blobs\.dat'"):
        read_contents(str(tmp_path))


@pytest.mark.parametrize("suffix", ["gz", "lz4", "zst"])
def test_a_list_of_large_objects_is_not_read_where_it_is_compressed(suffix, tmp_path):
    (tmp_path / "blob_16385.dat.gz").write_bytes(b"")
    require_own_files(str(tmp_path), "lab")
    (tmp_path / f"blobs.toc.{suffix}").write_bytes(b"")  # pg_restore takes it where there is no blobs.toc
    with pytest.raises(DamagedError, match="which pg_dump never compresses"):
        require_own_files(str(tmp_path), "lab")


def test_links_and_lists_of_large_objects_lead_to_no_file_elsewhere(tmp_path):
    (tmp_path / "blobs_9.toc").write_text("16385 blob_16385.dat\n")
    (tmp_path / "3000.dat").write_text("1\n")
    require_own_files(str(tmp_path), "lab")
    (tmp_path / "blobs_9.toc").write_text("16385 blob_16385.dat\n16386 ../../etc/passwd\n")
    with pytest.raises(DamagedError, match=r"blobs_9\.toc names a file that is not in it"):
        require_own_files(str(tmp_path), "lab")
    (tmp_path / "blobs_9.toc").unlink()
    (tmp_path / "3001.dat").symlink_to("/etc/passwd")
    with pytest.raises(DamagedError, match=r"'3001\.dat' is no plain file"):
        require_own_files(str(tmp_path), "lab")


def test_a_newer_format_of_archives_is_refused():
    with pytest.raises(DamagedError, match=r"format 1\.17 is not known"):
        contents_of_chunks([b"PGDMP\x01\x11" + b"\0" * 99], "lab")


@pytest.mark.parametrize("cut", [100, 511, 512, 700])
def test_a_tar_file_that_is_cut_is_damaged(tmp_path, cut):
    path = tmp_path / "lab.tar"
    path.write_bytes(TAR.getvalue())
    require_whole_tar(str(path), "lab.tar")
    path.write_bytes(TAR.getvalue()[:cut])
    with pytest.raises(DamagedError, match="it is cut"):
        require_whole_tar(str(path), "lab.tar")


@pytest.mark.parametrize(("given", "wanted"), [("15.18", 150018), ("9.6.24", 90600), ("18beta1", 180000), ("", 0)])
def test_versions_become_numbers(given, wanted):
    assert version_number(given) == wanted


@pytest.mark.parametrize(
    ("version", "is_fit"),
    [("15.13", False), ("15.14", True), ("16.9", False), ("17.6", True), ("18.0", True), ("12.22", False)],
)
def test_only_a_psql_that_can_be_restricted_is_used(version, is_fit):
    psql = Tool("psql", "/usr/bin/psql", int(version.partition(".")[0]), version)
    if is_fit:
        require_restricting(psql)
        return
    with pytest.raises(LifeboatError, match="cannot be kept from running"):
        require_restricting(psql)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("1.9", "1.10", True), ("3.4.0", "3.4", False), ("2.0", "1.99", False), ("1.0", "1.0", False)],
)
def test_versions_of_extensions_are_compared_by_their_numbers(one, other, wanted):
    assert is_older(one, other) is wanted


@pytest.mark.parametrize(
    ("extension", "package"),
    [
        ("hstore", "postgresql-16 or postgresql16-contrib"),
        ("vector", "postgresql-16-pgvector"),
        ("pg_hint_plan", "postgresql-16-pg-hint-plan"),
    ],
)
def test_the_package_of_an_extension_is_named(extension, package):
    assert package_of(extension, 16) == package


def test_a_sidecar_may_be_a_digest_alone_or_a_line_of_sha256sum(tmp_path):
    path, sidecar = tmp_path / "a.sql", tmp_path / "a.sql.sha256"
    path.write_text("x")
    place = DumpPlace(str(path))
    assert place.sidecar() == ""
    for words in ("AB" * 32, f"{'ab' * 32}  a.sql\n", f"\\{'ab' * 32} *a.sql"):
        sidecar.write_text(words)
        assert place.sidecar() == "ab" * 32
    sidecar.write_text("nothing")
    with pytest.raises(DamagedError, match="holds no SHA-256"):
        place.sidecar()
    with pytest.raises(DamagedError, match="its SHA-256 is 2d711642"):
        list(with_digest([b"x"], "ab" * 32, "a.sql"))


def test_the_query_of_a_url_is_in_no_message():
    place = DumpPlace("ftp://example.com/lab.sql?key=canary")
    assert place.name == "lab.sql"
    with pytest.raises(UsageError) as caught:
        place.require()
    assert "canary" not in str(caught.value)
