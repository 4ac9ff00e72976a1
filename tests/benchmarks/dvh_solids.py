"""The analytic DVH benchmark: five solids, 24 mm across, in 1 Gy/mm, against closed forms.

After Nelms et al., Med Phys 42:4435, 2015. Truth is the solid itself plus half a slice at each flat end. A parameter
is missed when it is off by more than 3 %. Test 1: contours every 0.2 mm, dose every 1, 2 or 3 mm. Test 2: contours
every 1, 2 or 3 mm, dose as fine as the contours; shifted: dose grid moved by half a voxel along x, y and z. The
volume counts once, not for both directions of the dose, which makes 195 parameters in each test. One more test, of the
three solids without a flat end along z, begins the planes three tenths of a spacing off the centre and rounds contours
to 0.01 mm, so that nothing falls into place by the symmetry of the benchmark.

    python -m tests.benchmarks.dvh_solids [--dicompyler PYTHON] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.rt.dvh import DvhPolicy
from bridge.rt.grid import Grid
from tests.benchmarks.files import FRAME, DrawnItem, drawn, linear_dose, write_dose, write_structures
from tests.benchmarks.programs import (
    PARAMETERS,
    Job,
    dicompyler_results,
    markdown,
    our_parameters,
    our_versions,
    stamp,
)
from tests.solids import CENTRE_GY, LYING_CONE, LYING_CYLINDER, RADIUS_MM, SOLIDS, SPHERE, GradientAxis, Solid

TOLERANCE = 0.03
ROUND_ENDED = (SPHERE, LYING_CYLINDER, LYING_CONE)
AXES: tuple[GradientAxis, GradientAxis] = ("y", "z")
DIRECTION = {"y": "AP", "z": "SI"}
COARSE, FINE = [(step, step) for step in (1.0, 2.0, 3.0)], [(0.2, dose_mm) for dose_mm in (1.0, 2.0, 3.0)]
TESTS = {
    "1": (FINE, 0.0, 0.0),
    "1 shifted": (FINE, 0.5, 0.0),
    "2": (COARSE, 0.0, 0.0),
    "2 shifted": (COARSE, 0.5, 0.0),
    "2 off centre": (COARSE, 0.0, 0.3),
}
"""Pairs of contour and dose spacing in mm, shift of the dose grid in voxels, shift of the planes in spacings."""

CAPPED, TAPERED, UNCAPPED, UNCAPPED_TRUTH = (
    "half-slice caps",
    "half-slice caps, tapered",
    "no caps",
    "no caps, against solids without half slices",
)
POLICIES = {
    CAPPED: DvhPolicy("half_slice"),
    TAPERED: DvhPolicy("half_slice", between_planes="tapered"),
    UNCAPPED: DvhPolicy("none"),
}
THEIRS = "dicompyler-core"


@dataclass(frozen=True)
class Row:
    """One solid in one dose."""

    solid: Solid
    axis: GradientAxis
    contour_mm: float
    dose_mm: float
    shift: float
    offset: float = 0.0

    @property
    def label(self) -> str:
        shifted = " shifted" if self.shift else ""
        return f"{self.solid.name}, {DIRECTION[self.axis]}, {self.contour_mm:g}/{self.dose_mm:g} mm{shifted}"

    def job(self, folder: Path) -> Job:
        structures = folder / f"RS_{self.solid.name.replace(' ', '_')}_{self.contour_mm}_{self.offset}.dcm"
        dose = folder / f"RD_{self.axis}_{self.dose_mm}_{self.shift}.dcm"
        if not structures.exists():
            write_structures(structures, [(self.solid.name, self.contours())])
        if not dose.exists():
            grid = grid_over_the_solids(self.dose_mm, self.shift)
            write_dose(dose, linear_dose(grid, {self.axis: 1.0}, CENTRE_GY))
        return Job(str(structures), str(dose))

    def contours(self) -> list[DrawnItem]:
        if not self.offset:
            planes = self.solid.drawn(self.contour_mm).planes
            return [drawn(loop, plane.z_mm) for plane in planes for loop in plane.loops]
        steps = ceil(RADIUS_MM / self.contour_mm)
        heights = [(k + self.offset) * self.contour_mm for k in range(-steps - 1, steps)]
        sections = [(self.solid.section(z), z) for z in heights if abs(z) < RADIUS_MM]
        return [drawn(loop.round(2), z) for loop, z in sections if loop is not None]

    def counted(self) -> list[str]:
        return [name for name in PARAMETERS if name != "V" or self.axis == "y"]


def grid_over_the_solids(step_mm: float, shift: float) -> Grid:
    """Give a grid that holds the solids with their caps, and has a voxel centre at the origin unless shifted."""
    half = ceil(15.0 / step_mm) + 1
    first = (shift - half) * step_mm
    return Grid.axial((2 * half + 1,) * 3, (step_mm,) * 3, (first,) * 3, FRAME)


@cache
def truth(solid: Solid, axis: GradientAxis, cap_mm: float) -> dict[str, float]:
    """Give the parameters of a solid whose flat ends are drawn out by ``cap_mm``."""
    exact = solid.dvh(solid.true_slabs(cap_mm), axis)
    return {
        "V": exact.volume_cc,
        "mean": exact.mean_gy,
        **{f"D{percent}": exact.dose_at_percent(percent) for percent in (99, 95, 5, 1)},
        "D0.03cc": exact.dose_at_cc(0.03),
    }


def rows_of(test: str) -> list[Row]:
    pairs, shift, offset = TESTS[test]
    solids = ROUND_ENDED if offset else SOLIDS
    return [Row(solid, axis, *pair, shift, offset) for solid in solids for pair in pairs for axis in AXES]


@dataclass(frozen=True)
class Score:
    """How one program did in one test."""

    counted: int
    missed: dict[str, int]
    largest_gy: dict[str, float]
    misses: list[str]

    @property
    def total(self) -> int:
        return sum(self.missed.values())


def score(rows: Sequence[Row], results: Sequence[Mapping[str, object]], *, half_slices: bool = True) -> Score:
    missed, largest, misses, counted = Counter(dict.fromkeys(PARAMETERS, 0)), dict.fromkeys(PARAMETERS, 0.0), [], 0
    for row, result in zip(rows, results, strict=True):
        exact = truth(row.solid, row.axis, row.contour_mm / 2.0 if half_slices else 0.0)
        for name in row.counted():
            counted += 1
            found = float(str(result.get(name, 0.0)))  # a program without an answer misses
            largest[name] = max(largest[name], abs(found - exact[name]))
            if abs(found / exact[name] - 1.0) > TOLERANCE:
                missed[name] += 1
                misses.append(f"{row.label}: {name} {found:.3f}, should be {exact[name]:.3f}")
    return Score(counted, dict(missed), largest, misses)


def run(tests: Sequence[str], dicompyler: str | None) -> tuple[dict[str, dict[str, Score]], dict[str, float], str]:
    """Give scores by test and program, seconds per DVH by program, and the versions."""
    scores: dict[str, dict[str, Score]] = {test: {} for test in tests}
    rows = {test: rows_of(test) for test in tests}
    seconds: dict[str, list[float]] = {}
    versions = [our_versions()]
    with TemporaryDirectory() as name:
        jobs = {test: [row.job(Path(name)) for row in rows[test]] for test in tests}
        for test in tests:
            for program, policy in POLICIES.items():
                results = our_parameters(jobs[test], policy)
                scores[test][program] = score(rows[test], results)
                seconds.setdefault(program, []).extend(result["seconds"] for result in results)
                if program == UNCAPPED:
                    scores[test][UNCAPPED_TRUTH] = score(rows[test], results, half_slices=False)
                    seconds[UNCAPPED_TRUTH] = seconds[UNCAPPED]
        if dicompyler is not None:
            for test in tests:
                theirs, answers = dicompyler_results(dicompyler, jobs[test])
                scores[test][THEIRS] = score(rows[test], answers)
                seconds.setdefault(THEIRS, []).extend(float(str(answer["seconds"])) for answer in answers)
            versions.append(theirs)
    return scores, {program: sum(each) / len(each) for program, each in seconds.items()}, stamp(*versions)


def tables(scores: Mapping[str, Mapping[str, Score]], seconds: Mapping[str, float]) -> str:
    programs = list(seconds)
    misses = [
        [test, *(f"{by_program[name].total} of {by_program[name].counted}" for name in programs)]
        for test, by_program in scores.items()
    ]
    misses.append(["seconds per DVH", *(f"{seconds[name]:.3f}" for name in programs)])
    details = [
        [
            f"{test}, {name}",
            *(f"{by_program[name].missed[each]} ({by_program[name].largest_gy[each]:.2f})" for each in PARAMETERS),
        ]
        for test, by_program in scores.items()
        for name in programs
    ]
    return (
        "Parameters off by more than 3 %:\n\n"
        + markdown(["test", *programs], misses)
        + "\nBy parameter, with the largest absolute error in brackets (cc for V, else Gy):\n\n"
        + markdown(["test, program", *PARAMETERS], details)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--dicompyler", metavar="PYTHON", help="interpreter of an environment with dicompyler-core")
    parser.add_argument("--misses", action="store_true", help="list what is missed with half-slice caps")
    options = parser.parse_args()
    scores, seconds, versions = run(list(TESTS), options.dicompyler)
    sys.stdout.write(f"{tables(scores, seconds)}\nMeasured with {versions}.\n")
    if options.misses:
        for test, by_program in scores.items():
            for program in (CAPPED, TAPERED):
                for miss in by_program[program].misses:
                    sys.stdout.write(f"test {test}, {program}: {miss}\n")
    if options.json is not None:
        content = {
            "versions": versions,
            "seconds_per_dvh": seconds,
            "tests": {
                test: {
                    program: {"counted": each.counted, "missed": each.missed, "largest_error": each.largest_gy,
                              "misses": each.misses}
                    for program, each in by_program.items()
                }
                for test, by_program in scores.items()
            },
        }  # fmt: skip
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
