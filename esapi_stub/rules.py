"""What the host refuses, and how we know.

Varian documents some rules, others are only visible in scripts that clinics use, and some are ours: the native checks
behind ESAPI cannot be read. A refusal names its rule, so that nobody takes a guess for a fact.
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


@dataclass(frozen=True)
class HostRule:
    """One thing that the host refuses."""

    name: str
    basis: Basis
    says: str


RULES: dict[str, HostRule] = {
    name: HostRule(name, basis, says)
    for name, basis, says in (
        ("begin-modifications", Basis.DOCUMENTED, "BeginModifications comes before any change to a patient's data"),
        ("course-id-length", Basis.GUESS, "a course id has 1 to 16 characters"),
        ("dicom-type", Basis.DOCUMENTED, "AddStructure takes the DICOM types of the reference alone"),
        ("dose-positive", Basis.GUESS, "the dose of an objective is above 0"),
        ("dose-unit", Basis.DOCUMENTED, "the dose of an objective is in the unit that the system is set to"),
        ("dose-unit-mixed", Basis.DOCUMENTED, "doses in different units are neither added nor compared"),
        ("eud-operator", Basis.DOCUMENTED, "a gEUD objective is upper, lower or exact"),
        ("eud-parameter", Basis.GUESS, "the gEUD parameter a is finite and not 0"),
        ("id-unique", Basis.GUESS, "ids are unique among their siblings"),
        ("margin-range", Basis.DOCUMENTED, "one margin is at most 50 mm"),
        ("margin-shrinks", Basis.GUESS, "negative margins are beyond this stub"),
        ("normal-tissue-range", Basis.GUESS, "the numbers of a normal tissue objective are finite and not negative"),
        ("one-application", Basis.DOCUMENTED, "a process has one Application at a time"),
        ("one-patient", Basis.DOCUMENTED, "a patient is closed before the next is opened"),
        ("plan-approved", Basis.OBSERVED, "a plan is changed while it is unapproved"),
        ("plan-id-length", Basis.DOCUMENTED, "a plan id has 1 to 13 characters"),
        ("point-operator", Basis.DOCUMENTED, "a point objective is upper or lower"),
        ("prescription-first", Basis.GUESS, "SetPrescription comes before objectives; scripts do it so"),
        ("prescription-range", Basis.GUESS, "fractions are at least 1, dose and treatment percentage above 0"),
        ("priority-positive", Basis.DOCUMENTED, "a priority is a positive number"),
        ("structure-empty", Basis.GUESS, "an objective is for a structure that has a segment"),
        ("structure-id-length", Basis.OBSERVED, "a structure id has 1 to 16 characters"),
        ("structure-of-plan", Basis.GUESS, "an objective is for a structure of the plan's own structure set"),
        ("unknown-item", Basis.GUESS, "only what a setup holds can be removed from it"),
        ("unknown-unit", Basis.GUESS, "a dose unit is Gy, cGy or %"),
        ("volume-range", Basis.DOCUMENTED, "the volume of a point objective is 0 to 100 %"),
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
