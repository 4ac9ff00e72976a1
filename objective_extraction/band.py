"""Objectives from a band of estimated DVHs, where there is no dose: lines under the band, all else by template.

An organ is asked for the lower edge of its band by the rules by which it would be asked for its curve in a dose: the
same points or line, means, priorities, and outside the targets where it overlaps them much. How a commercial estimator
generates its priorities is not public. With ``beside_organs="template"`` the objectives of a dose differ from these in
nothing but the curves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.rt.derive import overlap_fraction, subtract
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from objective_extraction import findings as notes
from objective_extraction.consistency import about_objectives
from objective_extraction.derived_names import free_name
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import Objective, Origin
from objective_extraction.rules import asks_for_mean, organ_objectives
from objective_extraction.settings import ExtractionSettings
from objective_extraction.structure_volume import structure_volumes
from objective_extraction.template import template_fall_off, template_lower, template_upper

__all__ = ["LowerEdge", "band_objectives"]

_TOUCHING = 0.001
"""Targets that share less than this part are taken as apart, as in :mod:`objective_extraction.extract`."""

_RULES = {
    "organ-line": "band-line",
    "organ-curve": "band-point",
    "organ-mean": "band-mean",
    "organ-maximum": "band-maximum",
}

_SWALLOWED = 0.995
"""A target with more than this part inside hotter ones has nothing left that could be homogeneous."""


@dataclass(frozen=True, eq=False)
class LowerEdge:
    """The lower edge of an organ's band, under number and name of the structure.

    Attributes
    ----------
    whole
        Of the organ.
    outside
        Of its part outside targets, where it has a part inside and a part outside.
    """

    whole: Dvh
    outside: Dvh | None = None


def band_objectives(
    structures: Sequence[Structure],
    prescription: Prescription,
    lower_edges: Sequence[LowerEdge],
    *,
    case: CaseReference,
    settings: ExtractionSettings,
    policy: DvhPolicy,
    provenance: Provenance,
) -> ObjectiveSet:
    """Make the objectives of a case from the lower edges of its organs' bands.

    Parameters
    ----------
    structures
        All structures of the case.
    prescription
        Target levels.
    lower_edges
        One for each organ that has a band.
    case, provenance
        What the objectives are for, and the estimator that they come from.
    settings, policy
        Rules of extraction, and what achieved DVHs will be made by.

    Returns
    -------
    ObjectiveSet
        Organs by line or points, targets by template, an automatic fall-off around them. A finding for every organ
        that gets no objective.

    Raises
    ------
    StructureRefusal
        A target without contours (``target-missing``); a band for a structure that the case does not have under that
        number and name (``band-unknown``), that is no organ (``band-no-organ``), or that has another band
        (``band-twice``).
    """
    by_number = {structure.number: structure for structure in structures if not structure.is_empty}
    for level in prescription.levels:
        if level.roi_number not in by_number:
            raise StructureRefusal(
                "target-missing", f"Target {level.roi_name!r} has a prescription and no contours.", roi=level.roi_name
            )
    _require_organs(lower_edges, by_number)
    targets = {level.roi_number: by_number[level.roi_number] for level in prescription.levels}
    made = _Made(targets, settings, {structure.name.casefold() for structure in structures})
    for level in prescription.levels:
        made.take_target(level, prescription)
    edges = {edge.whole.roi_number: edge for edge in lower_edges}
    for organ in by_number.values():
        if organ.number in edges:
            made.take_organ(organ, edges[organ.number])
        elif organ.kind == "organ":
            message = f"{organ.name!r} has no estimated band: nothing is asked of it, and nothing spares it."
            made.findings.append(Finding("band-missing", "warning", message, {"roi": organ.name}))
    return ObjectiveSet(
        case=case,
        prescription=prescription,
        objectives=tuple(made.objectives),
        derived_structures=tuple(made.derived),
        structure_volumes=structure_volumes(structures),
        dose_source="predicted",
        dvh_policy=policy,
        provenance=provenance,
        findings=(*made.findings, *about_objectives(made.objectives)),
        normal_tissue=template_fall_off(settings),
    )


def _require_organs(edges: Sequence[LowerEdge], by_number: Mapping[int, Structure]) -> None:
    repeated = Counter(edge.whole.roi_number for edge in edges)
    for dvh in (dvh for edge in edges for dvh in (edge.whole, edge.outside) if dvh is not None):
        structure = by_number.get(dvh.roi_number)
        if structure is None or structure.name != dvh.roi_name:
            there = "no such structure with contours" if structure is None else f"{structure.name!r} has that number"
            message = f"There is a band for {dvh.roi_name!r} (ROI {dvh.roi_number}), and {there}."
            raise StructureRefusal("band-unknown", message, roi=dvh.roi_name)
        if structure.kind != "organ":
            raise StructureRefusal(
                "band-no-organ", f"There is a band for {dvh.roi_name!r}, which is no organ.", roi=dvh.roi_name
            )
        if repeated[dvh.roi_number] > 1:
            raise StructureRefusal("band-twice", f"There is more than one band for {dvh.roi_name!r}.", roi=dvh.roi_name)


class _Made:
    """What has been made so far."""

    def __init__(self, targets: Mapping[int, Structure], settings: ExtractionSettings, names: set[str]) -> None:
        self.targets = targets
        self.settings = settings
        self.names = names
        self.objectives: list[Objective] = []
        self.derived: list[DerivedStructure] = []
        self.findings: list[Finding] = []

    def take_target(self, level: TargetLevel, prescription: Prescription) -> None:
        """Ask for coverage of a target, and for homogeneity of what no hotter target overlaps."""
        target = self.targets[level.roi_number]
        self.objectives += template_lower(target, level, self.settings)
        higher = [other for other in prescription.levels if other.dose_gy > level.dose_gy]
        hotter = self._overlapping(target, [self.targets[other.roi_number] for other in higher])
        if hotter and overlap_fraction(target, hotter) > _SWALLOWED:
            return
        rest = self._outside(target, hotter) if hotter else target
        next_higher_gy = min((other.dose_gy for other in higher), default=None)
        self.objectives += template_upper(rest, level, next_higher_gy, self.settings)

    def take_organ(self, organ: Structure, edge: LowerEdge) -> None:
        """Ask that an organ gets no more than the edge, outside the targets where they overlap it much."""
        mean = asks_for_mean(organ, self.settings)
        targets = self._overlapping(organ, list(self.targets.values()))
        fraction = overlap_fraction(organ, targets) if targets else 0.0
        asked: tuple[Objective, ...]
        if 100.0 * fraction > self.settings.overlap_percent:
            self.findings.append(notes.overlap(organ, fraction, targets))
            if edge.outside is None or edge.outside.covered_cc < NEAR_MAXIMUM_CC:
                self.findings.append(notes.swallowed(organ, targets))
                return
            rest = self._outside(organ, targets)
            of_rest = replace(edge.outside, roi_number=rest.number, roi_name=rest.name)
            asked = organ_objectives(rest, of_rest, self.settings, mean=mean, whole=(organ, edge.whole))
        else:
            asked = organ_objectives(organ, edge.whole, self.settings, mean=mean)
        if not asked:
            self.findings.append(notes.low_dose(organ, edge.whole, self.settings.minimum_dose_gy))
        self.objectives += [replace(objective, origin=_of_band(objective.origin)) for objective in asked]

    def _overlapping(self, structure: Structure, targets: Sequence[Structure]) -> list[Structure]:
        return [target for target in targets if overlap_fraction(structure, [target]) > _TOUCHING]

    def _outside(self, structure: Structure, targets: Sequence[Structure]) -> Structure:
        """Give what is left of a structure outside some targets, and note how to make it."""
        name = free_name(f"{structure.name}-PTV", self.names)
        self.names.add(name.casefold())
        rest = subtract(structure, targets, margin_mm=0.0, number=-len(self.derived) - 1, name=name)
        minus = tuple(target.name for target in targets)
        self.derived.append(DerivedStructure(name, "subtract", (structure.name,), minus=minus, margin_mm=0.0))
        return rest


def _of_band(origin: Origin) -> Origin:
    return replace(origin, rule=_RULES[origin.rule], sentence=f"Lower edge of the estimated band. {origin.sentence}")
