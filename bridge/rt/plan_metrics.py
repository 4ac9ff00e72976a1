"""Metrics of a whole plan: how well the prescription dose fits the target, and what two doses are worth beside it.

Every index stands under its own name with its formula: the same letters mean different things in different papers.
Volumes inside an isodose are taken within the body, so that dose in air and couch does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.rt.dvh import Dvh
from bridge.rt.errors import PrescriptionRefusal, StructureRefusal

__all__ = ["Conformity", "bed_gy", "conformity", "eqd2_gy"]


@dataclass(frozen=True)
class Conformity:
    """How a prescription isodose fits one target.

    Attributes
    ----------
    ci_rtog
        Prescription isodose volume over target volume, PIV / TV; ideal 1 (RTOG 1993).
    cn_vant_riet
        Conformation number (TV_PIV / TV) (TV_PIV / PIV); ideal 1 (van 't Riet 1997). Paddick's index TV_PIV² / (TV PIV)
        is the same product.
    gi_paddick
        Gradient index: volume at half of the prescription over PIV (Paddick 2006).
    r50
        Volume at half of the prescription over target volume (RTOG 0915).
    """

    ci_rtog: float
    cn_vant_riet: float
    gi_paddick: float
    r50: float


def conformity(target: Dvh, body: Dvh, prescribed_gy: float) -> Conformity:
    """Give the conformity of a dose to one target.

    Parameters
    ----------
    target, body
        DVHs in the same dose. With several target levels the isodose of a lower one encloses the higher targets
        too: such a target's indices describe them together.
    prescribed_gy
        The reference isodose.

    Raises
    ------
    StructureRefusal
        One of the DVHs is empty, the target is not wholly inside the dose grid (``dvh-coverage``), or no part of the
        body gets the prescribed dose (``isodose-empty``): the index would not be a number.
    """
    if target.coverage < 1.0:
        raise StructureRefusal(
            "dvh-coverage",
            f"{100 * target.coverage:.1f} % of {target.roi_name!r} lies inside the dose grid; conformity needs all.",
            roi=target.roi_name,
        )
    isodose_cc = body.cc_at_dose(prescribed_gy)
    half_isodose_cc = body.cc_at_dose(prescribed_gy / 2.0)
    if isodose_cc <= 0.0:
        raise StructureRefusal(
            "isodose-empty",
            f"No part of {body.roi_name!r} gets {prescribed_gy:g} Gy; conformity is not defined.",
            roi=body.roi_name,
        )
    covered_cc = target.cc_at_dose(prescribed_gy)
    return Conformity(
        ci_rtog=isodose_cc / target.volume_cc,
        cn_vant_riet=covered_cc**2 / (target.volume_cc * isodose_cc),
        gi_paddick=half_isodose_cc / isodose_cc,
        r50=half_isodose_cc / target.volume_cc,
    )


def bed_gy(dose_gy: float, fractions: int, alpha_beta_gy: float) -> float:
    """Give the biologically effective dose D (1 + d / (α/β)), d = D / fractions (Fowler 1989)."""
    if fractions < 1 or alpha_beta_gy <= 0 or dose_gy < 0:
        raise PrescriptionRefusal(
            "fractionation",
            f"BED needs a dose of 0 or more, a fraction or more and a positive alpha/beta; got {dose_gy:g} Gy in "
            f"{fractions} fractions with {alpha_beta_gy:g} Gy.",
        )
    return dose_gy * (1.0 + dose_gy / fractions / alpha_beta_gy)


def eqd2_gy(dose_gy: float, fractions: int, alpha_beta_gy: float) -> float:
    """Give the total dose in 2 Gy fractions of the same effect, BED / (1 + 2 / (α/β))."""
    return bed_gy(dose_gy, fractions, alpha_beta_gy) / (1.0 + 2.0 / alpha_beta_gy)
