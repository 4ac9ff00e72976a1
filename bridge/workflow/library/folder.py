"""The folder of one patient in a library while it grows: one plan after the other, and the manifest at the end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
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
    WeightingEntry,
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
_PLAN_NAME = re.compile(r"[0-9]+-[A-Za-z0-9_.-]+")


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
        entry = self._entry(name)
        plan = read_plan(read_checked(path, None if entry is None else entry.plan_sha256), path.name)
        self._require_same(plan.record.recipe_sha256, plan.record.source_sha256, path.name)
        if plan.record.name != name:
            raise self._no_plan(path.name, f"holds the plan {plan.record.name!r}")
        return plan

    def plan_names(self) -> list[str]:
        """Name the plans that are there, of each set of beams the reference plan first."""
        found = [path.name.removesuffix(_PLAN_FILES[1:]) for path in self.path.glob(_PLAN_FILES)]
        return sorted(found, key=lambda name: (not name.endswith(_REFERENCE_FIRST), name))

    def beam_sets(self) -> list[int]:
        """Give the numbers of beams that there are plans with, or were.

        Raises
        ------
        ModelRefusal
            A file has no name of a plan (``library-file-damaged``).
        """
        manifest = self.manifest()
        numbers = set() if manifest is None else {int(beams.name) for beams in manifest.beam_sets}
        for name in self.plan_names():
            if not _PLAN_NAME.fullmatch(name):
                raise self._no_plan(plan_file(name), "has a name that no plan has")
            numbers.add(int(name.partition("-")[0]))
        return sorted(numbers, reverse=True)

    def known_weightings(self, beam_set: str) -> list[WeightingEntry]:
        """Give the weightings of the plans that there are by the manifest, also of those whose files were lost."""
        manifest = self.manifest()
        records = [] if manifest is None else [entry.record for entry in manifest.plans]
        return [record.weighting for record in records if record.beam_set == beam_set]

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
        """Write a dose that was missing beside its plan."""
        content = dose_bytes(dose.values)
        self._announce(name, {"dose_sha256": hashlib.sha256(content).hexdigest()})
        write_whole(self.path / dose_file(name), content)

    def write_plan(self, plan: PlanContent, dose: Dose) -> None:
        """Write a plan that was missing: its dose first, so that a plan that is there has had one."""
        content, name = plan_bytes(plan), plan.record.name
        self._announce(name, {"record": plan.record, "plan_sha256": hashlib.sha256(content).hexdigest()})
        self.write_dose(name, dose)
        write_whole(self.path / plan_file(name), content)

    def keep_beamlets(self, beam_set: str, beamlets: Beamlets) -> None:
        """Write where the beamlets are, or hold them against what is there.

        Raises
        ------
        ModelRefusal
            The stored fluences are of other beamlets (``library-beamlets``).
        """
        path = self.path / beamlets_file(beam_set)
        if not path.exists():
            content = beamlets_bytes(beamlets)
            self._announce_beamlets(beam_set, hashlib.sha256(content).hexdigest())
            write_whole(path, content)
            return
        known = read_beamlets(read_checked(path, self._beamlets_sha256(beam_set)), path.name)
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

    def entries(self) -> list[PlanEntry]:
        """Give the entries of all plans that are there, with their flags and hashes.

        Raises
        ------
        ModelRefusal
            A file is not what the manifest says of it (``library-file-changed``): it must not get a new hash.
        """
        names = self.plan_names()
        records = {name: plan.record for name in names if (plan := self.plan(name)) is not None}
        flags = _flags({name: (record.beam_set, record.measures) for name, record in records.items()})
        found = []
        for name, record in records.items():
            known = self._entry(name)
            plan_sha256, dose_sha256 = (None, None) if known is None else (known.plan_sha256, known.dose_sha256)
            found.append(
                PlanEntry(
                    record=record,
                    flags=flags[name],
                    plan_sha256=self._sha256(plan_file(name), plan_sha256),
                    dose_sha256=self._sha256(dose_file(name), dose_sha256),
                )
            )
        return found

    def beam_set_entry(
        self, name: str, gantry_deg: tuple[float, ...], isocentre_mm: tuple[float, float, float]
    ) -> BeamSetEntry:
        """Give the entry of a set of beams."""
        return BeamSetEntry(
            name=name,
            gantry_deg=gantry_deg,
            isocentre_mm=isocentre_mm,
            file_sha256=self._sha256(beamlets_file(name), self._beamlets_sha256(name)),
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

    def _entry(self, name: str) -> PlanEntry | None:
        manifest = self.manifest()
        entries = () if manifest is None else manifest.plans
        return next((entry for entry in entries if entry.record.name == name), None)

    def _beamlets_sha256(self, beam_set: str) -> str | None:
        manifest = self.manifest()
        entries = () if manifest is None else manifest.beam_sets
        return next((entry.file_sha256 for entry in entries if entry.name == beam_set), None)

    def _announce(self, name: str, now: Mapping[str, object]) -> None:
        """Let the manifest, where it knows a plan, say what the file will be that is made in the place of a lost one.

        After a stop between the two a file is missing, which the next run makes. The other way round, a file would be
        there that is not what the manifest says.
        """
        manifest = self.manifest()
        if manifest is not None:
            plans = tuple(one.model_copy(update=now) if one.record.name == name else one for one in manifest.plans)
            if plans != manifest.plans:
                self.write_manifest(manifest.model_copy(update={"plans": plans}))

    def _announce_beamlets(self, beam_set: str, sha256: str) -> None:
        manifest = self.manifest()
        if manifest is not None and self._beamlets_sha256(beam_set) not in (None, sha256):
            sets = tuple(
                one.model_copy(update={"file_sha256": sha256}) if one.name == beam_set else one
                for one in manifest.beam_sets
            )
            self.write_manifest(manifest.model_copy(update={"beam_sets": sets}))

    def _no_plan(self, file: str, why: str) -> ModelRefusal:
        return ModelRefusal(
            "library-file-damaged",
            f"{self.path.name}/{file} {why}: it is no file that this version wrote. Delete it.",
            patient=self.path.name,
            file=file,
        )

    def _sha256(self, file: str, known: str | None) -> str:
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
