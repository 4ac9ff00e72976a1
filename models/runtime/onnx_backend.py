"""ONNX Runtime: on CUDA where there is a device, else on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import Failure, ModelRefusal
from models.runtime.backend import require_inputs

__all__ = ["OnnxBackend"]

PREFERRED = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""In this order, as far as the installed ONNX Runtime has them."""


class OnnxBackend:
    """Sessions of ONNX Runtime (https://onnxruntime.ai), one for each graph.

    Parameters
    ----------
    folder
        Model folder with ``GRAPH.onnx``.
    graphs
        Names of the graphs.

    Raises
    ------
    Failure
        ONNX Runtime is not installed.
    ModelRefusal
        A graph cannot be loaded.
    """

    def __init__(self, folder: Path, graphs: tuple[str, ...]) -> None:
        self._opened = folder, graphs
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise Failure(
                "onnxruntime-missing",
                "This model needs ONNX Runtime: install fdp-bridge[cpu], or fdp-bridge[gpu] for CUDA.",
            ) from error
        available = ort.get_available_providers()
        providers = [name for name in PREFERRED if name in available]
        self._sessions: dict[str, Any] = {}
        for graph in graphs:
            try:
                self._sessions[graph] = ort.InferenceSession(folder / f"{graph}.onnx", providers=providers)
            except Exception as error:
                # ONNX Runtime raises its own types, which it does not export
                raise ModelRefusal(
                    "graph-unreadable", f"{graph}.onnx of model {folder.name!r} cannot be loaded.", model=folder.name
                ) from error

    def __reduce__(self) -> tuple[type[Self], tuple[Path, tuple[str, ...]]]:
        """Travel to another process by opening the folder again there."""
        return type(self), self._opened

    @property
    def name(self) -> str:
        """See :class:`~models.runtime.backend.Backend`."""
        first = next(iter(self._sessions.values()))
        return f"onnxruntime {first.get_providers()[0]}"

    def run(self, graph: str, inputs: Mapping[str, VoxelArray]) -> dict[str, VoxelArray]:
        """See :class:`~models.runtime.backend.Backend`."""
        session = self._sessions[graph]
        require_inputs(graph, {wanted.name: tuple(wanted.shape) for wanted in session.get_inputs()}, inputs)
        feed = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in inputs.items()}
        outputs = session.run(None, feed)
        return {output.name: values for output, values in zip(session.get_outputs(), outputs, strict=True)}
