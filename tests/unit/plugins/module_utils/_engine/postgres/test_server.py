# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import DumpOptions, dump_arguments

SERVER = Server(
    host="db.example.org", port=5433, user="backup", password="canary", ssl_mode="verify-full", ca_file="/ca"
)


def test_the_password_is_in_the_environment_of_the_tools_and_nowhere_else() -> None:
    assert SERVER.environment()["PGPASSWORD"] == "canary"
    assert "canary" not in repr(SERVER) + str(SERVER)
    assert not any("canary" in argument for argument in dump_arguments(SERVER, "lab", DumpOptions()))


def test_what_is_not_set_is_left_to_libpq() -> None:
    assert set(Server().environment()) == {"PGHOST", "PGPORT", "PGSSLMODE", "PGCONNECT_TIMEOUT", "PGAPPNAME", "PGTZ"}


def test_the_dump_is_uncompressed_patient_and_names_the_database_by_value() -> None:
    options = DumpOptions(lock_timeout_s=7, with_subscriptions=False, with_unlogged_data=False)
    assert dump_arguments(SERVER, "dbname=x", options) == [
        "--format=custom",
        "--compress=0",
        "--no-sync",
        "--no-password",
        "--lock-wait-timeout=7000",
        "--no-subscriptions",
        "--no-unlogged-table-data",
        "--dbname=dbname='dbname=x'",
    ]


def test_a_socket_is_local_and_a_name_is_not() -> None:
    assert Server().is_local
    assert not SERVER.is_local


def test_a_service_says_where_and_as_whom_and_roles_and_password_files_go_with_everything() -> None:
    role = 'the "owner" \\ of'
    server = Server("", 0, service="lab", service_file="/srv/services", pass_file="/srv/pass", session_role=role)
    assert server.environment() == {
        "PGSERVICE": "lab",
        "PGSERVICEFILE": "/srv/services",
        "PGPASSFILE": "/srv/pass",
        "PGOPTIONS": '-c role=the\\ "owner"\\ \\\\\\ of',
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "lifeboat",
        "PGTZ": "UTC",
    }
    assert not server.is_local and str(server) == "service lab"
