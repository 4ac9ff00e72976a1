"""How to optimize: OptimizationOptionsIMRT and OptimizationOptionsVMAT."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

from esapi_stub.enums import (
    OptimizationConvergenceOption,
    OptimizationIntermediateDoseOption,
    OptimizationOption,
)

__all__ = ["OptimizationOptionsBase", "OptimizationOptionsIMRT", "OptimizationOptionsVMAT"]


class OptimizationOptionsBase:
    """What both have. The stub takes intermediate doses as a wish: its engine has one kind of dose only."""

    def __init__(
        self, start: OptimizationOption, intermediate_dose: OptimizationIntermediateDoseOption, mlc: str
    ) -> None:
        self._start = start
        self._intermediate_dose = intermediate_dose
        self._mlc = mlc

    @property
    def StartOption(self) -> OptimizationOption:
        """Where the optimization starts."""
        return self._start

    @property
    def IntermediateDoseOption(self) -> OptimizationIntermediateDoseOption:
        """Whether the dose is calculated on the way."""
        return self._intermediate_dose

    @property
    def MLC(self) -> str:
        """MLC id; empty for the only one there is."""
        return self._mlc


class OptimizationOptionsIMRT(OptimizationOptionsBase):
    """Options for fixed gantry angles. The stub's engine stops when it has converged, whatever is asked."""

    def __init__(
        self,
        maxIterations: int,
        initialState: OptimizationOption,
        convergenceOption: OptimizationConvergenceOption,
        mlcId: str,
    ) -> None:
        super().__init__(initialState, OptimizationIntermediateDoseOption.NoIntermediateDose, mlcId)
        self._max_iterations = maxIterations

    @property
    def max_iterations(self) -> int:
        """Largest number of iterations; what ESAPI calls it is not known."""
        return self._max_iterations


class OptimizationOptionsVMAT(OptimizationOptionsBase):
    """Options for arcs: where to start, whether to calculate a dose on the way, or how many cycles to do."""

    def __init__(self, startOption: OptimizationOption | OptimizationIntermediateDoseOption | int, mlcId: str) -> None:
        start = OptimizationOption.RestartOptimization
        intermediate_dose = OptimizationIntermediateDoseOption.NoIntermediateDose
        self._cycles = 1
        if isinstance(startOption, OptimizationOption):
            start = startOption
        elif isinstance(startOption, OptimizationIntermediateDoseOption):
            intermediate_dose = startOption
        else:
            self._cycles = startOption
            intermediate_dose = OptimizationIntermediateDoseOption.UseIntermediateDose
        super().__init__(start, intermediate_dose, mlcId)

    @property
    def NumberOfOptimizationCycles(self) -> int:
        """Times that the optimization goes through; the stub's engine goes through once."""
        return self._cycles
