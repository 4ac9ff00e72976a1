"""Doses with units, DVH points, vectors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import pytest

from esapi_stub.rules import ArgumentException, ArithmeticException, Basis
from esapi_stub.values import DoseValue, DVHPoint, VVector

GY, CGY, PERCENT = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy, DoseValue.DoseUnit.Percent


def gy(value: float) -> DoseValue:
    return DoseValue(value, GY)


@pytest.mark.parametrize(("text", "unit"), [("Gy", GY), ("cGy", CGY), ("%", PERCENT)])
def test_a_unit_may_be_given_as_text_and_comes_back_as_text(text: str, unit: DoseValue.DoseUnit) -> None:
    dose = DoseValue(12.5, text)
    assert (dose.Dose, dose.Unit, dose.UnitAsString) == (12.5, unit, text)
    assert dose.IsAbsoluteDoseValue is (unit is not PERCENT)
    assert dose.IsRelativeDoseValue is (unit is PERCENT)


@pytest.mark.parametrize("text", ["gy", "GY", "Gray", "percent", "", "mGy"])
def test_a_unit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentException) as caught:
        DoseValue(1.0, text)
    assert caught.value.rule.name == "unknown-unit"


def test_arithmetic_within_one_unit() -> None:
    assert (gy(60.0) + gy(10.0)).Dose == 70.0
    assert (gy(60.0) - gy(10.0)).Dose == 50.0
    assert (gy(2.0) * 35).Dose == 70.0
    assert (35 * gy(2.0)).Dose == 70.0
    assert (gy(70.0) + gy(1.0)).Unit is GY
    per_fraction = gy(70.0) / 35
    assert isinstance(per_fraction, DoseValue)
    assert (per_fraction.Dose, per_fraction.Unit) == (2.0, GY)
    assert gy(35.0) / gy(70.0) == 0.5


def test_order_within_one_unit() -> None:
    assert gy(1.0) < gy(2.0) <= gy(2.0)
    assert gy(3.0) > gy(2.0) >= gy(2.0)
    assert gy(2.0) == gy(2.0)
    assert gy(2.0) != gy(2.1)
    assert not gy(2.0) < gy(2.0)
    assert len({gy(2.0), gy(2.0), gy(3.0)}) == 2
    assert gy(2.0) != "2 Gy"


MIXING = [
    operator.add,
    operator.sub,
    operator.truediv,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("mix", MIXING)
@pytest.mark.parametrize(("one", "other"), [(GY, CGY), (CGY, GY), (GY, PERCENT), (PERCENT, CGY)])
def test_units_are_never_mixed(
    mix: Callable[[DoseValue, DoseValue], object], one: DoseValue.DoseUnit, other: DoseValue.DoseUnit
) -> None:
    with pytest.raises(ArithmeticException) as caught:
        mix(DoseValue(70.0, one), DoseValue(7000.0, other))
    assert isinstance(caught.value, ArithmeticError)
    assert caught.value.rule.basis is Basis.DOCUMENTED


def test_an_undefined_dose_is_like_nan() -> None:
    undefined = DoseValue.UndefinedDose()
    assert undefined.IsUndefined()
    assert not undefined.IsAbsoluteDoseValue
    assert undefined != DoseValue.UndefinedDose()
    assert undefined.Equals(DoseValue.UndefinedDose())
    assert not undefined.Equals(gy(0.0))
    assert not gy(0.0).Equals(undefined)
    assert not undefined < gy(1.0)
    assert not undefined > gy(1.0)
    assert (gy(1.0) + undefined).IsUndefined()


def test_equals_asks_without_raising() -> None:
    assert gy(1.0).Equals(gy(1.0))
    assert not gy(1.0).Equals(DoseValue(1.0, CGY))
    assert not gy(1.0).Equals(1.0)


def test_a_dvh_point_holds_its_dose_and_volume() -> None:
    point = DVHPoint(gy(20.0), 33.0, "%")
    assert (point.DoseValue.Dose, point.Volume, point.VolumeUnit) == (20.0, 33.0, "%")


def test_vectors() -> None:
    a, b = VVector(1.0, 2.0, 2.0), VVector(4.0, 6.0, 2.0)
    assert a.Length == 3.0
    assert VVector.Distance(a, b) == 5.0
    assert a.ScalarProduct(b) == 20.0
    assert (b - a, a + b) == (VVector(3.0, 4.0, 0.0), VVector(5.0, 8.0, 4.0))
    a[1] = 7.0
    assert [a[0], a[1], a[2]] == [1.0, 7.0, 2.0]
    assert math.isclose(VVector(0.0, 3.0, 4.0).Length, 5.0)
