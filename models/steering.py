"""Do the sliders do what they say? Achieved homogeneity and organ doses against what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import error_context
from models.card import Preferences
from models.openkbp.reader import OpenKbpPatient, list_patients, patient_folder, read_patient
from models.predictor import DosePredictor, PreparedPredictor
from models.preference import NEUTRAL, Preference

__all__ = ["SliderResult", "measure_sliders"]

HI_OFFSETS = (-0.03, -0.015, 0.0, 0.03, 0.06)
"""Wanted minus neutral homogeneity index."""

WEIGHTS = (0.8, 0.9, 1.0, 1.15, 1.35)

_FEWEST_VOXELS = 30
_FEWEST_SETTINGS = 2
"""Of a slider, the usual one among them: with fewer there is no slope."""

_LEAST_GY = 1.0
"""Mean dose that an organ must have without a wish for its slider to be measured."""

_SAME = 1e-4
"""Two settings closer than this in what they achieve are a tie, not a step backwards."""


@dataclass(frozen=True)
class SliderResult:
    """One slider over all patients.

    Attributes
    ----------
    slider
        ``hi``, ``oar_weight`` or ``oar_weight.<organ>``; the common weight has a row for each organ it moves, as
        ``oar_weight>Larynx``.
    n
        Patients that have what it moves.
    settings
        Of the slider: offsets of the homogeneity index, or those weights that the model takes.
    achieved
        Median over the patients at each setting: the change of the homogeneity index, or the organ's mean dose outside
        the targets over the neutral one.
    slope
        Median over the patients of the slope of achieved against asked (1 is ideal).
    monotone
        Share of the patients in whom every step of the slider moves the measure the right way.
    d95_drift_gy
        Mean over patients and targets of the absolute change of D95 at each setting.
    """

    slider: str
    n: int
    settings: tuple[float, ...]
    achieved: tuple[float, ...]
    slope: float
    monotone: float
    d95_drift_gy: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Patient:
    """What is measured of one patient."""

    prepared: PreparedPredictor
    sliders: Preferences
    highest: NDArray[np.bool_]
    targets: tuple[NDArray[np.bool_], ...]
    organs: Mapping[str, NDArray[np.bool_]]
    neutral: _Measured


@dataclass(frozen=True)
class _Measured:
    hi: float
    organs: Mapping[str, float]
    d95: tuple[float, ...]


def measure_sliders(
    predictor: DosePredictor, data_dir: Path, n: int, progress: Callable[[int, int], None] | None = None
) -> tuple[SliderResult, ...]:
    """Move every slider of a model on the first ``n`` patients.

    Parameters
    ----------
    predictor
        Its card names homogeneity, the common weight and the organs.
    data_dir
        Folder of patients, or one with a set ``validation`` in it.
    """
    paths = list_patients(patient_folder(data_dir, "validation"))[:n]
    organs = tuple(predictor.card.preferences.oar_weights)
    rows: dict[str, list[tuple[list[float], list[float]]]] = {}
    for index, path in enumerate(paths):
        with error_context({"patient": path.stem}):
            patient = _prepare(predictor, read_patient(path), organs)
            _hi(patient, rows)
            _common(patient, rows)
            for organ in patient.organs:
                _single(patient, organ, rows)
        if progress is not None:
            progress(index + 1, len(paths))
    sliders = predictor.card.preferences
    return tuple(_summary(slider, _settings(sliders, slider), found) for slider, found in rows.items())


def _settings(sliders: Preferences, slider: str) -> tuple[float, ...]:
    """Give the settings of a slider that the model takes; offsets of the homogeneity are cut for each patient."""
    if slider == "hi":
        return HI_OFFSETS
    ends = sliders.range_of("oar_weight" if ">" in slider else slider)
    return tuple(weight for weight in WEIGHTS if ends is not None and ends[0] <= weight <= ends[1])


def _prepare(predictor: DosePredictor, patient: OpenKbpPatient, organs: Sequence[str]) -> _Patient:
    anatomy = patient.anatomy
    targets = {name: anatomy.masks[name].values >= 0.5 for name in anatomy.target_levels_gy}
    outside = ~np.logical_or.reduce(list(targets.values()))
    free = {name: (anatomy.masks[name].values >= 0.5) & outside for name in organs if name in anatomy.masks}
    free = {name: mask for name, mask in free.items() if mask.sum() >= _FEWEST_VOXELS}
    highest = targets[max(anatomy.target_levels_gy, key=lambda name: anatomy.target_levels_gy[name])]
    prepared = predictor.prepare(anatomy)
    neutral = _measure(prepared.predict(NEUTRAL).dose.values, highest, tuple(targets.values()), free)
    # an organ far from the targets may have no dose at all, and there is nothing to spare
    free = {name: mask for name, mask in free.items() if neutral.organs[name] >= _LEAST_GY}
    neutral = replace(neutral, organs={name: neutral.organs[name] for name in free})
    return _Patient(prepared, predictor.card.preferences, highest, tuple(targets.values()), free, neutral)


def _measure(
    dose_gy: VoxelArray,
    highest: NDArray[np.bool_],
    targets: Sequence[NDArray[np.bool_]],
    organs: Mapping[str, NDArray[np.bool_]],
) -> _Measured:
    d98, d50, d2 = np.percentile(dose_gy[highest], (2, 50, 98))
    return _Measured(
        float((d2 - d98) / d50),
        {name: float(dose_gy[mask].mean()) for name, mask in organs.items()},
        tuple(float(np.percentile(dose_gy[mask], 5)) for mask in targets),
    )


def _ask(patient: _Patient, preference: Preference) -> _Measured:
    dose_gy = patient.prepared.predict(preference).dose.values
    return _measure(dose_gy, patient.highest, patient.targets, patient.organs)


def _drift(patient: _Patient, now: _Measured) -> float:
    return float(np.mean(np.abs(np.subtract(now.d95, patient.neutral.d95))))


Rows = dict[str, list[tuple[list[float], list[float]]]]
"""For each slider and patient what was achieved at each setting, and the drift of D95."""


def _hi(patient: _Patient, rows: Rows) -> None:
    ends = patient.sliders.hi
    if ends is None:
        return
    achieved, drift = [], []
    for offset in HI_OFFSETS:
        wanted = min(max(patient.neutral.hi + offset, 0.02, ends[0]), ends[1])
        now = _ask(patient, Preference("asked", hi=wanted)) if offset else patient.neutral
        achieved.append(now.hi - patient.neutral.hi)
        drift.append(_drift(patient, now))
    rows.setdefault("hi", []).append((achieved, drift))


def _common(patient: _Patient, rows: Rows) -> None:
    weights = _settings(patient.sliders, "oar_weight>")
    if len(weights) < _FEWEST_SETTINGS:
        return
    measured = [
        _ask(patient, Preference("asked", oar_weight=weight)) if weight != 1.0 else patient.neutral
        for weight in weights
    ]
    drift = [_drift(patient, now) for now in measured]
    for organ, before in patient.neutral.organs.items():
        achieved = [now.organs[organ] / before for now in measured]
        rows.setdefault(f"oar_weight>{organ}", []).append((achieved, drift))


def _single(patient: _Patient, organ: str, rows: Rows) -> None:
    weights = _settings(patient.sliders, f"oar_weight.{organ}")
    if len(weights) < _FEWEST_SETTINGS:
        return
    achieved, drift = [], []
    for weight in weights:
        now = _ask(patient, Preference("asked", oar_weights={organ: weight})) if weight != 1.0 else patient.neutral
        achieved.append(now.organs[organ] / patient.neutral.organs[organ])
        drift.append(_drift(patient, now))
    rows.setdefault(f"oar_weight.{organ}", []).append((achieved, drift))


def _summary(slider: str, settings: tuple[float, ...], found: list[tuple[list[float], list[float]]]) -> SliderResult:
    achieved = np.array([row for row, _ in found])
    drift = np.array([row for _, row in found])
    # a weight w asks for the neutral mean over w: in logarithms that is a line of slope -1
    asked, got, sign = (
        (np.array(settings), achieved, 1.0) if slider == "hi" else (-np.log(settings), np.log(achieved), 1.0)
    )
    slopes = [np.polyfit(asked, row, 1)[0] for row in got]
    order = np.argsort(asked)
    steps = sign * np.diff(got[:, order], axis=1)
    return SliderResult(
        slider=slider,
        n=len(found),
        settings=settings,
        achieved=tuple(np.median(achieved, axis=0).tolist()),
        slope=float(np.median(slopes)),
        monotone=float(np.mean((steps > -_SAME).all(axis=1))),
        d95_drift_gy=tuple(drift.mean(axis=0).tolist()),
    )
