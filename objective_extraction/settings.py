"""ExtractionSettings: the rules by which objectives are read from a dose, with their usual values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ExtractionSettings", "TargetUpperLimit"]


@dataclass(frozen=True)
class TargetUpperLimit:
    """The most that the protocol lets a part of a target have, in percent of the target's prescribed dose."""

    volume_percent: float
    limit_percent: float


@dataclass(frozen=True)
class ExtractionSettings:
    """How objectives are taken from a dose.

    Attributes
    ----------
    volumes_percent
        Volumes of an organ's upper objectives; 0 asks for D0.03cc. None: organs get mean doses only.
    minimum_dose_gy, minimum_step_gy
        An objective below the one, or closer than the other to the one before it, says nothing and is left out.
    margin_percent
        How far below the dose an organ's objectives lie. Where the dose can be reached, a margin only adds a bias of
        its own size, so it is 0.
    overlap_percent
        An organ with more than this part of it inside a target gets its objectives outside the targets.
    mean_objective_for
        Standard names of parallel organs, which get an upper mean dose as well.
    organ_form
        ``"points"``, or ``"line"`` for one objective along the whole curve, which Eclipse takes from a template only.
    beside_organs
        Where the objectives of targets and fall-off come from: ``"dose"``, or ``"template"`` for the limits below and
        the planning system's automatic fall-off, as where there is no dose: so that plans from a dose and from bands of
        DVHs differ in what was predicted for the organs, and in nothing else.
    target_lower_volumes_percent, target_upper_limits
        Volumes of a target's objectives.
    ring_inner_mm, ring_outer_mm, ring_volumes_percent
        The ring around all targets, and the volumes of its upper objectives; without volumes there is no ring.
    target_priority, organ_total_priority, ring_total_priority
        Of each target objective; of all objectives of one organ, or of the ring, together.
    """

    volumes_percent: tuple[float, ...] = (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0)
    minimum_dose_gy: float = 2.0
    minimum_step_gy: float = 1.0
    margin_percent: float = 0.0
    overlap_percent: float = 5.0
    mean_objective_for: tuple[str, ...] = ("Parotid_L", "Parotid_R", "Larynx", "Esophagus", "Cavity_Oral")
    organ_form: Literal["points", "line"] = "points"
    beside_organs: Literal["dose", "template"] = "dose"
    target_lower_volumes_percent: tuple[float, ...] = (98.0, 95.0)
    target_upper_limits: tuple[TargetUpperLimit, ...] = (
        TargetUpperLimit(0.0, 110.0),
        TargetUpperLimit(2.0, 107.0),
        TargetUpperLimit(5.0, 105.0),
    )
    ring_inner_mm: float = 3.0
    ring_outer_mm: float = 30.0
    ring_volumes_percent: tuple[float, ...] = (0.0, 10.0, 50.0)
    target_priority: float = 100.0
    organ_total_priority: float = 50.0
    ring_total_priority: float = 30.0
