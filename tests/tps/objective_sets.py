"""A head and neck case of boxes with every kind of objective, and the objectives extracted from a falling dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypedDict

from bridge.rt.dvh import DvhPolicy
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.structure import RoiKind, Structure
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import (
    CurvePoint,
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    Operator,
    Origin,
    PointObjective,
)
from objective_extraction.settings import ExtractionSettings
from objective_extraction.structure_volume import structure_volumes
from tests.solids import FRAME, grid_around, linear_dose, prism, rectangle

PLANES_MM = [float(z) for z in range(-30, 31, 3)]
SET_UID = "2.25.1000"
CASE = CaseReference(SET_UID, "2.25.2000", FRAME)
PROVENANCE = Provenance("0.0", "", "", "", {}, datetime(2026, 1, 1, tzinfo=UTC), {})
MANUAL = Origin("manual", None, 0.0, "Asked for by a test.")


def box(number: int, name: str, kind: RoiKind, x: tuple[float, float], y: tuple[float, float]) -> Structure:
    return replace(prism([rectangle(x, y)], PLANES_MM, number=number, name=name), kind=kind)


def structures() -> list[Structure]:
    """Two overlapping targets, a mean-dose organ half inside them, an organ apart, and the body."""
    return [
        box(1, "PTV70", "target", (-10.0, 10.0), (-10.0, 10.0)),
        box(2, "PTV56", "target", (-10.0, 30.0), (-10.0, 10.0)),
        replace(box(3, "Parotid links", "organ", (20.0, 40.0), (-10.0, 10.0)), standard_name="Parotid_L"),
        box(4, "Cord", "organ", (-10.0, 10.0), (-40.0, -25.0)),
        box(5, "BODY", "external", (-44.0, 44.0), (-44.0, 44.0)),
    ]


def prescription(fractions: int | None = 35) -> Prescription:
    levels = (TargetLevel(1, "PTV70", 70.0, "target_name"), TargetLevel(2, "PTV56", 56.0, "target_name"))
    return Prescription(levels, fractions)


def extracted(fractions: int | None = 35) -> ObjectiveSet:
    """The objectives of a dose that falls along x from 70 Gy at -10 mm, and rises along y."""
    grid = grid_around(45.0, (3.0, 3.0, 3.0))
    dose = linear_dose(grid, (-0.5, 0.3, 0.0), at_origin_gy=65.0)
    return extract_objectives(
        structures(),
        prescription(fractions),
        dose,
        (),
        case=CASE,
        dose_source="predicted",
        settings=ExtractionSettings(),
        policy=DvhPolicy(),
        provenance=PROVENANCE,
    )


class _Roi(TypedDict):
    roi_number: int | None
    roi_name: str
    standard_name: str | None
    origin: Origin


def of(number: int | None, name: str) -> _Roi:
    return {"roi_number": number, "roi_name": name, "standard_name": None, "origin": MANUAL}


def point(
    number: int | None, name: str, dose_gy: float, volume_percent: float, operator: Operator = "upper"
) -> PointObjective:
    return PointObjective(
        **of(number, name), priority=80.0, operator=operator, dose_gy=dose_gy, volume_percent=volume_percent
    )


def mean(number: int | None, name: str, dose_gy: float) -> MeanObjective:
    return MeanObjective(**of(number, name), priority=50.0, dose_gy=dose_gy)


def geud(number: int | None, name: str, dose_gy: float, a: float, operator: Operator = "upper") -> GeudObjective:
    return GeudObjective(**of(number, name), priority=60.0, operator=operator, dose_gy=dose_gy, a=a)


def line(number: int | None, name: str, *curve: tuple[float, float]) -> LineObjective:
    points = tuple(CurvePoint(volume, dose) for volume, dose in curve)
    return LineObjective(**of(number, name), priority=70.0, operator="upper", curve=points)


def asked(
    *objectives: Objective,
    derived: Sequence[DerivedStructure] = (),
    normal_tissue: NormalTissueObjective | None = None,
    fractions: int | None = 35,
    case: CaseReference = CASE,
) -> ObjectiveSet:
    """Objectives for the boxes; one whose name is another here is called so in its structure set too."""
    names = {objective.roi_number: objective.roi_name for objective in objectives}
    drawn = [replace(one, name=names.get(one.number, one.name)) for one in structures()]
    return ObjectiveSet(
        case=case,
        prescription=prescription(fractions),
        objectives=objectives,
        derived_structures=tuple(derived),
        structure_volumes=structure_volumes(drawn),
        dose_source="predicted",
        dvh_policy=DvhPolicy(),
        provenance=PROVENANCE,
        normal_tissue=normal_tissue,
    )
