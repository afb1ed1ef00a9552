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
"""
