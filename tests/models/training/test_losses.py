"""Losses against numpy, closed forms and the score of the challenge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bridge.rt.openkbp import dvh_criteria
from models.fdp.frame import SPACING_MM
from models.training.dataset import ROIS
from models.training.losses import dvh_loss, image_loss, quantile, spread_loss, total, uniformity_loss
from tests.models.training import small

SHAPE = (8, 10, 12)
OPENKBP_NAMES = {"Parotid_R": "RightParotid", "Parotid_L": "LeftParotid", "Bone_Mandible": "Mandible"}


def boxes() -> dict[str, torch.Tensor]:
    """Structures of 8 voxels and more; the larynx has 7 and the last one none."""
    places = {
        "Brainstem": np.s_[0:2, 0:2, 0:2], "SpinalCord": np.s_[:, 5, 5], "Parotid_R": np.s_[2:5, 2:6, 1:4],
        "Larynx": np.s_[0, 0, 0:7], "PTV56": np.s_[3:7, 3:7, 3:9], "PTV70": np.s_[4:6, 4:6, 4:8],
    }  # fmt: skip
    masks = {name: torch.zeros(SHAPE, dtype=torch.bool) for name in places}
    for name, place in places.items():
        masks[name][place] = True
    return masks


def two_doses(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(SHAPE, generator=generator), torch.rand(SHAPE, generator=generator)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.02, 0.05, 0.5, 0.98, 0.99, 1.0])
def test_the_quantile_is_numpys_percentile(n: int, part: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = np.percentile(values, 100 * part)
    assert float(quantile(torch.from_numpy(np.sort(values)), part)) == pytest.approx(expected, abs=1e-12)


def test_the_image_loss_is_a_mean_error_in_which_structures_count_more_and_the_rest_nothing() -> None:
    plan, dose = two_doses()
    where = torch.zeros(SHAPE)
    where[1:7, 1:9, 2:11] = 1.0
    sample = small.sample(plan, boxes(), where)
    inside = np.any([mask.numpy() for mask in boxes().values()], axis=0)
    weight = where.numpy() * np.where(inside, 1.75, 1.0)
    expected = np.average(np.abs(dose.numpy() - plan.numpy()), weights=weight)
    assert float(image_loss(dose[None, None], sample, 0.75)) == pytest.approx(float(expected), rel=1e-5)
    assert float(image_loss(plan[None, None], sample, 0.75)) == 0.0
    outside = plan + 100.0 * (1.0 - where)
    assert float(image_loss(outside[None, None], sample, 0.75)) == 0.0


def test_a_box_in_which_no_dose_counts_has_no_loss() -> None:
    plan, dose = two_doses()
    sample = small.sample(plan, boxes(), torch.zeros(SHAPE))
    assert float(image_loss(dose[None, None], sample, 0.5)) == 0.0
    assert float(spread_loss(torch.ones(1, 1, *SHAPE), dose[None, None], sample)) == 0.0


def test_the_curve_loss_is_the_area_between_the_dvhs() -> None:
    plan, dose = two_doses()
    areas = []
    for mask in boxes().values():
        if mask.sum() >= 8:
            mine, theirs = dose.numpy()[mask.numpy()], plan.numpy()[mask.numpy()]
            # volume above each dose, integrated over dose on a fine lattice
            doses = np.linspace(0.0, 1.0, 20001)
            above = [(values[:, None] > doses).mean(axis=0) for values in (mine, theirs)]
            areas.append(np.abs(above[0] - above[1]).mean())
    loss = dvh_loss(dose[None, None], small.sample(plan, boxes()))
    assert float(loss.curve) == pytest.approx(float(np.mean(areas)), abs=1e-4)


def test_the_criteria_loss_is_the_dvh_score_of_the_challenge() -> None:
    plan, dose = two_doses(3)
    masks = {OPENKBP_NAMES.get(name, name): mask.numpy() for name, mask in boxes().items() if mask.sum() >= 8}
    voxel_mm3 = float(np.prod(SPACING_MM))
    wanted, got = (dvh_criteria(values.numpy(), masks, voxel_mm3) for values in (plan, dose))
    expected = np.mean([abs(got[name] - wanted[name]) for name in wanted])
    assert len(wanted) == 3 * 2 + 2 * 3
    loss = dvh_loss(dose[None, None], small.sample(plan, boxes()))
    assert float(loss.criteria) == pytest.approx(float(expected), abs=1e-6)


def test_equal_dvhs_cost_nothing_even_where_doses_change_places() -> None:
    plan, _ = two_doses()
    mask = boxes()["PTV56"]
    dose = plan.clone()
    dose[mask] = plan[mask].flip(0)
    loss = dvh_loss(dose[None, None], small.sample(plan, {"PTV56": mask}))
    assert (float(loss.curve), float(loss.criteria)) == (0.0, 0.0)


def test_a_shift_of_the_dose_costs_its_size_and_has_a_gradient_of_its_sign() -> None:
    plan, _ = two_doses()
    dose = (plan + 0.25)[None, None].requires_grad_()
    loss = dvh_loss(dose, small.sample(plan, boxes()))
    assert float(loss.curve.detach()) == pytest.approx(0.25, rel=1e-5)
    assert float(loss.criteria.detach()) == pytest.approx(0.25, rel=1e-5)
    (loss.curve + loss.criteria).backward()
    gradient = dose.grad
    assert gradient is not None
    assert float(gradient.sum()) == pytest.approx(2.0, rel=1e-4)  # both losses grow by as much as all doses
    in_any = torch.stack([mask for mask in boxes().values() if mask.sum() >= 8]).any(dim=0)
    assert torch.equal(gradient[0, 0] != 0, in_any)


def test_boxes_without_structures_have_no_dvh_loss_but_still_a_gradient_of_zero() -> None:
    plan, dose = two_doses()
    asked = dose[None, None].requires_grad_()
    loss = dvh_loss(asked, small.sample(plan, {"Larynx": boxes()["Larynx"]}))
    (loss.curve + loss.criteria).backward()
    assert float(loss.curve.detach()) == 0.0
    assert asked.grad is not None
    assert not asked.grad.any()


def test_the_scale_is_best_where_it_is_the_mean_error_and_the_dose_is_left_alone() -> None:
    plan, dose = two_doses()
    asked = dose[None, None].requires_grad_()
    sample = small.sample(plan, {})
    error = float((dose.detach() - plan).abs().mean())

    def loss(spread: float) -> float:
        return float(spread_loss(torch.full((1, 1, *SHAPE), spread), asked, sample))

    best = error - 1e-3  # of e / (s + o) + log(s + o)
    assert loss(best) == pytest.approx(1.0 + np.log(error), rel=1e-5)
    assert loss(best) < min(loss(1.05 * best), loss(0.95 * best))
    spread = torch.full((1, 1, *SHAPE), 0.1, requires_grad=True)
    spread_loss(spread, asked, sample).backward()
    assert asked.grad is None
    assert spread.grad is not None


def test_uniformity_is_zero_for_equal_and_lowest_for_opposite_latents() -> None:
    latent = torch.randn(1, 16, 2, 2, 2) + 1.0
    equal = torch.cat([latent, 3.0 * latent])  # the length does not count
    opposite = torch.cat([latent, -latent])
    assert float(uniformity_loss(equal)) == pytest.approx(0.0, abs=1e-5)
    assert float(uniformity_loss(opposite)) == pytest.approx(-8.0, rel=1e-5)  # |2|² times 2
    assert float(uniformity_loss(opposite, temperature=0.5)) == pytest.approx(-2.0, rel=1e-5)
    right_angle = torch.zeros(2, 16, 1, 1, 1)
    right_angle[0, 0], right_angle[1, 1] = 5.0, 2.0
    assert float(uniformity_loss(right_angle)) == pytest.approx(-4.0, rel=1e-5)
    three = torch.cat([latent, latent, -latent])  # one equal pair, two opposite ones
    assert float(uniformity_loss(three)) == pytest.approx(np.log((1 + 2 * np.exp(-8.0)) / 3), rel=1e-4)


def test_one_latent_has_no_pair_and_no_loss() -> None:
    latent = torch.randn(1, 16, 2, 2, 2, requires_grad=True)
    loss = uniformity_loss(latent)
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_losses_of_weight_zero_are_left_out_even_if_they_are_no_numbers() -> None:
    parts = [(2.0, torch.tensor(3.0)), (0.0, torch.tensor(float("nan"))), (0.5, torch.tensor(4.0))]
    assert float(total(parts)) == 8.0


def test_all_structures_of_the_challenge_have_a_place() -> None:
    names = {OPENKBP_NAMES.get(name, name) for name in ROIS}
    dose = np.ones((1,))
    assert len(dvh_criteria(dose, dict.fromkeys(names, np.ones(1, dtype=bool)), 48.0)) == 23
