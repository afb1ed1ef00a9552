# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.drill_options import DRILL, drill_place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from, places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container

SITE = {"bucket": "backups", "endpoint_url": "https://s3.example.com", "access_key": "mine", "secret_key": "secret"}


def repositories(*rows):
    outcome = ArgumentSpecValidator(REPOSITORIES).validate({"repositories": list(rows)})
    assert not outcome.error_messages
    return outcome.validated_parameters["repositories"]


def drill(**options):
    outcome = ArgumentSpecValidator(DRILL).validate(options)
    return drill_place_from(outcome.validated_parameters)


def test_places_keep_their_order_and_have_the_names_of_their_options():
    places = places_from(repositories({"path": "/srv/a"}, {"path": "/srv/b", "name": "nas"}, {**SITE, "prefix": "p"}))
    assert [place.name for place in places] == ["/srv/a", "nas", "s3://backups/p"]
    assert [place.store.name for place in places][:2] == ["/srv/a", "/srv/b"]
    assert all(place.repository == "" for place in places)


def test_a_place_can_demand_an_identity():
    (params,) = repositories({"path": "/srv/a"})
    assert place_from(params, "6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11").repository.startswith("6f0f2f4e")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "there is none"),
        ([{"path": "/srv/a", "name": "x"}, {"path": "/srv/b", "name": "x"}], "x is there more than once"),
        ([{"path": "/srv/a", "name": "x"}, {"path": "/srv/a/", "name": "y"}], "/srv/a is there more than once"),
        ([{**SITE, "name": "x"}, {**SITE, "name": "y"}], "s3://backups at https://s3.example.com is there more"),
    ],
)
def test_places_that_results_could_not_tell_apart_are_refused(rows, words):
    with pytest.raises(UsageError) as refused:
        places_from(repositories(*rows))
    assert words in refused.value.cause


def test_prefixes_and_servers_tell_buckets_of_one_name_apart():
    rows = [{**SITE, "name": "a"}, {**SITE, "name": "b", "prefix": "p"}]
    other = {**SITE, "name": "c", "endpoint_url": "https://other.example.com"}
    assert len(places_from(repositories(*rows, other))) == 3


def test_a_drill_is_left_to_the_engine_unless_options_say_more():
    place = drill()
    assert (place.bin_dir, place.folder, place.user, place.jobs) == ("", "", None, 1)
    me = pwd.getpwuid(os.getuid())
    place = drill(bin_dir="/opt/pg", scratch_dir="/var/tmp", scratch_user=me.pw_name, jobs=4)
    assert (place.bin_dir, place.folder, place.jobs) == ("/opt/pg", "/var/tmp", 4)
    assert place.user == (me.pw_uid, me.pw_gid)


def test_a_drill_of_a_container_leaves_the_programs_of_the_host_to_be_found():
    place = drill(container="shop-db", container_engine="docker", bin_dir="/opt/pg")
    assert (place.bin_dir, place.container) == ("", Container("shop-db", "docker", "/opt/pg"))


@pytest.mark.parametrize(
    "options", [{"scratch_user": "no-such-user"}, {"jobs": 0}, {"container": "a b"}, {"container_engine": "docker"}]
)
def test_a_drill_that_cannot_be_is_wrong_usage(options):
    with pytest.raises(UsageError):
        drill(**options)
