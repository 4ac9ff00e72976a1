"""The manifests of a library: what it was made with, and what there is of each patient, with the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from bridge.rt.errors import ModelRefusal
from models.library.files import read_checked
from models.library.measures import Part, PlanMeasures

__all__ = [
    "LIBRARY_FILE",
    "PATIENT_FILE",
    "BeamSetEntry",
    "Flag",
    "GridEntry",
    "LibraryManifest",
    "PatientManifest",
    "PlanEntry",
    "PlanRecord",
    "Recipe",
    "WeightingEntry",
    "as_bytes",
    "read_manifest",
]

LIBRARY_FILE, PATIENT_FILE = "library.json", "patient.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""Becomes part of a path: nothing that could lead out of the folder."""

Flag = Literal["dominated", "cold", "hot"]
"""Another plan of the same beams is better; D95% of a target is below 95 % of its prescription; a voxel is above 115 %
of the highest."""


class Recipe(Part):
    """What makes a plan what it is, beside the patient; a library has one.

    Attributes
    ----------
    engine
        Name and versions of what computed the dose, and of how goals become objectives.
    dose_grid_mm, beamlet_mm
        How finely.
    max_iterations, relative_decrease, over_iterations
        When an optimization ended: at the latest, or when so many iterations together lowered the objective value by
        less than this part of it.
    rounds
        Most optimizations on the way to a reference plan.
    protocol, protocol_sha256
        Its name, and the hash of its goals.
    seed
        Of the drawn weightings.
    """

    engine: str
    dose_grid_mm: float
    beamlet_mm: float
    max_iterations: int
    relative_decrease: float
    over_iterations: int
    rounds: int
    protocol: Word
    protocol_sha256: Sha256
    seed: int

    @property
    def sha256(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def optimizer(self) -> str:
        """What made the plans, in the words of a model's card."""
        return f"the dose engine {self.engine}, protocol {self.protocol}"


class LibraryManifest(Part):
    """What ``library.json`` says."""

    format: Literal["fdp-bridge-library"] = "fdp-bridge-library"
    version: Literal[1] = 1
    recipe: Recipe


class WeightingEntry(Part):
    """How a plan weighs what it trades: factors on the reference plan's own weights.

    Attributes
    ----------
    name
        ``reference``, ``homogeneity``, ``sparing``, ``organ-NAME``, or ``drawn-NN``.
    homogeneity
        Of the highest target.
    organs
        By name; 1 where missing.
    """

    name: Word
    homogeneity: float
    organs: Mapping[str, float]


class GridEntry(Part):
    """The dose grid: shape ``(z, y, x)``, affine as of :class:`bridge.rt.grid.Grid`, and frame of reference."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, float, float, float], ...]
    frame_of_reference_uid: str


class BeamSetEntry(Part):
    """One set of beams of a patient.

    Attributes
    ----------
    name
        ``9``: so many at equal distances.
    gantry_deg
        IEC 61217; couch and collimator at 0.
    isocentre_mm
        Patient coordinates ``(x, y, z)``.
    file_sha256
        Of the file with the places of the beamlets.
    """

    name: Word
    gantry_deg: tuple[float, ...]
    isocentre_mm: tuple[float, float, float]
    file_sha256: Sha256


class PlanRecord(Part):
    """What a plan's own file says of it.

    Attributes
    ----------
    beam_set, weighting
        What was planned; the two names are the plan's.
    recipe_sha256, source_sha256
        With what, and of which patient's files.
    iterations, stop, objective_value
        Of the optimization.
    seconds
        By the clock; plans that were optimized together share theirs evenly.
    measures
        In the dose as it is stored.
    aims
        Of a reference plan: what was asked for in the end, ``(dose in Gy, priority)`` in the order of the goals.
    pressing
        Of a reference plan: the priority at which organs were pressed in the end.
    """

    beam_set: Word
    weighting: WeightingEntry
    recipe_sha256: Sha256
    source_sha256: Sha256
    iterations: int
    stop: str
    objective_value: float
    seconds: float
    measures: PlanMeasures
    aims: tuple[tuple[float, float], ...] = ()
    pressing: float = 0.0

    @property
    def name(self) -> str:
        """Name of the plan and of its files."""
        return f"{self.beam_set}-{self.weighting.name}"


class PlanEntry(Part):
    """One plan in the patient's manifest."""

    record: PlanRecord
    flags: tuple[Flag, ...]
    plan_sha256: Sha256
    dose_sha256: Sha256


class PatientManifest(Part):
    """What ``patient.json`` says; it is written last, so a patient who has one is whole.

    Attributes
    ----------
    id, set_name
        Of the patient, as in the data.
    source_sha256
        Of the patient's files: training on others under the same id would be training on somebody else's dose.
    recipe_sha256
        Of the library.
    levels_gy
        Prescription of each target.
    grid
        Of all doses.
    curves
        Names of the structures in the plans' DVHs, in order; ``NAME-targets`` is an organ outside the targets.
    beyond_body
        Organs that are drawn where no dose is computed: nothing is planned or measured of them.
    beam_sets, plans
        What there is.
    criteria_gy
        Dose parameters by the rules of OpenKBP, of the plan that came with the patient (``clinical``) and of each
        reference plan under its name.
    """

    format: Literal["fdp-bridge-library-patient"] = "fdp-bridge-library-patient"
    version: Literal[1] = 1
    id: Word
    set_name: Word
    source_sha256: Sha256
    recipe_sha256: Sha256
    levels_gy: Mapping[str, float]
    grid: GridEntry
    curves: tuple[str, ...]
    beyond_body: tuple[str, ...] = ()
    beam_sets: tuple[BeamSetEntry, ...]
    plans: tuple[PlanEntry, ...]
    criteria_gy: Mapping[str, Mapping[str, float]]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = {beams.name for beams in self.beam_sets}
        names = [plan.record.name for plan in self.plans]
        for plan in self.plans:
            if plan.record.beam_set not in known or f"{plan.record.beam_set}-reference" not in names:
                raise ValueError(f"plan {plan.record.name!r} has no beams or no reference plan")
            if (plan.record.source_sha256, plan.record.recipe_sha256) != (self.source_sha256, self.recipe_sha256):
                raise ValueError(f"plan {plan.record.name!r} was made of other files or by another recipe")
        if len(set(names)) < len(names):
            raise ValueError("two plans have one name")
        return self


_Manifest = TypeVar("_Manifest", bound=Part)


def read_manifest(path: Path, kind: type[_Manifest]) -> _Manifest:
    """Read a manifest.

    Raises
    ------
    ModelRefusal
        It is missing (``library-file-missing``), or not one that this version can read (``library-manifest``).
    """
    content = read_checked(path, None)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top"
        raise ModelRefusal(
            "library-manifest",
            f"{path.parent.name}/{path.name} is not a manifest that this version reads; wrong at {place}: "
            f"{first['msg']}.",
            file=path.name,
        ) from error


def as_bytes(manifest: Part) -> bytes:
    """Give a manifest as the JSON that is written."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode()
