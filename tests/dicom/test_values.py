from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

from bridge.dicom.values import has_value, integer, items, numbers, optional_text, text, uid
from bridge.rt.errors import DicomRefusal


def decoded(**raw: bytes) -> Dataset:
    """Give a data set whose values are still the bytes of a file."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    for keyword, value in sorted(raw.items(), key=lambda entry: pydicom.datadict.tag_for_keyword(entry[0]) or 0):
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        stream.write_tag(pydicom.tag.Tag(tag))
        stream.write_UL(len(value))
        stream.write(value)
    return pydicom.dcmread(io.BytesIO(stream.getvalue()), force=True)


def test_numbers_from_bytes() -> None:
    found = numbers(decoded(ContourData=b" 1.5\\-2e1\\ 3 "), "ContourData", 3)
    assert found.dtype == np.float64
    assert found.tolist() == [1.5, -20.0, 3.0]


def test_numbers_from_binary_and_from_set_values() -> None:
    assert numbers(decoded(Rows=b"\x00\x02"), "Rows", 1).tolist() == [512.0]
    dataset = Dataset()
    dataset.PixelSpacing = [0.5, 0.75]
    assert numbers(dataset, "PixelSpacing", 2).tolist() == [0.5, 0.75]


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"1\\2", "attribute-invalid"), (b"1\\x\\3 ", "attribute-invalid"), (b"1\\\\3", "attribute-invalid"),
     (b"nan\\1\\2 ", "attribute-invalid"), (b"1\\inf\\2 ", "attribute-invalid"), (b"", "attribute-empty"),
     (b"1e999\\1\\1 ", "attribute-invalid"), (b"1,5\\2\\3 ", "attribute-invalid")],
)  # fmt: skip
def test_numbers_that_are_none(raw: bytes, code: str) -> None:
    with pytest.raises(DicomRefusal) as refused:
        numbers(decoded(ImagePositionPatient=raw), "ImagePositionPatient", 3)
    assert refused.value.code == code
    assert refused.value.where["attribute"] == "ImagePositionPatient"


@pytest.mark.parametrize("raw", [b"1.5 ", b"x ", b"1\\2 "])
def test_integers_that_are_none(raw: bytes) -> None:
    with pytest.raises(DicomRefusal, match="ROINumber"):
        integer(decoded(ROINumber=raw), "ROINumber")


def test_text_is_stripped_and_never_quoted() -> None:
    dataset = decoded(PatientName=b"Phantom^Secret ", Modality=b"CT", SOPInstanceUID=b"1.2/Secret\0", PatientID=b"")
    assert text(dataset, "Modality") == "CT"
    assert optional_text(dataset, "PatientName") == "Phantom^Secret"
    assert optional_text(dataset, "StudyID") == ""
    assert not has_value(dataset, "PatientID")
    for keyword, code in (("SOPInstanceUID", "uid-invalid"), ("PatientID", "attribute-empty"),
                          ("StudyInstanceUID", "attribute-missing")):  # fmt: skip
        with pytest.raises(DicomRefusal) as refused:
            uid(dataset, keyword)
        assert refused.value.code == code
        assert "Secret" not in str(refused.value)


def test_items() -> None:
    dataset = Dataset()
    assert items(dataset, "ROIContourSequence", required=False) == []
    with pytest.raises(DicomRefusal, match="attribute-missing"):
        items(dataset, "ROIContourSequence")
    dataset.ROIContourSequence = []
    with pytest.raises(DicomRefusal, match="attribute-empty"):
        items(dataset, "ROIContourSequence")
    inner = Dataset()
    inner.ReferencedROINumber = 4
    dataset.ROIContourSequence = [inner]
    assert [integer(item, "ReferencedROINumber") for item in items(dataset, "ROIContourSequence")] == [4]
