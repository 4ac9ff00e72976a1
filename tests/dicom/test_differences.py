from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from bridge.dicom.differences import differing_attributes
from tests.node.objects import ct, structure_set, written


def differing(folder: Path, *data_sets: Dataset) -> tuple[str, ...]:
    return differing_attributes(
        [written(one, folder / f"{number}.dcm").read_bytes() for number, one in enumerate(data_sets)]
    )


def test_what_differs_is_named_without_values(tmp_path: Path) -> None:
    one, other = ct(1), ct(1)
    other.PatientName, other.RescaleIntercept = "OTHER^NAME", -1000
    other.add_new((0x0009, 0x0010), "LO", "MAKER")
    assert differing(tmp_path, one, one) == ()
    assert differing(tmp_path, one, other) == ("(0009,0010)", "PatientName", "RescaleIntercept")


def test_pixels_and_what_is_in_a_sequence_count(tmp_path: Path) -> None:
    one, other = ct(1), ct(1)
    other.PixelData = other.PixelData[:-2] + b"\x07\x00"
    assert differing(tmp_path, one, one, other) == ("PixelData",)
    drawn, moved = structure_set(["1.2.3"]), structure_set(["1.2.4"])
    assert differing(tmp_path, drawn, moved) == ("ReferencedFrameOfReferenceSequence",)
