"""A preview: the dose of a case for another preference, measured as the exported one is, and written nowhere.

Runs in a process of its own, which keeps the last case encoded: then a preference costs a proposal and its DVHs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from bridge.report.tables import dvh_json
from bridge.rt.anatomy import anatomy_of
from bridge.rt.case import PatientCase
from bridge.rt.dvh_prepared import PreparedDvhs, prepare_dvhs
from bridge.rt.errors import ApprovalRefusal
from bridge.rt.findings import Finding
from bridge.rt.volume import Dose
from bridge.workflow.child_process import end_with
from bridge.workflow.export import plan_metrics
from bridge.workflow.predict import dvh_policy, prepared_case
from config.settings import Settings
from models.checks import check_spacing
from models.predictor import DosePredictor, PreparedPredictor
from models.preference import Preference
from models.registry import load_model

__all__ = ["Preview", "PreviewRequest", "begin", "preview"]

_KEPT_CASES = 2


@dataclass(frozen=True)
class PreviewRequest:
    """What is to be predicted.

    Attributes
    ----------
    paths, inputs
        The received files, and the hashes that they had when they came.
    settings_json
        All settings: as text they can be compared, and sent to another process.
    preference
        What is asked for.
    """

    paths: tuple[Path, ...]
    inputs: tuple[str, ...]
    settings_json: str
    preference: Preference


@dataclass(frozen=True, eq=False)
class Preview:
    """What came out.

    Attributes
    ----------
    dose
        On the grid of every prediction of the case.
    dvhs
        As ``dvh.json``; from prepared samples, see :mod:`bridge.rt.dvh_prepared` for how near they come.
    findings
        What the model says about this preference.
    """

    dose: Dose
    dvhs: dict[str, object]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class _Prepared:
    case: PatientCase
    predictor: PreparedPredictor
    dvhs: PreparedDvhs


def begin(parent: int) -> None:
    """Set the process up: it must not outlive the one that asks."""
    end_with(parent)
    os.nice(5)  # receiving and the cases in the queue come first


def preview(request: PreviewRequest) -> Preview:
    """Predict a case for a preference.

    Raises
    ------
    Refusal
        The case or the preference cannot be predicted, or a file is not the one that was received
        (``input-changed``).
    """
    prepared = _prepared(request.paths, request.inputs, request.settings_json)
    prediction = prepared.predictor.predict(request.preference)
    dvhs = prepared.dvhs.dvhs(prediction.dose)
    prescription = prepared.case.prescription
    assert prescription is not None  # noqa: S101 - anatomy_of refused a case without one
    metrics = plan_metrics(prepared.case, dvhs, prescription)
    return Preview(prediction.dose, dvh_json(dvhs, metrics), prediction.findings)


@lru_cache(_KEPT_CASES)
def _prepared(paths: tuple[Path, ...], inputs: tuple[str, ...], settings_json: str) -> _Prepared:
    settings = Settings.model_validate_json(settings_json)
    case = prepared_case(paths, settings)
    if not set(case.input_uids.values()) <= set(inputs):
        raise ApprovalRefusal("input-changed", "A file in the spool is not the one that was received.")
    predictor = _model(settings.prediction.model)
    check_spacing(predictor.card, case.ct.grid)
    anatomy, _ = anatomy_of(case, settings.prediction.dose_grid_mm)
    return _Prepared(
        case, predictor.prepare(anatomy), prepare_dvhs(case.structures, anatomy.grid, dvh_policy(settings))
    )


@cache
def _model(model_id: str) -> DosePredictor:
    return load_model(model_id)
