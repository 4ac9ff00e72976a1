"""DosePredictor: the seam behind which every dose model sits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from bridge.rt.findings import Finding
from bridge.rt.volume import Dose
from models.card import ModelCard
from models.checks import check_anatomy, check_array, check_prediction, check_preference
from models.preference import NEUTRAL, Preference

__all__ = [
    "CheckedAnatomy",
    "CheckedPredictor",
    "DoseModel",
    "DosePredictor",
    "Estimate",
    "Prediction",
    "PreparedModel",
    "PreparedPredictor",
]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A checked dose and where it comes from.

    Attributes
    ----------
    dose
        Total dose on the grid of the anatomy, zero outside the body.
    model_id, model_sha256
        The model, and the hash of its folder.
    preference
        What was asked for, and honoured.
    findings
        What a person should know about this prediction.
    uncertainty_gy
        One standard deviation per voxel, or None where the model has no idea of it.
    """

    dose: Dose
    model_id: str
    model_sha256: str
    preference: Preference
    findings: tuple[Finding, ...] = ()
    uncertainty_gy: VoxelArray | None = None


class PreparedPredictor(Protocol):
    """A model that has seen an anatomy: what one patient's predictions share has been done."""

    def predict(self, preference: Preference = NEUTRAL) -> Prediction:
        """Predict the dose of a plan with this preference; see :meth:`DosePredictor.predict`."""
        ...


class DosePredictor(Protocol):
    """What the rest of the bridge knows of a model."""

    @property
    def card(self) -> ModelCard:
        """What the model is, needs, honours and has been measured to do."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the model's folder."""
        ...

    def predict(self, anatomy: Anatomy, preference: Preference = NEUTRAL) -> Prediction:
        """Predict the dose of a plan for this anatomy.

        Raises
        ------
        ModelRefusal
            The anatomy is outside the card's limits, the preference cannot be honoured, or the dose that came
            out cannot be trusted.
        StructureRefusal
            A structure that the model requires is missing or empty.
        """
        ...

    def prepare(self, anatomy: Anatomy) -> PreparedPredictor:
        """Look at an anatomy once, to predict it with many preferences; refuses as :meth:`predict` does."""
        ...


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a model hands to the checks.

    Attributes
    ----------
    dose_gy
        Shape of the anatomy's grid, unchecked.
    findings
        What the model noticed.
    uncertainty_gy
        One standard deviation per voxel, or None.
    """

    dose_gy: VoxelArray
    findings: tuple[Finding, ...] = ()
    uncertainty_gy: VoxelArray | None = None


class PreparedModel(Protocol):
    """A model that has seen an anatomy."""

    def estimate(self, preference: Preference) -> Estimate:
        """Estimate the dose for a preference that the card allows."""
        ...


class DoseModel(Protocol):
    """The arithmetic of one model; it is only ever called through :class:`CheckedPredictor`."""

    def prepare(self, anatomy: Anatomy) -> PreparedModel:
        """Do what does not depend on the preference, for an anatomy that the card allows."""
        ...


@dataclass(frozen=True, eq=False)
class CheckedPredictor:
    """A model behind its card: the only form in which the registry gives models out.

    Attributes
    ----------
    card, sha256
        See :class:`DosePredictor`.
    model
        The arithmetic.
    """

    card: ModelCard
    sha256: str
    model: DoseModel

    def predict(self, anatomy: Anatomy, preference: Preference = NEUTRAL) -> Prediction:
        """See :meth:`DosePredictor.predict`."""
        check_preference(self.card, preference)
        return self.prepare(anatomy).predict(preference)

    def prepare(self, anatomy: Anatomy) -> CheckedAnatomy:
        """See :meth:`DosePredictor.prepare`."""
        findings = check_anatomy(self.card, anatomy)
        return CheckedAnatomy(self, anatomy, findings, self.model.prepare(anatomy))


@dataclass(frozen=True, eq=False)
class CheckedAnatomy:
    """A model behind its card that has seen an anatomy.

    Attributes
    ----------
    predictor
        The model.
    anatomy, findings
        What it has seen, and what is unusual about it.
    prepared
        The arithmetic.
    """

    predictor: CheckedPredictor
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    prepared: PreparedModel

    def predict(self, preference: Preference = NEUTRAL) -> Prediction:
        """See :meth:`PreparedPredictor.predict`."""
        card = self.predictor.card
        check_preference(card, preference)
        estimate = self.prepared.estimate(preference)
        dose = check_prediction(estimate.dose_gy, self.anatomy)
        if estimate.uncertainty_gy is not None:
            check_array(estimate.uncertainty_gy, self.anatomy, "uncertainty")
        findings = self.findings + tuple(estimate.findings)
        return Prediction(dose, card.id, self.predictor.sha256, preference, findings, estimate.uncertainty_gy)
