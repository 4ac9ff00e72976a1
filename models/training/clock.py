"""Training by the clock: budget, learning rate, checkpoints and records all follow the minutes spent."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Budget", "Record", "learning_rate"]


@dataclass
class Budget:
    """Wall-clock budget of a training, over all its resumptions.

    Attributes
    ----------
    minutes
        Budget.
    spent_s
        Seconds spent before this run was started.
    """

    minutes: float
    spent_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Give the seconds spent so far."""
        return self.spent_s + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Give the part of the budget that is spent, from 0 to 1."""
        return min(1.0, self.elapsed_s / (60.0 * self.minutes))


def learning_rate(progress: float, highest: float, warm_up: float = 0.03, steady: bool = False) -> float:
    """Rise linearly over the warm-up, then fall as a cosine to zero at the end of the budget, or stay if ``steady``."""
    if progress < warm_up:
        return highest * max(progress / warm_up, 0.01)
    if steady:
        return highest
    return highest * 0.5 * (1.0 + math.cos(math.pi * (progress - warm_up) / (1.0 - warm_up)))


class Record:
    """Means of what was logged since the last row, as lines of a CSV file that grows over resumptions."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns
        self._sums: dict[str, list[float]] = {}
        if not path.exists():
            self._append(["minutes", "step", *columns])

    def add(self, values: Mapping[str, float]) -> None:
        """Take the values of one step; a column may be missing."""
        for name, value in values.items():
            self._sums.setdefault(name, []).append(value)

    def write(self, minutes: float, step: int) -> dict[str, float]:
        """Write a row of the means, give them, and start again."""
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        self._append([f"{minutes:.2f}", step, *(f"{means[c]:.5g}" if c in means else "" for c in self.columns)])
        self._sums = {}
        return means

    def _append(self, row: list[object]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerow(row)
