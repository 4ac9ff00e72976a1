from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from bridge.node.part10 import IMPLEMENTATION_CLASS_UID, is_valid_uid, read_meta, write_meta
from bridge.rt.errors import DicomRefusal
from tests.node.objects import ct, encoded, written
from tests.phantom import write_small_phantom

EXPLICIT = "1.2.840.10008.1.2.1"


def envelope(**changes: str) -> bytes:
    buffer = BytesIO()
    values = {"sop_class_uid": "1.2.3", "sop_instance_uid": "1.2.34", "transfer_syntax_uid": EXPLICIT} | changes
    write_meta(buffer, **values)
    return buffer.getvalue()


def test_what_is_written_is_read_by_pydicom(tmp_path: Path) -> None:
    image = ct(3)
    path = tmp_path / "file"
    path.write_bytes(envelope(sop_class_uid=image.SOPClassUID, sop_instance_uid=image.SOPInstanceUID) + encoded(image))
    back = pydicom.dcmread(path)
    assert back.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
    assert back.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert back == image


def test_what_pydicom_writes_is_read(tmp_path: Path) -> None:
    image = ct(3)
    path = written(image, tmp_path / "file")
    with open(path, "rb") as file:
        meta = read_meta(file)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (image.SOPClassUID, image.SOPInstanceUID)
    assert meta.transfer_syntax_uid == EXPLICIT
    assert path.read_bytes()[meta.data_set_offset :] == encoded(image)


def test_what_the_bridge_writes_has_the_same_bytes_once_a_bridge_received_it(tmp_path: Path) -> None:
    """Objectives are bound to the bytes of their inputs, also where these were sent in between."""
    path = write_small_phantom(tmp_path / "dicom").structure_set_path
    with open(path, "rb") as file:
        meta = read_meta(file)
    written = path.read_bytes()
    again = envelope(sop_class_uid=meta.sop_class_uid, sop_instance_uid=meta.sop_instance_uid)
    assert written == again + written[meta.data_set_offset :]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-dicom"),
        (b"GET / HTTP/1.1\r\n" * 40, "not-dicom"),
        (bytes(132), "not-dicom"),
        (bytes(128) + b"DICM", "file-meta-invalid"),
        (envelope()[:170], "file-meta-invalid"),
        (envelope()[:-4], "file-meta-invalid"),
        (envelope(sop_instance_uid="../../etc") + b"\x08\x00\x05\x00", "uid-invalid"),
        (envelope(transfer_syntax_uid="1.2.840.10008.1.2.1.99") + b"\x08\x00\x05\x00", "transfer-syntax"),
        (envelope(transfer_syntax_uid="1.2.840.10008.1.2.4.50") + b"\x08\x00\x05\x00", "transfer-syntax"),
        (bytes(128) + b"DICM" + b"\x02\x00\x01\x00OB\x00\x00\xff\xff\xff\xff" + bytes(40), "file-meta-invalid"),
    ],
)
def test_a_broken_envelope_is_refused_by_name(content: bytes, code: str) -> None:
    with pytest.raises(DicomRefusal) as refusal:
        read_meta(BytesIO(content))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("1.2.3", True),
        ("2.25." + "9" * 59, True),
        ("2.25." + "9" * 60, False),
        ("1.02.3", False),
        ("1.0.3", True),
        ("1..3", False),
        (".1.2", False),
        ("1.2.", False),
        ("", False),
        ("1.2/../3", False),
        ("1.2\n", False),
        ("\u0661.\u0662", False),
    ],
)
def test_uids(text: str, valid: bool) -> None:
    assert is_valid_uid(text) is valid
