"""Values out of data sets: there, readable, of the right kind, or a refusal that names the attribute.

Messages never hold the value itself, which may be a patient's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from bridge.dicom.uids import is_valid_uid
from bridge.rt.arrays import FloatArray
from bridge.rt.errors import DicomRefusal

__all__ = ["has_value", "integer", "items", "numbers", "optional_text", "text", "uid"]


def _value(dataset: Dataset, keyword: str) -> Any:
    if keyword not in dataset:
        raise DicomRefusal("attribute-missing", f"{keyword} is missing; was the file cut off?", attribute=keyword)
    try:
        return dataset[keyword].value
    except Exception:
        # pydicom decodes on access and raises many kinds of error, whose texts quote the value
        raise _unreadable(keyword) from None


def _unreadable(keyword: str) -> DicomRefusal:
    return DicomRefusal("attribute-invalid", f"The value of {keyword} cannot be read.", attribute=keyword)


def has_value(dataset: Dataset, keyword: str) -> bool:
    """Say whether an attribute is there and not empty."""
    return keyword in dataset and _value(dataset, keyword) not in (None, "", b"", [])


def optional_text(dataset: Dataset, keyword: str) -> str:
    """Give a single text value, or an empty string where it is absent or empty."""
    if not has_value(dataset, keyword):
        return ""
    try:
        value = str(_value(dataset, keyword))
        value.encode()
    except Exception:
        # decoding raises many kinds of error, whose texts quote the value: the keyword alone is named
        raise _unreadable(keyword) from None
    return value.strip("\0 ")


def text(dataset: Dataset, keyword: str) -> str:
    """Give a single text value that must not be empty.

    Raises
    ------
    DicomRefusal
        ``attribute-missing``, ``attribute-empty`` or ``attribute-invalid``.
    """
    _value(dataset, keyword)
    value = optional_text(dataset, keyword)
    if not value:
        raise DicomRefusal("attribute-empty", f"{keyword} is empty.", attribute=keyword)
    return value


def uid(dataset: Dataset, keyword: str) -> str:
    """Give a UID, valid by PS3.5 section 9.1.

    Raises
    ------
    DicomRefusal
        As for :func:`text`, and ``uid-invalid``.
    """
    value = text(dataset, keyword)
    if not is_valid_uid(value):
        raise DicomRefusal(
            "uid-invalid",
            f"{keyword} is not a valid UID: only digits and dots, no component with a leading zero, at most 64 "
            "characters (PS3.5 section 9.1).",
            attribute=keyword,
        )
    return value


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> FloatArray:
    """Give the finite numbers of a decimal or integer attribute.

    Parameters
    ----------
    count
        How many there must be; None for one or more.

    Raises
    ------
    DicomRefusal
        As for :func:`text`, also for a wrong count or a value that is not a finite number.
    """
    raw: object = dataset.get_item(keyword) if keyword in dataset else None
    try:
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) and dictionary_VR(raw.tag) == "DS":
            # converting the bytes at once is many times faster than pydicom's number objects
            value = np.array(raw.value.rstrip(b"\0 ").split(b"\\")).astype(np.float64) if raw.value else np.array([])
        else:
            element = _value(dataset, keyword)
            value = np.atleast_1d(np.array([] if element is None else element, dtype=np.float64))
    except DicomRefusal:
        raise
    except Exception:
        # as above: what numpy or pydicom says of it may quote the value
        raise _unreadable(keyword) from None
    if value.size == 0:
        raise DicomRefusal("attribute-empty", f"{keyword} is empty.", attribute=keyword)
    if value.ndim != 1 or not np.isfinite(value).all():
        raise _unreadable(keyword)
    if count is not None and value.size != count:
        raise DicomRefusal(
            "attribute-invalid", f"{keyword} has {value.size} values, expected {count}.", attribute=keyword
        )
    return np.asarray(value)


def integer(dataset: Dataset, keyword: str) -> int:
    """Give a single whole number."""
    value = float(numbers(dataset, keyword, 1)[0])
    if value != int(value):
        raise _unreadable(keyword)
    return int(value)


def items(dataset: Dataset, keyword: str, *, required: bool = True) -> list[Dataset]:
    """Give the items of a sequence; none where it is absent and not required.

    Raises
    ------
    DicomRefusal
        ``attribute-missing``, ``attribute-empty`` (required, without items) or ``attribute-invalid``.
    """
    if not required and keyword not in dataset:
        return []
    value = _value(dataset, keyword)
    try:
        found = list(value or [])
    except Exception:
        # as above: what is no sequence is named, not quoted
        raise _unreadable(keyword) from None
    if not all(isinstance(item, Dataset) for item in found):
        raise _unreadable(keyword)
    if required and not found:
        raise DicomRefusal("attribute-empty", f"{keyword} has no items.", attribute=keyword)
    return found
