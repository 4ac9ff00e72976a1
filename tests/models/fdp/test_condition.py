"""The condition in its units, against weights and beams that are worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fdp.channels import ORGANS
from models.fdp.condition import CONDITION_SIZE, beam_numbers, condition_of

NINE = tuple(40.0 * number for number in range(9))

HI, ORGAN_NUMBERS, COUNT = 0, slice(1, 8), 8
COSINES, SINES = slice(9, 13), slice(13, 17)


def test_zero_is_no_wish_with_nine_even_beams() -> None:
    condition = condition_of(0.0, {}, NINE)
    assert condition.shape == (CONDITION_SIZE,) == (17,)
    assert condition.dtype == np.float32
    np.testing.assert_allclose(condition, 0.0, atol=1e-7)


@pytest.mark.parametrize(("difference", "number"), [(0.05, 1.0), (-0.05, -1.0), (0.02, 0.4), (0.1, 2.0)])
def test_homogeneity_counts_in_steps_of_five_hundredths(difference: float, number: float) -> None:
    condition = condition_of(difference, {}, NINE)
    assert condition[HI] == pytest.approx(number)
    np.testing.assert_allclose(condition[1:], 0.0, atol=1e-7)


@pytest.mark.parametrize(
    ("weight", "number"), [(1.25, 1.0), (0.8, -1.0), (1.5625, 2.0), (1.0, 0.0), (1.25**0.5, 0.5), (2.0, 3.1062837)]
)
def test_weights_count_in_factors_of_1_25(weight: float, number: float) -> None:
    assert condition_of(0.0, {"Larynx": weight}, NINE)[1 + ORGANS.index("Larynx")] == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize(
    ("organ", "place"),
    [
        ("Brainstem", 1), ("SpinalCord", 2), ("Parotid_R", 3), ("Parotid_L", 4), ("Esophagus", 5), ("Larynx", 6),
        ("Bone_Mandible", 7),
    ],
)  # fmt: skip
def test_each_organ_has_a_place_of_its_own_that_never_changes(organ: str, place: int) -> None:
    """A trained network knows the organs by these places only."""
    condition = condition_of(0.0, {organ: 1.25}, NINE)
    wanted = np.zeros(CONDITION_SIZE)
    wanted[place] = 1.0
    np.testing.assert_allclose(condition, wanted, atol=1e-6)


def test_what_is_no_organ_of_the_model_moves_nothing() -> None:
    np.testing.assert_array_equal(condition_of(0.0, {"Lens_L": 2.0}, NINE), condition_of(0.0, {}, NINE))


def test_one_beam_has_the_numbers_of_its_angle() -> None:
    """From 30 degrees: cosines and sines of 30, 60, 90 and 120, and ln(1/9)."""
    half, root = 0.5, np.sqrt(0.75)
    wanted = [np.log(1 / 9), root, half, 0.0, -half, half, root, 1.0, root]
    np.testing.assert_allclose(beam_numbers([30.0]), wanted, atol=1e-12)


def test_numbers_of_several_beams_are_means() -> None:
    angles = (0.0, 75.0, 310.0)
    each = np.array([beam_numbers([angle])[1:] for angle in angles])
    np.testing.assert_allclose(beam_numbers(angles)[1:], each.mean(axis=0), atol=1e-12)
    assert beam_numbers(angles)[0] == pytest.approx(np.log(3 / 9))


@pytest.mark.parametrize("n", [5, 6, 7, 9, 12, 18])
def test_even_beams_differ_by_their_number_only(n: int) -> None:
    got = beam_numbers([17.0 + 360.0 / n * number for number in range(n)])
    np.testing.assert_allclose(got, [np.log(n / 9)] + [0.0] * 8, atol=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(-360, 720), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_beams_and_whole_turns_mean_nothing(angles: list[float], random: object) -> None:
    shuffled = [angle + 360.0 for angle in angles]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_allclose(beam_numbers(shuffled), beam_numbers(angles), atol=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 360), min_size=1, max_size=12))
def test_beams_from_the_other_side_change_the_sign_of_the_sines_alone(angles: list[float]) -> None:
    here, there = condition_of(0.0, {}, angles), condition_of(0.0, {}, [-angle for angle in angles])
    np.testing.assert_allclose(there[:13], here[:13], atol=1e-6)
    np.testing.assert_allclose(there[SINES], -here[SINES], atol=1e-6)


def test_left_and_right_fans_are_told_apart() -> None:
    left, right = (condition_of(0.0, {}, angles) for angles in ((30.0, 90.0, 150.0), (330.0, 270.0, 210.0)))
    assert left[SINES.start] > 0.6 > -0.6 > right[SINES.start]
    assert left[COUNT] == right[COUNT] == pytest.approx(np.log(3 / 9))


def test_homogeneity_organs_and_beams_do_not_mix() -> None:
    """All at once is the sum of each alone."""
    angles = (0.0, 50.0, 100.0, 230.0, 300.0)
    alone = condition_of(0.0, {}, angles)
    parts = [condition_of(0.03, {}, NINE)] + [condition_of(0.0, {organ: 1.3}, NINE) for organ in ORGANS]
    both = condition_of(0.03, dict(zip(ORGANS, itertools.repeat(1.3))), angles)
    np.testing.assert_allclose(both, alone + np.sum(parts, axis=0), atol=1e-5)
    assert np.count_nonzero(both[ORGAN_NUMBERS]) == len(ORGANS)
