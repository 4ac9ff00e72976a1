from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from bridge.node.instances import RecordOutcome, Source
from bridge.workflow import audit
from bridge.workflow.instances import SqlInstanceIndex, instances_of, paths_of, studies
from bridge.workflow.schema import InstanceRow
from bridge.workflow.store import Store
from tests.workflow.records import STUDY, instance, record, slices, structure_set


def test_new_duplicate_and_conflict(store: Store) -> None:
    index = SqlInstanceIndex(store)
    first, other = instance("1.2.3", content="a"), instance("1.2.3", content="b")
    assert [index.record(item) for item in (first, first, other, other, first)] == [
        RecordOutcome.NEW,
        RecordOutcome.DUPLICATE,
        RecordOutcome.CONFLICT,
        RecordOutcome.DUPLICATE,
        RecordOutcome.DUPLICATE,
    ]
    assert index.known_hashes() == {first.sha256, other.sha256}
    with store.transaction() as session:
        assert audit.verify(session) == 2
        assert session.scalar(select(func.count()).select_from(InstanceRow)) == 2


def test_what_was_recorded_comes_back_equal(store: Store) -> None:
    received = [
        *slices(),
        structure_set(),
        replace(
            instance("1.2.9", z_mm=-0.1 - 0.2),
            source=Source("folder"),
            received_utc=datetime(2024, 5, 6, 7, 8, 9, 12345, tzinfo=UTC),
        ),
        replace(instance("1.2.8"), path=Path("/spool/with space/ö.dcm"), size_bytes=3_000_000_000),
    ]
    elsewhere = instance("9.1", study="9")
    record(store, *received, elsewhere)
    with store.transaction() as session:
        assert instances_of(session, STUDY) == tuple(received)
        assert instances_of(session, "9") == (elsewhere,)
        assert set(studies(session)) == {STUDY, "9"}
        assert paths_of(session, [elsewhere.sha256, received[0].sha256]) == tuple(
            sorted([elsewhere.path, received[0].path])
        )


def test_eight_threads_record_each_instance_exactly_once(store: Store) -> None:
    index = SqlInstanceIndex(store)
    items = [instance(f"1.2.{number % 20}", content="b" if number % 4 == 3 else "a") for number in range(160)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(index.record, items))
    distinct = {(item.header.sop_instance_uid, item.sha256) for item in items}
    conflicting = len(distinct) - 20
    assert outcomes.count(RecordOutcome.NEW) == 20
    assert outcomes.count(RecordOutcome.CONFLICT) == conflicting
    assert outcomes.count(RecordOutcome.DUPLICATE) == 160 - len(distinct)
    with store.transaction() as session:
        assert audit.verify(session) == len(distinct)


def test_a_time_of_receipt_in_another_zone_is_the_same_instant(store: Store) -> None:
    item = instance("1.2.3")
    record(store, item)
    with store.transaction() as session:
        (back,) = instances_of(session, STUDY)
    assert back.received_utc == item.received_utc
    assert back.received_utc.utcoffset() == timedelta(0)
