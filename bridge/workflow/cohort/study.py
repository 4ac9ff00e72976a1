"""What a study compares and under which conditions: its options, and the record of them that results are bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bridge import __version__
from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.goals import protocol_sha256
from config.protocol import load_protocol
from esapi_stub.engine.engine import EngineSettings
from models.preference import Preference, preference_of
from models.registry import gives_dose, load_card, load_estimator, load_model
from objective_extraction.settings import ExtractionSettings

__all__ = ["BASELINE", "EXTRACTION", "POLICY", "MethodEntry", "Normalisation", "Study", "StudyOptions", "study_of"]

BASELINE = "baseline"
"""Name of the method that stands for knowledge-based estimation; no preference is called so."""

POLICY = DvhPolicy("half_slice")
"""Patients come as voxels, which reach half a slice beyond the contours along them, and the baseline counts voxels."""

EXTRACTION = ExtractionSettings(beside_organs="template")
"""Targets and fall-off are asked for by template, so that plans differ in what was predicted for the organs alone."""

Normalisation = Literal["none", "d95"]
"""``d95``: every plan is scaled so that 95 % of the highest target get its prescription."""

_METHOD = "cohort 1"
"""How a promise becomes a plan and a plan a result: a change of numbers needs another."""


@dataclass(frozen=True)
class StudyOptions:
    """What is asked for.

    Attributes
    ----------
    model, baseline
        Ids: of a model that predicts doses, and of one that estimates DVHs.
    preferences
        Names of the preferences that the model is asked with; the first one is held against the baseline in the
        headline.
    beams
        Number of equispaced coplanar beams.
    settings
        Dose grid, beamlets and stopping rule of the engine.
    normalisation
        Of all plans.
    protocol
        Whose goals are the scorecard.
    zoo
        Folder of models; None for the built-in one.
    mirror_average
        See :func:`models.registry.load_model`.
    """

    model: str
    baseline: str
    preferences: tuple[str, ...] = ("balanced", "spare", "cover")
    beams: int = 9
    settings: EngineSettings = field(default_factory=EngineSettings)
    normalisation: Normalisation = "none"
    protocol: str = "head_and_neck"
    zoo: Path | None = None
    mirror_average: bool = True

    @property
    def asked(self) -> tuple[Preference, ...]:
        """The preferences.

        Raises
        ------
        ModelRefusal
            One of them is not known, or comes twice (``preference-twice``).
        """
        if not self.preferences or len(set(self.preferences)) != len(self.preferences):
            raise ModelRefusal("preference-twice", "A study asks with one preference or more, each once.")
        return tuple(preference_of(name, None, None, {}) for name in self.preferences)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MethodEntry(_Part):
    """One way of predicting.

    Attributes
    ----------
    name
        The preference, or ``"baseline"``.
    model_id, model_version, model_sha256
        What predicts.
    preference
        What it is asked for, by name; empty for no wish.
    """

    name: str
    model_id: str
    model_version: str
    model_sha256: str
    preference: Mapping[str, float]

    @property
    def source(self) -> str:
        """What stands beside every figure: model, version, start of its hash, and preference."""
        asked = ", ".join(f"{what} {value:g}" for what, value in self.preference.items()) or "no wish"
        return f"{self.model_id} {self.model_version} ({self.model_sha256[:12]}), {self.name}: {asked}"


class Study(_Part):
    """The conditions of a study, as ``study.json`` holds them; results of two studies are never mixed.

    Attributes
    ----------
    methods
        Those of the model first, in the order of their preferences, and the baseline last.
    engine
        What planned, with its version.
    dose_grid_mm, beamlet_mm, max_iterations, relative_decrease, over_iterations
        Settings of the engine.
    beams
        Number of equispaced coplanar beams.
    normalisation
        Of all plans.
    protocol, protocol_sha256
        Whose goals are the scorecard.
    end_caps, between_planes
        Of all DVHs.
    extraction
        Rules by which objectives are made.
    """

    format: Literal["fdp-bridge-study"] = "fdp-bridge-study"
    version: Literal[1] = 1
    software: str
    methods: tuple[MethodEntry, ...]
    engine: str
    dose_grid_mm: float
    beamlet_mm: float
    max_iterations: int
    relative_decrease: float
    over_iterations: int
    beams: int
    normalisation: Normalisation
    protocol: str
    protocol_sha256: str
    end_caps: str
    between_planes: str
    extraction: Mapping[str, object]

    @property
    def sha256(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def optimizer(self) -> str:
        """What stands beside every figure."""
        return (
            f"{self.engine}; {self.beams} equispaced beams, beamlets of {self.beamlet_mm:g} mm, dose grid of "
            f"{self.dose_grid_mm:g} mm, at most {self.max_iterations} iterations"
        )

    @property
    def normalised(self) -> str:
        """What stands beside every figure."""
        return "none" if self.normalisation == "none" else "D95% of the highest target is its prescription"


def study_of(options: StudyOptions) -> Study:
    """Look at the models and say what will be compared.

    Raises
    ------
    ModelRefusal
        A model that is not there or of the wrong kind, or a preference that its card does not allow.
    ConfigError
        There is no such protocol.
    """
    rule = options.settings.rule
    return Study(
        software=f"fdp-bridge {__version__}, {_METHOD}",
        methods=(*_of_model(options), _of_baseline(options)),
        engine=f"fdp-bridge {__version__} pencil beam (research), pyRadPlan {_release()}",
        dose_grid_mm=options.settings.dose_grid_mm,
        beamlet_mm=options.settings.beamlet_mm,
        max_iterations=rule.max_iterations,
        relative_decrease=rule.relative_decrease,
        over_iterations=rule.over_iterations,
        beams=options.beams,
        normalisation=options.normalisation,
        protocol=options.protocol,
        protocol_sha256=protocol_sha256(load_protocol(options.protocol)),
        end_caps=POLICY.end_caps,
        between_planes=POLICY.between_planes,
        extraction=asdict(EXTRACTION),
    )


def _of_model(options: StudyOptions) -> list[MethodEntry]:
    predictor = load_model(options.model, options.zoo, options.mirror_average)
    return [
        MethodEntry(
            name=wish.name,
            model_id=predictor.card.id,
            model_version=predictor.card.version,
            model_sha256=predictor.sha256,
            preference=wish.as_dict(),
        )
        for wish in options.asked
    ]


def _of_baseline(options: StudyOptions) -> MethodEntry:
    if gives_dose(load_card(options.baseline, options.zoo)):
        raise ModelRefusal(
            "model-kind",
            f"The baseline {options.baseline!r} predicts a dose; it has to estimate DVHs, as knowledge-based planning "
            "does.",
            model=options.baseline,
        )
    estimator = load_estimator(options.baseline, options.zoo)
    return MethodEntry(
        name=BASELINE,
        model_id=estimator.card.id,
        model_version=estimator.card.version,
        model_sha256=estimator.sha256,
        preference={},
    )


def _release() -> str:
    try:
        return metadata.version("pyRadPlan")
    except metadata.PackageNotFoundError:
        return "missing"  # the engine itself says what to install
