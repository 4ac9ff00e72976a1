"""A small library written by hand: one patient, three plans whose doses are known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from bridge.workflow.library.goals import protocol_sha256
from config.protocol import load_protocol
from models.library.files import write_whole
from models.library.library import beamlets_file, dose_file, plan_file
from models.library.manifest import (
    LIBRARY_FILE,
    PATIENT_FILE,
    BeamSetEntry,
    GridEntry,
    LibraryManifest,
    PatientManifest,
    PlanEntry,
    PlanRecord,
    Recipe,
    WeightingEntry,
    as_bytes,
)
from models.library.measures import GoalOutcome, OrganMeasures, PlanMeasures, TargetMeasures
from models.library.plan_file import Beamlets, PlanContent, beamlets_bytes, dose_bytes, plan_bytes

FRAME = "1.2.826.0.1.3680043.8.498.5"
SOURCE = "a" * 64
RECIPE = Recipe(
    engine="closed form", dose_grid_mm=5.0, beamlet_mm=7.0, max_iterations=10, relative_decrease=1e-3,
    over_iterations=10, rounds=2, protocol="head_and_neck",
    protocol_sha256=protocol_sha256(load_protocol("head_and_neck")), seed=1,
)  # fmt: skip
SHAPE = (3, 4, 5)
GRID = GridEntry(
    shape=SHAPE, affine=((0, 0, 5, -10), (0, 5, 0, -7.5), (5, 0, 0, -5), (0, 0, 0, 1)), frame_of_reference_uid=FRAME
)
CURVES = ("PTV70", "Parotid_L", "Parotid_L-targets")


def measures(hi: float = 0.05, parotid_gy: float = 20.0, cord_gy: float = 10.0, d95_gy: float = 70.0) -> PlanMeasures:
    return PlanMeasures(
        targets={
            "PTV70": TargetMeasures(
                prescribed_gy=70, mean_gy=71, d99_gy=68, d98_gy=69, d95_gy=d95_gy, d50_gy=71, d2_gy=73,
                near_maximum_gy=74, hi_icru83=hi,
            )
        },
        organs={
            "Parotid_L": OrganMeasures(mean_gy=25, d01cc_gy=60, near_maximum_gy=61, outside_gy=parotid_gy),
            "SpinalCord": OrganMeasures(mean_gy=12, d01cc_gy=40, near_maximum_gy=41, outside_gy=cord_gy),
            "Larynx": OrganMeasures(mean_gy=70, d01cc_gy=72, near_maximum_gy=73, outside_gy=None),
        },
        goals=(
            GoalOutcome(
                roi="PTV70", what="D95% >= 70.00 Gy", hard=True, reached_gy=d95_gy, excess_gy=70.0 - d95_gy
            ),
        ),
        hottest_gy=75.0,
    )  # fmt: skip


def weighting(name: str, homogeneity: float = 1.0, **organs: float) -> WeightingEntry:
    return WeightingEntry(name=name, homogeneity=homogeneity, organs=organs)


def record(weighed: WeightingEntry, measured: PlanMeasures, beam_set: str = "9") -> PlanRecord:
    return PlanRecord(
        beam_set=beam_set, weighting=weighed, recipe_sha256=RECIPE.sha256, source_sha256=SOURCE, iterations=7,
        stop="converged", objective_value=12.5, seconds=3.0, measures=measured,
    )  # fmt: skip


def dose_of(number: int) -> np.ndarray:
    """A dose that no other plan has, in whole steps of its file."""
    rise = 0.25 * np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    return np.asarray(rise + np.float32(number), dtype=np.float32)


def curves_of(number: int) -> np.ndarray:
    return np.full((len(CURVES), 99), 10.0 * number)


PLANS = (
    (weighting("reference"), measures()),
    (weighting("organ-Parotid_L", Parotid_L=16.0), measures(0.08, 10.0, 12.5, 69.0)),
    (weighting("homogeneity", 16.0), measures(0.03, 25.0, 10.0, 70.5)),
)


def write_library(folder: Path, patient: str = "pt_7", set_name: str = "train") -> Path:
    """Write the library, or one more patient into it."""
    home = folder / patient
    home.mkdir(parents=True)
    write_whole(folder / LIBRARY_FILE, as_bytes(LibraryManifest(recipe=RECIPE)))
    entries = []
    for number, (weighed, measured) in enumerate(PLANS):
        plan = PlanContent(record(weighed, measured), np.array([0.5, 2.0, number], dtype=np.float16), curves_of(number))
        name = plan.record.name
        entries.append(
            PlanEntry(
                record=plan.record,
                flags=("dominated",) if number == 1 else (),
                plan_sha256=write_whole(home / plan_file(name), plan_bytes(plan)),
                dose_sha256=write_whole(home / dose_file(name), dose_bytes(dose_of(number))),
            )
        )
    beamlets = beamlets_bytes(Beamlets(np.zeros(3, dtype=np.uint8), np.zeros((3, 2))))
    write_whole(home / beamlets_file("9"), beamlets)
    beams = BeamSetEntry(
        name="9",
        gantry_deg=tuple(40.0 * n for n in range(9)),
        isocentre_mm=(0, 0, 0),
        file_sha256=hashlib.sha256(beamlets).hexdigest(),
    )
    manifest = PatientManifest(
        id=patient, set_name=set_name, source_sha256=SOURCE, recipe_sha256=RECIPE.sha256, levels_gy={"PTV70": 70.0},
        grid=GRID, curves=CURVES, beam_sets=(beams,), plans=tuple(entries),
        criteria_gy={
            "clinical": {"PTV70 D99": 66.4, "LeftParotid mean": 25.0},
            "9-reference": {"PTV70 D99": 66.6, "LeftParotid mean": 27.0},
        },
    )  # fmt: skip
    write_whole(home / PATIENT_FILE, as_bytes(manifest))
    return folder
