# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to reach a server: a backup and a restore over each of them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import (
    DatabaseJob,
    back_up,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import loading_role
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server, connect
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    MAJORS,
    SMALL,
    local,
    own_locks,
    restored,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder

__all__ = ["local", "own_locks"]

PASSWORD = "canary 4711 \\ ' :"
SERVICE = "lab ünit"


class Reached:
    """A server that takes connections in every way, and the ways to it."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def tcp(self, **more: t.Any) -> Server:
        found = Server(host="127.0.0.1", port=self.server.port, user="backup", bin_dir=str(self.server.bin_dir))
        return dataclasses.replace(found, **{"password": PASSWORD, "ssl_mode": "disable", **more})


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], check=True, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)


def make_authority(folder: Path, name: str) -> None:
    """Write the certificate of an authority, `<name>.crt`, and its key."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")


def make_server_certificate(folder: Path, authority: str) -> None:
    """Write `server.crt` for the name localhost, signed by an authority, and `server.key`."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost", encoding="utf-8")
    signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
    openssl(folder, "x509", "-req", "-in", "server.csr", *signer, "-extfile", "names", "-out", "server.crt")


def conninfo_quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


@pytest.fixture(scope="module")
def reached() -> t.Iterator[Reached]:
    folder = quick_folder("lbt-")
    try:
        for name in ("ours", "theirs"):
            make_authority(folder, name)
        make_server_certificate(folder, "ours")
        settings = {
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
        }
        server = PostgresServer(folder / "p", MAJORS[0], password="of the superuser", settings=settings)
        if server.identity:
            os.chown(folder / "server.key", *server.identity)
        with server:
            quoted = PASSWORD.replace("'", "''")
            server.sql(f"CREATE ROLE backup LOGIN SUPERUSER PASSWORD '{quoted}'")
            server.sql("CREATE DATABASE lab")
            server.sql(SMALL, "lab")
            yield Reached(server, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pass_file(reached: Reached) -> str:
    path = reached.folder / "pass file"
    path.write_text(f"127.0.0.1:{reached.server.port}:*:backup:{conninfo_quoted(PASSWORD)}\n", encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def service_file(reached: Reached) -> str:
    path = reached.folder / "services"
    lines = (
        *("[other]", "host=nowhere", f"[{SERVICE}]", "host=localhost", f"port={reached.server.port}", "user=backup"),
        *("dbname=nowhere", "sslmode=verify-full", f"sslrootcert={reached.folder}/ours.crt"),
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def encrypted(server: Server) -> bool:
    with connect(server, "lab") as session:
        return bool(session.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))


def of_kind(reached: Reached, kind: str) -> Server:
    """Return how a server is reached in the way that a test is about."""
    socket = Server(host=str(reached.server.socket_dir), port=reached.server.port, user="backup")
    authority = str(reached.folder / "ours.crt")
    if kind == "socket":
        return dataclasses.replace(socket, bin_dir=str(reached.server.bin_dir))
    if kind == "tcp":
        return reached.tcp()
    if kind == "tls":
        return reached.tcp(ssl_mode="require")
    if kind == "tls with the authority":
        return reached.tcp(ssl_mode="verify-ca", ca_file=authority)
    if kind == "tls with the authority and the name":
        return reached.tcp(host="localhost", ssl_mode="verify-full", ca_file=authority)
    if kind == "password file":
        return reached.tcp(password="", pass_file=pass_file(reached))
    programs = str(reached.server.bin_dir)
    path = reached.folder / "pass by service"
    path.write_text(f"localhost:*:*:backup:{conninfo_quoted(PASSWORD)}\n", encoding="utf-8")
    path.chmod(0o600)
    services = service_file(reached)
    return Server("", 0, service=SERVICE, service_file=services, pass_file=str(path), bin_dir=programs)


KINDS = (
    *("socket", "tcp", "tls", "tls with the authority", "tls with the authority and the name"),
    *("password file", "service"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_and_a_restore_work_over(reached: Reached, local: Place, kind: str) -> None:
    server = of_kind(reached, kind)
    made = back_up(DatabaseJob(JOB, server, "lab", (local,)))
    assert made.is_complete
    result = restored(server, local, database="lab_again")
    try:
        assert result.figures["rows"] == 2000
        assert reached.server.sql("SELECT count(*) FROM visit", "lab_again") == "2000"
        assert encrypted(server) == (kind.startswith("tls") or kind == "service")
    finally:
        reached.server.sql("DROP DATABASE lab_again WITH (FORCE)")
    assert "canary" not in repr(server) + str(made) + str(result)


@pytest.mark.parametrize(
    ("mode", "host", "authority", "words"),
    [
        ("verify-ca", "127.0.0.1", "theirs", "certificate verify failed"),
        ("verify-full", "localhost", "theirs", "certificate verify failed"),
        ("verify-full", "127.0.0.1", "ours", "does not match host name"),
        ("verify-full", "localhost", "nowhere", "root certificate file"),
    ],
)
def test_a_server_that_cannot_be_trusted_is_refused(
    reached: Reached, local: Place, mode: str, host: str, authority: str, words: str
) -> None:
    server = reached.tcp(ssl_mode=mode, host=host, ca_file=str(reached.folder / f"{authority}.crt"))
    with pytest.raises(LifeboatError) as caught:
        back_up(DatabaseJob(JOB, server, "lab", (local,)))
    assert words in caught.value.cause
    assert "ca_cert" in caught.value.remedy
    assert list(local.store.entries("manifests/")) == []


def test_a_password_file_that_others_may_read_is_not_used(reached: Reached) -> None:
    path = pass_file(reached)
    os.chmod(path, 0o644)
    with (
        pytest.raises(LifeboatError, match="no password supplied"),
        connect(reached.tcp(password="", pass_file=path), "lab"),
    ):
        pass


def test_the_password_file_of_the_user_is_found(
    reached: Reached, local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = reached.folder / "home"
    home.mkdir()
    shutil.copy2(pass_file(reached), home / ".pgpass")
    monkeypatch.setenv("HOME", str(home))
    assert back_up(DatabaseJob(JOB, reached.tcp(password=""), "lab", (local,))).is_complete


def test_an_unknown_service_is_told_as_such(reached: Reached) -> None:
    server = Server("", 0, service="typo", service_file=service_file(reached))
    with pytest.raises(LifeboatError) as caught, connect(server, "lab"):
        pass
    assert "typo" in str(caught.value) and "service" in caught.value.remedy
    assert "PGSERVICEFILE" not in os.environ


def test_a_role_for_dumps_from_elsewhere_is_itself_whatever_the_connection_says(reached: Reached) -> None:
    reached.server.sql("CREATE ROLE harmless; GRANT harmless TO backup")
    try:
        harmless = reached.tcp(session_role="harmless")
        with connect(harmless, "postgres") as session:
            assert session.value("SELECT current_user") == "harmless"
            assert "may not make a role" in next(loading_role.loader_problems(session, ""))  # RESET ROLE undoes it
        plain = dataclasses.replace(harmless, session_role="backup")
        with loading_role.loading_role(plain) as loader, connect(loader, "postgres") as session:
            assert session.rows("SELECT session_user::text, current_user::text") == [(loader.user, loader.user)]
        words = "lets backup in instead, because its service says so"
        with pytest.raises(LifeboatError, match=words), loading_role.loading_role(of_kind(reached, "service")):
            pass
        assert reached.server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'lifeboat_load%'") == "0"
    finally:
        reached.server.sql("DROP ROLE harmless")


def test_a_role_is_taken_on_after_login_by_every_program(reached: Reached, local: Place) -> None:
    odd = 'owner "of" \\ all'
    name = odd.replace('"', '""')
    reached.server.sql(f"""CREATE ROLE login_only LOGIN NOINHERIT PASSWORD 'x'; CREATE ROLE "{name}" SUPERUSER;
        GRANT "{name}" TO login_only""")
    try:
        plain = reached.tcp(user="login_only", password="x")
        with pytest.raises(LifeboatError, match=r"may not read the table public\.visit"):
            back_up(DatabaseJob(JOB, plain, "lab", (local,)))
        server = dataclasses.replace(plain, session_role=odd)
        assert back_up(DatabaseJob(JOB, server, "lab", (local,))).is_complete
        restored(server, local, database="lab_again")
        assert reached.server.sql("SELECT count(*) FROM visit", "lab_again") == "2000"
        foreign = dataclasses.replace(plain, session_role="backup")
        with pytest.raises(LifeboatError) as caught, connect(foreign, "lab"):
            pass
        assert "session_role" in caught.value.remedy
    finally:
        reached.server.sql("DROP DATABASE IF EXISTS lab_again WITH (FORCE)")
        reached.server.sql(f'DROP ROLE login_only, "{name}"')
