"""The one error tree of the project.

::

    BridgeError
    ├── Refusal                 the input is not acceptable: say why and show it; trying again will not help
    │   ├── GeometryRefusal         grids, orientations, slices, contours that do not fit together
    │   ├── IdentityRefusal         objects of different patients, studies, or contents under one UID
    │   ├── DicomRefusal            a data set that breaks, or is outside, what the bridge can read safely
    │   ├── StructureRefusal        structures missing, ambiguous or empty where they are needed
    │   ├── PrescriptionRefusal     prescription levels missing or contradictory
    │   ├── ModelRefusal            a model, card, preference or prediction that cannot be trusted
    │   ├── ApprovalRefusal         something not approved, or changed since it was
    │   └── AccessRefusal           somebody who did not show who he is, or may not do what he asked
    └── Failure                 the world did not cooperate: trying again may help
        ├── StorageFailure          disk or database
        └── DeliveryFailure         a peer that could not be reached or did not accept

Everything else that is raised is a bug. A bad value is never replaced by a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = [
    "AccessRefusal",
    "ApprovalRefusal",
    "BridgeError",
    "DeliveryFailure",
    "DicomRefusal",
    "Failure",
    "GeometryRefusal",
    "IdentityRefusal",
    "ModelRefusal",
    "PrescriptionRefusal",
    "Refusal",
    "StorageFailure",
    "StructureRefusal",
    "error_context",
]


class BridgeError(Exception):
    """Base of all errors that the bridge raises on purpose.

    Parameters
    ----------
    code
        Stable, hyphenated identifier that programs can test (``"no-target"``).
    message
        One or two sentences for a physicist: what was found, where, what was expected, how to mend it.
        Never a patient's name.
    where
        Identifiers that say where: ``{"sop_instance_uid": ..., "roi": ..., "file": ...}``.
    """

    def __init__(self, code: str, message: str, **where: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where: dict[str, str] = {key: str(value) for key, value in where.items()}

    def __reduce__(self) -> tuple[object, ...]:
        """Keep code and place when the error crosses from a worker process."""
        return _rebuild, (type(self), self.code, self.message, self.where)

    def __str__(self) -> str:
        """Give the message with its code and place."""
        place = ", ".join(f"{key}={value}" for key, value in self.where.items())
        return f"{self.message} [{self.code}{': ' + place if place else ''}]"

    def as_dict(self) -> dict[str, object]:
        """Give the one JSON shape in which errors are reported."""
        kind = "refused" if isinstance(self, Refusal) else "failed"
        return {"kind": kind, "code": self.code, "message": self.message, "where": self.where}


def _rebuild(kind: type[BridgeError], code: str, message: str, where: dict[str, str]) -> BridgeError:
    return kind(code, message, **where)


class Refusal(BridgeError):
    """The input is not acceptable; the reason is for a person to read."""


class GeometryRefusal(Refusal):
    """Grids, orientations, slices or contours that do not fit together."""


class IdentityRefusal(Refusal):
    """Objects of different patients or studies, or different contents under one UID."""


class DicomRefusal(Refusal):
    """A data set that breaks the standard, or uses a part of it that the bridge cannot read safely."""


class StructureRefusal(Refusal):
    """Structures missing, ambiguous or empty where they are needed."""


class PrescriptionRefusal(Refusal):
    """Prescription levels missing or contradictory."""


class ModelRefusal(Refusal):
    """A model, card, preference or prediction that cannot be trusted."""


class ApprovalRefusal(Refusal):
    """Something that is not approved, or has changed since it was."""


class AccessRefusal(Refusal):
    """Somebody who did not show who he is, or may not do what he asked."""


class Failure(BridgeError):
    """The world did not cooperate; trying again may help."""


class StorageFailure(Failure):
    """Disk or database trouble."""


class DeliveryFailure(Failure):
    """A peer could not be reached or did not accept."""


@contextmanager
def error_context(where: Mapping[str, object]) -> Iterator[None]:
    """Add a place (case, step, file) to every bridge error that passes through, keeping what it already has."""
    try:
        yield
    except BridgeError as error:
        for key, value in where.items():
            error.where.setdefault(key, str(value))
        raise
