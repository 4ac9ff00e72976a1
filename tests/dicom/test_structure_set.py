from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bridge.dicom.phantom import PhantomCase
from bridge.dicom.phantom_shapes import PhantomStructure
from bridge.dicom.structure_set import StructureSet, read_structure_set
from bridge.rt.errors import BridgeError, GeometryRefusal, Refusal
from bridge.rt.findings import Finding
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import loop_area_mm2
from tests.phantom import PATIENT_POSITIONS, STRUCTURES, edit, write_small_phantom

PTV = 1  # index in the sequences; its ROI number is 2


def contour(points: object, z: float | None = None, kind: str = "CLOSED_PLANAR") -> Dataset:
    array = np.array(points, dtype=float)
    if z is not None:
        array = np.column_stack([array, np.full(len(array), z)])
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(array)
    item.ContourData = [f"{value:.4f}" for value in array.ravel()]
    return item


def square(half_mm: float, x: float = 30.0, y: float = -120.0) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([[x - half_mm, y - half_mm], [x + half_mm, y - half_mm], [x + half_mm, y + half_mm],
                     [x - half_mm, y + half_mm]])  # fmt: skip


@pytest.fixture
def phantom(tmp_path: Path) -> PhantomCase:
    return write_small_phantom(tmp_path)


def drawn(phantom: PhantomCase, contours: list[Dataset], with_ct: bool = True) -> StructureSet:
    """Read the structure set after the PTV's contours were replaced."""

    def replace(dataset: Dataset) -> None:
        dataset.ROIContourSequence[PTV].ContourSequence = contours

    edit(phantom.structure_set_path, replace)
    return read_structure_set(phantom.structure_set_path, phantom.grid if with_ct else None)


def of_ptv(structures: StructureSet) -> list[Finding]:
    return [finding for finding in structures.findings if finding.where.get("roi") == "PTV_6000"]


@pytest.mark.parametrize("patient_position", PATIENT_POSITIONS)
def test_centroid_and_volume_come_back_in_every_patient_position(tmp_path: Path, patient_position: str) -> None:
    phantom = write_small_phantom(tmp_path, patient_position=patient_position)
    found = read_structure_set(phantom.structure_set_path, phantom.grid)
    assert found.findings == ()
    assert [structure.number for structure in found.structures] == [1, 2, 3, 4]
    assert [structure.kind for structure in found.structures] == ["external", "target", "target", "organ"]
    index = np.indices(phantom.grid.shape).reshape(3, -1).T.astype(float)
    positions = phantom.grid.positions_mm(index)
    for structure, truth in zip(found.structures, STRUCTURES, strict=True):
        assert structure.name == truth.name
        areas = [sum(loop_area_mm2(loop) for loop in plane.loops) for plane in structure.planes]
        assert sum(areas) * 3.0 / 1000.0 == pytest.approx(truth.volume_cc, rel=1e-5)
        mask = mask_of(structure, phantom.grid)
        assert mask.volume_cc == pytest.approx(truth.volume_cc, rel=5e-3)
        centroid = np.average(positions, axis=0, weights=mask.values.ravel())
        assert np.abs(centroid - truth.centre_mm).max() < 0.1


def test_holes_and_islands_stay_loops(phantom: PhantomCase) -> None:
    found = drawn(phantom, [contour(square(8), 401.5), contour(square(3), 401.5), contour(square(2, x=50), 401.5)])
    (plane,) = found.structures[PTV].planes
    assert len(plane.loops) == 3
    assert of_ptv(found) == []
    assert mask_of(found.structures[PTV], phantom.grid).volume_cc == pytest.approx(
        (16**2 - 6**2 + 4**2) * 3.0 / 1000, rel=1e-2
    )


def test_a_keyhole_cuts_itself_out(phantom: PhantomCase) -> None:
    outer, inner = square(8), square(3)[::-1]
    keyhole = np.vstack([outer, outer[:1], inner, inner[:1]])
    found = drawn(phantom, [contour(keyhole, 401.5)])
    assert mask_of(found.structures[PTV], phantom.grid).volume_cc == pytest.approx(
        (16**2 - 6**2) * 3.0 / 1000, rel=1e-2
    )


def test_exclusive_contours_are_read(phantom: PhantomCase) -> None:
    kind = "CLOSEDPLANAR_XOR"
    found = drawn(phantom, [contour(square(8), 401.5, kind), contour(square(8, x=34), 401.5, kind)])
    assert len(found.structures[PTV].planes[0].loops) == 2
    assert of_ptv(found) == []  # their overlap is meant


def test_exact_duplicates_are_dropped_whatever_their_start_and_direction(phantom: PhantomCase) -> None:
    loop = square(8)
    found = drawn(
        phantom,
        [contour(loop, 401.5), contour(np.roll(loop, 2, axis=0), 401.5), contour(loop[::-1], 401.51),
         contour(np.vstack([loop, loop[:1]]), 401.5)],
    )  # fmt: skip
    assert len(found.structures[PTV].planes) == 1
    assert len(found.structures[PTV].planes[0].loops) == 1
    (finding,) = of_ptv(found)
    assert finding.code == "contour-duplicates"
    assert "3 exact repeats" in finding.message


def test_slivers_are_dropped_and_counted(phantom: PhantomCase) -> None:
    found = drawn(
        phantom,
        [contour(square(8), 401.5), contour([[1, 1], [2, 2]], 401.5), contour([[1, 1], [2, 2], [1, 1], [2, 2]], 401.5),
         contour(square(0.01), 401.5)],
    )  # fmt: skip
    assert len(found.structures[PTV].planes[0].loops) == 1
    assert [(finding.code, "3 contours" in finding.message) for finding in of_ptv(found)] == [("contour-slivers", True)]


def test_a_figure_of_eight_is_no_sliver(phantom: PhantomCase) -> None:
    eight = [[30, -120], [40, -110], [40, -120], [30, -110]]
    assert len(drawn(phantom, [contour(eight, 401.5)]).structures[PTV].planes) == 1


def test_islands_that_overlap_in_part_are_pointed_out(phantom: PhantomCase) -> None:
    found = drawn(phantom, [contour(square(8), 401.5), contour(square(8, x=34), 401.5)])
    assert [finding.code for finding in of_ptv(found)] == ["contour-overlap"]
    found = drawn(phantom, [contour(square(8), 401.5), contour(square(8, x=46), 401.5)])  # side by side
    assert of_ptv(found) == []


def test_planes_are_grouped_within_rounding_only(phantom: PhantomCase) -> None:
    found = drawn(phantom, [contour(square(8), 401.5), contour(square(2, x=50), 401.54), contour(square(8), 404.5)])
    assert found.structures[PTV].z_mm.tolist() == pytest.approx([401.52, 404.5])


def test_open_contours_and_points_bound_nothing(phantom: PhantomCase) -> None:
    found = drawn(
        phantom,
        [contour(square(8), 401.5), contour([[30, -120]], 403.0, "POINT"), contour(square(9), 401.5, "OPEN_PLANAR"),
         contour(square(9), 401.5, "OPEN_NONPLANAR")],
    )  # fmt: skip
    assert found.structures[PTV].z_mm.tolist() == [401.5]
    (finding,) = [finding for finding in of_ptv(found) if finding.code == "contour-not-closed"]
    assert "1 OPEN_NONPLANAR, 1 OPEN_PLANAR, 1 POINT" in finding.message


def test_gaps_and_planes_off_the_ct_are_pointed_out(phantom: PhantomCase) -> None:
    # slices at 398.5, 401.5, ... 431.5
    heights = [398.5, 401.5, 404.5, 413.5, 416.0, 434.5]
    found = drawn(phantom, [contour(square(8), z) for z in heights])
    messages = {finding.code: finding.message for finding in of_ptv(found)}
    assert messages.keys() == {"plane-gap", "plane-outside-ct", "plane-between-slices"}
    assert "404.50 to 413.50" in messages["plane-gap"]
    assert "434.50" in messages["plane-outside-ct"]
    assert "416.00" in messages["plane-between-slices"]
    assert found.structures[PTV].z_mm.tolist() == heights


def test_an_empty_roi_is_there_and_said_to_be_empty(phantom: PhantomCase) -> None:
    found = drawn(phantom, [])
    assert found.structures[PTV].is_empty
    assert [finding.code for finding in of_ptv(found)] == ["roi-empty"]

    def drop(dataset: Dataset) -> None:
        del dataset.ROIContourSequence[PTV]

    edit(phantom.structure_set_path, drop)
    assert read_structure_set(phantom.structure_set_path, phantom.grid).structures[PTV].is_empty


def test_without_ct_the_thickness_is_the_usual_distance_between_planes(phantom: PhantomCase) -> None:
    found = drawn(phantom, [contour(square(8), 400.3)], with_ct=False)
    assert of_ptv(found) == []
    assert found.structures[PTV].slice_thickness_mm == pytest.approx(3.0)


def test_without_ct_and_with_single_planes_only_the_thickness_is_unknown(tmp_path: Path) -> None:
    flat = PhantomStructure("Flat", "ORGAN", "cylinder", (31.5, -120.0, 413.5), (5, 5, 1))
    phantom = write_small_phantom(tmp_path, [flat])
    with pytest.raises(GeometryRefusal, match="slice-thickness-unknown"):
        read_structure_set(phantom.structure_set_path)
    assert read_structure_set(phantom.structure_set_path, None, 2.0).structures[0].slice_thickness_mm == 2.0


@pytest.mark.parametrize(
    ("interpreted", "kind"),
    [("PTV", "target"), ("CTV", "target"), ("GTV", "target"), ("ORGAN", "organ"), ("AVOIDANCE", "organ"),
     ("EXTERNAL", "external"), ("SUPPORT", "support"), ("FIXATION", "support"), ("CONTROL", "other"), ("", "other")],
)  # fmt: skip
def test_kinds(phantom: PhantomCase, interpreted: str, kind: str) -> None:
    def change(dataset: Dataset) -> None:
        dataset.RTROIObservationsSequence[PTV].RTROIInterpretedType = interpreted

    edit(phantom.structure_set_path, change)
    assert read_structure_set(phantom.structure_set_path, phantom.grid).structures[PTV].kind == kind


def tilted(dataset: Dataset) -> None:
    dataset.ROIContourSequence[PTV].ContourSequence[0] = contour(
        np.column_stack([square(8), [400.0, 400.0, 400.3, 400.3]])
    )


def first_contour(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset.ROIContourSequence[PTV].ContourSequence[0], keyword, value)


def other_frame(dataset: Dataset) -> None:
    for item in (dataset, *dataset.ReferencedFrameOfReferenceSequence):
        item.FrameOfReferenceUID = "1.2.3"
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"


def one_roi_in_another_frame(dataset: Dataset) -> None:
    dataset.StructureSetROISequence[PTV].ReferencedFrameOfReferenceUID = "1.2.3"


def second_type(dataset: Dataset) -> None:
    extra = Dataset()
    extra.ObservationNumber, extra.ReferencedROINumber, extra.RTROIInterpretedType = 99, 2, "ORGAN"
    dataset.RTROIObservationsSequence.append(extra)


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (other_frame, "frame-of-reference", "1.2.3"),
        (one_roi_in_another_frame, "frame-of-reference", "PTV_6000"),
        (tilted, "contour-tilted", "400.30"),
        (first_contour("NumberOfContourPoints", 5), "contour-points", "PTV_6000"),
        (first_contour("ContourData", ["1"] * 385), "contour-points", "385"),
        (first_contour("ContourGeometricType", "SPLINE"), "contour-type", "PTV_6000"),
        (first_contour("ContourData", []), "attribute-empty", "ContourData"),
        (lambda d: setattr(d.ROIContourSequence[PTV], "ReferencedROINumber", 77), "roi-number-unknown", "77"),
        (lambda d: setattr(d.ROIContourSequence[PTV], "ReferencedROINumber", 1), "roi-number-repeated", "1"),
        (lambda d: setattr(d.StructureSetROISequence[PTV], "ROINumber", 1), "roi-number-repeated", "1"),
        (lambda d: setattr(d.StructureSetROISequence[PTV], "ROIName", ""), "roi-name-missing", "2"),
        (second_type, "roi-type-conflict", "PTV and ORGAN"),
    ],
)  # fmt: skip
def test_refused(phantom: PhantomCase, spoil: Callable[[Dataset], None], code: str, words: str) -> None:
    edit(phantom.structure_set_path, spoil)
    with pytest.raises(BridgeError) as error:
        read_structure_set(phantom.structure_set_path, phantom.grid)
    assert isinstance(error.value, Refusal)
    assert error.value.code == code
    assert words in error.value.message
    assert "sop_instance_uid" in error.value.where


def test_an_observation_about_nothing_is_pointed_out(phantom: PhantomCase) -> None:
    edit(phantom.structure_set_path, lambda d: setattr(d.RTROIObservationsSequence[PTV], "ReferencedROINumber", 77))
    found = read_structure_set(phantom.structure_set_path, phantom.grid)
    assert [finding.code for finding in found.findings] == ["roi-observation-unknown"]
    assert found.structures[PTV].kind == "other"
