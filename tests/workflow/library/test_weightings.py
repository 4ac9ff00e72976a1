from __future__ import annotations

import numpy as np

from bridge.workflow.library.weightings import LARGEST_FACTOR, WeightingChoice, weightings

ORGANS = ("Brainstem", "SpinalCord", "Parotid_L")


def test_there_are_the_ends_an_anchor_for_each_organ_and_as_many_drawn_as_asked() -> None:
    found = weightings(WeightingChoice(drawn=3), ORGANS, ORGANS)
    assert [one.name for one in found] == [
        "homogeneity", "sparing", "organ-Brainstem", "organ-SpinalCord", "organ-Parotid_L", "drawn-01", "drawn-02",
        "drawn-03",
    ]  # fmt: skip
    ends = {one.name: one for one in found}
    assert (ends["homogeneity"].homogeneity, dict(ends["homogeneity"].organs)) == (LARGEST_FACTOR, {})
    assert ends["sparing"].homogeneity == 1.0 / LARGEST_FACTOR
    assert dict(ends["sparing"].organs) == dict.fromkeys(ORGANS, LARGEST_FACTOR)
    assert dict(ends["organ-SpinalCord"].organs) == {"SpinalCord": LARGEST_FACTOR}


def test_anchors_and_draws_can_be_left_out() -> None:
    found = weightings(WeightingChoice(drawn=0, anchors=False), ORGANS, ORGANS)
    assert [one.name for one in found] == ["homogeneity", "sparing"]


def test_an_organ_that_a_patient_lacks_changes_nothing_for_the_others() -> None:
    choice = WeightingChoice(drawn=4)
    whole = {one.name: one for one in weightings(choice, ORGANS, ORGANS)}
    less = {one.name: one for one in weightings(choice, ORGANS, ("Brainstem", "Parotid_L"))}
    assert set(whole) - set(less) == {"organ-SpinalCord"}
    for name, one in less.items():
        kept = {organ: factor for organ, factor in whole[name].organs.items() if organ != "SpinalCord"}
        assert (one.homogeneity, dict(one.organs)) == (whole[name].homogeneity, kept)


def test_the_same_seed_draws_the_same_and_more_of_it_begins_alike() -> None:
    few, many = (weightings(WeightingChoice(drawn=n, anchors=False, seed=5), ORGANS, ORGANS) for n in (5, 13))
    assert many[: len(few)] == few
    assert weightings(WeightingChoice(drawn=5, anchors=False, seed=6), ORGANS, ORGANS)[2:] != few[2:]


def test_drawn_factors_fill_the_logarithmic_range_evenly() -> None:
    drawn = weightings(WeightingChoice(drawn=16, anchors=False), ORGANS, ORGANS)[2:]
    factors = np.array([[one.homogeneity, *one.organs.values()] for one in drawn])
    part = (np.log(factors) / np.log(LARGEST_FACTOR) + 1.0) / 2.0
    assert part.min() >= 0.0
    assert part.max() <= 1.0
    # of 16 points of a Sobol sequence, each axis has one in each sixteenth
    for axis in part.T:
        assert sorted(np.floor(16 * axis).astype(int).tolist()) == list(range(16))
