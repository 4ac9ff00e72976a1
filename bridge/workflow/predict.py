"""One prediction from files to files: what the command line does in front of a person, and a worker behind the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.dicom.assemble import read_case
from bridge.rt.dvh import DvhPolicy
from bridge.workflow.export import export_case
from bridge.workflow.jobs import Artifact
from bridge.workflow.pipeline import CaseResult, predict_case, prepare
from config.settings import Settings
from config.structure_names import StructureNames
from models.predictor import DosePredictor, Preference
from objective_extraction.extract import ExtractionSettings

__all__ = [
    "Predicted",
    "dvh_policy",
    "extraction_settings",
    "predict_files",
    "preference_in",
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
    given = read_case(paths)
    plan_doses = given.plan.doses if given.plan else ()
    fractions = given.plan.fractions if given.plan and given.plan.fractions else settings.prescription.fractions
    case = prepare(given.case, plan_doses, fractions, structure_names(settings), settings.prescription.levels)
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


def preference_in(settings: Settings) -> Preference:
    """Give the preference that the settings ask for."""
    prediction = settings.prediction
    return Preference(name=prediction.preference, hi=prediction.hi, oar_weights=prediction.oar_weights)


def extraction_settings(settings: Settings) -> ExtractionSettings:
    """Give the extraction rules that the site chose."""
    return ExtractionSettings(**settings.extraction.model_dump())


def structure_names(settings: Settings) -> StructureNames:
    """Give the built-in table of names with the site's own on top."""
    return StructureNames.load(settings.structure_names.aliases, settings.structure_names.patterns)


def dvh_policy(settings: Settings) -> DvhPolicy:
    """Give the DVH policy that the site chose."""
    return DvhPolicy(settings.dvh.end_caps, settings.dvh.sample_mm)
