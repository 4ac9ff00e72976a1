"""How long FDP takes from a slider to new DVHs: median of many, after warming up.

    python -m tests.benchmarks.fdp_latency [--model ID] [--zoo DIR] [--repeats N] [--json FILE]

The case is the built-in head-and-neck phantom, read from its DICOM files as ``predict`` reads them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.dicom.assemble import read_case
from bridge.dicom.phantom import write_head_and_neck_phantom
from bridge.rt.anatomy import anatomy_of
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.workflow.pipeline import prepare
from config.structure_names import StructureNames
from models.fdp.model import FdpModel, PreparedFdp
from models.predictor import CheckedPredictor
from models.preference import Preference
from models.registry import load_model

DOSE_GRID_MM = 2.5


def median_ms(what: Callable[[int], object], repeats: int) -> float:
    """Median time of a call, after three to warm up; the call is told its number."""
    times = []
    for number in range(repeats + 3):
        begun = time.perf_counter()
        what(number)
        times.append(1000.0 * (time.perf_counter() - begun))
    return statistics.median(times[3:])


def measure(model_id: str, zoo: Path | None, repeats: int) -> dict[str, float | str | int]:
    """Measure one model."""
    predictor = load_model(model_id, zoo)
    assert isinstance(predictor, CheckedPredictor)
    assert isinstance(predictor.model, FdpModel)
    with TemporaryDirectory() as folder:
        given = read_case(write_head_and_neck_phantom(Path(folder)).paths)
    case = prepare(given.case, given.plan.doses if given.plan else (), None, StructureNames.load({}, {}), {})
    anatomy, _ = anatomy_of(case, DOSE_GRID_MM)
    begun = time.perf_counter()
    prepared = predictor.prepare(anatomy)
    prepare_s = time.perf_counter() - begun
    assert isinstance(prepared.prepared, PreparedFdp)
    dvhs = prepare_dvhs(case.structures, anatomy.grid)
    inside = prepared.prepared
    features = inside.views[0].features[0]
    condition = inside.condition({}, 0.0, inside.views[0])
    backend = predictor.model.backend
    encoder_input = {"channels": inside.frame.boxes(inside.channels)[0][None]}

    def slider(number: int) -> object:
        wish = Preference("moved", oar_weight=0.8 + 0.05 * (number % 10))
        return dvhs.dvhs(prepared.predict(wish).dose)

    return {
        "model": model_id,
        "backend": backend.name,
        "cores": os.cpu_count() or 0,
        "dose_grid": " x ".join(str(n) for n in anatomy.grid.shape),
        "boxes": len(inside.frame.starts),
        "structures": len(case.structures),
        "repeats": repeats,
        "encoder_ms": median_ms(lambda _: backend.run("encoder", encoder_input), min(repeats, 10)),
        "network_ms": median_ms(lambda _: backend.run("proposer", {**features, "condition": condition}), repeats),
        "prepare_case_s": prepare_s,
        "slider_to_dvhs_ms": median_ms(slider, repeats),
    }


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fdp-hn-engine-v1")
    parser.add_argument("--zoo", type=Path)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = measure(given.model, given.zoo, given.repeats)
    for name, value in result.items():
        print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
