"""Structures, DVHs and objective sets whose numbers are known by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import Dose
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import (
    CurvePoint,
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    Origin,
    PointObjective,
)
from objective_extraction.structure_volume import StructureVolume

FRAME = "2.25.1"
CASE = CaseReference("2.25.100", "2.25.200", FRAME)
PROVENANCE = Provenance(
    "0.1.0",
    "geometric",
    "a" * 64,
    "b" * 64,
    {"2.25.100": "c" * 64},
    datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    {"hi": 1.05},
)
ORIGIN = Origin("organ-curve", 30.5, 0.0, "D20% is 30.50 Gy.")


def box(
    number: int,
    name: str,
    kind: RoiKind,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float] = (0.0, 30.0),
    standard_name: str | None = None,
) -> Structure:
    """A cuboid in mm; without end caps its volume is the product of its sides."""
    loop = np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])])
    heights = np.arange(z[0], z[1] + 0.1, 3.0)
    return Structure(number, name, kind, tuple(Plane(float(h), (loop,)) for h in heights), FRAME, 3.0, standard_name)


def ramp_dvh(
    number: int, name: str, low_gy: float, high_gy: float, volume_cc: float = 20.0, coverage: float = 1.0
) -> Dvh:
    """The DVH that falls in a straight line: D(v) = high - v (high - low)."""
    n = 4000
    dose = low_gy + (np.arange(n) + 0.5) / n * (high_gy - low_gy)
    return Dvh(number, name, dose, np.full(n, coverage * volume_cc / n), volume_cc, DvhPolicy())


def ramp_dose(gy_per_mm: float = 1.0) -> Dose:
    """A dose that rises with y, 0 Gy at y = 0, from -60 to 160 mm."""
    grid = Grid.axial((15, 111, 81), (10.0, 2.0, 2.0), (-80.0, -60.0, -60.0), FRAME)
    y = -60.0 + 2.0 * np.arange(111)
    return Dose(np.broadcast_to(np.maximum(y, 0.0)[None, :, None] * gy_per_mm, grid.shape).astype(np.float32), grid)


def prescription(*levels: tuple[int, str, float], fractions: int | None = 35) -> Prescription:
    return Prescription(tuple(TargetLevel(n, name, gy, "target_name") for n, name, gy in levels), fractions)


def point(
    name: str, operator: str, dose_gy: float, volume_percent: float, *, number: int | None = 5, priority: float = 7.0
) -> PointObjective:
    return PointObjective(
        roi_number=number, roi_name=name, standard_name=None, priority=priority, origin=ORIGIN,
        operator=operator, dose_gy=dose_gy, volume_percent=volume_percent,  # type: ignore[arg-type]
    )  # fmt: skip


def mean(name: str, dose_gy: float) -> MeanObjective:
    return MeanObjective(
        roi_number=5, roi_name=name, standard_name=None, priority=7.0, origin=ORIGIN, dose_gy=dose_gy
    )  # fmt: skip


def geud(name: str, operator: str, dose_gy: float, a: float) -> GeudObjective:
    return GeudObjective(
        roi_number=5, roi_name=name, standard_name=None, priority=7.0, origin=ORIGIN,
        operator=operator, dose_gy=dose_gy, a=a,  # type: ignore[arg-type]
    )  # fmt: skip


def line(name: str, operator: str, *curve: tuple[float, float]) -> LineObjective:
    """A curve through volumes in % with doses in Gy."""
    return LineObjective(
        roi_number=5, roi_name=name, standard_name=None, priority=7.0, origin=ORIGIN,
        operator=operator, curve=tuple(CurvePoint(*point) for point in curve),  # type: ignore[arg-type]
    )  # fmt: skip


def every_kind() -> tuple[Objective, ...]:
    """One objective of each kind, as in the worked example of the template format."""
    parotid = {"roi_number": 5, "roi_name": "Parotid_L", "standard_name": "Parotid_L", "origin": ORIGIN}
    return (
        point("PTV_70", "lower", 70.5, 98.0, number=1, priority=120.0),
        point("PTV_70", "upper", 73.5, 0.0, number=1, priority=120.0),
        MeanObjective(**parotid, priority=60.0, dose_gy=23.4),  # type: ignore[arg-type]
        GeudObjective(**parotid, priority=50.0, operator="upper", dose_gy=25.0, a=1.0),  # type: ignore[arg-type]
        LineObjective(
            **parotid,  # type: ignore[arg-type]
            priority=40.0,
            operator="upper",
            curve=(CurvePoint(80.0, 8.1), CurvePoint(10.0, 41.7)),
        ),
        point("Parotid_L-PTV", "upper", 20.0, 20.0, number=None),
    )


def volumes_of(objectives: Sequence[Objective]) -> tuple[StructureVolume, ...]:
    """Give volumes for the structures of objectives, and for those that derived ones are made of."""
    names = {1: "PTV_70", 5: "Parotid_L", 6: "BODY", 8: "SpinalCord"}
    names |= {one.roi_number: one.roi_name for one in objectives if one.roi_number is not None}
    sources = [(90 + n, name) for n, name in enumerate(("PTV_70", "Parotid_L")) if name not in names.values()]
    return tuple(StructureVolume(number, name, 27.25, 1.7) for number, name in (*names.items(), *sources))


def objective_set(objectives: Sequence[Objective] | None = None) -> ObjectiveSet:
    """A set with everything in it."""
    objectives = every_kind() if objectives is None else tuple(objectives)
    return ObjectiveSet(
        case=CASE,
        prescription=prescription((1, "PTV_70", 70.0)),
        objectives=objectives,
        derived_structures=(
            DerivedStructure("Parotid_L-PTV", "subtract", ("Parotid_L",), minus=("PTV_70",), margin_mm=3.0),
            DerivedStructure("Ring_PTV", "ring", ("PTV_70",), within="BODY", inner_mm=3.0, outer_mm=30.0),
        ),
        structure_volumes=volumes_of(objectives),
        dose_source="predicted",
        dvh_policy=DvhPolicy(),
        provenance=PROVENANCE,
        findings=(Finding("hot-spot", "warning", "D0.03cc of 'PTV_70' is 81.00 Gy.", {"roi": "PTV_70"}),),
        normal_tissue=NormalTissueObjective(80.0),
    )


def changed(given: ObjectiveSet, **changes: object) -> ObjectiveSet:
    """The same set otherwise, with volumes of the structures that it then has objectives for."""
    if "objectives" in changes:
        changes = {"structure_volumes": volumes_of(changes["objectives"])} | changes  # type: ignore[arg-type]
    return replace(given, **changes)  # type: ignore[arg-type]
