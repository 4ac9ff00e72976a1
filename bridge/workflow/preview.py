"""A preview: the dose of a case for another preference, measured as the exported one is, and written nowhere.

Runs in a process of its own, which keeps the last case encoded: then a preference costs a proposal and its DVHs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from bridge.workflow.clinical_goals import clinical_goals, goal_outcomes
from bridge.workflow.export import plan_metrics
from bridge.workflow.library.goals import Goal
from bridge.workflow.predict import dvh_policy, model_in, prepared_case
from config.protocol import load_protocol
from config.settings import Settings
from models.checks import check_spacing
from models.predictor import DosePredictor, PreparedPredictor
from models.preference import Preference

__all__ = ["Preview", "PreviewRequest", "begin", "preview"]

_KEPT_CASES = 2
_HISTOGRAM_STEP_GY = 1.0
"""Curves are what is drawn while a slider moves; ten times fewer steps are worth a tenth of a second."""


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
        As ``dvh.json``, with steps of 1 Gy; from prepared samples (how near they come: :mod:`bridge.rt.dvh_prepared`).
    goals
        What the dose makes of the clinical goals; see :func:`bridge.workflow.clinical_goals.goal_outcomes`.
    findings
        What the model says about this preference.
    """

    dose: Dose
    dvhs: dict[str, object]
    goals: Sequence[Mapping[str, object]]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class _Prepared:
    case: PatientCase
    predictor: PreparedPredictor
    dvhs: PreparedDvhs
    goals: tuple[Goal, ...]


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
    content = dvh_json(dvhs, metrics, dose_step_gy=_HISTOGRAM_STEP_GY)
    return Preview(prediction.dose, content, goal_outcomes(prepared.goals, dvhs), prediction.findings)


@lru_cache(_KEPT_CASES)
def _prepared(paths: tuple[Path, ...], inputs: tuple[str, ...], settings_json: str) -> _Prepared:
    settings = Settings.model_validate_json(settings_json)
    case = prepared_case(paths, settings)
    if not set(case.input_uids.values()) <= set(inputs):
        raise ApprovalRefusal("input-changed", "A file in the spool is not the one that was received.")
    predictor = _model(settings_json)
    check_spacing(predictor.card, case.ct.grid)
    anatomy, _ = anatomy_of(case, settings.prediction.dose_grid_mm)
    return _Prepared(
        case,
        predictor.prepare(anatomy),
        prepare_dvhs(case.structures, anatomy.grid, dvh_policy(settings)),
        clinical_goals(load_protocol(settings.review.protocol), case),
    )


@cache
def _model(settings_json: str) -> DosePredictor:
    return model_in(Settings.model_validate_json(settings_json))
