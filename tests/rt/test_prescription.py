from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import PrescriptionRefusal
from bridge.rt.prescription import Prescription, TargetLevel

LOW, HIGH, MIDDLE = (
    TargetLevel(1, "PTV 54", 54.0, "target_name"),
    TargetLevel(2, "PTV 70", 70.0, "rtplan"),
    TargetLevel(3, "PTV 60", 60.0, "config"),
)


def test_levels_are_ordered_from_the_highest() -> None:
    prescription = Prescription((LOW, HIGH, MIDDLE), fractions=35)
    assert prescription.levels == (HIGH, MIDDLE, LOW)
    assert prescription.highest_gy == 70.0
    assert prescription.level_of(3) is MIDDLE
    assert prescription.level_of(4) is None


def test_equal_levels_of_two_targets_keep_their_order() -> None:
    twin = TargetLevel(9, "PTV 70 nodes", 70.0, "rtplan")
    assert Prescription((HIGH, twin, LOW)).levels == (HIGH, twin, LOW)
    assert Prescription((twin, HIGH)).levels == (twin, HIGH)


@pytest.mark.parametrize("dose_gy", [1.0, 120.0])
def test_the_range_includes_its_ends(dose_gy: float) -> None:
    assert TargetLevel(1, "PTV", dose_gy, "config").dose_gy == dose_gy


@pytest.mark.parametrize("dose_gy", [0.0, 0.7, 0.999, 120.001, 7000.0, -60.0, np.nan, np.inf])
def test_a_dose_out_of_range_is_a_mistaken_unit(dose_gy: float) -> None:
    with pytest.raises(PrescriptionRefusal, match=r"PTV 70.*cGy") as refused:
        TargetLevel(2, "PTV 70", dose_gy, "rtplan")
    assert refused.value.code == "prescription-range"
    assert refused.value.where == {"roi": "PTV 70"}


def test_no_level_is_refused() -> None:
    with pytest.raises(PrescriptionRefusal) as refused:
        Prescription(())
    assert refused.value.code == "no-target"


@pytest.mark.parametrize("dose_gy", [66.0, 70.0])
def test_two_levels_of_one_target_are_refused_even_if_equal(dose_gy: float) -> None:
    with pytest.raises(
        PrescriptionRefusal, match=rf"'PTV 70'.*70 Gy \(rtplan\) and {dose_gy:g} Gy \(config\)"
    ) as refused:
        Prescription((LOW, HIGH, TargetLevel(2, "PTV 70", dose_gy, "config")))
    assert refused.value.code == "prescription-conflict"
    assert refused.value.where == {"roi": "PTV 70"}


@pytest.mark.parametrize("fractions", [0, -5])
def test_no_fraction_is_refused(fractions: int) -> None:
    with pytest.raises(PrescriptionRefusal) as refused:
        Prescription((HIGH,), fractions=fractions)
    assert refused.value.code == "fractions-range"


def test_fractions_may_be_unknown_or_one() -> None:
    assert Prescription((HIGH,)).fractions is None
    assert Prescription((HIGH,), fractions=1).fractions == 1


@pytest.mark.parametrize(("dose_gy", "fractions", "refused"), [(2.0, 35, True), (17.4, 35, True), (17.5, 35, False)])
def test_the_dose_of_one_fraction_is_not_taken_as_the_total(dose_gy: float, fractions: int, refused: bool) -> None:
    level = TargetLevel(1, "PTV", dose_gy, "rtplan")
    if not refused:
        assert Prescription((level,), fractions).highest_gy == dose_gy
        return
    with pytest.raises(PrescriptionRefusal) as raised:
        Prescription((level,), fractions)
    assert raised.value.code == "prescription-per-fraction"
