"""DoseInfluence: the dose that each beamlet gives to each voxel, and its file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose

__all__ = ["DoseInfluence", "Matrix"]

Matrix = sparse.csr_array[np.float32, tuple[int, int]]
"""Sparse, float32, one row for each voxel."""

_FORMAT = "fdp-bridge dose influence 1"


@dataclass(frozen=True, eq=False)
class DoseInfluence:
    """Dose per unit of fluence.

    Attributes
    ----------
    matrix
        Voxels by beamlets, Gy of total dose per unit of fluence: what a unit is, is the machine model's affair
        (``docs/reference/dose-engine.md``).
    grid
        The dose grid.
    voxels
        Shape ``(voxels,)``, ascending: flat index into the grid of each row. Elsewhere there is no dose.
    direction
        Shape ``(beamlets,)``: number of the beam direction that each beamlet belongs to, ascending.
    position_mm
        Shape ``(beamlets, 2)``: centres in the isocentre plane, as seen by a source that looks at a patient who lies
        head first and supine: x from gantry 0 is the patient's left, y is superior.
    inputs_sha256
        Of everything that it was computed from.

    Raises
    ------
    ModelRefusal
        The parts do not fit together (``influence-shape``), or a value is negative or not finite
        (``influence-value``).
    """

    matrix: Matrix
    grid: Grid
    voxels: NDArray[np.int64]
    direction: NDArray[np.int64]
    position_mm: FloatArray
    inputs_sha256: str

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        fits = self.voxels.shape == (rows,) and self.direction.shape == (columns,)
        if not fits or self.position_mm.shape != (columns, 2) or not rows or not columns:
            raise ModelRefusal(
                "influence-shape",
                f"A dose influence of {rows} voxels and {columns} beamlets does not fit {len(self.voxels)} voxels and "
                f"{len(self.direction)} beamlets.",
            )
        if (np.diff(self.voxels) <= 0).any() or self.voxels[0] < 0 or self.voxels[-1] >= np.prod(self.grid.shape):
            raise ModelRefusal("influence-shape", "The voxels of a dose influence must ascend within its grid.")
        values = self.matrix.data
        if len(values) and not (values.min() >= 0.0 and values.max() < np.inf):
            raise ModelRefusal("influence-value", "A dose influence holds values that are negative or not finite.")

    def dose(self, fluence: FloatArray) -> Dose:
        """Give the dose of a fluence, shape ``(beamlets,)``."""
        values = np.zeros(self.grid.shape, dtype=np.float32)
        values.ravel()[self.voxels] = self.matrix @ fluence.astype(np.float32)
        return Dose(values, self.grid)

    def only(self, beamlets: NDArray[np.bool_]) -> DoseInfluence:
        """Give the influence of some of the beamlets, shape ``(beamlets,)``."""
        return DoseInfluence(
            self.matrix[:, beamlets],
            self.grid,
            self.voxels,
            self.direction[beamlets],
            self.position_mm[beamlets],
            self.inputs_sha256,
        )

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file; who reads at the same time sees all of it or nothing."""
        arrays: dict[str, Any] = {
            "format": np.array(_FORMAT),
            "data": self.matrix.data,
            "indices": self.matrix.indices,
            "indptr": self.matrix.indptr,
            "grid_shape": np.array(self.grid.shape),
            "affine": self.grid.affine,
            "frame_of_reference_uid": np.array(self.grid.frame_of_reference_uid),
            "voxels": self.voxels,
            "direction": self.direction,
            "position_mm": self.position_mm,
            "inputs_sha256": np.array(self.inputs_sha256),
        }
        with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.savez(file, allow_pickle=False, **arrays)
            except BaseException:
                Path(file.name).unlink()
                raise
        Path(file.name).replace(path)

    @classmethod
    def load(cls, path: Path) -> DoseInfluence:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ModelRefusal
            The file is damaged or something else (``influence-file``).
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                if str(file["format"]) != _FORMAT:
                    raise ValueError(str(file["format"]))
                shape = tuple(int(n) for n in file["grid_shape"])
                grid = Grid(shape, file["affine"], str(file["frame_of_reference_uid"]))  # type: ignore[arg-type]
                voxels, direction = file["voxels"], file["direction"]
                parts = (file["data"], file["indices"], file["indptr"])
                matrix = sparse.csr_array(parts, shape=(len(voxels), len(direction)))
                matrix.check_format()
                return cls(matrix, grid, voxels, direction, file["position_mm"], str(file["inputs_sha256"]))
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ModelRefusal(
                "influence-file",
                f"{path.name!r} is not a dose influence that this version wrote; delete it, and it is made anew.",
                file=path.name,
            ) from error
