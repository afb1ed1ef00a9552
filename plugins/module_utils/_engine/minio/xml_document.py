# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..errors import DamagedError
from ..s3 import listing

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_REMEDY = "check that the endpoint is an S3 server"


def root(name: str) -> ET.Element:
    """Return an empty document of the S3 API."""
    return ET.Element(name, xmlns=_NAMESPACE)


def add(parent: ET.Element, name: str, text: str) -> None:
    """Append an element that holds only text."""
    ET.SubElement(parent, name).text = text


def to_bytes(element: ET.Element) -> bytes:
    """Return the document as it is sent."""
    data: bytes = ET.tostring(element, encoding="utf-8")
    return data


def parse(data: bytes, name: str) -> ET.Element:
    """Return a server's document whose root is `name`, with namespaces taken off. Raises DamagedError."""
    try:
        return listing.parse_xml(data, name)
    except listing.MalformedPage as error:
        raise DamagedError("Cannot read the server's answer", str(error), _REMEDY) from error


class Reader:
    """Takes known values out of an element and can say what was left."""

    def __init__(self, element: ET.Element) -> None:
        self._element = element
        self._taken: set[ET.Element] = set()

    def text(self, path: str) -> str:
        """Return the text at `path`, empty when there is none."""
        found = self._element.find(path)
        if found is None:
            return ""
        self._taken.add(found)
        return found.text or ""

    def number(self, path: str) -> int | None:
        """Return the whole number at `path`, or None. Raises DamagedError."""
        text = self.text(path)
        try:
            return int(text) if text else None
        except ValueError as error:
            raise DamagedError("Cannot read the server's answer", f"{path} is {text!r}", _REMEDY) from error

    def tags(self, path: str) -> list[tuple[str, str]]:
        """Return key and value of each tag at `path`."""
        found = self._element.findall(path)
        for tag in found:
            self._taken.update(tag)
        return [(tag.findtext("Key") or "", tag.findtext("Value") or "") for tag in found]

    def rest(self) -> tuple[str, ...]:
        """Return `path=text` of every value that was not taken, sorted."""
        return tuple(sorted(self._left(self._element, "")))

    def _left(self, element: ET.Element, path: str) -> list[str]:
        left = []
        for child in element:
            place = f"{path}{child.tag}"
            if len(child):
                left += self._left(child, f"{place}/")
            elif child.text and child.text.strip() and child not in self._taken:
                left.append(f"{place}={child.text}")
        return left
