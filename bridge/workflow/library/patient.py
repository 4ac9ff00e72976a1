"""All plans of one patient: what is there is kept, what is missing is made, and the manifest comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.case import read_planning_case
from bridge.workflow.library.folder import PatientFolder
from bridge.workflow.library.goals import Aim, protocol_goals
from bridge.workflow.library.measuring import curve_names, curves_of
from bridge.workflow.library.planner import InfluenceOf, Planned, Planner, PreparedCase, prepare_case
from bridge.workflow.library.reference import reference_plan
from bridge.workflow.library.weightings import REFERENCE_WEIGHTING, WeightingChoice, weightings
from config.protocol import Protocol
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.radplan import equispaced_deg
from models.library.manifest import GridEntry, PatientManifest, PlanEntry, PlanRecord, WeightingEntry
from models.library.measures import PlanMeasures
from models.library.plan_file import PlanContent
from models.openkbp.source import source_sha256

__all__ = ["PatientJob", "PatientResult", "build_patient"]

TOGETHER = 4
"""Weightings that are optimized in one batch: as many as share a pass over the influence matrix."""

_SAME_DOSE_GY = 0.1
"""A dose that is made again from its fluence differs by rounding alone; a D95% by no more than this."""


@dataclass(frozen=True)
class PatientJob:
    """What to do for one patient.

    Attributes
    ----------
    source, set_name
        The patient's file or folder, and the set that he is of.
    library
        Folder of the library.
    recipe_sha256
        Of the library.
    protocol, settings, rounds
        Goals; grid, beamlets and stopping rule; rounds of the reference plan.
    choice
        Weightings.
    beams
        Number of beams of each set.
    """

    source: Path
    set_name: str
    library: Path
    recipe_sha256: str
    protocol: Protocol
    settings: EngineSettings
    rounds: int
    choice: WeightingChoice
    beams: tuple[int, ...]

    @property
    def patient_id(self) -> str:
        """``pt_N``."""
        return self.source.name.removesuffix(".npz")


@dataclass(frozen=True)
class PatientResult:
    """What was done for one patient.

    Attributes
    ----------
    patient_id
        ``pt_N``.
    made
        Plans that were made, and not there before.
    restored
        Doses that were made again, of plans that were there without one.
    """

    patient_id: str
    made: int
    restored: int = 0


def build_patient(
    job: PatientJob, influence_of: InfluenceOf, on_plan: Callable[[str], None] = lambda _: None
) -> PatientResult:
    """Make what a patient lacks.

    Every plan is on disk before the next batch is begun, so a run that was stopped goes on from there. A dose that is
    missing beside its plan is made from the plan's fluence, and held against what was measured of it.

    Parameters
    ----------
    job
        What to do.
    influence_of
        Computes dose influences.
    on_plan
        Told the name of each plan when its files are on disk.

    Raises
    ------
    Refusal
        The patient cannot be read or planned, or what is there was made of other files, by another recipe or as one of
        another set.
    Failure
        The disk, or the engine is not installed.
    """
    folder = PatientFolder(job.library / job.patient_id, job.recipe_sha256, source_sha256(job.source))
    _require_set(job, folder)
    if _is_whole(job, folder):
        return PatientResult(job.patient_id, 0)
    folder.make()
    case = read_planning_case(job.source)
    prepared = prepare_case(case, protocol_goals(job.protocol, case), job.settings.dose_grid_mm)
    present = [organ for organ in job.protocol.organs if organ in case.outside]
    made = restored = 0
    # sets of beams that an earlier run made get back what they lack, and nothing new
    for beams in dict.fromkeys((*job.beams, *folder.beam_sets())):
        asked = _wanted(job, present) if beams in job.beams else (REFERENCE_WEIGHTING,)
        wanted = {one.name: one for one in (*asked, *folder.known_weightings(str(beams)))}
        beam_set = _BeamSet(job, folder, prepared, beams, influence_of, on_plan)
        beam_set.build(tuple(wanted.values()))
        made += beam_set.made
        restored += beam_set.restored
    folder.write_manifest(_manifest(job, folder, prepared, folder.entries()))
    return PatientResult(job.patient_id, made, restored)


def _require_set(job: PatientJob, folder: PatientFolder) -> None:
    """Refuse a patient who changed sides: who is learned from must never be measured by, nor the other way round."""
    manifest = folder.manifest()
    if manifest is not None and manifest.set_name != job.set_name:
        raise ModelRefusal(
            "library-set",
            f"Patient {job.patient_id} is in the library as one of the set {manifest.set_name!r}, and in the data as "
            f"one of {job.set_name!r}. Name the set that he is of (--set), or delete his folder from the library to "
            "have him planned again.",
            patient=job.patient_id,
        )


def _wanted(job: PatientJob, present: Sequence[str]) -> tuple[WeightingEntry, ...]:
    """Give the weightings of each set of beams, the reference first."""
    return (REFERENCE_WEIGHTING, *weightings(job.choice, tuple(job.protocol.organs), present))


def _is_whole(job: PatientJob, folder: PatientFolder) -> bool:
    """Tell if all that is wanted is there, from the manifest alone."""
    manifest = folder.manifest()
    if manifest is None:
        return False
    present = [name for name in manifest.plans[0].record.measures.organ_means_gy() if name in job.protocol.organs]
    names = {plan.record.name for plan in manifest.plans}
    wanted = {f"{beams}-{one.name}" for beams in job.beams for one in _wanted(job, present)}
    return wanted <= names and folder.has_all(manifest)


class _BeamSet:
    """The plans of one set of beams under way, and how many of them and of lost doses were made."""

    def __init__(
        self,
        job: PatientJob,
        folder: PatientFolder,
        prepared: PreparedCase,
        beams: int,
        influence_of: InfluenceOf,
        on_plan: Callable[[str], None],
    ) -> None:
        self._job = job
        self._folder = folder
        self._prepared = prepared
        self._beams = beams
        self._influence_of = influence_of
        self._on_plan = on_plan
        self.made = self.restored = 0

    def build(self, wanted: Sequence[WeightingEntry]) -> None:
        """Make what is missing."""
        missing = [one for one in wanted if self._folder.plan(self._name(one)) is None]
        undosed = [
            name
            for name in self._folder.plan_names()
            if name.startswith(f"{self._beams}-") and not self._folder.has_dose(name)
        ]
        if not missing and not undosed and self._folder.has_beamlets(str(self._beams)):
            return
        planner = Planner(self._prepared, self._beams, self._job.settings, self._influence_of)
        self._folder.keep_beamlets(str(self._beams), planner.beamlets)
        for name in undosed:
            self._restore(planner, name)
        if REFERENCE_WEIGHTING in missing:
            found = reference_plan(planner, self._job.rounds)
            self._write(REFERENCE_WEIGHTING, found.planned, found.aims, found.pressing)
        others = [one for one in missing if one != REFERENCE_WEIGHTING]
        for first in range(0, len(others), TOGETHER):
            self._optimize(planner, others[first : first + TOGETHER])

    def _optimize(self, planner: Planner, wanted: Sequence[WeightingEntry]) -> None:
        """Make some plans in one batch, from the reference plan as it is on disk."""
        reference = self._folder.plan(self._name(REFERENCE_WEIGHTING))
        assert reference is not None  # noqa: S101 - made before any other plan
        asked = reference.record.aims
        aims = tuple(Aim(goal, *aim) for goal, aim in zip(self._prepared.goals, asked, strict=True))
        function = planner.function(aims, reference.record.pressing)
        functions = [planner.weighted(function, one) for one in wanted]
        for one, planned in zip(wanted, planner.optimize(functions, reference.fluence), strict=True):
            self._write(one, planned)

    def _write(
        self, weighting: WeightingEntry, planned: Planned, aims: tuple[Aim, ...] = (), pressing: float = 0.0
    ) -> None:
        record = PlanRecord(
            beam_set=str(self._beams),
            weighting=weighting,
            recipe_sha256=self._job.recipe_sha256,
            source_sha256=self._folder.source_sha256,
            iterations=planned.iterations,
            stop=planned.stop,
            objective_value=planned.objective_value,
            seconds=round(planned.seconds, 2),
            measures=planned.measures,
            aims=tuple((aim.asked_gy, aim.priority) for aim in aims),
            pressing=pressing,
        )
        curves = curves_of(self._prepared.case, planned.dvhs)
        self._folder.write_plan(PlanContent(record, planned.fluence, curves), planned.dose)
        self.made += 1
        self._on_plan(record.name)

    def _restore(self, planner: Planner, name: str) -> None:
        """Make a dose again.

        Raises
        ------
        ModelRefusal
            It is not the dose that was measured when the plan was made (``library-dose-differs``).
        """
        plan = self._folder.plan(name)
        assert plan is not None  # noqa: S101 - it was listed
        dose = planner.dose(plan.fluence)
        _, measures = self._prepared.measured(dose)
        off = _largest_difference_gy(measures, plan.record.measures)
        if off > _SAME_DOSE_GY:
            raise ModelRefusal(
                "library-dose-differs",
                f"The fluence of {name} gives another dose than when it was optimized: dose parameters differ by up to "
                f"{off:.2f} Gy. Was it made by another version of the engine?",
                file=name,
            )
        self._folder.write_dose(name, dose)
        self.restored += 1

    def _name(self, weighting: WeightingEntry) -> str:
        return f"{self._beams}-{weighting.name}"


def _largest_difference_gy(one: PlanMeasures, other: PlanMeasures) -> float:
    targets = [abs(one.targets[name].d95_gy - target.d95_gy) for name, target in other.targets.items()]
    organs = [abs(one.organs[name].mean_gy - organ.mean_gy) for name, organ in other.organs.items()]
    return max([*targets, *organs])


def _manifest(
    job: PatientJob, folder: PatientFolder, prepared: PreparedCase, plans: Sequence[PlanEntry]
) -> PatientManifest:
    """Say what there is of a patient, also what earlier runs made."""
    case, grid = prepared.case, prepared.patient.ct.grid
    names = sorted({plan.record.beam_set for plan in plans}, key=lambda name: -int(name))
    references = [f"{name}-{REFERENCE_WEIGHTING.name}" for name in names]
    return PatientManifest(
        id=case.id,
        set_name=job.set_name,
        source_sha256=folder.source_sha256,
        recipe_sha256=job.recipe_sha256,
        levels_gy={level.roi_name: level.dose_gy for level in case.prescription.levels},
        grid=GridEntry(
            shape=grid.shape,
            affine=tuple((a, b, c, d) for a, b, c, d in grid.affine.tolist()),
            frame_of_reference_uid=grid.frame_of_reference_uid,
        ),
        curves=curve_names(case),
        beyond_body=case.beyond_body,
        beam_sets=tuple(folder.beam_set_entry(name, equispaced_deg(int(name)), case.isocentre_mm) for name in names),
        plans=tuple(plans),
        criteria_gy={
            "clinical": case.criteria_gy(case.patient.dose),
            **{name: case.criteria_gy(folder.dose(name, grid)) for name in references},
        },
    )
