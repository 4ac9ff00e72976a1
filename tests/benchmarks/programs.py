"""The programs that are measured: this one in the process, dicompyler-core in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from bridge import __version__
from bridge.dicom.read_dose import read_dose
from bridge.dicom.structure_set import StructureSet, read_structure_set
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.volume import Dose

WORKER = Path(__file__).with_name("dicompyler_worker.py")
PARAMETERS = ("V", "mean", "D99", "D95", "D5", "D1", "D0.03cc")


@dataclass(frozen=True)
class Job:
    """One DVH to be made from two files."""

    structures: str
    dose: str
    roi: int = 1
    options: dict[str, object] = field(default_factory=dict)


def parameters_of(dvh: Dvh) -> dict[str, float]:
    return {
        "V": dvh.volume_cc,
        "mean": dvh.mean_gy,
        **{f"D{percent}": dvh.dose_at_percent(percent) for percent in (99, 95, 5, 1)},
        "D0.03cc": dvh.dose_at_cc(0.03),
    }


@cache
def structures_in(path: str) -> StructureSet:
    return read_structure_set(Path(path))


@cache
def dose_in(path: str) -> Dose:
    return read_dose(Path(path))


def our_dvh(job: Job, policy: DvhPolicy) -> Dvh:
    structure = next(each for each in structures_in(job.structures).structures if each.number == job.roi)
    return compute_dvh(structure, dose_in(job.dose), policy)


def our_parameters(jobs: Sequence[Job], policy: DvhPolicy) -> list[dict[str, float]]:
    """Our parameters, and the ``seconds`` that each DVH took once the files had been read."""
    results = []
    for job in jobs:
        structures_in(job.structures), dose_in(job.dose)
        start = time.perf_counter()
        dvh = our_dvh(job, policy)
        seconds = time.perf_counter() - start
        results.append({"seconds": seconds, **parameters_of(dvh)})
    return results


def dicompyler_results(python: str, jobs: Sequence[Job]) -> tuple[dict[str, str], list[dict[str, object]]]:
    """Versions, and for each job what dicompyler-core makes of it."""
    finished = subprocess.run(
        [python, WORKER], input=json.dumps([asdict(job) for job in jobs]), capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"dicompyler-core did not run; make benchmark-dvh sets it up.\n{finished.stderr[-2000:]}")
    answer = json.loads(finished.stdout)
    return answer["versions"], answer["results"]


def our_versions() -> dict[str, str]:
    return {"fdp-bridge": __version__} | {name: importlib.metadata.version(name) for name in ("pydicom", "numpy")}


def stamp(*versions: Mapping[str, str]) -> str:
    """Say which versions were measured."""
    return "; ".join(", ".join(f"{name} {version}" for name, version in each.items()) for each in versions)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"
