"""Extraction: from any dose to the objectives that ask an optimizer for it.

Point objectives are inequalities: a plan may do better than the dose they were read from. Why these volumes, and why
no margin: a curve through 0, 5, 20, 40, 60, 80 and 95 % keeps an organ's DVH to about 0.7 Gy, and a margin below a
dose that can be reached only adds its own size as bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bridge.rt.derive import overlap_fraction, ring, subtract
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from objective_extraction import findings as notes
from objective_extraction.consistency import Overlap, about_objectives, about_overlap
from objective_extraction.derived_names import free_name
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC
from objective_extraction.objective_set import CaseReference, DerivedStructure, DoseSource, ObjectiveSet
from objective_extraction.objectives import Objective
from objective_extraction.rules import (
    asks_for_mean,
    organ_objectives,
    ring_objectives,
    target_lower,
    target_upper,
)
from objective_extraction.settings import ExtractionSettings
from objective_extraction.structure_volume import structure_volumes
from objective_extraction.template import template_fall_off, template_lower, template_upper

__all__ = ["extract_objectives"]

_TOUCHING = 0.001
"""Targets that share less than this part are taken as apart: contours of neighbours run along each other."""


def extract_objectives(
    structures: Sequence[Structure],
    prescription: Prescription,
    dose: Dose,
    dvhs: Sequence[Dvh],
    *,
    case: CaseReference,
    dose_source: DoseSource,
    settings: ExtractionSettings,
    policy: DvhPolicy,
    provenance: Provenance,
) -> ObjectiveSet:
    """Read the objectives of a case from a dose.

    Parameters
    ----------
    structures
        All structures of the case, organs with their standard names where known.
    prescription
        Target levels; other structures of kind ``target`` get no objectives.
    dose
        In the structures' frame of reference.
    dvhs
        DVHs of the structures in this dose, made by ``policy``; those that are missing are computed.
    case, dose_source, provenance
        What the objectives are for, and where they come from.
    settings, policy
        Rules of extraction and of the DVHs.

    Returns
    -------
    ObjectiveSet
        With its derived structures and with findings about what an optimizer could not do.

    Raises
    ------
    GeometryRefusal
        Structures and dose are in different frames of reference.
    StructureRefusal
        A prescribed target has no contours (``target-missing``) or no dose (``target-outside-dose``).
    """
    # negative numbers are those of the structures derived here, whatever has them outside
    known = {dvh.roi_number: dvh for dvh in dvhs if dvh.roi_number >= 0}

    def dvh_of(structure: Structure) -> Dvh:
        return known.get(structure.number) or compute_dvh(structure, dose, policy)

    extraction = _Extraction(structures, prescription, settings, dvh_of)
    for level in prescription.levels:
        extraction.take_target(level)
    for structure in structures:
        if structure.kind == "organ":
            extraction.take_organ(structure)
    by_template = settings.beside_organs == "template"
    if not by_template:
        extraction.take_ring()
    extraction.findings += about_objectives(extraction.objectives)
    given = ObjectiveSet(
        case=case,
        prescription=prescription,
        objectives=tuple(extraction.objectives),
        derived_structures=tuple(extraction.derived),
        structure_volumes=structure_volumes(structures),
        dose_source=dose_source,
        dvh_policy=policy,
        provenance=provenance,
        normal_tissue=template_fall_off(settings) if by_template else None,
    )
    shortened = [notes.shortened(name, identifier) for name, identifier in given.shortened_names.items()]
    return replace(given, findings=(*extraction.findings, *shortened))


class _Extraction:
    """One extraction under way: what it reads, and what it has so far."""

    def __init__(
        self,
        structures: Sequence[Structure],
        prescription: Prescription,
        settings: ExtractionSettings,
        dvh_of: Callable[[Structure], Dvh],
    ) -> None:
        self.targets = {level.roi_number: _target(structures, level) for level in prescription.levels}
        self.prescription = prescription
        self.external = next((s for s in structures if s.kind == "external" and not s.is_empty), None)
        self.settings = settings
        self.dvh_of = dvh_of
        self.names = {structure.name.casefold() for structure in structures}
        self.objectives: list[Objective] = []
        self.derived: list[DerivedStructure] = []
        self.findings: list[Finding] = []

    def take_target(self, level: TargetLevel) -> None:
        """Ask for coverage of the whole target, and for homogeneity where no hotter target overlaps it."""
        target = self.targets[level.roi_number]
        dvh = self._dvh(target)
        if dvh is None:
            raise StructureRefusal(
                "target-outside-dose",
                f"No part of target {target.name!r} lies inside the dose grid; this dose is not for this case.",
                roi=target.name,
            )
        self.findings += notes.about_target(dvh, level, self.prescription.highest_gy)
        by_template = self.settings.beside_organs == "template"
        self.objectives += (
            template_lower(target, level, self.settings)
            if by_template
            else target_lower(target, dvh, level, self.settings)
        )
        hotter = [
            self.targets[other.roi_number]
            for other in self.prescription.levels
            if other.dose_gy > level.dose_gy and overlap_fraction(target, [self.targets[other.roi_number]]) > _TOUCHING
        ]
        if hotter:
            target, dvh = self._outside(target, hotter)
        if dvh is not None:
            higher = [other.dose_gy for other in self.prescription.levels if other.dose_gy > level.dose_gy]
            next_higher_gy = min(higher, default=None)
            self.objectives += (
                template_upper(target, level, next_higher_gy, self.settings)
                if by_template
                else target_upper(target, dvh, level, next_higher_gy, self.settings)
            )

    def take_organ(self, organ: Structure) -> None:
        """Ask that the organ gets no more, outside the targets where they overlap it much."""
        whole = self._dvh(organ)
        if whole is None:
            return
        mean = asks_for_mean(organ, self.settings)
        shared = {target.number: overlap_fraction(organ, [target]) for target in self.targets.values()}
        overlapping = [target for target in self.targets.values() if shared[target.number] > _TOUCHING]
        fraction = overlap_fraction(organ, overlapping) if overlapping else 0.0
        made: tuple[Objective, ...]
        if 100.0 * fraction > self.settings.overlap_percent:
            self.findings.append(notes.overlap(organ, fraction, overlapping))
            rest, dvh = self._outside(organ, overlapping)
            if dvh is None:
                return
            made = organ_objectives(rest, dvh, self.settings, mean=mean, whole=(organ, whole))
        else:
            made = organ_objectives(organ, whole, self.settings, mean=mean)
        if not made:
            self.findings.append(notes.low_dose(organ, whole, self.settings.minimum_dose_gy))
        self.objectives += made
        for target in overlapping:
            target_cc = self.dvh_of(target).volume_cc
            between = Overlap(
                organ.name, target.name, whole.volume_cc, target_cc, shared[target.number] * whole.volume_cc
            )
            self.findings += about_overlap(between, self.objectives)

    def take_ring(self) -> None:
        """Ask for the fall-off around the targets."""
        if not self.settings.ring_volumes_percent:
            return
        if self.external is None:
            self.findings.append(notes.no_ring())
            return
        inner, outer = self.settings.ring_inner_mm, self.settings.ring_outer_mm
        targets = list(self.targets.values())
        name = free_name("Ring_PTV", self.names)
        shell = ring(
            targets, inner_mm=inner, outer_mm=outer, within=self.external, number=-len(self.derived) - 1, name=name
        )
        dvh = self._dvh(shell)
        if dvh is None:
            return
        self.findings += notes.about_hot_spot(dvh, self.prescription.highest_gy)
        recipe = DerivedStructure(
            name, "ring", tuple(target.name for target in targets), within=self.external.name, inner_mm=inner,
            outer_mm=outer,
        )  # fmt: skip
        self.derived.append(recipe)
        self.objectives += ring_objectives(shell, dvh, self.settings)

    def _dvh(self, structure: Structure) -> Dvh | None:
        """Give the DVH of a structure, and say what is missing of it; None where there is nothing to read."""
        dvh = self.dvh_of(structure)
        self.findings += notes.about_coverage(structure, dvh)
        return None if dvh.is_empty else dvh

    def _outside(self, structure: Structure, targets: Sequence[Structure]) -> tuple[Structure, Dvh | None]:
        """Give what is left of a structure outside some targets, and note how to make it."""
        name = free_name(f"{structure.name}-PTV", self.names)
        rest = subtract(structure, targets, margin_mm=0.0, number=-len(self.derived) - 1, name=name)
        dvh = self.dvh_of(rest)
        if dvh.covered_cc < NEAR_MAXIMUM_CC:
            self.findings.append(notes.swallowed(structure, targets))
            return rest, None
        recipe = DerivedStructure(
            name, "subtract", (structure.name,), minus=tuple(target.name for target in targets), margin_mm=0.0
        )
        self.derived.append(recipe)
        self.names.add(name.casefold())
        return rest, dvh


def _target(structures: Sequence[Structure], level: TargetLevel) -> Structure:
    found = [structure for structure in structures if structure.number == level.roi_number and not structure.is_empty]
    if not found:
        raise StructureRefusal(
            "target-missing",
            f"Target {level.roi_name!r} (ROI {level.roi_number}) has a prescription of {level.dose_gy:g} Gy and no "
            "contours; draw it, or take its prescription away.",
            roi=level.roi_name,
        )
    return found[0]
