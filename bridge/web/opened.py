"""Cases that are open in the review room: read once, kept while they are looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, lru_cache
from threading import Lock

from bridge.rt.errors import ApprovalRefusal, GeometryRefusal
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import Structure
from bridge.web.encoded import EncodedVolume, encode_ct, encode_dose, encode_mask
from bridge.workflow.opened_case import OpenedCase

__all__ = ["ShownCase", "ShownCases"]

_MOST_CASES = 3
"""A CT takes 60 MB."""

_MOST_MASKS = 32


class ShownCase:
    """An open case with its volumes as the browser takes them.

    Parameters
    ----------
    opened
        As read from disk.
    """

    def __init__(self, opened: OpenedCase) -> None:
        self.opened = opened
        self.result = opened.results.job.input_sha256[:12]
        self.mask = lru_cache(_MOST_MASKS)(self._mask)

    @cached_property
    def ct(self) -> EncodedVolume:
        """CT on its own grid."""
        return encode_ct(self.opened.case.ct)

    @cached_property
    def dose(self) -> EncodedVolume:
        """Predicted dose on its own grid."""
        return encode_dose(self.opened.dose)

    def structure(self, roi_number: int) -> Structure:
        """Give a structure by its number; refuses others (``roi-unknown``)."""
        for structure in self.opened.case.structures:
            if structure.number == roi_number:
                return structure
        raise GeometryRefusal("roi-unknown", f"The structure set has no ROI number {roi_number}.")

    def _mask(self, roi_number: int) -> EncodedVolume:
        """Rasterise a structure on the grid of the dose."""
        return encode_mask(mask_of(self.structure(roi_number), self.opened.dose.grid))


class ShownCases:
    """The few cases that were looked at last.

    Parameters
    ----------
    read
        Reads a case by its id.
    newest_result
        Gives the id of the newest result of a case; cheap.
    """

    def __init__(self, read: Callable[[str], OpenedCase], newest_result: Callable[[str], str]) -> None:
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
            raise ApprovalRefusal(
                "result-superseded", f"Case {case_id} has newer results than those that you look at. Load it again."
            )
        with self._lock:  # reading takes seconds, and twice at once would take twice the memory
            shown = self._cases.get(case_id)
            if shown is None or shown.result != newest:
                shown = ShownCase(self._read(case_id))
                self._cases[case_id] = shown
            self._cases.move_to_end(case_id)
            while len(self._cases) > _MOST_CASES:
                self._cases.popitem(last=False)
            return shown
