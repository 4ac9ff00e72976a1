"""Plans of the stub to hand objectives over to, and the same plans as a real host would show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from bridge.rt.structure import Structure as RtStructure
from bridge.rt.volume import CtVolume, Dose
from esapi_stub import enums
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.plan import ExternalPlanSetup, attach_dose
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue
from tests.esapi_stub.fake_engine import FakeEngine
from tests.solids import FRAME, grid_around
from tests.tps.objective_sets import SET_UID, structures

GY, CGY = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy


def image(frame: str = FRAME) -> CtVolume:
    grid = grid_around(45.0, (3.0, 3.0, 3.0))
    grid = type(grid)(grid.shape, grid.affine, frame)
    return CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)


@contextmanager
def plan_on(
    drawn: Sequence[RtStructure],
    unit: DoseValue.DoseUnit = GY,
    *,
    uid: str = SET_UID,
    frame: str = FRAME,
    fractions: int | None = 35,
    others: Sequence[StoredStructureSet] = (),
) -> Iterator[ExternalPlanSetup]:
    """A plan of 70 Gy on a structure set with its image, of a patient who may be changed."""
    stored = StoredStructureSet("CT", uid, drawn, image(frame))
    with Application.CreateApplication(Database({"P": [stored, *others]}, unit, FakeEngine())) as application:
        patient = application.OpenPatientById("P")
        assert patient is not None
        patient.BeginModifications()
        plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets[0])
        if fractions is not None:
            plan.SetPrescription(fractions, DoseValue(70.0 / fractions * (1.0 if unit is GY else 100.0), unit), 1.0)
        yield plan


def give_dose(plan: ExternalPlanSetup) -> None:
    ct = image()
    attach_dose(plan, Dose(np.full(ct.grid.shape, 50.0, dtype=np.float32), ct.grid))


class ForeignDoseUnit(Enum):
    """As .NET has it: a type of its own."""

    Unknown = 0
    Gy = 1
    cGy = 2  # noqa: N815
    Percent = 3


class ForeignDoseValue:
    DoseUnit = ForeignDoseUnit

    def __init__(self, dose: float, unit: ForeignDoseUnit) -> None:
        self.Dose, self.Unit, self.UnitAsString = dose, unit, unit.name

    def IsUndefined(self) -> bool:  # noqa: N802 - the name is ESAPI's
        return bool(np.isnan(self.Dose))


class _Named(Enum):
    def __str__(self) -> str:
        return self.name


def _foreign_enum(known: type[Enum]) -> Any:
    return _Named(known.__name__, {member.name.rstrip("_"): member.value for member in known})  # type: ignore[call-overload]


TYPES = SimpleNamespace(
    DoseValue=ForeignDoseValue,
    **{
        known.__name__: _foreign_enum(known)
        for known in (enums.OptimizationObjectiveOperator, enums.PlanSetupApprovalStatus, enums.CalculationType)
    },
)
"""The namespace ``VMS.TPS.Common.Model.Types`` of a host that is not the stub."""


class Foreign:
    """An object of the stub behind a door that speaks foreign doses and enumerations, and throws foreign exceptions.

    Parameters
    ----------
    inner
        The stub's.
    changes
        What this object says otherwise.
    """

    def __init__(self, inner: Any, **changes: Any) -> None:
        vars(self).update(inner=inner, changes=changes)

    def __getattr__(self, name: str) -> Any:
        if name in self.changes:
            return self.changes[name]
        value = getattr(self.inner, name)
        if not callable(value):
            return _outward(value)

        def call(*arguments: Any) -> Any:
            try:
                return _outward(value(*map(_inward, arguments)))
            except HostException as error:
                raise LookupError(f"System.ArgumentException: {error}") from error  # anything but the stub's own

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            setattr(self.inner, name, _inward(value))
        except HostException as error:
            raise LookupError(f"System.ApplicationException: {error}") from error


def _outward(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | Foreign):
        return value
    if isinstance(value, dict):
        return [SimpleNamespace(Key=key, Value=held) for key, held in value.items()]
    if isinstance(value, tuple | list):
        return list(map(_outward, value))
    if isinstance(value, DoseValue):
        return ForeignDoseValue(value.Dose, ForeignDoseUnit[value.Unit.name])
    if isinstance(value, Enum):
        return getattr(getattr(TYPES, type(value).__name__), value.name.rstrip("_"))
    return Foreign(value)


def _inward(value: Any) -> Any:
    assert not isinstance(value, DoseValue), "a dose of the stub got out"
    if isinstance(value, Foreign):
        return value.inner
    if isinstance(value, ForeignDoseValue):
        return DoseValue(value.Dose, DoseValue.DoseUnit[value.Unit.name])
    if isinstance(value, _Named):
        kind = getattr(enums, type(value).__name__)
        return kind[value.name] if value.name in kind.__members__ else kind[f"{value.name}_"]
    assert not isinstance(value, Enum), "an enumeration of the stub got out"
    return value


__all__ = ["CGY", "GY", "TYPES", "Foreign", "give_dose", "image", "plan_on", "structures"]
