from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.rt.errors import PrescriptionRefusal
from bridge.rt.target_names import dose_in_name


@pytest.mark.parametrize(
    ("name", "dose_gy"),
    [
        ("PTV70", 70.0),
        ("PTV_7000", 70.0),
        ("PTV 63 Gy", 63.0),
        ("PTV_5600cGy", 56.0),
        ("PTV_5600 CGY", 56.0),
        ("PTV1_54Gy", 54.0),
        ("PTV60Gy/30", 60.0),
        ("PTV60Gy/30fx", 60.0),
        ("PTV 60 Gy in 30 fractions", 60.0),
        ("PTV54Gy30fx", 54.0),
        ("PTVp_70.0", 70.0),
        ("PTVp2_6300", 63.0),
        ("ptv59.4", 59.4),
        ("PTV_59,4Gy", 59.4),
        ("PTV_59p4", 59.4),
        ("PTV_5940", 59.4),
        ("PTV_4005", 40.05),
        ("CTV_5000", 50.0),
        ("GTVn_66Gy", 66.0),
        ("5600", 56.0),
        ("70Gy", 70.0),
        ("PTV_8Gy", 8.0),
        ("PTV_70Gy_7000", 70.0),
        ("PTV70 (70 Gy)", 70.0),
        ("zPTV_7000_opt", 70.0),
        ("PTV70-5mm", 70.0),
        ("PTV_7000-03", 70.0),
        ("PTV_95%_60Gy", 60.0),
        ("PTV_T10-12_30Gy", 30.0),
        ("CTV_C7-T2_3000", 30.0),
        ("PTV_Liver_20Gyx3", 60.0),
        ("PTV_Liver_2000x3", 60.0),
        ("PTV_30x2Gy", 60.0),
        ("PTV_200cGy x 35", 70.0),
        ("PTV1_2000", 20.0),
    ],
)
def test_doses_are_read_from_names(name: str, dose_gy: float) -> None:
    assert dose_in_name(name) == pytest.approx(dose_gy, abs=1e-12)


@pytest.mark.parametrize(
    "name",
    ["PTV", "PTV1", "PTV2", "PTV_HIGH", "PTV_High01", "PTVp2", "PTV_5mm", "PTV-03", "PTV_L5", "PTV_T12", "PTV_Th10-12",
     "GTV", "PTV_500", "PTV_20210304", "PTV_95%", "Boost", "", "PTV_C7-T2", "PTV_030", "PTV_\u0667\u0660"],
)  # fmt: skip
def test_names_without_a_dose(name: str) -> None:
    assert dose_in_name(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PTV_70_56", "56 Gy and 70 Gy"),
        ("PTV70-PTV56", "56 Gy and 70 Gy"),
        ("PTV_7000_56Gy", "56 Gy and 70 Gy"),
        ("PTV_60/30", "30 Gy and 60 Gy"),
        ("PTV 54Gy 60Gy", "54 Gy and 60 Gy"),
        ("PTV_70,56", "two numbers"),
        ("PTV_50_4", "two numbers"),
        ("PTV_2023", "a year"),
        ("PTV12", "a count"),
        ("PTV_2Gy_30fx", "one of 30 fractions"),
        ("PTV_2Gy/30", "one of 30 fractions"),
        ("PTV_5x5", "no unit"),
        ("PTV_30x2", "no unit"),
        ("PTV_70Gyx35", "2450 Gy"),
    ],
)
def test_two_readings_are_refused_and_named(name: str, said: str) -> None:
    with pytest.raises(PrescriptionRefusal) as refused:
        dose_in_name(name)
    assert refused.value.code == "prescription-ambiguous"
    assert said in refused.value.message
    assert refused.value.where == {"roi": name}


def test_a_stated_unit_is_never_second_guessed() -> None:
    assert dose_in_name("PTV_7000Gy") == 7000.0  # TargetLevel refuses it, and asks whether the unit is cGy
    assert dose_in_name("PTV_70cGy") == pytest.approx(0.7)


@given(
    tenths=st.integers(200, 1000),
    prefix=st.sampled_from(["PTV", "PTV_", "PTV ", "PTVp_", "CTV1_", "zPTV_", "PTV_High_"]),
    form=st.sampled_from(["gy", "gy_space", "cgy", "bare_cgy", "bare_gy"]),
)
def test_every_spelling_of_one_dose_is_read_alike(tenths: int, prefix: str, form: str) -> None:
    if form == "bare_cgy" and tenths * 10 in range(2001, 2040):
        return
    gy = f"{tenths // 10}.{tenths % 10}" if tenths % 10 else f"{tenths // 10}"
    text = {
        "gy": f"{gy}Gy", "gy_space": f"{gy} Gy", "cgy": f"{tenths * 10}cGy", "bare_cgy": f"{tenths * 10}",
        "bare_gy": gy,
    }[form]  # fmt: skip
    if form == "bare_cgy" and tenths * 10 < 1000:
        return
    assert dose_in_name(prefix + text) == pytest.approx(tenths / 10)


@given(st.text(max_size=64))
def test_any_text_gives_a_number_nothing_or_a_refusal(name: str) -> None:
    try:
        dose_gy = dose_in_name(name)
    except PrescriptionRefusal:
        return
    assert dose_gy is None or dose_gy >= 0.0


@given(low=st.integers(20, 99), step=st.integers(1, 40), joint=st.sampled_from(["_", "-", " ", "/", "+", "_PTV"]))
def test_two_different_doses_never_pass(low: int, step: int, joint: str) -> None:
    high = min(low + step, 100)
    with pytest.raises(PrescriptionRefusal):
        dose_in_name(f"PTV{low}{joint}{high}")
