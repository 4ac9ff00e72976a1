"""OpenKBP patients as anatomies with a dose, from the published folders of CSV files or the packed form.

Both forms index arrays ``[y, x, z]`` with y towards posterior, x towards the patient's left and z towards
inferior. Here they become ``[z, y, x]`` with z towards superior, on a head-first supine grid.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.case import Anatomy
from bridge.rt.errors import Refusal
from bridge.rt.grid import Grid
from bridge.rt.openkbp import ORGANS, TARGETS
from bridge.rt.volume import CtVolume, Dose, Mask

__all__ = ["STANDARD_NAMES", "OpenKbpPatient", "is_patient", "list_patients", "patient_folder", "read_patient"]

STANDARD_NAMES: Mapping[str, str] = MappingProxyType(
    {name: name for name in (*ORGANS, *TARGETS)}
    | {"RightParotid": "Parotid_R", "LeftParotid": "Parotid_L", "Mandible": "Bone_Mandible"}
)
"""OpenKBP's names to the keys of an anatomy: TG-263 for organs, the targets' own names."""

LEVELS_GY: Mapping[str, float] = MappingProxyType({"PTV70": 70.0, "PTV63": 63.0, "PTV56": 56.0})

GANTRY_ANGLES_DEG = tuple(float(angle) for angle in range(0, 360, 40))
"""All plans have nine equispaced coplanar fields."""

_T = TypeVar("_T", bound=np.generic)

_SIDE = 128
_PACKED_DOSE_STEP_GY = 0.002
_CT_OFFSET_HU = 1024
_CT_HIGHEST = 4095
_AIR_HU = -1000.0
# bits of the packed label array; bit 0 is the possible-dose mask
_BITS = {name: bit for bit, name in enumerate((*ORGANS, *TARGETS), start=1)}


@dataclass(frozen=True, eq=False)
class OpenKbpPatient:
    """One patient.

    Attributes
    ----------
    id
        ``pt_N``.
    anatomy
        What a predictor sees. The body is where there are CT numbers or structures.
    dose
        The plan's dose.
    possible_dose
        Where the challenge counts dose, axes ``[z, y, x]``; for evaluation only, no predictor sees it.
    voxel_mm
        Voxel size ``(z, y, x)``.
    """

    id: str
    anatomy: Anatomy
    dose: Dose
    possible_dose: NDArray[np.bool_]
    voxel_mm: tuple[float, float, float]

    def roi_voxels(self) -> dict[str, NDArray[np.bool_]]:
        """Give the voxels of each structure that the patient has, under OpenKBP's names."""
        masks = self.anatomy.masks
        return {name: masks[key].values >= 0.5 for name, key in STANDARD_NAMES.items() if key in masks}


@dataclass(frozen=True, eq=False)
class _Raw:
    """Arrays ``[y, x, z]`` as OpenKBP has them."""

    ct: NDArray[np.float32]
    dose_gy: NDArray[np.float32]
    possible_dose: NDArray[np.bool_]
    voxels: Mapping[str, NDArray[np.bool_]]
    voxel_mm: NDArray[np.float64]


def patient_folder(data_dir: Path, set_name: str) -> Path:
    """Give the folder with patients: ``data_dir`` itself, or the set of that name in it.

    Raises
    ------
    Refusal
        There are no patients in either (``openkbp-no-patients``).
    """
    # the challenge calls its folders train-pats, validation-pats and test-pats
    for folder in (data_dir, data_dir / set_name, data_dir / f"{set_name}-pats"):
        if _paths(folder):
            return folder
    raise Refusal(
        "openkbp-no-patients",
        f"No patient pt_N.npz or folder pt_N was found in the data folder or in {set_name!r} inside it.",
        folder=data_dir.name,
    )


def list_patients(folder: Path) -> tuple[Path, ...]:
    """Give the patients of a folder, packed files and CSV folders alike, in the order of their numbers.

    Raises
    ------
    Refusal
        There is none (``openkbp-no-patients``), or one is there in both forms (``openkbp-twice``).
    """
    paths = _paths(folder)
    if not paths:
        raise Refusal("openkbp-no-patients", "The folder holds no patient pt_N.npz or pt_N.", folder=folder.name)
    numbers = [number for number, _ in paths]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise Refusal("openkbp-twice", f"Patient pt_{twice[0]} is there twice, packed and as CSV.", folder=folder.name)
    return tuple(path for _, path in paths)


def read_patient(path: Path) -> OpenKbpPatient:
    """Read one patient.

    Parameters
    ----------
    path
        A packed ``pt_N.npz``, or a folder ``pt_N`` of CSV files.

    Raises
    ------
    Refusal
        A file is missing, damaged, or does not hold what it should (``openkbp-file``).
    """
    raw = _read_csv(path) if path.is_dir() else _read_packed(path)
    patient_id = path.stem if path.suffix == ".npz" else path.name
    if not (raw.voxel_mm.shape == (3,) and np.isfinite(raw.voxel_mm).all() and (raw.voxel_mm > 0).all()):
        raise _bad(path, f"Three positive voxel sizes were expected, got {raw.voxel_mm.tolist()}.")
    if not any(name in raw.voxels for name in TARGETS):
        raise _bad(path, "The patient has no target.")
    dy, dx, dz = (float(size) for size in raw.voxel_mm)
    centred = (-dx * (_SIDE - 1) / 2, -dy * (_SIDE - 1) / 2, -dz * (_SIDE - 1) / 2)
    frame = f"2.25.{int.from_bytes(hashlib.sha256(patient_id.encode()).digest()[:15])}"
    grid = Grid.axial((_SIDE, _SIDE, _SIDE), (dz, dy, dx), centred, frame)
    voxels = {name: _to_patient(array) for name, array in raw.voxels.items()}
    ct = _to_patient(raw.ct)
    body = _body((ct > 0) | np.logical_or.reduce(list(voxels.values())))
    anatomy = Anatomy(
        grid=grid,
        ct=CtVolume(np.where(body, ct - _CT_OFFSET_HU, np.float32(_AIR_HU)), grid),
        body=Mask(body.astype(np.float32), grid),
        masks={STANDARD_NAMES[name]: Mask(array.astype(np.float32), grid) for name, array in voxels.items()},
        target_levels_gy={name: level for name, level in LEVELS_GY.items() if name in voxels},
        gantry_angles_deg=GANTRY_ANGLES_DEG,
    )
    possible = _to_patient(raw.possible_dose)
    if not possible.any():
        raise _bad(path, "The possible-dose mask is empty.")
    return OpenKbpPatient(patient_id, anatomy, Dose(_to_patient(raw.dose_gy), grid), possible, grid.spacing_mm)


def is_patient(path: Path) -> bool:
    """Whether a path is one patient, packed or a folder of CSV files, by its name and what it is."""
    return path.exists() and _number(path) is not None


def _paths(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    named = ((_number(path), path) for path in folder.iterdir())
    return sorted((number, path) for number, path in named if number is not None)


def _number(path: Path) -> int | None:
    match = re.fullmatch(r"pt_(\d+)(\.npz)?", path.name)
    return int(match[1]) if match and path.is_dir() == (match[2] is None) else None


def _to_patient(array: NDArray[_T]) -> NDArray[_T]:
    """Turn ``[y, x, z to inferior]`` into ``[z to superior, y, x]``."""
    return np.ascontiguousarray(np.transpose(array, (2, 0, 1))[::-1])


def _body(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the holes of each slice and keep the largest piece."""
    filled = np.stack([ndimage.binary_fill_holes(voxels[k]) for k in range(len(voxels))])
    labels, count = ndimage.label(filled)
    if count > 1:
        filled = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return filled


def _read_packed(path: Path) -> _Raw:
    try:
        # our own handle: numpy leaves one open where it fails
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            ct, dose, labels = file["ct"], file["dose"], file["labels"]
            voxel_mm = np.asarray(file["voxel_mm"], dtype=np.float64)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _bad(path, "It is not a packed patient.") from error
    for name, array in (("ct", ct), ("dose", dose), ("labels", labels)):
        if array.shape != (_SIDE,) * 3 or array.dtype != np.uint16:
            raise _bad(path, f"Array {name!r} must be uint16 of shape 128 x 128 x 128.")
    voxels = {name: (labels >> bit & 1).astype(bool) for name, bit in _BITS.items()}
    return _Raw(
        ct=ct.astype(np.float32),
        dose_gy=(dose * _PACKED_DOSE_STEP_GY).astype(np.float32),
        possible_dose=(labels & 1).astype(bool),
        voxels={name: array for name, array in voxels.items() if array.any()},
        voxel_mm=voxel_mm,
    )


def _read_csv(folder: Path) -> _Raw:
    voxels = {}
    for name in _BITS:
        if (folder / f"{name}.csv").exists():
            array = _csv_voxels(folder / f"{name}.csv")
            if array.any():
                voxels[name] = array
    sizes = folder / "voxel_dimensions.csv"
    try:
        voxel_mm = np.loadtxt(sizes, dtype=np.float64, ndmin=1)
    except (OSError, ValueError) as error:
        raise _bad(sizes, "Three voxel sizes were expected, one a line.") from error
    return _Raw(
        ct=np.clip(_csv_values(folder / "ct.csv"), 0, _CT_HIGHEST),
        dose_gy=_csv_values(folder / "dose.csv"),
        possible_dose=_csv_voxels(folder / "possible_dose_mask.csv"),
        voxels=voxels,
        voxel_mm=voxel_mm,
    )


def _csv_voxels(path: Path) -> NDArray[np.bool_]:
    """Read a mask: a header, then a flat index and an empty field a line."""
    voxels = np.zeros(_SIDE**3, dtype=bool)
    voxels[_indices(path, _columns(path, (0,))[:, 0])] = True
    return voxels.reshape(_SIDE, _SIDE, _SIDE)


def _csv_values(path: Path) -> NDArray[np.float32]:
    """Read a sparse array: a header, then a flat index and a value a line; everything else is 0."""
    columns = _columns(path, (0, 1))
    values = np.zeros(_SIDE**3, dtype=np.float32)
    values[_indices(path, columns[:, 0])] = columns[:, 1]
    return values.reshape(_SIDE, _SIDE, _SIDE)


def _columns(path: Path, columns: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        text = path.read_text(encoding="ascii")
        if text.count("\n") < 2 and not text.partition("\n")[2].strip():
            return np.empty((0, len(columns)))
        return np.loadtxt(text.splitlines(), delimiter=",", skiprows=1, usecols=columns, ndmin=2)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise _bad(path, "A header and lines of index,value were expected.") from error


def _indices(path: Path, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    indices = numbers.astype(np.int64)
    if (indices != numbers).any() or (indices < 0).any() or (indices >= _SIDE**3).any():
        raise _bad(path, f"A voxel index is not a whole number from 0 to {_SIDE**3 - 1}.")
    if len(np.unique(indices)) != len(indices):
        raise _bad(path, "A voxel index comes twice.")
    return indices


def _bad(path: Path, message: str) -> Refusal:
    return Refusal("openkbp-file", f"OpenKBP file {path.name!r} cannot be used. {message}", file=path.name)
