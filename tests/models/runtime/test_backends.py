"""Both backends run what was exported: the same numbers, and the same refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
import yaml

from bridge.rt.errors import ModelRefusal
from models.card import read_card
from models.fdp.channels import CHANNELS
from models.fdp.condition import CONDITION_SIZE
from models.fdp.model import GRAPHS
from models.fdp.network import Fdp, NetworkSettings
from models.fdp.parameters import FdpParameters
from models.runtime.backend import Backend
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.torch_backend import TorchBackend
from models.training.export import export_fdp
from models.training.neutral import predict_patient
from models.training.run import save_checkpoint
from models.training.wish import NO_WISH
from tests.models.training import small

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
"""torch's exporter uses what torch itself has deprecated."""

Kind = Literal["resunet", "mednext", "whole"]
Inputs = dict[str, np.ndarray]
NETWORKS: dict[str, NetworkSettings] = {
    "resunet": small.NETWORK,
    "mednext": replace(small.NETWORK, backbone="mednext"),
    "whole": replace(small.NETWORK, masked=False),
}
BACKENDS: tuple[Callable[[Path, tuple[str, ...]], Backend], ...] = (OnnxBackend, TorchBackend)


def random_network(kind: str) -> Fdp:
    """A network in which every weight says something, also those that start at zero."""
    torch.manual_seed(1)
    network = Fdp(NETWORKS[kind]).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if any(part in name for part in (".style.", ".skip.", ".norm", ".wished_", ".homogeneity.")):
                weight += 0.3 * torch.randn(weight.shape)
    return network


def checkpoint_of(network: Fdp, path: Path) -> Path:
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    save_checkpoint(path, {"stage": "fdp", "averaged": averaged, "settings": network.settings.as_dict(), "without": []})
    return path


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All kinds of networks, exported for small boxes."""
    folder = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        small.shrink(patch)
        for kind in NETWORKS:
            checkpoint = checkpoint_of(random_network(kind), folder / f"{kind}.pt")
            export_fdp(checkpoint, folder, kind, [small.patient(1), small.patient(2, length=60)])
    return folder


def inputs(seed: int = 0) -> tuple[Inputs, Inputs]:
    rng = np.random.default_rng(seed)
    channels = rng.normal(size=(1, len(CHANNELS), *small.BOX)).astype(np.float32)
    body = np.zeros(small.BOX, dtype=np.float32)
    body[:, 3 : 10 + seed, 5:19] = 1.0  # ends within cells
    channels[:, CHANNELS.index("body")] = body
    return {"channels": channels}, {"condition": rng.normal(size=(1, CONDITION_SIZE)).astype(np.float32)}


def proposed(backend: Backend, seed: int = 0) -> dict[str, np.ndarray]:
    channels, condition = inputs(seed)
    return backend.run("proposer", {**backend.run("encoder", channels), **condition})


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("opened", BACKENDS)
def test_a_backend_gives_what_the_trained_network_gives(
    zoo: Path, kind: Kind, opened: Callable[[Path, tuple[str, ...]], Backend]
) -> None:
    network, backend = random_network(kind), opened(zoo / kind, GRAPHS)
    for seed in (0, 1):
        channels, condition = inputs(seed)
        with torch.no_grad():
            wanted = network(torch.from_numpy(channels["channels"]), torch.from_numpy(condition["condition"]))
        found = proposed(backend, seed)
        assert list(found) == ["dose", "spread", "latent"]
        for value, expected in zip(found.values(), wanted, strict=True):
            assert value.dtype == np.float32
            np.testing.assert_allclose(value, expected.numpy(), atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_graphs_count_the_cells_that_hold_body_or_all(zoo: Path, kind: Kind) -> None:
    channels, _ = inputs()
    found = OnnxBackend(zoo / kind, GRAPHS).run("encoder", channels)["inside"]
    body = channels["channels"][0, CHANNELS.index("body")]
    nz, ny, nx = (n // 2 for n in small.BOX)
    held = (body.reshape(nz, 2, ny, 2, nx, 2) > 0).any(axis=(1, 3, 5))
    np.testing.assert_array_equal(found[0, 0], held if kind != "whole" else np.ones_like(held))


def test_a_network_that_says_nothing_of_masks_in_its_parameters_is_refused(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "resunet", tmp_path / "resunet")
    parameters = yaml.safe_load((folder / "parameters.yaml").read_text())
    del parameters["masked"]
    (folder / "parameters.yaml").write_text(yaml.safe_dump(parameters))
    with pytest.raises(ModelRefusal) as refused:
        TorchBackend(folder, GRAPHS)
    assert refused.value.code == "parameters-invalid"


def test_the_condition_reaches_the_dose_through_the_graphs(zoo: Path) -> None:
    backend = OnnxBackend(zoo / "resunet", GRAPHS)
    channels, condition = inputs()
    features = backend.run("encoder", channels)
    dose = backend.run("proposer", {**features, **condition})["dose"]
    other = backend.run("proposer", {**features, "condition": -condition["condition"]})["dose"]
    assert float(np.abs(dose - other).max()) > 1e-2


def test_inputs_of_another_layout_in_memory_or_precision_are_the_same_inputs(zoo: Path) -> None:
    channels = inputs()[0]["channels"]
    for opened in BACKENDS:
        backend = opened(zoo / "resunet", GRAPHS)
        wanted = backend.run("encoder", {"channels": channels})
        for same in (np.asfortranarray(channels), channels.astype(np.float64), channels[..., ::-1][..., ::-1]):
            for name, values in backend.run("encoder", {"channels": same}).items():
                np.testing.assert_allclose(values, wanted[name], atol=1e-5)


@pytest.mark.parametrize("opened", BACKENDS)
@pytest.mark.parametrize(
    "shape", [(1, len(CHANNELS), 16, 16, 32), (2, len(CHANNELS), *small.BOX), (1, 3, *small.BOX), small.BOX]
)
def test_an_input_of_another_shape_is_refused(
    zoo: Path, opened: Callable[[Path, tuple[str, ...]], Backend], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelRefusal) as refused:
        opened(zoo / "resunet", GRAPHS).run("encoder", {"channels": np.zeros(shape, dtype=np.float32)})
    assert refused.value.code == "graph-input"


@pytest.mark.parametrize("opened", BACKENDS)
@pytest.mark.parametrize("names", [(), ("anatomy",), ("channels", "condition")])
def test_inputs_by_other_names_are_refused(
    zoo: Path, opened: Callable[[Path, tuple[str, ...]], Backend], names: tuple[str, ...]
) -> None:
    channels = inputs()[0]["channels"]
    with pytest.raises(ModelRefusal, match="takes \\['channels'\\]") as refused:
        opened(zoo / "resunet", GRAPHS).run("encoder", dict.fromkeys(names, channels))
    assert refused.value.code == "graph-input"


@pytest.mark.parametrize("opened", BACKENDS)
@pytest.mark.parametrize("content", [None, b"", b"no graph", "half"])
def test_a_graph_that_cannot_be_read_is_refused(
    zoo: Path, tmp_path: Path, opened: Callable[[Path, tuple[str, ...]], Backend], content: bytes | str | None
) -> None:
    folder = shutil.copytree(zoo / "resunet", tmp_path / "resunet")
    whole = (folder / "encoder.onnx").read_bytes()
    (folder / "encoder.onnx").unlink()
    if content is not None:
        (folder / "encoder.onnx").write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    with pytest.raises(ModelRefusal) as refused:
        opened(folder, GRAPHS)
    assert refused.value.code == "graph-unreadable"


def test_graphs_of_another_network_are_not_taken_for_this_one(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "resunet", tmp_path / "resunet")
    shutil.copy(zoo / "mednext" / "encoder.onnx", folder / "encoder.onnx")
    with pytest.raises(ModelRefusal) as refused:
        TorchBackend(folder, GRAPHS)
    assert refused.value.code == "graph-weights"
    parameters = yaml.safe_load((zoo / "resunet" / "parameters.yaml").read_text())
    wider = shutil.copytree(zoo / "resunet", tmp_path / "wider")
    (wider / "parameters.yaml").write_text(yaml.safe_dump(parameters | {"widths": [16, 16, 24]}))
    with pytest.raises(ModelRefusal) as refused:
        TorchBackend(wider, GRAPHS)
    assert refused.value.code == "graph-weights"


def test_the_torch_backend_takes_its_weights_from_the_graphs(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "resunet", tmp_path / "resunet")
    path = folder / "proposer.onnx"
    graph = onnx.load(path)
    bias = next(tensor for tensor in graph.graph.initializer if tensor.name == "decoder.dose.bias")
    values = onnx.numpy_helper.to_array(bias)
    bias.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(0.5), bias.name))
    onnx.save(graph, path)
    # beside the target, whose doses a wish spreads by their mean
    beside = inputs()[0]["channels"][:, [CHANNELS.index("target_high")]] < 0.5
    before = proposed(TorchBackend(zoo / "resunet", GRAPHS))["dose"]
    for opened in BACKENDS:
        found = proposed(opened(folder, GRAPHS))["dose"]
        np.testing.assert_allclose(found[beside], before[beside] + 0.5, atol=2e-3)


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_exported_folder_says_what_the_network_is_and_holds_no_pickle(zoo: Path, kind: Kind) -> None:
    folder = zoo / kind
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.yaml", "encoder.onnx", "parameters.yaml", "proposer.onnx",
    ]  # fmt: skip
    parameters = FdpParameters.read(folder)
    assert parameters.backbone == ("mednext" if kind == "mednext" else "resunet")
    assert (parameters.widths, parameters.latent, parameters.style) == ((8, 16, 24), 16, 8)
    assert parameters.masked == (kind != "whole")
    assert (parameters.channels, parameters.box) == (CHANNELS, small.BOX)
    card = read_card(folder)
    assert (card.id, card.kind) == (kind, "fdp")
    assert "NOT FOR CLINICAL USE" in card.intended_use
    assert sorted(card.files) == ["encoder.onnx", "parameters.yaml", "proposer.onnx"]


def test_the_scale_of_the_error_is_calibrated_to_one_standard_deviation(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.shrink(monkeypatch)
    factor = FdpParameters.read(zoo / "resunet").spread_factor
    shares = []
    for patient in (small.patient(1), small.patient(2, length=60)):  # the larger one counts no more than the other
        dose, spread = predict_patient(random_network("resunet"), patient, NO_WISH, torch.device("cpu"))
        here = (patient.regions & 1 > 0) & (spread.numpy() > 0)
        error = np.abs(dose.numpy() - patient.dose.astype(np.float32))[here]
        shares.append(float((error <= factor * spread.numpy()[here]).mean()))
    assert np.mean(shares) == pytest.approx(0.6827, abs=0.002)


def test_a_model_is_not_exported_over_another(zoo: Path) -> None:
    before = (zoo / "resunet" / "card.yaml").read_bytes()
    with pytest.raises(ModelRefusal) as refused:
        export_fdp(zoo / "mednext.pt", zoo, "resunet", [])
    assert refused.value.code == "export-exists"
    assert (zoo / "resunet" / "card.yaml").read_bytes() == before


@pytest.mark.parametrize("model_id", ["", "Mine", "my model", "../mine", "/mine", "m" * 65, "-mine"])
def test_a_model_that_no_zoo_would_find_is_not_exported(zoo: Path, tmp_path: Path, model_id: str) -> None:
    """Nor one outside the folder."""
    with pytest.raises(ModelRefusal) as refused:
        export_fdp(zoo / "resunet.pt", tmp_path / "zoo", model_id, [])
    assert refused.value.code == "model-id"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "fdp.pt").write_bytes(b"nothing")
    with pytest.raises(ModelRefusal) as refused:
        export_fdp(tmp_path / "fdp.pt", tmp_path, "mine", [])
    assert refused.value.code == "checkpoint-unreadable"
    assert not (tmp_path / "mine").exists()


def test_backends_say_where_they_run(zoo: Path) -> None:
    assert OnnxBackend(zoo / "resunet", GRAPHS).name.startswith("onnxruntime ")
    assert TorchBackend(zoo / "resunet", GRAPHS).name in ("torch cpu", "torch cuda")
