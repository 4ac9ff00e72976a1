"""TpsPort: the one thing that the bridge asks of a planning system."""

from __future__ import annotations

from typing import Protocol

from bridge.tps.receipt import Receipt
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["TpsPort"]


class TpsPort(Protocol):
    """A planning system that takes objectives: a folder for the Eclipse plug-in, or esapi_stub."""

    def hand_over(self, objectives: ObjectiveSet) -> Receipt:
        """Hand objectives over and say what became of them; handing the same over again changes nothing.

        Returns
        -------
        Receipt
            Of state ``"refused"`` where the system cannot take this set at all; then nothing was changed.

        Raises
        ------
        Refusal
            What was handed over before is not what it should be.
        Failure
            The system cannot be reached.
        """
        ...
