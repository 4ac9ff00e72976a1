"""Beams and objectives for plans of the stub's tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from esapi_stub.beams import Beam, ExternalBeamMachineParameters
from esapi_stub.enums import GantryDirection, OptimizationObjectiveOperator
from esapi_stub.planning import QUIET, Watch
from esapi_stub.values import DoseValue, VRect, VVector
from tests.esapi_stub.fake_engine import FakeEngine
from tests.esapi_stub.worlds import World, water, world

UPPER, LOWER = OptimizationObjectiveOperator.Upper, OptimizationObjectiveOperator.Lower
MLC_ID = "Millennium 120"
JAWS = VRect(-50.0, -60.0, 50.0, 60.0)
ORIGIN = VVector(0.0, 0.0, 0.0)
WEIGHTS = tuple(n / 12 for n in range(13))


def machine(technique: str = "STATIC", mode: str | None = None) -> ExternalBeamMachineParameters:
    return ExternalBeamMachineParameters("Linac", "6X", 600, technique, mode)


def static(w: World, gantry_deg: float = 0.0, isocentre: VVector = ORIGIN) -> Beam:
    return w.plan.AddStaticBeam(machine(), JAWS, 0.0, gantry_deg, 0.0, isocentre)


def arc(
    w: World, start: float = 181.0, stop: float = 179.0, direction: GantryDirection = GantryDirection.Clockwise
) -> Beam:
    return w.plan.AddVMATBeam(machine("ARC"), WEIGHTS, 30.0, start, stop, direction, 0.0, ORIGIN)


def objectives(w: World) -> None:
    """One of each kind."""
    setup = w.plan.OptimizationSetup
    setup.AddPointObjective(w["PTV"], LOWER, w.gray(70.0), 98.0, 120.0)
    setup.AddPointObjective(w["PTV"], UPPER, w.gray(74.0), 0.0, 110.0)
    setup.AddMeanDoseObjective(w["Organ"], w.gray(20.0), 50.0)
    setup.AddEUDObjective(w["Organ"], UPPER, w.gray(30.0), 4.0, 40.0)
    setup.AddNormalTissueObjective(80.0, 5.0, 105.0, 60.0, 0.05)


@contextmanager
def planned(
    gantries: Iterable[float] = (0.0, 180.0),
    unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy,
    watch: Watch = QUIET,
) -> Iterator[tuple[World, FakeEngine]]:
    """A plan on water with fixed beams and objectives, and the engine behind it."""
    engine = FakeEngine()
    with world(unit, engine=engine, watch=watch, ct=water()) as w:
        for gantry in gantries:
            static(w, gantry)
        objectives(w)
        yield w, engine


def calculated(w: World) -> None:
    """Optimize and calculate; everything must succeed."""
    assert w.plan.Optimize(10, mlcId=MLC_ID).Success
    assert w.plan.CalculateLeafMotions().Success
    assert w.plan.CalculateDose().Success
