"""A library of plans over all patients of the data: settings, an executor, and who could not be planned and why."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.goals import protocol_sha256
from bridge.workflow.library.over_patients import Made, Progress, over_patients
from bridge.workflow.library.patient import PatientJob, build_patient
from bridge.workflow.library.planner import InfluenceOf
from bridge.workflow.library.record import LeftOut
from bridge.workflow.library.weightings import WeightingChoice
from bridge.workflow.lock import data_folder_lock
from config.protocol import Protocol, load_protocol
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.radplan import DOSE_MODEL, dose_influence
from models.library.files import write_whole
from models.library.manifest import LIBRARY_FILE, LibraryManifest, Recipe, as_bytes, read_manifest
from models.openkbp.reader import list_patients, patient_folder

__all__ = ["LIBRARY_RULE", "LibraryOptions", "LibraryRun", "build_library", "recipe_of"]

LIBRARY_RULE = StoppingRule(max_iterations=120)
"""The engine's own rule with a bound, which is what ends most plans: 992 of the 1089 of ``plans-hn-engine-v1``."""

_METHOD = "planning 4"
"""How goals and weightings become objectives: a change of numbers needs another, else old plans and new ones mix."""


@dataclass(frozen=True)
class LibraryOptions:
    """What library to make.

    Attributes
    ----------
    sets
        Sets of the data.
    patients
        The first so many of each set; None for all.
    beams
        Number of equispaced beams of each set of beams.
    choice
        Weightings.
    settings
        Dose grid, beamlets and stopping rule of the engine.
    rounds
        Most optimizations on the way to a reference plan.
    protocol
        Name of the protocol.
    """

    sets: tuple[str, ...] = ("train", "validation")
    patients: int | None = None
    beams: tuple[int, ...] = (9,)
    choice: WeightingChoice = field(default_factory=WeightingChoice)
    settings: EngineSettings = field(default_factory=lambda: EngineSettings(rule=LIBRARY_RULE))
    rounds: int = 5
    protocol: str = "head_and_neck"


@dataclass(frozen=True)
class LibraryRun:
    """What a run has done.

    Attributes
    ----------
    patients
        That are whole now.
    plans
        Made in this run.
    left_out
        Patients who could not be planned, with the reasons.
    doses
        Made again in this run from the fluence of plans that were there without one.
    """

    patients: int
    plans: int
    left_out: tuple[LeftOut, ...]
    doses: int = 0


def recipe_of(options: LibraryOptions, protocol: Protocol) -> Recipe:
    """Say what makes the plans what they are: not how many there are, nor the release, which may change no number."""
    rule = options.settings.rule
    try:
        release = metadata.version("pyRadPlan")
    except metadata.PackageNotFoundError:
        release = "missing"  # the engine itself says what to install
    return Recipe(
        engine=f"esapi_stub ({DOSE_MODEL}), {_METHOD}, pyRadPlan {release}",
        dose_grid_mm=options.settings.dose_grid_mm,
        beamlet_mm=options.settings.beamlet_mm,
        max_iterations=rule.max_iterations,
        relative_decrease=rule.relative_decrease,
        over_iterations=rule.over_iterations,
        rounds=options.rounds,
        protocol=options.protocol,
        protocol_sha256=protocol_sha256(protocol),
        seed=options.choice.seed,
    )


def build_library(
    data: Path,
    library: Path,
    options: LibraryOptions,
    executor: Executor,
    *,
    processes: int = 1,
    influence_of: InfluenceOf = dose_influence,
    progress: Progress = lambda *_: None,
) -> LibraryRun:
    """Make what a library lacks.

    Parameters
    ----------
    data
        OpenKBP patients, in folders by their sets, or all in one: of the set that it is named after, else of the first.
    library
        Folder of the library, made where it is not there.
    options
        What to make. More weightings, sets of beams or patients than an earlier run made join what is there.
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
        The folder holds a library of another recipe (``library-recipe``): name another folder.
    Refusal
        There is no patient.
    StorageFailure
        The folder cannot be written, or another run works in it.
    Failure
        A worker process died (``worker-died``); run again, and it goes on.
    """
    protocol = load_protocol(options.protocol)
    recipe = recipe_of(options, protocol)
    sources = _sources(data, options)
    with data_folder_lock(library):
        _keep_recipe(library, recipe)
        jobs = [
            PatientJob(
                path, set_name, library, recipe.sha256, protocol, options.settings, options.rounds, options.choice,
                options.beams,
            )
            for set_name, path in sources
        ]  # fmt: skip
        tasks = [(job.patient_id, partial(_made, job, influence_of)) for job in jobs]
        done = over_patients(tasks, library, executor, processes, progress)
    return LibraryRun(len(done.plans), sum(done.plans.values()), done.left_out, done.doses)


def _made(job: PatientJob, influence_of: InfluenceOf) -> Made:
    result = build_patient(job, influence_of)
    return Made(result.made, result.restored)


def _sources(data: Path, options: LibraryOptions) -> list[tuple[str, Path]]:
    """Give the patients with their sets; of a folder that patients lie in themselves, see :func:`_set_of`."""
    found: list[tuple[str, Path]] = []
    for set_name in options.sets:
        folder = patient_folder(data, set_name)
        paths = list_patients(folder)[: options.patients]
        if folder == data:
            return [(_set_of(data, options.sets), path) for path in paths]
        found += [(set_name, path) for path in paths]
    return found


def _set_of(folder: Path, sets: tuple[str, ...]) -> str:
    """Say of which set the patients of a folder are: of that it is named after, else of the first one.

    Whoever is of the training set is learned from: a folder of validation patients must not be taken for it.
    """
    name = folder.resolve().name.removesuffix("-pats")
    return name if name in sets else sets[0]


def _keep_recipe(library: Path, recipe: Recipe) -> None:
    """Write the recipe, or hold it against the one that is there."""
    path = library / LIBRARY_FILE
    if not path.exists():
        write_whole(path, as_bytes(LibraryManifest(recipe=recipe)))
        return
    known = read_manifest(path, LibraryManifest).recipe
    if known != recipe:
        before, now = known.model_dump(), recipe.model_dump()
        unlike = ", ".join(f"{name} {before[name]}, now {now[name]}" for name in now if before[name] != now[name])
        raise ModelRefusal(
            "library-recipe",
            f"The folder holds a library that was made otherwise: {unlike}. Plans of two recipes cannot be compared; "
            "name another folder.",
        )
