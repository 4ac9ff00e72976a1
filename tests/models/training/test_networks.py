"""Blocks and networks of FDP: reordering, adaptive normalization, and the decoder that changes hands."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from models.fdp.blocks import AdaptiveBlock, GroupScale, channels_last, depth_to_space, encoder_block, space_to_depth
from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.condition import CONDITION_SIZE
from models.fdp.network import Fdp, NetworkSettings, inside_of
from models.fdp.vqvae import VqVae
from tests.models.training import small

BACKBONES: tuple[Literal["resunet", "mednext"], ...] = ("resunet", "mednext")
BODY = [CHANNELS.index("body")]


def tiny(backbone: Literal["resunet", "mednext"] = "resunet") -> NetworkSettings:
    return NetworkSettings(backbone, small.NETWORK.widths, small.NETWORK.latent, small.NETWORK.style)


def anatomy(seed: int = 0, batch: int = 1) -> torch.Tensor:
    """Channels of noise, with air around a body that ends within cells."""
    channels = torch.randn(batch, len(CHANNELS), *small.BOX, generator=torch.Generator().manual_seed(seed))
    channels[:, CHANNELS.index("body")] = 0.0
    channels[:, CHANNELS.index("body"), :, 3:13, 5:21] = 1.0
    return channels


def everywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x[:, :1])


def styled(network: nn.Module) -> None:
    """Give every layer that takes the condition something to say; at the start they say nothing."""
    for name, weight in network.named_parameters():
        if ".style." in name or ".wished_" in name:
            nn.init.normal_(weight, std=0.3)


def test_folding_into_channels_is_undone_by_unfolding() -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    assert torch.equal(depth_to_space(space_to_depth(x)), x)
    folded = torch.randn(2, 24, 2, 3, 4)
    assert torch.equal(space_to_depth(depth_to_space(folded)), folded)


def test_folding_keeps_the_eight_neighbours_of_a_cube_together() -> None:
    x = torch.arange(2 * 4 * 6 * 8, dtype=torch.float32).reshape(1, 2, 4, 6, 8)
    folded = space_to_depth(x)
    assert folded.shape == (1, 16, 2, 3, 4)
    for channel in range(2):
        for z, y, w in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
            cube = x[0, channel, 2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * w : 2 * w + 2]
            assert torch.equal(folded[0, 8 * channel : 8 * channel + 8, z, y, w], cube.flatten())


def test_group_scale_is_group_normalization() -> None:
    mine, reference = GroupScale(4, 8), nn.GroupNorm(4, 8)
    for parameter, other in zip(mine.parameters(), reference.parameters(), strict=True):
        nn.init.normal_(parameter)
        with torch.no_grad():
            other.copy_(parameter.flatten())
    x = torch.randn(2, 8, 3, 4, 5)
    torch.testing.assert_close(mine(x, everywhere(x)), reference(x))


def test_without_a_style_the_adaptive_block_is_plain_instance_normalization_whatever_the_condition() -> None:
    block = AdaptiveBlock(8, 5)
    x = 3.0 + 2.0 * torch.randn(2, 8, 4, 6, 8)

    def normal(y: torch.Tensor) -> torch.Tensor:
        mean, variance = y.mean(dim=(2, 3, 4), keepdim=True), y.var(dim=(2, 3, 4), unbiased=False, keepdim=True)
        return (y - mean) / (variance + 1e-5).sqrt()

    y = block.conv1(nn.functional.silu(normal(x)))
    expected = x + block.conv2(nn.functional.silu(normal(y)))
    inside = everywhere(x)
    torch.testing.assert_close(block(x, inside, torch.zeros(2, 5)), expected)
    assert torch.equal(block(x, inside, torch.randn(2, 5)), block(x, inside, torch.zeros(2, 5)))


def test_the_style_scales_and_shifts_in_the_order_that_it_is_written() -> None:
    block = AdaptiveBlock(8, 4)
    with torch.no_grad():  # one condition number for each quarter of the style
        block.style.weight[:] = torch.eye(4).repeat_interleave(8, dim=0)
    x = torch.randn(1, 8, 4, 4, 4)
    condition = torch.tensor([[0.5, -0.25, 1.5, 0.75]])
    normal = nn.functional.instance_norm
    y = block.conv1(nn.functional.silu(normal(x) * 1.5 - 0.25))
    expected = x + block.conv2(nn.functional.silu(normal(y) * 2.5 + 0.75))
    torch.testing.assert_close(block(x, everywhere(x), condition), expected)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_blocks_of_the_encoder_keep_the_shape_and_add_to_their_input(backbone: Literal["resunet", "mednext"]) -> None:
    block = encoder_block(backbone, 8)
    x = torch.randn(1, 8, 4, 6, 8)
    for module in block.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    inside = (torch.rand(1, 1, 4, 6, 8) > 0.5).float()
    assert torch.equal(block(x, inside), x)
    assert torch.equal(block(x, everywhere(x)), x)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_network_gives_dose_scale_and_latent_of_every_box_by_itself(
    backbone: Literal["resunet", "mednext"],
) -> None:
    torch.manual_seed(1)
    network = Fdp(tiny(backbone)).eval()
    styled(network)
    channels, condition = anatomy(batch=2), torch.randn(2, CONDITION_SIZE)
    with torch.no_grad():
        together = network(channels, condition)
        alone = network(channels[1:], condition[1:])
    assert [tuple(value.shape) for value in together] == [
        (2, 1, 16, 16, 24), (2, 1, 16, 16, 24), (2, 16, 4, 4, 6),
    ]  # fmt: skip
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:], one, atol=1e-5, rtol=1e-4)
    assert bool((together[1] > 0).all())  # a scale


def conditions(**wishes: float) -> torch.Tensor:
    condition = torch.zeros(1, CONDITION_SIZE)
    for name, value in wishes.items():
        condition[0, 0 if name == "hi" else 1 + ORGANS.index(name)] = value
    return condition


def test_an_organs_wish_changes_nothing_at_the_start_and_the_dose_once_it_was_learned() -> None:
    torch.manual_seed(1)
    network = Fdp(small.NETWORK).eval()
    wish, none = conditions(Larynx=1.0), conditions()
    with torch.no_grad():
        assert torch.equal(network(anatomy(), wish)[0], network(anatomy(), none)[0])
        styled(network)
        difference = network(anatomy(), wish)[0] - network(anatomy(), none)[0]
    assert float(difference.abs().max()) > 1e-3


def test_a_wish_is_told_where_its_organ_is() -> None:
    """Only the layers for places are given weights: what an organ that is not there is wished changes nothing."""
    torch.manual_seed(1)
    network = Fdp(small.NETWORK).eval()
    nn.init.normal_(network.proposer.decoder.skip.weight)
    for layer in (network.proposer.wished_middle, network.proposer.wished_fine):
        nn.init.normal_(layer.weight)
    channels = anatomy()
    channels[:, [CHANNELS.index("Larynx"), CHANNELS.index("target_high")]] = 0.0
    with torch.no_grad():
        none = network(channels, conditions())[0]
        assert torch.equal(network(channels, conditions(Larynx=1.0, hi=1.0))[0], none)
        assert not torch.equal(network(channels, conditions(Esophagus=1.0))[0], none)


def test_a_wish_has_no_place_in_the_air() -> None:
    channels = anatomy()
    wished = [CHANNELS.index(name) for name in ("target_high", *ORGANS)]
    channels[:, wished] = 0.75
    with torch.no_grad():
        places = Fdp(small.NETWORK).eval().encoder(channels)[-1]
    body = channels[:, BODY] > 0
    assert torch.equal(places, 0.75 * body.expand_as(places))


def test_without_a_wish_the_places_have_no_say() -> None:
    torch.manual_seed(1)
    network = Fdp(small.NETWORK).eval()
    with torch.no_grad():
        before = network(anatomy(), conditions())[0]
        for layer in (network.proposer.wished_middle, network.proposer.wished_fine):
            nn.init.normal_(layer.weight)
        assert torch.equal(network(anatomy(), conditions())[0], before)


def test_stage_two_starts_with_exactly_the_decoder_of_stage_one() -> None:
    torch.manual_seed(1)
    stage1 = VqVae(small.NETWORK).eval()
    styled(stage1)  # as if trained
    network = Fdp(small.NETWORK).eval()
    network.take_decoder(stage1.decoder.state_dict())
    latent, style = torch.randn(1, 16, 4, 4, 6), torch.randn(1, 8)
    fine, inside = torch.randn(1, 8, 8, 8, 12), inside_of(anatomy()[:, BODY], masked=True)
    with torch.no_grad():
        alone, _ = stage1.decoder(latent, inside, style)
        assert torch.equal(network.proposer.decoder(latent, inside, style, fine)[0], alone)


def test_a_decoder_as_it_is_made_ignores_the_encoders_features() -> None:
    decoder = VqVae(small.NETWORK).eval().decoder
    latent, style = torch.randn(1, 16, 4, 4, 6), torch.randn(1, 8)
    fine, inside = torch.randn(1, 8, 8, 8, 12), inside_of(anatomy()[:, BODY], masked=True)
    with torch.no_grad():
        assert torch.equal(decoder(latent, inside, style, fine)[0], decoder(latent, inside, style)[0])


def test_a_decoder_of_another_size_is_not_taken_over() -> None:
    other = NetworkSettings(widths=(16, 16, 24), latent=16, style=8)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Fdp(small.NETWORK).take_decoder(VqVae(other).decoder.state_dict())


def test_the_scale_does_not_pull_on_the_dose() -> None:
    torch.manual_seed(1)
    network = Fdp(small.NETWORK)
    _, spread, _ = network(anatomy(), torch.zeros(1, CONDITION_SIZE))
    spread.sum().backward()
    with_gradient = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert with_gradient == {"proposer.spread.weight", "proposer.spread.bias"}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_weight_learns_from_the_dose_and_its_scale(backbone: Literal["resunet", "mednext"]) -> None:
    torch.manual_seed(1)
    network = Fdp(tiny(backbone))
    styled(network)
    nn.init.normal_(network.proposer.decoder.skip.weight, std=0.3)
    dose, spread, _ = network(anatomy(), torch.randn(1, CONDITION_SIZE))
    (dose.square().mean() + spread.mean()).backward()
    still = {name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert still == set()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_layout_of_the_weights_changes_no_result(backbone: Literal["resunet", "mednext"]) -> None:
    torch.manual_seed(1)
    network = Fdp(tiny(backbone)).eval()
    with torch.no_grad():
        before = network(anatomy(), torch.zeros(1, CONDITION_SIZE))[0]
        after = channels_last(network)(anatomy(), torch.zeros(1, CONDITION_SIZE))[0]
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    convolutions = [module.weight for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in convolutions)
