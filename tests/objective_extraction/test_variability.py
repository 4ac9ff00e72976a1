"""Variability by every definition against closed forms, and two methods against each other on the same patients."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from objective_extraction.variability.comparison import compare_methods, holm, paired_test
from objective_extraction.variability.definitions import organ_variability
from objective_extraction.variability.deviation import Conditions, Deviation, Series, deviation

POLICY = DvhPolicy("none", 1.0, "prism")
CONDITIONS = Conditions("fdp-openkbp-v1 0.4.0", "prediction", "engine 1", "none", "template", "none", "prism")
SLOPE_GY = -0.3
N = 1000


def line_dvh(offset_gy: float, slope_gy: float = SLOPE_GY, policy: DvhPolicy = POLICY, volume_cc: float = 20.0) -> Dvh:
    """A DVH whose D(v) is ``offset + slope v``, v in percent."""
    v = (np.arange(N)[::-1] + 0.5) * 100.0 / N
    return Dvh(4, "Parotid_L", offset_gy + slope_gy * v, np.full(N, 20.0 / N), volume_cc, policy)


def off_by(offset_gy: float, slope_gy: float = 0.0) -> Deviation:
    """What is found where e(v) is ``offset + slope v``."""
    return deviation(line_dvh(60.0), line_dvh(60.0 + offset_gy, SLOPE_GY + slope_gy))


def series(*found: Deviation, organ: str = "Parotid_L", conditions: Conditions = CONDITIONS) -> Series:
    return Series(organ, conditions, {f"pt_{i}": one for i, one in enumerate(found)})


def test_a_tilted_curve_has_the_moments_of_its_tilt() -> None:
    """e(v) = 2 - 0.08 v changes its sign at 25 %: sums over v = 1..99 are arithmetic series."""
    found = off_by(2.0, -0.08)
    assert found.signed_mean_gy == pytest.approx(-2.0)
    assert found.mean_dose_gy == pytest.approx(-2.0)
    below, above = 24 * 2.0 - 0.08 * 300, 0.08 * (4950 - 325) - 74 * 2.0
    assert found.abs_mean_gy == pytest.approx((below + above) / 99)
    assert found.std_over_curve_gy == pytest.approx(0.08 * math.sqrt((99**2 - 1) / 12))
    absolute = np.abs(2.0 - 0.08 * np.arange(1, 100))
    assert found.abs_std_over_curve_gy == pytest.approx(absolute.std())
    assert found.square_mean_gy2 == pytest.approx((absolute**2).mean())


def test_a_shifted_curve_deviates_by_the_shift_and_in_volume_by_its_area() -> None:
    """Between two parallel lines of 3 Gy apart lies 3 Gy x 100 %: on a grid of 127 doses of 0.5 Gy, 600 in all."""
    found = off_by(3.0)
    assert (found.abs_mean_gy, found.signed_mean_gy, found.mean_dose_gy) == pytest.approx((3.0, 3.0, 3.0))
    assert found.std_over_curve_gy == pytest.approx(0.0, abs=1e-9)
    assert found.abs_std_over_curve_gy == pytest.approx(0.0, abs=1e-6)
    assert found.volume_abs_mean_percent == pytest.approx(600 / 127, abs=0.01)


def test_the_same_curve_does_not_deviate() -> None:
    found = off_by(0.0)
    assert (found.abs_mean_gy, found.std_over_curve_gy, found.mean_dose_gy, found.volume_abs_mean_percent) == (0,) * 4


def test_every_definition_by_hand() -> None:
    """Patients off by +1, -2 and +6 Gy along the whole curve, and one by a tilt of mean 0."""
    tilt = 0.1 * math.sqrt((99**2 - 1) / 12)
    of_tilt = 0.1 * 2 * sum(range(1, 50)) / 99
    found = organ_variability(series(off_by(1.0), off_by(-2.0), off_by(6.0), off_by(-5.0, 0.1)))
    absolute = np.array([1.0, 2.0, 6.0, of_tilt])
    square = (1 + 4 + 36 + tilt**2) / 4
    mean = absolute.mean()
    assert (found.by("A").mean, found.by("A").std) == pytest.approx((mean, absolute.std(ddof=1)))
    assert (found.by("B").mean, found.by("B").std) == pytest.approx((mean, tilt / 4))
    assert found.by("B2").std == pytest.approx(math.sqrt(tilt**2 - of_tilt**2) / 4, abs=1e-6)
    assert (found.by("C").mean, found.by("C").std) == pytest.approx((mean, math.sqrt(square - mean**2)))
    assert (found.by("D").mean, found.by("D").std) == pytest.approx((5 / 4, math.sqrt(square - (5 / 4) ** 2)))
    assert (found.by("E").mean, found.by("E").std) == pytest.approx((9 / 4, np.std([1, 2, 6, 0], ddof=1)), abs=1e-6)
    volumes = [off_by(*e).volume_abs_mean_percent for e in ((1.0,), (-2.0,), (6.0,), (-5.0, 0.1))]
    assert (found.by("F").mean, found.by("F").std) == pytest.approx((np.mean(volumes), np.std(volumes, ddof=1)))


def test_the_headline_is_b_in_gray_with_its_conditions() -> None:
    content = organ_variability(series(off_by(1.0), off_by(-2.0))).as_dict()
    assert content["headline"] == "B"
    assert (content["abs_mean_gy"], content["std_over_curve_gy"]) == pytest.approx((1.5, 0.0))
    assert content["conditions"] == {
        "source": "fdp-openkbp-v1 0.4.0", "predicted_curve": "prediction", "optimizer": "engine 1",
        "normalisation": "none", "beside_organs": "template", "end_caps": "none", "between_planes": "prism",
    }  # fmt: skip
    assert content["n"] == 2
    assert json.loads(json.dumps(content, allow_nan=False)) is not None


def test_the_bootstrap_interval_is_that_of_the_mean_and_comes_again_with_its_seed() -> None:
    shifts = np.random.default_rng(0).normal(10.0, 2.0, size=100)
    of_shifts = series(*(off_by(float(shift)) for shift in shifts))
    one, again, other = (organ_variability(of_shifts, seed) for seed in (3, 3, 4))
    assert one == again
    assert one.figures != other.figures
    low, high = one.by("A").mean_interval
    half = 1.96 * shifts.std(ddof=1) / math.sqrt(len(shifts))
    assert (low, high) == pytest.approx((shifts.mean() - half, shifts.mean() + half), abs=0.08)
    low, high = one.by("A").std_interval
    assert low < shifts.std(ddof=1) < high


def test_patients_who_are_all_alike_have_an_interval_without_width() -> None:
    found = organ_variability(series(off_by(2.0), off_by(2.0), off_by(2.0))).by("B")
    assert found.mean_interval == pytest.approx((2.0, 2.0))
    assert found.std == pytest.approx(0.0, abs=1e-9)


def methods(n: int, better_gy: float = 1.0, organs: int = 1) -> tuple[list[Series], list[Series]]:
    """Two methods of which the first is ``better_gy`` nearer in every patient, by a little more in each."""
    kbp = replace(CONDITIONS, source="kbp-openkbp-v1 1.0.0", predicted_curve="band_middle")
    names = [f"Organ_{i}" for i in range(organs)]
    first = [series(*(off_by(1.0 + 0.1 * i) for i in range(n)), organ=name) for name in names]
    second = [
        series(*(off_by(1.0 + better_gy + 0.11 * i) for i in range(n)), organ=name, conditions=kbp) for name in names
    ]
    return first, second


def test_a_method_that_is_better_in_every_patient_has_the_smallest_p_there_is() -> None:
    first, second = methods(n=8)
    (organ,) = compare_methods(first, second).organs
    assert organ.mean.p == pytest.approx(2 / 2**8)
    assert (organ.mean.patient_wins, organ.mean.patient_losses, organ.n) == (8, 0, 8)
    assert organ.mean.won
    assert organ.mean.second_gy - organ.mean.first_gy == pytest.approx(1.0 + 0.01 * 3.5)
    low, high = organ.mean.difference_interval_gy
    assert low <= organ.mean.first_gy - organ.mean.second_gy <= high < 0


def test_wins_are_counted_for_each_column() -> None:
    first, second = methods(n=3, organs=4)
    second[3] = replace(second[3], deviations={patient: off_by(0.5, -0.02) for patient in second[3].deviations})
    found = compare_methods(first, second)
    assert found.wins_mean == 3
    assert found.wins_std == 1  # the others have no std at all: a draw is no win
    assert found.as_dict()["of_organs"] == 4


def test_methods_that_do_the_same_have_p_of_1_and_no_wins() -> None:
    first, _ = methods(n=5)
    found = compare_methods(first, first)
    assert (found.organs[0].mean.p, found.wins_mean, found.organs[0].mean.patient_wins) == (1.0, 0, 0)


def test_corrected_p_values_are_those_of_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


def test_the_correction_counts_both_columns_of_all_organs() -> None:
    first, second = methods(n=8, organs=3)
    found = compare_methods(first, second)
    # three means at 2/256, three stds at 1 (all equal): the smallest of six is corrected by six
    assert found.organs[0].mean.p_corrected == pytest.approx(6 * 2 / 2**8)
    assert found.as_dict()["correction"] == "Holm over 6 tests"


@pytest.mark.parametrize("changes", [{"optimizer": "engine 2"}, {"normalisation": "D95"}, {"beside_organs": "dose"}])
def test_methods_under_other_conditions_are_not_compared(changes: dict[str, str]) -> None:
    first, second = methods(n=3)
    second = [replace(one, conditions=replace(one.conditions, **changes)) for one in second]
    with pytest.raises(StructureRefusal, match="one optimizer, normalisation and DVH policy") as refused:
        compare_methods(first, second)
    assert refused.value.code == "variability-conditions"


def test_other_patients_other_organs_and_too_few_are_refused() -> None:
    first, second = methods(n=3, organs=2)
    missing = [replace(one, deviations=dict(list(one.deviations.items())[:2])) for one in second]
    for others, code in (
        (missing, "variability-patients"),
        (second[::-1], "variability-organs"),
        ([], "variability-organs"),
        ([second[0], replace(second[1], conditions=CONDITIONS)], "variability-conditions"),
    ):
        with pytest.raises(StructureRefusal) as refused:
            compare_methods(first, others)
        assert refused.value.code == code
    with pytest.raises(StructureRefusal) as refused:
        compare_methods(*methods(n=1))
    assert refused.value.code == "variability-too-few"
    with pytest.raises(StructureRefusal) as refused:
        organ_variability(series(off_by(1.0)))
    assert refused.value.code == "variability-too-few"


def test_dvhs_of_other_policies_do_not_get_into_a_series() -> None:
    capped = DvhPolicy("half_slice", 1.0, "prism")
    with pytest.raises(StructureRefusal) as refused:
        deviation(line_dvh(60.0), line_dvh(61.0, policy=capped))
    assert refused.value.code == "dvh-not-comparable"
    found = deviation(line_dvh(60.0, policy=capped), line_dvh(61.0, policy=capped))
    with pytest.raises(StructureRefusal, match="end caps half_slice") as refused:
        series(off_by(1.0), found)
    assert refused.value.code == "variability-policy"
    assert refused.value.where["patient"] == "pt_1"


def test_a_dose_that_covers_half_of_the_organ_is_refused() -> None:
    with pytest.raises(StructureRefusal, match=r"covers 100 %.*50 %") as refused:
        deviation(line_dvh(60.0), line_dvh(60.0, volume_cc=40.0))
    assert refused.value.code == "variability-coverage"


def test_conditions_that_say_nothing_are_refused() -> None:
    for name in ("source", "optimizer", "normalisation", "beside_organs"):
        with pytest.raises(StructureRefusal, match=name.replace("_", " ")):
            replace(CONDITIONS, **{name: " "})


def test_two_columns_of_plan_quality_are_tested_like_the_others() -> None:
    found = paired_test(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 4.0]))
    assert (found.first_gy, found.second_gy) == pytest.approx((2.5, 4.0))
    assert (found.patient_wins, found.patient_losses, found.won) == (3, 0, True)
    assert found.p == pytest.approx(2 / 2**3)  # the equal pair does not count
    low, high = found.difference_interval_gy
    assert low < -1.5 < high <= 0.0
    for other in (np.array([1.0]), np.array([1.0, 2.0])):
        with pytest.raises(StructureRefusal) as refused:
            paired_test(np.array([1.0]), other)
        assert refused.value.code == "variability-too-few"
