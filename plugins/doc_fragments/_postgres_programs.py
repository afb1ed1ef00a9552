# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  bin_dir:
    description:
      - Directory of the PostgreSQL programs, such as V(/usr/lib/postgresql/15/bin).
      - By default they are looked for where distributions put them, and on E(PATH).
      - With O(container) it is a directory in the container.
    type: path
  container:
    description:
      - Name or id of the container of the PostgreSQL server. Its own programs are run inside by C(docker exec) or
        C(podman exec), and ended when the task is; data go through their standard input and output.
      - Sessions, sizes and swaps go over a connection from the host. Without a host or socket directory to log in at,
        that is where the container publishes the port, else its address in its network.
      - The user of the task must be one who may speak to the engine.
      - Archives are read by C(pg_restore) of the host if it has a fitting one. A restore on trial needs the server
        programs of PostgreSQL on the host. A restore into a container is loaded by one connection.
    type: str
    default: ""
  container_engine:
    description:
      - What runs O(container). By default it is C(docker) if that is on E(PATH), else C(podman).
      - With Podman, the container must be one of the user of the task.
    type: str
    choices: ["", docker, podman]
    default: ""
"""
