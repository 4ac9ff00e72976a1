"""A promise: what a method says that a patient's DVHs will be, and the objectives that ask an optimizer for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bridge import __version__
from bridge.dicom.uids import derived_uid
from bridge.rt.dvh import Dvh
from bridge.rt.dvh_prepared import PreparedDvhs
from bridge.rt.findings import Finding
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from bridge.workflow.cohort.study import EXTRACTION, POLICY
from bridge.workflow.library.case import PlanningCase
from models.kbp.estimate import Band, DvhBand
from models.kbp.model import DvhEstimate
from models.predictor import Prediction
from objective_extraction.band import LowerEdge, band_objectives
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import CaseReference, ObjectiveSet
from objective_extraction.settings import ExtractionSettings
from objective_extraction.variability.deviation import PredictedCurve

__all__ = ["Promise", "band_promise", "dose_promise"]

_CURVES: Mapping[PredictedCurve, Band] = {"band_middle": "middle", "line_objective": "lower"}
"""The objectives ask for the lower edge, and a plan that reaches it misses the middle: both are compared."""

_TOUCHING = 1e-3
"""Part of an organ below which its overlap with targets is the rounding of contours along each other."""


@dataclass(frozen=True, eq=False)
class Promise:
    """What one method says of one patient.

    Attributes
    ----------
    objectives
        That were made from it.
    curves
        What stands for the prediction, then by structure name: of organs and their parts outside targets, and of
        targets where a dose was predicted.
    upper
        Upper edges of bands by structure name, to be drawn.
    dose
        The predicted one, None for bands.
    findings
        Of the model and of the extraction.
    """

    objectives: ObjectiveSet
    curves: Mapping[PredictedCurve, Mapping[str, Dvh]]
    upper: Mapping[str, Dvh]
    dose: Dose | None
    findings: tuple[Finding, ...]


def dose_promise(
    case: PlanningCase, prediction: Prediction, prepared: PreparedDvhs, extraction: ExtractionSettings = EXTRACTION
) -> Promise:
    """Read a predicted dose.

    Parameters
    ----------
    case
        The patient.
    prediction
        On the patient's grid.
    prepared
        Targets, organs, and their parts outside targets on that grid, by the study's policy.
    extraction
        Rules by which objectives are made; without it those of a study.
    """
    found = {dvh.roi_name: dvh for dvh in prepared.dvhs(prediction.dose)}
    own = {structure.name for structure in case.structures}
    objectives = extract_objectives(
        case.structures, case.prescription, prediction.dose, [dvh for name, dvh in found.items() if name in own],
        case=_reference(case), dose_source="predicted", settings=extraction, policy=POLICY,
        provenance=_provenance(prediction.model_id, prediction.model_sha256, prediction.preference.as_dict()),
    )  # fmt: skip
    findings = (*prediction.findings, *objectives.findings)
    return Promise(objectives, {"prediction": found}, {}, prediction.dose, findings)


def band_promise(case: PlanningCase, estimate: DvhEstimate) -> Promise:
    """Take the bands of an estimator; an organ without one is asked for nothing, and a finding says so."""
    organs = {organ.name: organ for organ in case.organs if organ.name in estimate.bands}
    edges = [LowerEdge(*_edge(organ, estimate.bands[name])) for name, organ in organs.items()]
    objectives = band_objectives(
        case.structures, case.prescription, edges, case=_reference(case), settings=EXTRACTION, policy=POLICY,
        provenance=_provenance(estimate.model_id, estimate.model_sha256, {}),
    )  # fmt: skip
    curves = {curve: _dvhs(case, organs, estimate, band) for curve, band in _CURVES.items()}
    findings = (*estimate.findings, *objectives.findings)
    return Promise(objectives, curves, _dvhs(case, organs, estimate, "upper"), None, findings)


def _edge(organ: Structure, band: DvhBand) -> tuple[Dvh, Dvh | None]:
    outside = None if band.outside is None else band.outside.dvh(organ, POLICY, "lower")
    return band.dvh(organ, POLICY, "lower"), outside


def _dvhs(
    case: PlanningCase, organs: Mapping[str, Structure], estimate: DvhEstimate, band: Band
) -> dict[str, Dvh]:  # fmt: skip
    """Give one curve of the organs' bands, and of the parts outside targets under the names of these."""
    found = {}
    for name, organ in organs.items():
        whole = estimate.bands[name]
        found[name] = whole.dvh(organ, POLICY, band)
        part = whole if whole.overlap < _TOUCHING else whole.outside
        outside = case.outside.get(name)
        if outside is not None and part is not None:
            # a band speaks of an organ by its standard name; its part goes by the name of its own
            of_part = part.dvh(organ, POLICY, band)
            found[outside.name] = replace(of_part, roi_number=outside.number, roi_name=outside.name)
    return found


def _reference(case: PlanningCase) -> CaseReference:
    """Give UIDs that stand for the patient's files: there is no structure set."""
    uids = [derived_uid(case.source_sha256, what) for what in ("structure set", "study")]
    return CaseReference(uids[0], uids[1], case.ct.grid.frame_of_reference_uid)


def _provenance(model_id: str, model_sha256: str, preference: Mapping[str, float]) -> Provenance:
    return Provenance(__version__, model_id, model_sha256, "", {}, datetime.now(UTC), preference)
