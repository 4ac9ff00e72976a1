"""The doses of previews, kept for a while to be looked at."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from bridge.rt.errors import ApprovalRefusal
from bridge.web.encoded import EncodedVolume

__all__ = ["PreviewDoses"]

_MOST_DOSES = 12
"""One takes some 8 MB."""


@dataclass(frozen=True, eq=False)
class _Kept:
    case_id: str
    result: str
    dose: EncodedVolume


class PreviewDoses:
    """The doses of the newest previews, by a name that cannot be guessed."""

    def __init__(self) -> None:
        self._doses: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = Lock()

    def keep(self, case_id: str, result: str, dose: EncodedVolume) -> str:
        """Keep a dose for a while and give its name."""
        name = secrets.token_hex(8)
        with self._lock:
            self._doses[name] = _Kept(case_id, result, dose)
            while len(self._doses) > _MOST_DOSES:
                self._doses.popitem(last=False)
        return name

    def get(self, name: str, case_id: str, result: str) -> EncodedVolume:
        """Give a dose of that result of that case; refuses what is no longer there (``preview-gone``)."""
        with self._lock:
            kept = self._doses.get(name)
        if kept is None or (kept.case_id, kept.result) != (case_id, result):
            raise ApprovalRefusal("preview-gone", "That preview is no longer kept. Move a slider again.")
        return kept.dose
