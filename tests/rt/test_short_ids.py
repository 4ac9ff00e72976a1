"""Short ids: reversible, unique as the host compares, and never with the other side."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.short_ids import LONGEST_PLAN_ID, LONGEST_STRUCTURE_ID, short_id, short_ids, side_of

NAMES = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=64), max_size=30)
LIMITS = st.sampled_from([LONGEST_PLAN_ID, LONGEST_STRUCTURE_ID, 40])
WORD = st.text("abcdefghijkmnopqstuvwxyz", min_size=3, max_size=12).filter(lambda word: side_of(word) is None)
SIDES = {"L": ["L", "l", "Left", "LT", "links", "li"], "R": ["R", "r", "Right", "RT", "rechts", "re"]}
UNTIMED = settings(deadline=None)
LONG = "Parotid gland superficial lobe"


@UNTIMED
@given(NAMES, LIMITS)
def test_every_name_has_an_id_that_fits_and_turns_back_into_it(names: list[str], longest: int) -> None:
    ids = short_ids(names, longest)
    assert set(ids) == set(names)
    assert all(1 <= len(one) <= longest for one in ids.values())
    assert len({one.casefold() for one in ids.values()}) == len(set(names)), "unique as the host compares"
    assert {one: name for name, one in ids.items()} == {ids[name]: name for name in names}


@UNTIMED
@given(NAMES, LIMITS)
def test_a_name_that_fits_stays_as_it_is(names: list[str], longest: int) -> None:
    apart = {name.casefold(): name for name in names}
    ids = short_ids(apart.values(), longest)
    assert {name: ids[name] for name in apart.values() if len(name) <= longest} == {
        name: name for name in apart.values() if len(name) <= longest
    }


@UNTIMED
@given(NAMES, st.randoms())
def test_the_order_of_the_names_does_not_matter(names: list[str], random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert short_ids(shuffled) == short_ids(names)


@UNTIMED
@given(st.lists(WORD, min_size=3, max_size=6), st.sampled_from("LR"), st.data(), st.sampled_from("_ -/."), LIMITS)
def test_the_side_of_a_name_is_at_the_end_of_its_id(
    words: list[str], side: str, data: st.DataObject, separator: str, longest: int
) -> None:
    here, there = (list(words), list(words))
    place = data.draw(st.integers(0, len(words)))
    here.insert(place, data.draw(st.sampled_from(SIDES[side])))
    other = "R" if side == "L" else "L"
    there.insert(place, data.draw(st.sampled_from(SIDES[other])))
    one, two = separator.join(here), separator.join(there)
    ids = short_ids([one, two], longest)
    for name, letter in ((one, side), (two, other)):
        assert side_of(name) == letter
        assert ids[name] == name or ids[name].endswith(f"_{letter}")


@UNTIMED
@given(st.lists(WORD, min_size=4, max_size=6))
def test_a_name_without_a_side_gets_none(words: list[str]) -> None:
    assert short_id("_".join(words))[-2:] not in ("_L", "_R")


def test_the_same_name_has_the_same_id_among_other_names() -> None:
    alone = short_id(f"{LONG} left")
    assert short_ids([f"{LONG} left", f"{LONG} right", "Cord", "x" * 64])[f"{LONG} left"] == alone


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    ids = short_ids(["Cord", "CORD", "PTV"])
    assert ids["PTV"] == "PTV"
    assert len({one.casefold() for one in ids.values()}) == 3
    assert "Cord" not in ids.values()


def test_an_id_that_a_name_has_already_is_not_given_again() -> None:
    taken = short_id(f"{LONG} left")
    ids = short_ids([f"{LONG} left", taken.upper()])
    assert ids[taken.upper()] == taken.upper()
    assert ids[f"{LONG} left"].casefold() != taken.casefold()
    assert ids[f"{LONG} left"].endswith("_L")


@pytest.mark.parametrize(
    ("name", "starts", "ends"),
    [
        ("Parotid gland superficial left", "ParGlaSup-", "_L"),
        ("Parotid gland superficial right", "ParGlaSup-", "_R"),
        ("PTV_High_Risk_5600_boost", "PTVHiRi5600-", ""),
        ("GlandSubmandibularLeft", "GlandSubm-", "_L"),
        ("Vertebral_body_L5_and_below", "VerBoL5AnBe-", ""),
        ("left and right optic nerves", "LefAnRiOpNe-", ""),
        ("!" * 20, "S-", ""),
    ],
)
def test_an_id_can_be_read(name: str, starts: str, ends: str) -> None:
    short = short_id(name)
    assert short.startswith(starts)
    assert len(short) == len(starts) + len("abcd") + len(ends) <= 16
    assert short.endswith(ends)


def test_dose_levels_stay_whole() -> None:
    for level in ("5600", "7000"):
        assert level in short_id(f"PTV_High_Risk_{level}_boost")


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Parotid_L", "L"),
        ("Parotis links", "L"),
        ("right parotid", "R"),
        ("ParotidRight", "R"),
        ("Parotis (re)", "R"),
        ("L5", None),
        ("Larynx", None),
        ("Lungs left+right", None),
        ("", None),
    ],
)
def test_a_side_is_a_word_of_its_own(name: str, side: str | None) -> None:
    assert side_of(name) == side


def test_a_plan_id_of_20_characters_becomes_one_of_13() -> None:
    short = short_id("Boost_head_and_neck1", LONGEST_PLAN_ID)
    assert len(short) == 13
    assert short != "Boost_head_and_neck1"[:13]
