"""What every planning system behind TpsPort does: a drop folder for Eclipse, and a plan of esapi_stub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.tps.eclipse import EclipseFolder
from bridge.tps.esapi_port import EsapiPort
from bridge.tps.port import TpsPort
from objective_extraction.objectives import NormalTissueObjective
from tests.tps.objective_sets import asked, extracted, mean, structures
from tests.tps.worlds import plan_on

LONG = "Parotid gland superficial left"
State = Callable[[], object]
"""What the system holds, to be compared."""


@contextmanager
def a_drop_folder(root: Path) -> Iterator[tuple[TpsPort, State]]:
    def held() -> object:
        return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    yield EclipseFolder(root), held


@contextmanager
def a_plan_of_the_stub(_: Path) -> Iterator[tuple[TpsPort, State]]:
    with plan_on([replace(s, name=LONG) if s.number == 3 else s for s in structures()]) as plan:
        setup, drawn = plan.OptimizationSetup, plan.StructureSet

        def held() -> object:
            return setup.Objectives, setup.Parameters, [(one.Id, one.Volume) for one in drawn.Structures]

        yield EsapiPort(plan), held


@pytest.fixture(params=[a_drop_folder, a_plan_of_the_stub])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[TpsPort, State]]:
    with ExitStack() as stack:
        yield stack.enter_context(request.param(tmp_path))


def test_a_receipt_answers_the_objectives_that_were_handed_over(system: tuple[TpsPort, State]) -> None:
    port, _ = system
    wanted = asked(mean(4, "Cord", 26.0))
    receipt = port.hand_over(wanted)
    assert receipt.objectives_sha256 == wanted.sha256
    assert receipt.state in ("waiting", "applied")
    assert (receipt.reason, receipt.refused) == ("", ())


def test_the_same_objectives_again_change_nothing(system: tuple[TpsPort, State]) -> None:
    port, held = system
    wanted = asked(mean(4, "Cord", 26.0), normal_tissue=NormalTissueObjective(90.0))
    port.hand_over(wanted)
    before = held()
    again = port.hand_over(wanted)
    assert held() == before
    assert again.added == ()


def test_a_name_of_any_length_is_taken_and_its_id_is_said(system: tuple[TpsPort, State]) -> None:
    port, _ = system
    wanted = asked(mean(3, LONG, 26.0))
    receipt = port.hand_over(wanted)
    assert receipt.state != "refused"
    assert receipt.short_ids == wanted.shortened_names
    assert receipt.short_ids[LONG].endswith("_L")


def test_a_manual_normal_tissue_objective_is_taken(system: tuple[TpsPort, State]) -> None:
    port, _ = system
    receipt = port.hand_over(
        asked(mean(4, "Cord", 26.0), normal_tissue=NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.05))
    )
    assert receipt.state in ("waiting", "applied")


def test_objectives_as_they_are_extracted_are_taken(tmp_path: Path) -> None:
    with a_drop_folder(tmp_path) as (port, _):
        assert port.hand_over(extracted()).state == "waiting"
    with plan_on(structures()) as plan:
        assert EsapiPort(plan).hand_over(extracted()).refused == ()
