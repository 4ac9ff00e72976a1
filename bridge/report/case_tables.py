"""The tables of a case report, as text: headings with units, rounded numbers, and words where there is no number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.report.case_data import CaseReportData, ObjectiveRow
from bridge.report.line_style import LineStyle
from bridge.report.tables import DvhStatus, dvh_status
from bridge.rt.dvh import Dvh
from bridge.rt.structure import Structure

__all__ = [
    "NOTHING",
    "TARGET_METRICS",
    "Column",
    "Row",
    "Table",
    "dvh_policy_text",
    "fixed",
    "objective_table",
    "structure_tables",
]

NOTHING = "\u2013"
"""Shown where there is no value."""

_SOURCES = {"rtplan": "RTPLAN", "target_name": "target name", "config": "configuration"}
_STATUS_TEXT: dict[DvhStatus, str] = {
    "empty": "empty: no contours",
    "outside_dose_grid": "outside the dose grid: no dose known",
}
_PERCENT, _GY, _INDEX = 1, 2, 3
"""Decimals."""

TARGET_METRICS = {
    "D98%_gy": ("D98%", "Gy", _GY),
    "D95%_gy": ("D95%", "Gy", _GY),
    "D50%_gy": ("D50%", "Gy", _GY),
    "D2%_gy": ("D2%", "Gy", _GY),
    "mean_gy": ("Mean", "Gy", _GY),
    "V95%Rx_%": ("V95%Rx", "%", _PERCENT),
    "V107%Rx_%": ("V107%Rx", "%", _PERCENT),
    "hi_icru83": ("HI ICRU83", "(D2-D98)/D50", _INDEX),
    "hi_d5_d95": ("HI", "D5/D95", _INDEX),
}
_ORGAN_METRICS = {
    "mean_gy": ("Mean", "Gy", _GY),
    "D0.03cc_gy": ("D0.03cc", "Gy", _GY),
    "D2%_gy": ("D2%", "Gy", _GY),
}
_UNCERTAINTY = {"voxel_sd_gy": ("1 SD of a voxel", "Gy", _GY)}
"""Shown where the model says how sure it is."""


@dataclass(frozen=True)
class Column:
    """Heading, unit, and whether numbers stand under it."""

    text: str
    unit: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Row:
    """Cells of a row, the first of them its heading; ``remark`` stands in for all cells that are missing."""

    cells: tuple[str, ...]
    style: LineStyle | None = None
    remark: str = ""
    repeats: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def fixed(value: float | None, digits: int) -> str:
    """Round for reading; a dash where there is no value or none that is finite."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{round(value, digits) + 0.0:.{digits}f}"


def structure_tables(data: CaseReportData, styles: Mapping[int, LineStyle]) -> tuple[Table, Table]:
    """Give the table of the targets and that of all other structures.

    Numbers are those of ``data.metrics``; volume and its part inside the dose grid are those of the DVH.
    """
    shown = data.ordered_dvhs
    targets = [(structure, dvh) for structure, dvh in shown if structure.kind == "target"]
    others = [(structure, dvh) for structure, dvh in shown if structure.kind != "target"]

    volume_at_dose = sorted(
        {key for structure, _ in others for key in data.metrics.get(structure.number, {}) if _is_volume_at_dose(key)},
        key=lambda key: float(key[1 : key.index("Gy_")]),
    )
    known = any("voxel_sd_gy" in values for values in data.metrics.values())
    uncertainty = _UNCERTAINTY if known else {}
    target_metrics = TARGET_METRICS | uncertainty
    organ_metrics = _ORGAN_METRICS | {key: (key[: key.index("_")], "%", _PERCENT) for key in volume_at_dose}
    organ_metrics |= uncertainty
    volume = (Column("Volume", "cc"), Column("Inside grid", "%"))
    target_head = (Column("Target", is_number=False), Column("Prescribed", "Gy"), Column("from", is_number=False))
    target_rows = []
    for structure, dvh in targets:
        level = data.prescription.level_of(structure.number)
        said = (fixed(level.dose_gy, _GY), _SOURCES[level.source]) if level else (NOTHING, NOTHING)
        target_rows.append(_structure_row(structure, dvh, data, styles, said, target_metrics))
    other_rows = [_structure_row(structure, dvh, data, styles, (), organ_metrics) for structure, dvh in others]
    return (
        Table("Targets", (*target_head, *volume, *_columns(target_metrics)), tuple(target_rows)),
        Table(
            "Organs and other structures",
            (Column("Structure", is_number=False), *volume, *_columns(organ_metrics)),
            tuple(other_rows),
        ),
    )


def objective_table(objectives: Sequence[ObjectiveRow]) -> Table:
    """Give the optimization objectives in the given order."""
    rows, previous = [], None
    for objective in objectives:
        cells = (
            objective.roi, objective.kind, objective.operator, fixed(objective.dose_gy, _GY),
            fixed(objective.volume_percent, _PERCENT), f"{objective.priority:g}", objective.origin,
        )  # fmt: skip
        rows.append(Row(cells, repeats=objective.roi == previous))
        previous = objective.roi
    columns = (
        Column("Structure", is_number=False),
        Column("Kind", is_number=False),
        Column("Operator", is_number=False),
        Column("Dose", "Gy"),
        Column("Volume", "%"),
        Column("Priority"),
        Column("Origin", is_number=False),
    )
    return Table("Optimization objectives", columns, tuple(rows))


def dvh_policy_text(dvhs: Sequence[Dvh]) -> dict[str, str]:
    """Give end caps, sampling and coverage behind the DVHs, each in words."""
    drawn = [dvh for dvh in dvhs if not dvh.is_empty]
    caps = {"none": "none (structures end at their first and last plane)", "half_slice": "half a plane spacing"}
    end_caps = "; ".join(caps[policy] for policy in sorted({dvh.policy.end_caps for dvh in drawn}))
    samples = sorted({dvh.policy.sample_mm for dvh in drawn if dvh.policy.sample_mm is not None})
    sampling = NOTHING
    if samples:
        ends = dict.fromkeys((f"{samples[0]:.2f}", f"{samples[-1]:.2f}"))
        sampling = f"{' to '.join(ends)} mm between samples, trilinear dose, exact area weights at the contour"
    partial = [
        f"{dvh.roi_name} {100 * dvh.coverage:.1f} %" for dvh in dvhs if dvh_status(dvh) == "partly_outside_dose_grid"
    ]
    missing = [f"{dvh.roi_name} ({_STATUS_TEXT[dvh_status(dvh)]})" for dvh in dvhs if dvh.is_empty]
    covered = f"{len(drawn) - len(partial)} of {len(dvhs)} structures wholly inside the dose grid"
    return {
        "End caps": end_caps or NOTHING,
        "Between planes": "; ".join(sorted({dvh.policy.between_planes for dvh in drawn})) or NOTHING,
        "Sampling": sampling,
        "Inside grid": "; ".join([covered, *partial, *missing]),
    }


def _is_volume_at_dose(key: str) -> bool:
    return key.startswith("V") and key.endswith("Gy_%")


def _columns(metrics: Mapping[str, tuple[str, str, int]]) -> tuple[Column, ...]:
    return tuple(Column(text, unit) for text, unit, _ in metrics.values())


def _structure_row(
    structure: Structure,
    dvh: Dvh,
    data: CaseReportData,
    styles: Mapping[int, LineStyle],
    after_name: tuple[str, ...],
    metrics: Mapping[str, tuple[str, str, int]],
) -> Row:
    style = styles[structure.number]
    start = (_name(structure), *after_name, fixed(dvh.volume_cc, _GY))
    if dvh.is_empty:
        return Row(start, style, remark=_STATUS_TEXT[dvh_status(dvh)])
    values = data.metrics.get(structure.number, {})
    cells = tuple(fixed(values.get(key), digits) for key, (_, _, digits) in metrics.items())
    return Row((*start, fixed(100.0 * dvh.coverage, _PERCENT), *cells), style)


def _name(structure: Structure) -> str:
    """Give the planning system's name, and the standard name where it says something else."""
    standard = structure.standard_name
    return structure.name if standard in (None, structure.name) else f"{structure.name} ({standard})"
