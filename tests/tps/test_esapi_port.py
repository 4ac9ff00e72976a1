"""Objectives into the stand-in for Eclipse: they arrive with their numbers, or the receipt says why not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bridge.rt.derive import ring, subtract
from bridge.tps.discard_dose import discard_dose
from bridge.tps.esapi_port import EsapiPort, apply_to_esapi
from bridge.tps.port import TpsPort
from bridge.tps.pyesapi_script import hand_over
from bridge.tps.terms import LINE_VOLUMES_PERCENT
from esapi_stub.enums import CalculationType, OptimizationObjectiveOperator
from esapi_stub.optimization import (
    OptimizationEUDObjective,
    OptimizationMeanDoseObjective,
    OptimizationNormalTissueParameter,
    OptimizationObjective,
    OptimizationPointObjective,
)
from esapi_stub.structure_set import StructureSet
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import CaseReference, DerivedStructure
from objective_extraction.objectives import NormalTissueObjective, Objective
from tests.tps.objective_sets import SET_UID, asked, extracted, geud, line, mean, point, structures
from tests.tps.worlds import CGY, GY, TYPES, Foreign, give_dose, plan_on

ROW = tuple[str, str, str | None, float, float | None, float]
"""Structure, kind, operator, dose in Gy, volume or a, priority."""


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
        receipt = EsapiPort(plan).hand_over(objectives)
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
    assert made["Parotid li_L-PTV"].Volume == pytest.approx(10.0 * 20.0 * 60.0 / 1000.0, rel=1e-6)


def test_a_remainder_keeps_its_margin_from_what_is_cut_away() -> None:
    """PTV56 goes on to 30 mm, PTV70 ends at 10 mm: with 5 mm between, 15 x 20 x 60 mm are left."""
    recipe = DerivedStructure("Rest", "subtract", ("PTV56",), minus=("PTV70",), margin_mm=5.0)
    with plan_on(structures()) as plan:
        EsapiPort(plan).hand_over(asked(point(None, "Rest", 20.0, 0.0), derived=[recipe]))
        (made,) = (structure for structure in plan.StructureSet.Structures if structure.Id == "Rest")
    assert made.Volume == pytest.approx(18.0, rel=0.02)


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


def test_a_line_of_which_the_host_refuses_a_point_is_not_in_the_plan_in_part() -> None:
    wanted = asked(line(4, "Cord", (80.0, 0.0), (0.0, 40.0)), mean(3, "Parotid links", 26.0))
    with plan_on(structures()) as plan:
        setup, calls = Foreign(plan.OptimizationSetup), []

        def add(*arguments: object) -> object:
            calls.append(arguments)
            if len(calls) == 3:
                raise LookupError("System.ArgumentException: no third point")
            return setup.AddPointObjective(*arguments)

        stubborn = Foreign(plan.OptimizationSetup, AddPointObjective=add)
        receipt = hand_over(wanted, Foreign(plan, OptimizationSetup=stubborn), TYPES)
        assert [row_in_plan(objective)[:2] for objective in plan.OptimizationSetup.Objectives] == [
            ("Parotid links", "mean")
        ]
    assert [(outcome.objective, outcome.reason[-14:]) for outcome in receipt.refused] == [(0, "no third point")]


RING = DerivedStructure("Ring_PTV", "ring", ("PTV70",), within="BODY", inner_mm=3.0, outer_mm=30.0)


def test_a_derived_structure_never_overwrites_one_that_was_drawn() -> None:
    """A site may have an organ of that name: its contours stay."""
    drawn = [replace(s, name="Ring_PTV") if s.name == "Cord" else s for s in structures()]
    with plan_on(drawn) as plan:
        organ = next(s for s in plan.StructureSet.Structures if s.Id == "Ring_PTV")
        before = organ.Volume
        receipt = EsapiPort(plan).hand_over(asked(point(None, "Ring_PTV", 45.0, 0.0), derived=[RING]))
        assert organ.Volume == before
    assert receipt.state == "refused"


def test_what_the_host_refuses_does_not_stop_the_others() -> None:
    nothing = line(4, "Cord", (100.0, 0.0), (0.0, 0.0))
    wanted = asked(point(4, "Cord", 45.0, 0.0), nothing, mean(3, "Parotid links", 26.0))
    with plan_on(structures()) as plan:
        receipt = EsapiPort(plan).hand_over(wanted)
        assert len(plan.OptimizationSetup.Objectives) == 2
    assert [outcome.objective for outcome in receipt.added] == [0, 2]
    assert [outcome.objective for outcome in receipt.refused] == [1]


FIRST = asked(point(4, "Cord", 45.0, 0.0), point(None, "Ring_PTV", 45.0, 0.0), derived=[RING])
SECOND = asked(point(4, "Cord", 40.0, 0.0), point(None, "Ring_PTV", 42.0, 0.0), derived=[replace(RING, outer_mm=15.0)])


def test_a_second_hand_over_replaces_the_first() -> None:
    with plan_on(structures()) as plan:
        port: TpsPort = EsapiPort(plan)
        port.hand_over(FIRST)
        ring_cc = plan.StructureSet.Structures[-1].Volume
        again = port.hand_over(SECOND)
        rows = [row_in_plan(objective) for objective in plan.OptimizationSetup.Objectives]
        assert rows == [row_asked(objective) for objective in SECOND.objectives]
        assert 0 < plan.StructureSet.Structures[-1].Volume < ring_cc
        assert len(plan.StructureSet.Structures) == len(structures()) + 1
    assert (again.state, again.refused) == ("applied", ())
    assert again.notes == ("2 objectives that were in the plan were removed.",)


@pytest.mark.parametrize("foreign", [False, True], ids=["stub", "pyesapi"])
def test_a_dose_is_discarded_before_structures_are_shaped_again_and_the_receipt_says_so(foreign: bool) -> None:
    with plan_on(structures()) as plan:
        EsapiPort(plan).hand_over(FIRST)
        model = plan.GetCalculationModel(CalculationType.PhotonVolumeDose)
        give_dose(plan)
        ring_cc = plan.StructureSet.Structures[-1].Volume
        receipt = hand_over(SECOND, Foreign(plan), TYPES) if foreign else EsapiPort(plan).hand_over(SECOND)
        assert 0 < plan.StructureSet.Structures[-1].Volume < ring_cc
        assert not plan.IsDoseValid
        assert plan.GetCalculationModel(CalculationType.PhotonVolumeDose) == model != ""
    assert (receipt.state, receipt.made, receipt.refused) == ("applied", ("Ring_PTV",), ())
    assert receipt.notes[0] == "The plan's dose was discarded, because structures cannot be shaped while it is there."


def test_a_dose_stays_where_no_structure_has_to_be_made() -> None:
    with plan_on(structures()) as plan:
        give_dose(plan)
        receipt = EsapiPort(plan).hand_over(asked(point(4, "Cord", 45.0, 0.0)))
        assert plan.IsDoseValid
    assert (receipt.state, receipt.notes) == ("applied", ())


@pytest.mark.parametrize(
    "options",
    [
        {"grid": "1.25", "gone": "x"},
        [SimpleNamespace(Key="grid", Value="1.25"), SimpleNamespace(Key="gone", Value="x")],
    ],
    ids=["stub", "net"],
)
def test_options_of_the_dose_model_are_set_again_and_those_that_are_lost_are_named(options: object) -> None:
    calls: list[tuple[str, ...]] = []

    def set_option(_: str, name: str, value: str) -> bool:
        calls.append((name, value))
        return name != "gone"

    with plan_on(structures()) as plan:
        give_dose(plan)
        host = SimpleNamespace(
            Id="Plan1",
            GetCalculationModel=plan.GetCalculationModel,
            GetCalculationOptions=lambda _: options,
            ClearCalculationModel=plan.ClearCalculationModel,
            SetCalculationModel=plan.SetCalculationModel,
            SetCalculationOption=set_option,
        )
        notes = discard_dose(host)  # type: ignore[arg-type]
        assert not plan.IsDoseValid
    assert calls == [("grid", "1.25"), ("gone", "x")]
    assert notes[1] == "Options of Closed form that could not be set again: gone."


def test_a_normal_tissue_objective_that_nobody_asked_for_stays_and_the_receipt_says_so() -> None:
    with plan_on(structures()) as plan:
        EsapiPort(plan).hand_over(asked(point(4, "Cord", 45.0, 0.0), normal_tissue=NormalTissueObjective(80.0)))
        receipt = EsapiPort(plan).hand_over(asked(point(4, "Cord", 40.0, 0.0)))
        assert len(plan.OptimizationSetup.Parameters) == 1
    assert receipt.notes[-1] == "The plan's normal tissue objective stays as it was."


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


def test_a_plan_id_of_20_characters_is_shortened_and_said() -> None:
    wanted = "Boost_head_and_neck1"
    receipt = apply_to_esapi(asked(point(4, "Cord", 45.0, 0.0)), structures(), wanted)
    short = receipt.short_ids[wanted]
    assert len(wanted) == 20
    assert len(short) <= 13
    assert receipt.notes == (f"The plan {wanted!r} is called {short!r}: an id has at most 13 characters.",)
    assert apply_to_esapi(asked(point(4, "Cord", 45.0, 0.0)), structures(), "IMRT9").notes == ()


def test_a_rehearsal_takes_names_of_any_length() -> None:
    names = {3: "Parotid gland superficial left", 4: "Parotid gland superficial right"}
    drawn = [replace(s, name=names.get(s.number, s.name)) for s in structures()]
    wanted = asked(mean(3, names[3], 26.0), mean(4, names[4], 24.0))
    receipt = apply_to_esapi(wanted, drawn)
    assert [(outcome.structure, outcome.what) for outcome in receipt.added] == [
        (names[3], "mean at most 26 Gy"),
        (names[4], "mean at most 24 Gy"),
    ]
    assert [receipt.short_ids[names[number]][-2:] for number in (3, 4)] == ["_L", "_R"]
