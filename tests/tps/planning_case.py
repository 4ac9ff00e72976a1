"""The boxes of :mod:`tests.tps.objective_sets` as a case in water, and objectives that say what they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bridge.rt.case import CaseIdentity, PatientCase
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume
from objective_extraction.objective_set import ObjectiveSet
from tests.solids import grid_around
from tests.tps.objective_sets import CASE, PROVENANCE, SET_UID, asked, mean, point, prescription, structures

RTSTRUCT_SHA256 = "aa" * 32

IDENTITY = CaseIdentity(
    patient_id="P1",
    patient_name="Box^Water",
    patient_birth_date="",
    patient_sex="",
    study_instance_uid=CASE.study_instance_uid,
    study_id="",
    study_date="",
    study_time="",
    accession_number="",
    referring_physician_name="",
    structure_set_uid=SET_UID,
    patient_position="HFS",
)


def boxes_in_water(drawn: Sequence[Structure] | None = None) -> PatientCase:
    grid = grid_around(48.0, (3.0, 3.0, 3.0))
    return PatientCase(
        identity=IDENTITY,
        ct=CtVolume(np.zeros(grid.shape, dtype=np.float32), grid),
        structures=tuple(structures() if drawn is None else drawn),
        prescription=prescription(),
        input_uids={SET_UID: RTSTRUCT_SHA256, "2.25.3000": "bb" * 32},
    )


def objectives(fractions: int | None = 35) -> ObjectiveSet:
    """A target at 70 Gy and a mean for the parotid, made from the files of :func:`boxes_in_water`."""
    wanted = asked(
        point(1, "PTV70", 70.0, 95.0, "lower"),
        point(1, "PTV70", 73.5, 0.0),
        mean(3, "Parotid links", 26.0),
        fractions=fractions,
    )
    return replace(wanted, provenance=replace(PROVENANCE, input_uids={SET_UID: RTSTRUCT_SHA256}))
