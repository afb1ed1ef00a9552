# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery key: its code opens everything, and nothing that a stranger wrote."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    epoch_document,
    json_document,
    key_wrapping,
    keyring,
    keyring_changes,
    pkcs8,
    recovery_changes,
    recovery_code,
    recovery_key,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import (
    Access,
    WrongSecretError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_key import WrongCodeError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.test_keyring import (
    edited,
    flip,
    path_of,
    sealed,
    unsealed,
)

SECRET = keyrings.fresh_secret()
OTHER = keyrings.fresh_secret()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A keyring of two epochs with a verified recovery key, in two repositories: made once, because that takes long."""
    folder = tmp_path_factory.mktemp("made")
    stores = [keyrings.repository(folder / name) for name in ("near", "far")]
    keyrings.create(stores, SECRET, epochs=2)
    code = keyrings.export(stores, SECRET, folder / "code")
    keyrings.verify(stores, SECRET, code)
    return folder, code


@pytest.fixture
def stores(made, tmp_path):
    for name in ("near", "far"):
        shutil.copytree(made[0] / name, tmp_path / name)
    return [keyrings.repository(tmp_path / name) for name in ("near", "far")]


@pytest.fixture
def code(made):
    return made[1]


@pytest.fixture
def quick(monkeypatch):
    """Make small keys: for tests in which their strength does not matter."""
    monkeypatch.setattr(key_wrapping, "RSA_BITS", 2048)
    monkeypatch.setattr(pkcs8, "ROUNDS", 65_536)


def test_the_code_alone_opens_all_epochs(stores, code):
    written = sealed(keyring.read(stores[0], Access(SECRET)))
    keys = keyring.read(stores[1], Access(code=code))
    assert keys == keyring.read(stores[0], Access(SECRET))
    assert unsealed(keys, written) == b"rows"


def test_the_keyring_is_ready_after_the_code_was_verified_and_not_before(tmp_path, quick):
    store = keyrings.repository(tmp_path / "here")
    keyrings.create([store], SECRET)
    code = keyrings.export([store], SECRET, tmp_path / "code")
    store.keys = keyring.read(store, Access(SECRET))
    with pytest.raises(LifeboatError, match="verified") as refusal:
        keyring.require_writable(store)
    assert refusal.value.remedy.startswith("verify the code of its recovery key")
    with pytest.raises(WrongSecretError):
        keyring.read(store, Access(code=code))
    keyrings.verify([store], SECRET, code)
    keyring.require_writable(store)
    assert keyring.read(store, Access(code=code)) == store.keys


def test_the_exported_file_is_private_and_has_the_code_and_the_fingerprint(made):
    folder, code = made
    sheet = (folder / "code").read_text()
    assert (folder / "code").stat().st_mode & 0o777 == 0o600
    assert recovery_code.printed(code) in sheet
    assert keyrings.look([keyrings.repository(folder / "near")], SECRET).fingerprint in sheet
    everything = b"".join(path.read_bytes() for path in (folder / "near").rglob("*") if path.is_file())
    assert code.encode() not in everything and recovery_code.printed(code).encode() not in everything


def test_the_private_key_is_pkcs8_with_the_promised_parameters(stores, code):
    pem = stores[0].get("RESCUE/recovery_key-1.pem").data.decode()
    der = key_wrapping.from_text("".join(pem.splitlines()[1:-1]))
    assert pem.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for name in ("2a864886f70d01050d", "2a864886f70d01050c", "2a864886f70d020b", "60864801650304012a"):
        assert bytes.fromhex(name) in der  # PBES2, PBKDF2, HMAC with SHA-512, AES-256-CBC
    key = keyring.recovery_keys(stores[0])[1].private(code, pem)
    assert key.key_size == 4096


def test_another_code_is_refused(stores):
    with pytest.raises(WrongCodeError, match="another"):
        keyring.read(stores[0], Access(code=recovery_code.new()))


def test_a_new_epoch_is_for_the_recovery_key_too(stores, code):
    keyrings.create(stores, SECRET, epochs=3)
    assert len(keyring.read(stores[0], Access(code=code)).epochs) == 3


def test_a_lost_secret_is_replaced_with_the_code(stores, code):
    keyrings.rewrap(stores, OTHER, Access(code=code))
    assert keyring.read(stores[0], Access(OTHER)) == keyring.read(stores[1], Access(code=code))
    with pytest.raises(WrongSecretError):
        keyring.read(stores[0], Access(SECRET))


def test_a_new_recovery_key_replaces_the_one_whose_code_is_lost(stores, code, tmp_path, quick):
    assert not recovery_changes.is_due(keyrings.look(stores, SECRET), 0)
    fresh = keyrings.export(stores, SECRET, tmp_path / "second", replaces=1)
    assert not recovery_changes.is_due(keyrings.look(stores, SECRET), 1)
    assert keyring.read(stores[0], Access(code=code))  # until the new code was verified
    keyrings.verify(stores, SECRET, fresh)
    assert keyring.read(stores[0], Access(code=fresh)) == keyring.read(stores[0], Access(SECRET))
    with pytest.raises(WrongSecretError):
        keyring.read(stores[0], Access(code=code))


def test_an_export_that_was_interrupted_at_any_step_is_finished_by_the_next_run(tmp_path, quick, monkeypatch):
    kept = {}
    rsa = key_wrapping.library().rsa
    # The same key each time: making one takes long.
    monkeypatch.setattr(rsa, "generate_private_key", _cached(rsa.generate_private_key))

    def begin(stores):
        keyrings.create(stores[:1], SECRET)
        kept["file"] = tmp_path / f"code-{len(list(tmp_path.iterdir()))}"

    def export_and_verify(stores):
        code = keyrings.export(stores[:1], SECRET, kept["file"])
        keyrings.verify(stores[:1], SECRET, code)

    count = 0
    for stores, _nothing in keyrings.killed_at_each_step(tmp_path, begin, export_and_verify):
        count += 1
        assert keyring.read(stores[0], Access(SECRET))
        export_and_verify(stores)
        code = recovery_code.on_sheet(kept["file"].read_text())
        assert keyring.read(stores[0], Access(code=code)) == keyring.read(stores[0], Access(SECRET))
        assert keyring.recovery_key_numbers(stores[0]) == [1]
        ring = keyrings.look(stores[:1], SECRET)
        assert recovery_changes.is_final(ring, keyring.recovery_keys(stores[0])[1])
        assert recovery_changes.verification(ring, code, stores[0].now()) == ()
    assert count > 8


def _cached(make):
    found = []

    def cached(**options):
        found[:] = found or [make(**options)]
        return found[0]

    return cached


def test_the_code_is_written_over_no_other_file(stores, tmp_path):
    path = tmp_path / "diary"
    path.write_text("Dear diary, today I made a recovery key")
    ring = keyrings.look(stores, SECRET)
    for act in (recovery_changes.require_exportable, lambda r, p: recovery_changes.export(r, stores[0].now(), p)):
        with pytest.raises(UsageError, match="already"):
            act(ring, str(path))
    assert path.read_text().startswith("Dear diary")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        recovery_changes.export(ring, stores[0].now(), str(link))


def test_the_code_that_an_interrupted_export_left_is_taken_again_and_half_of_one_is_not(stores, tmp_path, quick):
    ring = keyrings.look(stores, SECRET)
    path = tmp_path / "code"
    first = recovery_changes.export(ring, stores[0].now(), str(path)).current_recovery
    text = path.read_text()
    second = recovery_changes.export(ring, stores[0].now(), str(path)).current_recovery
    assert path.read_text() == text and first.public_key != second.public_key
    code = recovery_code.on_sheet(text)
    assert first.private(code) and second.private(code)
    path.write_text(text[: text.index("code:") + 20])
    with pytest.raises(UsageError, match="did not end"):
        recovery_changes.export(ring, stores[0].now(), str(path))


RECOVERY_EDITS = {
    "keyring": lambda f: f.update(keyring="6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11"),
    "number": lambda f: f.update(number=2),
    "created": lambda f: f.update(created="2020-01-01T00:00:00.000000Z"),
    "host": lambda f: f.update(host="elsewhere"),
    "canary": lambda f: f["canary"].update(ciphertext=flip(f["canary"]["ciphertext"])),
    "canary digest": lambda f: f["canary"].update(sha256=flip(f["canary"]["sha256"])),
    "seal": lambda f: f["seal"].update(ciphertext=flip(f["seal"]["ciphertext"])),
    "authentication": lambda f: f.update(authentication=flip(f["authentication"])),
    "public key": lambda f: f.update(public_key="-----BEGIN PUBLIC KEY-----\n"),
}


@pytest.mark.parametrize("field", RECOVERY_EDITS)
def test_an_edited_recovery_key_with_a_right_digest_is_refused(stores, code, field):
    edited(stores[0], "RESCUE/recovery_key-1.json", RECOVERY_EDITS[field])
    with pytest.raises(DamagedError):
        keyring.read(stores[0], Access(code=code))


def test_keys_never_go_to_a_recovery_key_that_a_stranger_made(stores, quick):
    ring = keyrings.look(stores, SECRET)
    forged = recovery_key.made(ring.id, 2, dt.datetime.now(dt.timezone.utc), bytes(32), recovery_code.new())
    stores[0].put_new("RESCUE/recovery_key-2.json", forged.to_bytes())
    with pytest.raises(DamagedError, match="nobody with the keyring"):
        keyrings.create(stores, SECRET, epochs=3)


def test_a_key_that_a_stranger_made_is_not_opened_by_the_code(stores, code):
    """Whoever may write can encrypt for the recovery key: the code's holder must not take their key for ours."""
    public = keyring.recovery_keys(stores[0])[1].loaded()
    theirs = b"k" * 32

    def replace(fields):
        fields["recovery"]["ciphertext"] = key_wrapping.to_text(key_wrapping.wrap_for(public, theirs))

    edited(stores[0], "keys/0002.json", replace)
    with pytest.raises(DamagedError, match="none of this keyring"):
        keyring.read(stores[0], Access(code=code))
    check = epoch_document._check(theirs, keyrings.look(stores[1:], SECRET).id, "0002")
    edited(stores[0], "keys/0002.json", lambda fields: fields.update(check=check))
    with pytest.raises(DamagedError, match="none of this keyring"):
        keyring.read(stores[0], Access(code=code))


def test_a_verification_that_a_stranger_wrote_counts_for_nothing(stores):
    key = "RESCUE/recovery_key-1.verified.json"
    fields = json.loads(stores[0].get(key).data)
    fields.pop("digest")
    for store in stores:
        with open(path_of(store, key), "wb") as file:
            file.write(json_document.encoded(dict(fields, host="elsewhere")))
    assert keyrings.look(stores, SECRET).verified() is None


def test_a_missing_verification_of_one_repository_comes_from_the_other(stores):
    key = "RESCUE/recovery_key-1.verified.json"
    before = stores[0].get(key).data
    stores[0].delete(key)
    stores[0].delete("RESCUE/recovery_key-1.json")
    keyrings.create(stores, SECRET)
    assert stores[0].get(key).data == before
    assert keyring.recovery_key_numbers(stores[0]) == [1]


@pytest.mark.parametrize("change", [str.lower, lambda text: text.replace("-", " "), lambda text: f" {text}\n"])
def test_a_code_may_be_typed_in_any_way(change):
    code = recovery_code.new()
    assert recovery_code.parsed(change(recovery_code.printed(code))) == code
    assert len(code) == 32 and len(recovery_code.printed(code).split("-")) == 9


def test_a_code_may_be_read_as_figures_that_look_like_its_letters():
    code = "OIB" + "A" * 29
    assert (
        recovery_code.parsed(recovery_code.printed(code).replace("O", "0").replace("I", "1").replace("B", "8")) == code
    )


def test_a_slip_of_the_pen_in_a_code_is_noticed_and_not_shown():
    code = recovery_code.new()
    text = recovery_code.printed(code)
    wrong = ("B" if text[0] == "A" else "A") + text[1:]
    for each in (wrong, text[:-5], text + "A", "", text[5:]):
        with pytest.raises(UsageError) as refused:
            recovery_code.parsed(each)
        assert code[4:] not in str(refused.value).replace("-", "")


def test_a_rewrap_leaves_the_recovery_key_as_it_is(stores, code):
    before = [each.recovery for each in keyring.epochs(stores[0])]
    keyrings.rewrap(stores, OTHER, Access(SECRET))
    assert [each.recovery for each in keyring.epochs(stores[0])] == before
    assert keyring_changes.look(stores)
