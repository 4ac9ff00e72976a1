"""Fitting the geometric model: ``python -m models.geometric.fit --data DIR --out MODEL_FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bridge.rt.arrays import FloatArray, VoxelArray
from models.card import seal
from models.geometric.dose import expected_dose_gy
from models.geometric.model import geometry_of
from models.geometric.parameters import PARAMETERS_NAME, GeometricParameters
from models.openkbp.reader import LEVELS_GY, list_patients, patient_folder, read_patient

__all__ = ["fit_geometric"]

SPARED_ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R")
"""Organs at risk that every plan spares; the others are often left to the targets."""

_SHARED = [0, 1, 2, 2]
"""Which fitted number each of them takes: left and right are spared alike."""

AXIAL_STRETCHES = (1.0, 2.0, 3.0)
VOXELS_PER_PATIENT = 1000

_START = np.array([0.79, 14.3, 213.0, 4.8, 1.03])
_FIRST_SPARING = 0.7
_OUT_OF_REACH_MM = 1e4
"""Distance from a level that a patient does not have."""


@dataclass(frozen=True, eq=False)
class _Samples:
    """Voxels of all patients: distances ``(levels, stretches, n)``, the rest ``(n,)``; organ 0 is none."""

    dose_gy: VoxelArray
    distances_mm: VoxelArray
    gap_mm: VoxelArray
    organ: NDArray[np.int64]


def fit_geometric(data_dir: Path, executor: Executor | None = None) -> tuple[GeometricParameters, float]:
    """Fit all numbers to the plans of a folder by the mean absolute error over voxels where dose is possible.

    Parameters
    ----------
    data_dir
        OpenKBP patients, or a folder with a set ``train`` in it.
    executor
        Reads patients in parallel.

    Returns
    -------
    parameters, mean absolute error in Gy
        The stretch along z is the best of a few; everything else is free. The same data gives the same numbers.
    """
    paths = list_patients(patient_folder(data_dir, "train"))
    parts = list(map(_samples, paths) if executor is None else executor.map(_samples, paths))
    samples = _Samples(
        *(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in _Samples.__annotations__)
    )
    fits = [_fit_stretch(samples, index) for index in range(len(AXIAL_STRETCHES))]
    return min(fits, key=lambda fit: fit[1])


def _samples(path: Path) -> _Samples:
    patient = read_patient(path)
    candidates = np.flatnonzero(patient.possible_dose & (patient.anatomy.body.values >= 0.5))
    number = int(patient.id.removeprefix("pt_"))
    chosen = np.random.default_rng(number).choice(candidates, min(VOXELS_PER_PATIENT, len(candidates)), replace=False)
    where = np.zeros(patient.possible_dose.shape, dtype=bool)
    where.flat[chosen] = True
    distances = np.full((len(LEVELS_GY), len(AXIAL_STRETCHES), len(chosen)), _OUT_OF_REACH_MM, dtype=np.float32)
    for index, stretch in enumerate(AXIAL_STRETCHES):
        geometry = geometry_of(patient.anatomy, SPARED_ORGANS, stretch, where)
        for level_gy, distance in zip(geometry.levels_gy, geometry.distances_mm, strict=True):
            distances[list(LEVELS_GY.values()).index(level_gy), index] = distance
    organ: NDArray[np.int64] = np.zeros(len(chosen), dtype=np.int64)
    for position, name in enumerate(SPARED_ORGANS, start=1):
        if name in geometry.organs:
            organ[geometry.organs[name]] = position
    return _Samples(patient.dose.values[where], distances, geometry.gap_mm, organ)


def _fit_stretch(samples: _Samples, stretch_index: int) -> tuple[GeometricParameters, float]:
    distances = [samples.distances_mm[level, stretch_index] for level in range(len(LEVELS_GY))]

    def parameters_of(x: FloatArray) -> GeometricParameters:
        weight, near, far, axial, scale, *sparing = (float(value) for value in x)
        return GeometricParameters.model_construct(
            near_weight=weight, near_mm=near, far_mm=far, axial_stretch=AXIAL_STRETCHES[stretch_index],
            axial_mm=axial, scale=scale,
            sparing={name: sparing[index] for name, index in zip(SPARED_ORGANS, _SHARED, strict=True)},
        )  # fmt: skip

    def error_gy(x: FloatArray) -> float:
        if (x <= 0).any() or x[0] > 1 or (x[len(_START) :] > 1).any():
            return np.inf
        parameters = parameters_of(x)
        dose_gy = expected_dose_gy(list(LEVELS_GY.values()), distances, samples.gap_mm, parameters)
        spared = dose_gy * np.array([1.0, *parameters.sparing.values()], dtype=np.float32)[samples.organ]
        return float(np.mean(np.abs(spared - samples.dose_gy), dtype=np.float64))

    x = np.concatenate([_START, np.full(max(_SHARED) + 1, _FIRST_SPARING)])
    for _ in range(2):  # the second start frees a simplex that has collapsed
        x = minimize(error_gy, x, method="Nelder-Mead", options={"maxiter": 1500, "fatol": 1e-4, "adaptive": True}).x
    rounded = np.round(x, 3)
    return GeometricParameters.model_validate(parameters_of(rounded).model_dump()), error_gy(rounded)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, write the parameters into the model's folder and renew the hashes in its card."""
    parser = argparse.ArgumentParser(prog="python -m models.geometric.fit", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="OpenKBP patients, or a folder with train/ in it")
    parser.add_argument("--out", type=Path, required=True, help="model folder with a card.yaml")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor(options.workers) as executor:
        parameters, error_gy = fit_geometric(options.data, executor)
    parameters.write(options.out / PARAMETERS_NAME)
    seal(options.out)
    sys.stdout.write(f"mean absolute error {error_gy:.3f} Gy on the training voxels\n")


if __name__ == "__main__":
    main()
