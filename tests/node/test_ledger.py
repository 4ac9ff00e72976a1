from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.node.ledger import Courier, Delivery, next_attempt
from bridge.node.scu import DeliveryOutcome, InstanceResult, Sender
from bridge.node.settings import Destination, RetryPolicy, ScuSettings
from tests.node.conftest import Node
from tests.node.objects import study

START = datetime(2024, 3, 30, 23, 0, tzinfo=UTC)
POLICY = RetryPolicy(first_delay_s=30.0, factor=2.0, longest_delay_s=3600.0, give_up_after_s=7 * 86400.0)
TPS = Destination("planning", "TPS", "127.0.0.1", 104)
ARCHIVE = Destination("archive", "ARCHIVE", "127.0.0.1", 105)


def test_delays_double_up_to_the_cap_for_days() -> None:
    attempts, delays_s = [START], []
    while (at := next_attempt(attempts, attempts[-1], POLICY)) is not None:
        delays_s.append((at - attempts[-1]).total_seconds())
        attempts.append(at)
    assert delays_s[:9] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert set(delays_s[8:]) == {3600}
    assert timedelta(days=6.9) < attempts[-1] - START <= timedelta(days=7)


def test_the_first_attempt_is_now_and_many_attempts_do_not_overflow() -> None:
    assert next_attempt([], START, POLICY) == START
    assert next_attempt([START] * 5000, START, POLICY) == START + timedelta(hours=1)


@dataclass
class MemoryLedger:
    """Each delivery with its next attempt; None once it is settled."""

    owed: dict[str, tuple[Delivery, datetime | None]] = field(default_factory=dict)
    results: list[tuple[str, DeliveryOutcome]] = field(default_factory=list)

    def due(self, now: datetime) -> Sequence[Delivery]:
        return [delivery for delivery, at in self.owed.values() if at is not None and at <= now]

    def mark(self, delivery: Delivery, result: InstanceResult, at: datetime, next_attempt: datetime | None) -> None:
        kept = replace(delivery, attempts=(*delivery.attempts, at))
        self.owed[delivery.delivery_id] = (kept, next_attempt)
        self.results.append((delivery.delivery_id, result.outcome))


@dataclass
class ScriptedSender:
    """Answers by file name; what is not in the script is sent."""

    script: dict[str, DeliveryOutcome]
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    def send(self, destination: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        self.calls.append((destination.name, [path.name for path in files]))
        return [
            InstanceResult(path, "1.2", self.script.get(path.name, DeliveryOutcome.SENT), 0, "x", "x")
            for path in reversed(files)
        ]


def owe(ledger: MemoryLedger, destination: Destination, *names: str) -> None:
    for name in names:
        key = f"{destination.name}/{name}"
        ledger.owed[key] = (Delivery(key, destination, Path(name), "1.2"), START)


def test_only_what_is_not_acknowledged_is_sent_again() -> None:
    ledger, now = MemoryLedger(), [START]
    owe(ledger, TPS, "a", "b", "c", "d")
    owe(ledger, ARCHIVE, "a")
    script = {
        "b": DeliveryOutcome.TEMPORARY,
        "c": DeliveryOutcome.PERMANENT,
        "d": DeliveryOutcome.SENT_WITH_WARNING,
    }
    sender = ScriptedSender(script)
    courier = Courier(ledger, sender, lambda: now[0], POLICY)
    assert len(courier.run_once()) == 5
    assert sorted(sender.calls) == [("archive", ["a"]), ("planning", ["a", "b", "c", "d"])]
    assert courier.run_once() == []
    now[0] += timedelta(seconds=31)
    script.clear()
    courier.run_once()
    assert sender.calls[2:] == [("planning", ["b"])]
    now[0] += timedelta(days=30)
    assert courier.run_once() == []
    assert ledger.results.count(("planning/c", DeliveryOutcome.PERMANENT)) == 1


def test_a_destination_down_for_two_days_gets_everything_in_the_end(node: Node, tmp_path: Path) -> None:
    ledger, now = MemoryLedger(), [START]
    up = Destination("bridge", "BRIDGE", "127.0.0.1", node.scp.port)
    for path in study(tmp_path):
        ledger.owed[path.name] = (Delivery(path.name, up, path, "1.2"), START)
    node.scp.stop()
    sender = Sender(ScuSettings("TESTER", connect_timeout_s=1.0))
    for _ in range(5):
        Courier(ledger, sender, lambda: now[0], POLICY).run_once()
        now[0] += timedelta(hours=12)
    assert {len(delivery.attempts) for delivery, _ in ledger.owed.values()} == {5}
    node.scp.start()
    for key, (delivery, at) in list(ledger.owed.items()):
        ledger.owed[key] = (replace(delivery, destination=replace(up, port=node.scp.port)), at)
    results = Courier(ledger, sender, lambda: now[0], POLICY).run_once()
    assert {result.outcome for result in results} == {DeliveryOutcome.SENT}
    assert len(node.index.instances) == 6
    assert ledger.due(now[0] + timedelta(days=99)) == []
