"""From a checkpoint to a model folder that explains itself: graphs in ONNX, parameters, card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml
from torch import nn

from bridge.rt.errors import ModelRefusal
from models.card import CARD_NAME, seal
from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.condition import CONDITION_SIZE
from models.fdp.frame import BOX, SPACING_MM
from models.fdp.network import Fdp, NetworkSettings
from models.fdp.parameters import PARAMETERS_NAME, FdpParameters
from models.registry import is_model_id
from models.training.dataset import Patient
from models.training.neutral import predict_patient
from models.training.origin import OPENKBP, Origin
from models.training.run import load_checkpoint, load_weights
from models.training.wish import NO_WISH

__all__ = ["export_fdp", "network_of"]

OPSET = 18
_ONE_SIGMA = 0.6827
_EVENLY = np.linspace(0.0, 1.0, 2001)


def network_of(checkpoint: Path) -> Fdp:
    """Give the averaged network of a checkpoint of Stage II."""
    content = load_checkpoint(checkpoint, torch.device("cpu"), "fdp")
    # a checkpoint that says nothing of it is older than masks, and counted the whole box
    settings = {"masked": False, **content["settings"]}
    network = Fdp(NetworkSettings(**{**settings, "widths": tuple(settings["widths"])}))
    load_weights(network, content["averaged"], checkpoint.name)
    # a channel that training never showed has weights that were never learned
    with torch.no_grad():
        for channel in content["without"]:
            network.encoder.fine_in.weight[:, 8 * channel : 8 * channel + 8] = 0.0
    return network.eval()


def export_fdp(
    checkpoint: Path, zoo: Path, model_id: str, patients: Sequence[Patient], origin: Origin = OPENKBP
) -> Path:
    """Make a model folder of a trained FDP.

    Parameters
    ----------
    checkpoint
        ``fdp.pt`` of ``train fdp``.
    zoo
        Where ``zoo/model_id`` is made; it must not be there yet.
    patients
        Training plans on which the error's scale is calibrated.
    origin
        Of all training plans.

    Raises
    ------
    ModelRefusal
        No model can have that id (``model-id``), the folder is there already, or the checkpoint cannot be used.
    """
    if not is_model_id(model_id):
        raise ModelRefusal(
            "model-id",
            f"{model_id!r} cannot be the id of a model: up to 64 of a-z, 0-9, - and _, the first a letter or digit.",
        )
    folder = zoo / model_id
    if folder.exists():
        raise ModelRefusal("export-exists", "There is a model of that name in the folder already.", model=model_id)
    network = network_of(checkpoint)
    settings = network.settings
    parameters = FdpParameters(
        channels=CHANNELS,
        box=BOX,
        spacing_mm=SPACING_MM,
        backbone=settings.backbone,
        widths=settings.widths,
        latent=settings.latent,
        style=settings.style,
        masked=settings.masked,
        spread_factor=_spread_factor(network, patients),
        gantry_angles_deg=origin.beams_deg[0],
        more_beams_deg=origin.beams_deg[1:],
        hi_steps=origin.hi_steps,
        weight_limits=origin.weight_limits,
    )
    folder.mkdir(parents=True)
    with torch.no_grad():
        channels = torch.zeros(1, len(CHANNELS), *BOX)
        features = network.encoder(channels)
    names = ["fine", "middle", "coarse", "inside", "places"]
    _to_onnx(network.encoder, (channels,), folder / "encoder.onnx", ["channels"], names)
    condition = torch.zeros(1, CONDITION_SIZE)
    _to_onnx(
        network.proposer,
        (*features, condition),
        folder / "proposer.onnx",
        [*names, "condition"],
        ["dose", "spread", "latent"],
    )
    _write_yaml(folder / PARAMETERS_NAME, parameters.model_dump(mode="json"))
    _write_yaml(folder / CARD_NAME, _card(model_id, origin))
    seal(folder)
    return folder


def _to_onnx(
    part: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, input_names: list[str], output_names: list[str]
) -> None:
    torch.onnx.export(
        part.eval(),
        inputs,
        path,
        input_names=input_names,
        output_names=output_names,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    _without_traces(model)
    onnx.save(model, path)


def _without_traces(model: onnx.ModelProto) -> None:
    """Take out what the exporter notes of its own run: source lines, and with them paths of the machine."""
    for part in (model, model.graph, *model.functions, *model.graph.node, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")


@torch.no_grad()
def _spread_factor(network: Fdp, patients: Sequence[Patient]) -> float:
    """Give the factor with which the scale covers 68.27 % of the errors where the plans count dose, on average."""
    ratios = []
    for patient in patients:
        dose, spread = predict_patient(network, patient, patient.wish or NO_WISH, torch.device("cpu"))
        counted = torch.from_numpy(patient.regions & 1).bool() & (spread > 0)
        error = (dose - torch.from_numpy(patient.dose.astype(np.float32))).abs()
        # every patient counts alike, however large, as in the scores
        ratios.append(np.quantile((error[counted] / spread[counted]).numpy(), _EVENLY))
    return float(np.quantile(np.concatenate(ratios), _ONE_SIGMA))


def _card(model_id: str, origin: Origin) -> dict[str, object]:
    return {
        "id": model_id,
        "title": "Flexible Dose Proposer",
        "version": "1.0.0",
        "kind": "fdp",
        "description": "Dose of a head-and-neck plan from CT, structures, prescription and beams by a network in two "
        "stages (VQ-VAE decoder of doses, encoder of the anatomy), steered by the planner's preferences through "
        "adaptive instance normalization.",
        "intended_use": "NOT FOR CLINICAL USE. Research, commissioning of interfaces and teaching; a site has to "
        "measure on its own plans what the predictions are worth to it.",
        "sites": ["head and neck"],
        "dose_unit": "Gy",
        "inputs": {"ct": False, "required_structures": [], "optional_structures": list(ORGANS)},
        "accepts": {
            "spacing_mm": [0.3, 6.0],
            "extent_mm": 1500.0,
            "levels_gy": [20.0, 90.0],
            "usual_levels_gy": [56.0, 70.0],
        },
        "preferences": {
            "hi": list(origin.hi),
            "hi_definition": "hi_icru83",
            "oar_weight": list(origin.oar_weight),
            "oar_weights": {organ: list(ends) for organ, ends in origin.oar_weights.items()},
        },
        "trained_for": origin.trained_for,
        "training": origin.training,
        "training_licence": "MIT",
        "training_command": f"fdp-bridge train vqvae --data DIR{origin.option} --out OUT; fdp-bridge train fdp --data "
        f"DIR{origin.option} --out OUT --stage1 OUT/vqvae.pt; fdp-bridge models export {model_id} --out ZOO "
        f"--checkpoint OUT/fdp.pt --data DIR{origin.option}",
        "limits": list(origin.limits),
        "metrics": [],
        "files": {},
    }


def _write_yaml(path: Path, content: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
