# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys and encrypted files of a repository, for the stand-alone decryptor: see rescue_decryptor."""

# ruff: noqa: UP006, UP007, UP031, UP032, UP035, UP045 - for Python 3.6

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import typing as t

from .rescue_crypto import CHUNK, TAG, Crypto, RescueError, hkdf

_SUITE = b"\x04\x78"
_MARK = "aws-esdk-2"  # of encrypted files in lists


def canonical(fields: t.Dict[str, t.Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def code_from(text: str) -> str:
    """Return the 32 characters of a recovery code, from what somebody typed or from the file of its export."""
    for line in text.splitlines():
        if line.startswith("code:"):
            text = line[5:]
    found = "".join(text.split()).replace("-", "").upper()
    found = found.replace("0", "O").replace("1", "I").replace("8", "B")
    digest = hashlib.sha256(b"lifeboat recovery code 1 " + found[:32].encode("utf-8", "replace")).digest()
    if len(found) != 36 or base64.b32encode(digest)[:4].decode() != found[32:]:
        raise RescueError("this is no recovery code: compare it with the paper, letter by letter")
    return found[:32]


def plain_bytes(fields: t.Dict[str, t.Any]) -> bytes:
    return (json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode()


def refuse_path(*names: str) -> None:
    for name in names:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*$", name):
            raise RescueError("%r is not a name of this repository" % name)


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


class Repository:
    """A repository in a directory, and the keys that open it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.crypto = Crypto()
        self.keyring = ""
        self.epochs = {}  # type: t.Dict[str, bytes]

    def document(self, *path: str) -> t.Dict[str, t.Any]:
        """Read a JSON document; its digest shows damage."""
        name = os.path.join(self.folder, *path)
        with open(name, "rb") as file:
            fields = json.loads(file.read().decode("utf-8"))
        digest = fields.pop("digest", "")
        if hashlib.sha256(plain_bytes(fields)).hexdigest() != digest:
            raise RescueError(name + " is damaged")
        return t.cast("t.Dict[str, t.Any]", fields)

    def names(self, *path: str) -> t.List[str]:
        folder = os.path.join(self.folder, *path)
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def unlock(self, code: str) -> None:
        """Open the newest recovery key that the code is for, and with it all epoch keys."""
        found = (re.match(r"recovery_key-([0-9]+)\.json$", name) for name in self.names("RESCUE"))
        for number in sorted((int(each.group(1)) for each in found if each), reverse=True):
            fields = self.document("RESCUE", "recovery_key-%d.json" % number)
            key = self.crypto.private_key(fields["private_key"].encode("ascii"), code.encode("ascii"))
            if key is not None:
                self._open_epochs(fields, key, code)
                return
        raise RescueError("the code opens no recovery key in " + os.path.join(self.folder, "RESCUE"))

    def _open_epochs(self, fields: t.Dict[str, t.Any], key: t.Any, code: str) -> None:
        canary = self.crypto.rsa_decrypted(key, base64.b64decode(fields["canary"]["ciphertext"]))
        if canary is None or hashlib.sha256(canary).hexdigest() != fields["canary"]["sha256"]:
            raise RescueError("the recovery key does not open its canary: it was edited")
        self.keyring = fields["keyring"]
        seal = {name: base64.b64decode(text) for name, text in fields["seal"].items()}
        aad = canonical({"keyring": self.keyring, "number": fields["number"]})
        wrapping = hkdf(code.encode("ascii"), seal["salt"], b"lifeboat keyring 1 authentication")
        body, tag = seal["ciphertext"][:-TAG], seal["ciphertext"][-TAG:]
        authentication = self.crypto.opened(wrapping, seal["iv"], aad, body, tag)
        if authentication is None:
            raise RescueError("the seal of the recovery key does not open: it was edited")
        for name in self.names("keys"):
            if re.match(r"[0-9]{4}\.json$", name):
                self._open_epoch(self.document("keys", name), key, authentication)
        if not self.epochs:
            raise RescueError("no key in %s is for this recovery key" % os.path.join(self.folder, "keys"))

    def _open_epoch(self, fields: t.Dict[str, t.Any], key: t.Any, authentication: bytes) -> None:
        if fields["recovery"] is None:
            return
        secret = self.crypto.rsa_decrypted(key, base64.b64decode(fields["recovery"]["ciphertext"]))
        if secret is None:
            return  # it is for another recovery key
        about = ("lifeboat keyring 1 check %s %s" % (fields["keyring"], fields["epoch"])).encode("ascii")
        parts = ("keyring", "epoch", "created", "allow_single_recipient", "check")
        identity = canonical({name: fields[name] for name in parts})
        is_own = hmac.compare_digest(hmac.new(secret, about, "sha256").hexdigest(), fields["check"])
        seal = hmac.new(authentication, identity, "sha256").hexdigest()
        if not is_own or not hmac.compare_digest(seal, fields["authentication"]) or fields["keyring"] != self.keyring:
            raise RescueError("keys/%s.json is not a key of this keyring: it was edited" % fields["epoch"])
        self.epochs[fields["epoch"]] = secret

    def manifest(self, job: str, backup: str) -> t.Dict[str, t.Any]:
        """Return the manifest of a backup; `latest` is the newest."""
        if backup == "latest":
            backup = max([name[:-5] for name in self.names("manifests", job) if name.endswith(".json")] or [""])
        if not re.match(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}$", backup):
            raise RescueError("%s has no backup %s" % (job, backup or "at all"))
        fields = self.document("manifests", job, backup + ".json")
        if (fields["job"], fields["id"]) != (job, backup):
            raise RescueError("the manifest of %s is that of another backup" % backup)
        signature = fields.pop("mac", None)
        if signature is None:
            say("Warning: the manifest of %s is not signed" % backup)
        elif not self._is_signed(fields, signature):
            raise RescueError("the signature of backup %s is wrong: it was changed. Take another one" % backup)
        return fields

    def _is_signed(self, fields: t.Dict[str, t.Any], signature: t.Dict[str, str]) -> bool:
        secret = self.epochs.get(signature.get("epoch", ""))
        if secret is None or signature.get("keyring") != self.keyring:
            return False
        key = hmac.new(secret, b"lifeboat signature 1 manifest", "sha256").digest()
        return hmac.compare_digest(hmac.new(key, plain_bytes(fields), "sha256").hexdigest(), signature["hmac_sha256"])

    def stored(self, job: str, owner: str, name: str, encryption: str) -> t.Iterator[bytes]:
        """Yield the compressed bytes of a stored file, decrypted."""
        refuse_path(job, owner, name)
        with open(os.path.join(self.folder, "data", job, owner, name), "rb") as file:
            if encryption == "none":
                yield from iter(lambda: file.read(CHUNK), b"")
                return
            if not encryption.startswith(_MARK):
                raise RescueError("%s is encrypted in a way that is not known here: %s" % (name, encryption))
            context = {"keyring": self.keyring, "job": job, "backup": owner, "file": name}
            yield from self._decrypted(file, {"lifeboat-" + key: value for key, value in context.items()})

    def _decrypted(self, file: t.BinaryIO, context: t.Dict[str, str]) -> t.Iterator[bytes]:
        """Yield the plain frames of an AWS Encryption SDK message, version 2, each authenticated before."""
        header = Header(file)
        if header.context != context:
            raise RescueError("%s belongs to another backup: %r" % (file.name, header.context))
        data_key = None
        for namespace, epoch, iv, ciphertext in header.keys:
            if namespace == self.keyring and epoch in self.epochs:
                body, tag = ciphertext[:-TAG], ciphertext[-TAG:]
                data_key = self.crypto.opened(self.epochs[epoch], iv, header.context_bytes, body, tag) or data_key
        if data_key is None:
            raise RescueError("%s is encrypted under a key that is not in this keyring" % file.name)
        key = hkdf(data_key, header.id, _SUITE + b"DERIVEKEY")
        is_committed = hmac.compare_digest(hkdf(data_key, header.id, b"COMMITKEY"), header.commitment)
        if not is_committed or self.crypto.opened(key, bytes(12), header.data, b"", header.take(TAG)) is None:
            raise RescueError("the header of %s is damaged" % file.name)
        number, is_last = 0, False
        while not is_last:
            number += 1
            (found,) = struct.unpack(">I", header.take(4))
            is_last = found == 0xFFFFFFFF
            if is_last:
                (found,) = struct.unpack(">I", header.take(4))
            iv = header.take(12)
            size = struct.unpack(">I", header.take(4))[0] if is_last else header.frame
            if found != number or size > header.frame:
                raise RescueError("%s is damaged at frame %d" % (file.name, number))
            words = b"AWSKMSEncryptionClient Final Frame" if is_last else b"AWSKMSEncryptionClient Frame"
            aad, body = header.id + words + struct.pack(">IQ", number, size), header.take(size)
            plain = self.crypto.opened(key, iv, aad, body, header.take(TAG))
            if plain is None:
                raise RescueError("%s is damaged at frame %d" % (file.name, number))
            yield plain
        if file.read(1):
            raise RescueError("%s goes on behind its end" % file.name)


class Header:
    """What stands before the frames of an encrypted file."""

    def __init__(self, file: t.BinaryIO) -> None:
        self._file, self.data = file, b""
        if self._kept(3) != b"\x02" + _SUITE:
            raise RescueError("%s is not encrypted as it should be" % file.name)
        self.id = self._kept(32)
        self.context_bytes = self._short()
        self.context = self._context()
        self.keys = [self._key() for _number in range(struct.unpack(">H", self._kept(2))[0])]
        content, self.frame = struct.unpack(">BI", self._kept(5))
        if content != 2 or not 0 < self.frame <= 16 * CHUNK:
            raise RescueError("%s is not encrypted in frames" % file.name)
        self.commitment = self._kept(32)

    def take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise RescueError("%s is cut" % self._file.name)
        return data

    def _kept(self, count: int) -> bytes:
        data = self.take(count)
        self.data += data
        return data

    def _short(self) -> bytes:
        return self._kept(struct.unpack(">H", self._kept(2))[0])

    def _key(self) -> t.Tuple[str, str, bytes, bytes]:
        namespace, info, ciphertext = self._short(), self._short(), self._short()
        return namespace.decode("utf-8"), info[:-20].decode("utf-8", "replace"), info[-12:], ciphertext

    def _context(self) -> t.Dict[str, str]:
        data, texts = self.context_bytes[2:], []
        while data:
            (size,) = struct.unpack(">H", data[:2])
            texts.append(data[2 : 2 + size].decode("utf-8"))
            data = data[2 + size :]
        return dict(zip(texts[::2], texts[1::2]))
