"""How the stub's planning system is set; not part of ESAPI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from esapi_stub.planning import QUIET, PlanningEngine, Watch
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.values import DoseValue

__all__ = ["System", "uid_of"]


def uid_of(*parts: object) -> str:
    """Give a UID of the 2.25 root (PS3.5 B.2): the same for the same parts, however long they are."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


@dataclass(frozen=True)
class System:
    """What all patients of one database share.

    Attributes
    ----------
    dose_unit
        Gy or cGy.
    engine
        What optimizes and calculates doses; None for a world where nothing does.
    watch
        Progress and cancelling of its calculations.
    """

    dose_unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy
    engine: PlanningEngine | None = None
    watch: Watch = QUIET

    @property
    def per_gray(self) -> float:
        """How many of the unit 1 Gy is."""
        return 1.0 if self.dose_unit is DoseValue.DoseUnit.Gy else 100.0

    def require_engine(self) -> PlanningEngine:
        """Give the engine, or raise where there is none."""
        if self.engine is None:
            raise ApplicationException("planning-engine", "there is none")
        return self.engine

    def require_unit(self, dose: DoseValue) -> float:
        """Give an absolute dose in Gy, or raise where its unit is not the system's."""
        if dose.Unit is not self.dose_unit:
            raise ArgumentException("dose-unit", f"it is set to {self.dose_unit.name}, got {dose}")
        return dose.Dose / self.per_gray
