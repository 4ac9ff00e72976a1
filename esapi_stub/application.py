"""Application, Patient and Course: the way to a plan."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.rt.structure import Structure as RtStructure
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.structure_set import StructureSet
from esapi_stub.values import DoseValue

__all__ = ["Application", "Course", "Database", "Patient", "StoredStructureSet"]

_LONGEST_COURSE_ID = 16


@dataclass(frozen=True, eq=False)
class StoredStructureSet:
    """A structure set as the stub's database holds it; not part of ESAPI."""

    identifier: str
    uid: str
    structures: Sequence[RtStructure]


class Database:
    """What the stub has instead of a planning system's database; not part of ESAPI.

    Parameters
    ----------
    patients
        Patient id to structure sets.
    dose_unit
        What the system is set to: Gy or cGy.
    """

    def __init__(
        self,
        patients: dict[str, Sequence[StoredStructureSet]],
        dose_unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy,
    ) -> None:
        self.patients = {identifier: Patient(identifier, sets, dose_unit) for identifier, sets in patients.items()}
        self.in_use = False


class Patient:
    """One patient; nothing of it changes before :meth:`BeginModifications`."""

    def __init__(self, identifier: str, sets: Iterable[StoredStructureSet], dose_unit: DoseValue.DoseUnit) -> None:
        self.Id = identifier
        self._dose_unit = dose_unit
        self._modifiable = False
        self._courses: list[Course] = []
        self._sets = [
            StructureSet(stored.identifier, stored.uid, stored.structures, self.require_modifications)
            for stored in sets
        ]

    @property
    def StructureSets(self) -> tuple[StructureSet, ...]:
        """All structure sets."""
        return tuple(self._sets)

    @property
    def Courses(self) -> tuple[Course, ...]:
        """All courses."""
        return tuple(self._courses)

    def CanModifyData(self) -> bool:
        """Whether BeginModifications would be taken; always, in the stub."""
        return True

    def BeginModifications(self) -> None:
        """Allow changes; once for each opened patient."""
        self._modifiable = True

    def AddCourse(self) -> Course:
        """Add a course with an id of its own."""
        self.require_modifications()
        taken = {course.Id for course in self._courses}
        number = next(n for n in range(1, len(taken) + 2) if f"C{n}" not in taken)
        self._courses.append(Course(f"C{number}", self, self._dose_unit))
        return self._courses[-1]

    def require_modifications(self) -> None:
        """Raise unless changes are allowed; not part of ESAPI."""
        if not self._modifiable:
            raise ApplicationException("begin-modifications", "it was not called")

    def close(self) -> None:
        """End the permission to change; not part of ESAPI."""
        self._modifiable = False


class Course:
    """A course of plans."""

    def __init__(self, identifier: str, patient: Patient, dose_unit: DoseValue.DoseUnit) -> None:
        self._id = identifier
        self._patient = patient
        self._dose_unit = dose_unit
        self._plans: list[ExternalPlanSetup] = []

    @property
    def Id(self) -> str:
        """Course id."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self._patient.require_modifications()
        if not 1 <= len(value) <= _LONGEST_COURSE_ID:
            raise ArgumentException("course-id-length", f"got {value!r}")
        if any(course.Id == value for course in self._patient.Courses):
            raise ArgumentException("id-unique", f"there is a course {value!r} already")
        self._id = value

    @property
    def Patient(self) -> Patient:
        """Whose course it is."""
        return self._patient

    @property
    def ExternalPlanSetups(self) -> tuple[ExternalPlanSetup, ...]:
        """All plans."""
        return tuple(self._plans)

    PlanSetups = ExternalPlanSetups

    def AddExternalPlanSetup(self, structureSet: StructureSet) -> ExternalPlanSetup:
        """Add an empty plan on a structure set of the same patient."""
        self._patient.require_modifications()
        if structureSet not in self._patient.StructureSets:
            raise ArgumentException("structure-of-plan", f"structure set {structureSet.Id!r} is another patient's")
        number = len(self._plans) + 1
        plan = ExternalPlanSetup(
            f"Plan{number}",
            _plan_uid(structureSet.UID, self._patient.Courses.index(self), number),
            structureSet,
            self._dose_unit,
            self._patient.require_modifications,
            self._require_new_plan_id,
        )
        self._plans.append(plan)
        return plan

    def _require_new_plan_id(self, identifier: str) -> None:
        if any(plan.Id == identifier for plan in self._plans):
            raise ArgumentException("id-unique", f"there is a plan {identifier!r} already")


def _plan_uid(*parts: object) -> str:
    """Give a UID of the 2.25 root (PS3.5 B.2) for a plan: the same for the same parts, however long they are."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


class Application:
    """The planning system. Use it in a ``with`` block, or call :meth:`Dispose`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: Patient | None = None

    @staticmethod
    def CreateApplication(database: Database) -> Application:
        """Start; ESAPI takes no argument here, the stub takes the world that it is to show."""
        if database.in_use:
            raise ApplicationException("one-application", "there is one already")
        database.in_use = True
        return Application(database)

    def OpenPatientById(self, id: str) -> Patient | None:  # noqa: A002 - ESAPI's name
        """Open a patient; None where there is none of that id."""
        if self._open is not None:
            raise ApplicationException("one-patient", "one is open")
        self._open = self._database.patients.get(id)
        return self._open

    def ClosePatient(self) -> None:
        """Close the open patient."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def SaveModifications(self) -> None:
        """Keep the changes; the stub's changes are kept as they are made."""

    def Dispose(self) -> None:
        """End."""
        self.ClosePatient()
        self._database.in_use = False

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_: object) -> None:
        self.Dispose()
