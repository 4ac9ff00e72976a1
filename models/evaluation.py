"""Measuring a predictor on OpenKBP patients by the challenge's own scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge import __version__
from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import error_context
from bridge.rt.openkbp import CRITERIA, dose_score, dvh_criteria
from models.openkbp.reader import list_patients, patient_folder, read_patient
from models.predictor import DosePredictor

__all__ = ["EvaluationResult", "PatientScore", "evaluate"]

Progress = Callable[[int, int], None]
"""Told how many patients are done, and how many there are."""


@dataclass(frozen=True)
class PatientScore:
    """One patient.

    Attributes
    ----------
    patient_id
        ``pt_N``.
    dose_score_gy
        Sum of absolute dose errors over the number of possible-dose voxels.
    criteria_error_gy
        Predicted minus reference of each criterion that the patient has.
    within_sigma
        Shares of the possible-dose voxels whose error is within one and two predicted standard deviations; None
        where the model predicts none.
    """

    patient_id: str
    dose_score_gy: float
    criteria_error_gy: Mapping[str, float]
    within_sigma: tuple[float, float] | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a model on a set of patients.

    Attributes
    ----------
    model_id, model_sha256, software_version
        What was measured, with what.
    set_name
        Name of the folder of patients (``"validation"``).
    patients
        In the order of their numbers.
    """

    model_id: str
    model_sha256: str
    software_version: str
    set_name: str
    patients: tuple[PatientScore, ...]

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.patients)

    @property
    def dose_score_gy(self) -> float:
        """Mean dose score of the patients."""
        return float(np.mean([patient.dose_score_gy for patient in self.patients]))

    @property
    def dvh_score_gy(self) -> float:
        """Mean absolute error over all patients and criteria."""
        return float(np.mean([abs(e) for patient in self.patients for e in patient.criteria_error_gy.values()]))

    def criteria_gy(self) -> dict[str, tuple[float, float, int]]:
        """Give for each criterion the mean absolute and the mean signed error, and the number of patients with it."""
        rows = {}
        for name in CRITERIA:
            errors = [p.criteria_error_gy[name] for p in self.patients if name in p.criteria_error_gy]
            if errors:
                rows[name] = (float(np.mean(np.abs(errors))), float(np.mean(errors)), len(errors))
        return rows

    def within_sigma(self) -> tuple[float, float] | None:
        """Give the mean shares of voxels within one and two standard deviations (68.3 and 95.4 % if normal)."""
        shares = [patient.within_sigma for patient in self.patients if patient.within_sigma is not None]
        return (
            (float(np.mean([one for one, _ in shares])), float(np.mean([two for _, two in shares]))) if shares else None
        )

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {
            "model_id": self.model_id,
            "model_sha256": self.model_sha256,
            "software_version": self.software_version,
            "set": self.set_name,
            "n": self.n,
            "dose_score_gy": self.dose_score_gy,
            "dvh_score_gy": self.dvh_score_gy,
            "outside_possible_dose": "predicted dose set to zero",
            "within_one_and_two_sigma": self.within_sigma(),
            "criteria": {
                name: {"mean_absolute_error_gy": absolute, "mean_error_gy": signed, "n": n}
                for name, (absolute, signed, n) in self.criteria_gy().items()
            },
            "patients": [asdict(patient) for patient in self.patients],
        }


def evaluate(
    predictor: DosePredictor,
    data_dir: Path,
    progress: Progress | None = None,
    executor: Executor | None = None,
    save_predictions: Path | None = None,
) -> EvaluationResult:
    """Predict every patient of a folder and score the predictions.

    The predicted dose is set to zero outside the possible-dose mask, as entries to the challenge were: an error
    there would count, and no dose is possible there.

    Parameters
    ----------
    predictor
        Asked for its neutral prediction.
    data_dir
        Folder of patients, or one with a set ``validation`` in it.
    progress
        Told after each patient.
    executor
        Works on patients in parallel; default: one after the other.
    save_predictions
        Folder for the scored doses, made where missing: ``pt_N.npz`` with ``dose_gy`` (float32, ``[z, y, x]`` with z to
        superior) and ``affine``.

    Raises
    ------
    Refusal
        A patient that cannot be read or predicted; nothing is left out.
    """
    folder = patient_folder(data_dir, "validation")
    paths = list_patients(folder)
    if save_predictions is not None:
        save_predictions.mkdir(parents=True, exist_ok=True)
    scores = []
    for score in _scores(predictor, paths, executor, save_predictions):
        scores.append(score)
        if progress is not None:
            progress(len(scores), len(paths))
    scores.sort(key=lambda score: int(score.patient_id.removeprefix("pt_")))
    return EvaluationResult(
        model_id=predictor.card.id,
        model_sha256=predictor.sha256,
        software_version=__version__,
        set_name=folder.resolve().name,
        patients=tuple(scores),
    )


def _scores(
    predictor: DosePredictor, paths: tuple[Path, ...], executor: Executor | None, save_predictions: Path | None
) -> Iterator[PatientScore]:
    if executor is None:
        yield from (_score(predictor, path, save_predictions) for path in paths)
        return
    futures = [executor.submit(_score, predictor, path, save_predictions) for path in paths]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _score(predictor: DosePredictor, path: Path, save_predictions: Path | None) -> PatientScore:
    with error_context({"patient": path.stem}):
        patient = read_patient(path)
        prediction = predictor.predict(patient.anatomy)
    reference_gy = patient.dose.values
    predicted_gy = np.where(patient.possible_dose, prediction.dose.values, np.float32(0.0))
    if save_predictions is not None:
        affine = prediction.dose.grid.affine
        np.savez_compressed(save_predictions / f"{patient.id}.npz", dose_gy=predicted_gy, affine=affine)
    voxel_mm3 = float(np.prod(patient.voxel_mm))
    rois = patient.roi_voxels()
    reference = dvh_criteria(reference_gy, rois, voxel_mm3)
    predicted = dvh_criteria(predicted_gy, rois, voxel_mm3)
    return PatientScore(
        patient_id=patient.id,
        dose_score_gy=dose_score(reference_gy, predicted_gy, patient.possible_dose),
        criteria_error_gy={name: predicted[name] - reference[name] for name in reference},
        within_sigma=_within_sigma(
            np.abs(predicted_gy - reference_gy), prediction.uncertainty_gy, patient.possible_dose
        ),
    )


def _within_sigma(
    error_gy: VoxelArray, sigma_gy: VoxelArray | None, where: NDArray[np.bool_]
) -> tuple[float, float] | None:
    if sigma_gy is None:
        return None
    error_gy, sigma_gy = error_gy[where], sigma_gy[where]
    return float(np.mean(error_gy <= sigma_gy)), float(np.mean(error_gy <= 2.0 * sigma_gy))
