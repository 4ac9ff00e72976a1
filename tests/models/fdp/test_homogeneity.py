"""The wish for homogeneity: on doses whose homogeneity is known in closed form."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch

from models.fdp.condition import HI_UNIT
from models.fdp.homogeneity import TargetSpread

SHAPE = (1, 1, 20, 50, 40)
NORMAL = NormalDist()


def target() -> torch.Tensor:
    """The upper half of the box, its border voxels filled in part."""
    highest = torch.zeros(SHAPE)
    highest[:, :, 10:] = 1.0
    highest[:, :, 9] = 0.4
    return highest


def normal_doses(mean: float = 1.02, deviation: float = 0.02) -> torch.Tensor:
    """Doses at the quantiles of a normal distribution in the target, and a gradient elsewhere."""
    dose = torch.linspace(0.0, 0.9, 20).reshape(1, 1, 20, 1, 1).expand(SHAPE).clone()
    count = 10 * 50 * 40
    ordered = [mean + deviation * NORMAL.inv_cdf((i + 0.5) / count) for i in range(count)]
    shuffled = torch.tensor(ordered)[torch.randperm(count, generator=torch.Generator().manual_seed(1))]
    dose[:, :, 10:] = shuffled.reshape(1, 1, 10, 50, 40)
    return dose


def wish(units: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1, 1), units)


def spread(dose: torch.Tensor, units: float) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = TargetSpread()(dose, target(), wish(units))
    return result


def in_target(dose: torch.Tensor, part: float) -> float:
    return float(dose[target() >= 0.5].quantile(part))


def homogeneity_index(dose: torch.Tensor) -> float:
    return (in_target(dose, 0.98) - in_target(dose, 0.02)) / in_target(dose, 0.5)


def test_without_a_wish_the_dose_is_what_it_was() -> None:
    assert torch.equal(spread(normal_doses(), 0.0), normal_doses())


@pytest.mark.parametrize("units", [-0.8, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("deviation", [0.015, 0.03])
def test_normally_distributed_doses_change_their_index_by_what_is_asked(units: float, deviation: float) -> None:
    """The median moves up with the spread about D95, by at most 6 % here: the change is that much smaller."""
    dose = normal_doses(deviation=deviation)
    change = homogeneity_index(spread(dose, units)) - homogeneity_index(dose)
    assert change == pytest.approx(units * HI_UNIT, rel=0.08)


@pytest.mark.parametrize("units", [-0.8, 0.5, 1.5])
def test_coverage_stays(units: float) -> None:
    assert in_target(spread(normal_doses(), units), 0.05) == pytest.approx(in_target(normal_doses(), 0.05), abs=1e-4)


def test_outside_the_highest_target_nothing_changes() -> None:
    outside = target() < 0.5
    assert torch.equal(spread(normal_doses(), 1.0)[outside], normal_doses()[outside])


def test_hot_and_cold_voxels_keep_their_order_whatever_is_asked() -> None:
    """An index below zero would turn hot spots cold; a quarter of the spread is the least."""
    inside = target() >= 0.5
    before, after = normal_doses()[inside], spread(normal_doses(), -10.0)[inside]
    assert torch.equal(before.argsort(), after.argsort())
    assert float(after.std() / before.std()) == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("dose", [torch.zeros(SHAPE), torch.ones(SHAPE)], ids=["zero", "uniform"])
def test_a_dose_without_spread_and_a_box_without_target_stay_finite(dose: torch.Tensor) -> None:
    assert torch.allclose(spread(dose, 1.0), dose, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(TargetSpread()(dose, torch.zeros(SHAPE), wish(1.0)), dose)


@pytest.mark.parametrize("units", [0.0, 1.0])
def test_a_uniform_dose_has_a_gradient_that_is_a_number(units: float) -> None:
    """A standard deviation of zero has a root without a slope."""
    dose = torch.ones(SHAPE, requires_grad=True)
    TargetSpread()(dose, target(), wish(units)).sum().backward()
    assert dose.grad is not None
    assert bool(torch.isfinite(dose.grad).all())


def test_each_patient_of_a_batch_is_spread_by_his_own_wish() -> None:
    dose = torch.cat([normal_doses(), normal_doses(deviation=0.04)])
    with torch.no_grad():
        both = TargetSpread()(dose, target().repeat(2, 1, 1, 1, 1), torch.cat([wish(1.0), wish(-0.5)]))
    assert torch.allclose(both[:1], spread(dose[:1], 1.0))
    assert torch.allclose(both[1:], spread(dose[1:], -0.5))
