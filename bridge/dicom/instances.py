"""Instances: a DICOM file read once, with the hash of exactly the bytes that were interpreted."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from bridge.dicom.headers import InstanceHeader, header_of, parse
from bridge.dicom.scan import scan_layout
from bridge.rt.errors import DicomRefusal, StorageFailure, error_context

__all__ = ["Instance", "read_instance"]


@dataclass(frozen=True, eq=False)
class Instance:
    """One DICOM object.

    Attributes
    ----------
    header
        What it is.
    dataset
        All of it, decoded on access.
    sha256
        Of the file's bytes.
    """

    header: InstanceHeader
    dataset: Dataset
    sha256: str


def read_instance(path: Path, sop_class_uid: str | None = None) -> Instance:
    """Read a whole DICOM file.

    Parameters
    ----------
    sop_class_uid
        The class that it must be of, or None for any that the bridge reads.

    Raises
    ------
    DicomRefusal
        As for :func:`bridge.dicom.headers.read_header`, and ``sop-class-unexpected``.
    StorageFailure
        The file cannot be opened.
    """
    with error_context({"file": path.name}):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StorageFailure("file-unreadable", f"The file cannot be read: {error.strerror}.") from error
        stream = io.BytesIO(content)
        layout = scan_layout(stream)
        dataset = parse(stream)
        header = header_of(dataset, layout)
        if sop_class_uid is not None and header.sop_class_uid != sop_class_uid:
            raise DicomRefusal(
                "sop-class-unexpected",
                f"The file is of modality {header.modality}; another kind of object was expected here.",
                sop_instance_uid=header.sop_instance_uid,
            )
        return Instance(header, dataset, hashlib.sha256(content).hexdigest())
