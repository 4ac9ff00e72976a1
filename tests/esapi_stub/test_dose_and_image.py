"""Voxels of doses and images: whole numbers in planes, x first, on grids that lie any way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.rt.volume import CtVolume
from esapi_stub.application import ScriptContext
from esapi_stub.enums import DoseValuePresentation, VolumePresentation
from esapi_stub.plan import attach_dose
from esapi_stub.raster import Raster
from esapi_stub.structure_set import Structure
from esapi_stub.values import DoseValue, VVector
from tests.esapi_stub.worlds import world
from tests.solids import axial_orientations, grid_around, linear_dose, oriented_grid, positions_of

GY, CGY, PERCENT = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy, DoseValue.DoseUnit.Percent
GRADIENT_GY_MM = (0.1, 0.2, 0.3)
AT_ORIGIN_GY = 40.0

ORIENTATIONS = axial_orientations()


def exact_gy(at: VVector) -> float:
    return AT_ORIGIN_GY + sum(g * c for g, c in zip(GRADIENT_GY_MM, (at.x, at.y, at.z), strict=True))


def along(raster: Raster, x: int, y: int, z: int) -> VVector:
    """Position of a voxel as a script works it out."""
    position = raster.Origin
    for steps, direction in (
        (x * raster.XRes, raster.XDirection),
        (y * raster.YRes, raster.YDirection),
        (z * raster.ZRes, raster.ZDirection),
    ):
        position = position + VVector(*(steps * component for component in (direction.x, direction.y, direction.z)))
    return position


@pytest.mark.parametrize("orientation", ["-x/+y/+z", "+x/+y/+z", "+y/-x/-z", "-y/-x/+z"])
def test_a_script_finds_every_voxel_where_it_is(orientation: str) -> None:
    grid = oriented_grid(ORIENTATIONS[orientation], (4, 5, 6), (3.0, 2.0, 1.5), (1.0, 2.0, 3.0))
    with world() as w:
        attach_dose(w.plan, linear_dose(grid, GRADIENT_GY_MM, AT_ORIGIN_GY))
        dose = w.plan.Dose
        assert dose is not None
        assert (dose.XSize, dose.YSize, dose.ZSize) == (6, 5, 4)
        assert (dose.XRes, dose.YRes, dose.ZRes) == pytest.approx((1.5, 2.0, 3.0))
        for plane in range(dose.ZSize):
            voxels = np.zeros((dose.XSize, dose.YSize), dtype=np.int32)
            dose.GetVoxels(plane, voxels)
            for x, y in ((0, 0), (5, 0), (0, 4), (3, 2)):
                position = along(dose, x, y, plane)
                assert dose.VoxelToDoseValue(int(voxels[x, y])).Dose == pytest.approx(exact_gy(position), abs=1e-4)
                assert dose.GetDoseToPoint(position).Dose == pytest.approx(exact_gy(position), abs=1e-4)
        highest = dose.DoseMax3DLocation
        assert dose.DoseMax3D.Dose == pytest.approx(exact_gy(highest), abs=1e-4)
        assert dose.DoseMax3D.Dose == pytest.approx(float(dose.rt.values.max()))


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_a_dose_follows_the_presentation_of_its_plan(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    grid = grid_around(20.0, (4.0, 4.0, 4.0))
    with world(unit) as w:
        attach_dose(w.plan, linear_dose(grid, (0.0, 0.0, 0.0), 35.0))
        dose = w.plan.Dose
        assert dose is not None
        centre, outside = VVector(0.0, 0.0, 0.0), VVector(20.1, 0.0, 0.0)
        assert dose.GetDoseToPoint(centre).Equals(DoseValue(35.0 * per_gy, unit))
        assert math.isnan(dose.GetDoseToPoint(outside).Dose)
        w.plan.DoseValuePresentation = DoseValuePresentation.Relative
        assert (dose.DoseMax3D.Unit, dose.DoseMax3D.Dose) == (PERCENT, pytest.approx(50.0))
        assert len(dose.UID) <= 64


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_a_dose_is_written_voxel_by_voxel(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    grid = grid_around(48.0, (3.0, 3.0, 3.0))
    wanted = linear_dose(grid, (0.5, 0.0, 0.0), at_origin_gy=25.0)
    ct = CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)
    with world(unit, ct=ct) as w:
        dose = w.plan.CreateEvaluationDose()
        assert w.plan.DoseAsEvaluationDose is dose
        for plane in range(dose.ZSize):
            voxels = [[dose.DoseValueToVoxel(w.gray(float(gy))) for gy in column] for column in wanted.values[plane].T]
            dose.SetVoxels(plane, np.array(voxels))
        w.application.SaveModifications()
        absolute, percent = DoseValuePresentation.Absolute, VolumePresentation.Relative
        median = w.plan.GetDoseAtVolume(w["Organ"], 50.0, percent, absolute)
        assert (median.Unit, median.Dose) == (unit, pytest.approx(40.0 * per_gy, abs=0.05 * per_gy))
        assert dose.DoseValueToVoxel(DoseValue(50.0, PERCENT)) == dose.DoseValueToVoxel(w.gray(35.0))


def test_a_copied_dose_has_the_grid_but_not_the_scale() -> None:
    with world() as w:
        attach_dose(w.plan, linear_dose(grid_around(20.0, (4.0, 4.0, 4.0)), GRADIENT_GY_MM, AT_ORIGIN_GY))
        existing = w.plan.Dose
        assert existing is not None
        target = w.course.AddExternalPlanSetup(w.structure_set)
        target.SetPrescription(35, w.dose(2.0), 1.0)
        copied = target.CopyEvaluationDose(existing)
        assert (copied.XSize, copied.Origin) == (existing.XSize, existing.Origin)
        one, other = (np.zeros((copied.XSize, copied.YSize), dtype=np.int64) for _ in range(2))
        existing.GetVoxels(5, one)
        copied.GetVoxels(5, other)
        assert not np.array_equal(one, other), "numbers alone mean nothing"
        assert copied.VoxelToDoseValue(int(other[2, 3])).Dose == pytest.approx(
            existing.VoxelToDoseValue(int(one[2, 3])).Dose, abs=2e-4
        )
        copied.SetVoxels(5, np.zeros_like(other))
        assert existing.rt.values[5].min() > 0.0, "the original is left alone"


def test_an_image_gives_ct_numbers() -> None:
    grid = grid_around(9.0, (3.0, 3.0, 3.0))
    numbers = np.rint(positions_of(grid) @ np.array([1.0, 20.0, 100.0]) - 100.0)
    ct = CtVolume(numbers.astype(np.float32), grid)
    with world(ct=ct) as w:
        image = w.structure_set.Image
        assert image is not None
        assert (image.FOR, image.Id, image.ct) == (grid.frame_of_reference_uid, "CT", ct)
        voxels = np.zeros((image.XSize, image.YSize), dtype=np.int32)
        image.GetVoxels(2, voxels)
        position = along(image, 5, 1, 2)
        expected = position.x + 20.0 * position.y + 100.0 * position.z - 100.0
        assert image.VoxelToDisplayValue(int(voxels[5, 1])) == expected
    with world() as w:
        assert w.structure_set.Image is None


def test_a_context_is_the_open_patient_and_plan() -> None:
    with world() as w:
        shown = ScriptContext(w.patient, w.plan)
        assert (shown.Patient, shown.Course, shown.StructureSet) == (w.patient, w.course, w.structure_set)
        assert shown.PlanSetup is shown.ExternalPlanSetup is w.plan
        assert shown.Image is None
        without = ScriptContext(w.patient, structure_set=w.structure_set)
        assert (without.PlanSetup, without.Course, without.StructureSet) == (None, None, w.structure_set)


def test_courses_and_plans_are_removed() -> None:
    with world() as w:
        assert w.patient.CanAddCourse()
        assert w.course.CanAddPlanSetup(w.structure_set)
        second = w.course.AddExternalPlanSetup(w.structure_set)
        w.course.RemovePlanSetup(w.plan)
        assert w.course.PlanSetups == (second,)
        third = w.course.AddExternalPlanSetup(w.structure_set)
        assert len({third.Id, second.Id}) == len({third.UID, second.UID, w.plan.UID}) - 1 == 2
        assert w.patient.CanRemoveCourse(w.course)
        w.patient.RemoveCourse(w.course)
        assert w.patient.Courses == ()
        assert not w.structure_set.CanRemoveStructure(world_structure())
        assert w.structure_set.CanRemoveStructure(w["Organ"])
        assert w.structure_set.Patient is w.patient
        w.structure_set.Id = "Planning"
        assert w.structure_set.Id == "Planning"


def world_structure() -> Structure:
    """A structure of another world."""
    with world() as other:
        return other["Organ"]
