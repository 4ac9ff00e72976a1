"""Budgets, learning rates, records, means of weights, and checkpoints that survive a crash."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from bridge.rt.errors import ModelRefusal
from models.training.adversary import Adversary
from models.training.clock import Budget, Record, learning_rate
from models.training.run import Averaged, load_checkpoint, place, require_no_checkpoint, save_checkpoint, state_of

CPU = torch.device("cpu")


class Payload:
    """What a hostile checkpoint holds: a call on being read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    assert learning_rate(0.0, 2e-3) == pytest.approx(2e-5)
    assert learning_rate(0.015, 2e-3) == pytest.approx(1e-3)
    assert learning_rate(0.03, 2e-3) == pytest.approx(2e-3)
    assert learning_rate(0.515, 2e-3) == pytest.approx(1e-3)  # half way between warm-up and end
    assert learning_rate(1.0, 2e-3) == pytest.approx(0.0, abs=1e-12)
    course = [learning_rate(step / 1000, 1.0) for step in range(1001)]
    assert course[:31] == sorted(course[:31])
    assert course[30:] == sorted(course[30:], reverse=True)


def test_a_steady_rate_warms_up_and_stays() -> None:
    assert learning_rate(0.015, 2e-3, steady=True) == pytest.approx(1e-3)
    assert {learning_rate(part, 2e-3, steady=True) for part in (0.03, 0.5, 1.0)} == {2e-3}


def test_a_budget_counts_what_earlier_runs_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 30.0)
    fresh, resumed = Budget(2.0, _started=now), Budget(2.0, 60.0, _started=now)
    assert (fresh.elapsed_s, fresh.progress) == (pytest.approx(30.0), pytest.approx(0.25))
    assert (resumed.elapsed_s, resumed.progress) == (pytest.approx(90.0), pytest.approx(0.75))
    assert Budget(2.0, 500.0, _started=now).progress == 1.0


def test_a_record_holds_means_and_grows_over_resumptions(tmp_path: Path) -> None:
    path = tmp_path / "record.csv"
    record = Record(path, ("a", "b"))
    record.add({"a": 1.0})
    record.add({"a": 2.0, "b": 5.0})
    assert record.write(0.5, 2) == {"a": 1.5, "b": 5.0}
    record.add({"b": 7.0})
    record.write(1.0, 3)
    again = Record(path, ("a", "b"))
    again.add({"a": 4.0, "b": 8.0})
    again.write(1.5, 4)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["minutes", "step", "a", "b"], ["0.50", "2", "1.5", "5"], ["1.00", "3", "", "7"], ["1.50", "4", "4", "8"],
    ]  # fmt: skip


def test_averaged_weights_follow_the_network_and_buffers_are_taken_as_they_are() -> None:
    network = nn.BatchNorm1d(1)
    averaged = Averaged(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(2.0)
        network.running_mean.fill_(7.0)
    averaged.update(network, 1)  # decay 2 / 11: from 1 to 2
    assert float(averaged.network.weight) == pytest.approx(1.0 + 9.0 / 11.0)
    assert float(averaged.network.running_mean) == 7.0
    with torch.no_grad():
        averaged.network.weight.fill_(1.0)
    averaged.update(network, 10_000)
    assert float(averaged.network.weight) == pytest.approx(1.1)
    assert not any(weight.requires_grad for weight in averaged.network.parameters())
    assert not averaged.network.training


def test_without_a_memory_all_steps_count_alike() -> None:
    network = nn.Linear(1, 1)
    averaged = Averaged(network, None)
    for step, weight in enumerate((1.0, 5.0, 3.0, 11.0), start=1):
        with torch.no_grad():
            network.weight.fill_(weight)
        averaged.update(network, step)
    assert float(averaged.network.weight) == pytest.approx(5.0)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    network = nn.Linear(2, 3)
    sizes = {"widths": (8, 16, 24)}
    save_checkpoint(path, {"stage": "fdp", "network": state_of(network), "step": 5, "settings": sizes})
    content = load_checkpoint(path, CPU, "fdp", sizes)
    assert (content["step"], content["settings"]) == (5, {"widths": (8, 16, 24)})
    assert torch.equal(content["network"]["weight"], network.weight)
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, {"stage": "fdp", "step": 1})

    def crash(content: object, to: Path) -> None:
        to.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path, CPU, "fdp")["step"] == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "half", "folder", "list"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, {"weights": torch.ones(1000)})
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "list":
        torch.save([1, 2], path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "garbage": b"PK? no, nothing", "half": content[: len(content) // 2]}[damage])
    with pytest.raises(ModelRefusal) as refused:
        load_checkpoint(path, CPU, "fdp")
    assert refused.value.code == "checkpoint-unreadable"


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_is_not_run(tmp_path: Path) -> None:
    path, proof = tmp_path / "x.pt", tmp_path / "proof"
    torch.save({"network": Payload(proof)}, path)
    with pytest.raises(ModelRefusal) as refused:
        load_checkpoint(path, CPU, "fdp")
    assert refused.value.code == "checkpoint-unreadable"
    assert not proof.exists()


def test_one_process_leads_and_wraps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    here, network = place(), nn.Linear(1, 1)
    assert (here.rank, here.world, here.leads) == (0, 1, True)
    assert here.wrapped(network) is network


def test_the_adversary_learns_to_tell_and_keeps_its_state() -> None:
    torch.manual_seed(1)
    adversary = Adversary(CPU, rate=2e-3)
    plan, proposed = 1.0 + 0.1 * torch.randn(1, 1, 16, 16, 24), torch.randn(1, 1, 16, 16, 24)
    losses = [adversary.learn(plan, proposed) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]
    # once it sees through a dose, that dose pays more than a plan would
    assert float(adversary.deception(proposed)) > 2.0 * float(adversary.deception(plan))
    other = Adversary(CPU)
    other.load(adversary.state())
    assert torch.equal(other.deception(proposed), adversary.deception(proposed))


def test_deception_pulls_on_the_dose_and_not_on_the_adversary() -> None:
    torch.manual_seed(1)
    adversary = Adversary(CPU)
    dose = torch.rand(1, 1, 16, 16, 24, requires_grad=True)
    adversary.deception(dose).backward()
    assert dose.grad is not None
    assert bool(dose.grad.any())
    assert all(weight.grad is None for weight in adversary.network.parameters())
    assert all(weight.requires_grad for weight in adversary.network.parameters())


def test_a_checkpoint_of_another_training_or_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, {"stage": "vqvae", "settings": {"latent": 16, "style": 8}})
    with pytest.raises(ModelRefusal, match="no checkpoint of `train fdp`") as refused:
        load_checkpoint(path, CPU, "fdp")
    assert refused.value.code == "checkpoint-stage"
    with pytest.raises(ModelRefusal, match="another latent: 16, expected 32") as refused:
        load_checkpoint(path, CPU, "vqvae", {"latent": 32, "style": 8})
    assert refused.value.code == "checkpoint-network"


def test_a_checkpoint_is_not_begun_over(tmp_path: Path) -> None:
    require_no_checkpoint(tmp_path / "x.pt")
    save_checkpoint(tmp_path / "x.pt", {"stage": "fdp"})
    with pytest.raises(ModelRefusal, match="resume it") as refused:
        require_no_checkpoint(tmp_path / "x.pt")
    assert refused.value.code == "checkpoint-exists"
