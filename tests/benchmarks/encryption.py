# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypt and decrypt in memory on one core, in turns with `openssl speed` for the same cipher and size of blocks.

Target: 0.4 times what OpenSSL's own benchmark does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
MIB = 1024 * 1024
TARGET = 0.4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="bytes per round")
    parser.add_argument("--rounds", type=int, default=5)
    options, _others = parser.parse_known_args()
    from _engine.stream import encryption

    key = encryption.EpochKey("bench", "1", os.urandom(32))
    pieces = [os.urandom(MIB)] * options.mib
    rates: dict[str, list[float]] = {"openssl": [], "encrypt": [], "decrypt": []}
    for _round in range(options.rounds):
        rates["openssl"].append(_openssl(encryption.FRAME))
        rates["encrypt"].append(_rate(encryption.encrypted(pieces, key, {}), options.mib))
        stored = list(encryption.encrypted(pieces[:64], key, {}))
        rates["decrypt"].append(_rate(encryption.decrypted(stored, [key], {}), 64))
    for name, found in rates.items():
        print(f"{name:8} {statistics.median(found):6.0f} MB/s of CPU ({min(found):.0f} to {max(found):.0f})")
    for name in ("encrypt", "decrypt"):
        ratio = statistics.median(rates[name]) / statistics.median(rates["openssl"])
        word = "reached" if ratio >= TARGET else "MISSED"
        print(f"{name}: {ratio:.2f} x openssl speed (target {TARGET}: {word})")
    return 0


def _rate(pieces: t.Iterator[bytes], mib: int) -> float:
    """Return megabytes per CPU second."""
    begun = time.process_time()
    for _piece in pieces:
        pass
    return mib * MIB / 1e6 / (time.process_time() - begun)


def _openssl(size: int) -> float:
    """Return megabytes per CPU second as OpenSSL measures them."""
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(size), "-evp", "aes-256-gcm"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("+F:")]
    return float(line.rpartition(":")[2]) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
