"""Read a library of plans: patients, their plans, and for each plan its dose, its beams and what sets it apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.pareto import Nearest, nearest_plan
from bridge.rt.volume import Dose
from models.library.files import read_checked
from models.library.labels import PreferenceLabel, label_of
from models.library.manifest import (
    LIBRARY_FILE,
    PATIENT_FILE,
    BeamSetEntry,
    LibraryManifest,
    PatientManifest,
    PlanEntry,
    Recipe,
    read_manifest,
)
from models.library.measures import PlanMeasures, criteria_of
from models.library.plan_file import PlanContent, read_dose, read_plan

__all__ = [
    "REFERENCE",
    "Library",
    "LibraryPatient",
    "LibraryPlan",
    "beamlets_file",
    "criteria_table",
    "dose_file",
    "open_library",
    "plan_file",
]

REFERENCE = "reference"
"""Weighting of the plan that all labels of a set of beams are relative to."""


def plan_file(name: str) -> str:
    """Give the name of a plan's file in the folder of its patient."""
    return f"{name}.plan.npz"


def dose_file(name: str) -> str:
    """Give the name of a plan's dose file in the folder of its patient."""
    return f"{name}.dose.npz"


def beamlets_file(beam_set: str) -> str:
    """Give the name of the file of a set of beams in the folder of its patient."""
    return f"{beam_set}.beamlets.npz"


@dataclass(frozen=True, eq=False)
class LibraryPlan:
    """One plan of a patient.

    Attributes
    ----------
    entry
        What the manifest says of it.
    label
        What sets it apart from the reference plan of the same beams.
    beams
        The beams.
    """

    entry: PlanEntry
    label: PreferenceLabel
    beams: BeamSetEntry
    _grid: Grid
    _folder: Path

    @property
    def name(self) -> str:
        """Unique for the patient: beams and weighting."""
        return self.entry.record.name

    @property
    def measures(self) -> PlanMeasures:
        """Dose parameters and what became of the protocol's goals."""
        return self.entry.record.measures

    @property
    def is_reference(self) -> bool:
        """Whether this is the protocol's plan."""
        return self.entry.record.weighting.name == REFERENCE

    @property
    def is_dominated(self) -> bool:
        """Whether another plan of the same beams is better."""
        return "dominated" in self.entry.flags

    def content(self) -> PlanContent:
        """Read fluence and curves.

        Raises
        ------
        ModelRefusal
            The file is missing, changed or damaged, or says another thing of the plan than the manifest.
        """
        name = plan_file(self.name)
        content = read_plan(read_checked(self._folder / name, self.entry.plan_sha256), name)
        if content.record != self.entry.record:
            raise ModelRefusal(
                "library-file-changed",
                f"{self._folder.name}/{PATIENT_FILE} says of the plan {self.name} what its own file {name} does not: "
                "it is not the manifest that was written. Restore it, or delete it and build the library again.",
                patient=self._folder.name,
                file=PATIENT_FILE,
            )
        return content

    def dose(self, to: Grid | None = None) -> Dose:
        """Read the dose in Gy, in total over all fractions.

        Parameters
        ----------
        to
            A grid of the patient, in the same frame of reference, to interpolate it on; without it, it is on the grid
            that it was computed on. There is no dose outside the body.

        Raises
        ------
        ModelRefusal
            The file is missing, changed or damaged.
        GeometryRefusal
            The grid is in another frame of reference.
        """
        name = dose_file(self.name)
        values = read_dose(read_checked(self._folder / name, self.entry.dose_sha256), name)
        dose = Dose(values, self._grid)
        return dose if to is None else dose.resampled(to=to, outside=0.0)


@dataclass(frozen=True, eq=False)
class LibraryPatient:
    """One patient with all plans.

    Attributes
    ----------
    manifest
        What there is.
    """

    manifest: PatientManifest
    _folder: Path

    @property
    def id(self) -> str:
        """As in the data (``pt_N``)."""
        return self.manifest.id

    @cached_property
    def grid(self) -> Grid:
        """The grid of all doses."""
        entry = self.manifest.grid
        return Grid(entry.shape, np.array(entry.affine), entry.frame_of_reference_uid)

    @cached_property
    def plans(self) -> tuple[LibraryPlan, ...]:
        """All plans, the reference plan of each set of beams first."""
        beams = {entry.name: entry for entry in self.manifest.beam_sets}
        references = {
            plan.record.beam_set: plan.record.measures
            for plan in self.manifest.plans
            if plan.record.weighting.name == REFERENCE
        }
        return tuple(
            LibraryPlan(
                plan,
                label_of(plan.record.measures, references[plan.record.beam_set]),
                beams[plan.record.beam_set],
                self.grid,
                self._folder,
            )
            for plan in self.manifest.plans
        )

    def with_beams(self, beam_set: str) -> tuple[LibraryPlan, ...]:
        """Give the plans of one set of beams; none where the patient does not have it."""
        return tuple(plan for plan in self.plans if plan.beams.name == beam_set)

    def nearest(self, desired_gy: Mapping[str, FloatArray], beam_set: str) -> tuple[LibraryPlan, Nearest]:
        """Find the plan whose DVHs are nearest to wished ones in the L1 norm.

        Parameters
        ----------
        desired_gy
            Structure (of the manifest's curves) to D(v) at 1 to 99 %, shape ``(99,)``.
        beam_set
            Whose plans.

        Raises
        ------
        ModelRefusal
            A structure has no curve, or there is no plan with such beams (``library-curve``).
        GeometryRefusal
            Nothing is wished for, or something that is no curve of that shape (``pareto-shape``).
        """
        plans = self.with_beams(beam_set)
        unknown = sorted(set(desired_gy) - set(self.manifest.curves))
        if unknown or not plans:
            raise ModelRefusal(
                "library-curve",
                f"Patient {self.id} has no curve of {unknown[0]!r}; there are {', '.join(self.manifest.curves)}."
                if unknown
                else f"Patient {self.id} has no plan with the beams {beam_set!r}.",
                patient=self.id,
            )
        rows = [self.manifest.curves.index(name) for name in desired_gy]
        curves = np.stack([plan.content().curves_gy[rows] for plan in plans])
        shapes = sorted({np.shape(curve) for curve in desired_gy.values()})
        if shapes != [curves.shape[2:]]:
            raise GeometryRefusal(
                "pareto-shape",
                f"DVHs are wished for as D(v) at 1 to 99 %, each of shape (99,), one structure or more; got {shapes}.",
            )
        found = nearest_plan(np.stack(list(desired_gy.values())), curves)
        return plans[found.plan], found


@dataclass(frozen=True, eq=False)
class Library:
    """A library.

    Attributes
    ----------
    recipe
        What all its plans were made with.
    patients
        Those that are whole, in the order of their numbers.
    """

    recipe: Recipe
    patients: tuple[LibraryPatient, ...]

    def of_set(self, set_name: str) -> tuple[LibraryPatient, ...]:
        """Give the patients of one set of the data (``"train"``)."""
        return tuple(patient for patient in self.patients if patient.manifest.set_name == set_name)


def open_library(path: Path) -> Library:
    """Open a library; doses and fluences are read, and held against their hashes, when they are asked for.

    A patient who is not whole yet, because the build goes on or was stopped, is not there.

    Raises
    ------
    ModelRefusal
        It is none, a manifest is damaged, or a patient's is of another recipe (``library-recipe``).
    """
    if not (path / LIBRARY_FILE).exists():
        raise ModelRefusal(
            "library-file-missing",
            f"The folder {path.name} holds no library: it has no {LIBRARY_FILE}. `fdp-bridge library build` makes one.",
            file=LIBRARY_FILE,
        )
    recipe = read_manifest(path / LIBRARY_FILE, LibraryManifest).recipe
    found = sorted(path.glob(f"*/{PATIENT_FILE}"), key=lambda file: _number(file.parent.name))
    patients = []
    for file in found:
        manifest = read_manifest(file, PatientManifest)
        if manifest.recipe_sha256 != recipe.sha256 or manifest.id != file.parent.name:
            raise ModelRefusal(
                "library-recipe",
                f"{file.parent.name}/{PATIENT_FILE} belongs to another library or another patient.",
                patient=file.parent.name,
            )
        patients.append(LibraryPatient(manifest, file.parent))
    return Library(recipe, tuple(patients))


def criteria_table(plans: tuple[LibraryPlan, ...]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Give the names of the criteria that all plans have, and their values, shape ``(plans, criteria)``."""
    rows = [criteria_of(plan.measures) for plan in plans]
    names = tuple(name for name in (rows[0] if rows else ()) if all(name in row for row in rows))
    return names, np.array([[row[name] for name in names] for row in rows]).reshape(len(rows), len(names))


def _number(name: str) -> tuple[int, str]:
    digits = "".join(character for character in name if character.isdigit())
    return int(digits or 0), name
