"""A study over all patients of a folder: an executor, files that appear whole, and who was left out and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bridge.rt.errors import ModelRefusal
from bridge.workflow.cohort.patient import study_patient
from bridge.workflow.cohort.result import (
    PatientResult,
    as_bytes,
    patient_file,
    read_patient_result,
    read_study,
    write_file,
)
from bridge.workflow.cohort.study import Study, StudyOptions, study_of
from bridge.workflow.library.over_patients import Made, Progress, over_patients
from bridge.workflow.library.planner import InfluenceOf
from bridge.workflow.library.record import LeftOut, read_left_out
from bridge.workflow.lock import data_folder_lock
from esapi_stub.engine.radplan import dose_influence
from models.openkbp.reader import is_patient, list_patients, patient_folder
from models.openkbp.source import source_sha256

__all__ = ["STUDY_FILE", "CohortRun", "patients_of", "read_results", "run_cohort"]

STUDY_FILE = "study.json"


def patients_of(cohort: Path, first: int | None = None) -> tuple[Path, ...]:
    """Give the patients of a folder, or of the set ``validation`` in it, or of a folder or file that is one patient.

    Parameters
    ----------
    cohort
        OpenKBP patients, packed or as CSV folders.
    first
        The first so many; None for all.

    Raises
    ------
    Refusal
        There is none (``openkbp-no-patients``).
    """
    if is_patient(cohort):
        return (cohort,)
    return list_patients(patient_folder(cohort, "validation"))[:first]


@dataclass(frozen=True)
class CohortRun:
    """What a run has done.

    Attributes
    ----------
    study
        The conditions.
    results
        Of all patients of the folder who are whole now, those of earlier runs too, in the order of their numbers.
    made
        How many of them this run made.
    left_out
        Patients who could not be studied, with the reasons, then those of earlier runs.
    earlier
        How many of the results are of patients whom this run did not come to.
    """

    study: Study
    results: tuple[PatientResult, ...]
    made: int
    left_out: tuple[LeftOut, ...]
    earlier: int = 0


def run_cohort(
    paths: Sequence[Path],
    folder: Path,
    options: StudyOptions,
    executor: Executor,
    *,
    processes: int = 1,
    influence_of: InfluenceOf = dose_influence,
    progress: Progress = lambda *_: None,
) -> CohortRun:
    """Study patients; those whose results are there already are not studied again.

    Parameters
    ----------
    paths
        OpenKBP patients, packed or as CSV folders; see :func:`patients_of`.
    folder
        Of the study, made where it is not there.
    options
        What is compared, and how.
    executor
        Works on patients in parallel: processes of this machine, or of several (``distributed.Client.get_executor``),
        which then need to see both folders under the same names.
    processes
        How many patients the executor works on at a time, for the record.
    influence_of
        Computes dose influences.
    progress
        Told after each patient.

    Raises
    ------
    ModelRefusal
        The folder holds a study of other conditions (``study-differs``), or a model cannot be used; or the results of a
        patient of an earlier run are damaged (``cohort-file``) or of other conditions (``cohort-source``).
    StorageFailure
        The folder cannot be written, or another run works in it.
    Failure
        A worker process died (``worker-died``); run again, and it goes on.
    """
    study = study_of(options)
    with data_folder_lock(folder):
        _keep_study(folder, study)
        earlier = _earlier(folder, {_id(path) for path in paths}, study)  # before any work: it may be refused
        jobs = [_Job(path, folder, options, study, influence_of) for path in paths]
        done = over_patients(
            [(_id(job.path), partial(_made, job)) for job in jobs], folder, executor, processes, progress
        )
    # what an earlier run found of a patient who is left out now is not what these files say
    whole = [patient_id for path in paths if (patient_id := _id(path)) in done.plans]
    results = (*read_results(folder, whole), *earlier)
    made = sum(plans > 0 for plans in done.plans.values())
    now = {one.patient for one in done.left_out}
    left_out = (*done.left_out, *(one for one in read_left_out(folder) if one.patient not in now))
    return CohortRun(study, tuple(sorted(results, key=_number)), made, left_out, len(earlier))


def read_results(folder: Path, patient_ids: Sequence[str]) -> tuple[PatientResult, ...]:
    """Read the patients who are whole, in this order."""
    files = [patient_file(folder, patient_id) for patient_id in patient_ids]
    return tuple(read_patient_result(file) for file in files if file.exists())


def _earlier(folder: Path, now: Collection[str], study: Study) -> tuple[PatientResult, ...]:
    """Give the patients whom this run does not come to: a folder holds one study, and its report has all of it."""
    left_out = {one.patient for one in read_left_out(folder)}
    files = sorted((folder / "patients").glob("pt_*.json"))
    results = [read_patient_result(file) for file in files if file.stem not in left_out and file.stem not in now]
    for result in results:
        if result.study_sha256 != study.sha256:
            name = patient_file(folder, result.id).name
            raise ModelRefusal(
                "cohort-source",
                f"{name} was made under other conditions than the study of this folder; delete it to have its patient "
                "studied again.",
                file=name,
            )
    return tuple(results)


def _number(result: PatientResult) -> int:
    return int("".join(character for character in result.id if character.isdigit()) or 0)


def _keep_study(folder: Path, study: Study) -> None:
    """Write the conditions, or hold them against those that are there."""
    path = folder / STUDY_FILE
    if not path.exists():
        write_file(path, as_bytes(study))
        return
    known = read_study(path)
    if known.sha256 != study.sha256:
        before, now = known.model_dump(), study.model_dump()
        unlike = ", ".join(name for name in now if before[name] != now[name])
        raise ModelRefusal(
            "study-differs",
            f"The folder holds a study under other conditions ({unlike}). Results of two studies cannot be mixed; name "
            "another folder.",
        )


@dataclass(frozen=True)
class _Job:
    path: Path
    folder: Path
    options: StudyOptions
    study: Study
    influence_of: InfluenceOf


def _made(job: _Job) -> Made:
    """Study a patient who has not been studied, and tell how many plans that took."""
    if _is_done(job):
        return Made(0)
    result = study_patient(job.path, job.options, job.study.sha256, job.influence_of)
    write_file(patient_file(job.folder, _id(job.path)), as_bytes(result))
    return Made(len(job.study.methods))


def _is_done(job: _Job) -> bool:
    """Tell if a patient's results are there.

    Raises
    ------
    ModelRefusal
        They were made under other conditions, or of other files of the patient (``cohort-source``).
    """
    path = patient_file(job.folder, _id(job.path))
    if not path.exists():
        return False
    known = read_patient_result(path)
    if (known.study_sha256, known.source_sha256) != (job.study.sha256, source_sha256(job.path)):
        raise ModelRefusal(
            "cohort-source",
            f"{path.name} was made of other files of the patient than those in the folder, or under other conditions; "
            "delete it to have it made again.",
            file=path.name,
        )
    return True


def _id(path: Path) -> str:
    return path.name.removesuffix(".npz")
