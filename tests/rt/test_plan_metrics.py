"""Conformity and equivalent doses against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import PrescriptionRefusal, StructureRefusal
from bridge.rt.plan_metrics import bed_gy, conformity, eqd2_gy


def steps(name: str, *parts: tuple[float, float]) -> Dvh:
    """A DVH of a few homogeneous parts: (dose in Gy, volume in cc)."""
    doses = np.repeat([dose for dose, _ in parts], 1000).astype(np.float64)
    volumes = np.repeat([volume / 1000.0 for _, volume in parts], 1000)
    order = np.argsort(doses, kind="stable")
    return Dvh(1, name, doses[order], volumes[order], float(volumes.sum()), DvhPolicy())


TARGET = steps("PTV", (55.0, 10.0), (60.0, 90.0))
BODY = steps("BODY", (5.0, 9000.0), (30.0, 600.0), (55.0, 280.0), (60.0, 120.0))


def test_conformity() -> None:
    """TV 100 cc with 90 cc at 60 Gy, PIV 120 cc, 1000 cc at 30 Gy or more."""
    found = conformity(TARGET, BODY, 60.0)
    assert found.ci_rtog == pytest.approx(1.2)
    assert found.cn_vant_riet == pytest.approx(90.0**2 / (100.0 * 120.0))
    assert found.gi_paddick == pytest.approx(1000.0 / 120.0)
    assert found.r50 == pytest.approx(10.0)


def test_an_isodose_that_nothing_reaches_has_no_conformity() -> None:
    with pytest.raises(StructureRefusal) as refused:
        conformity(TARGET, BODY, 60.1)
    assert refused.value.code == "isodose-empty"


def test_a_target_partly_outside_the_dose_grid_has_no_conformity() -> None:
    partly = Dvh(1, "PTV", TARGET.dose_gy, TARGET.sample_cc, 120.0, DvhPolicy())
    with pytest.raises(StructureRefusal) as refused:
        conformity(partly, BODY, 60.0)
    assert refused.value.code == "dvh-coverage"


@pytest.mark.parametrize(
    ("dose_gy", "fractions", "alpha_beta_gy", "bed", "eqd2"),
    [
        (60.0, 30, 10.0, 72.0, 60.0),
        (60.0, 20, 3.0, 120.0, 72.0),
        (54.0, 3, 10.0, 151.2, 126.0),
        (0.0, 5, 3.0, 0.0, 0.0),
    ],
)
def test_equivalent_doses(dose_gy: float, fractions: int, alpha_beta_gy: float, bed: float, eqd2: float) -> None:
    assert bed_gy(dose_gy, fractions, alpha_beta_gy) == pytest.approx(bed)
    assert eqd2_gy(dose_gy, fractions, alpha_beta_gy) == pytest.approx(eqd2)


@pytest.mark.parametrize(("dose_gy", "fractions", "alpha_beta_gy"), [(60.0, 0, 10.0), (60.0, 30, 0.0), (-1.0, 30, 3.0)])
def test_impossible_fractionations_are_refused(dose_gy: float, fractions: int, alpha_beta_gy: float) -> None:
    with pytest.raises(PrescriptionRefusal):
        eqd2_gy(dose_gy, fractions, alpha_beta_gy)
