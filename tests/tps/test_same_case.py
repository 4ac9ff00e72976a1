"""Objectives and a case that do not belong together are refused, each with its own reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.rt.case import PatientCase
from bridge.rt.errors import Refusal
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.tps.same_case import require_same_case
from objective_extraction.objective_set import CaseReference, ObjectiveSet
from tests.tps.objective_sets import PROVENANCE, SET_UID, prescription, structures
from tests.tps.planning_case import RTSTRUCT_SHA256, boxes_in_water, objectives


def test_what_belongs_together_passes() -> None:
    require_same_case(objectives(), boxes_in_water())


def test_a_case_without_prescription_of_its_own_passes() -> None:
    require_same_case(objectives(), replace(boxes_in_water(), prescription=None))


def of_case(**changes: str) -> Callable[[ObjectiveSet], ObjectiveSet]:
    return lambda given: replace(given, case=CaseReference(**(vars(given.case) | changes)))


def made_from(inputs: dict[str, str]) -> Callable[[ObjectiveSet], ObjectiveSet]:
    return lambda given: replace(given, provenance=replace(PROVENANCE, input_uids=inputs))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (of_case(structure_set_uid="2.25.9"), "objectives-of-other-case"),
        (of_case(study_instance_uid="2.25.9"), "objectives-of-other-case"),
        (of_case(frame_of_reference_uid="2.25.9"), "objectives-of-other-case"),
        (made_from({SET_UID: "cc" * 32}), "input-changed"),
        (made_from({SET_UID: RTSTRUCT_SHA256, "2.25.3000": "cc" * 32}), "input-changed"),
        (made_from({}), "input-unknown"),
        (made_from({"2.25.3000": "bb" * 32}), "input-unknown"),
    ],
)
def test_other_objectives_are_refused(change: Callable[[ObjectiveSet], ObjectiveSet], code: str) -> None:
    with pytest.raises(Refusal) as raised:
        require_same_case(change(objectives()), boxes_in_water())
    assert raised.value.code == code


def swapped(case: PatientCase) -> PatientCase:
    """The numbers of parotid and cord the other way round."""
    names = {3: "Cord", 4: "Parotid links"}
    return replace(case, structures=tuple(replace(s, name=names.get(s.number, s.name)) for s in structures()))


def without_the_parotid(case: PatientCase) -> PatientCase:
    return replace(case, structures=tuple(s for s in structures() if s.number != 3))


def prescribed(*doses_gy: float) -> Callable[[PatientCase], PatientCase]:
    """Other doses, or one target fewer or more, in the same number of fractions."""
    targets = ((1, "PTV70"), (2, "PTV56"), (4, "Cord"))
    levels = tuple(TargetLevel(*target, dose_gy, "rtplan") for target, dose_gy in zip(targets, doses_gy, strict=False))
    return lambda case: replace(case, prescription=Prescription(levels, 35))


@pytest.mark.parametrize(
    ("change", "code", "roi"),
    [
        (swapped, "roi-name-conflict", "Parotid links"),
        (without_the_parotid, "roi-name-conflict", "Parotid links"),
        (prescribed(66.0, 56.0), "prescription-differs", "PTV70"),
        (prescribed(70.01, 56.0), "prescription-differs", "PTV70"),
        (prescribed(70.0, 55.99), "prescription-differs", "PTV56"),
        (prescribed(70.0), "prescription-differs", "PTV56"),
        (prescribed(70.0, 56.0, 60.0), "prescription-differs", "Cord"),
    ],
)
def test_another_case_is_refused_and_the_structure_named(
    change: Callable[[PatientCase], PatientCase], code: str, roi: str
) -> None:
    with pytest.raises(Refusal) as raised:
        require_same_case(objectives(), change(boxes_in_water()))
    assert (raised.value.code, raised.value.where["roi"]) == (code, roi)


def test_another_number_of_fractions_is_refused_where_both_are_known() -> None:
    case = replace(boxes_in_water(), prescription=prescription(33))
    with pytest.raises(Refusal, match="35 fractions, the case has 33") as raised:
        require_same_case(objectives(), case)
    assert raised.value.code == "prescription-differs"
    require_same_case(objectives(), replace(case, prescription=prescription(None)))
    require_same_case(objectives(fractions=None), case)
