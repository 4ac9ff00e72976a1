"""Recompute the OpenKBP scores from packed patients and saved predictions, with numpy and nothing of ours.

usage: python tests/oracles/openkbp_score.py REF_DIR PRED_DIR

REF_DIR holds packed patients pt_N.npz, indexed [y, x, z to inferior]; PRED_DIR the files that an evaluation saved,
``dose_gy`` indexed [z to superior, y, x]. The work is done on flat voxel lists in the order of the reference files,
and percentiles are read off sorted lists by hand.
"""

import json
import math
import pathlib
import sys

import numpy as np

STRUCTURES = {
    "Brainstem": 1, "SpinalCord": 2, "RightParotid": 3, "LeftParotid": 4, "Esophagus": 5, "Larynx": 6, "Mandible": 7,
    "PTV56": 8, "PTV63": 9, "PTV70": 10,
}  # fmt: skip


def quantile(ascending, fraction):
    """Read a sorted list at a fraction of the way from its first to its last element."""
    position = fraction * (len(ascending) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (position - below) * (ascending[above] - ascending[below])


def criteria(doses, labels, voxel_mm3):
    found = {}
    for name, bit in STRUCTURES.items():
        inside = sorted(doses[np.bitwise_and(labels, 2**bit) != 0].tolist())
        if not inside:
            continue
        if name.startswith("PTV"):
            found[name, "D99"] = quantile(inside, 0.01)
            found[name, "D95"] = quantile(inside, 0.05)
            found[name, "D1"] = quantile(inside, 0.99)
        else:
            hottest = max(1.0, float(np.round(100.0 / voxel_mm3)))
            found[name, "D0.1cc"] = quantile(inside, max(0.0, 1.0 - hottest / len(inside)))
            found[name, "mean"] = math.fsum(inside) / len(inside)
    return found


def score(reference_file, prediction_file):
    with np.load(reference_file) as packed:
        labels = packed["labels"].reshape(-1)
        reference = packed["dose"].reshape(-1).astype(float) / 500.0
        voxel_mm3 = math.prod(packed["voxel_mm"].tolist())
    with np.load(prediction_file) as saved:
        upwards = saved["dose_gy"]
    # element [y, x, k] of the reference is element [127 - k, y, x] of the prediction
    predicted = np.stack([upwards[127 - k] for k in range(128)], axis=-1).reshape(-1).astype(float)
    dose = math.fsum(np.abs(reference - predicted)) / int((labels % 2 == 1).sum())
    wanted, got = criteria(reference, labels, voxel_mm3), criteria(predicted, labels, voxel_mm3)
    return dose, {key: got[key] - wanted[key] for key in wanted}


def main(reference_dir, prediction_dir):
    doses, differences, patients = [], [], {}
    for prediction_file in sorted(pathlib.Path(prediction_dir).glob("pt_*.npz")):
        dose, by_criterion = score(pathlib.Path(reference_dir) / prediction_file.name, prediction_file)
        doses.append(dose)
        differences += [abs(value) for value in by_criterion.values()]
        patients[prediction_file.stem] = {
            "dose_score_gy": dose,
            "criteria_error_gy": {f"{name} {metric}": value for (name, metric), value in by_criterion.items()},
        }
    return {
        "n": len(doses),
        "dose_score_gy": math.fsum(doses) / len(doses),
        "dvh_score_gy": math.fsum(differences) / len(differences),
        "patients": patients,
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:3]), sys.stdout, indent=1)
