"""A patient of a few slices and a dose engine of Gaussian beamlets: a whole library in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from bridge.workflow.library.build import LibraryOptions, LibraryRun, build_library
from bridge.workflow.library.planner import InfluenceOf
from bridge.workflow.library.weightings import WeightingChoice
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.patient import PlanningPatient
from esapi_stub.engine.radplan import BeamDirection
from models.library.library import LibraryPatient, open_library
from tests.models.openkbp_patients import BITS, write_packed

VOXEL_MM = (5.0, 5.0, 5.0)
GRID_MM = 8.0
PITCH_MM = 10.0
WIDTH_MM = 6.0

BOXES = {
    "possible_dose_mask": np.s_[50:78, 48:80, 56:72],
    "PTV70": np.s_[58:66, 58:68, 60:68],
    "PTV56": np.s_[58:66, 50:57, 60:68],
    "SpinalCord": np.s_[70:73, 62:65, 56:72],
    "LeftParotid": np.s_[56:66, 67:75, 60:68],  # overlaps PTV70 by one voxel
    "Larynx": np.s_[60:64, 60:64, 62:66],  # inside PTV70
}
"""In OpenKBP's axes: posterior, left, inferior."""

OPTIONS = LibraryOptions(
    sets=("train",),
    beams=(5,),
    choice=WeightingChoice(drawn=2, anchors=True, seed=1),
    settings=EngineSettings(dose_grid_mm=GRID_MM, beamlet_mm=7.0, rule=StoppingRule(max_iterations=40)),
    rounds=2,
)
"""Reference, homogeneity, sparing, two anchors (the larynx has nothing outside) and two drawn plans: seven."""

FEW = replace(OPTIONS, choice=WeightingChoice(drawn=0, anchors=False))
"""Reference, homogeneity and sparing."""

PLANS = (
    "5-reference", "5-drawn-01", "5-drawn-02", "5-homogeneity", "5-organ-Parotid_L", "5-organ-SpinalCord", "5-sparing",
)  # fmt: skip


Box = tuple[slice, slice, slice]


def write_patient(folder: Path, name: str = "pt_1", *without: str, parotid: Box = BOXES["LeftParotid"]) -> Path:
    """Write the patient, packed."""
    ct = np.zeros((128,) * 3, dtype=np.uint16)
    ct[BOXES["possible_dose_mask"]] = 1024
    labels = np.zeros((128,) * 3, dtype=np.uint16)
    for roi, box in (BOXES | {"LeftParotid": parotid}).items():
        if roi not in without:
            labels[box] |= np.uint16(1 << BITS[roi])
    dose = np.zeros((128,) * 3, dtype=np.uint16)
    dose[BOXES["possible_dose_mask"]] = 10_000  # 20 Gy
    dose[BOXES["PTV70"]] = 35_500  # 71 Gy
    folder.mkdir(parents=True, exist_ok=True)
    return write_packed(folder, name, ct=ct, labels=labels, dose=dose, voxel_mm=np.array(VOXEL_MM))


def gaussian_influence(
    patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float
) -> DoseInfluence:
    """Give parallel beamlets with Gaussian profiles, the same all along; those that meet the targets."""
    grid = patient.ct.grid
    voxels = np.flatnonzero(patient.body)
    at = grid.positions_mm(np.argwhere(patient.body).astype(np.float64))
    targets = patient.targets.ravel()[voxels]
    columns, numbers, places = [], [], []
    for number, direction in enumerate(directions):
        angle = np.deg2rad(direction.gantry_deg)
        x, y, z = (at - direction.isocentre_mm).T
        across = x * np.cos(angle) + y * np.sin(angle)
        for u in np.arange(-60.0, 61.0, PITCH_MM):
            for v in np.arange(-40.0, 41.0, PITCH_MM):
                profile = np.exp(-((across - u) ** 2 + (z - v) ** 2) / (2.0 * WIDTH_MM**2))
                profile[profile < 1e-3] = 0.0
                if profile[targets].max(initial=0.0) > 0.5:
                    columns.append(sparse.csc_array(profile[:, None].astype(np.float32)))
                    numbers.append(number)
                    places.append((u, v))
    matrix = sparse.hstack(columns, format="csr", dtype=np.float32)
    return DoseInfluence(matrix, grid, voxels, np.array(numbers), np.array(places), "0" * 64)


class Counted:
    """The same, and how often it was asked for."""

    def __init__(self) -> None:
        self.beams: list[int] = []

    def __call__(
        self, patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float
    ) -> DoseInfluence:
        self.beams.append(len(directions))
        return gaussian_influence(patient, directions, beamlet_mm)


def build(
    data: Path, library: Path, options: LibraryOptions = OPTIONS, influence_of: InfluenceOf = gaussian_influence
) -> LibraryRun:
    with ThreadPoolExecutor(1) as executor:
        return build_library(data, library, options, executor, influence_of=influence_of)


def the_patient(library: Path) -> LibraryPatient:
    (patient,) = open_library(library).patients
    return patient


def contents(library: Path) -> dict[str, bytes]:
    """Give every file of the patient."""
    return {path.name: path.read_bytes() for path in (library / "pt_1").iterdir()}
