"""Read the prescribed dose from the name of a target: ``PTV70``, ``PTV_7000``, ``PTV 63 Gy``, ``PTV_Liver_2000x3``.

The rules, in order:

1. Lengths (``5mm``), percentages (``95%``), vertebrae (``T10-12``) and numbers with a leading zero (``-03``) are
   no doses.
2. ``20Gyx3``, ``2000x3`` (cGy) and ``30x2Gy`` are dose per fraction times fractions (AAPM TG-263): the total counts.
3. A number with a unit is a total dose in that unit. ``/30`` after it, and ``30fx``, count fractions.
4. Of the numbers without a unit, 20 to 100 are Gy, 1000 to 12000 are cGy, and smaller ones are no dose: ``PTV1`` is
   the first PTV.
5. Two doses in one name, or a number that has two readings, are refused: nothing is picked. Two readings have
   ``PTV12`` (the twelfth, or 12 Gy), ``PTV_50_4`` (a decimal, or the fourth), ``PTV_2023`` (a year, or cGy) and
   ``PTV_2Gy_30fx`` (in total, or each).
"""

from __future__ import annotations

import re
from typing import NoReturn

from bridge.rt.errors import PrescriptionRefusal

__all__ = ["dose_in_name"]

_NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
_UNIT = r"c?gy"
_START = r"(?<![0-9.,])"

_NOT_A_DOSE = re.compile(
    rf"""
      {_START}{_NUMBER}\s*(?:(?:mm|cm)(?![a-z])|%)              # a margin, a percentage
    | (?<![a-z])(?:[ctdls]|th)(?:1[0-2]|[1-9])                   # a vertebra ...
      (?:\s*-\s*(?:[ctdls]|th)?(?:1[0-2]|[1-9]))?(?![0-9.,])    # ... or a range of them
    | {_START}0[0-9]+                                            # -03: cropped by 3 mm
    """,
    re.VERBOSE,
)
_DOSE_TIMES_FRACTIONS = re.compile(
    rf"(?P<dose>{_NUMBER})\s*(?P<unit>{_UNIT})?\s*[x\xd7*]\s*(?P<times>[0-9]+)(?!\s*{_UNIT}|[0-9.,])"
)
_FRACTIONS_TIMES_DOSE = re.compile(rf"{_START}(?P<times>[0-9]+)\s*[x\xd7*]\s*(?P<dose>{_NUMBER})\s*(?P<unit>{_UNIT})")
_DOSE_WITH_UNIT = re.compile(rf"(?P<dose>{_NUMBER})\s*(?P<unit>{_UNIT})(?:\s*/\s*(?P<times>[0-9]+))?")
_FRACTION_COUNT = re.compile(r"([0-9]+)\s*(?:fx|fr|frac|fractions?)(?![a-z])")
_DECIMAL_P = re.compile(rf"{_START}([0-9]{{2}})p([0-9])(?![0-9])")
_UNCLEAR_DECIMAL = re.compile(rf"{_START}[1-9][0-9](?:_[0-9](?![0-9])|,[0-9]+)")
_BARE_NUMBER = re.compile(rf"{_START}[0-9]+(?:\.[0-9]+)?")

_GY = (20.0, 100.0)
_GY_OR_COUNT = (10.0, 20.0)
_CGY = (1000.0, 12000.0)
_CGY_OR_YEAR = range(2001, 2040)
_TOTAL_GY = (1.0, 120.0)
_LEAST_GY_PER_FRACTION = 0.5


def dose_in_name(name: str) -> float | None:
    """Give the total dose that a target's name states.

    Parameters
    ----------
    name
        ROI name of a target. That the structure is a target is the caller's knowledge, and not read from the name.

    Returns
    -------
    float or None
        Gy over all fractions; None where the name states no dose.

    Raises
    ------
    PrescriptionRefusal
        ``prescription-ambiguous``: the name holds two doses, or a number that has two readings.
    """
    doses_gy: set[float] = set()
    counts: list[int] = []

    def take_product(match: re.Match[str]) -> str:
        doses_gy.add(_product_gy(name, match))
        return " "

    def take_dose(match: re.Match[str]) -> str:
        doses_gy.add(_gy(match["dose"], match["unit"]))
        counts.append(int(match["times"] or 1))
        return " "

    def take_count(match: re.Match[str]) -> str:
        counts.append(int(match[1]))
        return " "

    text = _NOT_A_DOSE.sub(" ", name.lower())
    text = _FRACTIONS_TIMES_DOSE.sub(take_product, text)
    text = _DOSE_TIMES_FRACTIONS.sub(take_product, text)
    text = _DOSE_WITH_UNIT.sub(take_dose, text)
    text = _FRACTION_COUNT.sub(take_count, text)
    doses_gy |= _bare_doses_gy(name, _DECIMAL_P.sub(r"\1.\2", text))
    if len(doses_gy) > 1:
        _refuse(name, "it holds " + " and ".join(f"{dose:g} Gy" for dose in sorted(doses_gy)))
    if not doses_gy:
        return None
    dose_gy = doses_gy.pop()
    if counts and dose_gy / max(*counts, 1) < _LEAST_GY_PER_FRACTION:
        _refuse(name, f"{dose_gy:g} Gy may be the dose of one of {max(counts)} fractions")
    return dose_gy


def _gy(number: str, unit: str) -> float:
    dose = float(number.replace(",", "."))
    return dose / 100.0 if unit == "cgy" else dose


def _product_gy(name: str, match: re.Match[str]) -> float:
    """Give the total of ``dose x fractions``; without a unit only a dose in cGy is beyond doubt."""
    dose, unit = match["dose"], match["unit"]
    if unit is None and _gy(dose, "gy") < 100.0:
        _refuse(name, f"{match.group()!r} has no unit")
    total_gy = _gy(dose, unit or "cgy") * int(match["times"])
    if not _TOTAL_GY[0] <= total_gy <= _TOTAL_GY[1]:
        _refuse(name, f"{match.group()!r} would be {total_gy:g} Gy in total")
    return total_gy


def _bare_doses_gy(name: str, text: str) -> set[float]:
    """Give the doses among the numbers without a unit."""
    if unclear := _UNCLEAR_DECIMAL.search(text):
        _refuse(name, f"{unclear.group()!r} may be one decimal number or two numbers")
    doses_gy = set()
    for match in _BARE_NUMBER.finditer(text):
        number = float(match.group())
        if number in _CGY_OR_YEAR:
            _refuse(name, f"{match.group()!r} may be a year, or a dose in cGy")
        if _GY_OR_COUNT[0] <= number < _GY_OR_COUNT[1]:
            _refuse(name, f"{match.group()!r} may be a count, or a dose in Gy")
        if _GY[0] <= number <= _GY[1]:
            doses_gy.add(number)
        elif _CGY[0] <= number <= _CGY[1]:
            doses_gy.add(number / 100.0)
    return doses_gy


def _refuse(name: str, why: str) -> NoReturn:
    raise PrescriptionRefusal(
        "prescription-ambiguous",
        f"The dose in the target name {name!r} is not clear: {why}. Rename the target with one dose and its unit "
        "(PTV_70Gy), or give its level under prescription.levels in the configuration.",
        roi=name,
    )
