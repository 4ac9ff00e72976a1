from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.dicom.headers import InstanceHeader
from bridge.node.completeness import Verdict, may_proceed, study_state
from bridge.node.instances import Source, StoredInstance
from bridge.node.quiet import QuietTimer
from bridge.node.settings import QuietPolicy

CT_CLASS, RS_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.481.3"


def stored(uid: str, modality: str, *, references: Sequence[str] = (), z_mm: float | None = None) -> StoredInstance:
    header = InstanceHeader(
        sop_class_uid=CT_CLASS if modality == "CT" else RS_CLASS,
        sop_instance_uid=uid,
        study_instance_uid="1.2",
        series_instance_uid="1.2.1" if modality == "CT" else "1.2.2",
        frame_of_reference_uid="1.2.9",
        modality=modality,
        patient_key="a" * 64,
        transfer_syntax_uid="1.2.840.10008.1.2",
        referenced_sop_instance_uids=frozenset(references),
        z_mm=z_mm,
    )
    return StoredInstance(header, Path("x"), f"{hash(uid):x}", 1, datetime(2024, 1, 1, tzinfo=UTC), Source("network"))


def ct_uid(number: int) -> str:
    return f"1.2.1.{number}"


def slices(*numbers: int, spacing_mm: float = 3.0) -> list[StoredInstance]:
    return [stored(ct_uid(number), "CT", z_mm=spacing_mm * number - 40) for number in numbers]


def structure_set(*numbers: int, uid: str = "1.2.2.1") -> StoredInstance:
    return stored(uid, "RTSTRUCT", references=[ct_uid(number) for number in numbers])


def test_an_empty_study_waits() -> None:
    assert study_state([]).code == "no-structure-set"


def test_ct_alone_waits_for_the_structure_set() -> None:
    state = study_state(slices(1, 2, 3))
    assert (state.verdict, state.reason) == (Verdict.WAITING, "No RTSTRUCT yet; 3 CT instances are here.")


def test_complete_in_any_order() -> None:
    everything = [structure_set(*range(1, 121)), *slices(*range(1, 121))]
    for instances in (everything, everything[::-1], everything * 2):
        state = study_state(instances)
        assert state.verdict is Verdict.COMPLETE
        (only,) = state.structure_sets
        assert only.ct_sop_instance_uids == tuple(ct_uid(number) for number in range(1, 121))
        assert only.missing == ()


def test_two_slices_missing_are_named() -> None:
    state = study_state([structure_set(*range(1, 121)), *slices(*range(1, 40), *range(41, 80), *range(81, 121))])
    assert state.verdict is Verdict.WAITING
    assert state.reason == f"CT 118 of 120; missing {ct_uid(40)}, {ct_uid(80)}."
    assert state.structure_sets[0].missing == (ct_uid(40), ct_uid(80))
    assert not state.structure_sets[0].settles_when_quiet


def test_the_structure_set_alone_names_what_it_waits_for_and_stays_readable() -> None:
    state = study_state([structure_set(*range(1, 121))])
    assert state.reason.startswith("CT 0 of 120; missing ")
    assert state.reason.endswith("and 110 more.")
    assert len(state.structure_sets[0].missing) == 120


def test_slices_that_are_not_named_belong_too() -> None:
    state = study_state([structure_set(3, 4, 5), *slices(*range(1, 9))])
    assert state.verdict is Verdict.COMPLETE
    assert len(state.structure_sets[0].ct_sop_instance_uids) == 8


def test_a_gap_in_slices_that_are_not_named() -> None:
    state = study_state([structure_set(3, 4), *slices(1, 2, 3, 4, 7, 8)])
    (only,) = state.structure_sets
    assert (only.verdict, only.code, only.settles_when_quiet) == (Verdict.WAITING, "slice-gap", True)
    assert "between z = -28 mm and z = -19 mm (about 2, at 3 mm)" in only.reason


def test_uneven_spacing_without_a_gap_is_complete() -> None:
    images = [stored(ct_uid(n), "CT", z_mm=z) for n, z in enumerate((0.0, 3.0, 6.0, 8.5, 11.5), 1)]
    assert study_state([structure_set(1, 2, 3, 4, 5), *images]).verdict is Verdict.COMPLETE


def test_other_series_do_not_disturb() -> None:
    scout = stored("1.5", "CT", z_mm=900.0)
    scout = replace(scout, header=replace(scout.header, series_instance_uid="1.2.77"))
    state = study_state([structure_set(1, 2, 3), *slices(1, 2, 3), scout])
    assert state.verdict is Verdict.COMPLETE
    assert "1.5" not in state.structure_sets[0].ct_sop_instance_uids


def test_a_structure_set_that_names_nothing_falls_back_to_quiet() -> None:
    state = study_state([structure_set(), *slices(1, 2)])
    (only,) = state.structure_sets
    assert (only.code, only.settles_when_quiet) == ("nothing-referenced", True)
    assert only.ct_sop_instance_uids == (ct_uid(1), ct_uid(2))
    lonely = study_state([structure_set()]).structure_sets[0]
    assert (lonely.code, lonely.settles_when_quiet) == ("no-ct", False)


def test_one_complete_structure_set_is_enough() -> None:
    state = study_state([structure_set(1, 2, 9), structure_set(1, 2, uid="1.2.2.2"), *slices(1, 2)])
    assert state.verdict is Verdict.COMPLETE
    assert [one.verdict for one in state.structure_sets] == [Verdict.WAITING, Verdict.COMPLETE]
    assert "RTSTRUCT 1.2.2.1: CT 2 of 3" in state.reason


def other_patient(item: StoredInstance) -> StoredInstance:
    return replace(item, header=replace(item.header, patient_key="b" * 64))


@pytest.mark.parametrize("position", [0, 2])
def test_two_patients_are_refused(position: int) -> None:
    instances = [structure_set(1, 2), *slices(1, 2)]
    instances[position] = other_patient(instances[position])
    state = study_state(instances)
    assert (state.verdict, state.code) == (Verdict.REFUSED, "two-patients")
    assert "2 and 1 instances" in state.reason
    assert "aaa" not in state.reason


def test_two_contents_are_refused_and_named() -> None:
    first = slices(1)[0]
    state = study_state([structure_set(1), first, replace(first, sha256="other")])
    assert (state.verdict, state.code) == (Verdict.REFUSED, "content-conflict")
    assert ct_uid(1) in state.reason


def test_how_long_it_must_be_quiet() -> None:
    policy = QuietPolicy(complete_s=2.0, undecided_s=60.0)
    complete = study_state([structure_set(1), *slices(1)]).structure_sets[0]
    undecided = study_state([structure_set(), *slices(1)]).structure_sets[0]
    waiting = study_state([structure_set(1, 2), *slices(1)]).structure_sets[0]
    quiet = (0.0, 1.9, 2.0, 59.9, 60.0, 1e9)
    assert [may_proceed(complete, s, policy) for s in quiet] == [False, False, True, True, True, True]
    assert [may_proceed(undecided, s, policy) for s in quiet] == [False, False, False, False, True, True]
    assert not any(may_proceed(waiting, s, policy) for s in quiet)


def test_the_quiet_timer() -> None:
    now_s = [100.0]
    timer = QuietTimer(lambda: now_s[0])
    now_s[0] = 107.0
    timer.touch("a")
    now_s[0] = 110.0
    assert (timer.quiet_s("a"), timer.quiet_s("from before the restart")) == (3.0, 10.0)
    timer.forget("a")
    assert timer.quiet_s("a") == 10.0
