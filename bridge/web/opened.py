"""Cases that are open in the review room: read once, kept while they are looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from threading import Lock
from typing import Any

from bridge.report.tables import dvh_json
from bridge.rt.errors import ApprovalRefusal, GeometryRefusal
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from bridge.web.encoded import EncodedVolume, encode_ct, encode_dose
from bridge.workflow.clinical_goals import clinical_goals, goal_outcomes
from bridge.workflow.export import plan_metrics
from bridge.workflow.library.goals import Goal
from bridge.workflow.opened_case import OpenedCase, ReturnedDose, read_returned
from bridge.workflow.pipeline import measure
from bridge.workflow.predict import dvh_policy
from config.protocol import load_protocol
from config.settings import Settings

__all__ = ["ShownCase", "ShownCases", "ShownDose"]

_MOST_CASES = 3
"""A CT takes 60 MB."""


class ShownDose:
    """A dose of an open case, encoded and measured when it is first asked for.

    Parameters
    ----------
    case
        Whose structures it is measured in.
    dose
        The predicted one as exported, or one that came back.
    """

    def __init__(self, case: ShownCase, dose: Dose) -> None:
        self._case = case
        self._dose = dose

    @cached_property
    def volume(self) -> EncodedVolume:
        """As the browser takes it."""
        return encode_dose(self._dose)

    @cached_property
    def measured(self) -> Mapping[str, Any]:
        """DVHs as in ``dvh.json``, by the reference path, and what the dose makes of the clinical goals."""
        case, policy = self._case.opened.case, dvh_policy(self._case.settings)
        assert case.prescription is not None  # noqa: S101 - a case without one was refused
        dvhs = measure(case.structures, self._dose, policy)
        content = dvh_json(dvhs, plan_metrics(case, dvhs, case.prescription))
        return {"dvh": content, "goals": goal_outcomes(self._case.goals, dvhs)}


class ShownCase:
    """An open case with its volumes as the browser takes them.

    Parameters
    ----------
    opened
        As read from disk.
    settings
        How DVHs are computed, and which protocol's goals are shown.
    """

    def __init__(self, opened: OpenedCase, settings: Settings) -> None:
        self.opened = opened
        self.settings = settings
        self.result = opened.results.job.input_sha256[:12]
        self.dose = ShownDose(self, opened.dose)
        self._returned: dict[int, ShownDose] = {}

    @cached_property
    def ct(self) -> EncodedVolume:
        """CT on its own grid."""
        return encode_ct(self.opened.case.ct)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """Clinical goals of the site's protocol."""
        return clinical_goals(load_protocol(self.settings.review.protocol), self.opened.case)

    def returned(self, dose: ReturnedDose) -> ShownDose:
        """Give a dose that came back; refuses as :func:`bridge.workflow.opened_case.read_returned`."""
        if dose.id not in self._returned:
            self._returned[dose.id] = ShownDose(self, read_returned(dose))
        return self._returned[dose.id]

    def structure(self, roi_number: int) -> Structure:
        """Give a structure by its number; refuses others (``roi-unknown``)."""
        for structure in self.opened.case.structures:
            if structure.number == roi_number:
                return structure
        raise GeometryRefusal("roi-unknown", f"The structure set has no ROI number {roi_number}.")


class ShownCases:
    """The few cases that were looked at last.

    Parameters
    ----------
    read
        Reads a case by its id.
    newest_result
        Gives the id of the newest result of a case; cheap.
    """

    def __init__(self, read: Callable[[str], ShownCase], newest_result: Callable[[str], str]) -> None:
        self._read = read
        self._newest_result = newest_result
        self._cases: OrderedDict[str, ShownCase] = OrderedDict()
        self._lock = Lock()

    def get(self, case_id: str, result: str | None = None) -> ShownCase:
        """Give a case with its newest result.

        Parameters
        ----------
        result
            The result that is being looked at, or None for the newest.

        Raises
        ------
        ApprovalRefusal
            There is a newer result than that (``result-superseded``), or see
            :func:`bridge.workflow.opened_case.open_case`.
        """
        newest = self._newest_result(case_id)
        if result not in (None, newest):
            raise _superseded(case_id)
        with self._lock:  # reading takes seconds, and twice at once would take twice the memory
            shown = self._cases.get(case_id)
            if shown is None or shown.result != newest:
                shown = self._read(case_id)
                self._cases[case_id] = shown
            self._cases.move_to_end(case_id)
            while len(self._cases) > _MOST_CASES:
                self._cases.popitem(last=False)
        if result not in (None, shown.result):
            raise _superseded(case_id)  # while this waited for other cases to be read
        return shown


def _superseded(case_id: str) -> ApprovalRefusal:
    return ApprovalRefusal(
        "result-superseded", f"Case {case_id} has newer results than those that you look at. Load it again."
    )
