"""The sending side of the node: C-STORE with one result per instance, and C-ECHO in plain words."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydicom.uid import CTImageStorage, RTDoseStorage, RTPlanStorage, RTStructureSetStorage
from pynetdicom import build_context
from pynetdicom.association import Association

from bridge.node.dialling import CallFailed, associated
from bridge.node.part10 import VERIFICATION, FileMeta, read_meta
from bridge.node.settings import Destination, ScuSettings
from bridge.rt.errors import Refusal

__all__ = ["DeliveryOutcome", "EchoResult", "InstanceResult", "Sender", "outcome_of_status"]

_SENDING_ORDER = (CTImageStorage, RTStructureSetStorage, RTPlanStorage, RTDoseStorage)
"""Each refers to the ones before it, and some systems attach an object only to what is already there."""

_WARNINGS = {
    0x0107: "attribute list error",
    0x0111: "the destination already has an instance with this UID",
    0x0116: "attribute value out of range",
    0xB000: "some elements were coerced",
    0xB006: "some elements were discarded",
    0xB007: "the data set does not match the SOP class",
}
_PERMANENT = {0x0112, 0x0117, 0x0118, 0x0119, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212}


class DeliveryOutcome(Enum):
    """What became of one instance."""

    SENT = "sent"
    SENT_WITH_WARNING = "sent-with-warning"
    TEMPORARY = "temporary"
    """Not delivered; trying again may help."""
    PERMANENT = "permanent"
    """Not delivered; a person must change something first."""

    @property
    def delivered(self) -> bool:
        """True if the destination has it."""
        return self in (DeliveryOutcome.SENT, DeliveryOutcome.SENT_WITH_WARNING)


@dataclass(frozen=True)
class InstanceResult:
    """The answer for one file.

    Attributes
    ----------
    status
        The DIMSE status, or None if there was none.
    code, reason
        For programs, and for people.
    """

    path: Path
    sop_instance_uid: str | None
    outcome: DeliveryOutcome
    status: int | None
    code: str
    reason: str


@dataclass(frozen=True)
class EchoResult:
    """Whether a destination answers, and if not, why."""

    reached: bool
    code: str
    message: str
    seconds: float


def outcome_of_status(status: int) -> tuple[DeliveryOutcome, str]:
    """Judge a C-STORE status (PS3.4 table B.2-1, PS3.7 annex C): only 0x0000 is simply sent."""
    if status == 0x0000:
        return DeliveryOutcome.SENT, "stored"
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF or status == 0x0001:
        named = _WARNINGS.get(status, "unnamed warning")
        return DeliveryOutcome.SENT_WITH_WARNING, f"stored, with warning 0x{status:04X}: {named}"
    if 0xA900 <= status <= 0xA9FF:
        return DeliveryOutcome.PERMANENT, f"refused with 0x{status:04X}: the data set does not match its SOP class"
    if 0xC000 <= status <= 0xCFFF:
        return DeliveryOutcome.PERMANENT, f"refused with 0x{status:04X}: the destination cannot understand it"
    if status in _PERMANENT:
        return DeliveryOutcome.PERMANENT, f"refused with 0x{status:04X}"
    if 0xA700 <= status <= 0xA7FF:
        return DeliveryOutcome.TEMPORARY, f"refused with 0x{status:04X}: the destination is out of resources"
    return DeliveryOutcome.TEMPORARY, f"failed with 0x{status:04X}"


class Sender:
    """Sends files as they lie on disk; keeps nothing between calls.

    Parameters
    ----------
    settings
        Our AE title and time limits.
    """

    def __init__(self, settings: ScuSettings) -> None:
        self._settings = settings

    def echo(self, destination: Destination) -> EchoResult:
        """Ask a destination for a sign of life (C-ECHO)."""
        started_s = time.monotonic()
        try:
            with associated(self._settings, destination, [build_context(VERIFICATION)]) as association:
                status = association.send_c_echo().get("Status")
        except CallFailed as failure:
            seconds = time.monotonic() - started_s
            return EchoResult(False, failure.diagnosis.code, failure.diagnosis.message, seconds)
        except RuntimeError:  # the association ended before the request could be sent
            status = None
        seconds = time.monotonic() - started_s
        if status == 0x0000:
            return EchoResult(True, "reached", f"{destination.name} answers after {seconds:.2f} s.", seconds)
        if status is None:
            return EchoResult(
                False, "aborted", f"{destination.name} accepted us but gave no answer to C-ECHO.", seconds
            )
        return EchoResult(False, "echo-status", f"{destination.name} answered C-ECHO with 0x{status:04X}.", seconds)

    def send(self, destination: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        """Send files in one association, CT before RTSTRUCT before RTPLAN before RTDOSE.

        Returns
        -------
        list of InstanceResult
            One per file, in the order of sending. Never raises for what a file or a peer does.
        """
        readable, results = _sorted_by_class(files)
        if not readable:
            return results
        contexts = [
            build_context(sop_class, transfer_syntax)
            for sop_class, transfer_syntax in sorted(
                {(meta.sop_class_uid, meta.transfer_syntax_uid) for _, meta in readable}
            )
        ]
        try:
            with associated(self._settings, destination, contexts) as association:
                for number, (path, meta) in enumerate(readable):
                    results.append(self._send_one(association, destination, path, meta, number % 0xFFFF + 1))
        except CallFailed as failure:
            diagnosis = failure.diagnosis
            outcome = DeliveryOutcome.PERMANENT if diagnosis.permanent else DeliveryOutcome.TEMPORARY
            results += [
                InstanceResult(path, meta.sop_instance_uid, outcome, None, diagnosis.code, diagnosis.message)
                for path, meta in readable
            ]
        return results

    def _send_one(
        self, association: Association, destination: Destination, path: Path, meta: FileMeta, message_id: int
    ) -> InstanceResult:
        def result(outcome: DeliveryOutcome, status: int | None, code: str, reason: str) -> InstanceResult:
            return InstanceResult(path, meta.sop_instance_uid, outcome, status, code, reason)

        if not association.is_established:
            lost = f"{destination.name} ended the association before this instance was sent."
            return result(DeliveryOutcome.TEMPORARY, None, "aborted", lost)
        if not any(
            context.abstract_syntax == meta.sop_class_uid and meta.transfer_syntax_uid in context.transfer_syntax
            for context in association.accepted_contexts
        ):
            refused = f"{destination.name} does not accept this SOP class in this transfer syntax."
            return result(DeliveryOutcome.PERMANENT, None, "nothing-accepted", refused)
        try:
            size = path.stat().st_size
            association.dimse_timeout = self._settings.response_timeout_s + size / self._settings.slowest_bytes_per_s
            answer = association.send_c_store(path, msg_id=message_id)
        except (OSError, RuntimeError, ValueError, ssl.SSLError):
            broken = f"The connection to {destination.name} broke, or the file could not be read."
            return result(DeliveryOutcome.TEMPORARY, None, "aborted", broken)
        status = answer.get("Status")
        if status is None:
            silent = f"{destination.name} gave no answer for this instance; it will be sent again."
            return result(DeliveryOutcome.TEMPORARY, None, "no-answer", silent)
        outcome, reason = outcome_of_status(status)
        return result(outcome, status, f"status-{status:04x}", reason)


def _sorted_by_class(files: Sequence[Path]) -> tuple[list[tuple[Path, FileMeta]], list[InstanceResult]]:
    readable: list[tuple[Path, FileMeta]] = []
    results: list[InstanceResult] = []
    for path in files:
        try:
            with open(path, "rb") as file:
                readable.append((path, read_meta(file)))
        except Refusal as refusal:
            outcome, code, reason = DeliveryOutcome.PERMANENT, refusal.code, refusal.message
            results.append(InstanceResult(path, None, outcome, None, code, reason))
        except OSError as error:
            outcome, reason = DeliveryOutcome.TEMPORARY, f"The file cannot be read: {error.strerror}."
            results.append(InstanceResult(path, None, outcome, None, "file-unreadable", reason))
    ranks = {str(uid): rank for rank, uid in enumerate(_SENDING_ORDER)}
    readable.sort(key=lambda item: ranks.get(item[1].sop_class_uid, len(ranks)))  # stable: the caller's order within
    return readable, results
