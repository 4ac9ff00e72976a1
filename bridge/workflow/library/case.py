"""A patient of the data as the dose engine plans him: contours, CT, prescription, and what organs are pressed by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bridge.rt.case import Anatomy
from bridge.rt.derive import subtract
from bridge.rt.errors import StructureRefusal
from bridge.rt.openkbp import dvh_criteria
from bridge.rt.outline import outlined
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.structure import RoiKind, Structure
from bridge.rt.volume import CtVolume, Dose
from models.openkbp.reader import OpenKbpPatient, read_patient
from models.openkbp.source import source_sha256

__all__ = [
    "HOMOGENEITY_NUMBER",
    "NOTHING_WITHIN",
    "OUTSIDE_NUMBER",
    "PlanningCase",
    "WithinTargets",
    "case_of",
    "read_planning_case",
]

BODY_NAME = "BODY"
FRACTIONS = 35
"""Of all OpenKBP plans."""

OUTSIDE_NUMBER = 1000
"""Added to an organ's number, it is that of its part outside the targets."""

HOMOGENEITY_NUMBER = 2000
"""A second entry for the highest target, so that its homogeneity can be weighed apart from the goals."""

_LEAST_CC = 0.5
"""An organ with less than this in the body is not planned; one with less of it outside the targets is not spared."""


@dataclass(frozen=True)
class WithinTargets:
    """What targets take of an organ.

    Attributes
    ----------
    share
        Part of the organ's voxels.
    least_mean_gy
        The organ's mean dose where these get their prescriptions and all others nothing: no plan has less.
    """

    share: float
    least_mean_gy: float


NOTHING_WITHIN = WithinTargets(0.0, 0.0)
"""Of an organ beside the targets."""


@dataclass(frozen=True, eq=False)
class PlanningCase:
    """One patient, ready to be planned.

    Attributes
    ----------
    patient
        As read.
    structures
        Body (number 1), targets and organs, in the order of their numbers.
    prescription
        Of the targets.
    outside
        The part of each organ outside all targets, by the organ's name; an organ that has none is not there.
    beyond_body
        Organs that are drawn where no dose is computed. They are no structures: a dose of 0 Gy there is no sparing.
    isocentre_mm
        The middle of all targets ``(x, y, z)``.
    source_sha256
        Of the patient's files.
    """

    patient: OpenKbpPatient
    structures: tuple[Structure, ...]
    prescription: Prescription
    outside: Mapping[str, Structure]
    beyond_body: tuple[str, ...]
    isocentre_mm: tuple[float, float, float]
    source_sha256: str

    @property
    def id(self) -> str:
        """``pt_N``."""
        return self.patient.id

    @property
    def ct(self) -> CtVolume:
        """CT numbers in HU."""
        ct = self.patient.anatomy.ct
        assert ct is not None  # noqa: S101 - every OpenKBP patient has one
        return ct

    @property
    def organs(self) -> tuple[Structure, ...]:
        """The organs."""
        return tuple(structure for structure in self.structures if structure.kind == "organ")

    def within_targets(self, organ: str) -> WithinTargets:
        """Tell what targets take of an organ."""
        masks = self.patient.anatomy.masks
        left = masks[organ].values >= 0.5
        voxels, least_gy = int(left.sum()), 0.0
        for level in self.prescription.levels:  # the highest first: where two overlap, it is what counts
            taken = left & (masks[level.roi_name].values >= 0.5)
            least_gy += level.dose_gy * int(taken.sum()) / voxels
            left &= ~taken
        return WithinTargets(1.0 - int(left.sum()) / voxels, least_gy)

    def structure(self, number: int) -> Structure:
        """Give a structure by its number."""
        return next(structure for structure in self.structures if structure.number == number)

    def planned_structures(self) -> tuple[Structure, ...]:
        """Give everything that objectives can be of: the structures, organs outside the targets, and the homogeneity's.

        What is there a second time is of kind ``other``, so that no beamlet is laid out for it.
        """
        highest = self.structure(self.prescription.levels[0].roi_number)
        homogeneous = replace(highest, number=HOMOGENEITY_NUMBER, name=f"{highest.name}-homogeneity", kind="other")
        return (*self.structures, *self.outside.values(), homogeneous)

    def criteria_gy(self, dose: Dose) -> dict[str, float]:
        """Give the dose parameters by the rules of OpenKBP, on the patient's own voxels."""
        on_voxels = dose.resampled(to=self.patient.anatomy.grid, outside=0.0)
        voxel_mm3 = float(np.prod(self.patient.voxel_mm))
        return dvh_criteria(on_voxels.values, self.patient.roi_voxels(), voxel_mm3)


def read_planning_case(path: Path) -> PlanningCase:
    """Read an OpenKBP patient and draw contours along the edges of his voxels.

    Raises
    ------
    Refusal
        The files are damaged, or there is no target.
    """
    return case_of(read_patient(path), source_sha256(path))


def case_of(patient: OpenKbpPatient, files_sha256: str) -> PlanningCase:
    """Make a patient ready.

    Parameters
    ----------
    patient
        As read.
    files_sha256
        Of his files.

    Raises
    ------
    StructureRefusal
        A prescribed target has no voxel (``no-target``).
    """
    anatomy = patient.anatomy
    for name in anatomy.target_levels_gy:
        if not (anatomy.masks[name].values >= 0.5).any():
            raise StructureRefusal(
                "no-target", f"Target {name!r} has no voxel; there is nothing to plan for.", roi=name
            )
    body = anatomy.body.values >= 0.5
    least_voxels = max(_LEAST_CC / anatomy.grid.voxel_cc, 1.0)
    structures = [outlined(anatomy.body, 1, BODY_NAME, "external")]
    beyond_body = []
    for number, (name, mask) in enumerate(anatomy.masks.items(), start=2):
        kind: RoiKind = "target" if name in anatomy.target_levels_gy else "organ"
        if kind == "organ" and np.count_nonzero((mask.values >= 0.5) & body) < least_voxels:
            beyond_body.append(name)
        else:
            structures.append(outlined(mask, number, name, kind))
    targets = [structure for structure in structures if structure.kind == "target"]
    levels = tuple(
        TargetLevel(target.number, target.name, anatomy.target_levels_gy[target.name], "target_name")
        for target in targets
    )
    inside = np.logical_or.reduce([anatomy.masks[level.roi_name].values >= 0.5 for level in levels])
    x, y, z = anatomy.grid.positions_mm(np.argwhere(inside).astype(np.float64)).mean(axis=0)
    return PlanningCase(
        patient,
        tuple(structures),
        Prescription(levels, FRACTIONS),
        _outside(structures, targets, anatomy, least_voxels),
        tuple(beyond_body),
        (float(x), float(y), float(z)),
        files_sha256,
    )


def _outside(
    structures: Sequence[Structure], targets: Sequence[Structure], anatomy: Anatomy, least_voxels: float
) -> dict[str, Structure]:
    """Give the organs less the targets, those of which something is left in the body."""
    inside = np.logical_or.reduce([anatomy.masks[target.name].values >= 0.5 for target in targets])
    free = (anatomy.body.values >= 0.5) & ~inside
    found = {}
    for organ in structures:
        if organ.kind == "organ" and np.count_nonzero((anatomy.masks[organ.name].values >= 0.5) & free) >= least_voxels:
            left = subtract(
                organ, targets, margin_mm=0.0, number=OUTSIDE_NUMBER + organ.number, name=f"{organ.name}-targets"
            )
            found[organ.name] = replace(left, kind="other")
    return found
