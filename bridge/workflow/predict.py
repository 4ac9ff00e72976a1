"""One prediction from files to files: what the command line does in front of a person, and a worker behind the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.dicom.assemble import read_case
from bridge.rt.case import PatientCase
from bridge.rt.dvh import DvhPolicy
from bridge.workflow.export import export_case
from bridge.workflow.jobs import Artifact
from bridge.workflow.pipeline import CaseResult, predict_case, prepare
from config.settings import Settings
from config.structure_names import StructureNames
from models.predictor import DosePredictor
from models.preference import Preference, preference_of
from models.registry import load_model
from objective_extraction.settings import ExtractionSettings, TargetUpperLimit

__all__ = [
    "Predicted",
    "dvh_policy",
    "extraction_settings",
    "model_in",
    "predict_files",
    "preference_in",
    "prepared_case",
    "structure_names",
]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What was worked out, and the files that hold it."""

    result: CaseResult
    artifacts: tuple[Artifact, ...]


def predict_files(
    paths: Sequence[Path],
    predictor: DosePredictor,
    preference: Preference,
    case_id: str,
    folder: Path,
    settings: Settings,
) -> Predicted:
    """Read CT, RTSTRUCT and perhaps an RTPLAN; predict, measure, extract; write everything into a folder.

    Raises
    ------
    Refusal
        The input cannot be used; nothing is written.
    StorageFailure
        A file cannot be read or written.
    """
    case = prepared_case(paths, settings)
    result = predict_case(
        case,
        predictor,
        preference,
        dose_grid_mm=settings.prediction.dose_grid_mm,
        dvh_policy=dvh_policy(settings),
        extraction=extraction_settings(settings),
        config_sha256=settings.sha256,
    )
    artifacts = export_case(result, predictor.card, case_id, folder, settings)
    return Predicted(result, tuple(artifacts))


def prepared_case(paths: Sequence[Path], settings: Settings) -> PatientCase:
    """Read CT, RTSTRUCT and perhaps an RTPLAN, name the structures and find the prescription.

    Raises
    ------
    Refusal
        The input cannot be used.
    StorageFailure
        A file cannot be read.
    """
    given = read_case(paths)
    plan_doses = given.plan.doses if given.plan else ()
    fractions = given.plan.fractions if given.plan and given.plan.fractions else settings.prescription.fractions
    return prepare(given.case, plan_doses, fractions, structure_names(settings), settings.prescription.levels)


def model_in(settings: Settings) -> DosePredictor:
    """Load the model that the settings name, to predict as they say.

    Raises
    ------
    ModelRefusal
        It is not there, or not what its card says.
    """
    return load_model(settings.prediction.model, mirror_average=settings.prediction.mirror_average)


def preference_in(settings: Settings) -> Preference:
    """Give the preference that the settings ask for."""
    prediction = settings.prediction
    return preference_of(prediction.preference, prediction.hi, prediction.oar_weight, prediction.oar_weights)


def extraction_settings(settings: Settings) -> ExtractionSettings:
    """Give the extraction rules that the site chose."""
    chosen = settings.extraction
    return ExtractionSettings(
        volumes_percent=chosen.volumes_percent,
        minimum_dose_gy=chosen.minimum_dose_gy,
        minimum_step_gy=chosen.minimum_step_gy,
        margin_percent=chosen.margin_percent,
        overlap_percent=chosen.overlap_percent,
        mean_objective_for=chosen.mean_objective_for,
        target_lower_volumes_percent=chosen.target_lower_volumes_percent,
        target_upper_limits=tuple(
            TargetUpperLimit(limit.volume_percent, limit.limit_percent) for limit in chosen.target_upper_limits
        ),
        ring_inner_mm=chosen.ring.inner_mm,
        ring_outer_mm=chosen.ring.outer_mm,
        ring_volumes_percent=chosen.ring.volumes_percent,
        target_priority=chosen.priorities.target,
        organ_total_priority=chosen.priorities.organ_total,
        ring_total_priority=chosen.priorities.ring,
    )


def structure_names(settings: Settings) -> StructureNames:
    """Give the built-in table of names with the site's own on top."""
    return StructureNames.load(settings.structure_names.aliases, settings.structure_names.patterns)


def dvh_policy(settings: Settings) -> DvhPolicy:
    """Give the DVH policy that the site chose."""
    return DvhPolicy(settings.dvh.end_caps, settings.dvh.sample_mm, settings.dvh.between_planes)
