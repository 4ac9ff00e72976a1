"""What a backend does: run one of the graphs of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from bridge.rt.arrays import VoxelArray

__all__ = ["Backend", "OpenBackend"]


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
            An input does not have the graph's shape.
        """
        ...


OpenBackend = Callable[[Path, tuple[str, ...]], Backend]
"""Opens the graphs of a model folder: ``folder/GRAPH.onnx`` for each name."""
