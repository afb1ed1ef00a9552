# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_restore_command
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_settings import DatabaseSettings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server


def server_of(server: Server, **options: str) -> Server:
    job = DatabaseSettings(name="db1-shop", kind="pg_database", repositories=("local",), database="shop", server=server)
    given = {"login_host": "", "login_port": "", "login_user": "", "login_password_file": "", **options}
    return database_restore_command._server(job, argparse.Namespace(**given))


@pytest.mark.parametrize("option", [{"login_host": "db2"}, {"login_port": "5433"}, {"login_user": "admin"}])
def test_a_service_that_would_lead_elsewhere_is_not_overruled_but_refused(option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="service lab of job db1-shop"):
        server_of(Server("", 0, service="lab"), **option)


def test_another_server_or_user_gets_no_role_of_the_job() -> None:
    mine = Server(host="db1", user="backup", session_role="owner")
    assert server_of(mine, login_host="db2").session_role == ""
    assert server_of(mine, login_user="admin").session_role == ""
    assert server_of(mine, login_port="5433").session_role == "owner"
    assert server_of(mine).session_role == "owner"
