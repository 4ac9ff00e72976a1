"""What a checkpoint may be used for: not those of another stage, other sizes or an older network."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bridge.rt.errors import ModelRefusal
from models.fdp.network import Fdp
from models.fdp.vqvae import VqVae
from models.training.dataset import Patient
from models.training.export import network_of
from models.training.fdp import train_fdp
from models.training.run import load_checkpoint, save_checkpoint
from models.training.vqvae import train_vqvae
from tests.models.training import small
from tests.models.training.small import stage1, stage2, trained

pytestmark = [
    pytest.mark.usefixtures("small_networks"),
    pytest.mark.filterwarnings(small.NO_CUDA),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]
CPU = torch.device("cpu")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_resuming_without_a_checkpoint_is_refused(tmp_path: Path, patients: list[Patient]) -> None:
    for train, settings in ((train_vqvae, stage1(1)), (train_fdp, stage2(1))):
        with pytest.raises(ModelRefusal) as refused:
            train(patients, tmp_path, settings, resume=True)
        assert refused.value.code == "checkpoint-unreadable"
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_stage_is_not_taken_for_one_of_this(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    checkpoint = train_vqvae(patients, tmp_path, stage1(1))
    with pytest.raises((ModelRefusal, RuntimeError)):
        network_of(checkpoint)
    with pytest.raises((ModelRefusal, RuntimeError)):
        train_fdp(patients, tmp_path, stage2(1, start=checkpoint))


def test_a_checkpoint_from_before_masks_counts_the_whole_box(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights fit a masked network too, which would give other doses."""
    sizes = {name: value for name, value in asdict(small.NETWORK).items() if name != "masked"}
    old = Fdp(replace(small.NETWORK, masked=False)).eval()
    content = {"stage": "fdp", "settings": sizes, "without": [], "averaged": dict(old.state_dict())}
    save_checkpoint(tmp_path / "old.pt", content)
    assert network_of(tmp_path / "old.pt").settings == old.settings
    with pytest.raises(ModelRefusal, match="another masked"):
        load_checkpoint(tmp_path / "old.pt", CPU, "fdp", small.NETWORK.as_dict())
    stage_one = {"stage": "vqvae", "settings": sizes, "averaged": dict(VqVae(small.NETWORK).state_dict())}
    save_checkpoint(tmp_path / "old1.pt", stage_one)
    with pytest.raises(ModelRefusal, match="other sizes") as refused:
        train_fdp(patients, tmp_path, stage2(1, stage1=tmp_path / "old1.pt"))
    assert refused.value.code == "checkpoint-network"


def test_checkpoints_from_before_wishes_had_places_are_refused(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To export, to start from and to resume: their network had no layers for places and no spread of the target."""
    small.Steps(monkeypatch)
    path = train_fdp(patients, trained(tmp_path, "old"), stage2(1))
    content = load_checkpoint(path, CPU, "fdp")
    for key in ("network", "averaged"):
        content[key] = {n: v for n, v in content[key].items() if "wished_" not in n and "homogeneity" not in n}
    save_checkpoint(path, content)

    def resume() -> None:
        train_fdp(patients, path.parent, stage2(2), resume=True)

    def start() -> None:
        train_fdp(patients, trained(tmp_path, "new"), stage2(1, start=path))

    for use in (resume, start, lambda: network_of(path)):
        with pytest.raises(ModelRefusal, match=r"fdp.pt is of another network.*homogeneity") as refused:
            use()
        assert refused.value.code == "checkpoint-network"


def test_the_network_of_a_checkpoint_is_the_averaged_one(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    path = train_fdp(patients, tmp_path, stage2(3))
    network = network_of(path)
    assert isinstance(network, Fdp)
    assert not network.training
    assert network.settings == small.NETWORK
    assert same(dict(network.state_dict()), small.weights(path, "averaged"))
    assert not same(dict(network.state_dict()), small.weights(path, "network"))
