"""Objectives and parameters: what goes in comes out, in gray and in centigray."""

from __future__ import annotations

import pytest

from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.optimization import (
    OptimizationEUDObjective,
    OptimizationMeanDoseObjective,
    OptimizationNormalTissueParameter,
    OptimizationPointObjective,
    OptimizationSetup,
)
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue
from tests.esapi_stub.worlds import SET_UID, structures, world

UPPER = OptimizationObjectiveOperator.Upper
GY, CGY = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy


def test_no_call_adds_a_line() -> None:
    assert not hasattr(OptimizationSetup, "AddLineObjective")


@pytest.mark.parametrize(("unit", "scale"), [(GY, 1.0), (CGY, 100.0)])
def test_objectives_come_back_with_the_numbers_they_were_given(unit: DoseValue.DoseUnit, scale: float) -> None:
    with world(unit) as w:
        setup = w.plan.OptimizationSetup
        point = setup.AddPointObjective(w["Organ"], UPPER, w.dose(20.0 * scale), 33.0, 80.0)
        mean = setup.AddMeanDoseObjective(w["Organ"], w.dose(12.0 * scale), 50.0)
        eud = setup.AddEUDObjective(w["PTV"], OptimizationObjectiveOperator.Lower, w.dose(69.0 * scale), -20.0, 90.0)
        assert setup.Objectives == (point, mean, eud)
        assert isinstance(point, OptimizationPointObjective)
        assert (point.StructureId, point.Operator, point.Dose.Dose, point.Dose.Unit) == (
            "Organ",
            UPPER,
            20.0 * scale,
            unit,
        )
        assert (point.Volume, point.Priority) == (33.0, 80.0)
        assert isinstance(mean, OptimizationMeanDoseObjective)
        assert (mean.Dose.Dose, mean.Priority) == (12.0 * scale, 50.0)
        assert isinstance(eud, OptimizationEUDObjective)
        assert (eud.ParameterA, eud.Dose.Dose, eud.Structure) == (-20.0, 69.0 * scale, w["PTV"])
        setup.RemoveObjective(mean)
        assert setup.Objectives == (point, eud)
        assert w.plan.TotalDose.Equals(w.dose(70.0 * scale))


def test_a_system_in_centigray_takes_no_gray() -> None:
    with world(CGY) as w, pytest.raises(HostException) as caught:
        w.plan.OptimizationSetup.AddMeanDoseObjective(w["Organ"], DoseValue(20.0, GY), 50.0)
    assert caught.value.rule.name == "dose-unit"
    assert "cGy, got 20 Gy" in str(caught.value)


def test_a_plan_has_one_normal_tissue_objective() -> None:
    with world() as w:
        setup = w.plan.OptimizationSetup
        setup.AddAutomaticNormalTissueObjective(80.0)
        manual = setup.AddNormalTissueObjective(100.0, 5.0, 105.0, 60.0, 0.05)
        assert setup.Parameters == (manual,)
        assert isinstance(manual, OptimizationNormalTissueParameter)
        assert not manual.IsAutomatic
        assert (manual.Priority, manual.DistanceFromTargetBorderInMM) == (100.0, 5.0)
        assert (manual.StartDosePercentage, manual.EndDosePercentage, manual.FallOff) == (105.0, 60.0, 0.05)
        again = setup.AddNormalTissueObjective(90.0, 3.0, 100.0, 50.0, 0.1)
        assert setup.Parameters == (again,)
        automatic = setup.AddAutomaticNormalTissueObjective(70.0)
        assert setup.Parameters == (automatic,)
        assert (automatic.IsAutomatic, automatic.Priority) == (True, 70.0)
        setup.RemoveParameter(automatic)
        assert setup.Parameters == ()


def test_nothing_changes_before_begin_modifications() -> None:
    database = Database({"P": [StoredStructureSet("CT", SET_UID, structures())]})
    with Application.CreateApplication(database) as application:
        assert application.OpenPatientById("Q") is None
        patient = application.OpenPatientById("P")
        assert patient is not None
        with pytest.raises(HostException) as caught:
            patient.AddCourse()
        assert caught.value.rule.name == "begin-modifications"
        assert patient.Courses == ()
        patient.BeginModifications()
        course = patient.AddCourse()
        assert patient.Courses == (course,)


def test_a_disposed_application_leaves_room_for_the_next() -> None:
    database = Database({"P": [StoredStructureSet("CT", SET_UID, structures())]})
    Application.CreateApplication(database).Dispose()
    with Application.CreateApplication(database) as application:
        assert application.OpenPatientById("P") is not None
        application.ClosePatient()
        assert application.OpenPatientById("P") is not None
