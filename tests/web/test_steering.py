"""Which sliders a case has: those of the model's card, for structures that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.rt.case import PatientCase
from bridge.web.steering import sliders_of
from bridge.workflow.desired_dvh import wheels_for
from bridge.workflow.predict import prepared_case
from config.load import load_settings
from models.preference import NEUTRAL, Preference
from models.registry import load_card
from tests.phantom import write_small_phantom

FDP = load_card("fdp-openkbp-v1")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PatientCase:
    """Two targets and a spinal cord."""
    return prepared_case(write_small_phantom(tmp_path_factory.mktemp("phantom")).paths, load_settings(None))


def test_a_slider_is_there_for_each_wish_that_moves_something_in_the_case(case: PatientCase) -> None:
    sliders = {one["name"]: one for one in sliders_of(FDP, case)}
    assert list(sliders) == ["hi", "oar_weight", "oar_weight.SpinalCord"], "no slider for an organ that is not there"
    assert (sliders["hi"]["low"], sliders["hi"]["high"]) == FDP.preferences.hi
    assert (sliders["hi"]["neutral"], sliders["hi"]["metric"]) == (None, "hi_icru83")
    cord = sliders["oar_weight.SpinalCord"]
    assert (cord["roi_name"], cord["roi_number"], cord["neutral"]) == ("SpinalCord", 4, 1.0)


def test_a_slider_has_whole_steps_within_its_range_so_that_it_can_stand_at_no_wish(case: PatientCase) -> None:
    ranges = {"hi": (0.022, 0.13), "oar_weight": (0.628, 1.519), "oar_weights": {"SpinalCord": (0.681, 1.403)}}
    card = FDP.model_copy(update={"preferences": FDP.preferences.model_copy(update=ranges)})
    ends = {one["name"]: (one["low"], one["high"], one["step"]) for one in sliders_of(card, case)}
    assert ends == {
        "hi": (0.025, 0.13, 0.005), "oar_weight": (0.63, 1.51, 0.01), "oar_weight.SpinalCord": (0.69, 1.4, 0.01)
    }  # fmt: skip


def test_a_desired_dvh_turns_the_organs_own_slider_first_and_homogeneity_for_a_target(case: PatientCase) -> None:
    cord = wheels_for(FDP, case, 4, Preference("asked", oar_weights={"SpinalCord": 1.1}), 0.08)
    assert [(one.name, one.start) for one in cord] == [("oar_weight.SpinalCord", 1.1), ("oar_weight", 1.0)]
    target = wheels_for(FDP, case, 2, NEUTRAL, 0.08)
    assert [(one.name, one.start) for one in target] == [("hi", 0.08), ("oar_weight", 1.0)]
    body = wheels_for(FDP, case, 1, NEUTRAL, 0.08)
    assert [one.name for one in body] == ["oar_weight"]
    assert wheels_for(load_card("geometric"), case, 4, NEUTRAL, 0.08) == ()


def test_an_organ_without_contours_has_no_slider(case: PatientCase) -> None:
    emptied = tuple(replace(one, planes=()) if one.name == "SpinalCord" else one for one in case.structures)
    assert [one["name"] for one in sliders_of(FDP, replace(case, structures=emptied))] == ["hi", "oar_weight"]
