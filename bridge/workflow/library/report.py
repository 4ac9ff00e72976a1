"""What a library holds, in numbers: how many plans, how fast, how good, how far apart, and what a trade costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from bridge.report.fronts import FrontPoint, PatientFronts
from bridge.rt.errors import ModelRefusal
from bridge.rt.openkbp import TARGETS
from bridge.rt.pareto import exchanges, gaps
from bridge.workflow.library.goals import protocol_sha256, shown_goal
from bridge.workflow.library.record import read_left_out, read_work
from bridge.workflow.library.reference import organs_gy
from config.protocol import Protocol, load_protocol
from models.library.library import Library, LibraryPatient, LibraryPlan, criteria_table, dose_file
from models.library.measures import CRITERIA_TOLERANCE
from models.openkbp.reader import STANDARD_NAMES

__all__ = ["library_report", "patient_fronts", "trade_offs"]

_OPENKBP = "openkbp"


def library_report(path: Path, library: Library) -> dict[str, object]:
    """Give the report as it is written as JSON.

    Parameters
    ----------
    path
        Folder of the library.
    library
        As opened.

    Raises
    ------
    ModelRefusal
        There is no patient in it yet (``library-empty``), or its protocol has changed since (``library-protocol``).
    """
    protocol = load_protocol(library.recipe.protocol)
    if protocol_sha256(protocol) != library.recipe.protocol_sha256:
        raise ModelRefusal(
            "library-protocol",
            f"The protocol {library.recipe.protocol!r} is not what it was when the library was made.",
        )
    patients = library.patients
    if not patients:
        raise ModelRefusal("library-empty", "No patient of the library is whole yet.")
    plans = [plan for patient in patients for plan in patient.plans]
    references = [plan for plan in plans if plan.is_reference]
    return {
        "recipe": library.recipe.model_dump(),
        "patients": dict(Counter(patient.manifest.set_name for patient in patients)),
        "plans": len(plans),
        "plans_per_patient": _spread([len(patient.plans) for patient in patients]),
        "plans_by_beams": dict(Counter(plan.beams.name for plan in plans)),
        "left_out": {one.patient: dict(one.error) for one in read_left_out(path)},
        "speed": _speed(path, plans),
        "megabytes": _megabytes(path, patients),
        "goals_of_reference_plans": _goals(references),
        "openkbp_criteria": _criteria(patients, protocol),
        "flags": dict(Counter(flag for plan in plans for flag in plan.entry.flags)),
        "spread": _spreads(patients),
        "gap": _spread([float(gap) for patient in patients for gap in _gaps(patient)]),
    }


def trade_offs(patient: LibraryPatient, beam_set: str) -> dict[str, str]:
    """Say what the next gray off each organ costs from the reference plan on, by the plans that there are.

    All else is free to change, so this is the best price, of homogeneity and of the coverage of each target by itself;
    what costs nothing is not named. Where no plan spares the organ more, nothing is said.
    """
    plans = patient.with_beams(beam_set)
    names, table = criteria_table(plans)
    said = {}
    at = next(number for number, plan in enumerate(plans) if plan.is_reference)
    costs = [name for name in names if not name.endswith(" mean (Gy)")]
    costly = [names.index(name) for name in costs]
    for organ in (name for name in names if name.endswith(" mean (Gy)")):
        wanted = table[:, names.index(organ)]
        prices = []
        for cost in costs:
            steps = exchanges(wanted, table[:, names.index(cost)])
            here = [step for step in steps if wanted[step.end] < wanted[at] <= wanted[step.start]]
            if here:
                prices.append(_price(cost, here[0].rate))
        spares = wanted < wanted[at] - CRITERIA_TOLERANCE
        price = ", ".join(prices)
        if not prices and spares.any():
            held = (table[:, costly] <= table[at, costly] + CRITERIA_TOLERANCE).all(axis=1)
            both = bool((spares & held).any())
            price = "neither homogeneity nor coverage" if both else "homogeneity or coverage, one of them"
        if price:
            name = organ.removesuffix(" mean (Gy)")
            said[name] = f"1 Gy off {name} costs {price}"
    return said


def _price(criterion: str, rate: float) -> str:
    """Say what is paid of a criterion: of homogeneity as a fraction, because percent would read as relative."""
    name, _, unit = criterion.removesuffix(")").partition(" (")
    return f"{rate / 100.0:.4f} of {name}" if unit == "%" else f"{rate:.2f} {unit} of {name.removesuffix(' deficit')}"


def patient_fronts(patient: LibraryPatient, beam_set: str) -> PatientFronts:
    """Give the plans of a patient as points of two fronts: homogeneity and coverage against the organs' means."""
    points = tuple(
        FrontPoint(
            name=plan.entry.record.weighting.name,
            organs_gy=organs_gy(plan.measures),
            hi=plan.measures.hi,
            deficit_gy=max(max(0.0, one.prescribed_gy - one.d95_gy) for one in plan.measures.targets.values()),
            is_reference=plan.is_reference,
            is_dominated=plan.is_dominated,
        )
        for plan in patient.with_beams(beam_set)
    )
    return PatientFronts(patient.id, points)


def _speed(path: Path, plans: Sequence[LibraryPlan]) -> dict[str, object]:
    """Give plans per hour over all that was recorded, and seconds of the optimizations alone."""
    work = read_work(path)
    made, hours = sum(one.plans for one in work), sum(one.seconds / one.processes for one in work) / 3600.0
    return {
        "plans_per_hour": made / hours if hours else None,
        "plans_recorded": made,
        "processes": sorted({one.processes for one in work}),
        "optimization_s": _spread([plan.entry.record.seconds for plan in plans]),
        "iterations": _spread([plan.entry.record.iterations for plan in plans]),
    }


def _megabytes(path: Path, patients: Sequence[LibraryPatient]) -> dict[str, float]:
    whole = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    doses = [path / patient.id / dose_file(plan.name) for patient in patients for plan in patient.plans]
    of_doses = sum(file.stat().st_size for file in doses if file.exists())
    return {"all": whole / 1e6, "without_doses": (whole - of_doses) / 1e6}


def _goals(references: Sequence[LibraryPlan]) -> dict[str, object]:
    """Give the shares of goals that the reference plans meet."""
    goals = [plan.measures.goals for plan in references]
    by_goal: dict[str, list[bool]] = {}
    for outcome in chain.from_iterable(goals):
        by_goal.setdefault(f"{outcome.roi} {shown_goal(outcome.what)}", []).append(outcome.is_met)
    return {
        "share_of_goals_met": _share([one.is_met for one in chain.from_iterable(goals)]),
        "share_of_hard_goals_met": _share([one.is_met for one in chain.from_iterable(goals) if one.hard]),
        "share_of_plans_that_meet_all": _share([all(one.is_met for one in of_plan) for of_plan in goals]),
        "share_of_plans_that_meet_all_hard": _share(
            [all(one.is_met for one in of_plan if one.hard) for of_plan in goals]
        ),
        "by_goal": {name: {"share": _share(outcomes), "n": len(outcomes)} for name, outcomes in by_goal.items()},
    }


def _criteria(patients: Sequence[LibraryPatient], protocol: Protocol) -> dict[str, object]:
    """Give the shares of OpenKBP's clinical criteria met, by its own rules, by reference plans and clinical doses."""
    met: dict[str, dict[str, list[bool]]] = {}
    for patient in patients:
        for plan, found in patient.manifest.criteria_gy.items():
            for name, is_met in _criteria_met(found, patient.manifest.levels_gy, protocol).items():
                met.setdefault(plan, {}).setdefault(name, []).append(is_met)
    return {
        plan: {
            "share": _share([one for values in by_name.values() for one in values]),
            "by_criterion": {name: {"share": _share(values), "n": len(values)} for name, values in by_name.items()},
        }
        for plan, by_name in met.items()
    }


def _criteria_met(found: Mapping[str, float], levels_gy: Mapping[str, float], protocol: Protocol) -> dict[str, bool]:
    """Hold dose parameters by OpenKBP's rules against the goals of the protocol that are OpenKBP's."""
    met = {}
    for roi in TARGETS:
        for goal in protocol.targets:
            name = f"{roi} D{goal.volume_percent:g}"
            if goal.source == _OPENKBP and goal.operator == "lower" and name in found:
                met[name] = found[name] >= levels_gy[roi] * goal.dose_percent / 100.0
    for roi, standard in STANDARD_NAMES.items():
        for organ in protocol.organs.get(standard, ()):
            name = f"{roi} {'mean' if organ.volume_cc is None else f'D{organ.volume_cc:g}cc'}"
            if organ.source == _OPENKBP and name in found:
                met[name] = found[name] <= organ.dose_gy
    return met


def _spreads(patients: Sequence[LibraryPatient]) -> dict[str, object]:
    """Give, for each criterion, its values in the reference plans and how far a patient's plans lie apart."""
    reference: dict[str, list[float]] = {}
    apart: dict[str, list[float]] = {}
    for patient in patients:
        for beams in patient.manifest.beam_sets:
            plans = patient.with_beams(beams.name)
            names, table = criteria_table(plans)
            at = next(number for number, plan in enumerate(plans) if plan.is_reference)
            for column, name in enumerate(names):
                reference.setdefault(name, []).append(float(table[at, column]))
                apart.setdefault(name, []).append(float(np.ptp(table[:, column])))
    return {name: {"reference": _spread(reference[name]), "range_in_a_patient": _spread(apart[name])} for name in apart}


def _gaps(patient: LibraryPatient) -> list[float]:
    """Give how far each plan is from the nearest one of the same beams: the largest difference of any criterion."""
    found: list[float] = []
    for beams in patient.manifest.beam_sets:
        plans = patient.with_beams(beams.name)
        if len(plans) > 1:
            found += gaps(criteria_table(plans)[1]).tolist()
    return found


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "n": len(values),
        "mean": float(np.mean(values)),
        "sd": float(np.std(values)),
        "min": float(np.min(values)),
        "median": float(np.median(values)),
        "max": float(np.max(values)),
    }


def _share(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None
