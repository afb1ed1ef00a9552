# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import tarfile

MODE = 0o600  # of unpacked members: whoever unpacks decides who may read them
LARGEST_NUMBER = 8**11 - 1  # what fits the fields of a header for size and time

_OWNER = b"%07o\0%07o\0%07o\0" % (MODE, 0, 0)
# behind the checksum: a file, without link, owners' names, device, and folder
_END = b" 0" + bytes(tarfile.LENGTH_LINK) + b"ustar\x0000" + bytes(247)
_SUM = sum(_OWNER) + sum(_END[1:]) + 8 * ord(" ")  # its own field counts as blanks


def of_file(path: bytes, size: int, seconds: int) -> bytes:
    """Return the header of a file (POSIX.1-2017, pax, "ustar Interchange Format"): a path of at most 100 bytes, its
    size in bytes, and a time in seconds since 1970.
    """
    numbers = b"%011o\0%011o\0" % (size, seconds)
    checksum = sum(path) + sum(numbers) + _SUM
    return b"%b%b%b%06o\0%b" % (path.ljust(tarfile.LENGTH_NAME, b"\0"), _OWNER, numbers, checksum, _END)


def padding(size: int) -> bytes:
    """Return the zeros behind the data of a member: whole blocks follow each other."""
    return bytes(-size % tarfile.BLOCKSIZE)
