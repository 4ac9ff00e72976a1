"""Objectives from a band of estimated DVHs, where there is no dose: lines under the band, targets by template.

An organ is asked for the lower edge of its band, as one line or as points on it. Its priority is the organ's share of
the settings, less the part of the organ that lies inside targets: what has to get the prescription cannot be spared.
How a commercial estimator generates its priorities is not public, so this rule is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.rt.derive import overlap_fraction, subtract
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.short_ids import short_id
from bridge.rt.structure import Structure
from objective_extraction.consistency import about_objectives
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import NormalTissueObjective, Objective, Operator, Origin, PointObjective
from objective_extraction.rules import least_of_target_gy, most_of_target_gy, organ_objectives
from objective_extraction.settings import ExtractionSettings

__all__ = ["band_objectives"]

_TOUCHING = 0.001
"""Targets that share less than this part are taken as apart, as in :mod:`objective_extraction.extract`."""

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
        For each organ that has a band, its lower edge under the number of the structure.
    case, provenance
        What the objectives are for, and the estimator that they come from.
    settings, policy
        Rules of extraction, and what achieved DVHs will be made by.

    Returns
    -------
    ObjectiveSet
        Organs by line or points, targets by template, an automatic fall-off around them.

    Raises
    ------
    StructureRefusal
        A target without contours (``target-missing``), or a band for a structure that the case does not have
        (``band-unknown``).
    """
    by_number = {structure.number: structure for structure in structures if not structure.is_empty}
    for level in prescription.levels:
        if level.roi_number not in by_number:
            raise StructureRefusal(
                "target-missing", f"Target {level.roi_name!r} has a prescription and no contours.", roi=level.roi_name
            )
    unknown = [edge for edge in lower_edges if edge.roi_number not in by_number]
    if unknown:
        raise StructureRefusal(
            "band-unknown", f"There is a band for {unknown[0].roi_name!r}, and no such structure with contours.",
            roi=unknown[0].roi_name,
        )  # fmt: skip
    targets = {level.roi_number: by_number[level.roi_number] for level in prescription.levels}
    objectives: list[Objective] = []
    derived: list[DerivedStructure] = []
    for level in prescription.levels:
        objectives += _target(level, targets, prescription, settings, derived, {s.name.casefold() for s in structures})
    for edge in lower_edges:
        objectives += _organ(by_number[edge.roi_number], edge, list(targets.values()), settings)
    return ObjectiveSet(
        case=case,
        prescription=prescription,
        objectives=tuple(objectives),
        derived_structures=tuple(derived),
        dose_source="predicted",
        dvh_policy=policy,
        provenance=provenance,
        findings=tuple(about_objectives(objectives)),
        normal_tissue=NormalTissueObjective(settings.ring_total_priority),
    )


def _organ(
    organ: Structure, edge: Dvh, targets: Sequence[Structure], settings: ExtractionSettings
) -> tuple[Objective, ...]:
    spared = 1.0 - overlap_fraction(organ, targets)
    of_organ = replace(settings, organ_total_priority=settings.organ_total_priority * spared)
    return tuple(
        replace(objective, origin=_of_band(objective.origin))
        for objective in organ_objectives(organ, edge, of_organ, mean=False)
    )


def _of_band(origin: Origin) -> Origin:
    rule = "band-line" if origin.rule == "organ-line" else "band-point"
    return replace(origin, rule=rule, sentence=f"Lower edge of the estimated band. {origin.sentence}")


def _target(
    level: TargetLevel, targets: dict[int, Structure], prescription: Prescription, settings: ExtractionSettings,
    derived: list[DerivedStructure], taken: set[str],
) -> list[Objective]:  # fmt: skip
    """Ask for coverage of a target, and for homogeneity of what no hotter target overlaps."""
    target = targets[level.roi_number]
    objectives: list[Objective] = [
        _point(target, level, "lower", volume, least_of_target_gy(volume, level), settings)
        for volume in sorted(settings.target_lower_volumes_percent, reverse=True)
    ]
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
    return objectives + [
        _point(rest, level, "upper", limit.volume_percent, most_of_target_gy(limit, level, next_higher_gy), settings)
        for limit in sorted(settings.target_upper_limits, key=lambda limit: limit.volume_percent)
    ]


def _point(
    structure: Structure, level: TargetLevel, operator: Operator, volume_percent: float, dose_gy: float,
    settings: ExtractionSettings,
) -> PointObjective:  # fmt: skip
    in_set = structure.number >= 0
    sentence = f"Template: {100.0 * dose_gy / level.dose_gy:.1f} % of the prescribed {level.dose_gy:g} Gy."
    return PointObjective(
        roi_number=structure.number if in_set else None,
        roi_name=structure.name,
        standard_name=structure.standard_name if in_set else None,
        priority=settings.target_priority,
        operator=operator,
        dose_gy=round(dose_gy, 2),
        volume_percent=volume_percent,
        origin=Origin("target-template", None, 0.0, sentence),
    )
