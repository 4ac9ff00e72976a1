"""torch, with the weights read out of the ONNX graphs: the same folder, another arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import nn

from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import ModelRefusal
from models.fdp.network import Fdp, NetworkSettings
from models.fdp.parameters import FdpParameters
from models.runtime.backend import require_inputs

__all__ = ["TorchBackend", "read_network"]


class TorchBackend:
    """FDP's networks in torch.

    Parameters
    ----------
    folder
        Model folder with ``GRAPH.onnx`` and the network's sizes in its parameters.
    graphs
        Names of the graphs, which are also the names of the parts of the network.

    Raises
    ------
    ModelRefusal
        A graph cannot be loaded, or does not hold the weights of the network that the parameters describe.
    """

    def __init__(self, folder: Path, graphs: tuple[str, ...]) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = read_network(folder, graphs)
        self._parts: dict[str, nn.Module] = {}
        self._outputs: dict[str, list[str]] = {}
        self._inputs: dict[str, dict[str, tuple[int, ...]]] = {}
        for graph in graphs:
            content = _graph(folder, graph)
            self._parts[graph] = network.get_submodule(graph).eval().to(self._device)
            self._inputs[graph] = {
                value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
                for value in content.input
            }
            self._outputs[graph] = [value.name for value in content.output]

    @property
    def name(self) -> str:
        """See :class:`~models.runtime.backend.Backend`."""
        return f"torch {self._device.type}"

    @torch.inference_mode()
    def run(self, graph: str, inputs: Mapping[str, VoxelArray]) -> dict[str, VoxelArray]:
        """See :class:`~models.runtime.backend.Backend`."""
        require_inputs(graph, self._inputs[graph], inputs)
        feed = [
            torch.from_numpy(np.ascontiguousarray(inputs[name], dtype=np.float32)).to(self._device)
            for name in self._inputs[graph]
        ]
        results = self._parts[graph](*feed)
        return {name: value.cpu().numpy() for name, value in zip(self._outputs[graph], results, strict=False)}


def read_network(folder: Path, graphs: tuple[str, ...]) -> Fdp:
    """Give FDP's networks with the weights that a model folder's graphs hold.

    Raises
    ------
    ModelRefusal
        A graph cannot be loaded, or does not hold the weights of the network that the parameters describe.
    """
    parameters = FdpParameters.read(folder)
    sizes = (parameters.widths, parameters.latent, parameters.style, parameters.masked)
    network = Fdp(NetworkSettings(parameters.backbone, *sizes))
    for graph in graphs:
        part = network.get_submodule(graph)
        weights = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in _graph(folder, graph).initializer
        }
        wanted = part.state_dict()
        unlike = [name for name, value in wanted.items() if name not in weights or weights[name].shape != value.shape]
        if unlike:
            raise ModelRefusal(
                "graph-weights", f"{graph}.onnx does not hold the weight {unlike[0]!r} of the network.", graph=graph
            )
        part.load_state_dict({name: weights[name] for name in wanted})
    return network


def _graph(folder: Path, graph: str) -> onnx.GraphProto:
    try:
        content = onnx.load(folder / f"{graph}.onnx").graph
    except (OSError, DecodeError) as error:
        raise ModelRefusal(
            "graph-unreadable", f"{graph}.onnx of model {folder.name!r} cannot be loaded.", model=folder.name
        ) from error
    if not content.node:  # an empty file is an empty graph to protobuf
        raise ModelRefusal("graph-unreadable", f"{graph}.onnx of model {folder.name!r} is empty.", model=folder.name)
    return content
