"""ExternalPlanSetup: optimization, dose calculation and evaluation doses."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math

import numpy as np

from bridge.rt.volume import Dose as RtDose
from esapi_stub.dose import Dose, EvaluationDose
from esapi_stub.enums import CalculationType, MLCPlanType, OptimizationOption, PlanSetupApprovalStatus
from esapi_stub.image import Image
from esapi_stub.options import OptimizationOptionsIMRT, OptimizationOptionsVMAT
from esapi_stub.plan_beams import PlanWithBeams
from esapi_stub.plan_setup import MODELLED
from esapi_stub.planning import PlannedObjective, PlanningProblem
from esapi_stub.planning_item import DVHData
from esapi_stub.problem import normal_tissue_of, objectives_of, optimizer_result
from esapi_stub.results import CalculationResult, OptimizerResult
from esapi_stub.rules import ApplicationException

__all__ = ["DVHData", "ExternalPlanSetup", "attach_dose", "set_approval_status"]

_RESTART = OptimizationOption.RestartOptimization
_FROM_PLAN_DOSE = OptimizationOption.ContinueOptimizationWithPlanDoseAsIntermediateDose


class ExternalPlanSetup(PlanWithBeams):
    """A plan for external beams. Its dose comes from the database's engine, or was given by :func:`attach_dose`."""

    _needs_leaf_motions = False
    _evaluation: EvaluationDose | None = None
    _is_converged = False

    def Optimize(
        self,
        maxIterations: int | OptimizationOptionsIMRT | None = None,
        optimizationOption: OptimizationOption = _RESTART,
        mlcId: str = "",
    ) -> OptimizerResult:
        """Optimize the fluence of fixed gantry angles: of (), (iterations), (iterations, start, MLC) or (options)."""
        if any(beam.is_arc for beam in self.Beams):
            raise ApplicationException("beam-kind", "got an arc")
        calculation = CalculationType.PhotonIMRTOptimization
        if isinstance(maxIterations, OptimizationOptionsIMRT):
            options = maxIterations
            result = self._optimize(calculation, options.max_iterations, options.StartOption, options.MLC)
        else:
            result = self._optimize(calculation, maxIterations, optimizationOption, mlcId)
        self._needs_leaf_motions = True
        return result

    def OptimizeVMAT(self, mlcId: str | OptimizationOptionsVMAT = "") -> OptimizerResult:
        """Optimize arcs: of (), (MLC) or (options)."""
        if any(beam.MLCPlanType is not MLCPlanType.VMAT for beam in self.Beams):
            raise ApplicationException("beam-kind", "got a beam of another call")
        calculation = CalculationType.PhotonVMATOptimization
        if isinstance(mlcId, OptimizationOptionsVMAT):
            result = self._optimize(calculation, None, mlcId.StartOption, mlcId.MLC)
        else:
            result = self._optimize(calculation, None, _RESTART, mlcId)
        self._needs_leaf_motions = False
        return result

    def CalculateLeafMotions(self) -> CalculationResult:
        """Do what the host needs between Optimize and CalculateDose. The stub's leaves deliver the fluence as it is."""
        self.require_change()
        self._require_fluence()
        self.require_model(CalculationType.PhotonLeafMotions)
        self._needs_leaf_motions = False
        return CalculationResult(True)

    def CalculateDose(self) -> CalculationResult:
        """Calculate the dose of the optimized fluence, as the total over all fractions."""
        self.require_change()
        engine = self._system.require_engine()
        self._require_fluence()
        self.require_model(CalculationType.PhotonVolumeDose)
        if self._needs_leaf_motions:
            raise ApplicationException("leaf-motions-first", "it was not called")
        self._calculated = engine.calculate_dose(self._problem(()), self._fluence)
        return CalculationResult(True)

    def CalculateLeafMotionsAndDose(self) -> CalculationResult:
        """Do both."""
        self.CalculateLeafMotions()
        return self.CalculateDose()

    def GetModelsForCalculationType(self, calculationType: CalculationType) -> tuple[str, ...]:
        """Give the models that are installed: the database's engine for photons, or none."""
        engine = self._system.engine
        return () if engine is None or calculationType not in MODELLED else (engine.name,)

    @property
    def rt_dose(self) -> RtDose | None:
        """The bridge's dose: an evaluation dose, or what was calculated; not part of ESAPI."""
        return super().rt_dose if self._evaluation is None else self._evaluation.rt

    @property
    def is_converged(self) -> bool:
        """Whether the last optimization ended by itself, not for want of iterations; not part of ESAPI."""
        return self._is_converged

    @property
    def DoseAsEvaluationDose(self) -> EvaluationDose | None:
        """The evaluation dose, where the plan has one."""
        return self._evaluation

    def CreateEvaluationDose(self) -> EvaluationDose:
        """Give the plan a dose of 0 to be set by voxel, on the grid of its image; the host's grid is not known."""
        grid = self._require_image().ct.grid
        return self._evaluate(RtDose(np.zeros(grid.shape, dtype=np.float32), grid))

    def CopyEvaluationDose(self, existing: Dose) -> EvaluationDose:
        """Give the plan a dose to be set by voxel that starts as a copy; its voxels may be of another scale."""
        return self._evaluate(existing.rt)

    def discard_calculation(self) -> None:
        """Forget dose and fluence, because the plan is another now; not part of ESAPI."""
        super().discard_calculation()
        self._needs_leaf_motions = False

    def _evaluate(self, dose: RtDose) -> EvaluationDose:
        self.require_change()
        if self.Beams:
            raise ApplicationException("evaluation-dose-beams", f"got {len(self.Beams)} beams")
        self._evaluation = EvaluationDose(dose, f"{self.UID}.2", self.presented, self.gray, self.require_change)
        return self._evaluation

    def _optimize(
        self, calculation: CalculationType, max_iterations: int | None, start: OptimizationOption, mlc: str
    ) -> OptimizerResult:
        self.require_change()
        engine = self._system.require_engine()
        self.require_model(calculation)
        self._require_beams()
        if not mlc and all(beam.MLC is None for beam in self.Beams):
            raise ApplicationException("one-mlc", "got beams without one")
        if self.NumberOfFractions is None:
            raise ApplicationException("prescription-first", "the plan has no prescription")
        if self.TreatmentPercentage != 1.0:
            raise ApplicationException("treatment-percentage", f"got {100.0 * self.TreatmentPercentage:g} %")
        if start is _FROM_PLAN_DOSE and not self.IsDoseValid:
            raise ApplicationException("intermediate-dose", "this one has none")
        objectives = objectives_of(self.OptimizationSetup, self._system)
        if not objectives:
            raise ApplicationException("objective-missing", "the plan has none")
        outcome = engine.optimize(
            self._problem(objectives),
            max_iterations=max_iterations,
            start=(self._fluence or None) if start is not _RESTART else None,
            watch=self._system.watch,
        )
        self.discard_calculation()
        self._fluence = outcome.fluence
        self._is_converged = outcome.is_converged
        self.reset_normalization()
        asked = {objective.StructureId: objective.Structure for objective in self.OptimizationSetup.Objectives}
        return optimizer_result(outcome, list(asked.values()), self._system)

    def _problem(self, objectives: tuple[PlannedObjective, ...]) -> PlanningProblem:
        image = self._require_image()
        return PlanningProblem(
            ct=image.ct,
            structures=tuple(structure.rt for structure in self.StructureSet.Structures if structure.HasSegment),
            beams=tuple(beam.planned() for beam in self.Beams),
            objectives=objectives,
            normal_tissue=normal_tissue_of(self.OptimizationSetup),
            prescription_gy=self.prescription_gy,
            fractions=self.NumberOfFractions or 1,
            patient_position=image.patient_position,
        )

    def _require_image(self) -> Image:
        image = self.StructureSet.Image
        if image is None:
            raise ApplicationException("image-missing", f"structure set {self.StructureSet.Id!r} has none")
        return image

    def _require_beams(self) -> None:
        if not self.Beams:
            raise ApplicationException("treatment-beams", "the plan has none")

    def _require_fluence(self) -> None:
        if not self._fluence:
            raise ApplicationException("optimize-first", "the plan has no optimized fluence")


def attach_dose(plan: ExternalPlanSetup, dose: RtDose | None) -> None:
    """Give a plan a dose, as an import would; not part of ESAPI."""
    plan._calculated = dose
    plan._normalization = math.nan


def set_approval_status(plan: ExternalPlanSetup, status: PlanSetupApprovalStatus) -> None:
    """Approve a plan, or take that back, as a person in the planning system would; not part of ESAPI."""
    plan._approval = status
