"""Out to DICOM and in again, in all eight patient positions: a mask, a dose point and a DVH known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from bridge.dicom.assemble import read_case
from bridge.dicom.read_dose import read_dose
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.anatomy import dose_grid
from bridge.rt.dvh import DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from bridge.rt.volume import Dose
from tests.phantom import CENTRE_MM, PATIENT_POSITIONS, PROVENANCE, STRUCTURES, write_small_phantom

GRADIENT_GY_PER_MM = 0.5
TARGET = STRUCTURES[1]
SEMI_AXIS_MM = TARGET.semi_axes_mm[0]


def lateral_dose_gy(x_mm: float) -> float:
    """Rise towards the patient's left: a mirrored reading turns it round."""
    return 30.0 + GRADIENT_GY_PER_MM * (x_mm - CENTRE_MM[0])


def lateral_dose(grid: Grid) -> Dose:
    positions = grid.positions_mm(np.indices(grid.shape).reshape(3, -1).T.astype(np.float64))
    return Dose(np.reshape([lateral_dose_gy(x) for x in positions[:, 0]], grid.shape).astype(np.float32), grid)


def target_dose_gy(hottest_percent: float) -> float:
    """Give Dx% of the elliptic cylinder: the chord beyond which x percent of an ellipse lie."""

    def beyond(u: float) -> float:
        return 0.5 - (u * np.sqrt(1 - u * u) + np.arcsin(u)) / np.pi - hottest_percent / 100.0

    return lateral_dose_gy(TARGET.centre_mm[0] + SEMI_AXIS_MM * float(brentq(beyond, -1.0, 1.0)))


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_mask_dose_and_dvh_come_back(tmp_path: Path, position: str) -> None:
    phantom = write_small_phantom(tmp_path / "dicom", patient_position=position)
    case = read_case(phantom.paths).case
    target = case.structure("PTV_6000")

    mask = mask_of(target, case.ct.grid)
    voxels = np.argwhere(mask.values > 0)
    weights = mask.values[tuple(voxels.T)]
    centroid = np.average(case.ct.grid.positions_mm(voxels.astype(np.float64)), axis=0, weights=weights)
    np.testing.assert_allclose(centroid, TARGET.centre_mm, atol=0.1)

    external = case.structure("BODY")
    grid = dose_grid(case.ct.grid, np.stack(external.bounds_mm()), 2.3)
    write_rtdose(
        lateral_dose(grid), case.identity, PROVENANCE, plan_uid="1.2.3", bits=16,
        sop_instance_uid=derived_uid(position), series_instance_uid="1.2.4", path=tmp_path / "RD.dcm",
    )  # fmt: skip
    dose = read_dose(tmp_path / "RD.dcm")
    points = np.array([TARGET.centre_mm, STRUCTURES[2].centre_mm, STRUCTURES[3].centre_mm])
    np.testing.assert_allclose(dose.at(points), [lateral_dose_gy(x) for x in points[:, 0]], atol=0.05)

    dvh = compute_dvh(target, dose, DvhPolicy(end_caps="half_slice"))
    assert dvh.coverage == 1.0
    assert dvh.volume_cc == pytest.approx(TARGET.volume_cc, rel=0.005)
    assert dvh.mean_gy == pytest.approx(lateral_dose_gy(TARGET.centre_mm[0]), abs=0.05)
    for percent in (98, 95, 50, 5, 2):
        assert dvh.dose_at_percent(percent) == pytest.approx(target_dose_gy(percent), abs=0.05)
