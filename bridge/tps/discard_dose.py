"""The dose of a plan, taken away so that structures can be shaped again.

A host does not let structures be edited while a plan has a dose on their structure set. Scripts that clinics use clear
the model of the photon dose and set it again; the plan then has its model, and no dose. PlanWriter.cs does the same.
"""

from __future__ import annotations

from typing import Any

from bridge.rt.errors import StructureRefusal
from esapi_stub.enums import CalculationType
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import HostException

__all__ = ["discard_dose"]

_DOSE = CalculationType.PhotonVolumeDose


def discard_dose(plan: ExternalPlanSetup) -> list[str]:
    """Discard the plan's dose, keeping its model with the options that the host takes again.

    Returns
    -------
    list of str
        What a planner has to know, for the receipt.

    Raises
    ------
    StructureRefusal
        The dose cannot be discarded (``dose-locked``); nothing was changed.
    """
    try:
        model = plan.GetCalculationModel(_DOSE)
        options = _options(plan.GetCalculationOptions(model)) if model else {}
        plan.ClearCalculationModel(_DOSE)
    except HostException as error:
        raise StructureRefusal(
            "dose-locked", f"Structures have to be made, and the dose of the plan {plan.Id} stays: {error}"
        ) from error
    notes = ["The plan's dose was discarded, because structures cannot be shaped while it is there."]
    if not model:
        return notes
    try:
        plan.SetCalculationModel(_DOSE, model)
        lost = [name for name, value in options.items() if not plan.SetCalculationOption(model, name, value)]
    except HostException as error:
        return [*notes, f"Its dose calculation model {model} could not be set again: {error}"]
    if lost:
        notes.append(f"Options of {model} that could not be set again: {', '.join(lost)}.")
    return notes


def _options(found: Any) -> dict[str, str]:
    """Give the options of a model: a dictionary in the stub, pairs of key and value from .NET."""
    return dict(found) if isinstance(found, dict) else {str(one.Key): str(one.Value) for one in found}
