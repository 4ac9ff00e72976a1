"""What tells contents under one SOP Instance UID apart, for a person who has to choose between them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from bridge.dicom.headers import parse

__all__ = ["differing_attributes"]


def differing_attributes(contents: Sequence[bytes]) -> tuple[str, ...]:
    """Name the attributes that are not the same in all contents; no values, for some are the patient's.

    Parameters
    ----------
    contents
        DICOM files as they were received.

    Returns
    -------
    tuple of str
        Keywords, or ``"(gggg,eeee)"`` where there is none, in the order of their tags. A sequence is named where
        anything in it differs.

    Raises
    ------
    DicomRefusal
        One cannot be decoded (``encoding-invalid``).
    """
    data_sets = [parse(BytesIO(content)) for content in contents]
    tags = sorted({element.tag for data_set in data_sets for element in data_set})
    found = []
    for tag in tags:
        elements = [data_set.get(tag) for data_set in data_sets]
        if any(element != elements[0] for element in elements[1:]):
            named = next(element for element in elements if element is not None)
            found.append(named.keyword or str(tag))
    return tuple(found)
