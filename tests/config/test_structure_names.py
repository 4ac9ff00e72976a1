from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import load_settings
from config.structure_names import Ambiguous, NameMatch, Organ, StructureNames, contradiction

TABLE = StructureNames.load()
PAIRED = sorted({name.removesuffix("_L") for name, organ in TABLE.organs.items() if organ.side == "L"})
SINGLE = sorted(name for name, organ in TABLE.organs.items() if organ.side is None)


def standard(name: str, table: StructureNames = TABLE) -> str | tuple[str, ...] | None:
    match = table.match(name)
    if isinstance(match, Ambiguous):
        return match.candidates
    return match.standard_name if match else None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # OpenKBP, and what planning systems make of the same organs
        ("Brainstem", "Brainstem"), ("SpinalCord", "SpinalCord"), ("RightParotid", "Parotid_R"),
        ("LeftParotid", "Parotid_L"), ("Esophagus", "Esophagus"), ("Larynx", "Larynx"), ("Mandible", "Bone_Mandible"),
        ("Parotid_R", "Parotid_R"), ("R Parotid", "Parotid_R"), ("parotid_rt", "Parotid_R"),
        ("PAROTID-LT", "Parotid_L"),
        ("LParotid", "Parotid_L"), ("RTParotid", "Parotid_R"), ("ParotidR", "Parotid_R"),
        ("Parotid, Left", "Parotid_L"),
        ("Parotid (R)", "Parotid_R"), ("Left Parotid L", "Parotid_L"), ("  Parotid_L ", "Parotid_L"),
        ("brain stem", "Brainstem"), ("BRAIN_STEM", "Brainstem"), ("Spinal Cord", "SpinalCord"), ("Cord", "SpinalCord"),
        ("Oesophagus", "Esophagus"), ("Oral Cavity", "Cavity_Oral"), ("OCavity", "Cavity_Oral"),
        ("Submandibular_Gland_L", "Glnd_Submand_L"), ("L_Submand_Glnd", "Glnd_Submand_L"), ("SMG_R", "Glnd_Submand_R"),
        ("Optic Nerve Lt", "OpticNrv_L"), ("Chiasm", "OpticChiasm"), ("Femoral Head R", "Femur_Head_R"),
        ("Small Bowel", "Bowel_Small"), ("Lungs", "Lungs"), ("parotids", "Parotids"), ("A_LAD", "A_LAD"),
        ("musc constrict s", "Musc_Constrict_S"), ("BODY", "External"),
        # planning risk volumes are structures of their own
        ("SpinalCord_PRV05", "SpinalCord_PRV05"), ("SpinalCord_PRV", "SpinalCord_PRV"),
        ("Cord PRV 5mm", "SpinalCord_PRV05"), ("PRV_SpinalCord", "SpinalCord_PRV"), ("CordPRV3", "SpinalCord_PRV03"),
        ("OpticNrv_PRV03_L", "OpticNrv_PRV03_L"), ("OpticNrv_L_PRV3mm", "OpticNrv_PRV03_L"),
    ],
)  # fmt: skip
def test_names_that_are_certain(name: str, expected: str) -> None:
    assert standard(name) == expected


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("Parotid", ("Parotid_L", "Parotid_R", "Parotids")),
        ("Parotid_LR", ("Parotid_L", "Parotid_R", "Parotids")),
        ("Parotid_L_R", ("Parotid_L", "Parotid_R", "Parotids")),
        ("Parotid L/R", ("Parotid_L", "Parotid_R", "Parotids")),
        ("Bilateral Parotid", ("Parotid_L", "Parotid_R", "Parotids")),
        ("Lens", ("Lens_L", "Lens_R")),
        ("Parotid_PRV03", ("Parotid_PRV03_L", "Parotid_PRV03_R", "Parotids_PRV03")),
        ("Bowel", ("Bowel_Small", "Bowel_Large", "Bag_Bowel", "Spc_Bowel")),
        ("Ear_L", ("Ear_Internal_L", "Ear_Middle_L", "Cochlea_L")),
    ],
)
def test_names_that_need_a_person(name: str, candidates: tuple[str, ...]) -> None:
    assert TABLE.match(name) == Ambiguous(candidates)


@pytest.mark.parametrize(
    "name",
    [
        "Parotid_L-PTV", "Parotid_L - PTV70", "ParotidCon-PTV", "zParotid_L", "z_Parotid_L", "Parotid_L_opt",
        "optParotid_L", "~Parotid_L", "Parotid_L+5mm", "_Parotid_L", "Parotid_L1", "Parotid_L_2", "Parotid_L_old",
        "Lungs-GTV", "Lung_RUL", "Brain-Brainstem", "Heart_L", "SpinalCord_05", "Cord+5", "Parotis re",
        "Parotids_L", "SpinalCord_PRV0.5cm", "SpinalCord_PRV99", "PTV70", "RingPTVHigh", "", "L", "PRV", "Right", "_",
        "Hals", "Parot\u00efd_L", "Parotid_\u2113", "SPINALCORDPRV", "Larynx2",
    ],
)  # fmt: skip
def test_names_that_are_not_known(name: str) -> None:
    assert TABLE.match(name) is None


def test_how_a_name_was_found() -> None:
    table = StructureNames.load({"Myelon 1": "SpinalCord"}, {"kiefer.*": "Bone_Mandible"})
    assert table.match("Parotid_L") == NameMatch("Parotid_L", "exact")
    assert table.match("Myelon 1") == NameMatch("SpinalCord", "exact")
    assert table.match("L Parotid") == NameMatch("Parotid_L", "normalised")
    assert table.match("Kiefer unten") == NameMatch("Bone_Mandible", "regex")
    assert table.match("myelon 1") is None


def test_a_site_can_settle_what_is_ambiguous() -> None:
    table = StructureNames.load({"Bowel": "Bag_Bowel", "Parotid": "Parotid_L"})
    assert standard("Bowel", table) == "Bag_Bowel"
    assert standard("Parotid", table) == "Parotid_L"


@pytest.mark.parametrize(
    "name",
    [
        "Right parotid x",
        "Parotid_L-PTV",
        "Parotid_L+5",
        "~Parotid_L",
        "parotid_l prv3 x",
        "zparotid l r",
        "Parotid_L_opt",
        "z_parotid_l",
    ],
)
def test_an_expression_never_crosses_side_margin_or_helper(name: str) -> None:
    table = StructureNames.load(patterns={".*parotid.*": "Parotid_L"})
    assert table.match(name) == Ambiguous(("Parotid_L",))


def test_expressions_that_disagree_are_ambiguous() -> None:
    table = StructureNames.load(patterns={"magen.*": "Stomach", ".*darm": "Colon"})
    assert table.match("Magendarm") == Ambiguous(("Stomach", "Colon"))
    assert StructureNames.load(patterns={"magen.*": "Stomach"}).match("XMagen") is None


def test_the_table_keeps_the_rules_of_tg_263() -> None:
    for name, organ in TABLE.organs.items():
        assert organ.standard_name == name
        assert len(name) <= 16
        assert name.isascii()
        assert " " not in name
        assert (organ.side is not None) == name.endswith(("_L", "_R"))
    assert TABLE.organs["Parotid_L"] == Organ("Parotid_L", "parallel", "L")
    assert {name[-1] for name in TABLE.organs if name.startswith("Parotid_")} == {"L", "R"}


def test_mean_objectives_are_for_parallel_organs() -> None:
    assert {TABLE.organs[name].kind for name in load_settings(None).extraction.mean_objective_for} == {"parallel"}


@pytest.mark.parametrize(
    ("name", "is_standard"),
    [
        ("Parotid_L", True), ("Parotid", False), ("SpinalCord_PRV05", True), ("SpinalCord_PRV", True),
        ("OpticNrv_PRV03_R", True), ("OpticNrv_R_PRV03", False), ("OpticNrv_PRV03", False), ("SpinalCord_PRV5", False),
    ],
)  # fmt: skip
def test_standard_names(name: str, is_standard: bool) -> None:
    assert TABLE.is_standard(name) is is_standard


def test_every_standard_name_and_every_spelling_of_it_maps_to_itself() -> None:
    for name in TABLE.standard_names:
        for spelling in (name, name.upper(), name.lower(), name.replace("_", " "), name.replace("_", "-")):
            words = spelling.replace("-", "_").replace(" ", "_").split("_")
            if name.endswith(("_L", "_R")) or len(words) == 1 or spelling == name:
                assert standard(spelling) == name, spelling


SPELLED_SIDES = {"L": ["L", "l", "Lt", "LT", "left", "Left", "LEFT"], "R": ["R", "r", "Rt", "RT", "right", "Right"]}
SEPARATORS = ["_", " ", "-", ".", ", ", "__"]
NOISE = st.text(alphabet="abcPTVzoptRLlr0159_- +~.", max_size=8)


@pytest.mark.parametrize("base", PAIRED)
def test_both_sides_in_every_spelling(base: str) -> None:
    for side, spellings in SPELLED_SIDES.items():
        for spelled, separator in product(spellings, SEPARATORS):
            for text in (base, base.lower(), base.upper(), base.replace("_", " ")):
                assert standard(f"{text}{separator}{spelled}") == f"{base}_{side}"
                assert standard(f"{spelled}{separator}{text}") == f"{base}_{side}"


@given(base=st.sampled_from(PAIRED), side=st.sampled_from("LR"), before=NOISE, after=NOISE, data=st.data())
def test_a_side_never_becomes_the_other(base: str, side: str, before: str, after: str, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(SPELLED_SIDES[side]))
    name = data.draw(st.sampled_from([f"{before} {word} {base} {after}", f"{before}_{base}_{word}_{after}"]))
    greedy = StructureNames.load(patterns={f".*{base}.*": f"{base}_{'R' if side == 'L' else 'L'}"})
    for table in (TABLE, greedy):
        match = table.match(name)
        if isinstance(match, NameMatch):
            assert match.standard_name.endswith(f"_{side}")


@given(
    organ=st.sampled_from(TABLE.standard_names),
    prv=st.sampled_from(["PRV", "prv", "PRV05", "PRV 3mm", "_PRV_", "PRV3mm"]),
    separator=st.sampled_from(["_", " ", "-"]),
    first=st.booleans(),
)
def test_a_planning_risk_volume_never_becomes_the_organ(organ: str, prv: str, separator: str, first: bool) -> None:
    name = f"{prv}{separator}{organ}" if first else f"{organ}{separator}{prv}"
    greedy = StructureNames.load(patterns={".*": organ})
    for table in (TABLE, greedy):
        match = table.match(name)
        if isinstance(match, NameMatch):
            assert "_PRV" in match.standard_name
            assert table.is_standard(match.standard_name)


@given(
    organ=st.sampled_from(TABLE.standard_names),
    helper=st.sampled_from(["-PTV", "-PTV70", "_PTV", "-GTV", "_opt", " CTV", "+5mm", "_sub", "-03", "~", "^x", "_2"]),
)
def test_a_helper_structure_never_becomes_the_organ(organ: str, helper: str) -> None:
    for name in (organ + helper, helper.strip("-_ ") + "_" + organ, f"z{organ}", f"z_{organ}", f"_{organ}"):
        assert TABLE.match(name) is None


@given(st.text(max_size=32))
def test_any_text_is_matched_without_an_error(name: str) -> None:
    match = TABLE.match(name)
    names = match.candidates if isinstance(match, Ambiguous) else () if match is None else (match.standard_name,)
    assert all(TABLE.is_standard(standard_name) for standard_name in names)


def test_why_a_name_contradicts() -> None:
    assert contradiction("Parotid rt", "Parotid_L") == "the name says right"
    assert contradiction("Parotid lr", "Parotid_L") == "the name says left and right"
    assert contradiction("Cord PRV", "SpinalCord") == "the name says that it is a planning risk volume"
    assert contradiction("Cord PRV", "SpinalCord_PRV") is None
    assert contradiction("Opt Nerve L", "OpticNrv_L") is None
    assert contradiction("L\u00e8vres", "Lips") is None
    assert contradiction("Parotis rechts", "Parotid_R") is None
