"""Goals: what is asked of whom, how far it is missed, and how it is asked for again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.errors import StructureRefusal
from bridge.rt.volume import Mask
from bridge.workflow.library.case import (
    OUTSIDE_NUMBER,
    PlanningCase,
    WithinTargets,
    case_of,
    read_planning_case,
    source_sha256,
)
from bridge.workflow.library.goals import Aim, Goal, first_aims, objectives_of, protocol_goals, shown_goal
from config.protocol import load_protocol
from esapi_stub.planning import MeanObjective, PointObjective
from models.openkbp.reader import read_patient
from tests.objective_extraction.cases import ramp_dvh
from tests.workflow.library.small import write_patient


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patient(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def case(path: Path) -> PlanningCase:
    return read_planning_case(path)


class TestCase:
    def test_structures_have_the_volumes_of_their_voxels(self, case: PlanningCase) -> None:
        kinds = {structure.name: structure.kind for structure in case.structures}
        assert kinds == {
            "BODY": "external", "SpinalCord": "organ", "Parotid_L": "organ", "Larynx": "organ", "PTV56": "target",
            "PTV70": "target",
        }  # fmt: skip
        assert [(level.roi_name, level.dose_gy) for level in case.prescription.levels] == [("PTV70", 70), ("PTV56", 56)]

    def test_an_organ_outside_the_targets_is_what_is_left_of_it(self, case: PlanningCase) -> None:
        assert set(case.outside) == {"SpinalCord", "Parotid_L"}  # nothing is left of the larynx
        parotid = next(organ for organ in case.organs if organ.name == "Parotid_L")
        left = case.outside["Parotid_L"]
        assert (left.number, left.name, left.kind) == (OUTSIDE_NUMBER + parotid.number, "Parotid_L-targets", "other")
        whole_mm2 = 8 * 10 * 25.0
        shared_mm2 = 1 * 8 * 25.0  # one column of voxels lies in PTV70
        assert left.planes[0].region.area == pytest.approx(whole_mm2 - shared_mm2)

    def test_an_organ_where_no_dose_is_computed_is_named_and_not_planned(self, tmp_path: Path) -> None:
        above = np.s_[56:66, 67:75, 73:80]
        case = read_planning_case(write_patient(tmp_path, parotid=above))
        assert case.beyond_body == ("Parotid_L",)
        assert "Parotid_L" not in {structure.name for structure in case.structures} | case.outside.keys()
        assert "Parotid_L" not in {goal.roi_name for goal in protocol_goals(load_protocol("head_and_neck"), case)}

    def test_it_tells_what_targets_take_of_an_organ(self, case: PlanningCase) -> None:
        parotid = case.within_targets("Parotid_L")
        assert (parotid.share, parotid.least_mean_gy) == (pytest.approx(0.1), pytest.approx(7.0))
        larynx = case.within_targets("Larynx")
        assert (larynx.share, larynx.least_mean_gy) == (pytest.approx(1.0), pytest.approx(70.0))
        assert case.within_targets("SpinalCord") == WithinTargets(0.0, 0.0)

    def test_the_isocentre_is_in_the_middle_of_all_targets(self, case: PlanningCase) -> None:
        index = np.argwhere((read_patient_targets(case)) > 0).mean(axis=0)
        np.testing.assert_allclose(case.isocentre_mm, case.ct.grid.positions_mm(index[None])[0])

    def test_criteria_are_measured_on_the_patients_own_voxels(self, case: PlanningCase) -> None:
        found = case.criteria_gy(case.patient.dose)
        assert found["PTV70 D99"] == pytest.approx(71.0)
        assert found["SpinalCord mean"] == pytest.approx(20.0)

    def test_a_target_without_voxels_is_refused(self, path: Path) -> None:
        patient = read_patient(path)
        grid = patient.anatomy.grid
        patient.anatomy.masks["PTV56"] = Mask(np.zeros(grid.shape, dtype=np.float32), grid)  # type: ignore[index]
        with pytest.raises(StructureRefusal, match="PTV56") as raised:
            case_of(patient, "0" * 64)
        assert raised.value.code == "no-target"

    def test_another_file_has_another_hash(self, path: Path, tmp_path: Path) -> None:
        other = write_patient(tmp_path, "pt_1", "Larynx")
        assert source_sha256(path) == source_sha256(path) != source_sha256(other)


def read_patient_targets(case: PlanningCase) -> np.ndarray:
    masks = case.patient.anatomy.masks
    return np.maximum(masks["PTV70"].values, masks["PTV56"].values)


class TestProtocol:
    def test_the_goals_are_those_of_targets_and_organs_that_are_there(self, case: PlanningCase) -> None:
        goals = protocol_goals(load_protocol("head_and_neck"), case)
        assert [(goal.roi_name, goal.what) for goal in goals] == [
            ("PTV70", "D99% >= 66.50 Gy"), ("PTV70", "D95% >= 70.00 Gy"), ("PTV70", "D20% <= 77.00 Gy"),
            ("PTV70", "D2% <= 74.90 Gy"), ("PTV70", "D0% <= 74.90 Gy"), ("PTV56", "D99% >= 53.20 Gy"),
            ("PTV56", "D95% >= 56.00 Gy"), ("PTV56", "D20% <= 61.60 Gy"), ("PTV56", "D2% <= 74.90 Gy"),
            ("PTV56", "D0% <= 74.90 Gy"), ("SpinalCord", "D0.1cc <= 45.00 Gy"),
            ("Parotid_L", "mean <= 26.00 Gy"), ("Larynx", "mean <= 45.00 Gy"),
        ]  # fmt: skip
        assert [goal.hard for goal in goals] == 2 * [True, True, False, True, False] + [True, False, False]
        assert goals[-2].within == case.within_targets("Parotid_L")


class TestNames:
    STORED = Goal(3, "PTV70", "upper", 74.9, 0.0).what

    def test_files_keep_the_name_by_which_archives_are_known(self) -> None:
        assert self.STORED == "D0% <= 74.90 Gy"

    def test_a_near_maximum_is_shown_by_what_is_measured(self) -> None:
        assert shown_goal(self.STORED) == "D0.03cc <= 74.90 Gy"
        assert shown_goal(self.STORED, ramp_dvh(3, "PTV70", 0.0, 50.0, volume_cc=20.0)) == "D0.03cc <= 74.90 Gy"
        assert shown_goal(self.STORED, ramp_dvh(3, "PTV70", 0.0, 50.0, volume_cc=1.0)) == "D2% <= 74.90 Gy"

    def test_all_other_goals_are_shown_as_they_are_stored(self) -> None:
        for stored in ("D2% <= 74.90 Gy", "D0.1cc <= 45.00 Gy", "mean <= 26.00 Gy", "D20% <= 77.00 Gy"):
            assert shown_goal(stored, ramp_dvh(3, "PTV70", 0.0, 50.0, volume_cc=1.0)) == stored


class TestOutcomes:
    # D(v) of a ramp from 0 to 50 Gy over 20 cc is 50 (1 - v)
    DVH = ramp_dvh(3, "Cord", 0.0, 50.0, volume_cc=20.0)

    @pytest.mark.parametrize(
        ("goal", "reached", "excess"),
        [
            (Goal(3, "Cord", "upper", 20.0, None), 25.0, 5.0),
            (Goal(3, "Cord", "upper", 30.0, None), 25.0, -5.0),
            (Goal(3, "Cord", "upper", 45.0, 1.0, "cc"), 47.5, 2.5),
            (Goal(3, "Cord", "lower", 5.0, 95.0), 2.5, 2.5),
            (Goal(3, "Cord", "lower", 2.0, 95.0), 2.5, -0.5),
            (Goal(3, "Cord", "upper", 50.0, 0.0), 50.0 - 0.03 / 20.0 * 50.0, -0.075),  # D0.03cc stands for 0 %
        ],
    )
    def test_the_excess_is_what_a_plan_lacks(self, goal: Goal, reached: float, excess: float) -> None:
        outcome = goal.outcome(self.DVH)
        assert (outcome.reached_gy, outcome.excess_gy) == pytest.approx((reached, excess), abs=0.02)
        assert outcome.is_met == (excess <= 0)


COVERAGE = Goal(2, "PTV70", "lower", 70.0, 95.0)
MAXIMUM = Goal(3, "Cord", "upper", 45.0, 0.1, "cc")
WISH = Goal(2, "PTV70", "upper", 77.0, 20.0, hard=False)
# a fifth of the parotid lies in the targets, and adds 13 Gy to its mean
MEAN = Goal(4, "Parotid_L", "upper", 26.0, None, hard=False, within=WithinTargets(0.2, 13.0))


class TestAims:
    def test_a_goal_is_asked_for_a_little_more_than_it_needs_and_wishes_come_second(self) -> None:
        asked = first_aims((COVERAGE, MAXIMUM, WISH, MEAN))
        assert [(aim.asked_gy, aim.priority) for aim in asked[:3]] == [(70.3, 1000.0), (44.7, 1000.0), (76.7, 10.0)]
        # 13 Gy and 0.8 of what the rest gets are 25.7 Gy
        assert (asked[3].asked_gy, asked[3].priority) == (pytest.approx(12.7 / 0.8), 0.3)

    def test_a_near_maximum_is_asked_as_firmly_as_coverage_also_where_it_is_a_wish(self) -> None:
        (aim,) = first_aims((Goal(2, "PTV70", "upper", 74.9, 0.0, hard=False),))
        assert (aim.asked_gy, aim.priority) == (pytest.approx(74.6), 1000.0)

    def test_a_mean_that_the_targets_alone_exceed_asks_nothing_of_the_rest_but_to_get_none(self) -> None:
        (aim,) = first_aims((replace(MEAN, within=WithinTargets(0.7, 40.0)),))
        assert aim.asked_gy == 0.0

    def test_a_missed_goal_is_asked_for_by_as_much_more_and_three_times_as_strongly(self) -> None:
        assert Aim(COVERAGE, 70.3, 1000.0).harder(0.5) == Aim(COVERAGE, 70.8, 3000.0)
        assert Aim(MAXIMUM, 44.7, 1000.0).harder(0.5) == Aim(MAXIMUM, 44.2, 3000.0)
        # the mean of all is four fifths of the mean of the rest
        assert Aim(MEAN, 15.0, 0.3).harder(2.0) == Aim(MEAN, 12.5, pytest.approx(0.9))

    def test_there_is_an_end_to_it(self) -> None:
        aim = Aim(COVERAGE, 70.3, 1000.0)
        for _ in range(10):
            aim = aim.harder(30.0)
        assert aim == Aim(COVERAGE, 72.0, 9000.0)
        assert aim.harder(30.0) == aim
        low = Aim(MEAN, 15.0, 0.3)
        for _ in range(10):
            low = low.harder(30.0)
        assert low == Aim(MEAN, 0.0, pytest.approx(0.9))

    def test_objectives_are_in_percent_of_the_structure_and_means_are_asked_of_what_lies_outside_the_targets(
        self,
    ) -> None:
        aims = (Aim(COVERAGE, 70.3, 100.0), Aim(MAXIMUM, 44.7, 90.0), Aim(MEAN, 15.0, 10.0))
        assert objectives_of(aims, {2: 100.0, 3: 20.0, 4: 30.0, OUTSIDE_NUMBER + 4: 24.0}) == [
            PointObjective(2, "lower", 70.3, 95.0, 100.0),
            PointObjective(3, "upper", 44.7, pytest.approx(0.5), 90.0),
            MeanObjective(OUTSIDE_NUMBER + 4, 15.0, 10.0),
        ]

    def test_a_near_minimum_is_asked_of_nearly_all_of_the_target(self) -> None:
        near_minimum = Aim(Goal(2, "PTV70", "lower", 66.5, 99.0), 66.8, 100.0)
        assert objectives_of((near_minimum,), {2: 100.0}) == [PointObjective(2, "lower", 66.8, 99.5, 100.0)]

    def test_of_an_organ_within_the_targets_nothing_is_asked(self) -> None:
        assert objectives_of((Aim(MEAN, 15.0, 10.0),), {4: 30.0}) == []

    def test_of_an_organ_smaller_than_the_volume_all_of_it_counts(self) -> None:
        (objective,) = objectives_of((Aim(MAXIMUM, 44.7, 90.0),), {3: 0.05})
        assert objective == PointObjective(3, "upper", 44.7, 100.0, 90.0)
