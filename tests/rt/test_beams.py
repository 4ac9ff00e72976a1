"""Gantry angles against a patient who is laid on the couch by hand: gravity, head and right-handedness say it all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dicom.orientation import STANDARD_ORIENTATIONS
from bridge.rt.beams import PATIENT_POSITIONS, gantry_angle_deg, supine_angle_deg, towards_source
from bridge.rt.errors import GeometryRefusal

POSITIONS = ("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL")

X, Y, Z = np.eye(3)
"""The fixed system of IEC 61217 for one who stands before the gantry: to the right, to the gantry, to the ceiling."""

LEFT, RIGHT, ANTERIOR, POSTERIOR = (1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0)


def laid_down(position: str) -> np.ndarray:
    """Give the patient's axes x (left), y (posterior), z (superior) as rows in the fixed system.

    PS3.3 C.7.3.1.1.2: head first is the head towards the front of the equipment; supine is the face up, prone down;
    decubitus right is the right side down, decubitus left the left one.
    """
    superior = Y if position.startswith("HF") else -Y
    if position[2:] in ("S", "P"):
        posterior = -Z if position.endswith("S") else Z
        return np.stack([np.cross(posterior, superior), posterior, superior])
    left = Z if position.endswith("DR") else -Z
    return np.stack([left, np.cross(superior, left), superior])


def gantry_turned(degrees: float) -> np.ndarray:
    """Give the source of a gantry that turns clockwise about Y for one who faces it: up at 0, to the right at 90."""
    turn = np.radians(degrees)
    return np.cos(turn) * Z + np.sin(turn) * X


def test_the_positions_are_the_eight_recumbent_ones() -> None:
    assert set(PATIENT_POSITIONS) == set(POSITIONS) == set(STANDARD_ORIENTATIONS)


@pytest.mark.parametrize("position", POSITIONS)
def test_the_patient_who_is_laid_down_is_right_handed(position: str) -> None:
    assert np.linalg.det(laid_down(position)) == 1.0


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0, 123.4, 180.0, 270.0, 320.0, 359.9, -40.0, 450.0])
def test_the_source_stands_where_the_gantry_turned_it(position: str, degrees: float) -> None:
    x, y, z = laid_down(position) @ gantry_turned(degrees)
    assert abs(z) < 1e-12
    assert towards_source(degrees, position) == pytest.approx((x, y), abs=1e-12)


@pytest.mark.parametrize("position", POSITIONS)
def test_the_beam_from_above_runs_down_the_columns_of_the_ct(position: str) -> None:
    """Of the images of a scanner, the columns point to the floor and the rows to the right of one who faces it."""
    row, column = np.reshape(STANDARD_ORIENTATIONS[position], (2, 3))
    assert towards_source(0.0, position) == pytest.approx(-column[:2], abs=1e-12)
    assert towards_source(90.0, position) == pytest.approx(row[:2], abs=1e-12)


@pytest.mark.parametrize(
    ("position", "degrees", "side"),
    [
        ("HFS", 0, ANTERIOR), ("HFS", 90, LEFT), ("HFS", 180, POSTERIOR), ("HFS", 270, RIGHT),
        ("FFS", 90, RIGHT), ("HFP", 0, POSTERIOR), ("HFP", 90, RIGHT), ("FFP", 90, LEFT),
        ("HFDR", 0, LEFT), ("HFDR", 90, POSTERIOR), ("HFDL", 0, RIGHT), ("HFDL", 90, ANTERIOR),
        ("FFDR", 0, LEFT), ("FFDR", 90, ANTERIOR), ("FFDL", 0, RIGHT), ("FFDL", 90, POSTERIOR),
    ],
)  # fmt: skip
def test_where_a_planner_would_say_that_the_beam_comes_from(
    position: str, degrees: float, side: tuple[float, float]
) -> None:
    assert towards_source(degrees, position) == pytest.approx(side, abs=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.floats(-720, 720), st.sampled_from(POSITIONS))
def test_directions_have_length_one_and_opposed_gantries_oppose(degrees: float, position: str) -> None:
    here, there = towards_source(degrees, position), towards_source(degrees + 180.0, position)
    assert np.hypot(*here) == pytest.approx(1.0, abs=1e-12)
    assert np.add(here, there) == pytest.approx((0.0, 0.0), abs=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.floats(-720, 720), st.sampled_from(POSITIONS))
def test_the_supine_angle_gives_the_same_direction_in_a_head_first_supine_patient(
    degrees: float, position: str
) -> None:
    angle = supine_angle_deg(degrees, position)
    assert 0.0 <= angle <= 360.0
    assert towards_source(angle, "HFS") == pytest.approx(towards_source(degrees, position), abs=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.floats(-720, 720), st.sampled_from(POSITIONS))
def test_a_beam_known_as_of_a_supine_patient_comes_into_any_other_the_same_way(degrees: float, position: str) -> None:
    angle = gantry_angle_deg(degrees, position)
    assert 0.0 <= angle <= 360.0
    assert towards_source(angle, position) == pytest.approx(towards_source(degrees, "HFS"), abs=1e-9)


@pytest.mark.parametrize(
    ("position", "angle_deg"),
    [("HFS", 40), ("FFS", 320), ("HFP", 220), ("FFP", 140), ("HFDR", 130), ("HFDL", 310), ("FFDR", 50), ("FFDL", 230)],
)
def test_gantry_40_comes_into_each_patient_another_way(position: str, angle_deg: float) -> None:
    assert supine_angle_deg(40.0, position) == pytest.approx(angle_deg)


@pytest.mark.parametrize("position", ["", "hfs", "HFS ", "LFS", "SITTING", "AFDR"])
@pytest.mark.parametrize("give", [towards_source, supine_angle_deg, gantry_angle_deg])
def test_any_other_position_is_refused_by_name(give: object, position: str) -> None:
    assert callable(give)
    with pytest.raises(GeometryRefusal) as raised:
        give(0.0, position)
    assert raised.value.code == "patient-position"
    assert repr(position) in raised.value.message
    assert all(known in raised.value.message for known in POSITIONS)


def test_no_two_positions_are_alike() -> None:
    for one, other in itertools.combinations(POSITIONS, 2):
        gap = np.subtract(towards_source(30.0, one), towards_source(30.0, other))
        assert np.hypot(*gap) > 0.5, (one, other)
