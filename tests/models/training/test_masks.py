"""Statistics over the body alone: against oracles, and that air around a patient has no say in his dose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from models.fdp.blocks import AdaptiveBlock, Backbone, DepthwiseBlock, GroupScale, ResidualBlock, standardized
from models.fdp.channels import CHANNELS
from models.fdp.condition import CONDITION_SIZE
from models.fdp.network import Fdp, coarser, inside_of
from models.fdp.vqvae import VqVae
from tests.models.training import small

BODY, HIGH = CHANNELS.index("body"), CHANNELS.index("target_high")
SHAPE = (4, 6, 5)
BACKBONES: tuple[Backbone, ...] = ("resunet", "mednext")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask(batch: int = 2, seed: int = 1) -> torch.Tensor:
    """A body of its own for each of a batch, two fifths of the box."""
    return (torch.rand(batch, 1, *SHAPE, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_with_every_voxel_inside_it_is_group_normalization(groups: int) -> None:
    x = 3.0 + 2.0 * noise(2, 8, *SHAPE)
    wanted = nn.functional.group_norm(x, groups)
    torch.testing.assert_close(standardized(x, torch.ones(2, 1, *SHAPE), groups), wanted, atol=1e-5, rtol=1e-5)


def test_with_every_voxel_inside_and_a_group_for_each_channel_it_is_instance_normalization() -> None:
    x = 3.0 + 2.0 * noise(2, 8, *SHAPE)
    wanted = nn.functional.instance_norm(x)
    torch.testing.assert_close(standardized(x, torch.ones(2, 1, *SHAPE), 8), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_mean_and_variance_are_those_of_the_voxels_inside(groups: int) -> None:
    x, inside = 3.0 + 2.0 * noise(2, 8, *SHAPE), mask()
    found = standardized(x, inside, groups).numpy()
    values, chosen = x.double().numpy(), inside.numpy()[:, 0] > 0
    each = 8 // groups
    for b, group in product(range(2), range(groups)):
        channels = slice(group * each, (group + 1) * each)
        here = values[b, channels][:, chosen[b]]
        wanted = (values[b, channels] - here.mean()) / np.sqrt(here.var() + 1e-5)
        np.testing.assert_allclose(found[b, channels], wanted, atol=2e-5)


def test_what_lies_outside_has_no_say_in_what_lies_inside() -> None:
    x, inside = noise(2, 8, *SHAPE), mask()
    other = torch.where(inside > 0, x, 1e3 + 1e3 * noise(2, 8, *SHAPE, seed=5))
    here = (inside > 0).expand_as(x)
    for groups in (2, 8):
        assert torch.equal(standardized(other, inside, groups)[here], standardized(x, inside, groups)[here])


def test_a_box_of_nothing_but_air_stays_finite_and_so_does_its_gradient() -> None:
    x = noise(2, 8, *SHAPE).requires_grad_()
    inside = mask()
    inside[1] = 0.0
    values = standardized(x, inside, 4)
    values.square().sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(values).all())
    assert bool(torch.isfinite(x.grad).all())
    # and the other box does not feel it
    torch.testing.assert_close(values[:1], standardized(x[:1], inside[:1], 4), atol=1e-5, rtol=1e-5)


def test_a_constant_becomes_zero() -> None:
    inside = mask()
    found = standardized(torch.full((2, 8, *SHAPE), 0.7), inside, 4)
    np.testing.assert_allclose(found.numpy(), 0.0, atol=2e-4)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_statistics_are_counted_in_full_precision_where_convolutions_are_not(kind: torch.dtype) -> None:
    """A mean of squares in half precision has no digits left for the variance."""
    x, inside = (3.0 + 0.3 * noise(2, 8, *SHAPE)).to(kind), mask()
    wanted = standardized(x.float(), inside, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = standardized(x, inside.to(kind), 8)
        assert torch.is_autocast_enabled("cpu")
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)


Block = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def blocks() -> dict[str, Block]:
    torch.manual_seed(1)
    adaptive, condition = AdaptiveBlock(8, 3), torch.randn(2, 3)
    nn.init.normal_(adaptive.style.weight)
    return {
        "scale": GroupScale(4, 8),
        "residual": ResidualBlock(8),
        "depthwise": DepthwiseBlock(8),
        "adaptive": lambda x, inside: adaptive(x, inside, condition),
    }


@pytest.mark.parametrize("name", blocks())
@torch.no_grad()
def test_air_is_to_a_block_what_padding_is(name: str) -> None:
    """More air around a box, whatever it holds, leaves the voxels of the body as they are."""
    block = blocks()[name]
    x, inside = noise(2, 8, *SHAPE), mask()
    wide = noise(2, 8, *(n + 4 for n in SHAPE), seed=7)
    wide_inside = torch.zeros(2, 1, *(n + 4 for n in SHAPE))
    wide[:, :, 2:-2, 2:-2, 2:-2], wide_inside[:, :, 2:-2, 2:-2, 2:-2] = x, inside
    here = (inside > 0).expand_as(x)
    found = block(wide, wide_inside)[:, :, 2:-2, 2:-2, 2:-2]
    torch.testing.assert_close(found[here], block(x, inside)[here], atol=1e-5, rtol=1e-5)


def test_a_cell_is_inside_if_it_holds_any_body_however_little() -> None:
    rng = np.random.default_rng(0)
    body = np.where(rng.random((2, 8, 8, 12)) < 0.04, rng.uniform(0.001, 1.0, (2, 8, 8, 12)), 0.0).astype(np.float32)
    inside = inside_of(torch.from_numpy(body)[:, None], masked=True)
    for found, size in ((inside, 2), (coarser(inside), 4), (coarser(coarser(inside)), 8)):
        sides = [n // size for n in body.shape[1:]]
        for b, z, y, x in product(range(2), *map(range, sides)):
            corner = tuple(slice(i * size, (i + 1) * size) for i in (z, y, x))
            assert float(found[b, 0, z, y, x]) == float((body[b][corner] > 0).any())
        assert found.shape == (2, 1, *sides)


def test_without_a_mask_all_is_inside() -> None:
    assert torch.equal(inside_of(torch.zeros(2, 1, 8, 8, 12), masked=False), torch.ones(2, 1, 4, 4, 6))


def network_of(backbone: Backbone, masked: bool) -> Fdp:
    """A network in which every weight says something, also those that start at zero."""
    torch.manual_seed(1)
    network = Fdp(replace(small.NETWORK, backbone=backbone, masked=masked)).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".style." in name or ".skip." in name or ".norm" in name:
                weight += 0.3 * torch.randn(weight.shape)
    return network


def anatomy(through: bool) -> torch.Tensor:
    """Channels of noise and a body that ends within cells, or runs through the box to both of its ends.

    The high target lies in the body, as no dose but its own may have a say in how it is spread.
    """
    channels = noise(1, len(CHANNELS), *small.BOX)
    body = torch.zeros(small.BOX)
    body[slice(None) if through else slice(3, 13), 2:14, 3:20] = 1.0
    channels[:, BODY] = body
    channels[:, HIGH] *= body
    return channels


def padded(channels: torch.Tensor, by: int) -> torch.Tensor:
    """Put a box into a larger one of air, whose channels are noise but for the body and the target."""
    larger = noise(1, len(CHANNELS), *(n + 2 * by for n in channels.shape[2:]), seed=9)
    larger[:, [BODY, HIGH]] = 0.0
    larger[:, :, by:-by, by:-by, by:-by] = channels
    return larger


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("through", [False, True])
@torch.no_grad()
def test_more_air_around_the_box_changes_no_dose_in_the_body(backbone: Backbone, through: bool) -> None:
    network, condition = network_of(backbone, masked=True), noise(1, CONDITION_SIZE)
    channels = anatomy(through)
    here = channels[:, BODY : BODY + 1] > 0
    alone = network(channels, condition)
    around = network(padded(channels, 16), condition)
    assert float(alone[0][here].std()) > 0.05  # there is something to change
    for found, wanted in zip(around[:2], alone[:2], strict=True):
        torch.testing.assert_close(found[:, :, 16:-16, 16:-16, 16:-16][here], wanted[here], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_without_a_mask_the_dose_in_the_body_hangs_on_the_air_around_it() -> None:
    network, condition = network_of("resunet", masked=False), noise(1, CONDITION_SIZE)
    channels = anatomy(through=False)
    here = channels[:, BODY : BODY + 1] > 0
    found = network(padded(channels, 16), condition)[0][:, :, 16:-16, 16:-16, 16:-16]
    assert float((found - network(channels, condition)[0])[here].abs().mean()) > 1e-2


def reach(network: Fdp, channels: torch.Tensor) -> torch.Tensor:
    """Give for each voxel whether any of its channels pulls on the dose and its scale in the body."""
    channels = channels.clone().requires_grad_()
    dose, spread, _ = network(channels, noise(1, CONDITION_SIZE))
    here = channels[:, BODY : BODY + 1].detach() > 0
    (dose[here].square().sum() + spread[here].sum()).backward()
    assert channels.grad is not None
    return (channels.grad != 0).any(dim=1)[0]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_air_has_a_say_only_in_cubes_of_eight_voxels_that_hold_body(backbone: Backbone) -> None:
    """Folding puts 8 x 8 x 8 voxels into one coarse cell; beyond the cells of the body, air is padding."""
    channels = padded(anatomy(through=False), 8)
    channels[:, [BODY, HIGH], :, :, :24] = 0.0  # only the right part of the body is left
    sides = [n // 8 for n in channels.shape[2:]]
    cubes = channels[0, BODY].reshape(sides[0], 8, sides[1], 8, sides[2], 8).amax(dim=(1, 3, 5)) > 0
    near = cubes.repeat_interleave(8, 0).repeat_interleave(8, 1).repeat_interleave(8, 2)
    assert 0.0 < float(near.float().mean()) < 0.2
    found = reach(network_of(backbone, masked=True), channels)
    assert torch.equal(found, near)
    assert bool(reach(network_of(backbone, masked=False), channels).all())


@pytest.mark.filterwarnings(small.NO_CUDA)
@torch.no_grad()
def test_a_dose_comes_back_from_its_codes_the_same_whatever_air_is_around_it() -> None:
    torch.manual_seed(1)
    masked, whole = (VqVae(replace(small.NETWORK, masked=masked)).eval() for masked in (True, False))
    whole.load_state_dict(masked.state_dict())
    dose, body = torch.rand(1, 1, *small.BOX), anatomy(through=False)[:, BODY : BODY + 1]
    larger, larger_body = (torch.nn.functional.pad(values, (16,) * 6) for values in (dose, body))
    here = body > 0
    differences = []
    for network in (masked, whole):
        around = network(larger, larger_body)[0][:, :, 16:-16, 16:-16, 16:-16]
        differences.append(float((around - network(dose, body)[0])[here].abs().max()))
    assert differences[0] < 1e-4
    assert differences[1] > 1e-2
