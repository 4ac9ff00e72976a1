"""A small world for the stub: one patient, boxes as structures, and a plan ready for objectives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from bridge.rt.structure import Structure as RtStructure
from bridge.rt.volume import CtVolume
from esapi_stub.application import Application, Course, Database, Patient, StoredStructureSet
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.planning import QUIET, PlanningEngine, Watch
from esapi_stub.structure_set import Structure, StructureSet
from esapi_stub.values import DoseValue
from tests.solids import empty, grid_around, prism, rectangle

SET_UID = "2.25.1000"
PLANES_MM = [float(z) for z in range(-30, 31, 3)]


def box(number: int, name: str, x: tuple[float, float], y: tuple[float, float]) -> RtStructure:
    """A box from -30 to 30 mm along z, 20 slices of 3 mm between its first and last plane."""
    return prism([rectangle(x, y)], PLANES_MM, number=number, name=name)


def structures() -> list[RtStructure]:
    return [
        box(1, "PTV", (-10.0, 10.0), (-10.0, 10.0)),
        box(2, "Organ", (20.0, 40.0), (-10.0, 10.0)),
        empty(number=3, name="NotDrawn"),
    ]


def water() -> CtVolume:
    """A block of water, 100 mm across."""
    grid = grid_around(50.0, (5.0, 5.0, 5.0))
    return CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)


@dataclass(frozen=True)
class World:
    application: Application
    patient: Patient
    course: Course
    structure_set: StructureSet
    plan: ExternalPlanSetup
    unit: DoseValue.DoseUnit

    def __getitem__(self, name: str) -> Structure:
        return next(structure for structure in self.structure_set.Structures if structure.Id == name)

    def dose(self, value: float) -> DoseValue:
        return DoseValue(value, self.unit)

    def gray(self, value_gy: float) -> DoseValue:
        return DoseValue(value_gy * (100.0 if self.unit is DoseValue.DoseUnit.cGy else 1.0), self.unit)


@contextmanager
def world(
    unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy,
    fractions: int | None = 35,
    engine: PlanningEngine | None = None,
    watch: Watch = QUIET,
    ct: CtVolume | None = None,
) -> Iterator[World]:
    """Open the patient and make a plan, prescribed to 70 Gy unless ``fractions`` is None."""
    database = Database({"P": [StoredStructureSet("CT", SET_UID, structures(), ct)]}, unit, engine, watch)
    with Application.CreateApplication(database) as application:
        patient = application.OpenPatientById("P")
        assert patient is not None
        patient.BeginModifications()
        course = patient.AddCourse()
        plan = course.AddExternalPlanSetup(patient.StructureSets[0])
        if fractions is not None:
            per_fraction = 70.0 / fractions * (100.0 if unit is DoseValue.DoseUnit.cGy else 1.0)
            plan.SetPrescription(fractions, DoseValue(per_fraction, unit), 1.0)
        yield World(application, patient, course, patient.StructureSets[0], plan, unit)
