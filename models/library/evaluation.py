"""Measuring a predictor against the plans of a library: without a wish, and asked for each plan by its label.

A label asks for what sets a plan apart from its reference plan. Beside the error of the prediction that was asked for
the plan stands that of the prediction without a wish: what the model knows of a plan's difference is the gap between
the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge import __version__
from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import ModelRefusal, error_context
from bridge.rt.openkbp import dose_score, dvh_criteria
from models.checks import within_sliders
from models.evaluation import Progress
from models.fdp.axes import AlignedAxes
from models.library.engine_dose import EngineDoses
from models.library.library import REFERENCE, Library, LibraryPatient
from models.library.reach import usable_sets
from models.library.sources import sources_of, usable
from models.openkbp.reader import OpenKbpPatient, read_patient
from models.predictor import DosePredictor
from models.preference import NEUTRAL

__all__ = ["SETTINGS", "LibraryEvaluation", "PlanScore", "Score", "SettingScore", "evaluate_on_library"]

SETTINGS = (REFERENCE, "homogeneity", "sparing", "drawn-01", "drawn-02")
"""Weightings that every patient has, whatever organs he has."""


@dataclass(frozen=True)
class Score:
    """One predicted dose against one plan.

    Attributes
    ----------
    dose_score_gy
        Mean absolute error where OpenKBP counts dose and the engine computes it.
    criteria_error_gy
        Predicted less planned, of each criterion of the DVH score.
    """

    dose_score_gy: float
    criteria_error_gy: Mapping[str, float]


@dataclass(frozen=True)
class PlanScore:
    """One plan of one patient.

    Attributes
    ----------
    patient_id, beam_set, setting
        Which.
    asked
        Of the prediction that was asked for the plan by its label; of a reference plan without a wish.
    unasked
        Of the prediction without a wish.
    held
        Wishes of the label that the model's card does not allow, and that were asked for as far as it does.
    """

    patient_id: str
    beam_set: str
    setting: str
    asked: Score
    unasked: Score
    held: tuple[str, ...]


@dataclass(frozen=True)
class SettingScore:
    """All plans of one setting.

    Attributes
    ----------
    setting, n
        Which, and how many.
    dose_score_gy, dvh_score_gy
        Of predictions asked for by label.
    unasked_dose_score_gy, unasked_dvh_score_gy
        Of predictions without a wish.
    """

    setting: str
    n: int
    dose_score_gy: float
    dvh_score_gy: float
    unasked_dose_score_gy: float
    unasked_dvh_score_gy: float


@dataclass(frozen=True)
class LibraryEvaluation:
    """A model on a library.

    Attributes
    ----------
    model_id, model_sha256, trained_for, software_version
        What was measured, with what.
    recipe_sha256, set_name
        On what.
    plans
        By patient, beams and setting.
    """

    model_id: str
    model_sha256: str
    trained_for: str
    software_version: str
    recipe_sha256: str
    set_name: str
    plans: tuple[PlanScore, ...]

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len({plan.patient_id for plan in self.plans})

    def by_setting(self) -> tuple[SettingScore, ...]:
        """Give the scores of each setting, in the order in which they were asked for."""
        found = []
        for setting in dict.fromkeys(plan.setting for plan in self.plans):
            plans = [plan for plan in self.plans if plan.setting == setting]
            asked, unasked = [plan.asked for plan in plans], [plan.unasked for plan in plans]
            found.append(SettingScore(setting, len(plans), *_means(asked), *_means(unasked)))
        return tuple(found)

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        own = {name: value for name, value in asdict(self).items() if name != "plans"}
        return {
            **own,
            "patients": self.patients,
            "settings": [asdict(one) for one in self.by_setting()],
            "plans": [asdict(plan) for plan in self.plans],
        }


def evaluate_on_library(
    predictor: DosePredictor,
    data: Path,
    library: Library,
    set_name: str = "validation",
    settings: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> LibraryEvaluation:
    """Predict the patients of one set of a library, and score the predictions against the plans.

    Plans that are not usable (:func:`models.library.sources.usable`) count nowhere.

    Parameters
    ----------
    data
        The patients that the library was made of.
    settings
        Names of weightings, each of which some patient has to have a plan of; None for those of :data:`SETTINGS` that
        there are. The number of plans of each is in the result.
    progress
        Told after each patient.

    Raises
    ------
    ModelRefusal
        There is no plan to measure by, or none of a setting (``library-no-plans``), the library was made of other files
        (``library-source``), or a file of it is not what it was.
    Refusal
        A patient that cannot be read or predicted; nobody is left out.
    """
    sources = sources_of(data, library, set_name)
    there = {plan.entry.record.weighting.name for plans in usable_sets(library.of_set(set_name)) for plan in plans}
    asked = [name for name in SETTINGS if name in there] if settings is None else list(dict.fromkeys(settings))
    missing = [name for name in asked if name not in there]
    if missing or not asked:
        raise ModelRefusal(
            "library-no-plans",
            f"The library has no plan of the set {set_name!r} with {', '.join(map(repr, missing or SETTINGS))}; there "
            f"are {', '.join(sorted(there)) or 'none'}.",
        )
    scores: list[PlanScore] = []
    for done, (path, patient) in enumerate(sources, start=1):
        with error_context({"patient": patient.id}):
            scores += _patient(predictor, read_patient(path), patient, asked)
        if progress is not None:
            progress(done, len(sources))
    order = {setting: place for place, setting in enumerate(asked)}
    scores.sort(key=lambda score: order[score.setting])
    return LibraryEvaluation(
        predictor.card.id, predictor.sha256, predictor.card.trained_for, __version__, library.recipe.sha256, set_name,
        tuple(scores),
    )  # fmt: skip


def _patient(
    predictor: DosePredictor, source: OpenKbpPatient, patient: LibraryPatient, settings: Sequence[str]
) -> list[PlanScore]:
    engine = EngineDoses(source.anatomy.body, patient.grid)
    axes = AlignedAxes.of(source.anatomy.grid).axes
    counted = engine.counted(axes) >= 0.5
    scores = []
    for beams in patient.manifest.beam_sets:
        plans = [p for p in usable(patient.with_beams(beams.name)) if p.entry.record.weighting.name in settings]
        if not plans:
            continue
        prepared = predictor.prepare(replace(source.anatomy, gantry_angles_deg=beams.gantry_deg))
        neutral = prepared.predict(NEUTRAL).dose.values
        for plan in plans:
            planned = engine.on(plan, axes)
            label = NEUTRAL if plan.is_reference else plan.label.preference(plan.name)
            wish, held = within_sliders(predictor.card, label)
            asked = neutral if plan.is_reference else prepared.predict(wish).dose.values
            scores.append(
                PlanScore(
                    patient.id,
                    beams.name,
                    plan.entry.record.weighting.name,
                    _score(source, asked, planned, counted),
                    _score(source, neutral, planned, counted),
                    held,
                )
            )
    return scores


def _score(source: OpenKbpPatient, predicted: VoxelArray, planned: VoxelArray, counted: NDArray[np.bool_]) -> Score:
    """Score a dose; of structures what lies where the engine computes dose, in all of the body."""
    voxel_mm3 = float(np.prod(source.voxel_mm))
    rois = {name: voxels & counted for name, voxels in source.roi_voxels().items() if (voxels & counted).any()}
    ours, theirs = dvh_criteria(predicted, rois, voxel_mm3), dvh_criteria(planned, rois, voxel_mm3)
    where = source.possible_dose & counted
    error = dose_score(np.where(where, planned, np.float32(0.0)), np.where(where, predicted, np.float32(0.0)), where)
    return Score(error, {name: ours[name] - theirs[name] for name in theirs})


def _means(scores: Sequence[Score]) -> tuple[float, float]:
    """Give dose and DVH score."""
    errors = [abs(error) for score in scores for error in score.criteria_error_gy.values()]
    return float(np.mean([score.dose_score_gy for score in scores])), float(np.mean(errors))
