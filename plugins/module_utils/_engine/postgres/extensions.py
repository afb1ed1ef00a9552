# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from .connection import Session
from .description import Description
from .quoting import shorten

# Extensions that come with PostgreSQL itself (manual, appendix F). Debian has them in the package of the server, the
# RPM packages in one of their own.
_CONTRIB = frozenset(
    (
        "amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int", "dict_xsyn",
        "earthdistance", "file_fdw", "fuzzystrmatch", "hstore", "insert_username", "intagg", "intarray", "isn", "lo",
        "ltree", "moddatetime", "pageinspect", "pg_buffercache", "pg_freespacemap", "pg_logicalinspect", "pg_prewarm",
        "pg_stat_statements", "pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgcrypto", "pgrowlocks",
        "pgstattuple", "postgres_fdw", "refint", "seg", "sslinfo", "tablefunc", "tcn", "tsm_system_rows",
        "tsm_system_time", "unaccent", "uuid-ossp", "xml2",
    )
)  # fmt: skip
# Packages of the PostgreSQL project for others, where the name does not follow from that of the extension.
_PACKAGES = {
    "postgis": "postgresql-{major}-postgis-3",
    "postgis_raster": "postgresql-{major}-postgis-3",
    "postgis_tiger_geocoder": "postgresql-{major}-postgis-3",
    "postgis_topology": "postgresql-{major}-postgis-3",
    "vector": "postgresql-{major}-pgvector",
    "pg_cron": "postgresql-{major}-cron",
    "pg_partman": "postgresql-{major}-partman",
    "pg_repack": "postgresql-{major}-repack",
    "plperl": "postgresql-plperl-{major}",
    "plpython3u": "postgresql-plpython3-{major}",
    "pltcl": "postgresql-pltcl-{major}",
    "timescaledb": "timescaledb-2-postgresql-{major}",
}


def package_of(extension: str, major: int) -> str:
    """Return what to install for an extension, as Debian calls it."""
    if extension in _CONTRIB:
        return f"postgresql-{major} or postgresql{major}-contrib"
    return _PACKAGES.get(extension, "postgresql-{major}-" + extension.replace("_", "-")).format(major=major)


def extension_problems(session: Session, source: Description) -> t.Iterator[str]:
    """Yield which extensions of a database a server does not have, or only in an older version."""
    available: dict[str, set[str]] = {}
    for name, version in session.rows("SELECT name, version FROM pg_available_extension_versions"):
        available.setdefault(str(name), set()).add(str(version))
    major = session.version_number // 10000
    missing = [str(each["name"]) for each in source["extensions"] if each["name"] not in available]
    if missing:
        packages = sorted({package_of(name, major) for name in missing})
        yield f"the server lacks the extensions {shorten(missing)} (install there {shorten(packages)})"
    for each in source["extensions"]:
        name, version = str(each["name"]), str(each["version"])
        there = available.get(name, set())
        if there and version and version not in there and all(is_older(other, version) for other in there):
            newest = max(there, key=version_parts)
            yield (
                f"the server has extension {name} in version {newest}, the backup is of {version} "
                f"(update {package_of(name, major)} there)"
            )


def is_older(one: str, other: str) -> bool:
    """Say whether a version of an extension is older than another one, by the numbers in them."""
    return version_parts(one) < version_parts(other)


def version_parts(version: str) -> tuple[int, ...]:
    """Return the numbers in a version: 3.10.1 is newer than 3.9."""
    return tuple(int(number) for number in re.findall(r"\d+", version))
