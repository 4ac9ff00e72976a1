"""What each part of FDP is worth, under one budget for all: ``python -m models.training.ablation``.

Every arm is trained for the same minutes on the same patients with the same seed, wishes left out, and scored on the
validation patients by the official formulas. The minutes of Stage I are taken from the arms that use it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.evaluation import evaluate
from models.fdp.channels import CHANNELS, PLATES
from models.fdp.network import NetworkSettings
from models.openkbp.reader import patient_folder
from models.registry import load_model
from models.training.dataset import Patient
from models.training.export import export_fdp
from models.training.fdp import FdpSettings, train_fdp
from models.training.prepare import load_patients
from models.training.vqvae import VqVaeSettings, train_vqvae

__all__ = ["ARMS", "Arm", "run_arm"]

_STAGE1_SHARE = 0.2


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes
    ----------
    stage1, plates, dvh
        Whether Stage I, the beam plates and the DVH losses take part.
    backbone
        Blocks of the encoder.
    """

    name: str
    stage1: bool = True
    plates: bool = True
    dvh: bool = True
    backbone: str = "resunet"


ARMS = (
    Arm("full"),
    Arm("without-stage1", stage1=False),
    Arm("without-plates", plates=False),
    Arm("mednext", backbone="mednext"),
    Arm("l1-only", dvh=False),
)


def run_arm(arm: Arm, patients: Sequence[Patient], data: Path, out: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Train and score one arm; what was done before is taken as it is."""
    folder = out / f"{arm.name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "score.json"
    if result.exists():
        done: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return done
    settings = FdpSettings(minutes, seed=seed, wishes_from=1.1)
    if arm.backbone == "mednext":
        settings = replace(settings, network=NetworkSettings(backbone="mednext"))
    if not arm.plates:
        settings = replace(settings, without=tuple(CHANNELS.index(name) for name in PLATES))
    if not arm.dvh:
        settings = replace(settings, curve=0.0, criteria=0.0)
    if arm.stage1:
        stage1_minutes = _STAGE1_SHARE * minutes
        stage1 = train_vqvae(patients, folder, VqVaeSettings(stage1_minutes, settings.network, seed=seed))
        settings = replace(settings, stage1=stage1, minutes=minutes - stage1_minutes)
    checkpoint = train_fdp(patients, folder, settings)
    model_id = f"fdp-{arm.name}-{seed}"
    export_fdp(checkpoint, folder, model_id, patients[::40])
    scores = evaluate(load_model(model_id, folder, mirror_average=False), data)
    row: dict[str, Any] = {
        "arm": arm.name,
        "seed": seed,
        "minutes": minutes,
        "dose_score_gy": scores.dose_score_gy,
        "dvh_score_gy": scores.dvh_score_gy,
        "n": scores.n,
    }
    result.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return row


def main() -> None:
    """Run the arms one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS])
    given = parser.parse_args()
    patients = load_patients(patient_folder(given.data, "train"), given.out / "patients")
    lines = ["| arm | minutes | dose score (Gy) | DVH score (Gy) |", "| --- | --- | --- | --- |"]
    for arm in ARMS:
        if arm.name in given.arms:
            row = run_arm(arm, patients, given.data, given.out, given.minutes, given.seed)
            lines.append("| {arm} | {minutes:g} | {dose_score_gy:.3f} | {dvh_score_gy:.3f} |".format(**row))
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
