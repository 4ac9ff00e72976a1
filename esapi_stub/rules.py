"""What the host refuses, and how we know.

Varian documents some rules, others are only visible in scripts that clinics use, and some are ours: the native checks
behind ESAPI cannot be read. What the stub cannot do is none of these, and says so too. A refusal names its rule, so
that nobody takes a guess for a fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "RULES",
    "ApplicationException",
    "ArgumentException",
    "ArithmeticException",
    "Basis",
    "HostException",
    "HostRule",
]


class Basis(Enum):
    """How a rule of the host is known."""

    DOCUMENTED = "documented by the vendor"
    OBSERVED = "seen in scripts that clinics use"
    GUESS = "our guess"
    LIMIT = "a limit of this stub, not of the host"


@dataclass(frozen=True)
class HostRule:
    """One thing that the host, or the stub, refuses."""

    name: str
    basis: Basis
    says: str


RULES: dict[str, HostRule] = {
    name: HostRule(name, basis, says)
    for name, basis, says in (
        ("arc-angles", Basis.GUESS, "an arc turns clockwise or counterclockwise, and stops where it did not start"),
        ("beam-angle", Basis.DOCUMENTED, "gantry, collimator and couch angles are in [0, 360) degrees"),
        ("beam-id-length", Basis.GUESS, "a beam id has 1 to 16 characters"),
        ("beam-kind", Basis.GUESS, "Optimize is for fixed gantry angles and OptimizeVMAT for the arcs of AddVMATBeam"),
        ("begin-modifications", Basis.DOCUMENTED, "BeginModifications comes before any change to a patient's data"),
        ("calculation-model", Basis.OBSERVED, "a calculation model is one that GetModelsForCalculationType lists"),
        ("calculation-model-set", Basis.GUESS, "a calculation needs a model, and this one was cleared"),
        ("control-points", Basis.GUESS, "a beam has two control points or more, of meterset weights that rise to 1"),
        ("course-id-length", Basis.GUESS, "a course id has 1 to 16 characters"),
        ("dicom-type", Basis.DOCUMENTED, "AddStructure takes the DICOM types of the reference alone"),
        ("dose-positive", Basis.GUESS, "the dose of an objective is above 0"),
        ("dose-unit", Basis.DOCUMENTED, "the dose of an objective is in the unit that the system is set to"),
        ("dose-unit-mixed", Basis.DOCUMENTED, "doses in different units are neither added nor compared"),
        ("eud-operator", Basis.DOCUMENTED, "a gEUD objective is upper, lower or exact"),
        ("eud-parameter", Basis.GUESS, "the gEUD parameter a is finite and not 0"),
        ("evaluation-dose-beams", Basis.DOCUMENTED, "only a plan without beams can have an evaluation dose"),
        ("evaluation-dose-voxels", Basis.DOCUMENTED, "an evaluation dose whose voxels were never set cannot be saved"),
        ("fluence-mode", Basis.DOCUMENTED, "the primary fluence mode is none, SRS or FFF"),
        ("id-unique", Basis.GUESS, "ids are unique among their siblings"),
        ("image-missing", Basis.LIMIT, "a calculation needs an image, which not every structure set here has"),
        ("intermediate-dose", Basis.DOCUMENTED, "going on from the plan's dose needs a plan with a dose"),
        ("leaf-motions-first", Basis.OBSERVED, "after Optimize, CalculateLeafMotions comes before CalculateDose"),
        ("leaf-positions", Basis.GUESS, "leaf positions are two banks of finite numbers"),
        ("margin-range", Basis.DOCUMENTED, "one margin is at most 50 mm"),
        ("margin-shrinks", Basis.LIMIT, "negative margins are beyond this stub"),
        ("normal-tissue-range", Basis.GUESS, "the numbers of a normal tissue objective are finite and not negative"),
        ("normalization-range", Basis.GUESS, "the plan normalization value is a finite percentage above 0"),
        ("objective-missing", Basis.GUESS, "an optimization needs an objective"),
        ("one-application", Basis.DOCUMENTED, "a process has one Application at a time"),
        ("one-mlc", Basis.DOCUMENTED, "an optimization without an MLC id needs beams that have one and the same MLC"),
        ("one-patient", Basis.DOCUMENTED, "a patient is closed before the next is opened"),
        ("optimize-first", Basis.LIMIT, "the dose of fields that were not optimized is beyond this stub"),
        ("plan-approved", Basis.OBSERVED, "a plan is changed while it is unapproved"),
        ("plan-id-length", Basis.DOCUMENTED, "a plan id has 1 to 13 characters"),
        ("planning-engine", Basis.LIMIT, "this world has no dose engine: give its Database one"),
        ("point-operator", Basis.DOCUMENTED, "a point objective is upper or lower"),
        ("prescription-first", Basis.GUESS, "SetPrescription comes before objectives; scripts do it so"),
        ("prescription-range", Basis.GUESS, "fractions are whole, from 1 on, dose and percentage finite and above 0"),
        ("priority-positive", Basis.DOCUMENTED, "a priority is a positive number"),
        ("removal-approved", Basis.GUESS, "a plan is removed, with its course or alone, while it is unapproved"),
        ("structure-empty", Basis.GUESS, "an objective is for a structure that has a segment"),
        ("structure-id-length", Basis.OBSERVED, "a structure id has 1 to 16 characters"),
        ("structure-set-id-length", Basis.OBSERVED, "a structure set id has 1 to 16 characters"),
        (
            "structure-locked",
            Basis.OBSERVED,
            "a structure set that a plan has a dose on is not edited; clear the PhotonVolumeDose model first",
        ),
        ("structure-of-plan", Basis.GUESS, "an objective is for a structure of the plan's own structure set"),
        ("technique", Basis.OBSERVED, "the technique of a fixed gantry angle is STATIC, and of an arc ARC"),
        ("treatment-percentage", Basis.DOCUMENTED, "a plan is optimized at a treatment percentage of 100 %"),
        ("treatment-beams", Basis.GUESS, "a calculation needs beams"),
        ("unknown-item", Basis.GUESS, "only what a setup holds can be removed from it"),
        ("unknown-unit", Basis.GUESS, "a dose unit is Gy, cGy or %"),
        ("volume-range", Basis.DOCUMENTED, "the volume of a point objective is 0 to 100 %"),
        ("voxel-buffer", Basis.GUESS, "voxels go into and out of whole numbers in an array of XSize x YSize"),
    )
}
"""All rules by name."""


class HostException(Exception):
    """What the host raises; ``rule`` says why, and how we know.

    Parameters
    ----------
    rule
        Key of :data:`RULES`.
    found
        What was given.
    """

    def __init__(self, rule: str, found: str) -> None:
        self.rule = RULES[rule]
        super().__init__(f"{self.rule.says}; {found} ({self.rule.name}, {self.rule.basis.value})")


class ArithmeticException(HostException, ArithmeticError):
    """System.ArithmeticException."""


class ArgumentException(HostException, ValueError):
    """System.ArgumentException."""


class ApplicationException(HostException, RuntimeError):
    """System.ApplicationException."""
