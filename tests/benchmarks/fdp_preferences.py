"""A picture of two preferences side by side: P1 spares the organs, P2 covers the targets.

    python -m tests.benchmarks.fdp_preferences --out FILE [--patient pt_N.npz] [--model ID] [--zoo DIR]

Without a patient it draws the built-in phantom, which may be shown to anyone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np

from bridge.dicom.assemble import read_case
from bridge.dicom.phantom import write_head_and_neck_phantom
from bridge.rt.anatomy import anatomy_of
from bridge.rt.case import Anatomy
from bridge.workflow.pipeline import prepare
from config.structure_names import StructureNames
from models.openkbp.reader import read_patient
from models.preference import COVER, NEUTRAL, SPARE, Preference
from models.registry import load_model

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOSE_GRID_MM = 2.5
OUTLINES = {"Parotid_L": "#e69f00", "Parotid_R": "#56b4e9", "SpinalCord": "#009e73", "Larynx": "#cc79a7"}


def phantom() -> Anatomy:
    """Read the phantom as ``predict`` does."""
    with TemporaryDirectory() as folder:
        given = read_case(write_head_and_neck_phantom(Path(folder)).paths)
    case = prepare(given.case, given.plan.doses if given.plan else (), None, StructureNames.load({}, {}), {})
    return anatomy_of(case, DOSE_GRID_MM)[0]


def draw(anatomy: Anatomy, doses: dict[str, np.ndarray], path: Path) -> None:
    """Draw the axial slice with most parotid, and the DVHs of what differs."""
    organs = {name: anatomy.masks[name].values >= 0.5 for name in OUTLINES if name in anatomy.masks}
    parotids = sum(organs[name].sum(axis=(1, 2)) for name in ("Parotid_L", "Parotid_R") if name in organs)
    targets = {name: anatomy.masks[name].values >= 0.5 for name in anatomy.target_levels_gy}
    in_target = np.logical_or.reduce(list(targets.values())).any(axis=(1, 2))
    k = int(np.argmax(parotids * in_target)) if np.any(parotids * in_target) else int(np.flatnonzero(in_target).mean())
    _, dy, dx = anatomy.grid.spacing_mm
    highest = max(anatomy.target_levels_gy.values())
    figure, axes = plt.subplots(1, len(doses) + 1, figsize=(4.2 * (len(doses) + 1), 4.0), layout="constrained")
    image = None
    for axis, (name, dose) in zip(axes, doses.items(), strict=False):
        if anatomy.ct is not None:
            axis.imshow(anatomy.ct.values[k], cmap="gray", vmin=-200, vmax=300, aspect=dy / dx)
        wash = np.ma.masked_less(dose[k], 0.1 * highest)
        image = axis.imshow(wash, cmap="turbo", vmin=0, vmax=1.1 * highest, alpha=0.55, aspect=dy / dx)
        axis.contour(dose[k], levels=[0.5 * highest, 0.95 * highest], colors="white", linewidths=(0.8, 1.4))
        for organ, mask in organs.items():
            _outline(axis, mask[k], OUTLINES[organ])
        for mask in targets.values():
            _outline(axis, mask[k], "red")
        axis.set_title(name)
        axis.set_axis_off()
    figure.colorbar(image, ax=list(axes[:-1]), label="Gy", shrink=0.8)
    levels = np.linspace(0, 1.15 * highest, 300)
    for style, (name, dose) in zip(("-", "--", ":"), doses.items(), strict=False):
        for structure, mask in {**targets, **organs}.items():
            colour = OUTLINES.get(structure, "red")
            volume = [100 * np.mean(dose[mask] >= level) for level in levels] if mask.any() else []
            if volume:
                axes[-1].plot(levels, volume, style, color=colour, label=f"{structure}, {name}", linewidth=1.2)
    axes[-1].set(xlabel="dose (Gy)", ylabel="volume (%)", xlim=(0, levels[-1]), ylim=(0, 101))
    axes[-1].legend(fontsize=5.5, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _outline(axis: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=colour, linewidths=1.0)


def main() -> None:
    """Predict with both preferences and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patient", type=Path)
    parser.add_argument("--model", default="fdp-hn-engine-v1")
    parser.add_argument("--zoo", type=Path)
    given = parser.parse_args()
    anatomy = read_patient(given.patient).anatomy if given.patient else phantom()
    prepared = load_model(given.model, given.zoo).prepare(anatomy)
    wishes: dict[str, Preference] = {"P1 spare": SPARE, "neutral": NEUTRAL, "P2 cover": COVER}
    draw(anatomy, {name: prepared.predict(wish).dose.values for name, wish in wishes.items()}, given.out)


if __name__ == "__main__":
    main()
