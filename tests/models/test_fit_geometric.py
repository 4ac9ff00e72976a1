"""Fitting finds the numbers that a dose was made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.geometric.fit import fit_geometric
from models.geometric.model import GeometricModel
from models.geometric.parameters import GeometricParameters
from models.openkbp.reader import read_patient
from models.preference import NEUTRAL
from tests.models import openkbp_patients as synthetic

TRUE = GeometricParameters(
    near_weight=0.7,
    near_mm=12.0,
    far_mm=90.0,
    axial_stretch=2.0,
    axial_mm=9.0,
    scale=1.02,
    sparing={"Brainstem": 0.7, "SpinalCord": 0.8, "Parotid_L": 0.6, "Parotid_R": 0.6},
)


@pytest.mark.timeout(120)
def test_a_dose_of_the_model_is_fitted_back(tmp_path: Path) -> None:
    path = synthetic.write_packed(tmp_path, "pt_1")
    dose = GeometricModel(TRUE).prepare(read_patient(path).anatomy).estimate(NEUTRAL).dose_gy
    packed = np.transpose(dose[::-1], (1, 2, 0))  # back to [y, x, z to inferior]
    labels = synthetic.arrays()["labels"]
    labels[30:100, 20:110, 10:120] |= np.uint16(1)  # dose is possible in the whole body, so in the parotids
    synthetic.write_packed(tmp_path, "pt_1", dose=np.round(packed / 0.002).astype(np.uint16), labels=labels)
    fitted, error_gy = fit_geometric(tmp_path)
    assert error_gy < 0.1
    assert fitted.axial_stretch == 2.0
    assert fitted.scale == pytest.approx(1.02, abs=0.005)
    assert fitted.near_mm == pytest.approx(12.0, rel=0.05)
    assert fitted.axial_mm == pytest.approx(9.0, rel=0.05)
    assert fitted.sparing["SpinalCord"] == pytest.approx(0.8, abs=0.02)
