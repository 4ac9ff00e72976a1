"""A case of ellipses and a dose in closed form, written in the values of bridge.rt only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from bridge.report.case_report import CaseReportData, ModelStatement, ObjectiveRow
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.metrics import structure_metrics
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import CtVolume, Dose

FRAME = "1.2.826.0.1.3680043.10.99999.1"

ROW_AND_COLUMN_DIRECTIONS = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDR": ((0, 1, 0), (1, 0, 0)),
    "FFDL": ((0, -1, 0), (-1, 0, 0)),
}
"""Image Orientation (Patient) of the eight standard positions: direction of increasing column, of increasing row."""


def grid_around(
    centre_mm: Sequence[float],
    size_mm: Sequence[float],
    spacing_mm: tuple[float, float, float],
    position: str = "HFS",
) -> Grid:
    """Make a grid [slice, row, column] of a patient position that holds a box ``size_mm`` (x, y, z)."""
    row, column = (np.array(direction, dtype=float) for direction in ROW_AND_COLUMN_DIRECTIONS[position])
    normal = np.cross(row, column)
    steps = np.column_stack([normal * spacing_mm[0], column * spacing_mm[1], row * spacing_mm[2]])
    reach = np.abs(np.column_stack([normal, column, row])).T @ np.asarray(size_mm, dtype=float)
    shape = np.ceil(reach / spacing_mm).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = np.asarray(centre_mm) - steps @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine, FRAME)


def positions(grid: Grid) -> np.ndarray:
    """Give the patient position of every voxel, shape (*grid.shape, 3)."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return grid.positions_mm(indices.reshape(-1, 3).astype(float)).reshape(*grid.shape, 3)


def ellipse(
    number: int,
    name: str,
    kind: RoiKind,
    centre_mm: Sequence[float],
    radii_mm: tuple[float, float],
    z_mm: Sequence[float],
    standard_name: str | None = None,
    points: int = 120,
) -> Structure:
    """Make an elliptic cylinder drawn on the given planes."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    loop = np.column_stack([centre_mm[0] + radii_mm[0] * np.cos(angle), centre_mm[1] + radii_mm[1] * np.sin(angle)])
    planes = tuple(Plane(float(z), (loop,)) for z in z_mm)
    return Structure(number, name, kind, planes, FRAME, 3.0, standard_name)


def nothing_drawn(number: int, name: str, kind: RoiKind) -> Structure:
    return Structure(number, name, kind, (), FRAME, 3.0)


def provenance() -> Provenance:
    return Provenance(
        software_version="0.1.0",
        model_id="geometric-1",
        model_sha256="ab" * 32,
        config_sha256="cd" * 32,
        input_uids={f"2.25.{index}": f"{index:064x}" for index in range(1, 13)},
        created_utc=datetime(2026, 1, 31, 12, 30, tzinfo=UTC),
        preference={"hi": 1.05},
    )


def report_data(
    ct: CtVolume,
    dose: Dose,
    structures: Sequence[Structure],
    levels: Sequence[TargetLevel],
    **more: object,
) -> CaseReportData:
    """Put a report around a dose, with DVHs and metrics computed as the workflow does unless they are given."""
    prescription = Prescription(tuple(levels), fractions=35)
    dvhs = [] if "dvhs" in more else [compute_dvh(structure, dose) for structure in structures]
    metrics = {}
    for dvh in dvhs:
        level = prescription.level_of(dvh.roi_number)
        if not dvh.is_empty:
            metrics[dvh.roi_number] = structure_metrics(dvh, level.dose_gy if level else None)
    given: dict[str, object] = {
        "case_id": "case-0001",
        "ct": ct,
        "dose": dose,
        "structures": tuple(structures),
        "prescription": prescription,
        "dvhs": tuple(dvhs),
        "metrics": metrics,
        "provenance": provenance(),
        "model": ModelStatement(
            "Expected dose from distance (geometric)",
            "Five numbers fitted on 169 head-and-neck plans of OpenKBP.",
            ("Knows distances to the targets only: no beams, no tissue.", "Head and neck, three dose levels."),
        ),
        "study_date": "20260130",
    }
    return CaseReportData(**(given | more))  # type: ignore[arg-type]


def head_and_neck() -> CaseReportData:
    """Give a case like a real one: body, two targets, organs, one without contours, one outside the dose."""
    z = np.arange(-60.0, 61.0, 3.0)
    body = ellipse(1, "BODY", "external", (5, -20), (95, 115), np.arange(-90.0, 91.0, 3.0), "External")
    high = ellipse(2, "PTV70", "target", (25, -45), (22, 18), np.arange(-18.0, 25.0, 3.0), "PTV_7000")
    low = ellipse(3, "PTV56", "target", (5, -40), (58, 30), np.arange(-48.0, 43.0, 3.0), "PTV_5600")
    cord = ellipse(4, "Spinal cord", "organ", (5, 25), (6, 6), z, "SpinalCord")
    left = ellipse(5, "Parotid li", "organ", (68, -15), (14, 20), np.arange(0.0, 46.0, 3.0), "Parotid_L")
    right = ellipse(6, "Parotid re", "organ", (-60, -12), (12, 18), np.arange(3.0, 46.0, 3.0), "Parotid_R")
    far = ellipse(7, "Lung apex", "organ", (40, 0), (15, 15), np.arange(-300.0, -280.0, 3.0))
    empty = nothing_drawn(8, "Larynx", "organ")
    structures = (body, high, low, cord, left, right, far, empty)

    ct_grid = grid_around((5, -20, 0), (240, 280, 186), (3.0, 1.5, 1.5))
    at = positions(ct_grid)
    inside = ((at[..., 0] - 5) / 95) ** 2 + ((at[..., 1] + 20) / 115) ** 2 < 1
    bone = (at[..., 0] - 5) ** 2 + (at[..., 1] - 30) ** 2 < 22**2
    marrow = (at[..., 0] - 5) ** 2 + (at[..., 1] - 25) ** 2 < 8**2
    ct = CtVolume(np.where(inside, np.where(bone & ~marrow, 400.0, 30.0), -1000.0), ct_grid)

    dose_grid = grid_around((5, -20, 0), (236, 276, 180), (3.0, 3.0, 3.0))
    at = positions(dose_grid)

    def fall_off(centre: tuple[float, float, float], radii: tuple[float, float, float], dose_gy: float) -> np.ndarray:
        away = np.sqrt((((at - centre) / radii) ** 2).sum(axis=-1))
        return dose_gy / (1 + np.exp((away - 1.55) * 5))

    dose = np.maximum(fall_off((25, -45, 3), (24, 20, 26), 71.4), fall_off((5, -40, -3), (62, 34, 50), 57.5))
    objectives = [
        ObjectiveRow("PTV70", "point", "lower", 68.6, 98.0, 120, "protocol"),
        ObjectiveRow("PTV70", "point", "upper", 74.2, 2.0, 120, "predicted D2%, clipped to 106 %"),
        *(
            ObjectiveRow("Parotid li", "point", "upper", dose_gy, volume, 12.5, f"predicted D{volume:g}%")
            for volume, dose_gy in ((5.0, 48.2), (20.0, 36.4), (40.0, 24.0), (60.0, 16.1), (80.0, 10.7))
        ),
        ObjectiveRow("Parotid li", "mean", "upper", 21.36, None, 12.5, "predicted mean"),
    ]
    findings = [
        Finding("duplicate-loop", "info", "Two equal contours at z = 12.00 mm were counted once.", {"roi": "PTV56"}),
        Finding("outside-dose-grid", "warning", "No part of Lung apex lies in the dose grid.", {"roi": "Lung apex"}),
    ]
    return report_data(
        ct,
        Dose(dose, dose_grid),
        structures,
        [TargetLevel(2, "PTV70", 70.0, "target_name"), TargetLevel(3, "PTV56", 56.0, "target_name")],
        objectives=tuple(objectives),
        findings=tuple(findings),
    )
