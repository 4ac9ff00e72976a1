"""How a reference plan is come by, with a planner whose answers are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.goals import Aim, Goal
from bridge.workflow.library.reference import ReferencePlan, reference_plan
from models.library.measures import GoalOutcome
from tests.models.library.libraries import measures

COVERAGE = Goal(2, "PTV70", "lower", 70.0, 95.0)
MEAN = Goal(4, "Parotid_L", "upper", 26.0, None, hard=False)

Answer = Callable[[tuple[Aim, ...], float], tuple[float, float, float]]
"""From what is asked to D95% of the target, the parotid's mean, and its mean outside the targets."""


class ScriptedPlanner:
    """Gives what the answer says, and remembers what it was asked for."""

    def __init__(self, answer: Answer) -> None:
        self.prepared = SimpleNamespace(goals=(COVERAGE, MEAN))
        self._answer = answer
        self.asked: list[tuple[tuple[Aim, ...], float]] = []
        self.starts: list[Any] = []

    def function(self, aims: tuple[Aim, ...], pressing: float) -> Any:
        return aims, pressing

    def optimize(self, functions: Sequence[Any], start: Any = None) -> tuple[Any, ...]:
        ((aims, pressing),) = functions
        self.asked.append((aims, pressing))
        self.starts.append(start)
        d95_gy, mean_gy, outside_gy = self._answer(aims, pressing)
        goals = (
            GoalOutcome(roi="PTV70", what=COVERAGE.what, hard=True, reached_gy=d95_gy, excess_gy=70.0 - d95_gy),
            GoalOutcome(roi="Parotid_L", what=MEAN.what, hard=False, reached_gy=mean_gy, excess_gy=mean_gy - 26.0),
        )
        measured = measures(parotid_gy=outside_gy, cord_gy=outside_gy, d95_gy=d95_gy).model_copy(
            update={"goals": goals}
        )
        return (SimpleNamespace(measures=measured, fluence=np.float16(len(self.asked))),)


def found(answer: Answer, rounds: int = 6) -> tuple[ReferencePlan, ScriptedPlanner]:
    planner = ScriptedPlanner(answer)
    return reference_plan(planner, rounds), planner  # type: ignore[arg-type]


def test_with_all_goals_met_the_organs_are_pressed_until_it_no_longer_pays() -> None:
    # 20 Gy, then 18, 16.5, 16.3: the last step gains less than 0.3 Gy
    means = {0.1: 20.0, 0.2: 18.0, 0.4: 16.5, 0.8: 16.3}
    plan, planner = found(lambda _, pressing: (70.1, 25.0, means[pressing]))
    assert [pressing for _, pressing in planner.asked] == [0.1, 0.2, 0.4, 0.8]
    assert plan.pressing == 0.8
    assert len({aims for aims, _ in planner.asked}) == 1


def test_every_round_begins_where_the_one_before_ended() -> None:
    _, planner = found(lambda _, pressing: (70.1, 25.0, 20.0 / pressing), rounds=3)
    assert planner.starts == [None, 1.0, 2.0]


def test_missed_coverage_is_asked_for_more_firmly_and_means_wait() -> None:
    # at a higher priority a plan comes nearer to what is asked
    short_gy = {1000.0: 0.55, 3000.0: 0.25}
    plan, planner = found(lambda aims, _: (aims[0].asked_gy - short_gy[aims[0].priority], 28.0, 20.0), rounds=3)
    first, second, third = (aims for aims, _ in planner.asked)
    assert (second[0].asked_gy, second[0].priority) == pytest.approx((70.55, 3000.0))
    assert second[1] == first[1]  # the parotid is missed too
    assert third[0] == second[0]  # 70.3 Gy is reached
    assert third[1].priority == 3.0 * first[1].priority
    assert plan.planned.measures.goals[0].is_met


def test_pressing_that_costs_coverage_is_taken_back_and_the_better_plan_kept() -> None:
    plan, planner = found(lambda _, pressing: (70.1 if pressing < 0.4 else 68.0, 25.0, 20.0 - pressing * 10), rounds=4)
    assert [pressing for _, pressing in planner.asked] == pytest.approx([0.1, 0.2, 0.4, 0.2])
    assert plan.pressing == pytest.approx(0.2)
    assert plan.planned.measures.goals[0].is_met


def test_of_plans_that_miss_goals_the_one_that_misses_least_counts() -> None:
    answers = iter([(68.0, 25.0, 10.0), (69.5, 30.0, 30.0), (69.0, 25.0, 10.0)])
    plan, planner = found(lambda *_: next(answers), rounds=3)
    assert plan.planned.fluence == 2.0
    assert plan.rank[0] == 5  # tenths of a gray
    assert len(planner.asked) == 3


def test_the_rounds_are_bounded() -> None:
    _, planner = found(lambda _, pressing: (70.1, 25.0, 1000.0 / pressing), rounds=5)
    assert len(planner.asked) == 5


def test_a_mean_that_cannot_be_had_does_not_go_on_for_ever() -> None:
    _, planner = found(lambda aims, pressing: (70.1, 40.0, 20.0), rounds=20)
    assert len(planner.asked) < 10
    assert planner.asked[-1][0][1] == Aim(MEAN, 0.0, pytest.approx(0.9))


def test_a_hard_goal_that_cannot_be_had_ends_it_and_nothing_is_pressed_the_harder_for_it() -> None:
    _, planner = found(lambda aims, pressing: (69.0, 25.0, 20.0), rounds=20)
    assert [aims[0].priority for aims, _ in planner.asked] == [1000.0, 3000.0, 9000.0]
    assert {pressing for _, pressing in planner.asked} == {0.1}


def test_a_goal_missed_by_a_hundredth_of_a_gray_is_missed() -> None:
    answers = iter([(69.99, 25.0, 10.0), (70.01, 25.0, 30.0)])
    plan, _ = found(lambda *_: next(answers), rounds=2)
    assert plan.planned.measures.goals[0].is_met


def test_targets_that_are_not_covered_are_a_failure_and_no_plan() -> None:
    # less than 95 % would be flagged cold
    with pytest.raises(ModelRefusal, match=r"66\.4 Gy to 95 % of 'PTV70'") as raised:
        found(lambda *_: (66.4, 25.0, 10.0))
    assert raised.value.code == "library-coverage"
