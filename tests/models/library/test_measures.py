from __future__ import annotations

import pytest

from models.library.measures import GoalOutcome


@pytest.mark.parametrize(
    ("excess_gy", "is_met"), [(-1.0, True), (0.0, True), (1e-6, True), (0.0049, True), (0.0051, False), (0.01, False)]
)
def test_a_goal_is_held_to_the_hundredth_of_a_gray_that_is_shown(excess_gy: float, is_met: bool) -> None:
    """A plan that is scaled to 70.00 Gy in 95 % of the target has 69.9998 Gy by its own DVH."""
    goal = GoalOutcome(
        roi="PTV70", what="D95% >= 70.00 Gy", hard=True, reached_gy=70.0 - excess_gy, excess_gy=excess_gy
    )
    assert goal.is_met == is_met
