"""A case in a few lines of text: its prescription, and what each structure was asked for, is predicted and got."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bridge.rt.prescription import Prescription, PrescriptionSource
from bridge.tps.terms import words
from bridge.workflow.export import ARTIFACT_FILES
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import MeanObjective, PointObjective

__all__ = ["Metrics", "dose_lines", "predicted_beside", "prescription_line", "read_metrics"]

Metrics = Mapping[str, Mapping[str, float]]
"""By name of the structure, then of the metric; structures without dose are left out."""

_SOURCES: Mapping[PrescriptionSource, str] = {
    "rtplan": "from the RTPLAN",
    "target_name": "from its name",
    "config": "from the settings",
}


def prescription_line(prescription: Prescription) -> str:
    """Say what is prescribed, and where each dose was found."""
    levels = [f"{level.roi_name} {level.dose_gy:g} Gy ({_SOURCES[level.source]})" for level in prescription.levels]
    fractions = "an unknown number of" if prescription.fractions is None else f"{prescription.fractions}"
    return f"prescription: {', '.join(levels)} in {fractions} fractions"


def dose_lines(objectives: ObjectiveSet, doses: Mapping[str, Metrics]) -> Iterator[str]:
    """Give a line for each structure: D95% of prescribed targets, the mean of the rest, and what was asked of these.

    Parameters
    ----------
    doses
        By what the dose is (``"predicted"``, ``"optimized"``), in the order in which they are said.
    """
    targets = {level.roi_name for level in objectives.prescription.levels}
    for name in dict.fromkeys(name for metrics in doses.values() for name in metrics):
        key, text = ("D95%_gy", "D95%") if name in targets else ("mean_gy", "mean")
        said = [f"{of[name][key]:.1f} Gy {what}" for what, of in doses.items() if name in of]
        asked = [
            words(one) for one in objectives.objectives if one.roi_name == name and _is_about(one, name in targets)
        ]
        yield f"{name}: {text} {', '.join(said)}{'; requested: ' + ', '.join(asked) if asked else ''}"


def _is_about(objective: object, is_target: bool) -> bool:
    """Tell if an objective asks for what the line of its structure gives."""
    if is_target:
        return isinstance(objective, PointObjective) and objective.operator == "lower"
    return isinstance(objective, MeanObjective)


def read_metrics(dvh_file: Path) -> Metrics:
    """Read the metrics of a ``dvh.json`` that the bridge wrote."""
    structures = json.loads(dvh_file.read_text(encoding="utf-8"))["structures"]
    return {row["roi_name"]: row["metrics"] for row in structures if row["metrics"] is not None}


def predicted_beside(objectives: ObjectiveSet, objectives_file: Path) -> Metrics | None:
    """Give the metrics of the dose that objectives are from, where its ``dvh.json`` lies beside them; else None."""
    file = objectives_file.with_name(ARTIFACT_FILES["dvh"])
    try:
        made = json.loads(file.read_bytes())["provenance"]
        return read_metrics(file) if made == json.loads(json.dumps(objectives.provenance.as_dict())) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
