# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of PostgreSQL's programs and of connections to a server, and the server that they describe."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.postgres.connection import Server
from .._engine.postgres.container import ENGINES, Container
from .._engine.postgres.container_server import located
from .options import Spec, from_environment

# Documented in the fragment _postgres_programs.
POSTGRES_PROGRAMS: Spec = {
    "bin_dir": {"type": "path"},
    "container": {"type": "str", "default": ""},
    "container_engine": {"type": "str", "default": "", "choices": ["", *ENGINES]},
}

# Documented in the fragments _postgres_login and _postgres_programs; names and meanings as in the collection
# community.postgresql.
POSTGRES_LOGIN: Spec = {
    "login_host": {"type": "str", "default": "", "fallback": from_environment("PGHOST")},
    "login_port": {"type": "int", "default": 5432, "fallback": from_environment("PGPORT")},
    "login_user": {"type": "str", "default": "postgres", "fallback": from_environment("PGUSER")},
    "login_password": {"type": "str", "default": "", "no_log": True, "fallback": from_environment("PGPASSWORD")},
    "login_unix_socket": {"type": "str", "default": ""},
    "ssl_mode": {
        "type": "str",
        "default": "prefer",
        "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"],
        "fallback": from_environment("PGSSLMODE"),
    },
    "ca_cert": {"type": "path", "fallback": from_environment("PGSSLROOTCERT")},
    "login_service": {"type": "str", "default": ""},
    "login_service_file": {"type": "path"},
    "login_pass_file": {"type": "path", "no_log": False},
    "session_role": {"type": "str", "default": ""},
    **POSTGRES_PROGRAMS,
}


def server_from(params: t.Mapping[str, t.Any]) -> Server:
    """Return the PostgreSQL server that the options of POSTGRES_LOGIN describe.

    Raises UsageError, and LifeboatError for a container that is not there or does not run.
    """
    container = container_from(params)
    more: dict[str, t.Any] = {"pass_file": params["login_pass_file"] or "", "session_role": params["session_role"]}
    service = params["login_service"]
    if service or params["login_service_file"]:
        _refuse_beside_service(params)
        file = params["login_service_file"] or ""
        return Server("", 0, service=service, service_file=file, bin_dir=params["bin_dir"] or "", **more)
    server = Server(
        host=params["login_host"] or params["login_unix_socket"] or ("" if container else Server.host),
        port=params["login_port"],
        user=params["login_user"],
        password=params["login_password"],
        ssl_mode=params["ssl_mode"],
        ca_file=params["ca_cert"] or "",
        bin_dir="" if container else params["bin_dir"] or "",
        container=container,
        **more,
    )
    return located(server)


def _refuse_beside_service(params: t.Mapping[str, t.Any]) -> None:
    problem = "Cannot use these options"
    if not params["login_service"]:
        raise UsageError(problem, "login_service_file stands alone", "name the service in it, too")
    for name in ("login_host", "login_unix_socket", "login_password", "container"):
        if params[name]:
            raise UsageError(problem, f"{name} stands beside login_service, which says it", "give one of them")


def container_from(params: t.Mapping[str, t.Any]) -> Container | None:
    """Return the container that the options of POSTGRES_PROGRAMS name, None for none; `bin_dir` is a folder inside.

    Raises UsageError.
    """
    name, engine = params.get("container") or "", params.get("container_engine") or ""
    if engine and not name:
        raise UsageError("Cannot use these options", "container_engine stands alone", "name the container, too")
    return Container(name, engine, params["bin_dir"] or "") if name else None
