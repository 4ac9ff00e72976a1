"""The demonstration: the whole way on a made-up patient, with files and objects as in a clinic."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bridge.dicom.phantom import write_head_and_neck_phantom
from bridge.dicom.read_dose import read_dose
from bridge.rt.dvh_compare import compare_dvhs
from bridge.rt.errors import ModelRefusal
from bridge.tps.esapi_port import apply_to_esapi
from bridge.workflow.export import ARTIFACT_FILES
from bridge.workflow.pipeline import measure
from bridge.workflow.predict import dvh_policy, predict_files, preference_in
from config.settings import Settings
from models.registry import load_model

__all__ = ["run_demo"]

_SAME_DVH_GY = 0.05
"""Largest change of a DVH by being written as RTDOSE and read again."""


def run_demo(folder: Path, settings: Settings, say: Callable[[str], None]) -> Path:
    """Make a phantom, predict it, extract objectives, hand them over, read the dose back, and report.

    Parameters
    ----------
    folder
        Gets ``dicom/`` and ``result/``.
    settings
        Model and rules.
    say
        Called with a line of progress after each step.

    Returns
    -------
    Path
        The case report.

    Raises
    ------
    ModelRefusal
        The dose that was read back has other DVHs than the predicted one (``round-trip``).
    """
    begun = time.monotonic()
    dicom, result_folder = folder / "dicom", folder / "result"
    phantom = write_head_and_neck_phantom(dicom)
    say(f"phantom: {len(phantom.ct_paths)} CT slices and an RTSTRUCT in {dicom}")
    predictor = load_model(settings.prediction.model)
    predicted = predict_files(phantom.paths, predictor, preference_in(settings), "demo", result_folder, settings)
    result = predicted.result
    say(f"predicted by {predictor.card.title}: up to {result.prediction.dose.maximum_gy:.1f} Gy")
    say(f"objectives: {len(result.objectives.objectives)} for {len(result.dvhs)} structures")
    receipt = apply_to_esapi(result.objectives, result.case.structures)
    say(f"esapi_stub took {len(receipt.added)} objectives and refused {len(receipt.refused)}")
    again = measure(
        result.case.structures, read_dose(result_folder / ARTIFACT_FILES["predicted_dose"]), dvh_policy(settings)
    )
    change_gy = max(
        compare_dvhs(one, other).max_abs_gy for one, other in zip(result.dvhs, again, strict=True) if not one.is_empty
    )
    if change_gy > _SAME_DVH_GY:
        raise ModelRefusal("round-trip", f"The dose read back differs by {change_gy:.3f} Gy in a DVH.")
    say(f"read back from RTDOSE: DVHs differ by at most {change_gy:.4f} Gy")
    report = result_folder / ARTIFACT_FILES["report"]
    say(f"done in {time.monotonic() - begun:.1f} s; report:")
    say(str(report.resolve()))
    return report
