"""DVH calls of a plan against a box in a dose that rises linearly: every answer is a straight line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pytest

from bridge.rt.volume import Dose
from esapi_stub.enums import DoseValuePresentation, PlanSetupApprovalStatus, PlanType, VolumePresentation
from esapi_stub.plan import attach_dose
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue
from tests.esapi_stub.worlds import SET_UID, World, world
from tests.solids import grid_around, linear_dose

GY, CGY, PERCENT = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy, DoseValue.DoseUnit.Percent
ABSOLUTE, RELATIVE = DoseValuePresentation.Absolute, DoseValuePresentation.Relative
PERCENT_OF_VOLUME, CC = VolumePresentation.Relative, VolumePresentation.AbsoluteCm3

LOWEST_GY, HIGHEST_GY = 35.0, 45.0
"""Organ from x = 20 to 40 mm, dose 25 Gy + 0.5 Gy/mm * x."""
ORGAN_CC = 24.0
WITHIN_GY = 0.05
"""The samples of the DVH lie 0.6 mm apart, 0.3 Gy in this dose."""


def ramp() -> Dose:
    return linear_dose(grid_around(48.0, (3.0, 3.0, 3.0)), (0.5, 0.0, 0.0), at_origin_gy=25.0)


def with_ramp(unit: DoseValue.DoseUnit) -> Iterator[World]:
    with world(unit) as w:
        attach_dose(w.plan, ramp())
        yield w


@pytest.fixture
def gray() -> Iterator[World]:
    yield from with_ramp(GY)


@pytest.fixture
def centigray() -> Iterator[World]:
    yield from with_ramp(CGY)


@pytest.mark.parametrize("volume_percent", [5.0, 20.0, 50.0, 80.0, 95.0])
def test_dose_at_volume(gray: World, centigray: World, volume_percent: float) -> None:
    expected_gy = HIGHEST_GY - (HIGHEST_GY - LOWEST_GY) * volume_percent / 100.0
    plan, organ = gray.plan, gray["Organ"]
    by_percent = plan.GetDoseAtVolume(organ, volume_percent, PERCENT_OF_VOLUME, ABSOLUTE)
    by_cc = plan.GetDoseAtVolume(organ, volume_percent / 100.0 * ORGAN_CC, CC, ABSOLUTE)
    relative = plan.GetDoseAtVolume(organ, volume_percent, PERCENT_OF_VOLUME, RELATIVE)
    in_centigray = centigray.plan.GetDoseAtVolume(centigray["Organ"], volume_percent, PERCENT_OF_VOLUME, ABSOLUTE)
    assert (by_percent.Unit, by_cc.Unit, relative.Unit, in_centigray.Unit) == (GY, GY, PERCENT, CGY)
    assert by_percent.Dose == pytest.approx(expected_gy, abs=WITHIN_GY)
    assert by_cc.Dose == pytest.approx(expected_gy, abs=WITHIN_GY)
    assert relative.Dose == pytest.approx(100.0 * by_percent.Dose / 70.0, rel=1e-9)
    assert in_centigray.Dose == pytest.approx(100.0 * by_percent.Dose, rel=1e-9)
    in_percent = centigray.plan.GetDoseAtVolume(centigray["Organ"], volume_percent, PERCENT_OF_VOLUME, RELATIVE)
    assert in_percent.Unit is PERCENT
    assert in_percent.Dose == pytest.approx(relative.Dose, rel=1e-9)


@pytest.mark.parametrize("dose_gy", [30.0, 36.0, 40.0, 44.0, 50.0])
def test_volume_at_dose(gray: World, centigray: World, dose_gy: float) -> None:
    part = min(max((HIGHEST_GY - dose_gy) / (HIGHEST_GY - LOWEST_GY), 0.0), 1.0)
    plan, organ = gray.plan, gray["Organ"]
    for dose in (DoseValue(dose_gy, GY), DoseValue(100.0 * dose_gy / 70.0, PERCENT)):
        assert plan.GetVolumeAtDose(organ, dose, PERCENT_OF_VOLUME) == pytest.approx(100.0 * part, abs=0.5)
        assert plan.GetVolumeAtDose(organ, dose, CC) == pytest.approx(ORGAN_CC * part, abs=0.12)
    in_centigray = DoseValue(100.0 * dose_gy, CGY)
    assert centigray.plan.GetVolumeAtDose(centigray["Organ"], in_centigray, CC) == pytest.approx(
        ORGAN_CC * part, abs=0.12
    )


def test_a_dose_in_the_other_unit_is_refused(gray: World) -> None:
    with pytest.raises(HostException) as caught:
        gray.plan.GetVolumeAtDose(gray["Organ"], DoseValue(4000.0, CGY), CC)
    assert caught.value.rule.name == "dose-unit"


def test_the_cumulative_curve_and_its_statistics(gray: World) -> None:
    data = gray.plan.GetDVHCumulativeData(gray["Organ"], ABSOLUTE, PERCENT_OF_VOLUME, 0.5)
    assert data is not None
    assert [point.DoseValue.Dose for point in data.CurveData[:3]] == [0.0, 0.5, 1.0]
    for point in data.CurveData:
        expected = 10.0 * (HIGHEST_GY - point.DoseValue.Dose)
        assert point.Volume == pytest.approx(min(max(expected, 0.0), 100.0), abs=0.5)
        assert (point.VolumeUnit, point.DoseValue.Unit) == ("%", GY)
    assert data.CurveData[-1].Volume == 0.0
    assert data.MeanDose.Dose == pytest.approx(40.0, abs=0.01)
    assert data.MedianDose.Dose == pytest.approx(40.0, abs=WITHIN_GY)
    assert data.MinDose.Dose == pytest.approx(LOWEST_GY, abs=0.05)
    assert data.MaxDose.Dose == pytest.approx(HIGHEST_GY, abs=0.05)
    assert data.StdDev == pytest.approx(10.0 / math.sqrt(12.0), abs=0.01)
    assert data.Volume == pytest.approx(ORGAN_CC, rel=1e-6)
    assert data.Coverage == 1.0


def test_the_curve_in_percent_and_cc(gray: World) -> None:
    data = gray.plan.GetDVHCumulativeData(gray["Organ"], RELATIVE, CC, 1.0)
    assert data is not None
    at_mean = data.CurveData[57]
    assert (at_mean.DoseValue.Dose, at_mean.DoseValue.Unit, at_mean.VolumeUnit) == (57.0, PERCENT, "cm3")
    assert at_mean.Volume == pytest.approx(ORGAN_CC * (45.0 - 0.57 * 70.0) / 10.0, abs=0.12)
    assert data.MeanDose.Dose == pytest.approx(100.0 * 40.0 / 70.0, abs=0.02)


def test_without_a_dose_or_a_contour_there_is_no_dvh(gray: World) -> None:
    plan, organ, empty = gray.plan, gray["Organ"], gray["NotDrawn"]
    assert plan.GetDVHCumulativeData(empty, ABSOLUTE, PERCENT_OF_VOLUME, 0.1) is None
    assert plan.GetDVHCumulativeData(organ, ABSOLUTE, PERCENT_OF_VOLUME, 0.0) is None
    attach_dose(plan, None)
    assert plan.Dose is None
    assert not plan.IsDoseValid
    assert plan.GetDVHCumulativeData(organ, ABSOLUTE, PERCENT_OF_VOLUME, 0.1) is None
    assert plan.GetDoseAtVolume(organ, 50.0, PERCENT_OF_VOLUME, ABSOLUTE).IsUndefined()
    assert math.isnan(plan.GetVolumeAtDose(organ, DoseValue(20.0, GY), CC))


def test_without_a_prescription_percentages_are_undefined() -> None:
    with world(fractions=None) as w:
        attach_dose(w.plan, ramp())
        assert w.plan.TotalDose.IsUndefined()
        assert w.plan.GetDVHCumulativeData(w["Organ"], RELATIVE, PERCENT_OF_VOLUME, 1.0) is None
        assert w.plan.GetDoseAtVolume(w["Organ"], 50.0, PERCENT_OF_VOLUME, RELATIVE).IsUndefined()
        assert w.plan.GetDoseAtVolume(w["Organ"], 50.0, PERCENT_OF_VOLUME, ABSOLUTE).Dose == pytest.approx(40, abs=0.05)


def test_a_new_plan(gray: World) -> None:
    plan = gray.plan
    assert plan.ApprovalStatus is PlanSetupApprovalStatus.UnApproved
    assert plan.PlanType is PlanType.ExternalBeam
    assert (plan.NumberOfFractions, plan.TreatmentPercentage) == (35, 1.0)
    assert plan.DosePerFraction.Equals(DoseValue(2.0, GY))
    assert plan.TotalDose.Equals(DoseValue(70.0, GY))
    assert plan.StructureSet.UID == SET_UID
    assert gray.course.ExternalPlanSetups == gray.course.PlanSetups == (plan,)


def test_no_two_plans_share_a_uid(gray: World) -> None:
    plans = [gray.plan, gray.course.AddExternalPlanSetup(gray.structure_set)]
    plans.append(gray.patient.AddCourse().AddExternalPlanSetup(gray.structure_set))
    uids = {plan.UID for plan in plans}
    assert len(uids) == 3
    assert all(re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", uid) for uid in uids)
