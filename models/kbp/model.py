"""KbpEstimator: a knowledge-based model behind its card. It gives DVHs and no dose, so it is no DosePredictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bridge.rt.case import Anatomy
from bridge.rt.errors import StructureRefusal
from bridge.rt.findings import Finding
from models.card import ModelCard
from models.checks import check_anatomy
from models.kbp.estimate import DvhBand, estimate_organ, unknown_regions, unusual_features
from models.kbp.parameters import PARAMETERS_NAME, KbpParameters
from models.kbp.regions import OrganGeometry, measure_organ, voxels_of
from models.kbp.words import REGION_WORDS, feature_in_words
from models.training_beams import about_beams, beams_or_trained

__all__ = ["DvhEstimate", "KbpEstimator"]


@dataclass(frozen=True, eq=False)
class DvhEstimate:
    """The bands of a patient's organs and where they come from.

    Attributes
    ----------
    bands
        By the key of the organ's mask; an organ that cannot be estimated is not there, and a finding says why.
    model_id, model_sha256
        The model, and the hash of its folder.
    findings
        What a person should know.
    """

    bands: Mapping[str, DvhBand]
    model_id: str
    model_sha256: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class KbpEstimator:
    """A model from its folder.

    Attributes
    ----------
    card, sha256
        What it is, and the hash of its folder.
    parameters
        Its numbers.
    """

    card: ModelCard
    sha256: str
    parameters: KbpParameters

    @classmethod
    def from_folder(cls, folder: Path, card: ModelCard, sha256: str) -> Self:
        """Read the model from its folder.

        Raises
        ------
        ModelRefusal
            The parameters cannot be used.
        """
        return cls(card, sha256, KbpParameters.read(folder / PARAMETERS_NAME))

    def estimate(self, anatomy: Anatomy) -> DvhEstimate:
        """Estimate the DVHs of the organs of an anatomy.

        Raises
        ------
        ModelRefusal
            The anatomy is outside the card's limits.
        StructureRefusal
            A target or the body is missing or empty, or there is no organ that the model knows (``kbp-no-organ``).
        GeometryRefusal
            The grid is tilted against the patient's axes.
        """
        trained_deg = self.parameters.gantry_angles_deg
        findings = [*check_anatomy(self.card, anatomy), *about_beams(anatomy, trained_deg)]
        known = [name for name in self.parameters.organs if name in anatomy.masks]
        if not known:
            raise StructureRefusal(
                "kbp-no-organ",
                f"Model {self.card.id!r} knows {', '.join(self.parameters.organs)}, and the case has none of these.",
            )
        gantry_deg = beams_or_trained(anatomy, trained_deg)
        voxels = voxels_of(anatomy, known, gantry_deg, self.parameters.expected_dose)
        bands = {}
        for name in known:
            geometry = measure_organ(anatomy, name, voxels)
            findings += self._about_organ(name, geometry)
            if geometry is not None and not unknown_regions(self.parameters.organs[name], geometry):
                bands[name] = estimate_organ(name, self.parameters.organs[name], geometry)
        return DvhEstimate(bands, self.card.id, self.sha256, tuple(findings))

    def _about_organ(self, name: str, geometry: OrganGeometry | None) -> list[Finding]:
        if geometry is None:
            text = f"No part of {name!r} lies in the body; it is not estimated."
            return [Finding("kbp-organ-outside", "warning", text, {"roi": name})]
        model = self.parameters.organs[name]
        if unknown := unknown_regions(model, geometry):
            shares = ", ".join(
                f"{REGION_WORDS[region]} ({100 * geometry.regions[region].share:.1f} %)" for region in unknown
            )
            text = f"{name!r} is not estimated: too few training plans had a part of it {shares}."
            return [Finding("kbp-region-unknown", "warning", text, {"roi": name})]
        if unusual := unusual_features(model, geometry):
            told = "; ".join(f"{feature_in_words(what)} of the part {REGION_WORDS[region]}" for region, what in unusual)
            text = f"The geometry of {name!r} lies outside that of the training plans: {told}."
            return [Finding("kbp-extrapolated", "warning", text, {"roi": name})]
        return []
