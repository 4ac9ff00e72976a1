"""Stage I's network: codes, how many are in use, and codes that come back to life."""

from __future__ import annotations

import pytest
import torch

from models.fdp.network import inside_of
from models.fdp.vqvae import CODES, GROUP, VqVae
from tests.models.training import small

pytestmark = pytest.mark.filterwarnings(small.NO_CUDA)


@pytest.fixture
def network() -> VqVae:
    torch.manual_seed(1)
    return VqVae(small.NETWORK).eval()


def doses(batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 1, *small.BOX, generator=torch.Generator().manual_seed(seed))


def bodies(batch: int = 2) -> torch.Tensor:
    """Bodies with air around them that ends within cells; the second one is smaller."""
    body = torch.zeros(batch, 1, *small.BOX)
    body[:, :, :, 3:13, 5:21] = 1.0
    body[1:, :, :, 3:7] = 0.0
    return body


def inside() -> torch.Tensor:
    return inside_of(bodies(), masked=True)


def groups_of(latent: torch.Tensor) -> torch.Tensor:
    """Give the vectors ``(n, GROUP)`` that are quantized one by one, by loops."""
    vectors = [
        latent[b, c : c + GROUP, z, y, x]
        for b in range(latent.shape[0])
        for c in range(0, latent.shape[1], GROUP)
        for z in range(latent.shape[2])
        for y in range(latent.shape[3])
        for x in range(latent.shape[4])
    ]
    return torch.stack(vectors)


@torch.no_grad()
def test_every_group_of_the_latent_is_the_nearest_entry_of_the_codebook() -> None:
    torch.manual_seed(2)
    wide = VqVae(type(small.NETWORK)(widths=(8, 16, 24), latent=2 * GROUP, style=8)).eval()
    dose = doses()
    codes = wide.encode(dose, inside())
    book = wide.quantizer.embedding.weight
    vectors, before = groups_of(codes.latent), groups_of(wide.encoder(dose, inside()))
    assert codes.latent.shape == (2, 2 * GROUP, 4, 4, 6)
    nearest = torch.cdist(before, book).argmin(dim=1)
    torch.testing.assert_close(vectors, book[nearest], atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.loss, 0.25 * (vectors - before).square().mean())


@torch.no_grad()
def test_perplexity_is_one_for_one_code_and_counts_codes_that_share_evenly(network: VqVae) -> None:
    book = network.quantizer.embedding.weight
    book.fill_(1e3)  # out of reach
    latent = network.encoder(doses(), inside())
    book[7] = groups_of(latent).mean(dim=0)
    assert float(network.encode(doses(), inside()).perplexity) == pytest.approx(1.0, abs=1e-4)
    # two codes: their parts p and 1 - p give exp(entropy)
    vectors = groups_of(latent)
    book[8] = vectors[0]
    part = float((torch.cdist(vectors, book).argmin(dim=1) == 8).float().mean())
    assert 0.0 < part < 1.0
    expected = part**-part * (1 - part) ** -(1 - part)
    assert float(network.encode(doses(), inside()).perplexity) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_passes_the_codebook_straight_to_the_encoder(network: VqVae) -> None:
    codes = network.encode(doses(), inside())
    codes.latent.retain_grad()
    wanted = torch.randn_like(codes.latent)
    (codes.latent * wanted).sum().backward()
    direct = network.encoder(doses(), inside())
    expected = torch.autograd.grad((direct * wanted).sum(), network.encoder.latent.weight)[0]
    got = network.encoder.latent.weight.grad
    assert got is not None
    torch.testing.assert_close(got, expected)
    assert network.quantizer.embedding.weight.grad is None  # it follows the latents by moving means


@torch.no_grad()
def test_dead_codes_are_put_on_latents_that_are_there_and_living_ones_stay(network: VqVae) -> None:
    quantizer = network.quantizer
    quantizer.ema_cluster_size.fill_(5.0)
    dead = [3, 100, CODES - 1]
    quantizer.ema_cluster_size[dead] = 0.01
    before = quantizer.embedding.weight.clone()
    assert network.revive(doses(), bodies()) == 3
    living = [code for code in range(CODES) if code not in dead]
    assert torch.equal(quantizer.embedding.weight[living], before[living])
    points = groups_of(network.encoder(doses(), inside()))
    for code in dead:
        assert float((points - quantizer.embedding.weight[code]).abs().amax(dim=1).min()) < 1e-5
        torch.testing.assert_close(quantizer.ema_w[code], quantizer.embedding.weight[code])
    assert quantizer.ema_cluster_size[dead].tolist() == [1.0] * 3
    # a revived code is now used, and it is not dead any more
    used = torch.cdist(points, quantizer.embedding.weight).argmin(dim=1)
    assert set(dead) & set(used.tolist())
    assert network.revive(doses(), bodies()) == 0


def test_a_training_step_moves_the_codes_towards_their_latents() -> None:
    torch.manual_seed(3)
    network = VqVae(small.NETWORK).train()
    with torch.no_grad():
        network.quantizer.ema_cluster_size.fill_(1.0)
        before = network.encode(doses(), inside()).loss
        for _ in range(40):
            after = network.encode(doses(), inside()).loss
    assert float(after) < 0.5 * float(before)


@torch.no_grad()
def test_a_dose_comes_back_in_its_shape_and_the_codebook_is_kept_while_evaluating(network: VqVae) -> None:
    before = network.quantizer.embedding.weight.clone()
    decoded, codes = network(doses(), bodies())
    assert decoded.shape == (2, 1, *small.BOX)
    torch.testing.assert_close(decoded, network.decoder(codes.latent, inside(), torch.zeros(2, 8))[0])
    assert torch.equal(network.quantizer.embedding.weight, before)
