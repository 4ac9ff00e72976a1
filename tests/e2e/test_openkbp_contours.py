"""What contours of OpenKBP's voxels enclose: all of them along their borders, fewer where corners are cut."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from bridge.dicom.structure_set import StructureSet, read_structure_set
from bridge.rt.dvh import DvhPolicy
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from bridge.rt.sampling import sample_structure
from bridge.rt.structure import Structure
from bridge.rt.volume import Mask
from models.openkbp.reader import OpenKbpPatient, read_patient
from tests.openkbp_dicom import TARGET_NAMES, border_loops, packed_patient, write_exact_study, write_study


@pytest.fixture(scope="module")
def patient() -> OpenKbpPatient:
    return read_patient(packed_patient("pt_201"))


@pytest.fixture(scope="module")
def exact(patient: OpenKbpPatient, tmp_path_factory: pytest.TempPathFactory) -> tuple[StructureSet, Grid]:
    study = tmp_path_factory.mktemp("exact")
    grid = write_exact_study(patient, study)
    return read_structure_set(study / "RS.dcm", slice_thickness_mm=patient.voxel_mm[0]), grid


@pytest.fixture(scope="module")
def cut(patient: OpenKbpPatient, tmp_path_factory: pytest.TempPathFactory) -> StructureSet:
    study = tmp_path_factory.mktemp("cut")
    write_study(patient.id, study)
    return read_structure_set(study / "RS.dcm", slice_thickness_mm=patient.voxel_mm[0])


def voxels_of(patient: OpenKbpPatient, structure: Structure) -> Mask:
    if structure.name == "BODY":
        return patient.anatomy.body
    return patient.anatomy.masks[TARGET_NAMES.get(structure.name, structure.name)]


def bridged_cc(mask: Mask) -> float:
    """Volume that the planes beside empty slices get, half of them each: the last one of PTV56 lies behind one.

    Beyond itself an end reaches as far as towards its neighbour, so that such a last plane gets it twice.
    """
    slices = np.flatnonzero(mask.values.any(axis=(1, 2)))
    pixels = mask.values[slices].sum(axis=(1, 2), dtype=np.float64)
    more = (np.diff(slices) - 1) / 2
    both_sides = np.append(more[:1], more) * pixels + np.append(more, more[-1:]) * pixels
    return float(both_sides.sum()) * mask.grid.voxel_cc


def area_mm2(structure: Structure) -> float:
    """By shapely, of all planes."""
    return sum(float(plane.region.area) for plane in structure.planes)


def test_borders_of_pixels_enclose_just_these_pixels() -> None:
    """Random pixels have islands, holes, islands in holes, and corners that touch."""
    inside = np.random.default_rng(3).random((30, 40)) < 0.6
    region = shapely.Polygon()
    for loop in border_loops(inside):
        region = shapely.symmetric_difference(region, shapely.Polygon(loop))
    row, column = np.indices(inside.shape) + 0.5
    np.testing.assert_array_equal(shapely.contains_xy(region, column, row), inside)
    assert region.area == pytest.approx(inside.sum())


def test_contours_along_the_borders_are_read_as_the_voxels(
    patient: OpenKbpPatient, exact: tuple[StructureSet, Grid]
) -> None:
    """By masks voxel by voxel, and by the samples of a DVH in volume."""
    found, grid = exact
    there = Grid(grid.shape, grid.affine, found.structures[0].frame_of_reference_uid)
    policy = DvhPolicy(end_caps="half_slice")
    assert len(found.structures) == 11
    for structure in found.structures:
        truth = voxels_of(patient, structure)
        gap_cc = bridged_cc(truth)
        mask = mask_of(structure, there)
        assert mask.volume_cc == pytest.approx(truth.volume_cc + gap_cc, rel=1e-4, abs=0.01), structure.name
        moved_cc = float(np.abs(mask.values - truth.values).sum(dtype=np.float64)) * there.voxel_cc
        assert moved_cc == pytest.approx(gap_cc, abs=0.02), structure.name
        sampled_cc = float(sample_structure(structure, policy).sample_cc.sum())
        assert sampled_cc == pytest.approx(truth.volume_cc + gap_cc, rel=2e-3), structure.name


def test_contours_across_the_corners_lose_half_a_pixel_a_loop(patient: OpenKbpPatient, cut: StructureSet) -> None:
    """Going round once, a loop turns right four times more than left, or left where it goes round a hole.

    Each turn cuts off or adds an eighth of a pixel. So thin shells in many pieces lose most: PTV63 29 %.
    """
    _, dy, dx = patient.voxel_mm
    lost = {}
    for structure in cut.structures:
        if structure.name == "BODY":  # drawn around the possible-dose mask too
            continue
        voxels_mm2 = np.count_nonzero(voxels_of(patient, structure).values) * dx * dy
        # in even-odd order a hole turns a loss into a gain of half a pixel, and no hole is known to hold an island
        polygons = sum(shapely.get_num_geometries(plane.region) for plane in structure.planes)
        loops = sum(len(plane.loops) for plane in structure.planes)
        holes = loops - polygons
        assert area_mm2(structure) == pytest.approx(voxels_mm2 - (polygons - holes) * dx * dy / 2, rel=1e-4)
        lost[structure.name] = 1 - area_mm2(structure) / voxels_mm2
    assert lost["PTV_6300"] == pytest.approx(0.287, abs=0.002)
    assert lost["PTV_7000"] == pytest.approx(0.005, abs=0.001)
    assert lost["SpinalCord"] == pytest.approx(0.147, abs=0.002)
