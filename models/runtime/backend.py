"""What a backend does: run one of the graphs of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import ModelRefusal

__all__ = ["Backend", "OpenBackend", "require_inputs"]


class Backend(Protocol):
    """Runs the graphs of one model folder; safe to call from several threads."""

    @property
    def name(self) -> str:
        """What runs where (``"onnxruntime CPUExecutionProvider"``), for records."""
        ...

    def run(self, graph: str, inputs: Mapping[str, VoxelArray]) -> dict[str, VoxelArray]:
        """Run a graph on its inputs by name; give its outputs by name.

        Raises
        ------
        ModelRefusal
            An input is missing, or does not have the graph's shape (``graph-input``).
        """
        ...


OpenBackend = Callable[[Path, tuple[str, ...]], Backend]
"""Opens the graphs of a model folder: ``folder/GRAPH.onnx`` for each name."""


def require_inputs(graph: str, wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, VoxelArray]) -> None:
    """Hold the inputs of a run against the shapes that its graph takes.

    Raises
    ------
    ModelRefusal
        One is missing, one too many, or of another shape (``graph-input``).
    """
    if given.keys() != wanted.keys():
        raise ModelRefusal("graph-input", f"Graph {graph!r} takes {sorted(wanted)}, got {sorted(given)}.", graph=graph)
    for name, shape in wanted.items():
        if given[name].shape != shape:
            raise ModelRefusal(
                "graph-input",
                f"Graph {graph!r} takes {name!r} in the shape {shape}, got {given[name].shape}.",
                graph=graph,
            )
