"""What a hand-over would do to a plan, in words; nothing is changed before the planner has said yes to it."""

from __future__ import annotations

from datetime import UTC

from bridge.rt.findings import warnings_first
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE
from bridge.tps.terms import normal_tissue_words, words
from esapi_stub.plan import ExternalPlanSetup
from objective_extraction.approval import Approval
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["preview"]

_SOURCES = {
    "predicted": "a predicted dose",
    "optimized": "the optimized dose of a research plan",
    "given": "a dose of unknown origin",
}


def preview(objectives: ObjectiveSet, approval: Approval | None, plan: ExternalPlanSetup) -> str:
    """Say what the plan would lose and get, line by line, with the priority of each objective in brackets."""
    provenance = objectives.provenance
    model = f", model {provenance.model_id}" if provenance.model_id else ""
    lines = [
        NOT_FOR_CLINICAL_USE,
        f"Objectives {objectives.sha256[:16]}, made {provenance.created_utc.isoformat()} from "
        f"{_SOURCES[objectives.dose_source]} (fdp-bridge {provenance.software_version}{model})",
        "NOT APPROVED by a person"
        if approval is None
        else f"Approved by {approval.approved_by} at {approval.approved_utc.astimezone(UTC).isoformat()}",
        f"Plan {plan.Id} on structure set {plan.StructureSet.Id}: {plan.TotalDose.Dose:g} "
        f"{plan.TotalDose.UnitAsString} in {plan.NumberOfFractions} fractions",
        *(f"{name} is called {identifier} here" for name, identifier in objectives.shortened_names.items()),
    ]
    present = len(plan.OptimizationSetup.Objectives)
    if present:
        lines.append(f"Will remove the {present} objectives that are in the plan")
    if objectives.derived_structures and plan.IsDoseValid:
        lines.append("Will discard the dose of the plan, because structures cannot be shaped while it is there")
    drawn = {structure.Id for structure in plan.StructureSet.Structures if not structure.IsEmpty}
    lines += [
        f"Will {'replace the contours of' if recipe.name in drawn else 'make'} {recipe}"
        for recipe in objectives.derived_structures
    ]
    lines.append("Will add, in Gy over all fractions, with (priority):")
    for name in dict.fromkeys(objective.roi_name for objective in objectives.objectives):
        of_one = [objective for objective in objectives.objectives if objective.roi_name == name]
        lines.append(f"  {name}: " + "; ".join(f"{words(one)} ({one.priority:g})" for one in of_one))
    if objectives.normal_tissue is not None:
        lines.append(f"  {normal_tissue_words(objectives.normal_tissue)}")
    heads = {"warning": "WARNING", "info": "Note"}
    lines += [f"{heads[finding.severity]}: {finding.message}" for finding in warnings_first(objectives.findings)]
    return "\n".join(lines)
