"""CaseReportData: all that a case report shows, given by whoever computed it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.rt.dvh import Dvh
from bridge.rt.dvh_compare import DvhDifference
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Dose

__all__ = ["CaseReportData", "Comparison", "ModelStatement", "ObjectiveRow", "in_order"]

_KIND_ORDER = {"target": 0, "organ": 1, "other": 2, "external": 3, "support": 4}


@dataclass(frozen=True)
class ObjectiveRow:
    """One optimization objective, as it is shown.

    Attributes
    ----------
    roi
        Structure that the objective is for.
    kind
        What it is: ``"point"``, ``"mean"``, ``"gEUD a=8"``.
    operator
        ``"upper"``, ``"lower"`` or ``"exact"``.
    dose_gy
        Dose, or None where the kind has none.
    volume_percent
        Volume of a point objective, else None.
    priority
        Optimizer priority.
    origin
        Where it comes from: ``"predicted D20%"``, ``"protocol"``.
    """

    roi: str
    kind: str
    operator: str
    dose_gy: float | None
    volume_percent: float | None
    priority: float
    origin: str


@dataclass(frozen=True)
class ModelStatement:
    """What a model says about itself.

    Attributes
    ----------
    title
        Name for people.
    training
        What it was trained or fitted on.
    trained_for
        The planning system or engine, and the protocol, whose plans it promises; empty where the report of the
        prediction says so.
    limits
        What it is known not to do.
    """

    title: str
    training: str
    limits: tuple[str, ...] = ()
    trained_for: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """An optimized dose of the same case, to be shown with the predicted one.

    Attributes
    ----------
    dvhs
        At most one per structure, by the policy of the predicted ones.
    metrics
        As those of the predicted dose.
    differences
        ROI number to the difference of the DVHs, optimized less predicted.
    maximum_gy
        Of the optimized dose.
    made_by
        What optimized the plan: a dose engine, or a planning system.
    plan_label
        RT Plan Label; empty where the plan has none.
    dose_uid, plan_uid
        SOP Instance UIDs of the RTDOSE, and of the RTPLAN that it belongs to.
    """

    dvhs: tuple[Dvh, ...]
    metrics: Mapping[int, Mapping[str, float]]
    differences: Mapping[int, DvhDifference]
    maximum_gy: float
    made_by: str
    plan_label: str
    dose_uid: str
    plan_uid: str


@dataclass(frozen=True, eq=False)
class CaseReportData:
    """One case with a dose, ready to be shown. Names the patient only in the two fields for it.

    Attributes
    ----------
    case_id
        The bridge's own label of the case.
    ct, dose
        On any grids of one frame of reference.
    structures
        Shown in the pictures, and in the tables where they have a DVH.
    prescription
        Target levels; relative doses are relative to the highest.
    dvhs
        At most one per structure; an empty one is shown as empty.
    metrics
        ROI number to metric name to value, with the names of :mod:`bridge.rt.metrics`.
    provenance
        Software, model, settings and inputs behind the dose.
    model
        The model's own words.
    objectives, findings
        Shown in the given order, warnings before the rest.
    patient_id, patient_name
        Whose case it is, for the reviewer: a report without them invites approving the wrong patient. Shown in the
        report only; empty where there is none.
    study_date
        DICOM DA (``"20260131"``) or empty.
    comparison
        An optimized dose, where one came back.
    colours
        ROI number to ``"#rrggbb"``, for structures that are to keep the planning system's colour.

    Raises
    ------
    GeometryRefusal
        CT, dose and structures are not in one frame of reference.
    StructureRefusal
        Two structures with one number, a DVH of no or an already shown structure, or a colour that is none.
    """

    case_id: str
    ct: CtVolume
    dose: Dose
    structures: tuple[Structure, ...]
    prescription: Prescription
    dvhs: tuple[Dvh, ...]
    metrics: Mapping[int, Mapping[str, float]]
    provenance: Provenance
    model: ModelStatement
    objectives: tuple[ObjectiveRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    patient_id: str = ""
    patient_name: str = ""
    study_date: str = ""
    comparison: Comparison | None = None
    colours: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ct.grid.require_same_frame(self.dose.grid)
        for structure in self.structures:
            if structure.frame_of_reference_uid != self.ct.grid.frame_of_reference_uid:
                raise GeometryRefusal(
                    "frame-of-reference",
                    f"Structure {structure.name!r} cannot be drawn on a CT of another frame of reference.",
                    roi=structure.name,
                )
        numbers = [structure.number for structure in self.structures]
        if len(set(numbers)) != len(numbers):
            raise StructureRefusal("roi-number-repeated", "Two structures of the report share one ROI number.")
        for dvhs in (self.dvhs, self.comparison.dvhs if self.comparison else ()):
            _require_structures(dvhs, numbers)
        for number, colour in self.colours.items():
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
                raise StructureRefusal(
                    "colour", f"The colour of ROI number {number} must look like '#1c7ed6', got {colour!r}."
                )

    @property
    def ordered_structures(self) -> tuple[Structure, ...]:
        """Structures as they are listed: targets by falling prescription, then organs, then the rest."""
        return in_order(self.structures, self.prescription)

    @property
    def ordered_dvhs(self) -> tuple[tuple[Structure, Dvh], ...]:
        """Structures that have a DVH, in the same order, each with it."""
        by_number = {dvh.roi_number: dvh for dvh in self.dvhs}
        return tuple((s, by_number[s.number]) for s in self.ordered_structures if s.number in by_number)


def in_order(structures: Sequence[Structure], prescription: Prescription) -> tuple[Structure, ...]:
    """List structures as reports do: targets by falling prescription, then organs, then the rest."""
    levels = {level.roi_number: level.dose_gy for level in prescription.levels}
    return tuple(sorted(structures, key=lambda one: (_KIND_ORDER[one.kind], -levels.get(one.number, 0.0))))


def _require_structures(dvhs: Sequence[Dvh], numbers: Sequence[int]) -> None:
    shown = [dvh.roi_number for dvh in dvhs]
    for dvh in dvhs:
        if dvh.roi_number not in numbers or shown.count(dvh.roi_number) > 1:
            raise StructureRefusal(
                "dvh-structure",
                f"The DVH of {dvh.roi_name!r} (ROI number {dvh.roi_number}) needs exactly one structure to belong "
                f"to, and there may be one DVH of it.",
                roi=dvh.roi_name,
            )
