"""The search for a desired DVH, on doses that answer to sliders in closed form."""

from __future__ import annotations

import pytest

from bridge.workflow.desired_dvh import Step, Wheel, approach
from models.preference import NEUTRAL, Preference

PAROTID = Wheel("oar_weight.Parotid_L", 1.0, 0.75, 1.4)
ALL = Wheel("oar_weight", 1.0, 0.75, 1.4)
HI = Wheel("hi", 0.1, 0.02, 0.25)


def same(preference: Preference) -> Preference:
    """Predict nothing: the dose is worked out of the preference."""
    return preference


def parotid_gy(preference: Preference) -> float:
    """26 Gy without a wish, over each weight."""
    own = preference.oar_weights.get("Parotid_L", 1.0)
    return 26.0 / own / (preference.oar_weight or 1.0) ** 0.5


def nearest(steps: list[Step[Preference]]) -> Step[Preference]:
    return [step for step in steps if step.is_nearest][-1]


@pytest.mark.parametrize("wanted_gy", [22.0, 24.5, 26.05, 30.0])
def test_a_dose_within_reach_of_the_organs_own_slider_is_found_by_it_alone(wanted_gy: float) -> None:
    steps = list(approach(wanted_gy, NEUTRAL, [PAROTID, ALL], same, parotid_gy))
    found = nearest(steps)
    assert found.reached_gy == pytest.approx(wanted_gy, abs=0.1)
    assert found.preference.oar_weight is None
    assert len(steps) <= 7


def test_where_one_slider_ends_the_next_one_goes_on() -> None:
    found = nearest(list(approach(17.0, NEUTRAL, [PAROTID, ALL], same, parotid_gy)))
    assert found.reached_gy == pytest.approx(17.0, abs=0.1)
    assert found.preference.oar_weights == {"Parotid_L": 1.4}
    assert found.preference.oar_weight == pytest.approx((26.0 / 1.4 / 17.0) ** 2, rel=0.02)


def test_what_is_out_of_reach_gives_the_nearest_there_is() -> None:
    steps = list(approach(5.0, NEUTRAL, [PAROTID, ALL], same, parotid_gy))
    assert nearest(steps).reached_gy == pytest.approx(26.0 / 1.4 / 1.4**0.5)
    assert len(steps) <= 5, "both ends of both sliders, and the start"


def test_a_slider_that_moves_the_other_way_is_followed_too() -> None:
    found = nearest(list(approach(69.0, NEUTRAL, [HI], same, lambda asked: 67.0 + 25.0 * ((asked.hi or 0.1) - 0.1))))
    assert found.preference.hi == pytest.approx(0.1 + 2.0 / 25.0, abs=0.005)


def test_a_dose_that_no_slider_moves_ends_the_search() -> None:
    steps = list(approach(20.0, NEUTRAL, [PAROTID], same, lambda _: 26.0))
    assert [step.is_nearest for step in steps] == [True, False, False]


def test_no_more_predictions_are_made_than_allowed() -> None:
    asked: list[Preference] = []

    def counted(preference: Preference) -> Preference:
        asked.append(preference)
        return preference

    def steep_gy(preference: Preference) -> float:
        return 60.0 if preference.oar_weights.get("Parotid_L", 1.0) < 1.1234567 else 10.0

    list(approach(30.0, NEUTRAL, [PAROTID, ALL], counted, steep_gy, most=6))
    assert len(asked) == 6
