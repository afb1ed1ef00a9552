# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import recovery_code

HEX = "0f" * 32


def place(keyring):
    """Return the place of a repository with this `keyring`, as a task gets it."""
    options = {"repository": {"path": "/srv/backup", **({"keyring": keyring} if keyring is not None else {})}}
    outcome = ArgumentSpecValidator(dict(REPOSITORY)).validate(options)
    assert not outcome.error_messages, outcome.error_messages
    return place_from(outcome.validated_parameters["repository"])


def private(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_without_keyring_nothing_is_opened():
    assert place(None).access is None


def test_the_secret_comes_from_an_option_or_a_file(tmp_path):
    for keyring in ({"secret": f" {HEX}\n"}, {"secret_file": private(tmp_path / "secret", f"{HEX}\n")}):
        assert place(keyring).access.secret.key == bytes.fromhex(HEX)


def test_the_code_comes_from_a_file_and_the_recovery_key_too(tmp_path):
    code = recovery_code.new()
    keyring = {"recovery_code_file": private(tmp_path / "code", recovery_code.printed(code))}
    assert (place(keyring).access.code, place(keyring).access.recovery_pem) == (code, "")
    keyring["recovery_key_file"] = private(tmp_path / "key.pem", "-----BEGIN\nand more\n")
    assert place(keyring).access.recovery_pem == "-----BEGIN\nand more"


@pytest.mark.parametrize("option", ["secret_file", "recovery_code_file"])
def test_files_that_others_may_read_or_that_are_missing_are_refused(tmp_path, option):
    path = private(tmp_path / "file", HEX, 0o644)
    with pytest.raises(UsageError, match="others"):
        place({option: path})
    with pytest.raises(UsageError, match="No such file"):
        place({option: str(tmp_path / "nothing")})


@pytest.mark.parametrize(
    "keyring", [{}, {"secret": HEX, "secret_file": "/a"}, {"recovery_key_file": "/a", "secret": HEX}]
)
def test_what_opens_a_keyring_is_one_thing(keyring):
    outcome = ArgumentSpecValidator(dict(REPOSITORY)).validate({"repository": {"path": "/x", "keyring": keyring}})
    assert outcome.error_messages
    assert HEX not in str(outcome.error_messages)


def test_the_secret_is_kept_out_of_logs():
    options = REPOSITORY["repository"]["options"]["keyring"]["options"]
    assert options["secret"]["no_log"] is True
