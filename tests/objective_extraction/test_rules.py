"""Each rule on a DVH whose values are known: ramps D(v) = high - v (high - low), steps and single doses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.prescription import TargetLevel
from bridge.rt.structure import Structure
from objective_extraction import findings as notes
from objective_extraction.near_maximum import near_maximum
from objective_extraction.objectives import LineObjective, MeanObjective, Objective, PointObjective
from objective_extraction.rules import organ_objectives, ring_objectives, target_lower, target_upper
from objective_extraction.settings import ExtractionSettings, TargetUpperLimit
from tests.objective_extraction.cases import box, ramp_dvh
from tests.solids import FRAME

ORGAN = box(5, "Cord", "organ", (0.0, 10.0), (0.0, 10.0), standard_name="SpinalCord")
REST = Structure(-1, "Cord-PTV", "organ", ORGAN.planes, FRAME, 3.0)
TARGET = box(1, "PTV_70", "target", (0.0, 10.0), (0.0, 10.0))
LEVEL = TargetLevel(1, "PTV_70", 70.0, "target_name")
DEFAULT = ExtractionSettings()


def of_doses(*doses: float, volume_cc: float = 30.0) -> Dvh:
    """Equal volumes at given doses."""
    n = len(doses)
    return Dvh(5, "Cord", np.sort(np.array(doses, float)), np.full(n, volume_cc / n), volume_cc, DvhPolicy())


def asked(objectives: tuple[Objective, ...]) -> list[tuple[float, float]]:
    return [(o.volume_percent, o.dose_gy) for o in objectives if isinstance(o, PointObjective)]


class TestNearMaximum:
    def test_it_is_003_cc_down_to_1_5_cc_and_2_percent_below(self) -> None:
        # 0.03 cc of 1.5 cc are 2 %: 50 Gy less 2 % of 40 Gy; both sides of the border agree there
        assert near_maximum(ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=1.5001)).name == "D0.03cc"
        assert near_maximum(ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=1.5001)).dose_gy == pytest.approx(49.2, abs=1e-3)
        small = near_maximum(ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=1.4999))
        assert (small.name, small.dose_gy) == ("D2%", pytest.approx(49.2, abs=1e-6))
        # 0.03 of 20 cc are 0.15 %: 0.06 Gy of 40
        assert near_maximum(ramp_dvh(5, "Cord", 10.0, 50.0)).dose_gy == pytest.approx(49.94, abs=1e-6)

    def test_an_organ_smaller_than_003_cc_is_not_asked_to_stay_at_its_minimum(self) -> None:
        cochlea = ramp_dvh(5, "Cochlea_L", 10.0, 50.0, volume_cc=0.02)
        made = organ_objectives(ORGAN, cochlea, DEFAULT, mean=False)
        # D0.03cc of 0.02 cc would be 10 Gy
        assert asked(made)[:3] == [(0.0, 49.2), (5.0, 48.0), (20.0, 42.0)]
        assert made[0].origin.sentence == "D2% is 49.20 Gy."

    def test_it_refers_to_the_part_inside_the_dose_grid(self) -> None:
        half = ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=2.0, coverage=0.5)
        assert near_maximum(half).name == "D2%"

    def test_a_hot_spot_in_a_tiny_target_is_seen(self) -> None:
        tiny = ramp_dvh(1, "PTV_70", 60.0, 90.0, volume_cc=0.02)
        (found,) = notes.about_hot_spot(tiny, 70.0)
        # 90 less 2 % of 30 Gy; the limit is 115 % of 70, 80.5 Gy
        assert "D2% of 'PTV_70' is 89.40 Gy" in found.message


class TestThinning:
    @pytest.mark.parametrize(("step_gy", "kept"), [(2.5, [20.0, 17.5, 15.0]), (2.6, [20.0, 15.0]), (5.1, [20.0])])
    def test_a_step_of_exactly_the_least_is_kept(self, step_gy: float, kept: list[float]) -> None:
        # four quarters of the volume: their middles are at 12.5, 37.5, 62.5 and 87.5 %
        quarters = of_doses(14.0, 15.0, 17.5, 20.0, volume_cc=40.0)
        settings = ExtractionSettings(volumes_percent=(12.5, 37.5, 62.5), minimum_step_gy=step_gy)
        made = organ_objectives(ORGAN, quarters, settings, mean=False)
        assert [dose for _, dose in asked(made)] == kept

    def test_the_first_point_always_stays_and_a_uniform_organ_has_no_other(self) -> None:
        assert asked(organ_objectives(ORGAN, of_doses(30.0, 30.0, 30.0), DEFAULT, mean=False)) == [(0.0, 30.0)]

    def test_at_the_least_dose_nothing_is_asked_and_above_it_something_is(self) -> None:
        assert organ_objectives(ORGAN, of_doses(2.0, 2.0), DEFAULT, mean=True) == ()
        made = organ_objectives(ORGAN, of_doses(2.01, 2.01), DEFAULT, mean=True)
        assert [o.dose_gy for o in made if not isinstance(o, LineObjective)] == [2.01, 2.01]

    def test_volumes_are_taken_in_ascending_order_whatever_the_settings_say(self) -> None:
        mixed = ExtractionSettings(volumes_percent=(60.0, 5.0, 20.0))
        made = organ_objectives(ORGAN, ramp_dvh(5, "Cord", 10.0, 50.0), mixed, mean=False)
        assert asked(made) == [(5.0, 48.0), (20.0, 42.0), (60.0, 26.0)]

    def test_a_dose_of_less_than_a_hundredth_asks_for_nothing(self) -> None:
        none = ExtractionSettings(minimum_dose_gy=0.0, minimum_step_gy=0.0)
        assert organ_objectives(ORGAN, of_doses(0.004, 0.004), none, mean=True) == ()
        assert ring_objectives(ORGAN, of_doses(0.004, 0.004), none) == ()


class TestPriority:
    @pytest.mark.parametrize(
        ("total", "high_gy", "parts", "each"),
        [(50.0, 50.0, 7, 7.0), (50.0, 2.5, 1, 50.0), (3.0, 50.0, 7, 1.0), (25.0, 50.0, 7, 4.0)],
    )
    def test_the_total_is_split_into_whole_numbers(self, total: float, high_gy: float, parts: int, each: float) -> None:
        low = 10.0 if parts > 1 else high_gy
        made = organ_objectives(
            ORGAN, ramp_dvh(5, "Cord", low, high_gy), ExtractionSettings(organ_total_priority=total), mean=False
        )
        assert [o.priority for o in made] == [each] * parts

    def test_maximum_curve_and_mean_share_one_total(self) -> None:
        whole = ramp_dvh(5, "Cord", 10.0, 70.0)
        settings = ExtractionSettings(organ_total_priority=90.0)
        made = organ_objectives(REST, ramp_dvh(-1, "Cord-PTV", 10.0, 50.0), settings, mean=True, whole=(ORGAN, whole))
        # 1 maximum + 7 points + 1 mean
        assert [o.priority for o in made] == [10.0] * 9
        first = made[0]
        assert isinstance(first, PointObjective)
        assert (first.roi_number, first.roi_name, first.volume_percent, first.dose_gy, first.origin.rule) == (
            5, "Cord", 0.0, 69.91, "organ-maximum",
        )  # fmt: skip
        assert [o.roi_name for o in made[1:]] == ["Cord-PTV"] * 8
        assert {(o.roi_number, o.standard_name) for o in made[1:]} == {(None, None)}
        assert isinstance(made[-1], MeanObjective)

    def test_a_line_counts_as_one(self) -> None:
        made = organ_objectives(
            ORGAN, ramp_dvh(5, "Cord", 10.0, 50.0), ExtractionSettings(organ_form="line"), mean=True
        )
        assert [(o.kind, o.priority) for o in made] == [("line", 25.0), ("mean", 25.0)]

    def test_the_line_of_a_small_organ_never_falls_towards_smaller_volumes(self) -> None:
        # its near-maximum, D2%, is 49.2 Gy, below D1% of 49.6
        small = ramp_dvh(5, "Cochlea_L", 10.0, 50.0, volume_cc=0.2)
        (line,) = organ_objectives(ORGAN, small, ExtractionSettings(organ_form="line"), mean=False)
        assert isinstance(line, LineObjective)
        assert [p.dose_gy for p in line.curve[-3:]] == [49.2, 49.6, 49.6]

    def test_the_ring_has_its_own_total_and_no_margin(self) -> None:
        settings = ExtractionSettings(margin_percent=3.0)
        made = ring_objectives(REST, ramp_dvh(-1, "Ring_PTV", 10.0, 50.0), settings)
        assert asked(made) == [(0.0, 49.94), (10.0, 46.0), (50.0, 30.0)]
        assert [(o.priority, o.origin.rule, o.origin.margin_percent) for o in made] == [(10.0, "ring", 0.0)] * 3


class TestMeanOnly:
    def test_without_volumes_only_the_mean_is_asked_with_the_whole_priority(self) -> None:
        whole = ramp_dvh(5, "Cord", 10.0, 70.0)
        settings = ExtractionSettings(volumes_percent=())
        made = organ_objectives(REST, ramp_dvh(-1, "Cord-PTV", 10.0, 50.0), settings, mean=True, whole=(ORGAN, whole))
        assert [(o.kind, o.priority) for o in made] == [("mean", 50.0)]
        assert isinstance(made[0], MeanObjective)
        assert (made[0].roi_name, made[0].dose_gy) == ("Cord-PTV", 30.0)
        assert organ_objectives(ORGAN, whole, settings, mean=False) == ()


class TestMargin:
    def test_it_lowers_points_mean_and_line_alike(self) -> None:
        settings = ExtractionSettings(margin_percent=2.0, volumes_percent=(20.0,))
        dvh = ramp_dvh(5, "Cord", 10.0, 50.0)
        point, mean = organ_objectives(ORGAN, dvh, settings, mean=True)
        assert isinstance(point, PointObjective)
        assert isinstance(mean, MeanObjective)
        # 42 and 30 Gy, less 2 %
        assert (point.dose_gy, mean.dose_gy) == (41.16, 29.4)
        assert point.origin.sentence == "D20% is 42.00 Gy, asked 2 % lower."
        assert mean.origin.sentence == "Mean dose 30.00 Gy, asked 2 % lower."
        (line,) = organ_objectives(ORGAN, dvh, ExtractionSettings(margin_percent=2.0, organ_form="line"), mean=False)
        assert isinstance(line, LineObjective)
        assert [(p.volume_percent, p.dose_gy) for p in line.curve[79:80]] == [(20.0, 41.16)]

    def test_whether_a_dose_is_too_low_is_seen_before_the_margin(self) -> None:
        made = organ_objectives(ORGAN, of_doses(2.01, 2.01), ExtractionSettings(margin_percent=3.0), mean=False)
        assert asked(made) == [(0.0, 1.95)]


class TestTargetLower:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            # D98 is low + 2 % of the span, D95 low + 5 %; at 98 % from 66.5 to 70 Gy, at 95 % just 70 Gy
            (66.0, 76.0, [(98.0, 66.5), (95.0, 70.0)]),
            (68.0, 78.0, [(98.0, 68.2), (95.0, 70.0)]),
            (70.0, 80.0, [(98.0, 70.0)]),
            (71.0, 81.0, [(98.0, 70.0)]),
            (75.0, 85.0, [(98.0, 70.0)]),
            (20.0, 30.0, [(98.0, 66.5), (95.0, 70.0)]),
        ],
    )
    def test_never_more_than_the_prescription_and_never_less_than_coverage_needs(
        self, low: float, high: float, expected: list[tuple[float, float]]
    ) -> None:
        made = target_lower(TARGET, ramp_dvh(1, "PTV_70", low, high), LEVEL, DEFAULT)
        assert asked(made) == expected
        assert {(o.priority, o.origin.rule) for o in made} == {(100.0, "target-lower")}

    def test_at_95_percent_all_of_the_prescription_is_asked_and_at_96_not(self) -> None:
        settings = ExtractionSettings(target_lower_volumes_percent=(95.0, 96.0))
        made = target_lower(TARGET, ramp_dvh(1, "PTV_70", 20.0, 30.0), LEVEL, settings)
        assert asked(made) == [(96.0, 66.5), (95.0, 70.0)]

    @pytest.mark.parametrize(
        ("low", "sentence"),
        [
            (66.0, "66.20 Gy; asked for 66.50 Gy, which is 95 % of the prescription and the least that is asked."),
            (68.11, "68.31 Gy; asked for as much, being above the least of 66.50 Gy, 95 % of the prescription."),
            (71.0, "71.20 Gy; asked for 70.00 Gy, the prescription, as more buys nothing."),
        ],
    )
    def test_the_sentence_names_the_rule_that_gives_the_dose(self, low: float, sentence: str) -> None:
        made = target_lower(TARGET, ramp_dvh(1, "PTV_70", low, low + 10.0), LEVEL, DEFAULT)
        assert made[0].origin.sentence == f"D98% is {sentence}"
        assert made[0].origin.predicted_gy == pytest.approx(low + 0.2)


class TestTargetUpper:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            # 103 % is 72.1; the limits are 77, 74.9 and 73.5; 1000 cc: D0.03cc is the maximum
            (60.0, 70.0, [(0.0, 72.1)]),
            (64.0, 74.0, [(0.0, 74.0), (2.0, 73.8), (5.0, 73.5)]),
            (63.5, 73.5, [(0.0, 73.5), (2.0, 73.3), (5.0, 73.0)]),
            (66.0, 76.0, [(0.0, 76.0), (2.0, 74.9), (5.0, 73.5)]),
            (80.0, 90.0, [(0.0, 77.0), (2.0, 74.9), (5.0, 73.5)]),
        ],
    )
    def test_the_dose_between_103_percent_and_the_protocol(
        self, low: float, high: float, expected: list[tuple[float, float]]
    ) -> None:
        dvh = ramp_dvh(1, "PTV_70", low, high, volume_cc=1000.0)
        made = target_upper(TARGET, dvh, LEVEL, None, DEFAULT)
        assert asked(made) == expected
        assert {o.origin.rule for o in made} == {"target-upper"}

    def test_beside_a_higher_level_its_limits_count_and_the_floor_is_its_own(self) -> None:
        level = TargetLevel(2, "PTV_56", 56.0, "target_name")
        cold = target_upper(TARGET, ramp_dvh(2, "PTV_56", 50.0, 56.0, volume_cc=1000.0), level, 70.0, DEFAULT)
        assert asked(cold) == [(0.0, 57.68)]  # 103 % of 56 Gy
        hot = target_upper(TARGET, ramp_dvh(2, "PTV_56", 80.0, 90.0, volume_cc=1000.0), level, 70.0, DEFAULT)
        assert asked(hot) == [(0.0, 77.0), (2.0, 74.9), (5.0, 73.5)]
        assert hot[1].origin.sentence == (
            "D2% is 89.80 Gy; asked for the most that is allowed, 74.90 Gy, 107 % of the next higher level of 70 Gy."
        )

    @pytest.mark.parametrize(
        ("high", "sentence"),
        [
            (72.0, "72.00 Gy; asked for 72.10 Gy, 103 % of the prescription, for the optimizer's room."),
            (74.0, "74.00 Gy; asked for as much, within the allowed 77.00 Gy, 110 % of the prescription."),
            (78.0, "78.00 Gy; asked for the most that is allowed, 77.00 Gy, 110 % of the prescription."),
        ],
    )
    def test_the_sentence_names_the_rule_that_gives_the_dose(self, high: float, sentence: str) -> None:
        dvh = ramp_dvh(1, "PTV_70", high - 10.0, high, volume_cc=1000.0)
        made = target_upper(TARGET, dvh, LEVEL, None, DEFAULT)
        assert made[0].origin.sentence == f"D0.03cc is {sentence}"

    def test_the_protocol_wins_over_the_room_left_for_the_optimizer(self) -> None:
        tight = ExtractionSettings(target_upper_limits=(TargetUpperLimit(0.0, 102.0),))
        made = target_upper(TARGET, ramp_dvh(1, "PTV_70", 60.0, 65.0), LEVEL, None, tight)
        assert asked(made) == [(0.0, 71.4)]


class TestAnyDose:
    """What holds for every DVH, however it runs."""

    dvhs = st.builds(
        lambda doses, cc: of_doses(*doses, volume_cc=cc),
        st.lists(st.floats(0.0, 120.0), min_size=1, max_size=30),
        st.floats(0.001, 500.0),
    )

    @given(dvh=dvhs, margin=st.floats(0.0, 3.0), mean=st.booleans())
    def test_organ_points_fall_and_never_ask_for_more_than_there_is(self, dvh: Dvh, margin: float, mean: bool) -> None:
        made = organ_objectives(ORGAN, dvh, ExtractionSettings(margin_percent=margin), mean=mean)
        points = asked(made)
        for (volume, dose), (next_volume, next_dose) in pairwise(points):
            assert next_volume > volume
            assert dose - next_dose >= 0.97 - 0.011  # 1 Gy less a margin of 3 %, both rounded
        hottest = dvh.max_gy * (1.0 - margin / 100.0) + 0.005
        assert all(0.0 < dose <= hottest + 1e-9 for _, dose in points)
        assert all(o.priority == int(o.priority) >= 1 for o in made)

    @given(dvh=dvhs, prescribed=st.floats(20.0, 80.0))
    def test_a_target_is_never_asked_for_what_cannot_be(self, dvh: Dvh, prescribed: float) -> None:
        level = TargetLevel(1, "PTV_70", prescribed, "config")
        lower = asked(target_lower(TARGET, dvh, level, DEFAULT))
        upper = asked(target_upper(TARGET, dvh, level, None, DEFAULT))
        assert upper[0][0] == 0.0
        assert max(dose for _, dose in lower) < min(dose for _, dose in upper)
        assert all(0.95 * prescribed - 0.005 <= dose <= prescribed + 0.005 for _, dose in lower)
        assert all(1.03 * prescribed - 0.005 <= dose <= 1.10 * prescribed + 0.005 for _, dose in upper)
