"""What is measured of a plan, from DVHs that are straight lines, and where its flags begin."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.volume import Dose
from bridge.workflow.library.case import PlanningCase, read_planning_case
from bridge.workflow.library.folder import _flags as plan_flags
from bridge.workflow.library.measuring import curve_names, curves_of, flags_of, measures_of
from models.library.measures import PlanMeasures
from tests.models.library import libraries
from tests.workflow.cohort.made import line
from tests.workflow.library.small import write_patient

OFFSETS = {
    "PTV70": 90.0, "PTV56": 80.0, "SpinalCord": 40.0, "Parotid_L": 50.0, "Larynx": 85.0, "SpinalCord-targets": 39.0,
    "Parotid_L-targets": 45.0,
}  # fmt: skip
"""D(v) is so much, less 0.3 Gy for each percent: no two parameters of two structures are the same."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PlanningCase:
    return read_planning_case(write_patient(tmp_path_factory.mktemp("patient")))


def test_each_parameter_is_at_its_volume_of_its_structure(case: PlanningCase) -> None:
    dvhs = {name: line(name, offset) for name, offset in OFFSETS.items()}
    dose = Dose(np.full(case.ct.grid.shape, 91.25, dtype=np.float32), case.ct.grid)
    found = measures_of(case, (), dvhs, dose)
    target = found.targets["PTV70"]
    volumes = {"d99_gy": 99, "d98_gy": 98, "d95_gy": 95, "d50_gy": 50, "d2_gy": 2}
    assert {name: getattr(target, name) for name in volumes} == pytest.approx(
        {name: 90.0 - 0.3 * volume for name, volume in volumes.items()}, abs=0.02
    )
    assert target.hi_icru83 == found.hi == pytest.approx(0.3 * (98 - 2) / 75.0, abs=1e-3)
    assert (target.prescribed_gy, target.mean_gy) == pytest.approx((70.0, 75.0), abs=0.02)
    assert [one.prescribed_gy for one in found.targets.values()] == [70.0, 56.0]
    parotid, larynx = found.organs["Parotid_L"], found.organs["Larynx"]
    assert (parotid.mean_gy, parotid.outside_gy) == pytest.approx((35.0, 30.0), abs=0.02)
    assert parotid.d01cc_gy == pytest.approx(50.0 - 0.3 * 100.0 * 0.1 / 20.0, abs=0.02)  # of 20 cc
    assert larynx.outside_gy is None  # it lies in PTV70
    assert found.organ_means_gy() == pytest.approx({"SpinalCord": 24.0, "Parotid_L": 30.0}, abs=0.02)
    assert found.hottest_gy == 91.25


def test_each_curve_is_that_of_its_structure(case: PlanningCase) -> None:
    assert sorted(curve_names(case)) == sorted(OFFSETS)
    curves = curves_of(case, {name: line(name, offset) for name, offset in OFFSETS.items()})
    expected = [OFFSETS[name] - 0.3 * np.arange(1, 100) for name in curve_names(case)]
    np.testing.assert_allclose(curves, expected, atol=0.02)


@pytest.mark.parametrize(
    ("d95_gy", "hottest_gy", "flags"),
    [(66.51, 80.49, ()), (66.49, 80.49, ("cold",)), (66.51, 80.51, ("hot",)), (66.49, 80.51, ("cold", "hot"))],
)
def test_cold_is_below_95_and_hot_above_115_percent(d95_gy: float, hottest_gy: float, flags: tuple[str, ...]) -> None:
    assert flags_of(plan(d95_gy, hottest_gy), dominated=False) == flags
    assert flags_of(plan(d95_gy, hottest_gy), dominated=True) == ("dominated", *flags)


def test_a_lower_target_is_cold_by_its_own_prescription() -> None:
    measured = plan(70.0, 75.0)
    low = measured.targets["PTV70"].model_copy(update={"prescribed_gy": 56.0, "d95_gy": 53.1})
    for d95_gy, flags in ((53.21, ()), (53.19, ("cold",))):
        targets = {**measured.targets, "PTV56": low.model_copy(update={"d95_gy": d95_gy})}
        assert flags_of(measured.model_copy(update={"targets": targets}), dominated=False) == flags


def test_a_plan_is_dominated_by_one_of_its_beams_that_is_worse_by_rounding_alone() -> None:
    better, worse = libraries.measures(parotid_gy=15.0, cord_gy=10.05), libraries.measures(parotid_gy=20.0)
    found = plan_flags({"5-drawn-01": ("5", better), "5-sparing": ("5", worse), "9-sparing": ("9", worse)})
    assert found == {"5-drawn-01": (), "5-sparing": ("dominated",), "9-sparing": ()}
    price = libraries.measures(parotid_gy=15.0, cord_gy=10.15)
    assert set(plan_flags({"5-drawn-01": ("5", price), "5-sparing": ("5", worse)}).values()) == {()}


def plan(d95_gy: float, hottest_gy: float) -> PlanMeasures:
    return libraries.measures(d95_gy=d95_gy).model_copy(update={"hottest_gy": hottest_gy})
