"""A case opened for review: what was sent and what was predicted, read back from disk as it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridge.dicom.read_dose import read_dose, read_dose_object
from bridge.rt.case import PatientCase
from bridge.rt.errors import ApprovalRefusal
from bridge.rt.volume import Dose
from bridge.workflow.instances import paths_of
from bridge.workflow.predict import prepared_case
from bridge.workflow.reimport import reimports_of
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.store import Store
from config.settings import Settings
from objective_extraction.objective_json import objective_set_from_json

__all__ = [
    "OpenedCase",
    "ReturnedDose",
    "inputs_of",
    "open_case",
    "read_returned",
    "require_same_inputs",
    "returned_doses",
]


@dataclass(frozen=True, eq=False)
class OpenedCase:
    """A case with its newest results.

    Attributes
    ----------
    results
        The files of the prediction.
    case
        CT, structures and prescription, as the prediction saw them.
    dose
        The predicted dose as the RTDOSE holds it that is sent.
    """

    results: CaseResults
    case: PatientCase
    dose: Dose


def inputs_of(store: Store, cases_folder: Path, case_id: str) -> tuple[CaseResults, tuple[Path, ...]]:
    """Give the newest results of a case and the files that they were made from; raises as :func:`results_of`."""
    with store.transaction() as session:
        results = results_of(session, cases_folder, case_id)
        return results, paths_of(session, results.job.inputs)


def open_case(store: Store, cases_folder: Path, case_id: str, settings: Settings) -> OpenedCase:
    """Read a case back.

    Raises
    ------
    ApprovalRefusal
        There is no such case or result (see :func:`results_of`), a file is not the one that was received or written
        (``input-changed``, ``artifact-changed``), or the settings prescribe something else now (``settings-changed``).
    Refusal
        The settings changed so that the case would be refused now.
    StorageFailure
        A file cannot be read.
    """
    results, paths = inputs_of(store, cases_folder, case_id)
    case = prepared_case(paths, settings)
    require_same_inputs(case, results)
    if case.prescription != objective_set_from_json(results.read("objectives")).prescription:
        raise ApprovalRefusal(
            "settings-changed",
            f"Case {case_id} would have another prescription by the settings of now than it was predicted with. Have "
            "it predicted again.",
        )
    results.read("predicted_dose")
    return OpenedCase(results, case, read_dose(results.path("predicted_dose")))


@dataclass(frozen=True)
class ReturnedDose:
    """A dose that came back from the planning system and was compared with the results.

    Attributes
    ----------
    id
        Row number of the comparison.
    sop_instance_uid, sha256, path
        The RTDOSE in the spool.
    came_utc
        When.
    """

    id: int
    sop_instance_uid: str
    sha256: str
    path: Path
    came_utc: datetime


def returned_doses(store: Store, results: CaseResults) -> tuple[ReturnedDose, ...]:
    """Give the doses that came back for results, in the order in which they came."""
    with store.transaction() as session:
        return tuple(
            ReturnedDose(row.id, row.dose_uid, row.dose_sha256, path, row.created_utc)
            for row in reimports_of(session, results.job.case_id)
            if row.job_id == results.job.id and row.state == "done"
            for path in paths_of(session, [row.dose_sha256])
        )


def read_returned(returned: ReturnedDose) -> Dose:
    """Read a dose that came back.

    Raises
    ------
    ApprovalRefusal
        The file is not the one that was received (``input-changed``).
    Refusal, StorageFailure
        It cannot be read.
    """
    found = read_dose_object(returned.path)
    if found.sha256 != returned.sha256:
        raise ApprovalRefusal("input-changed", "A dose in the spool is not the one that was received. Send it again.")
    return found.dose


def require_same_inputs(case: PatientCase, results: CaseResults) -> None:
    """Refuse a case that was read from other bytes than the prediction was made from (``input-changed``)."""
    if not set(case.input_uids.values()) <= set(results.job.inputs):
        raise ApprovalRefusal(
            "input-changed",
            f"A file of case {results.job.case_id} in the spool is not the one that was received. Send the case again.",
        )
