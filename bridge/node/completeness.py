"""Is a study complete? Decided from its content: an RTSTRUCT names the CT instances that it was drawn on.

Everything here is a pure function of the instances that are stored, so a restart loses nothing: ask again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import median

from bridge.node.instances import StoredInstance
from bridge.node.settings import QuietPolicy

__all__ = ["StructureSetState", "StudyState", "Verdict", "may_proceed", "study_state"]

_GAP_FACTOR = 1.5
"""A step between slices of more than this many usual steps is a gap. Uneven series without one are judged elsewhere."""

_MOST_UIDS_SHOWN = 10


class Verdict(Enum):
    """What to do with a structure set, or with a whole study."""

    WAITING = "waiting"
    COMPLETE = "complete"
    REFUSED = "refused"


@dataclass(frozen=True)
class StructureSetState:
    """How far one RTSTRUCT is.

    Attributes
    ----------
    sop_instance_uid
        Of the RTSTRUCT.
    verdict, code, reason
        The reason is a sentence for a person; code is for programs.
    ct_sop_instance_uids
        The CT instances that belong to it and are here, from low to high z: those that it names and the rest
        of their series.
    missing
        The CT instances that it names and that are not here.
    settles_when_quiet
        True if content alone cannot decide, so that a quiet period may.
    """

    sop_instance_uid: str
    verdict: Verdict
    code: str
    reason: str
    ct_sop_instance_uids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    settles_when_quiet: bool = False


@dataclass(frozen=True)
class StudyState:
    """How far a study is: complete as soon as one of its structure sets is."""

    verdict: Verdict
    code: str
    reason: str
    structure_sets: tuple[StructureSetState, ...] = ()


def study_state(instances: Sequence[StoredInstance]) -> StudyState:
    """Judge a study.

    Parameters
    ----------
    instances
        All stored instances of one study, in any order; repeated ones do no harm.

    Returns
    -------
    StudyState
        ``REFUSED`` if two patients or two contents of one instance are in it, else ``COMPLETE`` or ``WAITING``.
    """
    refused = _refusal(instances)
    if refused is not None:
        return refused
    ct = {item.header.sop_instance_uid: item for item in instances if item.header.modality == "CT"}
    structure_sets = {item.header.sop_instance_uid: item for item in instances if item.header.modality == "RTSTRUCT"}
    if not structure_sets:
        return StudyState(Verdict.WAITING, "no-structure-set", f"No RTSTRUCT yet; {len(ct)} CT instances are here.")
    states = tuple(_structure_set_state(structure_sets[uid], ct) for uid in sorted(structure_sets))
    best = next((state for state in states if state.verdict is Verdict.COMPLETE), states[0])
    reason = best.reason
    if len(states) > 1:
        reason = " ".join(f"RTSTRUCT {state.sop_instance_uid}: {state.reason}" for state in states)
    return StudyState(best.verdict, best.code, reason, states)


def may_proceed(state: StructureSetState, quiet_s: float, policy: QuietPolicy) -> bool:
    """Tell if a structure set may be taken, `quiet_s` seconds after the last instance of its study arrived."""
    if state.verdict is Verdict.COMPLETE:
        return quiet_s >= policy.complete_s
    return state.verdict is Verdict.WAITING and state.settles_when_quiet and quiet_s >= policy.undecided_s


def _refusal(instances: Sequence[StoredInstance]) -> StudyState | None:
    patients: dict[str, int] = defaultdict(int)
    contents: dict[str, set[str]] = defaultdict(set)
    for item in instances:
        patients[item.header.patient_key] += 1
        contents[item.header.sop_instance_uid].add(item.sha256)
    if len(patients) > 1:
        counts = " and ".join(str(count) for count in sorted(patients.values(), reverse=True))
        return StudyState(
            Verdict.REFUSED,
            "two-patients",
            f"The study holds instances of {len(patients)} patients ({counts} instances); correct the Patient ID at "
            "the source and send it again under a new Study Instance UID.",
        )
    conflicts = sorted(uid for uid, hashes in contents.items() if len(hashes) > 1)
    if conflicts:
        return StudyState(
            Verdict.REFUSED,
            "content-conflict",
            f"Different contents came under one SOP Instance UID ({_shown(conflicts)}); a person must choose, by "
            "`fdp-bridge keep`.",
        )
    return None


def _structure_set_state(structure_set: StoredInstance, ct: dict[str, StoredInstance]) -> StructureSetState:
    uid = structure_set.header.sop_instance_uid
    named = structure_set.header.referenced_sop_instance_uids
    if not named:
        belonging = _by_height(ct.values())
        if not belonging:
            return StructureSetState(uid, Verdict.WAITING, "no-ct", "No CT instances yet, and the RTSTRUCT names none.")
        reason = f"The RTSTRUCT names no CT instances; {len(belonging)} are here, and only a quiet period can tell."
        return StructureSetState(
            uid, Verdict.WAITING, "nothing-referenced", reason, _uids(belonging), settles_when_quiet=True
        )
    missing = tuple(sorted(named - ct.keys()))
    series = {ct[name].header.series_instance_uid for name in named & ct.keys()}
    belonging = _by_height(item for item in ct.values() if item.header.series_instance_uid in series)
    if missing:
        reason = f"CT {len(named) - len(missing)} of {len(named)}; missing {_shown(missing)}."
        return StructureSetState(uid, Verdict.WAITING, "ct-missing", reason, _uids(belonging), missing)
    gap = _gap(belonging)
    if gap:
        return StructureSetState(uid, Verdict.WAITING, "slice-gap", gap, _uids(belonging), settles_when_quiet=True)
    reason = f"All {len(named)} CT instances that the RTSTRUCT names are here."
    return StructureSetState(uid, Verdict.COMPLETE, "complete", reason, _uids(belonging))


def _gap(belonging: Sequence[StoredInstance]) -> str | None:
    """Describe the first gap between the slices of each series, in mm of patient z."""
    heights: dict[str, set[float]] = defaultdict(set)
    for item in belonging:
        if item.header.z_mm is not None:
            heights[item.header.series_instance_uid].add(item.header.z_mm)
    for series in sorted(heights):
        z_mm = sorted(heights[series])
        steps_mm = [upper - lower for lower, upper in pairwise(z_mm)]
        if not steps_mm:
            continue
        usual_mm = median(steps_mm)
        for lower_mm, step_mm in zip(z_mm, steps_mm, strict=False):
            if step_mm > _GAP_FACTOR * usual_mm:
                count = round(step_mm / usual_mm) - 1
                return (
                    f"CT slices are missing between z = {lower_mm:g} mm and z = {lower_mm + step_mm:g} mm "
                    f"(about {count}, at {usual_mm:g} mm); the RTSTRUCT does not name them."
                )
    return None


def _by_height(items: Iterable[StoredInstance]) -> tuple[StoredInstance, ...]:
    return tuple(sorted(items, key=lambda item: (item.header.z_mm or 0.0, item.header.sop_instance_uid)))


def _uids(items: Sequence[StoredInstance]) -> tuple[str, ...]:
    return tuple(item.header.sop_instance_uid for item in items)


def _shown(uids: Sequence[str]) -> str:
    more = f" and {len(uids) - _MOST_UIDS_SHOWN} more" if len(uids) > _MOST_UIDS_SHOWN else ""
    return ", ".join(uids[:_MOST_UIDS_SHOWN]) + more
