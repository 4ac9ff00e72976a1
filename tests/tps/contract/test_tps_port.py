"""What every peer of TpsPort keeps to, whatever it is behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.tps.contract.peers import PEERS, Peer
from tests.tps.objective_sets import asked, extracted, mean, point

WANTED = asked(point(1, "PTV70", 70.0, 95.0, "lower"), mean(3, "Parotid links", 26.0))
OTHER = asked(point(1, "PTV70", 68.0, 95.0, "lower"))


@pytest.fixture(params=PEERS, ids=lambda make: make.__name__)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    make: Callable[[Path], AbstractContextManager[Peer]] = request.param
    with make(tmp_path) as made:
        yield made


def test_the_receipt_belongs_to_the_objectives(peer: Peer) -> None:
    for wanted in (WANTED, OTHER, WANTED):
        assert peer.port.hand_over(wanted).objectives_sha256 == wanted.sha256


def test_a_hand_over_is_waiting_or_applied_and_nothing_between(peer: Peer) -> None:
    receipt = peer.port.hand_over(WANTED)
    assert receipt.state in ("waiting", "applied")
    assert receipt.reason == ""
    assert receipt.taken_by
    if receipt.state == "waiting":
        assert (receipt.added, receipt.refused, receipt.made, receipt.plan_uid) == ((), (), (), None)
    peer.answer(WANTED)
    assert peer.port.hand_over(WANTED).state == "applied"


def test_the_same_again_changes_nothing(peer: Peer) -> None:
    wanted = extracted()
    peer.port.hand_over(wanted)
    peer.answer(wanted)
    before = peer.holds()
    first = peer.port.hand_over(wanted)
    assert peer.holds() == before
    again = peer.port.hand_over(wanted)
    assert peer.holds() == before
    assert (again.added, again.refused, again.made, again.state) == (
        first.added, first.refused, first.made, first.state,
    )  # fmt: skip


def test_everything_asked_for_is_accounted_for_by_its_position(peer: Peer) -> None:
    wanted = extracted()
    peer.port.hand_over(wanted)
    peer.answer(wanted)
    receipt = peer.port.hand_over(wanted)
    positions = [outcome.objective for outcome in (*receipt.added, *receipt.refused) if outcome.objective is not None]
    assert sorted(positions) == list(range(len(wanted.objectives)))
    for outcome in receipt.added:
        if outcome.objective is not None:
            assert outcome.structure == wanted.objectives[outcome.objective].roi_name
    assert set(receipt.made) == {recipe.name for recipe in wanted.derived_structures}


def test_what_is_refused_is_named_with_a_reason_and_stops_nothing_else(peer: Peer) -> None:
    wanted = asked(point(9, "Larynx", 40.0, 5.0), point(1, "PTV70", 70.0, 95.0, "lower"), mean(4, "Parotid links", 2.0))
    peer.port.hand_over(wanted)
    peer.answer(wanted)
    receipt = peer.port.hand_over(wanted)
    assert [outcome.structure for outcome in receipt.added] == ["PTV70"]
    refused = {outcome.objective: (outcome.structure, outcome.reason) for outcome in receipt.refused}
    assert set(refused) == {0, 2}
    assert refused[0] == ("Larynx", "the plan's structure set has no ROI 9")
    assert refused[2] == ("Parotid links", "ROI 4 is 'Cord' here, not 'Parotid links'")


def test_another_set_gets_an_answer_of_its_own(peer: Peer) -> None:
    for wanted in (WANTED, OTHER):
        peer.port.hand_over(wanted)
        peer.answer(wanted)
        receipt = peer.port.hand_over(wanted)
        assert receipt.objectives_sha256 == wanted.sha256
        assert len(receipt.added) == len(wanted.objectives)
