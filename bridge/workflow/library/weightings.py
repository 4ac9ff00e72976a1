"""Which plans a library has: weightings that span what targets and organs can trade, the same for every patient.

Factors act on the weights that the reference plan ended with. Two plans go to the ends (homogeneity, sparing), one for
each organ shows what that organ alone could have, and the others are drawn from a scrambled Sobol sequence over the
logarithms of all factors (Sobol, USSR Comput Math Math Phys 7:86, 1967; Owen, J Complexity 14:466, 1998), which fills
the space more evenly than random numbers and stays the same when more of it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from models.library.library import REFERENCE
from models.library.manifest import WeightingEntry

__all__ = ["LARGEST_FACTOR", "REFERENCE_WEIGHTING", "WeightingChoice", "weightings"]

LARGEST_FACTOR = 16.0
"""Of the ends and anchors; drawn factors lie between its inverse and itself."""

REFERENCE_WEIGHTING = WeightingEntry(name=REFERENCE, homogeneity=1.0, organs={})


@dataclass(frozen=True)
class WeightingChoice:
    """How many plans beside the reference plan.

    Attributes
    ----------
    drawn
        From the Sobol sequence.
    anchors
        Whether each organ has a plan of its own.
    seed
        Of the sequence's scrambling.
    """

    drawn: int = 8
    anchors: bool = True
    seed: int = 1


def weightings(choice: WeightingChoice, organs: Sequence[str], present: Sequence[str]) -> tuple[WeightingEntry, ...]:
    """Give the weightings of one patient beside the reference.

    Parameters
    ----------
    choice
        How many.
    organs
        All organs that any patient may have: the sequence has an axis for each, so that what is drawn for one organ
        does not hang on which others a patient has.
    present
        Those that this patient has something of outside the targets.
    """
    found = [
        WeightingEntry(name="homogeneity", homogeneity=LARGEST_FACTOR, organs={}),
        WeightingEntry(name="sparing", homogeneity=1.0 / LARGEST_FACTOR, organs=dict.fromkeys(present, LARGEST_FACTOR)),
    ]
    if choice.anchors:
        found += [
            WeightingEntry(name=f"organ-{organ}", homogeneity=1.0, organs={organ: LARGEST_FACTOR})
            for organ in organs
            if organ in present
        ]
    for number, factors in enumerate(_drawn(choice, 1 + len(organs)), start=1):
        of_organ = dict(zip(organs, factors[1:], strict=True))
        kept = {organ: of_organ[organ] for organ in organs if organ in present}
        found.append(WeightingEntry(name=f"drawn-{number:02d}", homogeneity=factors[0], organs=kept))
    return tuple(found)


def _drawn(choice: WeightingChoice, axes: int) -> list[list[float]]:
    """Give factors, one row a plan."""
    if choice.drawn == 0:
        return []
    # a Sobol sequence is even over whole powers of two; the first of a longer one are those of a shorter one
    sequence = qmc.Sobol(axes, scramble=True, rng=np.random.default_rng(choice.seed))
    points = sequence.random_base2(int(np.ceil(np.log2(choice.drawn))))[: choice.drawn]
    factors = LARGEST_FACTOR ** (2.0 * points - 1.0)
    return [[round(factor, 4) for factor in row] for row in factors.tolist()]
