"""A case opened for review: what was sent and what was predicted, read back from disk as it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.dicom.read_dose import read_dose
from bridge.rt.case import PatientCase
from bridge.rt.errors import ApprovalRefusal
from bridge.rt.volume import Dose
from bridge.workflow.instances import paths_of
from bridge.workflow.predict import prepared_case
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.store import Store
from config.settings import Settings

__all__ = ["OpenedCase", "inputs_of", "open_case", "require_same_inputs"]


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
        There is no such case or result (see :func:`results_of`), or a file is not the one that was received or
        written (``input-changed``, ``artifact-changed``).
    Refusal
        The settings changed so that the case would be refused now.
    StorageFailure
        A file cannot be read.
    """
    results, paths = inputs_of(store, cases_folder, case_id)
    case = prepared_case(paths, settings)
    require_same_inputs(case, results)
    results.read("predicted_dose")
    return OpenedCase(results, case, read_dose(results.path("predicted_dose")))


def require_same_inputs(case: PatientCase, results: CaseResults) -> None:
    """Refuse a case that was read from other bytes than the prediction was made from (``input-changed``)."""
    if not set(case.input_uids.values()) <= set(results.job.inputs):
        raise ApprovalRefusal(
            "input-changed",
            f"A file of case {results.job.case_id} in the spool is not the one that was received. Send the case again.",
        )
