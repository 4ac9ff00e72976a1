"""Muon and AdamW together: what an update is, who gets which, and that a training goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.fdp.blocks import channels_last
from models.fdp.network import Fdp, NetworkSettings
from models.fdp.vqvae import VqVae
from models.training.optimizer import Muon, Optimizers, orthogonalized
from tests.models.training import small

SHAPES = [(8, 64), (64, 8), (16, 432), (432, 16), (32, 128)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    for seed in range(3):
        values = torch.linalg.svdvals(orthogonalized(noise(*shape, seed=seed)))
        assert len(values) == min(shape)
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@pytest.mark.parametrize("shape", [*SHAPES, (12, 12)])
def test_singular_vectors_stay_and_singular_values_go_through_the_polynomial(shape: tuple[int, int]) -> None:
    matrix = noise(*shape)
    left, values, right = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    np.testing.assert_allclose(orthogonalized(matrix).numpy(), (left * values) @ right, atol=2e-4)


def test_a_matrix_and_its_transpose_or_a_multiple_of_it_have_the_same_direction() -> None:
    matrix = noise(8, 64)
    one = orthogonalized(matrix)
    torch.testing.assert_close(orthogonalized(matrix.T), one.T)
    for factor in (1e-3, 1e4):
        torch.testing.assert_close(orthogonalized(factor * matrix), one, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(orthogonalized(-matrix), -one)


def test_a_gradient_of_zero_has_no_direction() -> None:
    assert not orthogonalized(torch.zeros(4, 6)).any()


def moved(weight: Tensor, gradients: list[Tensor], lr: float = 0.01, decay: float = 0.0) -> Tensor:
    """Give a weight after steps with these gradients."""
    parameter = nn.Parameter(weight.clone())
    optimizer = Muon([parameter], lr, weight_decay=decay)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(16, 8, 3, 3, 3), (64, 8, 1, 1, 1), (8, 128, 1, 1, 1), (32, 32, 3, 3, 3)])
@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_an_update_is_a_fifth_of_the_learning_rate_whatever_the_shape_and_the_gradient(
    shape: tuple[int, ...], scale: float
) -> None:
    weight = noise(*shape)
    change = (moved(weight, [scale * noise(*shape, seed=1)]) - weight) / 0.01
    assert float(change.square().mean().sqrt()) == pytest.approx(0.2, rel=0.35)


def test_the_first_update_goes_down_the_orthogonalized_gradient() -> None:
    weight, gradient = noise(16, 8, 3, 3, 3), noise(16, 8, 3, 3, 3, seed=1)
    update = orthogonalized(gradient.reshape(16, 216)).reshape(weight.shape)
    torch.testing.assert_close(moved(weight, [gradient]), weight - 0.01 * 0.2 * 216**0.5 * update)
    loss = (gradient * (moved(weight, [gradient]) - weight)).sum()
    assert float(loss) < -1.0


def test_momentum_keeps_nineteen_twentieths_and_looks_ahead() -> None:
    """Nesterov: the mean of gradients is taken once more towards the newest one."""
    weight = noise(6, 4, 1, 1, 1)
    gradients = [noise(6, 4, 1, 1, 1, seed=seed) * 10.0**seed for seed in (1, 2, 1)]
    expected, momentum = weight.reshape(6, 4), torch.zeros(6, 4)
    for gradient in gradients:
        momentum = 0.95 * momentum + 0.05 * gradient.reshape(6, 4)
        ahead = 0.95 * momentum + 0.05 * gradient.reshape(6, 4)
        expected = expected - 0.01 * 0.2 * 6**0.5 * orthogonalized(ahead)
    torch.testing.assert_close(moved(weight, gradients).reshape(6, 4), expected, atol=1e-5, rtol=1e-5)


def test_weights_decay_by_rate_times_decay_and_only_where_there_is_a_gradient() -> None:
    weight = noise(6, 4, 1, 1, 1)
    zero = torch.zeros_like(weight)
    torch.testing.assert_close(moved(weight, [zero] * 3, lr=0.1, decay=0.5), weight * 0.95**3)
    untouched = nn.Parameter(weight.clone())
    Muon([untouched], 0.1, weight_decay=0.5).step()
    assert torch.equal(untouched.detach(), weight)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    sizes = small.NETWORK
    return {
        "resunet": Fdp(sizes),
        "mednext": Fdp(NetworkSettings("mednext", sizes.widths, sizes.latent, sizes.style)),
        "stage1": VqVae(sizes),
    }


def shared_out(network: nn.Module) -> tuple[set[str], set[str]]:
    """Give the names of what Muon and AdamW move; each once."""
    optimizers = Optimizers(network, 1e-3, 0.01)
    names = {id(weight): name for name, weight in network.named_parameters()}
    muon, adam = ([names[id(w)] for group in part.param_groups for w in group["params"]] for part in optimizers._parts)
    assert isinstance(optimizers._parts[0], Muon)
    assert isinstance(optimizers._parts[1], torch.optim.AdamW)
    assert len({*muon, *adam}) == len(muon) + len(adam)
    return set(muon), set(adam)


@pytest.mark.parametrize("kind", ["resunet", "mednext", "stage1"])
def test_dense_convolutions_go_to_muon_and_everything_else_that_learns_to_adam(kind: str) -> None:
    network = networks()[kind]
    muon, adam = shared_out(network)
    for name, weight in network.named_parameters():
        dense = weight.ndim == 5 and weight.shape[1] > 1 and name.endswith(".weight")
        assert (name in muon) == dense, name
        assert (name in adam) == (not dense and weight.requires_grad), name
    assert "quantizer.embedding.weight" not in muon | adam  # it follows the latents by moving means


def test_examples_of_each_kind_are_with_the_right_one() -> None:
    muon, adam = shared_out(networks()["mednext"])
    decoder = "proposer.decoder.fine."
    assert {
        "encoder.fine_in.weight", "encoder.fine.0.expand.weight", decoder + "conv1.weight", "proposer.spread.weight",
    } <= muon  # fmt: skip
    assert {
        "encoder.fine.0.depthwise.weight", "encoder.fine.0.norm.weight", "encoder.fine.0.norm.bias",
        "encoder.fine_in.bias", decoder + "style.weight", decoder + "style.bias",
    } <= adam  # fmt: skip


def learn(network: nn.Module, optimizers: Optimizers, seeds: range) -> None:
    """Take a step for each seed, every gradient drawn at random."""
    for seed in seeds:
        optimizers.zero_grad()
        assert all(weight.grad is None for weight in network.parameters())
        generator = torch.Generator().manual_seed(seed)
        for weight in network.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizers.step()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("kind", ["resunet", "mednext"])
def test_resuming_takes_the_same_next_steps(kind: Literal["resunet", "mednext"], tmp_path: Path) -> None:
    network = channels_last(networks()[kind])
    optimizers = Optimizers(network, 1e-2, 0.02)
    learn(network, optimizers, range(2))
    torch.save({"network": network.state_dict(), "optimizer": optimizers.state_dict()}, tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    learn(network, optimizers, range(2, 4))

    resumed, forgetful = channels_last(networks()[kind]), channels_last(networks()[kind])
    ends = []
    for again in (resumed, forgetful):
        again.load_state_dict(content["network"])
        taken_up = Optimizers(again, 1e-2, 0.02)
        if again is resumed:
            taken_up.load_state_dict(content["optimizer"])
        learn(again, taken_up, range(2, 4))
        ends.append(state(again))
    wanted = state(network)
    assert all(torch.equal(ends[0][name], value) for name, value in wanted.items())
    dense = "encoder.middle_in.weight"
    assert not torch.allclose(ends[1][dense], wanted[dense])
    assert not torch.allclose(ends[1]["encoder.middle_in.bias"], wanted["encoder.middle_in.bias"])


def test_the_layout_of_weights_in_memory_changes_no_update() -> None:
    plain, laid_out = networks()["resunet"], channels_last(networks()["resunet"])
    for network in (plain, laid_out):
        learn(network, Optimizers(network, 1e-2, 0.02), range(2))
    for (name, one), other in zip(plain.named_parameters(), laid_out.parameters(), strict=True):
        torch.testing.assert_close(other, one, msg=name, atol=1e-5, rtol=1e-4)


def test_a_learning_rate_is_set_for_both_and_is_three_times_as_high_for_the_layers_of_the_condition() -> None:
    network = networks()["resunet"]
    optimizers = Optimizers(network, 1e-2, 0.02)
    first = state(network)
    optimizers.set_rate(0.0)
    learn(network, optimizers, range(1))
    assert all(torch.equal(value, first[name]) for name, value in state(network).items())
    optimizers.set_rate(1e-3)
    muon, adam = (part["param_groups"] for part in optimizers.state_dict())
    assert [group["lr"] for group in muon] == [1e-3]
    rates = [group["lr"] for group in adam for _ in group["params"]]
    assert set(rates) == {1e-3, 3e-3}
    n_style = sum("style" in name.split(".") for name, _ in network.named_parameters())
    assert rates.count(3e-3) == n_style
