"""One optimization from files to files: objectives and a case in, a plan and its dose out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge import __version__
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.report.tables import dvh_json
from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh
from bridge.rt.provenance import Provenance
from bridge.tps.dose_references import dose_references
from bridge.tps.plan_case import PlannedCase, plan_case
from bridge.tps.receipt import Receipt
from bridge.tps.same_case import require_same_case
from bridge.workflow.export import exported_uid, plan_metrics, sha256_of, write_json
from bridge.workflow.jobs import Artifact
from bridge.workflow.pipeline import measure
from bridge.workflow.predict import dvh_policy, prepared_case
from bridge.workflow.whole_folder import require_replaceable, whole_folder
from config.settings import Settings
from esapi_stub.planning import QUIET, PlanningEngine, Watch
from objective_extraction.objective_json import read_objective_set
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["PLAN_FILES", "Optimized", "plan_files"]

PLAN_FILES: Mapping[str, str] = {
    "optimized_plan": "rtplan.dcm",
    "optimized_dose": "rtdose.dcm",
    "dvh": "dvh.json",
    "receipt": "receipt.json",
}
"""Kind of artifact to file name. All names are ours: nothing received is ever part of a path."""

_PLAN_LABEL, _DOSE_LABEL = "OPTIMIZED", "Optimized dose"


@dataclass(frozen=True, eq=False)
class Optimized:
    """What was planned, and the files that hold it.

    Attributes
    ----------
    case
        With its prescription.
    objectives
        That were asked for.
    planned
        What esapi_stub made of them.
    dvhs
        Of the optimized dose, in structure order.
    receipt
        As written: its plan UID is that of the RTPLAN.
    artifacts
        Their paths are file names within the folder.
    """

    case: PatientCase
    objectives: ObjectiveSet
    planned: PlannedCase
    dvhs: tuple[Dvh, ...]
    receipt: Receipt
    artifacts: tuple[Artifact, ...]


def plan_files(
    paths: Sequence[Path],
    objectives_file: Path,
    engine: PlanningEngine,
    folder: Path,
    settings: Settings,
    watch: Watch = QUIET,
) -> Optimized:
    """Plan a case in esapi_stub for the objectives of a file; write RTPLAN, RTDOSE, DVHs and the receipt.

    Parameters
    ----------
    paths
        CT, RTSTRUCT and perhaps an RTPLAN, as for a prediction.
    objectives_file
        ``objectives.json``.
    engine
        What optimizes and calculates.
    folder
        See :func:`bridge.workflow.whole_folder.whole_folder`.
    settings
        Names, prescriptions, DVHs and pixel depth.
    watch
        Progress and cancelling of the optimization.

    Raises
    ------
    Refusal
        The objectives were changed, belong to another case or cannot be planned; nothing is written.
    Failure
        It was cancelled, the engine is not installed, or a file cannot be read or written.
    """
    require_replaceable(folder, PLAN_FILES.values())
    objectives = read_objective_set(objectives_file)
    case = prepared_case(paths, settings)
    require_same_case(objectives, case)
    planned = plan_case(case, objectives, engine, watch=watch)
    provenance = Provenance(
        software_version=__version__,
        model_id="",
        model_sha256="",
        config_sha256=settings.sha256,
        input_uids=case.input_uids,
        created_utc=datetime.now(UTC),
        preference={},
    )
    dvhs = measure(case.structures, planned.dose, dvh_policy(settings))
    with whole_folder(folder, PLAN_FILES.values(), "the plan") as staging:
        uids = _write_dicom(case, objectives, planned, provenance, staging, settings)
        metrics = plan_metrics(case, dvhs, objectives.prescription)
        write_json(staging / PLAN_FILES["dvh"], dvh_json(dvhs, metrics, provenance))
        receipt = _receipt(planned, uids["optimized_plan"])
        (staging / PLAN_FILES["receipt"]).write_text(receipt.model_dump_json(indent=1) + "\n", encoding="utf-8")
    artifacts = tuple(
        Artifact(kind, name, sha256_of(folder / name), uids.get(kind)) for kind, name in PLAN_FILES.items()
    )
    return Optimized(case, objectives, planned, dvhs, receipt, artifacts)


def _write_dicom(
    case: PatientCase,
    objectives: ObjectiveSet,
    planned: PlannedCase,
    provenance: Provenance,
    folder: Path,
    settings: Settings,
) -> dict[str, str]:
    """Write RTPLAN and RTDOSE and give their UIDs, which are new each time: no two optimizations end alike."""
    dose_sha256 = hashlib.sha256(planned.dose.values.tobytes()).hexdigest()
    key = (objectives.sha256, dose_sha256, provenance.created_utc.isoformat())
    uids = {kind: derived_uid(*key, kind) for kind in ("optimized_plan", "optimized_dose")}
    write_rtplan(
        case.identity,
        dose_references(objectives).references,
        provenance,
        label=_PLAN_LABEL,
        fractions=planned.fractions,
        frame_of_reference_uid=planned.dose.grid.frame_of_reference_uid,
        sop_instance_uid=uids["optimized_plan"],
        series_instance_uid=derived_uid(*key, "plan series"),
        path=folder / PLAN_FILES["optimized_plan"],
        beams=planned.beams,
        # the plan of the predicted dose carries the same objectives, and is where this one comes from
        predecessor_uid=exported_uid(objectives, "predicted_plan") if _was_exported(objectives, case) else None,
        engine=planned.engine,
        remark=f"objectives sha256 {objectives.sha256}",
    )
    write_rtdose(
        planned.dose,
        case.identity,
        provenance,
        plan_uid=uids["optimized_plan"],
        bits=settings.rtdose.bits,
        sop_instance_uid=uids["optimized_dose"],
        series_instance_uid=derived_uid(*key, "dose series"),
        path=folder / PLAN_FILES["optimized_dose"],
        label=_DOSE_LABEL,
        engine=planned.engine,
    )
    return uids


def _was_exported(objectives: ObjectiveSet, case: PatientCase) -> bool:
    """Tell if a predicted plan was exported with the objectives; those from the file of a dose were made without CT."""
    of_case = set(case.input_uids) - {case.identity.structure_set_uid}
    return objectives.dose_source == "predicted" and bool(of_case & set(objectives.provenance.input_uids))


def _receipt(planned: PlannedCase, plan_uid: str) -> Receipt:
    seconds = ", ".join(f"{step} {value:.1f} s" for step, value in planned.seconds.items())
    ended = "where it converged" if planned.is_converged else "where it was stopped, not converged"
    notes = (
        f"Optimized by {planned.engine} in {planned.iterations} iterations to an objective value of "
        f"{planned.objective_value:.6g}, {ended}.",
        f"Time by the clock: {seconds}.",
    )
    return planned.receipt.model_copy(update={"plan_uid": plan_uid, "notes": (*planned.receipt.notes, *notes)})
