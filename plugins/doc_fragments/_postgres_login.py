# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host of the PostgreSQL server.
      - If it is empty, O(login_unix_socket) or the default socket is used. For O(container) see there.
      - The environment variable E(PGHOST) is used if the option is not set.
    type: str
    default: ""
  login_port:
    description:
      - Port of the PostgreSQL server. Without O(login_host), that inside of O(container).
      - The environment variable E(PGPORT) is used if the option is not set.
    type: int
    default: 5432
  login_user:
    description:
      - Role to log in as.
      - The environment variable E(PGUSER) is used if the option is not set.
    type: str
    default: postgres
  login_password:
    description:
      - Password of O(login_user).
      - The environment variable E(PGPASSWORD) is used if the option is not set.
    type: str
    default: ""
  login_unix_socket:
    description:
      - Directory of the Unix socket of the PostgreSQL server.
    type: str
    default: ""
  ssl_mode:
    description:
      - Whether the connection is encrypted and the server's certificate verified, as the parameter C(sslmode) of libpq.
      - V(verify-full) is the only value that protects against a false server.
      - The environment variable E(PGSSLMODE) is used if the option is not set.
    type: str
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description:
      - Path of a PEM file with the certificates of the authorities to trust for the PostgreSQL server.
      - The environment variable E(PGSSLROOTCERT) is used if the option is not set.
    type: path
  login_service:
    description:
      - Name of a service in the connection service file of libpq, which then says how to log in.
      - O(login_port), O(login_user), O(ssl_mode) and O(ca_cert) have no effect then. The other options that say where
        the server is, and O(login_password), are refused.
    type: str
    default: ""
  login_service_file:
    description:
      - Path of the connection service file on the host of the task. By default it is where libpq looks for it, such as
        C(~/.pg_service.conf) and C(/etc/postgresql-common/pg_service.conf).
    type: path
  login_pass_file:
    description:
      - Path of the password file of libpq on the host of the task, C(~/.pgpass) by default. Libpq ignores one that
        others than its owner may read.
    type: path
  session_role:
    description:
      - Role to become after login. The rights are then those of this role, of which O(login_user) must be a member.
    type: str
    default: ""
"""
