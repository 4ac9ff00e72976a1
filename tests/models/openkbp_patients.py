"""Synthetic OpenKBP patients, written in the packed and in the published form from the format's description."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BITS = {
    "possible_dose_mask": 0, "Brainstem": 1, "SpinalCord": 2, "RightParotid": 3, "LeftParotid": 4, "Esophagus": 5,
    "Larynx": 6, "Mandible": 7, "PTV56": 8, "PTV63": 9, "PTV70": 10,
}  # fmt: skip
VOXEL_MM = (3.5, 3.0, 2.5)  # y, x, z


def arrays() -> dict[str, np.ndarray]:
    """A box of a patient in OpenKBP's axes ``[y, x, z]``: posterior, left, inferior."""
    ct = np.zeros((128,) * 3, dtype=np.uint16)
    ct[30:100, 20:110, 10:120] = 1024
    ct[60:64, 60:64, 50:54] = 0  # a hole: air that the body still holds
    ct[2:4, 2:4, 10:120] = 900  # a piece of couch
    boxes = {
        "possible_dose_mask": np.s_[28:100, 20:110, 30:90],
        "SpinalCord": np.s_[85:90, 62:66, 10:120],  # posterior
        "RightParotid": np.s_[55:65, 28:36, 20:30],  # towards the patient's right: low x; superior: low z
        "LeftParotid": np.s_[55:65, 94:102, 20:30],
        "PTV56": np.s_[50:70, 85:93, 40:80],
        "PTV70": np.s_[50:70, 40:80, 40:60],
    }
    labels = np.zeros((128,) * 3, dtype=np.uint16)
    for name, box in boxes.items():
        labels[box] |= np.uint16(1 << BITS[name])
    dose = np.zeros((128,) * 3, dtype=np.uint16)
    dose[28:100, 20:110, 30:90] = 5000
    dose[50:70, 40:80, 40:60] = 35000 + np.arange(20, dtype=np.uint16)  # grows towards inferior
    return {"ct": ct, "labels": labels, "dose": dose}


def write_packed(folder: Path, name: str, **changes: np.ndarray) -> Path:
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **({**arrays(), "voxel_mm": np.array(VOXEL_MM)} | changes))
    return path


def write_csv(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    content = arrays()
    for file, values in (("ct", content["ct"]), ("dose", content["dose"] * 0.002)):
        flat = values.ravel()
        rows = "".join(f"{i},{flat[i]:.6g}\n" for i in np.flatnonzero(flat))
        (path / f"{file}.csv").write_text(",data\n" + rows)
    for file, bit in BITS.items():
        indices = np.flatnonzero(content["labels"].ravel() >> bit & 1)
        if len(indices):
            (path / f"{file}.csv").write_text(",data\n" + "".join(f"{i},\n" for i in indices))
    (path / "voxel_dimensions.csv").write_text("".join(f"{size:.3f}\n" for size in VOXEL_MM))
    return path
