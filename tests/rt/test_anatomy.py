from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.dicom.assemble import read_case
from bridge.rt.anatomy import anatomy_of, dose_grid, external_of
from bridge.rt.case import PatientCase
from bridge.rt.errors import PrescriptionRefusal, StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.prescribe import find_prescription
from bridge.rt.structure import Plane
from bridge.rt.volume import CtVolume
from tests.phantom import CENTRE_MM, PATIENT_POSITIONS, STRUCTURES, write_small_phantom
from tests.solids import FRAME, axial_orientations

BODY = STRUCTURES[0]


def case_in(folder: Path, position: str = "HFS", **names: str | None) -> PatientCase:
    case = read_case(write_small_phantom(folder, patient_position=position).paths).case
    named = tuple(replace(s, standard_name=names.get(s.name)) for s in case.structures)
    prescription, _ = find_prescription(named, (), None, {})
    return replace(case, structures=named, prescription=prescription)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PatientCase:
    return case_in(tmp_path_factory.mktemp("case"), SpinalCord="SpinalCord")


@pytest.mark.parametrize("spacing_mm", [1.0, 2.5, 3.3, 40.0])
@pytest.mark.parametrize("orientation", axial_orientations())
def test_the_dose_grid_covers_a_box_in_every_orientation(orientation: str, spacing_mm: float) -> None:
    ct = Grid((30, 40, 50), _affine(orientation), FRAME)
    middle = ct.positions_mm(np.array([[14.5, 19.5, 24.5]]))[0]
    low, high = middle - np.array([20.3, 17.9, 13.1]), middle + np.array([11.7, 22.2, 15.5])
    grid = dose_grid(ct, np.stack([low, high]), spacing_mm)
    assert grid.spacing_mm == pytest.approx((spacing_mm,) * 3)
    assert np.allclose(grid.affine[:3, :3] / spacing_mm, ct.affine[:3, :3] / ct.spacing_mm), "the axes are the CT's"
    ends = grid.positions_mm(np.array([[0.0, 0.0, 0.0], np.array(grid.shape) - 1.0]))
    first, last = ends.min(axis=0), ends.max(axis=0)
    assert (first <= low + 1e-6).all()
    assert (last >= high - 1e-6).all()
    # no larger than it must be, and the box in the middle of it
    assert (last - first - (high - low) < spacing_mm + 1e-6).all()
    assert (first + last) / 2 == pytest.approx((low + high) / 2)


def _affine(orientation: str) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axial_orientations()[orientation][:3, :3] @ np.diag([3.0, 2.2, 1.7])
    affine[:3, 3] = CENTRE_MM
    return affine


def test_nothing_beyond_the_ct_is_covered(case: PatientCase) -> None:
    ct = case.ct.grid
    far = np.array([[-1e4] * 3, [1e4] * 3])
    grid = dose_grid(ct, far, 2.5)
    extent = np.array(ct.shape) * ct.spacing_mm
    assert (np.array(grid.shape) - 1) * 2.5 == pytest.approx(np.ceil(extent / 2.5 - 1e-6) * 2.5)


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_masks_have_the_structures_volume_and_place_in_every_position(tmp_path: Path, position: str) -> None:
    anatomy, findings = anatomy_of(case_in(tmp_path, position, SpinalCord="SpinalCord"), 2.5)
    assert findings == ()
    assert set(anatomy.masks) == {"PTV_6000", "PTV_5000", "SpinalCord"}
    assert dict(anatomy.target_levels_gy) == {"PTV_6000": 60.0, "PTV_5000": 50.0}
    for truth in STRUCTURES[1:]:
        mask = anatomy.masks[truth.name]
        assert mask.volume_cc == pytest.approx(truth.volume_cc, rel=0.04), truth.name
        weights = mask.values.ravel().astype(np.float64)
        index = np.indices(mask.grid.shape).reshape(3, -1).T.astype(np.float64)
        centroid = weights @ mask.grid.positions_mm(index) / weights.sum()
        assert centroid == pytest.approx(truth.centre_mm, abs=0.6), truth.name
    assert anatomy.body.volume_cc == pytest.approx(BODY.volume_cc, rel=0.04)
    assert anatomy.ct is not None
    assert (anatomy.ct.values[anatomy.body.values < 0.5] == -1000.0).all()
    inside = anatomy.ct.at(np.array([truth.centre_mm for truth in STRUCTURES[1:]]))
    assert inside == pytest.approx([truth.hu for truth in STRUCTURES[1:]], abs=2.0)


def test_organs_go_by_their_standard_name_and_unnamed_ones_are_left_out(tmp_path: Path) -> None:
    anatomy, _ = anatomy_of(case_in(tmp_path, SpinalCord="SpinalCanal"), 5.0)
    assert set(anatomy.masks) == {"PTV_6000", "PTV_5000", "SpinalCanal"}
    anatomy, _ = anatomy_of(case_in(tmp_path), 5.0)
    assert set(anatomy.masks) == {"PTV_6000", "PTV_5000"}


def test_without_external_the_body_is_the_ct(case: PatientCase) -> None:
    values = case.ct.values.copy()
    values[5:7, 14:16, 10:12] = -900.0  # an airway, closed in its slices
    values[:, 0, :] = 100.0  # a couch, apart from the patient
    bare = replace(case, structures=case.structures[1:], ct=CtVolume(values, case.ct.grid))
    assert external_of(bare) is None
    anatomy, (finding,) = anatomy_of(bare, 2.5)
    assert (finding.code, finding.severity) == ("body-from-ct", "warning")
    # it reaches from the centre of the first slice to that of the last: 33 mm of the 36 mm that are drawn
    assert anatomy.body.volume_cc == pytest.approx(BODY.volume_cc * 33 / 36, rel=0.04)
    airway = case.ct.grid.positions_mm(np.array([[5.5, 14.5, 10.5]]))
    couch = case.ct.grid.positions_mm(np.array([[5.0, 0.0, 18.0]]))
    assert anatomy.body.at(airway, outside=0.0) == pytest.approx([1.0])
    assert anatomy.body.at(couch, outside=0.0) == pytest.approx([0.0])
    with_external, _ = anatomy_of(case, 2.5)
    ends = with_external.grid.corners_mm()
    assert np.abs(np.sort(anatomy.grid.corners_mm(), axis=0) - np.sort(ends, axis=0)).max() < 5.0


def test_no_body_at_all_is_refused(case: PatientCase) -> None:
    air = CtVolume(np.full(case.ct.grid.shape, -1000.0), case.ct.grid)
    with pytest.raises(StructureRefusal) as raised:
        anatomy_of(replace(case, structures=case.structures[1:], ct=air), 2.5)
    assert raised.value.code == "no-body"


def test_two_externals_are_refused_by_name_and_an_empty_one_does_not_count(case: PatientCase) -> None:
    body = case.structures[0]
    second = replace(body, number=90, name="Body of yesterday")
    with pytest.raises(StructureRefusal, match="'BODY', 'Body of yesterday'") as raised:
        anatomy_of(replace(case, structures=(*case.structures, second)), 2.5)
    assert raised.value.code == "external-ambiguous"
    assert external_of(replace(case, structures=(*case.structures, replace(second, planes=())))) is body


def test_a_case_without_prescription_is_refused(case: PatientCase) -> None:
    with pytest.raises(PrescriptionRefusal) as raised:
        anatomy_of(replace(case, prescription=None), 2.5)
    assert raised.value.code == "prescription-missing"


def test_an_organ_under_the_name_of_a_target_is_refused_not_mixed_up(case: PatientCase) -> None:
    organs = tuple(replace(s, standard_name="PTV_6000") if s.name == "SpinalCord" else s for s in case.structures)
    with pytest.raises(StructureRefusal, match="PTV_6000") as raised:
        anatomy_of(replace(case, structures=organs), 2.5)
    assert raised.value.code == "name-of-target"


@pytest.mark.parametrize(("shift_mm", "told"), [(0.0, False), (10.0, False), (20.0, True)])
def test_a_structure_that_reaches_out_of_the_body_is_told(case: PatientCase, shift_mm: float, told: bool) -> None:
    """PTV_6000 ends 11.5 mm before the skin and is 18 mm wide."""
    target = case.structure("PTV_6000")
    moved = replace(
        target,
        planes=tuple(Plane(p.z_mm, tuple(loop + np.array([shift_mm, 0.0]) for loop in p.loops)) for p in target.planes),
    )
    structures = tuple(moved if s.number == target.number else s for s in case.structures)
    _, findings = anatomy_of(replace(case, structures=structures), 2.0)
    outside = [finding for finding in findings if finding.code == "outside-body"]
    assert [finding.where["roi"] for finding in outside] == (["PTV_6000"] if told else [])
