"""The DICOM file format around a data set (PS3.10 section 7.1): its preamble and file meta information.

The node writes this envelope itself, always the same way, so that a data set gives the same file whether it came by
C-STORE, which has no envelope, or as a file from another application, which has its own. Only the envelope is read
here; what is inside is for :mod:`bridge.dicom`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from bridge.rt.errors import DicomRefusal

__all__ = [
    "ACCEPTED_TRANSFER_SYNTAXES",
    "IMPLEMENTATION_CLASS_UID",
    "VERIFICATION",
    "FileMeta",
    "is_valid_uid",
    "read_meta",
    "write_meta",
]

ACCEPTED_TRANSFER_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and implicit VR little endian. Deflated is left out on purpose: 0.6 MB of it can inflate to 600 MB."""

VERIFICATION = "1.2.840.10008.1.1"
"""The SOP class of C-ECHO."""

IMPLEMENTATION_CLASS_UID = "2.25.240268307275322405826019614927370086633"
_IMPLEMENTATION_VERSION_NAME = "FDP_BRIDGE"

_PREFIX = bytes(128) + b"DICM"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_MOST_META_BYTES = 1 << 16
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+", re.ASCII)


@dataclass(frozen=True)
class FileMeta:
    """What the envelope says, and where the data set starts."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int


def is_valid_uid(text: str) -> bool:
    """Tell if text is a UID (PS3.5 section 9.1): digits and dots, no leading zeros, at most 64 characters."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def write_meta(file: BinaryIO, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> None:
    """Write preamble, prefix and file meta information (explicit VR little endian, PS3.10 table 7.1-1)."""
    elements = b"".join(
        (
            struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _uid_element(0x0002, sop_class_uid),
            _uid_element(0x0003, sop_instance_uid),
            _uid_element(0x0010, transfer_syntax_uid),
            _uid_element(0x0012, IMPLEMENTATION_CLASS_UID),
            struct.pack("<HH2sH", 2, 0x0013, b"SH", len(_IMPLEMENTATION_VERSION_NAME))
            + _IMPLEMENTATION_VERSION_NAME.encode("ascii"),
        )
    )
    file.write(_PREFIX + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements)


def read_meta(file: BinaryIO) -> FileMeta:
    """Read the envelope of a file that is open at its start.

    Raises
    ------
    DicomRefusal
        ``not-dicom``, ``file-meta-invalid``, ``uid-invalid`` or ``transfer-syntax``.
    """
    start = file.read(len(_PREFIX) + _MOST_META_BYTES)
    if start[128:132] != b"DICM":
        raise DicomRefusal(
            "not-dicom", "The file is not a DICOM file: it has no DICM prefix at byte 128 (PS3.10 section 7.1)."
        )
    values: dict[int, bytes] = {}
    position = len(_PREFIX)
    try:
        while struct.unpack_from("<H", start, position)[0] == 2:
            _, element, vr, length = struct.unpack_from("<HH2sH", start, position)
            position += 8
            if vr in _LONG_VRS:
                (length,) = struct.unpack_from("<I", start, position)
                position += 4
            if position + length > len(start):
                raise struct.error("value outside")
            values[element] = start[position : position + length]
            position += length
    except struct.error as error:
        raise DicomRefusal(
            "file-meta-invalid", "The file ends inside its meta information, or that is not explicit VR little endian."
        ) from error
    transfer_syntax = _text(values, 0x0010)
    if transfer_syntax not in ACCEPTED_TRANSFER_SYNTAXES:
        raise DicomRefusal(
            "transfer-syntax",
            "The transfer syntax is not accepted; send implicit or explicit VR little endian, not compressed.",
            transfer_syntax=ascii(transfer_syntax),
        )
    sop_class, sop_instance = _text(values, 0x0002), _text(values, 0x0003)
    for keyword, uid in (("MediaStorageSOPClassUID", sop_class), ("MediaStorageSOPInstanceUID", sop_instance)):
        if not is_valid_uid(uid):
            raise DicomRefusal("uid-invalid", f"{keyword} of the file meta information is not a valid UID.")
    return FileMeta(sop_class, sop_instance, transfer_syntax, position)


def _uid_element(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += bytes(len(value) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value


def _text(values: dict[int, bytes], element: int) -> str:
    return values.get(element, b"").rstrip(b"\x00 ").decode("ascii", errors="replace")[:128]
