"""Ids and UIDs: what has one keeps it, and no two are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.rt.short_ids import short_ids
from esapi_stub.application import CustomScriptExecutable, Database, StoredStructureSet
from esapi_stub.rules import ApplicationException
from esapi_stub.structure_set import StructureSet
from tests.esapi_stub.plans import static
from tests.esapi_stub.worlds import SET_UID, World, structures, world

LONG = ["Parotid gland superficial left", "Parotid gland superficial right"]


def named_again(w: World) -> None:
    for item in (w.course, w.plan, w["Organ"], static(w)):
        item.Id = item.Id


def in_other_case(w: World) -> None:
    w["Organ"].Id = "ORGAN"


@pytest.mark.parametrize("act", [named_again, in_other_case])
def test_an_item_may_keep_its_own_id(act: Callable[[World], None]) -> None:
    with world() as w:
        act(w)


def test_no_two_plans_of_a_patient_have_one_uid() -> None:
    with world() as w:
        uids = [w.plan.UID]
        for _ in range(2):
            course = w.patient.AddCourse()
            uids += [course.AddExternalPlanSetup(w.structure_set).UID for _ in range(2)]
            w.patient.RemoveCourse(course)
    assert len(set(uids)) == len(uids) == 5


def test_names_that_are_too_long_get_short_ids() -> None:
    drawn = [replace(one, name=name) for one, name in zip(structures(), [*LONG, "Cord"], strict=True)]
    made = StructureSet("CT", SET_UID, drawn, lambda: None).Structures
    ids = short_ids([*LONG, "Cord"])
    assert [structure.Id for structure in made] == [ids[LONG[0]], ids[LONG[1]], "Cord"]
    assert [structure.Id[-2:] for structure in made[:2]] == ["_L", "_R"]
    assert [structure.rt.name for structure in made] == [*LONG, "Cord"], "the bridge's structures keep their names"


def test_a_program_that_is_no_script_starts_as_pyesapi_does() -> None:
    database = Database({"P": [StoredStructureSet("CT", SET_UID, structures())]})
    application = CustomScriptExecutable.CreateApplication("fdp-bridge", database)
    with application:
        assert application.OpenPatientById("P") is not None
        with pytest.raises(ApplicationException, match="one-application"):
            CustomScriptExecutable.CreateApplication("another", database)
