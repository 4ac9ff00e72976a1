"""Objectives into the stand-in for Eclipse: they arrive with their numbers, or the receipt says why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bridge.rt.derive import ring, subtract
from bridge.rt.structure import Structure as RtStructure
from bridge.tps.esapi_port import LINE_VOLUMES_PERCENT, EsapiPort, apply_to_esapi
from bridge.tps.port import TpsPort
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.optimization import (
    OptimizationEUDObjective,
    OptimizationMeanDoseObjective,
    OptimizationNormalTissueParameter,
    OptimizationObjective,
    OptimizationPointObjective,
)
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.structure_set import StructureSet
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import CaseReference, DerivedStructure
from objective_extraction.objectives import NormalTissueObjective, Objective
from tests.solids import empty
from tests.tps.objective_sets import SET_UID, asked, extracted, geud, line, mean, point, structures

GY, CGY = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy
ROW = tuple[str, str, str | None, float, float | None, float]
"""Structure, kind, operator, dose in Gy, volume or a, priority."""


@contextmanager
def plan_on(drawn: Sequence[RtStructure], unit: DoseValue.DoseUnit = GY) -> Iterator[ExternalPlanSetup]:
    """A prescribed plan of a patient who may be changed."""
    database = Database({"P": [StoredStructureSet("CT", SET_UID, drawn)]}, unit)
    with Application.CreateApplication(database) as application:
        patient = application.OpenPatientById("P")
        assert patient is not None
        patient.BeginModifications()
        plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets[0])
        plan.SetPrescription(35, DoseValue(2.0 if unit is GY else 200.0, unit), 1.0)
        yield plan


def row_asked(objective: Objective) -> ROW:
    fields = vars(objective)
    return (
        objective.roi_name,
        objective.kind,
        fields.get("operator"),
        fields["dose_gy"],
        fields.get("volume_percent", fields.get("a")),
        objective.priority,
    )


def row_in_plan(objective: OptimizationObjective, per_gy: float = 1.0) -> ROW:
    name, priority = objective.StructureId, objective.Priority
    operator = objective.Operator.name.lower()
    match objective:
        case OptimizationPointObjective():
            return name, "point", operator, objective.Dose.Dose / per_gy, objective.Volume, priority
        case OptimizationMeanDoseObjective():
            return name, "mean", None, objective.Dose.Dose / per_gy, None, priority
        case OptimizationEUDObjective():
            return name, "geud", operator, objective.Dose.Dose / per_gy, objective.ParameterA, priority
        case _:
            raise AssertionError(objective)


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_every_extracted_objective_arrives_with_its_numbers(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    objectives = extracted()
    assert {objective.kind for objective in objectives.objectives} == {"point", "mean"}
    assert {recipe.operation for recipe in objectives.derived_structures} == {"subtract", "ring"}
    with plan_on(structures(), unit) as plan:
        receipt = EsapiPort(plan, unit).hand_over(objectives)
        in_plan = [row_in_plan(objective, per_gy) for objective in plan.OptimizationSetup.Objectives]
        assert {objective.Dose.Unit for objective in plan.OptimizationSetup.Objectives} == {unit}  # type: ignore[attr-defined]
    assert receipt.refused == ()
    for got, wanted in zip(in_plan, [row_asked(o) for o in objectives.objectives], strict=True):
        assert got[:3] == wanted[:3]
        assert got[3] == pytest.approx(wanted[3], rel=1e-12)
        assert got[4:] == wanted[4:]
    positions = [outcome.objective for outcome in receipt.added if outcome.objective is not None]
    assert positions == list(range(len(objectives.objectives)))
    assert (receipt.objectives_sha256, receipt.state) == (objectives.sha256, "applied")


def test_derived_structures_are_those_that_the_objectives_were_read_from() -> None:
    objectives = extracted()
    drawn = {structure.name: structure for structure in structures()}
    with plan_on(structures()) as plan:
        EsapiPort(plan).hand_over(objectives)
        made = {structure.Id: structure for structure in plan.StructureSet.Structures}
    assert len(objectives.derived_structures) == 3
    for recipe in objectives.derived_structures:
        of = [drawn[name] for name in recipe.of]
        if recipe.operation == "ring":
            assert recipe.inner_mm is not None
            assert recipe.outer_mm is not None
            assert recipe.within is not None
            expected = ring(
                of, inner_mm=recipe.inner_mm, outer_mm=recipe.outer_mm, within=drawn[recipe.within], number=0, name="R"
            )
        else:
            others = [drawn[name] for name in recipe.minus]
            expected = subtract(of[0], others, margin_mm=recipe.margin_mm or 0.0, number=0, name="S")
        (measured,) = StructureSet("CT", SET_UID, [expected], lambda: None).Structures
        assert made[recipe.name].Volume == pytest.approx(measured.Volume, rel=0.01)
    assert made["PTV56-PTV"].Volume == pytest.approx(20.0 * 20.0 * 60.0 / 1000.0, rel=1e-6)
    assert made["Parotid link-PTV"].Volume == pytest.approx(10.0 * 20.0 * 60.0 / 1000.0, rel=1e-6)


def test_a_gEUD_arrives_with_its_exponent() -> None:  # noqa: N802 - the quantity's name
    wanted = asked(geud(4, "Cord", 40.0, 12.0), geud(1, "PTV70", 69.0, -20.0, "lower"))
    with plan_on(structures()) as plan:
        receipt = EsapiPort(plan).hand_over(wanted)
        assert [row_in_plan(objective) for objective in plan.OptimizationSetup.Objectives] == [
            ("Cord", "geud", "upper", 40.0, 12.0, 60.0),
            ("PTV70", "geud", "lower", 69.0, -20.0, 60.0),
        ]
    assert receipt.added[0].what == "gEUD (a = 12) upper 40 Gy"


def test_a_line_arrives_as_points_that_share_its_priority() -> None:
    """The curve falls from 40 Gy at 0 % to 0 Gy at 80 %: the points lie on it, those at 0 Gy are left out."""
    with plan_on(structures()) as plan:
        receipt = EsapiPort(plan).hand_over(asked(line(4, "Cord", (80.0, 0.0), (0.0, 40.0))))
        points = plan.OptimizationSetup.Objectives
    volumes = [volume for volume in LINE_VOLUMES_PERCENT if volume < 80.0]
    assert [row_in_plan(objective)[4] for objective in points] == volumes
    for objective in points:
        assert isinstance(objective, OptimizationPointObjective)
        assert objective.Operator is OptimizationObjectiveOperator.Upper
        assert objective.Dose.Dose == pytest.approx(40.0 * (1.0 - objective.Volume / 80.0), abs=1e-9)
    assert sum(objective.Priority for objective in points) == pytest.approx(70.0)
    (outcome,) = receipt.added
    assert outcome.what == "upper line of 2 points, sampled"


def test_a_line_that_asks_for_nothing_is_refused() -> None:
    with plan_on(structures()) as plan:
        receipt = EsapiPort(plan).hand_over(asked(line(4, "Cord", (100.0, 0.0), (0.0, 0.0))))
        assert plan.OptimizationSetup.Objectives == ()
    assert receipt.added == ()
    assert "0 Gy" in receipt.refused[0].reason


def test_a_structure_that_the_plan_lacks_is_refused_and_the_others_are_taken() -> None:
    wanted = asked(point(4, "Cord", 45.0, 0.0), mean(3, "Parotid links", 26.0), point(1, "PTV70", 70.0, 95.0, "lower"))
    receipt = apply_to_esapi(wanted, [structure for structure in structures() if structure.number != 3])
    assert [outcome.objective for outcome in receipt.added] == [0, 2]
    (refused,) = receipt.refused
    assert (refused.objective, refused.structure, refused.what) == (1, "Parotid links", "mean at most 26 Gy")
    assert refused.reason == "the plan's structure set has no ROI 3"


def test_a_number_that_means_another_structure_is_refused() -> None:
    renumbered = [replace(s, name="Cord") if s.number == 3 else s for s in structures() if s.number != 4]
    receipt = apply_to_esapi(asked(mean(3, "Parotid links", 26.0)), renumbered)
    assert receipt.added == ()
    assert receipt.refused[0].reason == "ROI 3 is 'Cord' here, not 'Parotid links'"


def test_a_structure_without_contours_is_refused_by_the_host() -> None:
    drawn = [*(s for s in structures() if s.number != 4), empty(number=4, name="Cord")]
    receipt = apply_to_esapi(asked(point(4, "Cord", 45.0, 0.0)), drawn)
    assert receipt.added == ()
    assert "structure-empty, our guess" in receipt.refused[0].reason


def test_without_the_body_the_ring_and_its_objectives_are_refused() -> None:
    receipt = apply_to_esapi(extracted(), [s for s in structures() if s.kind != "external"])
    ring_objectives = [o for o in extracted().objectives if o.roi_name == "Ring_PTV"]
    assert {outcome.structure for outcome in receipt.refused} == {"Ring_PTV"}
    assert len(receipt.refused) == 1 + len(ring_objectives) > 1
    assert "'BODY'" in receipt.refused[0].reason
    assert receipt.refused[1].reason == "the derived structure 'Ring_PTV' could not be made"


RING = DerivedStructure("Ring_PTV", "ring", ("PTV70",), within="BODY", inner_mm=3.0, outer_mm=30.0)


def test_a_derived_structure_never_overwrites_one_that_was_drawn() -> None:
    """A site may have an organ of that name: its contours stay, and the objectives meant for the ring are refused."""
    drawn = [replace(s, name="Ring_PTV") if s.name == "Cord" else s for s in structures()]
    with plan_on(drawn) as plan:
        organ = next(s for s in plan.StructureSet.Structures if s.Id == "Ring_PTV")
        before = organ.Volume
        receipt = EsapiPort(plan).hand_over(asked(point(None, "Ring_PTV", 45.0, 0.0), derived=[RING]))
        assert organ.Volume == before
        assert plan.OptimizationSetup.Objectives == ()
    assert [outcome.objective for outcome in receipt.refused] == [None, 0]
    assert receipt.added == ()


def test_a_second_hand_over_replaces_the_first() -> None:
    wanted = asked(point(4, "Cord", 45.0, 0.0), point(None, "Ring_PTV", 45.0, 0.0), derived=[RING])
    with plan_on(structures()) as plan:
        port: TpsPort = EsapiPort(plan)
        port.hand_over(wanted)
        first = [row_in_plan(objective) for objective in plan.OptimizationSetup.Objectives]
        volumes = [structure.Volume for structure in plan.StructureSet.Structures]
        again = port.hand_over(wanted)
        assert [row_in_plan(objective) for objective in plan.OptimizationSetup.Objectives] == first
        assert [structure.Volume for structure in plan.StructureSet.Structures] == volumes
    assert again.refused == ()
    assert again.notes == ("2 objectives that were in the plan were removed.",)


@pytest.mark.parametrize(
    "wanted",
    [NormalTissueObjective(100.0), NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.05)],
    ids=["automatic", "manual"],
)
def test_the_normal_tissue_objective_arrives(wanted: NormalTissueObjective) -> None:
    with plan_on(structures()) as plan:
        receipt = EsapiPort(plan).hand_over(asked(point(4, "Cord", 45.0, 0.0), normal_tissue=wanted))
        (parameter,) = plan.OptimizationSetup.Parameters
    assert isinstance(parameter, OptimizationNormalTissueParameter)
    assert (parameter.Priority, parameter.IsAutomatic) == (wanted.priority, wanted.is_automatic)
    if not wanted.is_automatic:
        assert parameter.DistanceFromTargetBorderInMM == wanted.distance_mm
        assert parameter.StartDosePercentage == wanted.start_dose_percent
        assert parameter.EndDosePercentage == wanted.end_dose_percent
        assert parameter.FallOff == wanted.fall_off_per_mm
    assert receipt.added[-1].what == "normal tissue objective"


def test_a_system_set_to_another_unit_takes_nothing() -> None:
    with plan_on(structures(), CGY) as plan:
        receipt = EsapiPort(plan, GY).hand_over(asked(point(4, "Cord", 45.0, 0.0)))
        assert plan.OptimizationSetup.Objectives == ()
    assert "it is set to cGy, got 45 Gy (dose-unit, documented" in receipt.refused[0].reason


def test_unknown_fractions_are_said_and_change_no_objective() -> None:
    known, unknown = (apply_to_esapi(extracted(n), structures()) for n in (35, None))
    assert [o.what for o in known.added] == [o.what for o in unknown.added]
    assert known.notes == ()
    (note,) = unknown.notes
    assert "fractions is not known" in note


def test_the_longest_uid_of_dicom_leaves_room_for_that_of_the_plan() -> None:
    longest = "1." + "2" * 62
    receipt = apply_to_esapi(
        asked(point(4, "Cord", 45.0, 0.0), case=CaseReference(longest, "2.25.2", "2.25.1")), structures()
    )
    assert receipt.plan_uid is not None
    assert len(receipt.plan_uid) <= 64
    assert receipt.plan_uid != longest
