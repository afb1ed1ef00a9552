# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from .. import clock
from ..s3.failure import S3Error
from ..s3.object_properties import Lock, ObjectProperties
from . import file_properties, mangling
from .file_properties import DIRECTORY
from .rows import Properties, Row
from .target import Written

_FILE_CONTENT = "application/octet-stream"
_NAME_REFUSED = (
    "XMinioInvalidObjectName",
    "XMinioInvalidResourceName",
    "KeyTooLongError",
    "ObjectParentIsFile",
    "ExistingObjectIsDirectory",
    "DirectoryObjectContainsData",
)
_STORAGE_CLASS = "x-amz-storage-class"


@dataclasses.dataclass(frozen=True)
class Form:
    """How an object is written."""

    key: str
    properties: ObjectProperties
    remarks: tuple[str, ...]  # what is not as it was

    @property
    def written(self) -> Written:
        return Written(self.key, self.remarks)


def first_form(row: Row, key: str, properties: ObjectProperties) -> Form:
    """Return how an object is written to its place `key`."""
    why = () if key == own_key(row) else ("the server refuses its name, or would hide it",)
    return Form(key, properties, why)


def other_form(row: Row, form: Form, error: S3Error) -> Form:
    """Return a form without what the server has refused. Raises `error` where there is none."""
    own, properties = own_key(row), form.properties
    if error.code in _NAME_REFUSED and form.key == own:
        why = f"the server refuses its name: {error.code}"
        return dataclasses.replace(form, key=mangling.mangled(own), remarks=(*form.remarks, why))
    if error.code == "InvalidTag" and properties.tags:
        properties = dataclasses.replace(properties, tags={})
        why = f"without its tags: {error.message}"
    elif error.code == "InvalidStorageClass" and _STORAGE_CLASS in properties.headers:
        headers = {name: value for name, value in properties.headers.items() if name != _STORAGE_CLASS}
        properties = dataclasses.replace(properties, headers=headers)
        why = "in the usual storage class: the server does not have its own"
    else:
        raise error
    return dataclasses.replace(form, properties=properties, remarks=(*form.remarks, why))


def as_object(row: Row) -> Properties:
    """Return the members that an object has; a file's own travel in its metadata, unless it once was an object."""
    members = row.properties
    if not file_properties.is_file_row(members) or any(name in members for name in file_properties.OBJECT_MEMBERS):
        return members
    text, _lost = file_properties.as_metadata(members)
    return {"headers": {"content-type": _FILE_CONTENT}, "metadata": {file_properties.METADATA_NAME: text}}


def lost_of_file(row: Row) -> tuple[str, ...]:
    """Say what of a file no object can have."""
    if not file_properties.is_file_row(row.properties):
        return ()
    return tuple(file_properties.as_metadata(row.properties)[1])


def own_key(row: Row) -> str:
    """Return the key that a row has as an object."""
    is_folder = file_properties.is_file_row(row.properties) and file_properties.file_type(row.properties) == DIRECTORY
    return row.key + "/" if is_folder else row.key  # an object `d` would hide `d/file`


def without_past(properties: ObjectProperties) -> ObjectProperties:
    """Leave out a retention that is over: servers refuse times in the past."""
    lock = properties.lock
    if lock.retains and lock.until <= clock.to_text(clock.now()):
        return dataclasses.replace(properties, lock=Lock(hold=lock.hold))
    return properties
