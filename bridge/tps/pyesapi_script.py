"""The steps of the Eclipse plug-in in Python, for research systems: PyESAPI may not write on a clinical one.

::

    python -m bridge.tps.pyesapi_script FOLDER --patient ID --course ID --plan ID

It was never run against a real Eclipse.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, cast

from bridge import __version__
from bridge.rt.errors import ApprovalRefusal, IdentityRefusal, PrescriptionRefusal, Refusal
from bridge.tps.eclipse import OBJECTIVES_FILE, RECEIPT_FILE, EclipseFolder
from bridge.tps.esapi_port import EsapiPort, words
from bridge.tps.receipt import Receipt, read_receipt
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue
from objective_extraction.objective_json import read_objective_set
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["Hosted", "hand_over", "main"]

_SAME_DOSE_GY = 0.005
_PER_GY = {"Gy": 1.0, "cGy": 100.0}


class _HostRefused(HostException):
    """What the real host threw; no rule of the stub stands behind it."""

    def __init__(self, said: str) -> None:
        Exception.__init__(self, said)


class Hosted:
    """An object of the real host, spoken to as one of the stub: with its doses, operators and exceptions.

    Parameters
    ----------
    real
        The .NET object.
    types
        The namespace ``VMS.TPS.Common.Model.Types``.
    """

    def __init__(self, real: Any, types: Any) -> None:
        vars(self).update(_real=real, _types=types)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value):
            return self._taken(value)

        def call(*arguments: object) -> Any:
            try:
                return self._taken(value(*map(self._given, arguments)))
            except Exception as error:  # any exception of .NET: pythonnet gives them no common base but this
                raise _HostRefused(str(error)) from error

        return call

    def __setattr__(self, name: str, value: object) -> None:
        try:
            setattr(self._real, name, self._given(value))
        except Exception as error:  # as above
            raise _HostRefused(str(error)) from error

    def _taken(self, value: Any) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
        try:
            items = iter(value)
        except TypeError:
            return Hosted(value, self._types)
        return tuple(map(self._taken, items))

    def _given(self, value: Any) -> Any:
        if isinstance(value, Hosted):
            return vars(value)["_real"]
        if isinstance(value, DoseValue):
            return self._types.DoseValue(value.Dose, getattr(self._types.DoseValue.DoseUnit, value.Unit.name))
        return getattr(getattr(self._types, type(value).__name__), value.name) if isinstance(value, Enum) else value


def hand_over(objectives: ObjectiveSet, patient: Any, plan: Any, types: Any) -> Receipt:
    """Replace a plan's objectives, after the checks that the plug-in makes.

    Parameters
    ----------
    patient, plan
        The open patient and one of its external beam plans, as PyESAPI gives them.
    types
        The namespace ``VMS.TPS.Common.Model.Types``.

    Raises
    ------
    Refusal
        The objectives are not for this patient, structure set or plan; nothing was changed. Single objectives that
        the host refuses are in the receipt.
    """
    unit = _require_fit(objectives, patient, plan, types)
    patient.BeginModifications()
    port = EsapiPort(cast(ExternalPlanSetup, Hosted(plan, types)), unit)
    return port.hand_over(objectives).model_copy(update={"taken_by": _taker()})


def _require_fit(objectives: ObjectiveSet, patient: Any, plan: Any, types: Any) -> DoseValue.DoseUnit:
    case, drawn = objectives.case, plan.StructureSet
    if case.structure_set_uid not in [one.UID for one in patient.StructureSets]:
        raise IdentityRefusal("other-patient", "The open patient does not have the structure set of the objectives.")
    if case.structure_set_uid != drawn.UID:
        raise IdentityRefusal("other-structure-set", f"The plan {plan.Id!r} is on another structure set.")
    if case.frame_of_reference_uid != drawn.Image.FOR:
        raise IdentityRefusal("other-frame-of-reference", f"The image of the plan {plan.Id!r} is another one.")
    if plan.ApprovalStatus != types.PlanSetupApprovalStatus.UnApproved:
        raise ApprovalRefusal("plan-approved", f"The plan {plan.Id!r} is {plan.ApprovalStatus}, not UnApproved.")
    if plan.NumberOfFractions is None:
        raise PrescriptionRefusal("no-prescription", f"The plan {plan.Id!r} has no prescription; prescribe first.")
    names = [name for name in _PER_GY if plan.TotalDose.Unit == getattr(types.DoseValue.DoseUnit, name)]
    if not names:
        raise Refusal("unknown-unit", f"The plan's dose is in {plan.TotalDose.Unit}, neither in Gy nor in cGy.")
    total_gy, fractions = plan.TotalDose.Dose / _PER_GY[names[0]], objectives.prescription.fractions
    if abs(total_gy - objectives.prescription.highest_gy) > _SAME_DOSE_GY or fractions not in (
        None,
        plan.NumberOfFractions,
    ):
        raise PrescriptionRefusal(
            "other-prescription",
            f"The objectives are for {objectives.prescription.highest_gy:g} Gy in {fractions or 'any'} fractions, the "
            f"plan prescribes {total_gy:g} Gy in {plan.NumberOfFractions}.",
        )
    return DoseValue.DoseUnit[names[0]]


def _taker() -> str:
    return f"pyesapi script {__version__}"


def _write(receipt: Receipt, folder: Path) -> None:
    part = folder / f"{RECEIPT_FILE}.part"
    part.write_text(receipt.model_dump_json(), encoding="utf-8")
    os.replace(part, folder / RECEIPT_FILE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand one folder over to one plan, if the planner says yes to the preview."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("--patient", "--course", "--plan"):
        parser.add_argument(name, required=True)
    asked = parser.parse_args(arguments)
    folder: Path = asked.folder
    objectives = read_objective_set(folder / OBJECTIVES_FILE)
    if EclipseFolder(folder.parent).folder_of(objectives).name != folder.name:
        raise ApprovalRefusal("not-handed-over", f"The folder {folder.name} holds other objectives than approved.")
    host = importlib.import_module("pyesapi")
    types = importlib.import_module("VMS.TPS.Common.Model.Types")  # there once pyesapi has loaded the assemblies
    application = host.CustomScriptExecutable.CreateApplication("fdp-bridge")
    try:
        patient = application.OpenPatientById(asked.patient)
        course = next(one for one in patient.Courses if one.Id == asked.course)
        plan = next(one for one in course.ExternalPlanSetups if one.Id == asked.plan)
        done = folder / RECEIPT_FILE
        if done.exists() and any(plan.OptimizationSetup.Objectives):
            earlier = read_receipt(done, objectives)
            if (earlier.state, earlier.plan_uid) == ("applied", plan.UID):
                raise ApprovalRefusal("already-applied", f"The plan {plan.Id!r} has these objectives already.")
        lines = [f"{one.roi_name}: {words(one)} ({one.priority:g})" for one in objectives.objectives]
        sys.stdout.write("\n".join([objectives.sha256[:16], *lines, "Change the plan? Type yes: "]))
        if input() != "yes":
            return 0
        try:
            receipt = hand_over(objectives, patient, plan, types)
            application.SaveModifications()
        except Refusal as refusal:
            receipt = Receipt(
                objectives_sha256=objectives.sha256,
                state="refused",
                reason=str(refusal)[:1000],
                taken_by=_taker(),
                plan_uid=plan.UID,
                created_utc=datetime.now(UTC),
            )
        _write(receipt, folder)
        sys.stdout.write(receipt.model_dump_json(indent=2) + "\n")
        return 3 if receipt.state == "refused" else 0
    finally:
        application.ClosePatient()
        application.Dispose()


if __name__ == "__main__":
    sys.exit(main())
