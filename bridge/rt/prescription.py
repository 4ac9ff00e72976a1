"""Prescriptions: which target is to get which dose, and how that was found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.rt.errors import PrescriptionRefusal

__all__ = ["Prescription", "PrescriptionSource", "TargetLevel"]

PrescriptionSource = Literal["rtplan", "target_name", "config"]

_LEAST_PER_FRACTION_GY = 0.5
"""No schedule gives a target less a fraction; a dose per fraction read as the total gives about 0.06 Gy."""

_LOWEST_GY, _HIGHEST_GY = 1.0, 120.0
"""Total prescriptions outside this range are a unit mistake (cGy read as Gy, or the reverse)."""


@dataclass(frozen=True)
class TargetLevel:
    """The prescribed total dose of one target structure.

    Attributes
    ----------
    roi_number, roi_name
        The target in its structure set.
    dose_gy
        Total dose over all fractions.
    source
        Where the dose was found: RTPLAN dose reference, the target's name, or the site's configuration.
    """

    roi_number: int
    roi_name: str
    dose_gy: float
    source: PrescriptionSource

    def __post_init__(self) -> None:
        if not _LOWEST_GY <= self.dose_gy <= _HIGHEST_GY:
            raise PrescriptionRefusal(
                "prescription-range",
                f"A prescription of {self.dose_gy:g} Gy for {self.roi_name!r} is outside {_LOWEST_GY:g} to "
                f"{_HIGHEST_GY:g} Gy: is the unit cGy?",
                roi=self.roi_name,
            )


@dataclass(frozen=True)
class Prescription:
    """All target levels of a case, highest dose first, one per target structure.

    Raises
    ------
    PrescriptionRefusal
        No level at all (``no-target``), two for one structure (``prescription-conflict``), or no fraction
        (``fractions-range``).
    """

    levels: tuple[TargetLevel, ...]
    fractions: int | None = None

    def __post_init__(self) -> None:
        if not self.levels:
            raise PrescriptionRefusal("no-target", "The case has no target structure with a prescribed dose.")
        if self.fractions is not None and self.fractions < 1:
            raise PrescriptionRefusal(
                "fractions-range", f"A prescription needs one fraction or more, got {self.fractions}."
            )
        numbers = [level.roi_number for level in self.levels]
        for number in set(numbers):
            of_one = [level for level in self.levels if level.roi_number == number]
            if len(of_one) > 1:
                doses = " and ".join(f"{level.dose_gy:g} Gy ({level.source})" for level in of_one)
                raise PrescriptionRefusal(
                    "prescription-conflict",
                    f"Target {of_one[0].roi_name!r} has more than one prescription: {doses}.",
                    roi=of_one[0].roi_name,
                )
        if self.fractions is not None:
            for level in self.levels:
                if level.dose_gy / self.fractions < _LEAST_PER_FRACTION_GY:
                    raise PrescriptionRefusal(
                        "prescription-per-fraction",
                        f"{level.dose_gy:g} Gy for {level.roi_name!r} in {self.fractions} fractions is "
                        f"{level.dose_gy / self.fractions:.2f} Gy a fraction: is it the dose of one fraction and not "
                        "the total?",
                        roi=level.roi_name,
                    )
        object.__setattr__(self, "levels", tuple(sorted(self.levels, key=lambda level: -level.dose_gy)))

    @property
    def highest_gy(self) -> float:
        """The highest level: what relative doses are relative to."""
        return self.levels[0].dose_gy

    def level_of(self, roi_number: int) -> TargetLevel | None:
        """Give the level of one structure, or None where it is not a prescribed target."""
        return next((level for level in self.levels if level.roi_number == roi_number), None)
