# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in `RESCUE/` for whoever has nothing but a repository and the recovery code (docs/keys.md)."""

from __future__ import annotations

import hashlib
import pkgutil
import re

from ..errors import LifeboatError
from . import layout, recovery_code, rescue_crypto, rescue_decryptor, rescue_keys
from .recovery_key import RecoveryKey

README = f"{layout.RESCUE}README.txt"
DECRYPTOR = f"{layout.RESCUE}rescue.py"
_PARTS = (rescue_crypto, rescue_keys, rescue_decryptor)  # one after the other they are one program
# What parts import of each other, and what Python 3.6 does not know and they do not need.
_LEFT_OUT = re.compile(rb"^from (\.[a-z_]+ import .*|__future__ import annotations)\n", re.MULTILINE)

_README = """\
How to get backups back with the recovery code alone
====================================================

This repository was written by Lifeboat (the Ansible collection lifeboat.recovery). Its backups are encrypted. Whoever
has the secret of the organisation uses Lifeboat. This page is for whoever has only these files and the recovery code,
nine groups of four letters and digits, on paper.

You need Python 3.6 or later and libcrypto (OpenSSL), which nearly every Linux has. No network, no other program. If the
repository is in a bucket, copy all of it into a directory first, with any S3 client.

1.  Look at what is there (needs no code):

        python3 RESCUE/rescue.py list

2.  Try the code. It is asked for; letters in small, blanks and dashes do not matter:

        python3 RESCUE/rescue.py check

3.  Write one backup into a new folder (on a disk with room for it; nobody else can read the folder):

        python3 RESCUE/rescue.py restore db1-shop latest /root/rescued

    In place of latest an id can stand, such as 20261120T020000Z-0a1b2c. The repository is never written to.

4.  A database: the folder holds database.dump (an archive of pg_dump) and globals.sql (roles, without passwords). With
    the programs of PostgreSQL, of the same major version or a newer one:

        psql -X -d postgres -f /root/rescued/globals.sql
        pg_restore --create --exit-on-error -d postgres /root/rescued/database.dump

    A bucket, or files: the folder holds them, by bucket or folder. objects.jsonl has a line for each: bucket or folder,
    key, path below the folder, and properties (headers, metadata, owner, links). Names that a file cannot have are
    changed as docs/format.md of Lifeboat says, section "Packs".

Is this rescue.py the right one? Whoever may write to this repository could have replaced it. The sheet with the code
has its SHA-256; compare it before you type the code:

        sha256sum RESCUE/rescue.py

Zstandard: the files are compressed. rescue.py decompresses them with Python 3.14 or later, or with libzstd, which the
package manager of nearly every Linux brings along. Where neither is there, it writes files that end in .zst; decompress
them with the program zstd, here or on another computer (zstd -d FILE). Of a bucket there are packs then: zstd -d -c
pack-0000.tar.zst | tar -x, each into a folder of its own.

The files in this folder:

recovery_key-N.json           the recovery key number N: encrypted under its code, with what authenticates it
recovery_key-N.pem            the same private key for OpenSSL (RSA, PKCS#8); its password is the code without its last
                              group and without dashes:  openssl pkey -in RESCUE/recovery_key-1.pem
recovery_key-N.verified.json  somebody had the code of number N, and tried it
rescue.py                     the program of this page

../keys/*.json hold the keys of the backups, encrypted for the recovery key (RSA-OAEP with SHA-256) and under the secret
of the organisation. Files that end in .enc are messages of the AWS Encryption SDK, version 2 of its public format.
"""


def files() -> dict[str, bytes]:
    """Return key and bytes of the files that are the same in every repository."""
    return {README: _README.encode("ascii"), DECRYPTOR: decryptor()}


def decryptor() -> bytes:
    """Return the stand-alone decryptor, which Python 3.6 can run. Raises LifeboatError."""
    return b"\n\n".join(_LEFT_OUT.sub(b"", _source(part.__name__)) for part in _PARTS)


def _source(module: str) -> bytes:
    package, _dot, name = module.rpartition(".")
    source = pkgutil.get_data(package, f"{name}.py")
    if source is None:
        cause, remedy = "its loader does not show sources", "install the collection anew on the controller"
        raise LifeboatError("Cannot read the stand-alone decryptor", cause, remedy)
    return source


def sheet(key: RecoveryKey, code: str, fingerprint: str) -> str:
    """Return what is to be printed: the code of a recovery key, whose it is, and what to do with it."""
    return f"""\
Lifeboat recovery code

keyring:      {key.keyring}
fingerprint:  {fingerprint}
recovery key: number {key.number}, made on host {key.host}
rescue.py:    SHA-256 {hashlib.sha256(decryptor()).hexdigest()}

code: {recovery_code.printed(code)}

Whoever has this code and the files of a repository can read every backup in it. Print it, verify it
with the module backup_recovery_key, keep two copies in two safe places, and remove this file.
How to use it without Lifeboat: RESCUE/README.txt in each repository.
"""
