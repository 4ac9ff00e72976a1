"""Objectives from a band of estimated DVHs, where there is no dose: lines under the band, all else by template.

An organ is asked for the lower edge of its band, as one line or as points on it, and a parallel one for the mean of
that edge. Its priority is the organ's share of the settings, less the part of the organ that lies inside targets: what
has to get the prescription cannot be spared. How a commercial estimator generates its priorities is not public, so this
rule is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.rt.derive import overlap_fraction, subtract
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.short_ids import short_id
from bridge.rt.structure import Structure
from objective_extraction import findings as notes
from objective_extraction.consistency import about_objectives
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import Objective, Origin
from objective_extraction.rules import asks_for_mean, organ_objectives
from objective_extraction.settings import ExtractionSettings
from objective_extraction.template import template_fall_off, template_lower, template_upper

__all__ = ["band_objectives"]

_TOUCHING = 0.001
"""Targets that share less than this part are taken as apart, as in :mod:`objective_extraction.extract`."""

_RULES = {"organ-line": "band-line", "organ-curve": "band-point", "organ-mean": "band-mean"}

_SWALLOWED = 0.995
"""A target with more than this part inside hotter ones has nothing left that could be homogeneous."""


def band_objectives(
    structures: Sequence[Structure],
    prescription: Prescription,
    lower_edges: Sequence[Dvh],
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
        For each organ that has a band, its lower edge under number and name of the structure.
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
    objectives: list[Objective] = []
    derived: list[DerivedStructure] = []
    findings: list[Finding] = []
    for level in prescription.levels:
        objectives += _target(level, targets, prescription, settings, derived, {s.name.casefold() for s in structures})
    edges = {edge.roi_number: edge for edge in lower_edges}
    for organ in by_number.values():
        if organ.number in edges:
            asked = _organ(organ, edges[organ.number], list(targets.values()), settings)
            objectives += asked
            findings += [] if asked else [notes.low_dose(organ, edges[organ.number], settings.minimum_dose_gy)]
        elif organ.kind == "organ":
            message = f"{organ.name!r} has no estimated band: nothing is asked of it, and nothing spares it."
            findings.append(Finding("band-missing", "warning", message, {"roi": organ.name}))
    return ObjectiveSet(
        case=case,
        prescription=prescription,
        objectives=tuple(objectives),
        derived_structures=tuple(derived),
        dose_source="predicted",
        dvh_policy=policy,
        provenance=provenance,
        findings=(*findings, *about_objectives(objectives)),
        normal_tissue=template_fall_off(settings),
    )


def _require_organs(edges: Sequence[Dvh], by_number: Mapping[int, Structure]) -> None:
    repeated = Counter(edge.roi_number for edge in edges)
    for edge in edges:
        structure = by_number.get(edge.roi_number)
        if structure is None or structure.name != edge.roi_name:
            there = "no such structure with contours" if structure is None else f"{structure.name!r} has that number"
            code, problem = (
                "band-unknown",
                f"There is a band for {edge.roi_name!r} (ROI {edge.roi_number}), and {there}.",
            )
        elif structure.kind != "organ":
            code, problem = "band-no-organ", f"There is a band for {edge.roi_name!r}, which is no organ."
        elif repeated[edge.roi_number] > 1:
            code, problem = "band-twice", f"There is more than one band for {edge.roi_name!r}."
        else:
            continue
        raise StructureRefusal(code, problem, roi=edge.roi_name)


def _organ(
    organ: Structure, edge: Dvh, targets: Sequence[Structure], settings: ExtractionSettings
) -> tuple[Objective, ...]:
    spared = 1.0 - overlap_fraction(organ, targets)
    of_organ = replace(settings, organ_total_priority=settings.organ_total_priority * spared)
    return tuple(
        replace(objective, origin=_of_band(objective.origin))
        for objective in organ_objectives(organ, edge, of_organ, mean=asks_for_mean(organ, settings))
    )


def _of_band(origin: Origin) -> Origin:
    return replace(origin, rule=_RULES[origin.rule], sentence=f"Lower edge of the estimated band. {origin.sentence}")


def _target(
    level: TargetLevel, targets: dict[int, Structure], prescription: Prescription, settings: ExtractionSettings,
    derived: list[DerivedStructure], taken: set[str],
) -> list[Objective]:  # fmt: skip
    """Ask for coverage of a target, and for homogeneity of what no hotter target overlaps."""
    target = targets[level.roi_number]
    objectives: list[Objective] = [*template_lower(target, level, settings)]
    higher = [other for other in prescription.levels if other.dose_gy > level.dose_gy]
    hotter = [t for t in (targets[other.roi_number] for other in higher) if overlap_fraction(target, [t]) > _TOUCHING]
    rest = target
    if hotter:
        name = short_id(f"{target.name}-PTV")
        if name.casefold() in taken:
            raise StructureRefusal(
                "derived-name",
                f"The part of {target.name!r} outside hotter targets would be named {name!r}, as another structure is; "
                "rename that one.",
                roi=name,
            )
        rest = subtract(target, hotter, margin_mm=0.0, number=-len(derived) - 1, name=name)
        if rest.is_empty or overlap_fraction(target, hotter) > _SWALLOWED:
            return objectives
        derived.append(
            DerivedStructure(name, "subtract", (target.name,), minus=tuple(t.name for t in hotter), margin_mm=0.0)
        )
    next_higher_gy = min((other.dose_gy for other in higher), default=None)
    return [*objectives, *template_upper(rest, level, next_higher_gy, settings)]
