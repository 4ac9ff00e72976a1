"""Where the plans of a training come from, and what follows from that for the model: its card, beams and sliders."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.fdp.channels import ORGANS
from models.fdp.condition import HI_UNIT
from models.fdp.parameters import DRAWN_HI_STEPS, DRAWN_WEIGHTS
from models.library.library import Library
from models.library.reach import Reach, reach_of, usable_sets
from models.openkbp.reader import GANTRY_ANGLES_DEG

__all__ = ["OPENKBP", "TRAINING_SET", "Origin", "library_origin"]

Range = tuple[float, float]

_ENDS = (0.75, 1.4)
TRAINING_SET = "train"
"""Set of the data that is learned from."""


@dataclass(frozen=True)
class Origin:
    """What a training was made of.

    Attributes
    ----------
    trained_for, training, limits
        Words for the card.
    option
        What the training commands need beside the data.
    beams_deg
        Gantry angles of each set of beams; the first is assumed where a case has none.
    hi, oar_weight
        Ends of the card's sliders: index of the highest target, and the weight of all organs together.
    hi_steps
        What a wish for homogeneity is held within, in units of the condition.
    oar_weights
        Ends of the sliders of single organs.
    weight_limits
        What the weights of organs are held within when the common one has been multiplied in.
    """

    trained_for: str
    training: str
    limits: tuple[str, ...]
    option: str = ""
    beams_deg: tuple[tuple[float, ...], ...] = (GANTRY_ANGLES_DEG,)
    hi: Range = (0.02, 0.25)
    oar_weight: Range = _ENDS
    hi_steps: Range = DRAWN_HI_STEPS
    oar_weights: dict[str, Range] = field(default_factory=lambda: dict.fromkeys(ORGANS, _ENDS))
    weight_limits: dict[str, Range] = field(default_factory=lambda: dict.fromkeys(ORGANS, DRAWN_WEIGHTS))


OPENKBP = Origin(
    trained_for="no planning system of a clinic: OpenKBP's synthetic plans, a public benchmark",
    training="169 of the 200 training patients of the OpenKBP Grand Challenge (Babier et al., Medical Physics 48:5549, "
    "2021), head and neck, nine coplanar 6 MV fields, 70, 63 and 56 Gy in 35 fractions, synthetic plans.",
    limits=(
        "Trained on synthetic plans of nine equispaced coplanar fields, one plan for each anatomy; other beams, sites "
        "and planning systems are extrapolations that no figure covers.",
        "Preferences were learned from what plans happened to be and from what a wish says of itself; no plan was ever "
        "made for a wish.",
    ),
)
"""The plans that come with OpenKBP's patients."""


def library_origin(library: Library) -> Origin:
    """Say what a training on the training set of a library was made of.

    Parameters
    ----------
    library
        With at least one usable plan in that set.
    """
    patients = library.of_set(TRAINING_SET)
    reach, recipe = reach_of(patients), library.recipe
    engine = recipe.optimizer
    by_name = {plans[0].beams.name: plans[0].beams.gantry_deg for plans in usable_sets(patients)}
    beams = tuple(sorted(by_name.values(), key=len, reverse=True))
    weights = {organ: reach.oar_weights[organ] for organ in ORGANS if organ in reach.oar_weights}
    counts = " or ".join(str(len(angles)) for angles in beams)
    return Origin(
        trained_for=engine,
        training=f"{reach.plans} plans of {reach.patients} training patients of OpenKBP (Babier et al., Medical "
        f"Physics 48:5549, 2021), head and neck, made for them with {engine} (goals {recipe.protocol_sha256[:12]}): a "
        f"reference plan each, and plans that weigh its goals otherwise, with {counts} equispaced coplanar fields. "
        f"Plans that another one beats, and cold ones, were left out. Recipe of the library: {recipe.sha256}.",
        limits=(
            f"Promises what {engine} does for these goals; what another optimizer or another protocol would do, no "
            "figure covers.",
            f"Trained on {counts} equispaced coplanar fields of patients who lie head first and supine.",
            "Sliders end where the plans of half of the training patients end: some patients reach less.",
        ),
        option=" --library LIBRARY",
        beams_deg=beams,
        hi=reach.hi,
        oar_weight=_widest(weights),
        hi_steps=_steps(reach),
        oar_weights=weights,
        weight_limits=weights,
    )


def _widest(weights: dict[str, Range]) -> Range:
    """Give the range within which a common weight can move any organ at all; each is held at its own end."""
    return min([1.0, *(low for low, _ in weights.values())]), max([1.0, *(high for _, high in weights.values())])


def _steps(reach: Reach) -> Range:
    low, high = (round(end / HI_UNIT, 3) for end in reach.hi_difference)
    return low, high
