"""Fifteen ways in which an RTSTRUCT leads a DVH astray, each with its right answer.

A cylinder of radius 20 mm on 11 planes every 3 mm (41.47 cc with half slices at its ends) in a dose that rises along
y and z, in the forms in which planning systems and converters write it.

    python -m tests.benchmarks.dvh_pitfalls [--dicompyler PYTHON]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import pi
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import Refusal
from bridge.rt.grid import Grid
from tests.benchmarks.files import FRAME, DrawnItem, drawn, linear_dose, write_dose, write_structures
from tests.benchmarks.programs import (
    Job,
    dicompyler_results,
    markdown,
    our_dvh,
    our_versions,
    stamp,
    structures_in,
)
from tests.solids import circle, keyhole

RADIUS_MM, STEP_MM = 20.0, 3.0
HEIGHTS_MM = tuple(STEP_MM * k for k in range(-5, 6))
WHOLE_CC = pi * RADIUS_MM**2 * 33.0 / 1000.0
ORIGIN_GY, GRADIENT_GY_MM = 37.5, {"y": 0.5, "z": 0.25}

Items = Sequence[DrawnItem]


@dataclass(frozen=True)
class Expected:
    """The right answer: a volume, perhaps a mean dose and a coverage, or a refusal, and what must be pointed out."""

    volume_cc: float | None = None
    mean_gy: float | None = ORIGIN_GY
    coverage: float = 1.0
    finding: str | None = None
    refusal: str | None = None

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"refused: `{self.refusal}`"
        return _words(self.volume_cc, self.mean_gy, self.coverage, [self.finding] if self.finding else [])


@dataclass(frozen=True, eq=False)
class Case:
    """One pitfall: what is drawn and on which dose, and the right answer."""

    name: str
    items: Items
    expected: Expected
    offset_mm: float = 0.0
    top_mm: float = 31.5
    their_options: dict[str, object] = field(default_factory=dict)

    def job(self, folder: Path) -> Job:
        """Write the files: ROI 1 is the case, ROI 2 the cylinder as it should be."""
        stem = self.name.replace(" ", "_").replace("/", "_")
        structures = write_structures(folder / f"RS_{stem}.dcm", [("Case", self.items), ("Cylinder", stack(DISC))])
        dose = folder / f"RD_{self.offset_mm}_{self.top_mm}.dcm"
        if not dose.exists():
            write_dose(dose, linear_dose(dose_grid(self.offset_mm, self.top_mm), GRADIENT_GY_MM, ORIGIN_GY))
        return Job(str(structures), str(dose), 1, self.their_options)


def dose_grid(offset_mm: float, top_mm: float) -> Grid:
    """Give a dose grid every 3 mm along z up to ``top_mm``, every 2.5 mm across, with voxel centres on the axes."""
    low = offset_mm + (0.0 if top_mm == 31.5 else 1.5) - 33.0
    planes = int((top_mm - low) / STEP_MM + 1e-6) + 1
    return Grid.axial((planes, 25, 25), (STEP_MM, 2.5, 2.5), (-30.0, -30.0, low), FRAME)


def stack(*loops: np.ndarray, heights_mm: Sequence[float] = HEIGHTS_MM) -> list[DrawnItem]:
    return [drawn(loop, z) for z in heights_mm for loop in loops]


DISC = circle(RADIUS_MM)
HOLE = circle(8.0)
LEFT, RIGHT = circle(15.0, (-8.0, 0.0)), circle(15.0, (8.0, 0.0))
COMMON_CC = (2.0 * 15.0**2 * np.arccos(8.0 / 15.0) - 8.0 * np.sqrt(4.0 * 15.0**2 - 16.0**2)) * 33.0 / 1000.0
HOLLOW_CC = pi * (RADIUS_MM**2 - 8.0**2) * 33.0 / 1000.0


def _tilted() -> list[DrawnItem]:
    lean = np.tan(np.radians(10.0))
    return [DrawnItem(np.column_stack([DISC, z + lean * DISC[:, 1]])) for z in HEIGHTS_MM]


CASES = (
    Case("hole as a second loop", stack(DISC, HOLE), Expected(HOLLOW_CC)),
    Case("hole as a keyhole", stack(keyhole(DISC, HOLE)), Expected(HOLLOW_CC)),
    Case("same loop twice on each plane", stack(DISC, DISC), Expected(WHOLE_CC, finding="contour-duplicates")),
    Case(
        "two islands that overlap",
        stack(LEFT, RIGHT),
        Expected(2.0 * pi * 15.0**2 * 33.0 / 1000.0 - 2.0 * COMMON_CC, finding="contour-overlap"),
    ),
    Case(
        "one POINT item between planes",
        [*stack(DISC), DrawnItem(np.array([[0.0, 0.0, 1.5]]), "POINT")],
        Expected(WHOLE_CC, finding="contour-not-closed"),
    ),
    Case(
        "one plane missing",
        stack(DISC, heights_mm=[z for z in HEIGHTS_MM if z != 0.0]),
        Expected(WHOLE_CC, finding="plane-gap"),
    ),
    Case("one plane more, 1 mm away", stack(DISC, heights_mm=[*HEIGHTS_MM, 1.0]), Expected(WHOLE_CC)),
    Case(
        "planes 3 and 6 mm apart in turn",
        stack(DISC, heights_mm=[-15.0, -12.0, -6.0, -3.0, 3.0, 6.0, 12.0, 15.0]),
        Expected(WHOLE_CC),
    ),
    Case("a single plane", stack(DISC, heights_mm=[0.0]), Expected(pi * RADIUS_MM**2 * 3.0 / 1000.0)),
    Case(
        "radius 0.9 mm between dose points",
        stack(circle(0.9, (1.25, 1.25)), heights_mm=[-3.0, 0.0, 3.0]),
        Expected(pi * 0.9**2 * 9.0 / 1000.0, mean_gy=ORIGIN_GY + 0.625),
    ),
    Case("planes tilted by 10 degrees", _tilted(), Expected(refusal="contour-tilted")),
    Case(
        "contours 0.3 mm off the dose planes",
        stack(DISC, heights_mm=[z + 0.3 for z in HEIGHTS_MM]),
        Expected(WHOLE_CC, mean_gy=ORIGIN_GY + 0.075),
    ),
    Case(
        "upper part outside the dose grid",
        stack(DISC),
        Expected(WHOLE_CC, mean_gy=ORIGIN_GY - 0.25 * 7.5, coverage=18.0 / 33.0),
        top_mm=1.5,
    ),
    Case("a limit of 25 Gy on the histogram", stack(DISC), Expected(WHOLE_CC), their_options={"limit": 2500}),
    Case("no contours", [], Expected(0.0, mean_gy=None, coverage=0.0, finding="roi-empty")),
)


@dataclass(frozen=True)
class Answer:
    """What we make of a case."""

    dvh: Dvh | None
    codes: tuple[str, ...]
    refusal: str | None = None

    def __str__(self) -> str:
        if self.dvh is None:
            return f"refused: `{self.refusal}`"
        mean = None if self.dvh.is_empty else self.dvh.mean_gy
        return _words(self.dvh.volume_cc, mean, self.dvh.coverage, self.codes)


def ours(case: Case, folder: Path) -> Answer:
    job = case.job(folder)
    try:
        dvh = our_dvh(job, DvhPolicy("half_slice"))
        findings = structures_in(job.structures).findings
    except Refusal as refusal:
        return Answer(None, (), refusal.code)
    return Answer(dvh, tuple(finding.code for finding in findings if finding.where.get("roi") == "Case"))


def _words(volume_cc: float | None, mean_gy: float | None, coverage: float, codes: Sequence[str]) -> str:
    words = [f"{volume_cc:.3f} cc" if volume_cc and volume_cc < 0.1 else f"{volume_cc:.2f} cc"]
    if mean_gy is not None:
        words.append(f"{mean_gy:.2f} Gy")
    if 0.0 < coverage < 1.0:
        words.append(f"coverage {100.0 * coverage:.0f} %")
    return ", ".join([*words, *(f"`{code}`" for code in codes)])


def _their_words(result: Mapping[str, object]) -> str:
    if "error" in result:
        return f"{result['error']}"
    if not result["V"]:
        return f"{result['notes'] or '0.00 cc'}"
    return _words(float(str(result["V"])), float(str(result["mean"])), 1.0, [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicompyler", metavar="PYTHON", help="interpreter of an environment with dicompyler-core")
    options = parser.parse_args()
    header, versions = ["case (volume, mean dose)", "expected", "fdp-bridge"], [our_versions()]
    with TemporaryDirectory() as name:
        rows = [[case.name, str(case.expected), str(ours(case, Path(name)))] for case in CASES]
        if options.dicompyler is not None:
            theirs, results = dicompyler_results(options.dicompyler, [case.job(Path(name)) for case in CASES])
            rows = [[*row, _their_words(result)] for row, result in zip(rows, results, strict=True)]
            header, versions = [*header, "dicompyler-core"], [*versions, theirs]
    sys.stdout.write(f"{markdown(header, rows)}\nMeasured with {stamp(*versions)}.\n")


if __name__ == "__main__":
    main()
