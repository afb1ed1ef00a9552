# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keyrings: who opens them, what is refused, and that nothing is lost when a change is interrupted."""

from __future__ import annotations

import json
import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    MissingPartError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    json_document,
    key_wrapping,
    keyring,
    keyring_changes,
    organisation_secret,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import (
    Access,
    WrongSecretError,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

SECRET = keyrings.fresh_secret()
OTHER = keyrings.fresh_secret()


@pytest.fixture
def stores(tmp_path):
    return [keyrings.repository(tmp_path / name) for name in ("near", "far")]


def path_of(store, key):
    return store.name + "/" + key


def sealed(keys, text=b"rows"):
    return b"".join(keys.encrypting("db1", "20261121T000000Z-000000", "dump.enc")([text]))


def unsealed(keys, data):
    return b"".join(keys.decrypting("db1", "20261121T000000Z-000000", "dump.enc")([data]))


def edited(store, key, change):
    """Change a document and give it the right digest, as somebody who may write to the repository could."""
    path = path_of(store, key)
    with open(path, "rb") as file:
        fields = json.loads(file.read())
    fields.pop("digest")
    change(fields)
    with open(path, "wb") as file:
        file.write(json_document.encoded(fields))


def test_the_secret_opens_what_was_written_in_every_epoch(stores):
    keyrings.create(stores, SECRET, is_single=True)
    first = sealed(keyring.read(stores[0], Access(SECRET)))
    keyrings.create(stores, SECRET, epochs=3)
    keys = keyring.read(stores[1], Access(SECRET))
    assert [each.epoch for each in keys.epochs] == ["0001", "0002", "0003"]
    assert unsealed(keys, first) == b"rows"
    assert keys.current.epoch == "0003"
    assert b"0003" in sealed(keys)


def test_both_repositories_have_the_same_bytes(stores):
    keyrings.create(stores, SECRET, epochs=2)
    near, far = ({e.key: store.get(e.key).data for e in store.entries("")} for store in stores)
    assert {key: data for key, data in near.items() if key != "lifeboat.json"} == {
        key: data for key, data in far.items() if key != "lifeboat.json"
    }
    assert set(near) == {"keys/0001.json", "keys/0002.json", "RESCUE/README.txt", "RESCUE/rescue.py", "lifeboat.json"}


def test_another_secret_is_refused_with_the_fingerprint_of_the_keyring(stores):
    ring = keyrings.create(stores, SECRET)
    with pytest.raises(WrongSecretError) as refused:
        keyring.read(stores[0], Access(OTHER))
    assert ring.fingerprint in str(refused.value) and ring.id in str(refused.value)
    assert len(ring.fingerprint.split("-")) == 8


def test_no_key_is_shown_by_what_holds_it(stores):
    ring = keyrings.create(stores, SECRET)
    keys = keyring.read(stores[0], Access(SECRET))
    shown = repr((ring, keys, Access(SECRET, "CODE"), SECRET))
    for secret in (keys.current.secret, ring.authentication, SECRET.key):
        assert repr(secret) not in shown and secret.hex() not in shown
    assert "CODE" not in shown


def test_without_the_library_nothing_is_read(stores, monkeypatch):
    keyrings.create(stores, SECRET)
    real = __import__("importlib").import_module

    def missing(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError("No module named 'cryptography'")
        return real(name, *rest)

    key_wrapping.library.cache_clear()
    monkeypatch.setattr(key_wrapping.importlib, "import_module", missing)
    monkeypatch.setattr(DirectoryStore, "get", lambda *a: pytest.fail("it was read"))
    monkeypatch.setattr(DirectoryStore, "entries", lambda *a: pytest.fail("it was listed"))
    with pytest.raises(MissingPartError, match="python3-cryptography"):
        keyring.read(stores[0], Access(SECRET))
    with pytest.raises(MissingPartError):
        keyring_changes.look(stores)


def test_every_flipped_bit_of_a_key_is_noticed(stores):
    keyrings.create(stores, SECRET)
    with open(path_of(stores[0], "keys/0001.json"), "rb") as file:
        data = file.read()
    for at in range(0, len(data), 3):
        with open(path_of(stores[0], "keys/0001.json"), "wb") as file:
            file.write(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        with pytest.raises(DamagedError):
            keyring.read(stores[0], Access(SECRET))


def flip(text):
    """Change the last hexadecimal or base64 digit but for padding."""
    body, padding = text.rstrip("="), text[len(text.rstrip("=")) :]
    return body[:-2] + ("0" if body[-2] != "0" else "1") + body[-1] + padding


EDITS = {
    "keyring": lambda f: f.update(keyring="6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11"),
    "epoch": lambda f: f.update(epoch="0002"),
    "created": lambda f: f.update(created="2020-01-01T00:00:00.000000Z"),
    "single": lambda f: f.update(allow_single_recipient=True),
    "check": lambda f: f.update(check=flip(f["check"])),
    "authentication": lambda f: f.update(authentication=flip(f["authentication"])),
    "salt": lambda f: f["secrets"][0].update(salt=flip(f["secrets"][0]["salt"])),
    "iv": lambda f: f["secrets"][0].update(iv=flip(f["secrets"][0]["iv"])),
    "ciphertext": lambda f: f["secrets"][0].update(ciphertext=flip(f["secrets"][0]["ciphertext"])),
    "name": lambda f: f["secrets"][0].update(name=flip(f["secrets"][0]["name"])),
    "no secrets": lambda f: f.update(secrets=[]),
    "cost": lambda f: f["secrets"][0].update(passphrase={"n": 2, "r": 1, "p": 1, "salt": "00" * 16}),
    "member missing": lambda f: f.pop("check"),
}


@pytest.mark.parametrize("field", EDITS)
def test_an_edited_key_with_a_right_digest_is_refused(stores, field):
    keyrings.create(stores, SECRET)
    edited(stores[0], "keys/0001.json", EDITS[field])
    with pytest.raises((DamagedError, WrongSecretError)):
        keyring.read(stores[0], Access(SECRET))


@pytest.mark.parametrize("field", [field for field in EDITS if field not in ("keyring", "check", "epoch")])
def test_an_edited_key_is_repaired_from_the_other_repository(stores, field):
    keyrings.create(stores, SECRET)
    before = stores[1].get("keys/0001.json").data
    edited(stores[0], "keys/0001.json", EDITS[field])
    edited(stores[0], "keys/0001.json", lambda f: f.update(revision=9))
    keyrings.create(stores, SECRET)
    assert stores[0].get("keys/0001.json").data == before


def test_a_repository_without_keyring_is_refused_to_who_brings_keys(stores):
    with pytest.raises(GuardRefusal, match="backup_keyring") as refused:
        keyring.read(stores[0], Access(SECRET))
    assert refused.value.guard == "keyring"


def test_repositories_of_two_keyrings_are_refused_together(stores):
    keyrings.create(stores[:1], SECRET)
    keyrings.create(stores[1:], SECRET)
    with pytest.raises(GuardRefusal, match="more than one") as refused:
        keyring_changes.look(stores)
    assert refused.value.guard == "keyring"
    with pytest.raises(GuardRefusal):
        keyring.bring(stores[0], stores[1], stores[1].now)


def test_two_keys_of_one_name_are_refused_together(stores):
    keyrings.create(stores, SECRET)
    for store in stores:
        keyrings.create([store], SECRET, epochs=2)
    with pytest.raises(GuardRefusal, match="more than one"):
        keyring_changes.look(stores)


def test_somebody_else_who_makes_a_keyring_at_once_is_noticed(stores):
    ring = keyring_changes.begun(keyring_changes.look(stores), stores[0].now(), False, (SECRET,))
    keyrings.create(stores, OTHER)
    with pytest.raises(GuardRefusal, match="somebody else"):
        keyring_changes.write(keyring_changes.writes(ring, {})[0])


def test_a_change_that_somebody_else_made_meanwhile_is_not_overwritten(stores):
    keyrings.create(stores, SECRET)
    ring = keyrings.look(stores, SECRET)
    keyrings.rewrap(stores, OTHER, Access(SECRET))
    changed = keyring_changes.for_recipients(ring, keyrings.Recipients((keyrings.fresh_secret(),)))
    with pytest.raises(GuardRefusal, match="somebody else"):
        keyring_changes.write(keyring_changes.writes(changed, {})[0])
    assert keyring.read(stores[0], Access(OTHER))


def test_a_keyring_that_was_interrupted_at_any_step_is_finished_by_the_next_run(tmp_path):
    def make(stores):
        keyrings.create(stores, SECRET, epochs=2)

    count = 0
    for stores, _nothing in keyrings.killed_at_each_step(tmp_path, lambda _stores: None, make):
        count += 1
        for store in stores:
            assert not keyring.epoch_names(store) or keyring.read(store, Access(SECRET))
        make(stores)
        assert [len(keyring.read(store, Access(SECRET)).epochs) for store in stores] == [2, 2]
        assert stores[0].get("keys/0002.json").data == stores[1].get("keys/0002.json").data
    assert count > 8


def test_while_a_rewrap_is_interrupted_each_key_opens_with_the_old_or_the_new_secret(tmp_path):
    def begin(stores):
        keyrings.create(stores, SECRET, is_single=True, epochs=3)
        return sealed(keyring.read(stores[0], Access(SECRET)))

    def change(stores):
        keyrings.rewrap(stores, OTHER, Access(SECRET))

    count = 0
    for stores, stored in keyrings.killed_at_each_step(tmp_path, begin, change):
        count += 1
        assert all(each.opened(SECRET) or each.opened(OTHER) for store in stores for each in keyring.epochs(store))
        change(stores)
        for store in stores:
            assert unsealed(keyring.read(store, Access(OTHER)), stored) == b"rows"
            with pytest.raises(WrongSecretError):
                keyring.read(store, Access(SECRET))
        again = keyring_changes.opened(keyring_changes.look(stores), [Access(OTHER), Access(SECRET)])
        assert keyring_changes.writes(keyring_changes.for_recipients(again, keyrings.Recipients((OTHER,))), {}) == ()
    assert count > 8


def test_both_secrets_open_a_keyring_as_long_as_that_is_wanted(stores):
    keyrings.create(stores, SECRET)
    keyrings.rewrap(stores, OTHER, Access(SECRET), also=(SECRET,))
    assert keyring.read(stores[0], Access(SECRET)) == keyring.read(stores[0], Access(OTHER))
    keyrings.rewrap(stores, OTHER, Access(SECRET))
    assert keyring.read(stores[0], Access(OTHER))
    with pytest.raises(WrongSecretError):
        keyring.read(stores[0], Access(SECRET))


def test_a_keyring_without_second_recipient_is_not_written_with(stores):
    keyrings.create(stores, SECRET)
    stores[0].keys = keyring.read(stores[0], Access(SECRET))
    with pytest.raises(GuardRefusal, match="recovery key") as refused:
        keyring.require_writable(stores[0])
    assert refused.value.guard == "keyring"


def test_with_one_recipient_allowed_it_is_written_with(stores):
    keyrings.create(stores, SECRET, is_single=True)
    stores[0].keys = keyring.read(stores[0], Access(SECRET))
    keyring.require_writable(stores[0])


def test_an_encrypted_repository_is_not_written_to_without_keys(stores):
    keyring.require_writable(stores[0])
    keyrings.create(stores, SECRET, is_single=True)
    with pytest.raises(GuardRefusal, match="encrypted") as refused:
        keyring.require_writable(stores[0])
    assert refused.value.guard == "keyring"


def test_a_secret_that_does_not_open_the_newest_epoch_is_not_written_with(stores):
    keyrings.create(stores, SECRET, is_single=True, epochs=2)
    with keyrings.crashing(100):
        ring = keyrings.look(stores, SECRET)
        changed = keyring_changes.for_recipients(ring, keyrings.Recipients((OTHER,)))
        for each in keyring_changes.writes(changed, {}):
            if each.key == "keys/0002.json":
                keyring_changes.write(each)
    stores[0].keys = keyring.read(stores[0], Access(SECRET))
    with pytest.raises(GuardRefusal, match="newest"):
        keyring.require_writable(stores[0])


def test_a_keyring_comes_with_a_copy_and_changes_nothing_that_is_there(stores):
    keyrings.create(stores[:1], SECRET)
    keyring.bring(stores[0], stores[1], stores[1].now)
    assert keyring.read(stores[1], Access(SECRET)) == keyring.read(stores[0], Access(SECRET))
    assert stores[1].get("RESCUE/rescue.py") is not None
    keyrings.rewrap(stores[:1], OTHER, Access(SECRET))
    keyrings.create(stores[:1], OTHER, epochs=2)
    keyring.bring(stores[0], stores[1], stores[1].now)
    assert keyring.epoch_names(stores[1]) == ["0001", "0002"]
    assert len(keyring.read(stores[1], Access(SECRET)).epochs) == 1


def test_plain_backups_do_not_come_into_an_encrypted_repository(stores):
    keyrings.create(stores[1:], SECRET)
    with pytest.raises(GuardRefusal, match="encrypted"):
        keyring.bring(stores[0], stores[1], stores[1].now)


def test_a_lost_folder_of_keys_is_brought_back_from_the_other_repository(stores):
    keyrings.create(stores, SECRET, epochs=2)
    shutil.rmtree(path_of(stores[0], "keys"))
    keyrings.create(stores, SECRET)
    assert len(keyring.read(stores[0], Access(SECRET)).epochs) == 2


@pytest.mark.parametrize(
    "text", ["", "short", "a passphrase that somebody thought of", "ab" * 31, "scrypt:2:1:1::", "é" * 40]
)
def test_what_is_no_random_secret_is_refused_and_not_shown(text):
    with pytest.raises(UsageError) as refused:
        organisation_secret.from_text(text, "the file")
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("text", ["0f" * 32, "0F" * 40, "/+aA" * 11, "ab" * 31 + "cd"])
def test_random_bytes_are_taken_in_base64_and_hexadecimal_digits(text):
    assert len(organisation_secret.from_text(text, "the file").key) >= 32


def test_a_passphrase_makes_the_same_secret_again_with_the_same_salt_only(stores):
    words = "correct horse battery staple anew"
    first = organisation_secret.from_passphrase(words)
    assert first.stretching.n == 2**17
    assert organisation_secret.from_text(first.to_text(), "the file") == first
    assert organisation_secret.from_passphrase(words, first.stretching) == first
    keyrings.create(stores, first)
    document = keyring.epochs(stores[0])[0]
    assert document.secrets[0].stretching == first.stretching
    with pytest.raises(UsageError, match="15"):
        organisation_secret.from_passphrase("too short")


def test_a_write_whose_answer_was_lost_is_taken_for_done(stores):
    ring = keyring_changes.begun(keyring_changes.look(stores), stores[0].now(), False, (SECRET,))
    first = keyring_changes.writes(ring, {})[0]
    keyring_changes.write(first)
    keyring_changes.write(first)
    assert keyring.read(stores[0], Access(SECRET))
