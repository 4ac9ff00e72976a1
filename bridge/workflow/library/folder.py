"""The folder of one patient in a library while it grows: one plan after the other, and the manifest at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.rt.errors import ModelRefusal, StorageFailure
from bridge.rt.grid import Grid
from bridge.rt.pareto import dominated
from bridge.rt.volume import Dose
from bridge.workflow.library.measuring import flags_of
from models.library.files import PART_SUFFIX, read_checked, write_whole
from models.library.library import beamlets_file, dose_file, plan_file
from models.library.manifest import (
    PATIENT_FILE,
    BeamSetEntry,
    Flag,
    PatientManifest,
    PlanEntry,
    as_bytes,
    read_manifest,
)
from models.library.measures import CRITERIA_TOLERANCE, PlanMeasures, criteria_of
from models.library.plan_file import (
    Beamlets,
    PlanContent,
    beamlets_bytes,
    dose_bytes,
    plan_bytes,
    read_beamlets,
    read_dose,
    read_plan,
)

__all__ = ["PatientFolder"]

_SAME_PLACE_MM = 0.01
_PLAN_FILES, _REFERENCE_FIRST = "*.plan.npz", "-reference"


@dataclass(frozen=True)
class PatientFolder:
    """What there is of a patient.

    Attributes
    ----------
    path
        The folder.
    recipe_sha256, source_sha256
        Of the library and of the patient's files: what was made of others is refused.
    """

    path: Path
    recipe_sha256: str
    source_sha256: str

    def manifest(self) -> PatientManifest | None:
        """Give the manifest, None before the patient was whole for the first time."""
        path = self.path / PATIENT_FILE
        if not path.exists():
            return None
        manifest = read_manifest(path, PatientManifest)
        self._require_same(manifest.recipe_sha256, manifest.source_sha256, PATIENT_FILE)
        return manifest

    def plan(self, name: str) -> PlanContent | None:
        """Give a plan, None where it is not there yet."""
        path = self.path / plan_file(name)
        if not path.exists():
            return None
        plan = read_plan(read_checked(path, None), path.name)
        self._require_same(plan.record.recipe_sha256, plan.record.source_sha256, path.name)
        if plan.record.name != name:
            raise ModelRefusal("library-file-damaged", f"{path.name} holds the plan {plan.record.name!r}.")
        return plan

    def plan_names(self) -> list[str]:
        """Name the plans that are there, of each set of beams the reference plan first."""
        found = [path.name.removesuffix(_PLAN_FILES[1:]) for path in self.path.glob(_PLAN_FILES)]
        return sorted(found, key=lambda name: (not name.endswith(_REFERENCE_FIRST), name))

    def beam_sets(self) -> list[int]:
        """Give the numbers of beams that there are plans with."""
        return sorted({int(name.partition("-")[0]) for name in self.plan_names()}, reverse=True)

    def has_dose(self, name: str) -> bool:
        """Tell if the dose of a plan is there."""
        return (self.path / dose_file(name)).exists()

    def has_beamlets(self, beam_set: str) -> bool:
        """Tell if the places of the beamlets are there."""
        return (self.path / beamlets_file(beam_set)).exists()

    def has_all(self, manifest: PatientManifest) -> bool:
        """Tell if all files that a manifest names are there."""
        names = [entry.record.name for entry in manifest.plans]
        return all((self.path / plan_file(name)).exists() and self.has_dose(name) for name in names) and all(
            self.has_beamlets(beams.name) for beams in manifest.beam_sets
        )

    def dose(self, name: str, grid: Grid) -> Dose:
        """Read the dose of a plan."""
        file = dose_file(name)
        return Dose(read_dose(read_checked(self.path / file, None), file), grid)

    def write_dose(self, name: str, dose: Dose) -> None:
        """Write the dose of a plan."""
        write_whole(self.path / dose_file(name), dose_bytes(dose.values))

    def write_plan(self, plan: PlanContent, dose: Dose) -> None:
        """Write a plan: its dose first, so that a plan that is there has had one."""
        self.write_dose(plan.record.name, dose)
        write_whole(self.path / plan_file(plan.record.name), plan_bytes(plan))

    def keep_beamlets(self, beam_set: str, beamlets: Beamlets) -> None:
        """Write where the beamlets are, or hold them against what is there.

        Raises
        ------
        ModelRefusal
            The stored fluences are of other beamlets (``library-beamlets``).
        """
        path = self.path / beamlets_file(beam_set)
        if not path.exists():
            write_whole(path, beamlets_bytes(beamlets))
            return
        known = read_beamlets(read_checked(path, None), path.name)
        fits = np.array_equal(known.direction, beamlets.direction) and bool(
            np.abs(known.position_mm - beamlets.position_mm).max() <= _SAME_PLACE_MM
        )
        if not fits:
            raise ModelRefusal(
                "library-beamlets", f"The beamlets of {path.name} are not those that this version lays out."
            )

    def write_manifest(self, manifest: PatientManifest) -> None:
        """Write the manifest: from now on the patient is part of the library."""
        write_whole(self.path / PATIENT_FILE, as_bytes(manifest))

    def entries(self, made: Collection[str], restored: Collection[str]) -> list[PlanEntry]:
        """Give the entries of all plans that are there, with their flags and hashes.

        Parameters
        ----------
        made, restored
            Plans that this run made, and those whose doses it made again. All other files have to be what an earlier
            manifest says of them: one that was changed since must not get a new hash.

        Raises
        ------
        ModelRefusal
            One is not (``library-file-changed``).
        """
        names = self.plan_names()
        records = {name: plan.record for name in names if (plan := self.plan(name)) is not None}
        flags = _flags({name: (record.beam_set, record.measures) for name, record in records.items()})
        manifest = self.manifest()
        before = {} if manifest is None else {entry.record.name: entry for entry in manifest.plans}
        plans = {name: entry.plan_sha256 for name, entry in before.items() if name not in made}
        doses = {name: entry.dose_sha256 for name, entry in before.items() if name not in {*made, *restored}}
        return [
            PlanEntry(
                record=record,
                flags=flags[name],
                plan_sha256=self._sha256(plan_file(name), plans.get(name)),
                dose_sha256=self._sha256(dose_file(name), doses.get(name)),
            )
            for name, record in records.items()
        ]

    def beam_set_entry(
        self, name: str, gantry_deg: tuple[float, ...], isocentre_mm: tuple[float, float, float]
    ) -> BeamSetEntry:
        """Give the entry of a set of beams."""
        return BeamSetEntry(
            name=name,
            gantry_deg=gantry_deg,
            isocentre_mm=isocentre_mm,
            file_sha256=self._sha256(beamlets_file(name)),
        )

    def make(self) -> None:
        """Make the folder, and clear what a crash left of files that were being written.

        Raises
        ------
        StorageFailure
            It cannot be made (``library-unwritable``).
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for part in self.path.glob(f".*{PART_SUFFIX}"):
                part.unlink()
        except OSError as error:
            raise StorageFailure(
                "library-unwritable", f"The folder {self.path.name} cannot be made: {error.strerror}."
            ) from error

    def _sha256(self, file: str, known: str | None = None) -> str:
        return hashlib.sha256(read_checked(self.path / file, known)).hexdigest()

    def _require_same(self, recipe_sha256: str, source_sha256: str, file: str) -> None:
        if source_sha256 != self.source_sha256:
            raise ModelRefusal(
                "library-source",
                f"{self.path.name}/{file} was made of other files of the patient than those in the data folder.",
                patient=self.path.name,
                file=file,
            )
        if recipe_sha256 != self.recipe_sha256:
            raise ModelRefusal(
                "library-recipe",
                f"{self.path.name}/{file} was made by another recipe than the library's.",
                patient=self.path.name,
                file=file,
            )


def _flags(measured: Mapping[str, tuple[str, PlanMeasures]]) -> dict[str, tuple[Flag, ...]]:
    """Give the flags of all plans; a plan can be dominated by one of the same beams only."""
    flags = {}
    for beam_set in {beam_set for beam_set, _ in measured.values()}:
        plans = {name: measures for name, (of, measures) in measured.items() if of == beam_set}
        criteria = np.array([list(criteria_of(measures).values()) for measures in plans.values()])
        worse = dominated(criteria, CRITERIA_TOLERANCE).tolist()
        for (name, measures), is_dominated in zip(plans.items(), worse, strict=True):
            flags[name] = flags_of(measures, dominated=is_dominated)
    return flags
