# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.doc_fragments import (
    _postgres_login,
    _postgres_programs,
    _repository,
    _s3_connection,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import arguments, postgres_options, s3_options
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

KEYS = {"access_key": "mine", "secret_key": "canary-secret"}
S3 = {"endpoint_url": "https://s3.example.com", **KEYS}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("LIFEBOAT_S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)


def validated(spec, given, **rules):
    outcome = ArgumentSpecValidator(spec, **rules).validate(given)
    assert not outcome.error_messages, outcome.error_messages
    return outcome.validated_parameters


def connection(given):
    return validated(s3_options.S3_CONNECTION, given, **s3_options.S3_CONNECTION_RULES)


def errors(spec, given, **rules):
    return ArgumentSpecValidator(spec, **rules).validate(given).error_messages


def documented(fragment, option=""):
    options = yaml.safe_load(fragment)["options"]
    return options[option]["suboptions"] if option else options


@pytest.mark.parametrize(
    "options, spec",
    [
        (documented(_s3_connection.ModuleDocFragment.DOCUMENTATION), s3_options.S3_CONNECTION),
        (documented(_postgres_programs.ModuleDocFragment.DOCUMENTATION), postgres_options.POSTGRES_PROGRAMS),
        (
            {
                **documented(_postgres_login.ModuleDocFragment.DOCUMENTATION),
                **documented(_postgres_programs.ModuleDocFragment.DOCUMENTATION),
            },
            postgres_options.POSTGRES_LOGIN,
        ),
        (
            documented(_repository.ModuleDocFragment.DOCUMENTATION, "repository"),
            arguments.REPOSITORY["repository"]["options"],
        ),
        (
            documented(_repository.ModuleDocFragment.SEVERAL, "repositories"),
            arguments.REPOSITORIES["repositories"]["options"],
        ),
    ],
)
def test_the_fragments_document_exactly_the_options(options, spec):
    assert set(options) == set(spec)
    for name, option in options.items():
        for fact in ("type", "default", "choices", "required", "elements"):
            assert option.get(fact) == spec[name].get(fact), (name, fact)


@pytest.mark.parametrize("option, text", [("repository", "DOCUMENTATION"), ("repositories[]", "SEVERAL")])
def test_the_connection_of_a_repository_is_described_as_everywhere(option, text):
    described = documented(getattr(_repository.ModuleDocFragment, text), option.rstrip("[]"))
    connection_options = documented(_s3_connection.ModuleDocFragment.DOCUMENTATION)
    for name, facts in connection_options.items():
        here = [line.replace(f"O({option}.", "O(") for line in described[name]["description"]]
        assert here == facts["description"], name


def test_the_connection_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://second.example.com")
    monkeypatch.setenv("LIFEBOAT_S3_ENDPOINT", "https://first.example.com")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    endpoint = s3_options.endpoint_from(connection({}))
    assert endpoint.url == "https://first.example.com"
    assert (endpoint.access_key, endpoint.secret_key, endpoint.region) == ("key", "secret", "eu-central-1")


def test_each_option_of_the_connection_reaches_the_endpoint():
    given = {
        **S3,
        "session_token": "token",
        "region": "r",
        "addressing_style": "path",
        "ca_cert": "/etc/ca.pem",
        "validate_certs": False,
        "allow_plaintext": True,
    }
    endpoint = s3_options.endpoint_from(connection(given))
    found = (endpoint.session_token, endpoint.region, endpoint.addressing_style, endpoint.ca_file)
    assert found == ("token", "r", "path", "/etc/ca.pem")
    assert (endpoint.verify_tls, endpoint.allow_plaintext) == (False, True)


def test_tls_is_verified_and_plain_http_refused_by_default():
    endpoint = s3_options.endpoint_from(connection(S3))
    assert endpoint.verify_tls and not endpoint.allow_plaintext


def test_a_secret_key_needs_its_access_key():
    assert errors(s3_options.S3_CONNECTION, {"secret_key": "x"}, **s3_options.S3_CONNECTION_RULES)


def test_secrets_are_marked_so_that_ansible_hides_them():
    for spec in (
        s3_options.S3_CONNECTION,
        postgres_options.POSTGRES_LOGIN,
        arguments.REPOSITORY["repository"]["options"],
    ):
        for name, option in spec.items():
            if any(word in name for word in ("secret", "password", "token")):
                assert option["no_log"] is True


def test_a_path_is_a_directory_store():
    (given,) = validated(arguments.REPOSITORIES, {"repositories": [{"path": "/srv/backups"}]})["repositories"]
    assert isinstance(arguments.store_from(given), DirectoryStore)
    assert arguments.repository_name(given) == "/srv/backups"


def test_a_bucket_is_a_bucket_store():
    given = validated(arguments.REPOSITORY, {"repository": {"bucket": "docs", "prefix": "a", **S3}})["repository"]
    store = arguments.store_from(given)
    assert isinstance(store, BucketStore)
    assert store.name == "s3://docs/a at https://s3.example.com"
    assert arguments.repository_name(given) == "s3://docs/a"
    assert arguments.repository_name({**given, "name": "offsite"}) == "offsite"


@pytest.mark.parametrize("given", [{}, {"path": "/a", "bucket": "b"}, {"name": "x"}])
def test_a_repository_is_either_a_path_or_a_bucket(given):
    assert errors(arguments.REPOSITORY, {"repository": given})


def test_the_environment_gives_repositories_their_connection_too(monkeypatch):
    monkeypatch.setenv("LIFEBOAT_S3_ENDPOINT", "https://first.example.com")
    given = validated(arguments.REPOSITORY, {"repository": {"bucket": "docs", **KEYS}})["repository"]
    assert s3_options.endpoint_from(given).url == "https://first.example.com"


def test_the_login_names_come_from_libpqs_environment(monkeypatch):
    monkeypatch.setenv("PGUSER", "backup")
    assert validated(postgres_options.POSTGRES_LOGIN, {})["login_user"] == "backup"
