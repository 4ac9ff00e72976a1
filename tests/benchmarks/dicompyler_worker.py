"""DVHs by dicompyler-core, in an environment of its own: it needs pydicom 2.

Reads ``[{"structures": path, "dose": path, "roi": number, "options": {...}}]`` from standard input and writes
``{"versions": {...}, "results": [...]}`` to standard output. ``seconds`` is the time of ``get_dvh`` alone, on data
sets that have been read before; ``read_seconds`` is the time of reading them, where a job was the first to need them.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import time
import warnings

import pydicom
from dicompylercore import dvhcalc

PARAMETERS = ("D99", "D95", "D5", "D1", "D0.03cc")


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    read: dict[str, pydicom.Dataset] = {}
    results = [_measure(job, read) for job in json.load(sys.stdin)]
    versions = {name: importlib.metadata.version(name) for name in ("dicompyler-core", "pydicom", "numpy")}
    json.dump({"versions": versions, "results": results}, sys.stdout)


def _measure(job: dict, read: dict[str, pydicom.Dataset]) -> dict:
    start = time.perf_counter()
    structures, dose = (_dataset(job[key], read) for key in ("structures", "dose"))
    ready = time.perf_counter()
    try:
        dvh = dvhcalc.get_dvh(structures, dose, job["roi"], **job.get("options", {}))
    except Exception as error:  # whatever it raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - ready
    result = {"seconds": seconds, "read_seconds": ready - start, "notes": dvh.notes, "V": float(dvh.volume)}
    if dvh.volume > 0:
        result["mean"] = float(dvh.mean)
        result.update({name: float(dvh.statistic(name).value) for name in PARAMETERS})
    return result


def _dataset(path: str, read: dict[str, pydicom.Dataset]) -> pydicom.Dataset:
    if path not in read:
        read[path] = pydicom.dcmread(path)
        if "PixelData" in read[path]:
            read[path].pixel_array  # noqa: B018  # decodes and keeps it, which belongs to reading
    return read[path]


if __name__ == "__main__":
    main()
