# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    LifeboatError,
    MissingPartError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import container_server, tools
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_file import file_inside
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_server import located
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import (
    Inside,
    Tool,
    client_tools,
    find_tool,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.postgres.fake_engine import (
    FakeEngine,
)

SHOP = Container("shop-db")
INSIDE = Inside(SHOP, "127.0.0.1", 5432, "saver", "canary")


@pytest.fixture(autouse=True)
def usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let packages lie where this host has none, and nothing be known of containers."""
    tools._find_inside.cache_clear()
    monkeypatch.setattr(tools, "_PACKAGE_FOLDERS", ("/nowhere/{major}/bin",))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Return the only program on PATH that is an engine."""
    made = FakeEngine(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return made


def tool(path: str, inside: Inside = INSIDE) -> Tool:
    return Tool("pg_dump", path, 15, "15.18", inside)


@pytest.mark.parametrize("name", ["", "-v", "--privileged", "a b", "a/b", "a;b", "$(a)", "../a", "a\n", "ä", "x" * 256])
def test_what_cannot_be_a_name_is_no_container(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        Container(name)


@pytest.mark.parametrize("name", ["shop-db", "shop_db.1", "0a1b2c3d4e5f", "X"])
def test_names_and_ids_are_containers(name: str) -> None:
    assert str(Container(name)) == f"container {name}"


def test_docker_comes_before_podman_and_a_named_engine_before_both(tmp_path: Path, engine: FakeEngine) -> None:
    (tmp_path / "path" / "podman").write_text("#!/bin/sh\n")
    (tmp_path / "path" / "podman").chmod(0o755)
    assert SHOP.program.endswith("/docker")
    assert Container("shop-db", "podman").program.endswith("/podman")
    (tmp_path / "path" / "docker").unlink()
    assert SHOP.program.endswith("/podman")
    with pytest.raises(MissingPartError, match="docker is not on PATH"):
        assert Container("shop-db", "docker").program


@pytest.mark.parametrize(
    ("network", "mode", "place"),
    [
        ({"Ports": {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "5555"}]}}, "bridge", ("127.0.0.1", 5555)),
        (
            {"Ports": {"5432/tcp": [{"HostIp": "::", "HostPort": "1"}, {"HostIp": "", "HostPort": "2"}]}},
            "",
            ("127.0.0.1", 2),
        ),
        ({"Ports": {"5432/tcp": [{"HostIp": "::", "HostPort": "7"}]}}, "bridge", ("::1", 7)),
        ({"Ports": {"5432/tcp": [{"HostIp": "10.1.2.3", "HostPort": "7"}]}}, "bridge", ("10.1.2.3", 7)),
        ({"Ports": {"5432/tcp": None}, "Networks": {"b": {"IPAddress": "172.18.0.2"}}}, "b", ("172.18.0.2", 5432)),
        (
            {"Ports": {"5433/tcp": [{"HostIp": "", "HostPort": "7"}]}, "IPAddress": "172.17.0.2"},
            "",
            ("172.17.0.2", 5432),
        ),
        ({"Ports": {}, "Networks": {"host": {"IPAddress": ""}}}, "host", ("127.0.0.1", 5432)),
    ],
)
def test_a_published_port_comes_before_the_address_in_a_network(
    engine: FakeEngine, network: dict[str, t.Any], mode: str, place: tuple[str, int]
) -> None:
    engine.has("shop-db", NetworkSettings=network, HostConfig={"NetworkMode": mode})
    found = located(Server(host="", container=SHOP))
    assert (found.host, found.port) == place


def test_a_host_that_is_named_is_believed_while_the_container_runs(engine: FakeEngine) -> None:
    engine.has("shop-db")
    server = Server(host="db.example.com", port=15432, container=SHOP)
    assert located(server) == server
    engine.has("shop-db", "exited")
    with pytest.raises(LifeboatError, match="its state is exited.\nRemedy: docker start shop-db"):
        located(server)


def test_a_container_without_any_way_in_says_how_to_make_one(engine: FakeEngine) -> None:
    engine.has("shop-db", NetworkSettings={"Networks": {"none": {"IPAddress": ""}}})
    with pytest.raises(LifeboatError, match="--publish 127.0.0.1:5432:5432"):
        located(Server(host="", container=SHOP))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Error: No such container: shop-db", "correct the name"),
        ("Error: no such container shop-db", "correct the name"),
        ("permission denied while trying to connect to the Docker daemon socket", "as powerful as root"),
        ("Cannot connect to the Docker daemon. Is the docker daemon running?", "start docker"),
    ],
)
def test_what_the_engine_says_leads_to_what_to_do(engine: FakeEngine, words: str, remedy: str) -> None:
    engine.refuses(words)
    with pytest.raises(LifeboatError, match=f"(?s){words[:30]}.*Remedy: .*{remedy}"):
        located(Server(host="", container=SHOP))


def test_a_server_in_no_container_is_left_as_it_is() -> None:
    assert located(Server()) == Server()
    assert container_server.entered(Server(), "Cannot test") is None


def test_programs_are_looked_for_inside(engine: FakeEngine) -> None:
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        engine.installs(name, f"echo '{name} (PostgreSQL) 15.18'")
    found = client_tools(150018, "/ignored", "Cannot test", INSIDE)
    assert (found.pg_dump.path, found.pg_dump.version, found.pg_dump.inside) == ("pg_dump", "15.18", INSIDE)
    assert ["exec", "shop-db", "/nowhere/15/bin/pg_dump", "--version"] in engine.calls()


def test_only_the_given_folder_of_the_container_is_looked_into(engine: FakeEngine) -> None:
    engine.installs("pg_dump", "echo 'pg_dump (PostgreSQL) 15.18'")
    own = Inside(Container("shop-db", bin_dir=str(engine.inside)))
    assert find_tool("pg_dump", 15, "", "Cannot test", own).path == f"{engine.inside}/pg_dump"
    with pytest.raises(MissingPartError, match="pg_dump was not found in /nowhere in container shop-db"):
        find_tool("pg_dump", 15, "", "Cannot test", Inside(Container("shop-db", bin_dir="/nowhere")))


def test_older_programs_inside_are_refused_with_the_place(engine: FakeEngine) -> None:
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        engine.installs(name, f"echo '{name} (PostgreSQL) 13.1'")
    with pytest.raises(LifeboatError, match="pg_dump 13.1 in container shop-db is older than the server"):
        client_tools(150018, "", "Cannot test", INSIDE)


def test_an_engine_that_fails_is_not_taken_for_a_program_that_is_not_there(engine: FakeEngine) -> None:
    engine.is_broken(1)
    with pytest.raises(ChildError, match="it is broken"):
        find_tool("pg_dump", 15, "", "Cannot test", INSIDE)


def test_the_programs_inside_log_in_there_with_the_same_user_and_password() -> None:
    server = Server("db.example.com", 15432, "saver", "canary", ssl_mode="verify-full", ca_file="/ca.pem")
    found = INSIDE.environment(server.environment())
    assert (found["PGHOST"], found["PGPORT"], found["PGUSER"]) == ("127.0.0.1", "5432", "saver")
    assert found["PGPASSWORD"] == "canary" and "canary" not in repr(INSIDE)
    assert found.keys().isdisjoint(("PGSSLMODE", "PGSSLROOTCERT"))
    assert "PGHOST" not in Inside(SHOP).environment(server.environment())


@pytest.mark.parametrize(
    ("listens", "host"),
    [("*", "127.0.0.1"), ("10.0.0.2, localhost", "127.0.0.1"), ("10.0.0.2", "10.0.0.2"), ("", "")],
)
def test_loopback_is_preferred_where_the_server_listens_there(listens: str, host: str) -> None:
    assert container_server._inner_host(listens, "10.0.0.2" if listens else "") == host


def test_values_of_variables_reach_the_program_and_no_argument(engine: FakeEngine) -> None:
    engine.installs("pg_dump", 'printf "%s at %s" "$PGPASSWORD" "$PGHOST"')
    server = Server("db.example.com", 5432, "saver", "canary")
    with tool("pg_dump").start([], environment=server.environment(), pipe_stdout=True) as child:
        assert child.stdout.read() == b"canary at 127.0.0.1"
        child.check("Cannot test")
    assert "canary" not in str(engine.calls())


def test_an_archive_goes_in_by_standard_input(engine: FakeEngine, tmp_path: Path) -> None:
    engine.installs("pg_restore", 'printf "%s:" "$*"; cat')
    (tmp_path / "archive").write_bytes(b"PGDMP")
    pg_restore = Tool("pg_restore", "pg_restore", 15, "15", INSIDE)
    with pg_restore.start(["--file=-"], archive=str(tmp_path / "archive"), pipe_stdout=True) as child:
        assert child.stdout.read() == b"--file=-:PGDMP"
        child.check("Cannot test")


def checked(engine: FakeEngine, script: str) -> None:
    engine.installs("pg_dump", script)
    with tool("pg_dump").start([]) as child:
        child.check("Cannot test")


def test_the_exit_code_and_the_words_of_a_program_are_kept(engine: FakeEngine) -> None:
    with pytest.raises(ChildError, match="pg_dump in container shop-db: pg_dump: error: no (.*exit code 3)") as caught:
        checked(engine, "echo 'pg_dump: error: no' >&2; exit 3")
    assert caught.value.status == 3


@pytest.mark.parametrize("status", [1, 125, 137])
def test_an_end_that_is_the_engine_s_says_nothing_about_data(engine: FakeEngine, status: int) -> None:
    with pytest.raises(LifeboatError, match=f"docker exec ended with {status}") as caught:
        checked(engine, f"echo 'Error response from daemon: gone' >&2; exit {status}")
    assert not isinstance(caught.value, ChildError)


def test_a_program_that_is_not_there_is_a_missing_part(engine: FakeEngine) -> None:
    with tool("/nowhere/pg_dump").start([]) as child, pytest.raises(MissingPartError, match="bin_dir"):
        child.check("Cannot test")


def test_a_container_that_cannot_guard_runs_nothing(engine: FakeEngine) -> None:
    engine.is_broken(125)
    with pytest.raises(LifeboatError, match="Cannot run pg_dump in container shop-db: Error response"):
        tool("pg_dump").start([])
    assert len(engine.calls()) == 1


def test_stopping_ends_what_runs_inside(engine: FakeEngine) -> None:
    engine.installs("pg_dump", "echo $$; exec sleep 600")
    with tool("pg_dump").start([], pipe_stdout=True) as child:
        pid = int(child.stdout.readline())
        assert is_alive(pid)
    assert not is_alive(pid)


def test_a_program_inside_is_ended_when_it_has_no_child_that_would_be_an_orphan(engine: FakeEngine) -> None:
    child_script = f"""trap 'touch {engine.folder}/signalled' TERM
    for n in 1 2 3 4 5 6 7 8; do sleep 0.1; done; touch {engine.folder}/finished"""
    engine.installs("child", child_script)
    engine.installs("pg_dump", "child & echo $$; wait; exec sleep 600")
    with tool("pg_dump").start([], pipe_stdout=True) as running:
        pid = int(running.stdout.readline())
    assert (engine.folder / "finished").exists()
    assert not (engine.folder / "signalled").exists()
    assert not is_alive(pid)


def test_what_outlives_the_engine_s_program_is_ended(engine: FakeEngine) -> None:
    engine.installs("pg_dump", "echo $$; exec sleep 600 2>/dev/null")
    with tool("pg_dump").start([], pipe_stdout=True) as child:
        pid = int(child.stdout.readline())
        child._signal(9)
        assert child.wait() == -9
        assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Say whether a process runs, and does not only wait to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def test_a_file_inside_holds_what_was_given_as_long_as_it_is_used(engine: FakeEngine) -> None:
    engine.has("shop-db")
    with file_inside(SHOP, b"4711;\n" * 20000) as path:
        assert Path(path).read_bytes() == b"4711;\n" * 20000
        assert Path(path).stat().st_mode & 0o777 == 0o600
    assert not Path(path).exists()


def test_a_file_inside_goes_where_the_work_with_it_fails(engine: FakeEngine) -> None:
    engine.has("shop-db")
    with pytest.raises(RuntimeError), file_inside(SHOP, b"") as path:
        raise RuntimeError(path)
    deadline = time.monotonic() + 20
    while Path(path).exists():
        assert time.monotonic() < deadline


def test_a_container_without_room_for_a_file_is_told(engine: FakeEngine) -> None:
    engine.has("shop-db")
    engine.is_broken(1)
    with pytest.raises(LifeboatError, match="it is broken"), file_inside(SHOP, b"x"):
        pass


def test_a_program_inside_logs_in_as_the_role_that_loads_and_on_the_host_as_its_environment_says() -> None:
    inside = tool("/bin/psql").logged_in_as("loader", "word").inside
    assert inside is not None
    found = inside.environment({"PGUSER": "saver", "PGPASSWORD": "canary"})
    assert (found["PGUSER"], found["PGPASSWORD"]) == ("loader", "word")
    here = Tool("psql", "/bin/psql", 15, "15.18")
    assert here.logged_in_as("loader", "word") == here
