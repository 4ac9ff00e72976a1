"""Wishes: their signs, their units, and what a dose pays that does not do what was wished."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.fdp.channels import ORGANS
from models.fdp.condition import HI_UNIT, WEIGHT_UNIT
from models.training.dataset import ROIS, Sample
from models.training.wish import NO_WISH, Wish
from models.training.wishes import Measures, hindsight, measure, random_wish, wish_loss
from tests.models.training import small

SHAPE = (10, 12, 14)
PLACES = {
    "SpinalCord": np.s_[:, 10:12, 6:8],
    "Parotid_R": np.s_[2:8, 2:6, 0:3],
    "Parotid_L": np.s_[2:8, 2:6, 11:14],
    "Larynx": np.s_[0:4, 4:9, 4:8],  # two slices of it in PTV70
    "Esophagus": np.s_[0:2, 0:2, 0:2],  # too few voxels to measure
    "PTV56": np.s_[2:8, 3:7, 8:10],
    "PTV70": np.s_[2:8, 3:8, 4:8],
}


def rois() -> dict[str, torch.Tensor]:
    masks = {name: torch.zeros(SHAPE, dtype=torch.bool) for name in PLACES}
    for name, place in PLACES.items():
        masks[name][place] = True
    return masks


def neutral_dose(seed: int = 0) -> torch.Tensor:
    """Around 0.4, and 0.95 to 1.05 in the targets."""
    rng = np.random.default_rng(seed)
    dose = rng.uniform(0.3, 0.5, SHAPE)
    for name in ("PTV56", "PTV70"):
        dose[PLACES[name]] = rng.uniform(0.95, 1.05, dose[PLACES[name]].shape)
    return torch.from_numpy(dose).float()


def case() -> tuple[torch.Tensor, Sample]:
    neutral = neutral_dose()
    return neutral, small.sample(neutral, rois())


def targets() -> torch.Tensor:
    return rois()["PTV56"] | rois()["PTV70"]


def weighted(dose: torch.Tensor, organs: dict[str, float]) -> torch.Tensor:
    """Do to the neutral dose what weights ask: the organ's mean outside the targets over the weight."""
    changed = dose.clone()
    for name, weight in organs.items():
        changed[rois()[name] & ~targets()] /= weight
    return changed


def wish_for(organs: dict[str, float], hi: float = 0.0) -> Wish:
    return Wish(hi, tuple(math.log(organs.get(name, 1.0)) / math.log(1.25) for name in ORGANS))


def losses(dose: torch.Tensor, wish: Wish) -> dict[str, float]:
    neutral, sample = case()
    found = wish_loss(dose[None, None], neutral[None, None], sample, [wish])
    return {name: float(value) for name, value in found.items()}


NOTHING = pytest.approx(dict.fromkeys(("homogeneity", "prescription", "organs", "elsewhere"), 0.0), abs=1e-5)


def test_measures_are_those_of_numpy() -> None:
    neutral, sample = case()
    found = measure(neutral, sample.rois[0])
    inside = neutral.numpy()[rois()["PTV70"].numpy()]
    d98, d50, d2 = np.percentile(inside, (2, 50, 98))
    assert float(found.hi) == pytest.approx((d2 - d98) / d50, rel=1e-5)
    expected = [np.percentile(neutral.numpy()[rois()[name].numpy()], 5) for name in ("PTV56", "PTV70")]
    np.testing.assert_allclose(found.d95.numpy(), expected, rtol=1e-6)
    for name, mean in zip(ORGANS, found.organs.tolist(), strict=True):
        if name in ("Brainstem", "Bone_Mandible", "Esophagus"):  # not there, or too small
            assert math.isnan(mean)
        else:
            outside = (rois()[name] & ~targets()).numpy()
            assert mean == pytest.approx(float(neutral.numpy()[outside].mean()), rel=1e-5)


def test_without_a_target_there_is_no_homogeneity() -> None:
    found = measure(neutral_dose(), small.sample(neutral_dose(), {"SpinalCord": rois()["SpinalCord"]}).rois[0])
    assert math.isnan(float(found.hi))
    assert len(found.d95) == 0


def test_in_hindsight_a_plan_like_the_neutral_prediction_was_made_without_a_wish() -> None:
    neutral, sample = case()
    same = measure(neutral, sample.rois[0])
    assert hindsight(same, same) == NO_WISH


def test_in_hindsight_a_plan_that_spares_more_had_a_positive_wish_in_the_unit_of_the_condition() -> None:
    neutral, sample = case()
    plan = weighted(neutral, {"Parotid_L": 1.25, "SpinalCord": 1 / 1.25**1.5, "Parotid_R": 1.25**9})
    wish = hindsight(measure(plan, sample.rois[0]), measure(neutral, sample.rois[0]))
    found = dict(zip(ORGANS, wish.organs, strict=True))
    assert found["Parotid_L"] == pytest.approx(1.0, abs=1e-4)
    assert found["SpinalCord"] == pytest.approx(-1.5, abs=1e-4)
    assert found["Parotid_R"] == 2.0  # held at what plans differ by
    assert found["Larynx"] == pytest.approx(0.0, abs=1e-4)
    assert (found["Brainstem"], found["Esophagus"], found["Bone_Mandible"]) == (0.0, 0.0, 0.0)
    assert wish.hi == 0.0


def test_in_hindsight_a_less_homogeneous_plan_had_a_positive_wish() -> None:
    organs = torch.full((len(ORGANS),), torch.nan)
    plan, neutral = (Measures(torch.tensor(hi), torch.ones(1), organs) for hi in (0.12, 0.08))
    assert hindsight(plan, neutral).hi == pytest.approx(0.04 / HI_UNIT)
    assert hindsight(neutral, plan).hi == pytest.approx(-0.04 / HI_UNIT)
    nothing = Measures(torch.tensor(torch.nan), torch.empty(0), organs)
    assert hindsight(nothing, neutral) == NO_WISH


def test_no_wish_and_an_unchanged_dose_cost_nothing() -> None:
    assert losses(case()[0], NO_WISH) == NOTHING


@pytest.mark.parametrize("organs", [{"Parotid_L": 1.3}, {"Parotid_R": 0.8, "SpinalCord": 1.2}, {"Larynx": 1.1}])
def test_a_dose_that_does_what_was_wished_and_nothing_else_costs_nothing(organs: dict[str, float]) -> None:
    neutral, _ = case()
    wish, dose = wish_for(organs), weighted(case()[0], organs)
    assert losses(dose, wish) == NOTHING
    # the same dose without the wish is wrong by the change itself, in the organs and elsewhere
    means = [float((dose - neutral)[rois()[name] & ~targets()].mean().abs()) for name in organs]
    assert losses(dose, NO_WISH)["organs"] == pytest.approx(0.5 * sum(means) / 4, rel=1e-3)  # four organs are kept
    assert losses(dose, NO_WISH)["elsewhere"] > 0.001
    # and the neutral dose with the wish leaves the wish undone
    assert losses(neutral, wish)["organs"] == pytest.approx(sum(means) / len(organs), rel=1e-3)
    # the other way round is worse still
    assert losses(neutral, wish_for({name: 1 / weight for name, weight in organs.items()}))["organs"] > 0.001


def test_homogeneity_is_wished_relative_to_the_neutral_one_and_coverage_stays() -> None:
    neutral, _ = case()
    inside = neutral[rois()["PTV70"]]
    d50 = np.percentile(inside.numpy(), 50)
    highest = inside.sort().values[-round(0.04 * len(inside)) :].mean()
    # stretch what lies above the median until the mean of the highest doses is the one wished for: D95 and D50 stay
    stretch = 1.0 + 0.6 * HI_UNIT * d50 / (highest - d50)
    dose = neutral.clone()
    dose[rois()["PTV70"]] = torch.where(inside > d50, d50 + float(stretch) * (inside - d50), inside)
    assert losses(dose, Wish(0.6, NO_WISH.organs)) == NOTHING
    assert losses(neutral, Wish(0.6, NO_WISH.organs))["homogeneity"] == pytest.approx(0.6 * HI_UNIT, rel=1e-3)
    # scaling the targets keeps the index and loses coverage
    scaled = torch.where(targets(), 0.9 * neutral, neutral)
    found = losses(scaled, NO_WISH)
    d95 = [np.percentile(neutral.numpy()[rois()[name].numpy()], 5) for name in ("PTV56", "PTV70")]
    assert found["prescription"] == pytest.approx(0.1 * float(np.mean(d95)), rel=1e-3)
    assert found["homogeneity"] == pytest.approx(0.0, abs=1e-5)


def test_no_dose_can_be_asked_to_be_more_homogeneous_than_any_plan() -> None:
    neutral, _ = case()
    now = float(measure(neutral, case()[1].rois[0]).hi)
    assert losses(neutral, Wish(-2.0, NO_WISH.organs))["homogeneity"] == pytest.approx(now - 0.02, rel=1e-4)


def test_a_change_beyond_targets_and_wished_organs_is_charged_where_the_plan_counts_dose() -> None:
    neutral, _ = case()
    free = targets() | rois()["Parotid_L"]
    where = torch.zeros(SHAPE)
    where[1:9] = 1.0
    counted = small.sample(neutral, rois(), where)
    wish = wish_for({"Parotid_L": 1.25})
    dose = neutral + 0.03
    found = wish_loss(dose[None, None], neutral[None, None], counted, [wish])
    assert float(found["elsewhere"]) == pytest.approx(0.03, rel=1e-4)
    only_outside = neutral + 0.03 * (1.0 - where)
    found = wish_loss(only_outside[None, None], neutral[None, None], counted, [wish])
    assert float(found["elsewhere"]) == 0.0
    one = neutral.clone()
    one[5, 0, 0] += 0.5
    found = wish_loss(one[None, None], neutral[None, None], counted, [wish])
    assert float(found["elsewhere"]) == pytest.approx(0.5 / int(((where > 0) & ~free).sum()), rel=1e-4)


def test_wishes_of_a_batch_are_held_against_their_own_boxes() -> None:
    neutral, _ = case()
    organs = {"Parotid_L": 1.3}
    sample = small.sample(neutral, rois(), batch=2)
    both = torch.stack([neutral, weighted(neutral, organs)])[:, None]
    neutrals = torch.stack([neutral, neutral])[:, None]
    right = wish_loss(both, neutrals, sample, [NO_WISH, wish_for(organs)])
    assert {name: float(value) for name, value in right.items()} == NOTHING
    crossed = wish_loss(both, neutrals, sample, [wish_for(organs), NO_WISH])
    assert float(crossed["organs"]) > 0.01


def test_the_gradient_pulls_an_organ_towards_its_wish_and_leaves_the_neutral_dose_alone() -> None:
    neutral, sample = case()
    dose = neutral[None, None].clone().requires_grad_()
    loss = wish_loss(dose, neutral[None, None], sample, [wish_for({"Parotid_L": 1.3})])
    torch.stack(list(loss.values())).sum().backward()
    gradient = dose.grad
    assert gradient is not None
    assert bool(torch.isfinite(gradient).all())
    parotid = rois()["Parotid_L"] & ~targets()
    assert bool((gradient[0, 0][parotid] > 0).all())  # down with the dose
    expected = 1.0 / int(parotid.sum())  # the only organ that was wished for
    torch.testing.assert_close(gradient[0, 0][parotid], torch.full((int(parotid.sum()),), expected))


def test_a_wish_for_homogeneity_moves_both_tails_of_the_highest_target_and_nothing_else() -> None:
    neutral, sample = case()
    dose = neutral[None, None].clone().requires_grad_()
    wish_loss(dose, neutral[None, None], sample, [Wish(1.0, NO_WISH.organs)])["homogeneity"].backward()
    assert dose.grad is not None
    high = rois()["PTV70"]
    gradient = dose.grad[0, 0][high]
    inside = neutral[high]
    tail = round(0.04 * len(inside))
    lowest, highest = inside.argsort()[:tail], inside.argsort()[-tail:]
    assert tail == 5
    assert bool((gradient[lowest] > 0).all())  # less homogeneous: down
    assert bool((gradient[highest] < 0).all())  # and up
    assert not bool(dose.grad[0, 0][~high].any())


def test_a_box_without_structures_costs_nothing_but_a_change() -> None:
    neutral = neutral_dose()
    sample = small.sample(neutral, {})
    found = wish_loss((neutral + 0.1)[None, None], neutral[None, None], sample, [wish_for({"Larynx": 1.2}, hi=1.0)])
    assert float(found["elsewhere"]) == pytest.approx(0.1, rel=1e-4)
    assert [float(found[name]) for name in ("homogeneity", "prescription", "organs")] == [0.0, 0.0, 0.0]


def test_random_wishes_are_of_the_kinds_that_are_honoured() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_wish(rng) for _ in range(2000)]
    assert all(-1.0 <= wish.hi <= 1.5 for wish in drawn)
    assert 0.35 < np.mean([wish.hi == 0.0 for wish in drawn]) < 0.45
    assert all(len(wish.organs) == len(ORGANS) and max(map(abs, wish.organs)) <= 1.5 for wish in drawn)
    alike = [wish for wish in drawn if len(set(wish.organs)) == 1 and wish.organs[0] != 0.0]
    assert 0.3 < len(alike) / len(drawn) < 0.37
    assert drawn[0].numbers() == [drawn[0].hi, *drawn[0].organs]


def test_a_wish_speaks_in_the_units_that_prediction_speaks_in() -> None:
    assert NO_WISH.numbers() == [0.0] * (1 + len(ORGANS))
    assert pytest.approx(math.log(1.25)) == WEIGHT_UNIT
    assert len(ROIS) == len(ORGANS) + 3


@pytest.mark.gpu
def test_wishes_are_held_against_doses_on_the_device() -> None:
    neutral, sample = case()
    device = torch.device("cuda")
    wish = wish_for({"Parotid_L": 1.3})
    found = wish_loss(neutral[None, None].to(device), neutral[None, None].to(device), sample.to(device), [wish])
    assert {name: float(value) for name, value in found.items()} == pytest.approx(losses(neutral, wish), abs=1e-6)
