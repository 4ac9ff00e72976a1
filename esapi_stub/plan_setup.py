"""PlanSetup: prescription, normalization, calculation models and approval."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.rt.short_ids import LONGEST_PLAN_ID
from bridge.rt.volume import Dose as RtDose
from esapi_stub.beams import Beam
from esapi_stub.enums import CalculationType, PlanSetupApprovalStatus, PlanType
from esapi_stub.optimization import OptimizationSetup
from esapi_stub.planning_item import PlanningItem
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.structure_set import StructureSet
from esapi_stub.system import System
from esapi_stub.values import DoseValue

if TYPE_CHECKING:
    from esapi_stub.application import Course

__all__ = ["MODELLED", "PlanSetup"]

_NOT_NORMALIZED = "No plan normalization"
_BY_VALUE = "Plan normalization value"
"""What the host calls its methods is not known; that a new value changes the method is documented."""

MODELLED = (
    CalculationType.PhotonVolumeDose,
    CalculationType.PhotonIMRTOptimization,
    CalculationType.PhotonVMATOptimization,
    CalculationType.PhotonLeafMotions,
)
"""What the stub's engine is the model of."""


class PlanSetup(PlanningItem):
    """A plan.

    Parameters
    ----------
    identifier, uid
        Plan id and UID.
    structure_set
        What it is planned on.
    course
        Whose plan it is.
    system
        How the planning system is set.
    require_modifications
        Raises unless the patient may be changed.
    """

    def __init__(
        self,
        identifier: str,
        uid: str,
        structure_set: StructureSet,
        course: Course,
        system: System,
        require_modifications: Callable[[], None],
    ) -> None:
        super().__init__(identifier, uid, structure_set, course, system)
        self._beams: tuple[Beam, ...] = ()
        self._require_modifications = require_modifications
        self._fractions: int | None = None
        self._per_fraction = DoseValue.UndefinedDose()
        self._treatment_percentage = math.nan
        self._approval = PlanSetupApprovalStatus.UnApproved
        self._normalization = math.nan
        self._normalization_method = _NOT_NORMALIZED
        self._calculated: RtDose | None = None
        self._models = {} if system.engine is None else dict.fromkeys(MODELLED, system.engine.name)
        self._setup = OptimizationSetup(
            structure_set, system.dose_unit, self.require_change, lambda: self._fractions is not None
        )

    @property
    def Id(self) -> str:
        """Plan id, 1 to 13 characters."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self.require_change()
        if not 1 <= len(value) <= LONGEST_PLAN_ID:
            raise ArgumentException("plan-id-length", f"got {value!r}")
        if any(plan.Id == value for plan in self._course.PlanSetups if plan is not self):
            raise ArgumentException("id-unique", f"there is a plan {value!r} already")
        self._id = value

    @property
    def UID(self) -> str:
        """SOP Instance UID."""
        return self._uid

    @property
    def Beams(self) -> tuple[Beam, ...]:
        """All beams, in the order in which they were added."""
        return self._beams

    @property
    def OptimizationSetup(self) -> OptimizationSetup:
        """Objectives and parameters."""
        return self._setup

    @property
    def PlanType(self) -> PlanType:
        """Always external beam."""
        return PlanType.ExternalBeam

    @property
    def ApprovalStatus(self) -> PlanSetupApprovalStatus:
        """How far its approval has come; a script cannot approve."""
        return self._approval

    @property
    def NumberOfFractions(self) -> int | None:
        """Number of fractions, or None before SetPrescription."""
        return self._fractions

    @property
    def DosePerFraction(self) -> DoseValue:
        """Prescribed dose of a fraction, undefined before SetPrescription."""
        return self._per_fraction

    @property
    def TotalDose(self) -> DoseValue:
        """Prescribed dose of all fractions, undefined before SetPrescription."""
        return self._per_fraction if self._fractions is None else self._per_fraction * self._fractions

    @property
    def prescription_gy(self) -> float:
        """The same in Gy, NaN before SetPrescription; not part of ESAPI."""
        return self.TotalDose.Dose / self._system.per_gray

    @property
    def TreatmentPercentage(self) -> float:
        """Part of the prescription that is prescribed to, 1.0 for 100 %."""
        return self._treatment_percentage

    def SetPrescription(self, numberOfFractions: int, dosePerFraction: DoseValue, treatmentPercentage: float) -> None:
        """Prescribe; ``treatmentPercentage`` is a fraction (1.0 is 100 %). It discards the dose (our guess)."""
        self.require_change()
        self._system.require_unit(dosePerFraction)
        finite = all(0.0 < number < math.inf for number in (dosePerFraction.Dose, treatmentPercentage))
        if not isinstance(numberOfFractions, int) or numberOfFractions < 1 or not finite:
            found = f"got {numberOfFractions} x {dosePerFraction} at {treatmentPercentage}"
            raise ArgumentException("prescription-range", found)
        self.discard_calculation()
        self._fractions = numberOfFractions
        self._per_fraction = dosePerFraction
        self._treatment_percentage = treatmentPercentage

    @property
    def PlanNormalizationValue(self) -> float:
        """Percent, NaN where undefined. At 95 all doses are 100/95 of what was calculated, and monitor units too."""
        return self._normalization

    @PlanNormalizationValue.setter
    def PlanNormalizationValue(self, value: float) -> None:
        self.require_change()
        if not 0.0 < value < math.inf:
            raise ArgumentException("normalization-range", f"got {value!r}")
        self._normalization = value
        self._normalization_method = _BY_VALUE

    @property
    def PlanNormalizationMethod(self) -> str:
        """How the plan is normalized; no plan normalization after every optimization (documented)."""
        return self._normalization_method

    @property
    def IsDoseValid(self) -> bool:
        """Whether there is a dose."""
        return self.rt_dose is not None

    @property
    def normalization_factor(self) -> float:
        """What calculated doses and monitor units are multiplied by; not part of ESAPI."""
        return 1.0 if math.isnan(self._normalization) else 100.0 / self._normalization

    @property
    def rt_dose(self) -> RtDose | None:
        """The bridge's dose, total over all fractions and normalized, or None; not part of ESAPI."""
        dose, factor = self._calculated, self.normalization_factor
        return dose if dose is None or factor == 1.0 else RtDose(dose.values * factor, dose.grid)

    def SetCalculationModel(self, calculationType: CalculationType, model: str) -> None:
        """Choose a model; those that are installed are GetModelsForCalculationType's."""
        self.require_change()
        if self._system.engine is None or calculationType not in MODELLED or model != self._system.engine.name:
            raise ArgumentException("calculation-model", f"got {model!r} for {calculationType.name}")
        self._models[calculationType] = model

    def GetCalculationModel(self, calculationType: CalculationType) -> str:
        """Give the model that is chosen, empty where there is none."""
        return self._models.get(calculationType, "")

    def ClearCalculationModel(self, calculationType: CalculationType) -> None:
        """Take a model away. Without the model of its dose a plan loses the dose: so scripts unlock structures."""
        self.require_change()
        self._models.pop(calculationType, None)
        if calculationType is CalculationType.PhotonVolumeDose:
            self._calculated = None

    def SetCalculationOption(self, calculationModel: str, optionName: str, optionValue: str) -> bool:
        """Give False, as the host does for an option that it does not find: the stub's engine has none."""
        self.require_change()
        return False

    def GetCalculationOptions(self, calculationModel: str) -> dict[str, str]:
        """Give all options: none."""
        return {}

    def require_model(self, calculation: CalculationType) -> None:
        """Raise where the model was cleared; not part of ESAPI."""
        if calculation not in self._models:
            raise ApplicationException("calculation-model-set", f"there is none for {calculation.name}")

    def require_change(self) -> None:
        """Raise unless the plan may be changed; not part of ESAPI."""
        self._require_modifications()
        if self._approval is not PlanSetupApprovalStatus.UnApproved:
            raise ApplicationException("plan-approved", f"its status is {self._approval.name}")

    def reset_normalization(self) -> None:
        """Set no plan normalization, as every optimization does (documented); not part of ESAPI."""
        self._normalization = 100.0
        self._normalization_method = _NOT_NORMALIZED

    def discard_calculation(self) -> None:
        """Forget what was calculated, because the plan is another now; not part of ESAPI."""
        self._calculated = None
