# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks say about keyrings, and the plan that they share: small files in several repositories."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._engine import clock
from .._engine.errors import UsageError
from .._engine.host.place import Place
from .._engine.host.secret_file import read_secret
from .._engine.repository import identity, keyring_changes, organisation_secret, recovery_changes
from .._engine.repository.keyring_changes import Held, Ring, Write
from .._engine.repository.organisation_secret import Secret, Stretching
from .._engine.repository.store import Store
from .options import Spec
from .places import places_from

# Documented in the modules.
SECRET: Spec = {
    "secret_file": {"type": "path", "no_log": False},
    "secret": {"type": "str", "no_log": True},
}


@dataclasses.dataclass(frozen=True)
class Kept:
    """The repositories that keep a keyring."""

    places: tuple[Place, ...]
    held: tuple[Held, ...]

    @property
    def stores(self) -> tuple[Store, ...]:
        return tuple(place.store for place in self.places)

    def names_of(self, writes: t.Sequence[Write]) -> dict[str, list[str]]:
        """Return which files are written, by the name of the repository."""
        names = {id(place.store): place.name for place in self.places}
        found: dict[str, list[str]] = {place.name: [] for place in self.places}
        for each in writes:
            found[names[id(each.store)]].append(each.key)
        return found


def kept(repositories: t.Sequence[t.Mapping[str, t.Any]]) -> Kept:
    """Look at repositories without opening the keyring in them. Raises LifeboatError."""
    places = places_from([{**params, "keyring": None} for params in repositories])
    for place in places:
        identity.require(place.store)
    return Kept(places, keyring_changes.look([place.store for place in places]))


def secret_from(params: t.Mapping[str, t.Any]) -> Secret | None:
    """Return the secret that the options of SECRET give, None for none. Raises UsageError."""
    if params.get("secret"):
        return organisation_secret.from_text(params["secret"].strip(), "option secret")
    if params.get("secret_file"):
        path = params["secret_file"]
        return organisation_secret.from_text(read_secret(path), path)
    return None


def stretching_of(held: t.Sequence[Held]) -> Stretching | None:
    """Return how the passphrase of a keyring becomes its secret; None where there is none yet."""
    documents = (document for each in held for document in each.documents.values())
    return next((wrap.stretching for document in documents for wrap in document.secrets if wrap.stretching), None)


def write_secret(path: str, secret: Secret) -> None:
    """Write a secret into a new file that only its owner may read. Raises UsageError."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(f"{secret.to_text()}\n".encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = "name a file in a folder that is there"
        raise UsageError(f"Cannot write the secret file {path}", error.strerror or str(error), remedy) from error


def answer(ring: Ring | None) -> dict[str, t.Any]:
    """Return what tasks say of a keyring."""
    if ring is None:
        return {"keyring": None, "recovery_key": None}
    epochs = [
        {
            "name": document.epoch,
            "created": clock.to_text(document.created),
            "secrets": len(document.secrets),
            "has_recovery_key": document.recovery is not None,
        }
        for document, _opened in ring.epochs.values()
    ]
    single = all(document.is_single or document.recovery for document, _opened in ring.epochs.values())
    return {
        "keyring": {"id": ring.id, "fingerprint": ring.fingerprint, "is_ready": single, "epochs": epochs},
        "recovery_key": recovery_answer(ring),
    }


def recovery_answer(ring: Ring) -> dict[str, t.Any] | None:
    """Return what tasks say of the newest recovery key of a keyring."""
    key = ring.current_recovery
    if key is None:
        return None
    return {
        "number": key.number,
        "fingerprint": key.fingerprint,
        "created": clock.to_text(key.created),
        "host": key.host,
        "is_final": recovery_changes.is_final(ring, key),
    }


def difference(kept_in: Kept, writes: t.Sequence[Write]) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return the files of the keyring before and after, by repository: whether they are there, not what they hold."""
    before: dict[str, t.Any] = {place.name: {} for place in kept_in.places}
    after: dict[str, t.Any] = {place.name: {} for place in kept_in.places}
    names = {id(place.store): place.name for place in kept_in.places}
    for each in writes:
        name = names[id(each.store)]
        before[name][each.key] = "older" if each.etag else "missing"
        after[name][each.key] = "current"
    return before, after
