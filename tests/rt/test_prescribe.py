from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bridge.rt.errors import PrescriptionRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescribe import find_prescription
from bridge.rt.prescription import Prescription
from bridge.rt.structure import Plane, RoiKind, Structure

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def roi(number: int, name: str, kind: RoiKind = "target", *, empty: bool = False) -> Structure:
    return Structure(number, name, kind, () if empty else (Plane(0.0, (SQUARE,)),), "1.2.3", 3.0)


def find(
    structures: Sequence[Structure],
    planned: Sequence[tuple[int, float]] = (),
    configured: Mapping[str, float] | None = None,
    fractions: int | None = None,
) -> tuple[Prescription, tuple[Finding, ...]]:
    return find_prescription(structures, planned, fractions, configured or {})


def levels(prescription: Prescription) -> list[tuple[str, float, str]]:
    return [(level.roi_name, level.dose_gy, level.source) for level in prescription.levels]


def refusal(*args: object, **kwargs: object) -> PrescriptionRefusal:
    with pytest.raises(PrescriptionRefusal) as refused:
        find(*args, **kwargs)  # type: ignore[arg-type]
    return refused.value


THREE = (roi(1, "PTV_5600"), roi(2, "PTV_6300"), roi(3, "PTV_7000"), roi(4, "Parotid_L", "organ"))


def test_names_give_the_levels_highest_first() -> None:
    prescription, findings = find(THREE, fractions=35)
    assert levels(prescription) == [
        ("PTV_7000", 70.0, "target_name"),
        ("PTV_6300", 63.0, "target_name"),
        ("PTV_5600", 56.0, "target_name"),
    ]
    assert prescription.fractions == 35
    assert findings == ()


def test_the_plan_comes_before_the_name_and_the_name_before_the_configuration() -> None:
    structures = (roi(1, "PTV70"), roi(2, "PTV63"), roi(3, "PTV_Low"))
    prescription, findings = find(structures, [(1, 69.96)], {"PTV63": 63.2, "ptv_low": 54.0})
    assert levels(prescription) == [
        ("PTV70", 69.96, "rtplan"),
        ("PTV63", 63.0, "target_name"),
        ("PTV_Low", 54.0, "config"),
    ]
    assert findings == ()


def test_two_targets_may_share_a_level() -> None:
    prescription, _ = find((roi(1, "PTVp_7000"), roi(2, "PTVn_7000")))
    assert [level.dose_gy for level in prescription.levels] == [70.0, 70.0]


@pytest.mark.parametrize(
    ("planned", "configured", "said"),
    [
        ([(1, 66.0)], {}, "66 Gy by the RTPLAN and 70 Gy by its name"),
        ([(1, 70.0)], {"PTV.*": 66.0}, "70 Gy by the RTPLAN and 66 Gy by the configuration"),
        ([], {"PTV70": 66.0}, "70 Gy by its name and 66 Gy by the configuration"),
        ([(1, 70.0), (1, 60.0)], {}, "both 70 Gy and 60 Gy"),
        ([], {"PTV7.": 70.0, "PTV.*": 60.0}, "60 Gy and 70 Gy"),
    ],
)
def test_contradictions_are_refused(planned: list[tuple[int, float]], configured: dict[str, float], said: str) -> None:
    error = refusal((roi(1, "PTV70"),), planned, configured)
    assert error.code == "prescription-conflict"
    assert said in error.message
    assert error.where["roi"] == "PTV70"


def test_half_a_gray_is_rounding_and_more_is_not() -> None:
    prescription, _ = find((roi(1, "PTV70"),), [(1, 69.5)])
    assert prescription.highest_gy == 69.5
    assert refusal((roi(1, "PTV70"),), [(1, 69.49)]).code == "prescription-conflict"


def test_the_same_dose_reference_twice_is_one() -> None:
    prescription, _ = find((roi(1, "PTV70"),), [(1, 70.0), (1, 70.0)])
    assert levels(prescription) == [("PTV70", 70.0, "rtplan")]


def test_a_configured_name_comes_before_expressions() -> None:
    prescription, _ = find((roi(1, "PTV_Boost"),), (), {"PTV.*": 50.0, "ptv_boost": 66.0})
    assert prescription.highest_gy == 66.0


def test_an_unclear_name_is_refused_unless_someone_else_speaks() -> None:
    structures = (roi(1, "PTV_70_56"),)
    assert refusal(structures).code == "prescription-ambiguous"
    assert levels(find(structures, [(1, 70.0)])[0]) == [("PTV_70_56", 70.0, "rtplan")]
    assert levels(find(structures, (), {"PTV_70_56": 56.0})[0]) == [("PTV_70_56", 56.0, "config")]


def test_nothing_found_says_the_three_ways_out() -> None:
    error = refusal((roi(1, "PTV_High"), roi(2, "PTV1")))
    assert error.code == "prescription-missing"
    assert "PTV_High, PTV1" in error.message
    for way in ("RTPLAN", "target names", "prescription.levels"):
        assert way in error.message


def test_a_target_without_level_is_a_finding_where_others_have_one() -> None:
    prescription, findings = find((roi(1, "PTV70"), roi(2, "PTV_Low")))
    assert levels(prescription) == [("PTV70", 70.0, "target_name")]
    assert [(finding.code, finding.where) for finding in findings] == [("target-without-level", {"roi": "PTV_Low"})]


def test_ctv_and_gtv_carry_no_level_beside_a_ptv() -> None:
    structures = (roi(1, "GTV_70"), roi(2, "CTV_70"), roi(3, "PTV_70"))
    prescription, findings = find(structures, (), {"GTV_70": 74.0})
    assert levels(prescription) == [("PTV_70", 70.0, "target_name")]
    assert findings == ()


def test_ctv_carries_where_there_is_no_ptv_and_gtv_where_there_is_nothing_else() -> None:
    assert levels(find((roi(1, "GTV_70"), roi(2, "CTV_60")))[0]) == [("CTV_60", 60.0, "target_name")]
    assert levels(find((roi(1, "GTV_70"),))[0]) == [("GTV_70", 70.0, "target_name")]


def test_a_plan_may_prescribe_to_a_ctv_beside_a_ptv() -> None:
    prescription, _ = find((roi(1, "CTV"), roi(2, "PTV_60")), [(1, 60.0)])
    assert levels(prescription) == [("CTV", 60.0, "rtplan"), ("PTV_60", 60.0, "target_name")]


def test_empty_targets_are_left_out_and_said() -> None:
    prescription, findings = find((roi(1, "PTV70"), roi(2, "PTV63", empty=True)))
    assert levels(prescription) == [("PTV70", 70.0, "target_name")]
    assert [(finding.code, finding.where) for finding in findings] == [("target-empty", {"roi": "PTV63"})]


def test_no_target_with_contours() -> None:
    error = refusal((roi(1, "PTV70", empty=True), roi(2, "PTV_eval", "other"), roi(3, "Heart", "organ")))
    assert error.code == "no-target"
    assert "Without contours: PTV70." in error.message
    assert "may be meant: PTV_eval." in error.message
    assert "Heart" not in error.message


def test_a_plan_of_another_structure_set_is_refused() -> None:
    assert refusal((roi(1, "PTV70"),), [(9, 70.0)]).code == "prescription-roi-unknown"


def test_a_plan_dose_on_an_organ_is_not_used_but_said() -> None:
    prescription, findings = find((roi(1, "PTV70"), roi(2, "Cord", "organ")), [(2, 45.0)])
    assert levels(prescription) == [("PTV70", 70.0, "target_name")]
    assert [finding.code for finding in findings] == ["prescription-not-a-target"]


@pytest.mark.parametrize("dose_gy", [7000.0, 0.7, 0.0, -70.0])
def test_a_dose_in_the_wrong_unit_is_refused(dose_gy: float) -> None:
    assert refusal((roi(1, "PTV_High"),), [(1, dose_gy)]).code == "prescription-range"


def test_fractions_below_one_are_refused() -> None:
    with pytest.raises(PrescriptionRefusal) as refused:
        find((roi(1, "PTV70"),), fractions=0)
    assert refused.value.code == "fractions-range"
