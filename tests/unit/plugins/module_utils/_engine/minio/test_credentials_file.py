# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import configparser
import os
import re
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import credentials_file
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.credentials import Credentials

GOOD = "[default]\naws_access_key_id = mine\naws_secret_access_key = canary-secret\n"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "credentials")


def written(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


@pytest.mark.parametrize("secret", ["canary-secret", "a%b%(c)s", "a=b:c", "#;'\"", "x/+=="])
def test_what_is_written_is_read_and_aws_tools_read_it_too(path, secret):
    given = Credentials("mine", secret)
    credentials_file.write_new(path, given)
    assert credentials_file.read(path) == given
    parser = configparser.RawConfigParser()
    parser.read(path)
    assert parser["default"]["aws_secret_access_key"] == secret
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_there_is_none_before_it_is_written(path):
    assert credentials_file.read(path) is None


def test_a_file_that_is_there_is_never_replaced(path):
    credentials_file.write_new(path, Credentials("mine", "canary-secret"))
    with pytest.raises(LifeboatError, match="exists"):
        credentials_file.write_new(path, Credentials("mine", "another-secret"))
    assert credentials_file.read(path).secret_key == "canary-secret"
    assert os.listdir(os.path.dirname(path)) == ["credentials"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LifeboatError, match="nothing/credentials") as error:
        credentials_file.write_new(str(tmp_path / "nothing" / "credentials"), Credentials("mine", "canary-secret"))
    assert "folder" in error.value.remedy and "canary" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary-secret",
        "[default]\ncanary-secret",
        "[other]\naws_access_key_id = mine\naws_secret_access_key = canary-secret\n",
        GOOD + "[other]\naws_access_key_id = mine\n",
        GOOD + "region = here\n",
        "[default]\naws_access_key_id = mine\naws_secret_access_key =\n",
    ],
)
def test_a_file_that_is_somebody_elses_is_refused_and_not_shown(path, text):
    with pytest.raises(UsageError, match="something else") as error:
        credentials_file.read(written(path, text))
    assert "canary" not in str(error.value)


def test_a_file_that_others_may_read_is_refused(path):
    with pytest.raises(UsageError, match="0640"):
        credentials_file.read(written(path, GOOD, 0o640))


def test_a_pipe_and_a_folder_are_no_files(path, tmp_path):
    os.mkfifo(path, 0o600)
    with pytest.raises(UsageError, match="not a file"):
        credentials_file.read(path)
    with pytest.raises(UsageError, match="directory"):
        credentials_file.read(str(tmp_path))


def test_a_file_is_removed_once_or_not_at_all(path):
    credentials_file.remove(written(path, GOOD))
    credentials_file.remove(path)
    assert not os.path.exists(path)


def test_what_is_generated_is_as_long_as_minio_takes_and_never_the_same():
    made = [credentials_file.generated() for _number in range(20)]
    assert len({each.secret_key for each in made}) == len({each.access_key for each in made}) == 20
    for each in made:
        assert re.fullmatch("[A-Z0-9]{20}", each.access_key) and re.fullmatch("[A-Za-z0-9]{40}", each.secret_key)
    assert credentials_file.generated("mine").access_key == "mine"
