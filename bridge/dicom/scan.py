"""Structure of a DICOM stream: is every element whole, before anything is believed or decoded.

pydicom reads what it can and says nothing of elements that are cut off, so the lengths are walked here first.
Values are skipped, not read: memory stays small whatever the stream claims about itself.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from pydicom.datadict import dictionary_VR
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bridge.dicom.uids import is_valid_uid
from bridge.rt.errors import DicomRefusal

__all__ = ["Layout", "scan_layout"]

_PREAMBLE_BYTES = 128
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRANSFER_SYNTAX_TAG = 0x00020010

_DEEPEST_NESTING = 16
"""Sequences within sequences; radiotherapy objects need about six, and a deep nest exhausts the reader's stack."""

_MOST_ELEMENTS = 4_000_000
"""More than ten times a large structure set; bounds the time that one object can take."""

_SHORT_LENGTH_VRS = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
_LONG_LENGTH_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)


@dataclass(frozen=True)
class Layout:
    """Where things are in a whole, uncut DICOM stream.

    Attributes
    ----------
    transfer_syntax_uid
        Implicit or explicit VR little endian.
    value_bytes
        Tag to length of the value, in bytes, for every top-level element; -1 for an undefined length.
    """

    transfer_syntax_uid: str
    value_bytes: dict[int, int]


def scan_layout(stream: BinaryIO) -> Layout:
    """Walk a DICOM stream from its start and check that every element is whole.

    Raises
    ------
    DicomRefusal
        ``not-dicom``, ``truncated``, ``transfer-syntax`` (deflated, big endian or compressed), or
        ``encoding-invalid``.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size < _PREAMBLE_BYTES + 4 or stream.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] != b"DICM":
        raise DicomRefusal(
            "not-dicom", "The file is not a DICOM file: it has no DICM prefix at byte 128 (PS3.10 section 7.1)."
        )
    walker = _Walker(stream, size)
    transfer_syntax_uid = walker.file_meta()
    if transfer_syntax_uid not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        shown = transfer_syntax_uid if is_valid_uid(transfer_syntax_uid) else "(not a UID)"
        raise DicomRefusal(
            "transfer-syntax",
            f"The transfer syntax {shown!r} is not read; send implicit or explicit VR little endian, not compressed.",
        )
    return Layout(transfer_syntax_uid, walker.data_set(explicit=transfer_syntax_uid == ExplicitVRLittleEndian))


@dataclass
class _Level:
    """A data set, or a sequence of items, that is being walked."""

    is_sequence: bool
    explicit: bool
    end: int
    undefined: bool


class _Walker:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self.elements = 0

    def read(self, count: int, end: int) -> bytes:
        """Read the bytes of a tag, VR or length, which must lie before ``end``."""
        position = self.stream.tell()
        if position + count > end:
            raise self.cut(position, end)
        return self.stream.read(count)

    def cut(self, position: int, end: int) -> DicomRefusal:
        if end < self.size:
            return DicomRefusal("encoding-invalid", f"An element at byte {position} is longer than what contains it.")
        return DicomRefusal(
            "truncated", f"The file ends at byte {self.size}, inside the element at byte {position}; send it again."
        )

    def head(self, level: _Level) -> tuple[int, bytes, int]:
        """Read the tag, VR (empty in implicit VR and for items) and length of the next element."""
        self.elements += 1
        if self.elements > _MOST_ELEMENTS:
            raise DicomRefusal("encoding-invalid", f"The data set has more than {_MOST_ELEMENTS} elements.")
        first = self.read(8, level.end)
        group, number = struct.unpack_from("<HH", first)
        tag = group << 16 | number
        if group == 0xFFFE or not level.explicit:
            return tag, b"", struct.unpack_from("<L", first, 4)[0]
        vr = first[4:6]
        if vr in _SHORT_LENGTH_VRS:
            return tag, vr, struct.unpack_from("<H", first, 6)[0]
        if vr in _LONG_LENGTH_VRS:
            return tag, vr, struct.unpack("<L", self.read(4, level.end))[0]
        raise DicomRefusal(
            "encoding-invalid", f"Element ({group:04X},{number:04X}) has no value representation of PS3.5 table 6.2-1."
        )

    def skip(self, length: int, end: int) -> None:
        position = self.stream.tell()
        if length > end - position:
            raise self.cut(position, end)
        self.stream.seek(length, io.SEEK_CUR)

    def file_meta(self) -> str:
        """Walk group 0002, which is explicit VR little endian always, and give the Transfer Syntax UID."""
        level = _Level(is_sequence=False, explicit=True, end=self.size, undefined=False)
        transfer_syntax_uid = ""
        while True:
            start = self.stream.tell()
            if start == self.size or self.read(2, self.size) != b"\x02\x00":
                self.stream.seek(start)
                return transfer_syntax_uid
            self.stream.seek(start)
            tag, _, length = self.head(level)
            if length == _UNDEFINED:
                raise DicomRefusal("encoding-invalid", "An element of the file meta information has no length.")
            if tag == _TRANSFER_SYNTAX_TAG:
                value = self.read(length, self.size)
                transfer_syntax_uid = value.decode("ascii", "replace").rstrip("\0 ")
            else:
                self.skip(length, self.size)

    def data_set(self, *, explicit: bool) -> dict[int, int]:
        """Walk the data set to the end of the file and give the length of every top-level value."""
        top: dict[int, int] = {}
        previous = 0
        levels = [_Level(is_sequence=False, explicit=explicit, end=self.size, undefined=False)]
        while levels:
            level = levels[-1]
            if self.stream.tell() == level.end and not level.undefined:
                levels.pop()
                continue
            tag, vr, length = self.head(level)
            if level.undefined and tag == (_SEQUENCE_END if level.is_sequence else _ITEM_END):
                levels.pop()
                continue
            if level.is_sequence:
                if tag != _ITEM:
                    raise DicomRefusal("encoding-invalid", "A sequence holds something that is not an item.")
                levels.append(self.opened(level, length, is_sequence=False, explicit=level.explicit))
            else:
                if tag >> 16 == 0xFFFE:
                    raise DicomRefusal("encoding-invalid", "An item or delimiter stands where an element must.")
                if len(levels) == 1:
                    if tag <= previous:
                        raise DicomRefusal(
                            "encoding-invalid",
                            f"Element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is repeated or misplaced.",
                        )
                    previous = tag
                    top[tag] = -1 if length == _UNDEFINED else length
                if _is_sequence(tag, vr, length):
                    # PS3.5 section 6.2.2: unknown VR of undefined length is a sequence in implicit VR
                    inner = level.explicit and vr != b"UN"
                    levels.append(self.opened(level, length, is_sequence=True, explicit=inner))
                else:
                    self.skip(length, level.end)
            if len(levels) > 2 * _DEEPEST_NESTING:
                raise DicomRefusal("encoding-invalid", f"Sequences are nested more than {_DEEPEST_NESTING} deep.")
        return top

    def opened(self, level: _Level, length: int, *, is_sequence: bool, explicit: bool) -> _Level:
        position = self.stream.tell()
        if length == _UNDEFINED:
            return _Level(is_sequence, explicit, level.end, undefined=True)
        if length > level.end - position:
            raise self.cut(position, level.end)
        return _Level(is_sequence, explicit, position + length, undefined=False)


def _is_sequence(tag: int, vr: bytes, length: int) -> bool:
    if vr == b"SQ":
        return True
    if length == _UNDEFINED:
        if vr in (b"", b"UN"):
            return True
        raise DicomRefusal(
            "encoding-invalid", f"Element ({tag >> 16:04X},{tag & 0xFFFF:04X}) has no length and is no sequence."
        )
    return vr == b"" and _sequence_by_dictionary(tag)


@lru_cache(maxsize=4096)
def _sequence_by_dictionary(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
