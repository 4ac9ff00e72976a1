"""How long DVHs take: all structures of a patient, and one of 2,000 cc, here and in dicompyler-core.

All programs read the same files in one run; each time is the best of several. dicompyler-core runs with its defaults,
and once more confined to the structure's extent, which is faster.

    python -m tests.benchmarks.dvh_speed [--dicompyler PYTHON] [--json FILE] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import pi
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from scipy.optimize import brentq

from bridge.dicom.read_dose import read_dose
from bridge.dicom.structure_set import read_structure_set
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from tests.benchmarks.files import FRAME, drawn, linear_dose, write_dose, write_structures
from tests.benchmarks.programs import (
    PARAMETERS,
    Job,
    dicompyler_results,
    markdown,
    our_versions,
    parameters_of,
    stamp,
)
from tests.shared_data import shared_dir
from tests.solids import circle

POLICY = DvhPolicy("half_slice")
LARGE_CC, LARGE_STEP_MM, LARGE_GY_MM, LARGE_CENTRE_GY = 2000.0, 2.5, 0.3, 40.0
LARGE_RADIUS_MM = (3.0 * LARGE_CC * 1000.0 / (4.0 * pi)) ** (1.0 / 3.0)
THEIR_OPTIONS: dict[str, dict[str, object]] = {
    "dicompyler-core": {},
    "dicompyler-core, structure extents": {"use_structure_extents": True},
}


@dataclass(frozen=True)
class Measurement:
    """What one program took for all structures of one pair of files."""

    program: str
    from_files_seconds: float | None
    dvh_seconds: float
    parameters: list[dict[str, float]]
    note: str = ""


def best(repeats: int, action: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))


def patient_files(folder: Path, patient: str = "validation/pt_201") -> tuple[Path, Path]:
    """Write an OpenKBP patient as DICOM, by a program that shares no code with this one."""
    shared = shared_dir()
    program, packed = shared / "tools" / "openkbp_to_dicom.py", shared / "openkbp" / f"{patient}.npz"
    # contours as on a CT of 512 x 512; those on the dose's raster of 5 mm cut the corners of small islands
    subprocess.run([sys.executable, program, packed, folder, "--upsample", "4"], check=True, capture_output=True)
    return folder / "RS.dcm", folder / "RD.dcm"


def large_files(folder: Path) -> tuple[Path, Path]:
    """Write a sphere of 2,000 cc in a dose that rises along y."""
    heights = np.arange(-31, 32) * LARGE_STEP_MM
    items = [drawn(circle(float(np.sqrt(LARGE_RADIUS_MM**2 - z**2))), float(z)) for z in heights]
    grid = Grid.axial((73, 73, 73), (LARGE_STEP_MM,) * 3, (-36 * LARGE_STEP_MM,) * 3, FRAME)
    return (
        write_structures(folder / "RS_large.dcm", [("Large", items)]),
        write_dose(folder / "RD_large.dcm", linear_dose(grid, {"y": LARGE_GY_MM}, LARGE_CENTRE_GY)),
    )


def large_truth() -> dict[str, float]:
    """Give the parameters of a ball in a linear dose; above the height t R lie (2 - 3t + t³)/4 of its volume."""

    def dose_at(part: float) -> float:
        height = brentq(lambda t: (2.0 - 3.0 * t + t**3) / 4.0 - part, -1.0, 1.0)
        return LARGE_CENTRE_GY + LARGE_GY_MM * LARGE_RADIUS_MM * float(height)

    return {
        "V": LARGE_CC,
        "mean": LARGE_CENTRE_GY,
        **{f"D{percent}": dose_at(percent / 100.0) for percent in (99, 95, 5, 1)},
        "D0.03cc": dose_at(0.03 / LARGE_CC),
    }


def measure_ours(structures_file: Path, dose_file: Path, repeats: int) -> tuple[list[Structure], list[Measurement]]:
    structures: list[Structure] = []
    doses: list[Dose] = []
    measured: list[Dvh] = []

    def read() -> None:
        doses[:] = [read_dose(dose_file)]
        structures[:] = read_structure_set(structures_file).structures

    def reference() -> None:
        measured[:] = [compute_dvh(structure, doses[0], POLICY) for structure in structures]

    reading, computing = best(repeats, read), best(repeats, reference)
    measurements = [Measurement("fdp-bridge", reading + computing, computing, _parameters(measured))]
    prepared = prepare_dvhs(structures, doses[0].grid, POLICY)
    preparing = best(repeats, lambda: prepare_dvhs(structures, doses[0].grid, POLICY))

    def another_dose() -> None:
        measured[:] = prepared.dvhs(doses[0])

    seconds = best(max(repeats, 5), another_dose)
    note = f"after {preparing:.2f} s of preparation"
    return structures, [*measurements, Measurement("fdp-bridge, prepared", None, seconds, _parameters(measured), note)]


def measure_theirs(
    python: str, files: tuple[Path, Path], structures: Sequence[Structure], repeats: int
) -> tuple[dict[str, str], list[Measurement]]:
    measurements, versions = [], {}
    for program, options in THEIR_OPTIONS.items():
        jobs = [Job(str(files[0]), str(files[1]), each.number, options) for each in structures if not each.is_empty]
        versions, results = dicompyler_results(python, jobs * repeats)
        failed = sum("error" in result for result in results[: len(jobs)])
        note = f"{failed} of {len(jobs)} failed" if failed else ""
        rounds = np.array([float(str(result.get("seconds", 0.0))) for result in results]).reshape(repeats, -1)
        first = results[: len(jobs)]
        parameters = [{name: float(str(each.get(name, np.nan))) for name in PARAMETERS} for each in first]
        # the first round, because pydicom decodes contours when they are first asked for, and keeps them
        from_files = float(str(first[0].get("read_seconds", np.nan))) + float(rounds[0].sum())
        measurements.append(Measurement(program, from_files, float(rounds.sum(axis=1).min()), parameters, note))
    return versions, measurements


def _parameters(dvhs: Sequence[Dvh]) -> list[dict[str, float]]:
    return [parameters_of(dvh) for dvh in dvhs if not dvh.is_empty]


def contour_volume_cc(structure: Structure) -> float:
    """Give the volume between the contours from the areas of their regions, without any sample."""
    slabs = structure.slab_edges_mm("half_slice")
    areas = [plane.region.area for plane in structure.planes]
    return float(np.dot(areas, slabs[:, 1] - slabs[:, 0])) / 1000.0


def _table(measurements: Sequence[Measurement], truth: Sequence[Mapping[str, float]]) -> str:
    """Compare speed with dicompyler-core's default where it was run, and parameters with ``truth``."""
    slowest = next((each.dvh_seconds for each in measurements if each.program == "dicompyler-core"), None)
    rows = []
    for each in measurements:
        doses = [
            abs(found[name] - exact[name])
            for found, exact in zip(each.parameters, truth, strict=True)
            for name in PARAMETERS
            if name != "V"
        ]
        volumes = [abs(found["V"] / exact["V"] - 1.0) for found, exact in zip(each.parameters, truth, strict=True)]
        rows.append(
            [
                each.program,
                "-" if each.from_files_seconds is None else f"{each.from_files_seconds:.2f}",
                f"{each.dvh_seconds:.4f}",
                "-" if slowest is None else f"{slowest / each.dvh_seconds:.1f}",
                f"{100.0 * max(volumes):.2f}",
                f"{np.mean(doses):.3f}",
                f"{max(doses):.2f}",
                each.note,
            ]
        )
    header = ["program", "from files s", "DVHs s", "times faster", "largest V difference %", "mean D difference Gy",
              "largest D difference Gy", ""]  # fmt: skip
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicompyler", metavar="PYTHON", help="interpreter of an environment with dicompyler-core")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the fastest counts")
    options = parser.parse_args()
    versions = [our_versions()]
    figures: dict[str, list[dict[str, object]]] = {}
    with TemporaryDirectory() as name:
        cases: list[tuple[str, tuple[Path, Path], list[dict[str, float]] | None]] = []
        try:
            cases.append(("All structures of an OpenKBP patient", patient_files(Path(name)), None))
        except pytest.skip.Exception as skipped:
            sys.stdout.write(f"No patient: {skipped}.\n")
        cases.append(("2,000 cc in a 2.5 mm dose", large_files(Path(name)), [large_truth()]))
        for title, files, truth in cases:
            # what takes a tenth of a second is repeated more often, in both programs
            repeats = options.repeats if truth is None else 4 * options.repeats
            structures, measurements = measure_ours(*files, repeats)
            if options.dicompyler is not None:
                theirs, more = measure_theirs(options.dicompyler, files, structures, repeats)
                versions[1:] = [theirs]
                measurements += more
            against = "closed forms"
            if truth is None:
                against = "the contours' areas for V, the first row for D"
                volumes = [contour_volume_cc(each) for each in structures if not each.is_empty]
                first_row = measurements[0].parameters
                truth = [{**found, "V": volume} for found, volume in zip(first_row, volumes, strict=True)]
            sys.stdout.write(f"{title} ({len(truth)} drawn; differences from {against}):\n\n")
            sys.stdout.write(_table(measurements, truth) + "\n")
            figures[title] = [asdict(each) for each in measurements]
    sys.stdout.write(f"Best of {options.repeats}, or of {4 * options.repeats}. Measured with {stamp(*versions)}.\n")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
