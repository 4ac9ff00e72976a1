"""Application, ScriptContext, Patient and Course: the way to a plan."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.rt.structure import Structure as RtStructure
from bridge.rt.volume import CtVolume
from esapi_stub.enums import PlanSetupApprovalStatus
from esapi_stub.image import Image
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.plan_setup import PlanSetup
from esapi_stub.planning import QUIET, PlanningEngine, Watch
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.structure_set import StructureSet
from esapi_stub.system import System, uid_of
from esapi_stub.values import DoseValue

__all__ = [
    "Application",
    "Course",
    "CustomScriptExecutable",
    "Database",
    "Patient",
    "ScriptContext",
    "StoredStructureSet",
]

_LONGEST_COURSE_ID = 16


@dataclass(frozen=True, eq=False)
class StoredStructureSet:
    """A structure set as the stub's database holds it; not part of ESAPI.

    Attributes
    ----------
    identifier, uid
        Label and SOP Instance UID.
    structures
        The bridge's structures.
    ct
        What they were drawn on; nothing is optimized or calculated without.
    patient_position
        Patient Position (0018,5100) of the CT.
    """

    identifier: str
    uid: str
    structures: Sequence[RtStructure]
    ct: CtVolume | None = None
    patient_position: str = "HFS"


class Database:
    """What the stub has instead of a planning system's database; not part of ESAPI.

    Parameters
    ----------
    patients
        Patient id to structure sets.
    dose_unit
        What the system is set to: Gy or cGy.
    engine
        What optimizes and calculates doses; without one, plans can be made and take objectives, no more.
    watch
        Progress and cancelling of the engine's calculations, which ESAPI's calls have no parameters for.
    """

    def __init__(
        self,
        patients: dict[str, Sequence[StoredStructureSet]],
        dose_unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy,
        engine: PlanningEngine | None = None,
        watch: Watch = QUIET,
    ) -> None:
        system = System(dose_unit, engine, watch)
        self.patients = {identifier: Patient(identifier, sets, system) for identifier, sets in patients.items()}
        self.in_use = False


class Patient:
    """One patient; nothing of it changes before :meth:`BeginModifications`."""

    def __init__(self, identifier: str, sets: Iterable[StoredStructureSet], system: System) -> None:
        self._id = identifier
        self._system = system
        self._modifiable = False
        self._courses: list[Course] = []
        self._plans_made = 0
        self._sets = [self._opened(stored) for stored in sets]

    def _opened(self, stored: StoredStructureSet) -> StructureSet:
        image = None if stored.ct is None else Image(stored.identifier, stored.ct, stored.patient_position)
        return StructureSet(stored.identifier, stored.uid, stored.structures, self.require_modifications, image, self)

    @property
    def Id(self) -> str:
        """Patient id."""
        return self._id

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
        self._courses.append(Course(f"C{number}", self, self._system))
        return self._courses[-1]

    def CanAddCourse(self) -> bool:
        """Whether AddCourse would be taken."""
        return self._modifiable

    def CanRemoveCourse(self, course: Course) -> bool:
        """Whether it is one of the patient's, without an approved plan."""
        return course in self._courses and all(course.CanRemovePlanSetup(plan) for plan in course.PlanSetups)

    def RemoveCourse(self, course: Course) -> None:
        """Take a course out, with its plans."""
        self.require_modifications()
        if course not in self._courses:
            raise ArgumentException("unknown-item", f"got course {course.Id!r}")
        if not self.CanRemoveCourse(course):
            raise ApplicationException("removal-approved", f"course {course.Id!r} has a plan that is not")
        self._courses.remove(course)

    def require_modifications(self) -> None:
        """Raise unless changes are allowed; not part of ESAPI."""
        if not self._modifiable:
            raise ApplicationException("begin-modifications", "it was not called")

    def number_of_next_plan(self) -> int:
        """Count plans, also those that were removed, so that no two get the same UID; not part of ESAPI."""
        self._plans_made += 1
        return self._plans_made

    def close(self) -> None:
        """End the permission to change; not part of ESAPI."""
        self._modifiable = False


class Course:
    """A course of plans."""

    def __init__(self, identifier: str, patient: Patient, system: System) -> None:
        self._id = identifier
        self._patient = patient
        self._system = system
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
        if any(course.Id == value for course in self._patient.Courses if course is not self):
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
        plan = ExternalPlanSetup(
            self._new_plan_id(),
            uid_of(structureSet.UID, self._patient.number_of_next_plan()),
            structureSet,
            self,
            self._system,
            self._patient.require_modifications,
        )
        self._plans.append(plan)
        return plan

    def CanAddPlanSetup(self, structureSet: StructureSet) -> bool:
        """Whether a plan can be made on this structure set: one of the same patient."""
        return structureSet in self._patient.StructureSets

    def CanRemovePlanSetup(self, planSetup: PlanSetup) -> bool:
        """Whether it is one of the course's, and not approved."""
        return planSetup in self._plans and planSetup.ApprovalStatus is PlanSetupApprovalStatus.UnApproved

    def RemovePlanSetup(self, planSetup: PlanSetup) -> None:
        """Take a plan out."""
        self._patient.require_modifications()
        if planSetup not in self._plans:
            raise ArgumentException("unknown-item", f"got plan {planSetup.Id!r}")
        if not self.CanRemovePlanSetup(planSetup):
            raise ApplicationException("removal-approved", f"plan {planSetup.Id!r} is not")
        self._plans = [plan for plan in self._plans if plan is not planSetup]

    def _new_plan_id(self) -> str:
        taken = {plan.Id for plan in self._plans}
        return next(f"Plan{n}" for n in range(1, len(taken) + 2) if f"Plan{n}" not in taken)


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
        """Keep the changes; the stub's are kept as they are made, but an evaluation dose that is none is refused."""
        courses = () if self._open is None else self._open.Courses
        for plan in (plan for course in courses for plan in course.ExternalPlanSetups):
            evaluation = plan.DoseAsEvaluationDose
            if evaluation is not None and not evaluation.is_set:
                raise ApplicationException("evaluation-dose-voxels", f"plan {plan.Id!r} has one")

    def Dispose(self) -> None:
        """End."""
        self.ClosePatient()
        self._database.in_use = False

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_: object) -> None:
        self.Dispose()


class CustomScriptExecutable:
    """How a program that is no script itself starts, as PyESAPI does."""

    @staticmethod
    def CreateApplication(scriptName: str, database: Database) -> Application:
        """Start under a name; ESAPI takes the name alone, the stub also the world that it is to show."""
        return Application.CreateApplication(database)


class ScriptContext:
    """What the host hands to the ``Execute`` of a plug-in: the open patient, and what is shown of it.

    Parameters
    ----------
    patient
        The open patient.
    plan
        The plan that is shown, if one is.
    structure_set
        The structure set that is shown, where that is not the plan's.
    """

    def __init__(
        self, patient: Patient, plan: ExternalPlanSetup | None = None, structure_set: StructureSet | None = None
    ) -> None:
        self._patient = patient
        self._plan = plan
        self._structure_set = structure_set if plan is None else plan.StructureSet

    @property
    def Patient(self) -> Patient:
        """The open patient."""
        return self._patient

    @property
    def Course(self) -> Course | None:
        """The plan's course."""
        return None if self._plan is None else self._plan.Course

    @property
    def PlanSetup(self) -> PlanSetup | None:
        """The plan that is shown."""
        return self._plan

    @property
    def ExternalPlanSetup(self) -> ExternalPlanSetup | None:
        """The plan that is shown."""
        return self._plan

    @property
    def StructureSet(self) -> StructureSet | None:
        """The structure set that is shown."""
        return self._structure_set

    @property
    def Image(self) -> Image | None:
        """The image that is shown."""
        return None if self._structure_set is None else self._structure_set.Image
