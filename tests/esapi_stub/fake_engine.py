"""A planning engine with a closed form: what a plan's dose must be can be written down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.rt.beams import towards_source
from bridge.rt.volume import Dose
from esapi_stub.planning import QUIET, BeamFluence, OptimizedPlan, PlanningProblem, Watch
from tests.solids import positions_of

ATTENUATION_PER_MM = 0.005
MONITOR_UNITS_PER_GY = 100.0
ARC_STEP_DEG = 30.0
ITERATIONS = 4


class FakeEngine:
    """Every angle gives ``w exp(0.005/mm s)``, where s is how far a position lies from the isocentre to the source.

    The weight w is the same for all angles, and such that the isocentre gets the highest dose that a lower objective
    asks for, or the prescription where none does.
    """

    name = "Closed form"

    def __init__(self) -> None:
        self.problems: list[PlanningProblem] = []
        self.starts: list[tuple[BeamFluence, ...] | None] = []

    def optimize(
        self,
        problem: PlanningProblem,
        *,
        max_iterations: int | None = None,
        start: tuple[BeamFluence, ...] | None = None,
        watch: Watch = QUIET,
    ) -> OptimizedPlan:
        self.problems.append(problem)
        self.starts.append(start)
        asked = [goal.dose_gy for goal in problem.objectives if getattr(goal, "operator", None) == "lower"]
        angles = [(beam, angle) for beam in problem.beams for angle in beam.angles_deg(ARC_STEP_DEG)]
        weight = max(asked, default=problem.prescription_gy) / len(angles)
        at_isocentre = np.zeros(1)
        units = weight / problem.fractions * MONITOR_UNITS_PER_GY
        fluence = tuple(
            BeamFluence(beam.identifier, angle, at_isocentre, at_isocentre, np.array([weight]), units)
            for beam, angle in angles
        )
        done = 0
        while done < (max_iterations or ITERATIONS) and not watch.is_cancelled():
            done += 1
            watch.progress(done, 1.0 / done)
        return OptimizedPlan(
            fluence=fluence,
            dose=self.calculate_dose(problem, fluence),
            objective_value=1.0 / max(done, 1),
            objective_values={goal.roi_number: goal.priority for goal in problem.objectives},
            iterations=done,
            is_complete=done == (max_iterations or ITERATIONS),
        )

    def calculate_dose(self, problem: PlanningProblem, fluence: Sequence[BeamFluence]) -> Dose:
        self.problems.append(problem)
        isocentres = {beam.identifier: np.array(beam.isocentre_mm) for beam in problem.beams}
        positions = positions_of(problem.ct.grid)
        total = np.zeros(problem.ct.grid.shape)
        for part in fluence:
            towards = np.array([*towards_source(part.gantry_deg, problem.patient_position), 0.0])
            along = (positions - isocentres[part.beam]) @ towards
            total += part.weights.sum() * np.exp(ATTENUATION_PER_MM * along)
        return Dose(total.astype(np.float32), problem.ct.grid)
