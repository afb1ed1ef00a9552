# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import properties

SOURCE: dict[str, t.Any] = {
    "encoding": "UTF8",
    "collate": "C.UTF-8",
    "ctype": "C.UTF-8",
    "locale_provider": "libc",
    "locale": "",
    "locale_rules": "",
    "owner": 'al"ice',
    "tablespace": "pg_default",
    "connection_limit": -1,
    "comment": "",
    "acl": None,
    "settings": [],
}


def create(**changes: t.Any) -> str:
    options = {"server_version": 160000, "owner": True, "tablespace": True}
    options.update({key: changes.pop(key) for key in list(changes) if key in options})
    return properties.create_statement("n", {**SOURCE, **changes}, **options)


def test_a_database_is_made_from_template0_with_encoding_locale_and_owner() -> None:
    assert create() == (
        "CREATE DATABASE \"n\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
        " LOCALE_PROVIDER 'libc'"
        ' OWNER "al""ice"'
    )


def test_the_provider_of_the_locale_is_that_of_the_source() -> None:
    icu = create(locale_provider="icu", locale="de-DE", locale_rules="&a < b")
    assert "LOCALE_PROVIDER 'icu' ICU_LOCALE 'de-DE' ICU_RULES '&a < b'" in icu
    assert "LOCALE_PROVIDER 'builtin' BUILTIN_LOCALE 'C.UTF-8'" in create(locale_provider="builtin", locale="C.UTF-8")
    assert "PROVIDER" not in create(server_version=140000)


def test_owner_and_tablespace_may_be_left_out() -> None:
    assert create(owner=False).endswith("LOCALE_PROVIDER 'libc'")
    assert create(tablespace="fast").endswith("LOCALE_PROVIDER 'libc'" + ' OWNER "al""ice"')
    assert properties.create_statement(
        "n", {**SOURCE, "tablespace": "fast"}, server_version=160000, owner=False, tablespace=True
    ).endswith('TABLESPACE "fast"')


def test_settings_limits_comment_and_privileges_are_given_back() -> None:
    source = {
        **SOURCE,
        "connection_limit": 5,
        "comment": "it's",
        "settings": [
            {"role": "", "name": "work_mem", "value": "1MB"},
            {"role": "r", "name": "my.x", "value": "a\\b"},
            {"role": "", "name": "search_path", "value": '"$user", a'},
        ],
        "acl": [
            {"grantee": "", "privilege": "CONNECT", "grantable": False},
            {"grantee": "r", "privilege": "TEMPORARY", "grantable": True},
        ],
    }
    assert properties.property_statements("n", source, privileges=True) == [
        'ALTER DATABASE "n" SET "work_mem" TO \'1MB\'',
        'ALTER ROLE "r" IN DATABASE "n" SET "my"."x" TO  E\'a\\\\b\'',
        "ALTER DATABASE \"n\" SET \"search_path\" TO '$user', 'a'",
        'ALTER DATABASE "n" CONNECTION LIMIT 5',
        "COMMENT ON DATABASE \"n\" IS 'it''s'",
        'REVOKE ALL ON DATABASE "n" FROM PUBLIC',
        'REVOKE ALL ON DATABASE "n" FROM "al""ice"',
        'GRANT CONNECT ON DATABASE "n" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "n" TO "r" WITH GRANT OPTION',
    ]
    assert not any("GRANT" in text for text in properties.property_statements("n", source, privileges=False))


def test_only_what_changes_the_reading_of_values_is_set_before_the_rows_come() -> None:
    names = ("TimeZone", "DateStyle", "lc_monetary", "IntervalStyle", "role", "default_transaction_read_only")
    settings = [{"role": "", "name": name, "value": "x"} for name in names]
    settings.append({"role": "r", "name": "TimeZone", "value": "x"})
    assert len(properties.reading_settings("n", {**SOURCE, "settings": settings})) == 4


def test_a_privilege_from_a_manifest_is_no_sql() -> None:
    acl = [{"grantee": "r", "privilege": "CONNECT ON x TO y; DROP TABLE t --", "grantable": False}]
    text = properties.property_statements("n", {**SOURCE, "acl": acl}, privileges=True)[-1]
    assert ";" not in text
    assert "--" not in text


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("a, b", ["a", "b"]),
        ('"$user", public', ["$user", "public"]),
        ('"a, ""b""" , c', ['a, "b"', "c"]),
        ("", []),
        ('""', [""]),
        ('"unclosed', ['"unclosed']),
    ],
)
def test_the_elements_of_a_list_setting_are_found(value: str, elements: list[str]) -> None:
    assert properties.list_elements(value) == elements
