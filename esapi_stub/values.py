"""Value types of VMS.TPS.Common.Model.Types: doses with their unit, DVH points, vectors, rectangles, metersets."""

# ruff: noqa: N802, N803, N815 - the names are ESAPI's

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

from esapi_stub.enums import DosimeterUnit
from esapi_stub.rules import ArgumentException, ArithmeticException

__all__ = ["DVHPoint", "DoseValue", "MetersetValue", "VRect", "VVector"]

Number = TypeVar("Number", int, float)


class DoseValue:
    """A dose with its unit. Two doses in different units are neither added nor compared (documented).

    An undefined dose is like a NaN: it equals nothing by ``==``, itself by :meth:`Equals`.

    Parameters
    ----------
    value
        The number.
    unit
        A :class:`DoseValue.DoseUnit`, or its text: ``"Gy"``, ``"cGy"``, ``"%"``.
    """

    class DoseUnit(Enum):
        """Units of dose."""

        Unknown = 0
        Gy = 1
        cGy = 2
        Percent = 3

    def __init__(self, value: float, unit: DoseValue.DoseUnit | str) -> None:
        if isinstance(unit, str):
            named = {"Gy": self.DoseUnit.Gy, "cGy": self.DoseUnit.cGy, "%": self.DoseUnit.Percent}
            if unit not in named:
                raise ArgumentException("unknown-unit", f"got {unit!r}")
            unit = named[unit]
        self._dose = float(value)
        self._unit = unit

    @property
    def Dose(self) -> float:
        """The number."""
        return self._dose

    @property
    def Unit(self) -> DoseValue.DoseUnit:
        """The unit."""
        return self._unit

    @property
    def UnitAsString(self) -> str:
        """The unit as text."""
        return "%" if self._unit is self.DoseUnit.Percent else self._unit.name

    @property
    def ValueAsString(self) -> str:
        """The number as text; how many decimals the host gives is not known."""
        return "N/A" if self.IsUndefined() else f"{self._dose:g}"

    @property
    def IsAbsoluteDoseValue(self) -> bool:
        """Whether the unit is Gy or cGy."""
        return self._unit in (self.DoseUnit.Gy, self.DoseUnit.cGy)

    @property
    def IsRelativeDoseValue(self) -> bool:
        """Whether the unit is percent."""
        return self._unit is self.DoseUnit.Percent

    def IsUndefined(self) -> bool:
        """Whether there is no dose."""
        return math.isnan(self._dose)

    @staticmethod
    def UndefinedDose() -> DoseValue:
        """Give a dose that is none."""
        return DoseValue(math.nan, DoseValue.DoseUnit.Unknown)

    def Equals(self, other: object) -> bool:
        """Whether number and unit are the same; an undefined dose equals an undefined dose."""
        if not isinstance(other, DoseValue):
            return False
        if self.IsUndefined() or other.IsUndefined():
            return self.IsUndefined() and other.IsUndefined()
        return self._dose == other._dose and self._unit is other._unit

    def _number_of(self, other: DoseValue) -> float:
        if self._unit is not other._unit and not (self.IsUndefined() or other.IsUndefined()):
            raise ArithmeticException("dose-unit-mixed", f"got {self} and {other}")
        return other._dose

    def __eq__(self, other: object) -> bool:
        return self._dose == self._number_of(other) if isinstance(other, DoseValue) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._dose, self._unit))

    def __lt__(self, other: DoseValue) -> bool:
        return self._dose < self._number_of(other)

    def __le__(self, other: DoseValue) -> bool:
        return self._dose <= self._number_of(other)

    def __gt__(self, other: DoseValue) -> bool:
        return self._dose > self._number_of(other)

    def __ge__(self, other: DoseValue) -> bool:
        return self._dose >= self._number_of(other)

    def __add__(self, other: DoseValue) -> DoseValue:
        return DoseValue(self._dose + self._number_of(other), self._unit)

    def __sub__(self, other: DoseValue) -> DoseValue:
        return DoseValue(self._dose - self._number_of(other), self._unit)

    def __mul__(self, factor: float) -> DoseValue:
        return DoseValue(self._dose * factor, self._unit)

    __rmul__ = __mul__

    def __truediv__(self, other: float | DoseValue) -> float | DoseValue:
        """Divide by a number to get a dose, by a dose of the same unit to get a number."""
        if isinstance(other, DoseValue):
            return self._dose / self._number_of(other)
        return DoseValue(self._dose / other, self._unit)

    def __repr__(self) -> str:
        return f"{self.ValueAsString} {self.UnitAsString}"


_DoseValue: TypeAlias = DoseValue
"""The same class under a name that a field of the same name does not hide."""


@dataclass(frozen=True, init=False)
class DVHPoint:
    """One point of a cumulative DVH: the volume that gets at least the dose. ``VolumeUnit`` is ``"%"`` or ``"cm3"``."""

    DoseValue: DoseValue
    Volume: float
    VolumeUnit: str

    def __init__(self, dose: _DoseValue, volume: float, volumeUnit: str) -> None:
        object.__setattr__(self, "DoseValue", dose)
        object.__setattr__(self, "Volume", volume)
        object.__setattr__(self, "VolumeUnit", volumeUnit)


@dataclass(init=False)
class VVector:
    """A position or direction in mm, DICOM patient coordinates."""

    x: float
    y: float
    z: float

    def __init__(self, xi: float, yi: float, zi: float) -> None:
        self.x, self.y, self.z = float(xi), float(yi), float(zi)

    def __getitem__(self, index: int) -> float:
        return (self.x, self.y, self.z)[index]

    def __setitem__(self, index: int, value: float) -> None:
        setattr(self, "xyz"[index], value)

    def __add__(self, other: VVector) -> VVector:
        return VVector(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: VVector) -> VVector:
        return VVector(self.x - other.x, self.y - other.y, self.z - other.z)

    @property
    def Length(self) -> float:
        """Euclidean length."""
        return math.sqrt(self.ScalarProduct(self))

    def ScalarProduct(self, left: VVector) -> float:
        """Give the dot product."""
        return self.x * left.x + self.y * left.y + self.z * left.z

    @staticmethod
    def Distance(left: VVector, right: VVector) -> float:
        """Give the distance between two positions."""
        return (left - right).Length


@dataclass(frozen=True, init=False)
class VRect(Generic[Number]):
    """A rectangle, of jaws in mm along the axes of the collimator (IEC 61217)."""

    X1: Number
    Y1: Number
    X2: Number
    Y2: Number

    def __init__(self, x1: Number, y1: Number, x2: Number, y2: Number) -> None:
        for name, value in zip(("X1", "Y1", "X2", "Y2"), (x1, y1, x2, y2), strict=True):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, init=False)
class MetersetValue:
    """How much a beam delivers."""

    Value: float
    Unit: DosimeterUnit

    def __init__(self, value: float, unit: DosimeterUnit) -> None:
        object.__setattr__(self, "Value", value)
        object.__setattr__(self, "Unit", unit)
