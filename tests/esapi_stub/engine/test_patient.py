"""A patient on the dose grid: nothing is mirrored, whichever way the CT is stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume
from esapi_stub.engine.patient import PlanningPatient, averaged, patient_on_grid
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, positions

BODY = box_structure(1, "BODY", "external", (10.0, -20.0, 30.0), (40.0, 30.0, 25.0))
TARGET = box_structure(2, "PTV", "target", (20.0, -30.0, 40.0), (10.0, 10.0, 10.0))
CORD = box_structure(3, "Cord", "organ", (0.0, -5.0, 30.0), (5.0, 5.0, 25.0))


def linear_hu(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    return 2.0 * x - 1.5 * y + 3.0 * z


def ct_stored(step: FloatArray, shape: tuple[int, int, int]) -> CtVolume:
    """Give CT numbers linear in position, on a grid with these columns of steps, centred on the body."""
    affine = np.eye(4)
    affine[:3, :3] = step
    affine[:3, 3] = np.array([10.0, -20.0, 30.0]) - step @ ((np.array(shape) - 1.0) / 2.0)
    grid = Grid(shape, affine, FRAME)
    return CtVolume(linear_hu(*positions(grid)).astype(np.float32), grid)


STORED = {
    "head first supine": (np.array([[0, 0, 2.0], [0, 2.0, 0], [2.5, 0, 0]]), (28, 40, 50)),
    "feet first": (np.array([[0, 0, -2.0], [0, 2.0, 0], [-2.5, 0, 0]]), (28, 40, 50)),
    "on the side": (np.array([[0, 2.0, 0], [0, 0, -2.0], [2.5, 0, 0]]), (28, 50, 40)),
}


@pytest.mark.parametrize("stored", STORED)
def test_everything_is_where_it_is_in_the_patient(stored: str) -> None:
    patient = patient_on_grid(ct_stored(*STORED[stored]), (BODY, TARGET, CORD), 5.0)
    grid = patient.ct.grid
    assert (np.diag(grid.affine[:3, :3][:, ::-1]) == 5.0).all()  # +z, +y, +x
    x, y, z = positions(grid)
    np.testing.assert_allclose(patient.ct.values[patient.body], linear_hu(x, y, z)[patient.body], atol=0.01)
    assert (patient.ct.values[~patient.body] == -1000.0).all()
    for structure, centre in ((BODY, (10, -20, 30)), (TARGET, (20, -30, 40)), (CORD, (0, -5, 30))):
        mask = patient.masks[structure.number]
        found = [float((mask * axis).sum() / mask.sum()) for axis in (x, y, z)]
        np.testing.assert_allclose(found, centre, atol=0.01)
    assert patient.masks[2].sum() * grid.voxel_cc == pytest.approx(8.0, rel=1e-4)
    np.testing.assert_array_equal(patient.targets, patient.masks[2] >= 0.5)


def test_a_target_smaller_than_a_voxel_is_still_a_target() -> None:
    small = box_structure(4, "GTV", "target", (11.0, -21.0, 31.0), (1.0, 1.0, 0.5), spacing_mm=1.0)
    patient = patient_on_grid(ct_stored(*STORED["head first supine"]), (BODY, small), 5.0)
    assert patient.targets.any()


def test_averaging_keeps_linear_functions_and_totals() -> None:
    fine = Grid.axial((20, 16, 12), (1.0, 1.5, 2.0), (0.0, 0.0, 0.0), FRAME)
    coarse = Grid.axial((3, 3, 3), (4.0, 4.0, 4.0), (5.0, 5.0, 5.0), FRAME)
    values = linear_hu(*positions(fine)).astype(np.float32)
    np.testing.assert_allclose(averaged(CtVolume(values, fine), coarse, 0.0), linear_hu(*positions(coarse)), atol=1e-3)
    spike = np.zeros(fine.shape, dtype=np.float32)
    spike[8, 6, 4] = 1.0
    total = averaged(CtVolume(spike, fine), coarse, 0.0).sum() * 4.0**3
    assert total == pytest.approx(1.0 * 1.5 * 2.0, rel=0.3)  # point sampling every 4 mm would find nothing, or 20 times


@pytest.mark.parametrize("stored", STORED)
def test_a_body_that_goes_on_where_the_scan_ends_is_no_lighter_there(stored: str) -> None:
    step, (slices, rows, columns) = STORED[stored]
    steps, shape = np.linalg.norm(step, axis=0), (slices, rows, columns)
    ends = tuple(
        round(50.0 / size) if abs(step[2, axis]) > 0 else n
        for axis, (size, n) in enumerate(zip(steps, shape, strict=True))
    )
    scan = ct_stored(step, ends)  # from 5 to 55 mm along z, as the body
    water = CtVolume(np.zeros(scan.grid.shape, dtype=np.float32), scan.grid)
    patient = patient_on_grid(water, (BODY, TARGET), 5.0)
    assert patient.body[0].any()
    assert patient.body[-1].any()
    np.testing.assert_array_equal(patient.ct.values[patient.body], 0.0)


@pytest.mark.parametrize(
    ("structures", "code"),
    [
        ((TARGET, CORD), "no-body"),
        ((BODY, replace(BODY, number=9), TARGET), "external-ambiguous"),
        ((BODY, CORD), "no-target"),
        ((BODY, box_structure(2, "PTV", "target", (200.0, 0.0, 30.0), (5.0, 5.0, 5.0))), "no-target"),
    ],
)
def test_what_cannot_be_planned_is_refused(structures: tuple[Structure, ...], code: str) -> None:
    with pytest.raises(StructureRefusal, match=code):
        patient_on_grid(ct_stored(*STORED["head first supine"]), structures, 5.0)


def test_an_oblique_ct_is_refused() -> None:
    turn = np.deg2rad(10.0)
    tilted = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    with pytest.raises(GeometryRefusal, match="grid-not-axial"):
        patient_on_grid(ct_stored(tilted @ STORED["head first supine"][0], (28, 40, 50)), (BODY, TARGET), 5.0)


def test_the_digest_is_of_the_content() -> None:
    patient = patient_on_grid(ct_stored(*STORED["head first supine"]), (BODY, TARGET), 5.0)
    same = patient_on_grid(ct_stored(*STORED["feet first"]), (BODY, TARGET, CORD), 5.0)
    assert patient.sha256 != replace(patient, targets=patient.body).sha256
    assert PlanningPatient(patient.ct, patient.body, patient.targets, {}).sha256 == patient.sha256
    np.testing.assert_allclose(same.ct.values, patient.ct.values, atol=0.01)
