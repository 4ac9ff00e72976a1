from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge.rt.errors import ModelRefusal
from models.library.plan_file import (
    DOSE_STEP_GY,
    Beamlets,
    PlanContent,
    as_stored,
    beamlets_bytes,
    dose_bytes,
    plan_bytes,
    read_beamlets,
    read_dose,
    read_plan,
)
from tests.models.library import libraries


def a_plan(**changes: object) -> PlanContent:
    parts = {
        "record": libraries.record(*libraries.PLANS[1]),
        "fluence": np.array([0.0, 0.25, 3.14159, 40.0], dtype=np.float16),
        "curves_gy": np.linspace(0.0, 70.0, 2 * 99).reshape(2, 99),
    }
    return PlanContent(**(parts | changes))  # type: ignore[arg-type]


def test_a_dose_comes_back_within_half_a_step() -> None:
    dose = np.random.default_rng(1).uniform(0.0, 80.0, (4, 5, 6)).astype(np.float32)
    back = read_dose(dose_bytes(dose), "x")
    assert back.dtype == np.float32
    assert np.abs(back - dose).max() <= 0.5 * DOSE_STEP_GY + 1e-5
    np.testing.assert_array_equal(back, as_stored(dose))
    np.testing.assert_array_equal(read_dose(dose_bytes(back), "x"), back)


def test_a_dose_of_zero_is_zero() -> None:
    assert read_dose(dose_bytes(np.zeros((1, 1, 1), dtype=np.float32)), "x").tolist() == [[[0.0]]]


@pytest.mark.parametrize("value", [-0.1, 655.4, np.nan, np.inf])
def test_a_dose_that_does_not_fit_is_refused_and_not_wrapped(value: float) -> None:
    with pytest.raises(ModelRefusal) as raised:
        dose_bytes(np.array([[[value]]], dtype=np.float32))
    assert raised.value.code == "library-dose-range"


def test_a_plan_comes_back() -> None:
    plan = a_plan()
    back = read_plan(plan_bytes(plan), "x")
    assert back.record == plan.record
    np.testing.assert_array_equal(back.fluence, plan.fluence)
    assert np.abs(back.curves_gy - plan.curves_gy).max() <= 0.5 * DOSE_STEP_GY + 1e-9


def test_half_precision_is_off_by_a_2048th_at_the_most() -> None:
    fluence = np.random.default_rng(1).uniform(1e-4, 60.0, 10_000)
    assert np.abs(fluence.astype(np.float16) / fluence - 1.0).max() <= 1.0 / 2048.0


def test_beamlets_come_back() -> None:
    beamlets = Beamlets(np.array([0, 0, 1], dtype=np.uint8), np.arange(6.0).reshape(3, 2))
    back = read_beamlets(beamlets_bytes(beamlets), "x")
    np.testing.assert_array_equal(back.direction, beamlets.direction)
    np.testing.assert_array_equal(back.position_mm, beamlets.position_mm)


@pytest.mark.parametrize("read", [read_dose, read_plan, read_beamlets])
@pytest.mark.parametrize("content", [b"", b"no archive", dose_bytes(np.ones((2, 2, 2), dtype=np.float32))[:-30]])
def test_a_damaged_file_is_refused_by_its_name(read: Callable[[bytes, str], object], content: bytes) -> None:
    with pytest.raises(ModelRefusal, match=r"9-reference\.npz is not a file") as raised:
        read(content, "9-reference.npz")
    assert raised.value.code == "library-file-damaged"


@pytest.mark.parametrize("read", [read_dose, read_plan, read_beamlets])
def test_a_file_with_any_bit_turned_is_read_or_refused(read: Callable[[bytes, str], object]) -> None:
    whole = {
        read_dose: dose_bytes(np.ones((2, 2, 2), dtype=np.float32)),
        read_plan: plan_bytes(a_plan()),
        read_beamlets: beamlets_bytes(Beamlets(np.zeros(2, dtype=np.uint8), np.zeros((2, 2)))),
    }[read]  # fmt: skip
    # the second half holds the directory of the archive: versions, methods, encryption
    for place in range(len(whole) // 2, len(whole)):
        for bit in (0x01, 0x40):
            content = bytearray(whole)
            content[place] ^= bit
            with contextlib.suppress(ModelRefusal):
                read(bytes(content), "x")


@pytest.mark.parametrize(
    ("direction", "position_mm"),
    [
        (np.array(2, dtype=np.uint8), np.zeros((2, 2))),
        (np.zeros(2), np.zeros((2, 2))),
        (np.zeros(2, dtype=np.uint8), np.array([["a", "b"], ["c", "d"]])),
        (np.zeros(2, dtype=np.uint8), np.full((2, 2), np.nan)),
    ],
)
def test_impossible_beamlets_are_refused(direction: Any, position_mm: Any) -> None:
    with pytest.raises(ModelRefusal) as raised:
        read_beamlets(beamlets_bytes(Beamlets(direction, position_mm)), "x")
    assert raised.value.code == "library-file-damaged"


@pytest.mark.parametrize("read", [read_dose, read_plan])
def test_a_file_of_another_kind_is_refused(read: Callable[[bytes, str], object]) -> None:
    other = beamlets_bytes(Beamlets(np.zeros(1, dtype=np.uint8), np.zeros((1, 2))))
    with pytest.raises(ModelRefusal):
        read(other, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"fluence": np.array([1.0, 2.0])},  # not in half precision
        {"fluence": np.array([-1.0], dtype=np.float16)},
        {"fluence": np.array([np.inf], dtype=np.float16)},
        {"curves_gy": np.zeros((2, 98))},
    ],
)
def test_a_plan_with_impossible_arrays_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ModelRefusal):
        read_plan(plan_bytes(a_plan(**changes)), "x")
