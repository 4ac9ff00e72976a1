"""The rows of the conversion study as one table in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

_HEAD = (
    "| known dose | extraction | n | \\|dD(v)\\| ± SD | misfit | sparing | dDmean | dD0.03cc "
    "| PTV \\|dD95\\| | worst | dD98 | dD95 | dD2 | D95 - Rx | objectives | s |"
)


def markdown(rows: Sequence[Mapping[str, Any]], sources: Sequence[str], arms: Sequence[str]) -> str:
    """Give the table: each number is the mean over patients of the mean over a patient's organs or targets, in Gy.

    PTV differences are optimized less requested, but for the last, which is D95% less the prescription. Only the
    patients that have every arm of a dose count, so that all lines of it are of the same patients.
    """
    lines = [_HEAD, "| --- " * 2 + "| ---: " * 14 + "|"]
    for source in sources:
        of_arm = {arm: {r["patient"]: r for r in rows if (r["source"], r["arm"]) == (source, arm)} for arm in arms}
        common = set.intersection(*(set(by_patient) for by_patient in of_arm.values()))
        for arm in arms if common else ():
            lines.append(_line(source, arm, [of_arm[arm][patient] for patient in sorted(common)]))
    return "\n".join(lines)


def _line(source: str, arm: str, rows: Sequence[Mapping[str, Any]]) -> str:
    def organs(what: str) -> list[float]:
        return [float(np.mean([organ[what] for organ in row["organs"].values()])) for row in rows]

    def targets(value: Callable[[Mapping[str, float]], float]) -> list[float]:
        return [float(np.mean([value(target) for target in row["targets"].values()])) for row in rows]

    absolute = organs("absolute")
    worst = max(abs(target["d95"]) for row in rows for target in row["targets"].values())
    spread = f"{np.std(absolute, ddof=1):.2f}" if len(rows) > 1 else "-"
    cells = [
        source,
        arm,
        str(len(rows)),
        f"{np.mean(absolute):.2f} ± {spread}",
        f"{np.mean(organs('misfit')):.2f}",
        f"{np.mean(organs('sparing')):.2f}",
        f"{np.mean(organs('mean_dose')):+.2f}",
        f"{np.mean(organs('near_maximum')):+.2f}",
        f"{np.mean(targets(lambda target: abs(target['d95']))):.2f}",
        f"{worst:.2f}",
        *(f"{np.mean(targets(lambda target, what=what: target[what])):+.2f}" for what in ("d98", "d95", "d2")),
        f"{np.mean(targets(lambda target: target['optimized_d95'] - target['prescribed'])):+.2f}",
        f"{np.mean([row['objectives'] for row in rows]):.0f}",
        f"{np.mean([row['optimize_s'] for row in rows]):.0f}",
    ]
    return f"| {' | '.join(cells)} |"
