"""One patient of a study: promises by all methods, a plan for each, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.errors import StructureRefusal
from bridge.rt.plan_metrics import Conformity, conformity
from bridge.rt.volume import Dose
from bridge.workflow.cohort.planner import Achieved, CohortPlanner, one_thread
from bridge.workflow.cohort.promise import Promise, band_promise, dose_promise
from bridge.workflow.cohort.result import (
    VOLUMES_PERCENT,
    Curves,
    FindingEntry,
    MethodResult,
    PatientResult,
    PlanQuality,
    StructureEntry,
)
from bridge.workflow.cohort.study import BASELINE, POLICY, StudyOptions
from bridge.workflow.library.case import BODY_NAME, PlanningCase, read_planning_case
from bridge.workflow.library.goals import Goal, protocol_goals
from bridge.workflow.library.measuring import measures_of
from bridge.workflow.library.planner import InfluenceOf
from config.protocol import load_protocol
from esapi_stub.engine.radplan import equispaced_deg
from models.kbp.model import KbpEstimator
from models.predictor import DosePredictor
from models.registry import load_estimator, load_model
from objective_extraction.slack import objective_slack
from objective_extraction.variability.deviation import Deviation, deviation

__all__ = ["study_case", "study_patient"]

_DECIMALS = 3
_VOLUMES: FloatArray = np.array(VOLUMES_PERCENT, dtype=np.float64)


def study_patient(path: Path, options: StudyOptions, study_sha256: str, influence_of: InfluenceOf) -> PatientResult:
    """Study one OpenKBP patient.

    Raises
    ------
    Refusal
        The patient cannot be read, predicted or planned.
    Failure
        The engine is not installed.
    """
    return study_case(read_planning_case(path), options, study_sha256, influence_of)


def study_case(
    case: PlanningCase, options: StudyOptions, study_sha256: str, influence_of: InfluenceOf
) -> PatientResult:  # fmt: skip
    """Study one patient; see :func:`study_patient`."""
    anatomy = replace(case.patient.anatomy, gantry_angles_deg=equispaced_deg(options.beams))
    on_patient = prepare_dvhs((*case.structures, *case.outside.values()), anatomy.grid, POLICY)
    predictor, estimator = _models(options.model, options.baseline, options.zoo, options.mirror_average)
    prepared = predictor.prepare(anatomy)
    promises = {wish.name: dose_promise(case, prepared.predict(wish), on_patient) for wish in options.asked}
    promises[BASELINE] = band_promise(case, estimator.estimate(anatomy))
    goals = protocol_goals(load_protocol(options.protocol), case)
    with one_thread():
        planner = CohortPlanner(
            case, [promise.objectives for promise in promises.values()], options.beams, options.settings,
            options.normalisation, influence_of,
        )  # fmt: skip
        achieved = {name: planner.optimize(promise.objectives) for name, promise in promises.items()}
    reference = {dvh.roi_name: dvh for dvh in on_patient.dvhs(case.patient.dose)}
    methods = []
    for name, promise in promises.items():
        promised = None
        if promise.dose is not None:
            promised = _quality(case, goals, {dvh.roi_name: dvh for dvh in on_patient.dvhs(promise.dose)}, promise.dose)
        methods.append(_method(name, case, goals, promise, promised, achieved[name]))
    return PatientResult(
        id=case.id,
        study_sha256=study_sha256,
        source_sha256=case.source_sha256,
        levels_gy={level.roi_name: level.dose_gy for level in case.prescription.levels},
        structures=_structures(case, reference),
        methods=tuple(methods),
        reference=_quality(case, goals, reference, case.patient.dose),
        reference_curves=_curves(case, reference),
    )


@lru_cache(maxsize=1)
def _models(
    model: str, baseline: str, zoo: Path | None, mirror_average: bool
) -> tuple[DosePredictor, KbpEstimator]:  # fmt: skip
    """Open the models once in each process."""
    return load_model(model, zoo, mirror_average), load_estimator(baseline, zoo)


def _method(
    name: str, case: PlanningCase, goals: tuple[Goal, ...], promise: Promise, promised: PlanQuality | None,
    achieved: Achieved,
) -> MethodResult:  # fmt: skip
    shown = set(_names(case))
    any_curve = next(iter(promise.curves.values()))
    compared = {curve: _compared(shown, dvhs, achieved.dvhs) for curve, dvhs in promise.curves.items()}
    return MethodResult(
        name=name,
        predicted={curve: _curves(case, dvhs) for curve, dvhs in promise.curves.items()},
        upper=_curves(case, promise.upper),
        achieved=_curves(case, achieved.dvhs),
        deviations={curve: found for curve, (found, _) in compared.items()},
        not_compared={name: why for _, refused in compared.values() for name, why in refused.items()},
        derived={recipe.name: recipe.of[0] for recipe in promise.objectives.derived_structures},
        slack=objective_slack(promise.objectives, achieved.dvhs),
        promised=promised,
        planned=_quality(case, goals, achieved.dvhs, achieved.dose),
        factor=achieved.factor,
        iterations=achieved.iterations,
        stop=achieved.stop,
        objective_value=achieved.objective_value,
        not_estimated=tuple(organ.name for organ in case.organs if organ.name not in any_curve),
        findings=tuple(
            FindingEntry(code=one.code, severity=one.severity, message=one.message) for one in promise.findings
        ),
    )


def _compared(
    shown: Collection[str], predicted: Mapping[str, Dvh], achieved: Mapping[str, Dvh]
) -> tuple[dict[str, Deviation], dict[str, str]]:
    """Give the deviations of all structures that can be compared, and why others cannot: one must not cost the rest."""
    found: dict[str, Deviation] = {}
    refused: dict[str, str] = {}
    for name, dvh in predicted.items():
        if name in shown:
            try:
                found[name] = deviation(dvh, achieved[name])
            except StructureRefusal as refusal:
                refused[name] = str(refusal)
    return found, refused


def _quality(case: PlanningCase, goals: tuple[Goal, ...], dvhs: Mapping[str, Dvh], dose: Dose) -> PlanQuality:
    level = case.prescription.levels[0]
    fit: Conformity | None
    try:
        fit = conformity(dvhs[level.roi_name], dvhs[BODY_NAME], level.dose_gy)
    except StructureRefusal as refusal:
        if refusal.code not in ("isodose-empty", "dvh-coverage"):
            raise
        fit = None
    return PlanQuality(measures=measures_of(case, goals, dvhs, dose), conformity=fit)


def _names(case: PlanningCase) -> tuple[str, ...]:
    """Name the structures that are kept: targets, organs, and organs outside targets."""
    return (
        *(level.roi_name for level in case.prescription.levels),
        *(organ.name for organ in case.organs),
        *(outside.name for outside in case.outside.values()),
    )


def _structures(case: PlanningCase, dvhs: Mapping[str, Dvh]) -> tuple[StructureEntry, ...]:
    of_part = {outside.name: organ for organ, outside in case.outside.items()}
    targets = {level.roi_name for level in case.prescription.levels}
    return tuple(
        StructureEntry(
            name=name,
            kind="target" if name in targets else "outside" if name in of_part else "organ",
            organ=of_part.get(name),
            volume_cc=round(dvhs[name].volume_cc, _DECIMALS),
        )
        for name in _names(case)
    )


def _curves(case: PlanningCase, dvhs: Mapping[str, Dvh]) -> Curves:
    return {
        name: tuple(np.round(dvhs[name].curve(_VOLUMES), _DECIMALS).tolist())
        for name in _names(case)
        if name in dvhs and not dvhs[name].is_empty
    }
