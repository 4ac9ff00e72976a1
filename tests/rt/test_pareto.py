"""Dominance, volume, gaps, projection and prices, each against numbers that can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import GeometryRefusal
from bridge.rt.pareto import dominated, exchanges, gaps, hypervolume, nearest_plan


class TestDominance:
    def test_worse_in_nothing_and_better_in_something(self) -> None:
        plans = np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 3.0], [0.5, 5.0]])
        assert dominated(plans).tolist() == [False, False, True, True, False]

    def test_equal_plans_do_not_dominate_each_other(self) -> None:
        assert not dominated(np.array([[1.0, 1.0], [1.0, 1.0]])).any()

    def test_no_plan_on_a_circle_is_dominated_and_all_behind_it_are(self) -> None:
        angles = np.linspace(0.0, np.pi / 2.0, 20)
        front = 1.0 - np.column_stack([np.cos(angles), np.sin(angles)])
        assert dominated(np.concatenate([front, front[1:-1] + 0.2])).tolist() == [False] * 20 + [True] * 18

    def test_a_difference_within_the_tolerance_is_none(self) -> None:
        plans = np.array([[1.0, 1.0], [1.0, 1.09]])
        assert dominated(plans).tolist() == [False, True]
        assert not dominated(plans, 0.1).any()
        assert dominated(plans, np.array([0.1, 0.05])).tolist() == [False, True]

    def test_what_is_worse_within_the_tolerance_does_not_save_a_plan(self) -> None:
        # nobody takes the second plan for a thousandth of a gray: optimizations of one plan differ by more
        plans = np.array([[1.001, 0.0], [1.0, 9.0]])
        assert dominated(plans, 0.1).tolist() == [False, True]
        assert not dominated(plans).any()
        assert not dominated(np.array([[1.101, 0.0], [1.0, 9.0]]), 0.1).any()

    def test_plans_that_beat_each_other_in_a_circle_are_not_all_dominated(self) -> None:
        # each is better than the next by 0.15 in one criterion and worse within the tolerance in the two others
        circle = np.array([[0.0, 0.0, 0.0], [0.15, -0.075, -0.075], [0.075, 0.075, -0.15]])
        assert not dominated(circle, 0.1).all()

    def test_the_best_plan_on_the_whole_is_never_dominated(self) -> None:
        plans = np.random.default_rng(3).uniform(0.0, 0.3, (200, 40, 3))
        for table in plans:
            assert not dominated(table, 0.1)[table.sum(axis=1).argmin()]

    def test_one_plan_is_never_dominated(self) -> None:
        assert dominated(np.array([[3.0, 4.0]])).tolist() == [False]

    @pytest.mark.parametrize("bad", [np.zeros(3), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])])
    def test_what_is_no_table_of_numbers_is_refused(self, bad: np.ndarray) -> None:
        with pytest.raises(GeometryRefusal) as raised:
            dominated(bad)
        assert raised.value.code == "pareto-shape"


class TestHypervolume:
    def test_of_one_plan_it_is_its_box(self) -> None:
        assert hypervolume(np.array([[1.0, 2.0, 3.0]]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1.0 * 2.0 * 3.0)

    def test_of_two_plans_it_is_both_boxes_less_what_they_share(self) -> None:
        plans, worst = np.array([[0.0, 3.0, 1.0], [2.0, 0.0, 2.0]]), np.array([4.0, 5.0, 6.0])
        both = 4 * 2 * 5 + 2 * 5 * 4 - 2 * 2 * 4
        assert hypervolume(plans, worst) == pytest.approx(both)
        assert hypervolume(plans[::-1], worst) == pytest.approx(both)

    def test_of_a_staircase_it_nears_half_of_the_square(self) -> None:
        for n in (1, 2, 7, 40):
            steps = np.arange(n + 1) / n
            found = hypervolume(np.column_stack([steps, 1.0 - steps]), np.ones(2))
            assert found == pytest.approx((n - 1) / (2 * n))

    def test_dominated_plans_and_plans_beyond_the_worst_add_nothing(self) -> None:
        worst = np.array([4.0, 4.0])
        alone = hypervolume(np.array([[1.0, 1.0]]), worst)
        assert hypervolume(np.array([[1.0, 1.0], [2.0, 3.0], [1.0, 1.0], [5.0, 0.0]]), worst) == pytest.approx(alone)
        assert hypervolume(np.array([[5.0, 0.0], [4.0, 0.0]]), worst) == 0.0


class TestGaps:
    def test_they_are_the_largest_difference_to_the_nearest_plan(self) -> None:
        plans = np.array([[0.0, 0.0], [3.0, 1.0], [3.5, 1.25]])
        assert gaps(plans).tolist() == [3.0, 0.5, 0.5]
        assert gaps(plans, np.array([10.0, 1.0])).tolist() == pytest.approx([1.0, 0.25, 0.25])

    def test_a_plan_alone_is_far_from_all(self) -> None:
        assert gaps(np.array([[1.0]])).tolist() == [np.inf]


class TestNearestPlan:
    PLANS = np.array([[[10.0, 20.0], [0.0, 0.0]], [[12.0, 24.0], [5.0, 1.0]]])

    def test_it_is_nearest_in_the_sum_of_absolute_differences(self) -> None:
        # 1 + 2 + 2 + 0 = 5 against 1 + 2 + 3 + 1 = 7
        found = nearest_plan(np.array([[11.0, 22.0], [2.0, 0.0]]), self.PLANS)
        assert (found.plan, found.distance_gy, found.mean_gy) == (0, 5.0, 1.25)

    def test_one_bad_point_counts_once_and_not_by_its_square(self) -> None:
        desired = np.array([[10.0, 20.0], [0.0, 9.0]])  # 9 off the first; 2 + 4 + 5 + 8 = 19 off the second
        assert nearest_plan(desired, self.PLANS).plan == 0
        plans = np.array([[[0.0, 0.0, 6.0]], [[2.5, 2.5, 2.5]]])  # sums 6 and 7.5, squares 36 and 18.75
        assert nearest_plan(np.zeros((1, 3)), plans).plan == 0

    def test_a_plan_of_the_library_is_its_own_projection(self) -> None:
        for number, plan in enumerate(self.PLANS):
            found = nearest_plan(plan, self.PLANS)
            assert (found.plan, found.distance_gy) == (number, 0.0)

    @pytest.mark.parametrize(
        ("desired", "plans"),
        [
            (np.zeros((2, 3)), PLANS),
            (np.zeros((2, 2)), np.zeros((0, 2, 2))),
            (np.full((2, 2), np.nan), PLANS),
            (np.zeros((0, 2)), np.zeros((1, 0, 2))),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, desired: np.ndarray, plans: np.ndarray) -> None:
        with pytest.raises(GeometryRefusal) as raised:
            nearest_plan(desired, plans)
        assert raised.value.code == "pareto-shape"


class TestExchanges:
    def test_a_parabola_gets_dearer_by_its_slope(self) -> None:
        wanted = np.array([4.0, 1.0, 3.0, 0.0, 2.0])
        found = exchanges(wanted, (4.0 - wanted) ** 2)
        assert [(step.start, step.end) for step in found] == [(0, 2), (2, 4), (4, 1), (1, 3)]
        assert [step.rate for step in found] == [1.0, 3.0, 5.0, 7.0]
        assert all(step.gained == 1.0 for step in found)

    def test_plans_above_the_hull_have_no_part(self) -> None:
        wanted = np.array([10.0, 5.0, 0.0, 5.0, 12.0])
        cost = np.array([0.0, 1.0, 10.0, 7.0, 0.0])  # the fourth is dominated, the last has more at the same cost
        found = exchanges(wanted, cost)
        assert [(step.start, step.end, step.gained, step.paid) for step in found] == [
            (0, 1, 5.0, 1.0),
            (1, 2, 5.0, 9.0),
        ]

    def test_a_plan_between_two_that_are_cheaper_together_is_passed_over(self) -> None:
        found = exchanges(np.array([10.0, 5.0, 0.0]), np.array([0.0, 8.0, 10.0]))
        assert [(step.start, step.end, step.rate) for step in found] == [(0, 2, 1.0)]

    def test_where_one_plan_is_best_in_both_nothing_is_exchanged(self) -> None:
        assert exchanges(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == ()
        assert exchanges(np.array([1.0]), np.array([1.0])) == ()
