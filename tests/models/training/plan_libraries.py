"""A library of known plans over the synthetic OpenKBP patient: doses are even in the body, but for one parotid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bridge.rt.grid import Grid
from models.library.files import write_whole
from models.library.library import beamlets_file, dose_file, plan_file
from models.library.manifest import (
    LIBRARY_FILE,
    PATIENT_FILE,
    BeamSetEntry,
    Flag,
    GridEntry,
    LibraryManifest,
    PatientManifest,
    PlanEntry,
    PlanRecord,
    WeightingEntry,
    as_bytes,
)
from models.library.measures import OrganMeasures, PlanMeasures, TargetMeasures
from models.library.plan_file import Beamlets, PlanContent, beamlets_bytes, dose_bytes, plan_bytes
from models.openkbp.reader import read_patient
from models.openkbp.source import source_sha256
from tests.models.library.libraries import RECIPE

BODY_GY, TARGET_GY = 30.0, 70.0
GRID_MM = 5.0


@dataclass(frozen=True)
class KnownPlan:
    """A plan that gives the right parotid a part of what it gets in the reference plan, and has an HI of its own."""

    name: str = "reference"
    parotid_r: float = 1.0
    hi: float = 0.05
    flags: tuple[Flag, ...] = ()


REFERENCE = KnownPlan()
SPARED = KnownPlan("organ-Parotid_R", parotid_r=0.8, hi=0.10)
"""A weight of 1.25, and a homogeneity index of one unit more: a wish of one in both."""


@dataclass(frozen=True)
class KnownPatient:
    """Who is written, and with which plans of each number of beams."""

    source: Path
    set_name: str = "train"
    plans: dict[int, tuple[KnownPlan, ...]] = field(default_factory=lambda: {9: (REFERENCE, SPARED)})


def gantry_deg(beams: int) -> tuple[float, ...]:
    return tuple(360.0 / beams * number for number in range(beams))


def dose_grid(source: Path) -> Grid:
    """A grid of 5 mm over the body alone."""
    anatomy = read_patient(source).anatomy
    at = anatomy.grid.positions_mm(np.argwhere(anatomy.body.values > 0).astype(np.float64))
    low, high = at.min(axis=0), at.max(axis=0)
    shape = tuple(int(n) for n in (np.ceil((high - low) / GRID_MM) + 1)[::-1])
    return Grid.axial(shape, (GRID_MM,) * 3, tuple(low), anatomy.grid.frame_of_reference_uid)


def dose_of(source: Path, plan: KnownPlan) -> np.ndarray:
    """Even in the body, target and right parotid; none in the air, as the engine has it."""
    anatomy, grid = read_patient(source).anatomy, dose_grid(source)
    body, target, parotid = (
        mask.resampled(to=grid, outside=0.0).values
        for mask in (anatomy.body, anatomy.masks["PTV70"], anatomy.masks["Parotid_R"])
    )
    dose = np.where(target > 0, TARGET_GY, np.where(parotid > 0, plan.parotid_r * BODY_GY, BODY_GY))
    return np.where(body >= 0.5, dose, 0.0).astype(np.float32)


def measures(plan: KnownPlan) -> PlanMeasures:
    target = TargetMeasures(
        prescribed_gy=70, mean_gy=70, d99_gy=70, d98_gy=70, d95_gy=70, d50_gy=70, d2_gy=70, near_maximum_gy=70,
        hi_icru83=plan.hi,
    )  # fmt: skip
    organs = {"Parotid_R": plan.parotid_r * BODY_GY, "Parotid_L": BODY_GY, "SpinalCord": BODY_GY}
    return PlanMeasures(
        targets={"PTV70": target},
        organs={
            name: OrganMeasures(mean_gy=mean, d01cc_gy=mean, near_maximum_gy=mean, outside_gy=mean)
            for name, mean in organs.items()
        },
        goals=(),
        hottest_gy=TARGET_GY,
    )


def write_library(folder: Path, patients: Iterable[KnownPatient]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / LIBRARY_FILE, as_bytes(LibraryManifest(recipe=RECIPE)))
    for patient in patients:
        _write_patient(folder, patient)
    return folder


def _write_patient(folder: Path, patient: KnownPatient) -> None:
    home = folder / patient.source.stem
    home.mkdir()
    sha256, grid = source_sha256(patient.source), dose_grid(patient.source)
    entries, beam_sets = [], []
    for beams, plans in patient.plans.items():
        beamlets = beamlets_bytes(Beamlets(np.zeros(3, dtype=np.uint8), np.zeros((3, 2))))
        write_whole(home / beamlets_file(str(beams)), beamlets)
        beam_sets.append(
            BeamSetEntry(
                name=str(beams), gantry_deg=gantry_deg(beams), isocentre_mm=(0, 0, 0),
                file_sha256=hashlib.sha256(beamlets).hexdigest(),
            )
        )  # fmt: skip
        for plan in plans:
            record = PlanRecord(
                beam_set=str(beams), weighting=WeightingEntry(name=plan.name, homogeneity=1.0, organs={}),
                recipe_sha256=RECIPE.sha256, source_sha256=sha256, iterations=1, stop="converged", objective_value=1.0,
                seconds=1.0, measures=measures(plan),
            )  # fmt: skip
            content = PlanContent(record, np.zeros(3, dtype=np.float16), np.zeros((1, 99)))
            entries.append(
                PlanEntry(
                    record=record, flags=plan.flags,
                    plan_sha256=write_whole(home / plan_file(record.name), plan_bytes(content)),
                    dose_sha256=write_whole(home / dose_file(record.name), dose_bytes(dose_of(patient.source, plan))),
                )
            )  # fmt: skip
    manifest = PatientManifest(
        id=patient.source.stem, set_name=patient.set_name, source_sha256=sha256, recipe_sha256=RECIPE.sha256,
        levels_gy={"PTV70": 70.0, "PTV56": 56.0},
        grid=GridEntry(
            shape=grid.shape, affine=tuple(map(tuple, grid.affine.tolist())),
            frame_of_reference_uid=grid.frame_of_reference_uid,
        ),
        curves=("PTV70",), beam_sets=tuple(beam_sets), plans=tuple(entries), criteria_gy={},
    )  # fmt: skip
    write_whole(home / PATIENT_FILE, as_bytes(manifest))


def flagged(plan: KnownPlan, name: str, *flags: Flag) -> KnownPlan:
    return replace(plan, name=name, flags=flags)
