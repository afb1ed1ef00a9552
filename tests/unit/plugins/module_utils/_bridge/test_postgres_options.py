# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import postgres_options
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import POSTGRES_LOGIN
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    """Ask no engine where a container is."""
    for name in ("PGHOST", "PGPORT", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(postgres_options, "located", lambda server: server)


def server_of(**options):
    outcome = ArgumentSpecValidator(POSTGRES_LOGIN).validate(options)
    assert not outcome.error_messages
    return postgres_options.server_from(outcome.validated_parameters)


def test_a_server_without_host_is_at_the_socket():
    found = server_of(bin_dir="/opt/pg")
    assert (found.host, found.bin_dir, found.container) == ("/var/run/postgresql", "/opt/pg", None)


def test_a_server_in_a_container_without_host_is_still_to_be_found():
    found = server_of(container="shop-db", bin_dir="/opt/pg")
    assert (found.host, found.bin_dir, found.container) == ("", "", Container("shop-db", "", "/opt/pg"))


def test_a_host_that_is_named_is_kept_for_a_container():
    assert server_of(container="shop-db", login_host="db1").host == "db1"
    assert server_of(container="shop-db", login_unix_socket="/srv/socket").host == "/srv/socket"
