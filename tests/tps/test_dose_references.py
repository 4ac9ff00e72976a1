"""What an RTPLAN can carry of an objective set: a closed table, and nothing lost without being named."""

from __future__ import annotations

import pytest

from bridge.rt.dose_reference import DoseReference
from bridge.tps.dose_references import dose_references
from objective_extraction.objective_set import DerivedStructure
from objective_extraction.objectives import Objective
from tests.tps.objective_sets import asked, extracted, geud, line, mean, point

PRESCRIPTIONS = (
    DoseReference(1, "PTV70 prescription", True, target_prescription_gy=70.0),
    DoseReference(2, "PTV56 prescription", True, target_prescription_gy=56.0),
)
RING = DerivedStructure("Ring_PTV", "ring", ("PTV70",), within="BODY", inner_mm=3.0, outer_mm=30.0)

CARRIED: dict[str, tuple[Objective, DoseReference]] = {
    "target coverage": (
        point(1, "PTV70", 70.0, 95.0, "lower"),
        DoseReference(
            1,
            "PTV70 lower 70 Gy at 95 %",
            True,
            80.0,
            target_prescription_gy=70.0,
            target_underdose_percent=5.0,
        ),
    ),
    "target minimum": (
        point(1, "PTV70", 63.0, 100.0, "lower"),
        DoseReference(1, "PTV70 lower 63 Gy at 100 %", True, 80.0, target_minimum_gy=63.0),
    ),
    "target maximum": (
        point(2, "PTV56", 61.6, 0.0),
        DoseReference(2, "PTV56 upper 61.6 Gy at 0 %", True, 80.0, target_maximum_gy=61.6),
    ),
    "organ maximum": (
        point(4, "Cord", 45.0, 0.0),
        DoseReference(4, "Cord upper 45 Gy at 0 %", False, 80.0, organ_limit_gy=45.0),
    ),
    "organ volume": (
        point(3, "Parotid links", 30.0, 40.0),
        DoseReference(
            3,
            "Parotid links upper 30 Gy at 40 %",
            False,
            80.0,
            organ_maximum_gy=30.0,
            organ_overdose_percent=40.0,
        ),
    ),
}

LEFT_OUT: dict[str, Objective] = {
    "mean": mean(3, "Parotid links", 26.0),
    "gEUD": geud(4, "Cord", 40.0, 12.0),
    "line": line(4, "Cord", (80.0, 5.0), (0.0, 40.0)),
    "organ lower": point(4, "Cord", 5.0, 95.0, "lower"),
    "target upper above 0 %": point(1, "PTV70", 73.5, 5.0),
    "target lower beside its prescription": point(1, "PTV70", 66.5, 98.0, "lower"),
    "derived structure": point(None, "Ring_PTV", 60.0, 0.0),
}


def test_every_target_comes_first_with_its_prescription() -> None:
    assert dose_references(asked()).references == PRESCRIPTIONS


@pytest.mark.parametrize("name", CARRIED)
def test_a_point_that_has_a_place_is_carried(name: str) -> None:
    objective, expected = CARRIED[name]
    carried = dose_references(asked(objective))
    assert carried.references == (*PRESCRIPTIONS, expected)
    assert carried.left_out == ()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_objective_that_has_none_is_named(name: str) -> None:
    carried = dose_references(asked(LEFT_OUT[name], derived=[RING]))
    assert carried.references == PRESCRIPTIONS
    assert carried.left_out == (LEFT_OUT[name],)


def test_the_order_is_kept_and_nothing_is_lost() -> None:
    objectives = [*(objective for objective, _ in CARRIED.values()), *LEFT_OUT.values()]
    carried = dose_references(asked(*objectives, derived=[RING]))
    assert carried.references == (*PRESCRIPTIONS, *(reference for _, reference in CARRIED.values()))
    assert carried.left_out == tuple(LEFT_OUT.values())


def test_of_an_extracted_set_every_objective_is_carried_or_named() -> None:
    objectives = extracted()
    carried = dose_references(objectives)
    assert len(carried.references) - len(PRESCRIPTIONS) + len(carried.left_out) == len(objectives.objectives)
    assert {reference.roi_number for reference in carried.references} <= {1, 2, 3, 4}


def test_the_longest_name_fits_a_description() -> None:
    """Dose Reference Description is LO, at most 64 characters."""
    carried = dose_references(asked(point(4, "N" * 64, 45.123456, 33.333333)))
    assert max(len(reference.description) for reference in carried.references) <= 64


def test_a_long_name_keeps_its_side_in_a_description() -> None:
    name = "Parotid gland with everything that belongs to it on the left"
    *_, left = dose_references(asked(point(4, name, 45.0, 0.0))).references
    assert "_L upper 45 Gy at 0 %" in left.description
