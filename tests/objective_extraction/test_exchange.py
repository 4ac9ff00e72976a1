"""Objective files from others: hostile JSON and XML, other spellings of the same content, any set there and back."""

from __future__ import annotations

import json
import locale
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import DicomRefusal, Refusal, StorageFailure
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from objective_extraction.eclipse_template import read_template, template_xml, write_template
from objective_extraction.objective_json import (
    objective_set_from_json,
    objective_set_to_json,
    read_objective_set,
    write_objective_set,
)
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet
from objective_extraction.objectives import (
    CurvePoint,
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    Origin,
    PointObjective,
)
from objective_extraction.structure_volume import StructureVolume
from tests.objective_extraction.cases import changed, every_kind, objective_set, point, prescription

TEXT = objective_set_to_json(objective_set())
DOCUMENT: dict[str, Any] = json.loads(TEXT)


# ---------------------------------------------------------------- any objective set

names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=64)
doses = st.floats(1e-3, 200.0)
volumes = st.floats(0.0, 100.0)
priorities = st.integers(1, 1000).map(float)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
origins = st.builds(
    Origin, st.sampled_from(["organ-curve", "manual"]), st.none() | st.floats(0.0, 200.0), st.floats(0.0, 3.0), texts
)


@st.composite
def curves(draw: st.DrawFn) -> tuple[CurvePoint, ...]:
    percents = sorted(draw(st.sets(st.integers(0, 100), min_size=2, max_size=6)), reverse=True)
    gys = sorted(draw(st.lists(st.floats(0.0, 200.0), min_size=len(percents), max_size=len(percents))))
    return tuple(CurvePoint(float(v), d) for v, d in zip(percents, gys, strict=True))


@st.composite
def objective(draw: st.DrawFn, number: int, name: str) -> Objective:
    common: dict[str, Any] = {
        "roi_number": number, "roi_name": name, "standard_name": draw(st.none() | names),
        "priority": draw(priorities), "origin": draw(origins),
    }  # fmt: skip
    operator = draw(st.sampled_from(["upper", "lower"]))
    kind = draw(st.sampled_from(["point", "mean", "geud", "line"]))
    if kind == "point":
        return PointObjective(**common, operator=operator, dose_gy=draw(doses), volume_percent=draw(volumes))
    if kind == "mean":
        return MeanObjective(**common, dose_gy=draw(doses))
    if kind == "geud":
        a = draw(st.floats(1.0, 100.0) if operator == "upper" else st.floats(-100.0, -0.01))
        return GeudObjective(**common, operator=operator, dose_gy=draw(doses), a=a)
    return LineObjective(**common, operator=operator, curve=draw(curves()))


@st.composite
def objective_sets(draw: st.DrawFn) -> ObjectiveSet:
    roi_names = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    numbers = draw(st.lists(st.integers(0, 10_000), min_size=len(roi_names), max_size=len(roi_names), unique=True))
    rois, taken = list(zip(numbers, roi_names, strict=True)), {name.casefold() for name in roi_names}
    derived = draw(st.sampled_from(["Ring", "R <&> \"'"]).filter(lambda name: name.casefold() not in taken))
    of_rois = [draw(objective(*roi)) for roi in rois for _ in range(draw(st.integers(0, 3)))]
    return ObjectiveSet(
        case=CaseReference("1.2.3", "1.2.4", "1.2.5"),
        prescription=Prescription(
            (TargetLevel(*rois[0], draw(st.floats(20.0, 120.0)), "rtplan"),), draw(st.none() | st.integers(1, 40))
        ),
        objectives=(*of_rois, point(derived, "upper", 20.0, 5.0, number=None)),
        derived_structures=(
            DerivedStructure(
                derived, "subtract", (roi_names[0],), minus=(roi_names[1],), margin_mm=draw(st.floats(0.0, 50.0))
            ),
        ),
        structure_volumes=tuple(
            StructureVolume(*roi, draw(st.floats(0.0, 5000.0)), draw(st.floats(0.0, 100.0))) for roi in rois
        ),
        dose_source=draw(st.sampled_from(["predicted", "optimized", "given"])),
        dvh_policy=DvhPolicy(draw(st.sampled_from(["none", "half_slice"])), draw(st.none() | st.floats(0.1, 5.0))),
        provenance=Provenance(
            "1.0", draw(texts), "", "b" * 64, {"1.2.3": "c" * 64},
            draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
            draw(st.dictionaries(texts, st.floats(-1e6, 1e6), max_size=3)),
        ),
        findings=(Finding("plane-gap", "info", "x" + draw(texts), {"roi": draw(texts)}),),
        normal_tissue=draw(st.none() | st.builds(NormalTissueObjective, priorities)),
    )  # fmt: skip


@settings(max_examples=40)
@given(one=objective_sets())
def test_any_set_comes_back_from_json_equal_and_with_its_hash(one: ObjectiveSet) -> None:
    back = objective_set_from_json(objective_set_to_json(one))
    assert back == one
    assert back.sha256 == one.sha256


@settings(max_examples=40)
@given(one=objective_sets())
def test_any_set_comes_back_from_a_template(one: ObjectiveSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("xml") / "objectives.xml"
    write_template(one, path)
    rows = read_template(path)
    expected = [
        (o.roi_name, o.kind, o.priority, gy, percent)
        for name in dict.fromkeys(o.roi_name for o in one.objectives)
        for o in one.objectives
        if o.roi_name == name
        for gy, percent in _values(o)
    ]
    kinds = {"0": "point", "1": "line", "2": "mean", "3": "geud"}
    found = [(r.structure, kinds[r.kind], r.priority, r.dose_gy, r.volume_percent) for r in rows]
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for (*_, gy, percent), (*_, expected_gy, expected_percent) in zip(found, expected, strict=True):
        assert gy == pytest.approx(expected_gy, abs=5.1e-7)
        assert percent == (None if expected_percent is None else pytest.approx(expected_percent, abs=5.1e-7))
    # each line has a group of its own, and nothing else has one
    lines = [o for o in one.objectives if isinstance(o, LineObjective)]
    groups = [r.group for r in rows if r.kind == "1"]
    assert sorted({g: groups.count(g) for g in groups}.values()) == sorted(len(line.curve) for line in lines)
    assert 0 not in groups
    assert {r.group for r in rows if r.kind != "1"} <= {0}


def _values(one: Objective) -> list[tuple[float, float | None]]:
    if isinstance(one, LineObjective):
        return [(p.dose_gy, p.volume_percent) for p in one.curve]
    return [(one.dose_gy, one.volume_percent if isinstance(one, PointObjective) else None)]


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("spelling", ["70.50", "7.05e1", "705E-1", "70.500000000000"])
def test_the_spelling_of_a_number_is_not_content(spelling: str) -> None:
    assert '"dose_gy": 70.5,' in TEXT
    assert objective_set_from_json(TEXT.replace('"dose_gy": 70.5,', f'"dose_gy": {spelling},')) == objective_set()


def test_whole_numbers_may_have_a_point_and_the_other_way_round() -> None:
    assert '"fractions": 35,' in TEXT
    assert '"dose_gy": 70.0,' in TEXT
    text = TEXT.replace('"fractions": 35,', '"fractions": 35.0,').replace('"dose_gy": 70.0,', '"dose_gy": 70,')
    back = objective_set_from_json(text)
    assert back == objective_set()
    assert isinstance(back.prescription.fractions, int)


def test_the_order_of_keys_is_not_content_and_that_of_objectives_is() -> None:
    backwards = {key: DOCUMENT[key] for key in reversed(DOCUMENT)}
    assert objective_set_from_json(json.dumps(backwards)).sha256 == objective_set().sha256
    swapped = DOCUMENT | {"objectives": DOCUMENT["objectives"][::-1]}
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(json.dumps(swapped))
    assert refused.value.code == "objectives-changed"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"predicted_gy": 30.5', '"predicted_gy": 1' + 400 * "0"),
        ('"margin_percent": 0.0', '"margin_percent": 1' + 5000 * "0"),
        ('"predicted_gy": 30.5', '"predicted_gy": -Infinity'),
        ('"predicted_gy": 30.5', '"predicted_gy": 1e400'),
        ('"sentence": "D20% is 30.50 Gy."', '"sentence": "\\ud800"'),
        ('"model_id": "geometric"', '"model_id": "\\udfff"'),
        ('"findings": [', '"findings": [' + 900 * "[" + 900 * "]" + ","),
    ],
)
def test_what_no_number_no_text_and_no_set_can_be_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(TEXT.replace(old, new, 1))
    assert refused.value.code in ("objectives-json", "objectives-schema")


@pytest.mark.parametrize(
    "wrong",
    [
        changed(objective_set(), objectives=(point("Cord", "upper", 20.0, 5.0, number=-3),)),
        changed(objective_set(), findings=(Finding("Two Words", "info", "x"),)),
        changed(objective_set(), provenance=changed(objective_set().provenance, config_sha256="abc")),  # type: ignore[arg-type]
        changed(objective_set(), dose_source="guessed"),
    ],
)
def test_nothing_is_written_that_could_not_be_read(wrong: ObjectiveSet) -> None:
    with pytest.raises(Refusal) as refused:
        objective_set_to_json(wrong)
    assert refused.value.code == "objectives-schema"


def test_a_number_that_is_none_is_not_written() -> None:
    provenance = changed(objective_set().provenance, preference={"hi": float("nan")})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="JSON compliant"):
        objective_set_to_json(changed(objective_set(), provenance=provenance))


def test_two_structures_of_one_name_are_refused() -> None:
    twins = [point("Larynx", "upper", 30.0, 20.0, number=5), point("Larynx", "upper", 40.0, 20.0, number=6)]
    with pytest.raises(Refusal) as refused:
        objective_set(twins)
    assert refused.value.code == "roi-name-conflict"


# ---------------------------------------------------------------- template

XML = template_xml(objective_set()).decode()


def parsed(xml: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - we wrote it


@pytest.mark.parametrize(
    "text",
    [
        "<Protocol/>",
        "<ObjectivesOneStructure/>",
        '<?xml version="1.0" encoding="no-such"?><ObjectiveTemplate/>',
        XML.replace("<Dose>70.5</Dose>", "<Dose>nan</Dose>"),
        XML.replace("<Dose>70.5</Dose>", "<Dose>inf</Dose>"),
        XML.replace("<Dose>70.5</Dose>", "<Dose>70,5</Dose>"),
        XML.replace("<Volume>98</Volume>", "<Volume>NaN</Volume>"),
        XML.replace("<Type>3</Type>", "<Type>7</Type>"),
        XML.replace("<Operator>1</Operator>", "<Operator>5</Operator>"),
        XML.replace("<Group>1</Group>", "<Group>1.5</Group>"),
        XML.replace("<Priority>60</Priority>", ""),
    ],
)
def test_a_template_that_cannot_be_trusted_is_refused(text: str, tmp_path: Path) -> None:
    assert text != XML
    path = tmp_path / "objectives.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DicomRefusal) as refused:
        read_template(path)
    assert refused.value.code == "template-invalid"


def test_a_template_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        read_template(tmp_path / "none.xml")


def test_exact_is_an_operator_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    path.write_text(XML.replace("<Operator>1</Operator>", "<Operator>2</Operator>", 1), encoding="utf-8")
    assert read_template(path)[0].operator == "2"


def test_only_special_characters_are_escaped_and_none_gets_out() -> None:
    name = "</ID>&<\"x'>"
    given = changed(objective_set([point(name, "upper", 20.0, 20.0)]), derived_structures=())
    text = template_xml(given).decode()
    assert name not in text
    root = parsed(text.encode())
    assert [node.attrib["ID"] for node in root.iter("ObjectivesOneStructure")] == [name]


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.kind)
def test_a_name_of_30_characters_comes_back_whatever_is_asked(kind: Objective, tmp_path: Path) -> None:
    name = "Parotid gland superficial left"
    assert len(name) == 30
    given = changed(objective_set(), objectives=(changed(kind, roi_name=name, roi_number=8),))  # type: ignore[arg-type]
    (identifier,) = given.shortened_names.values()
    path = tmp_path / "objectives.xml"
    write_template(given, path)
    assert [node.attrib["ID"] for node in parsed(path.read_bytes()).iter("ObjectivesOneStructure")] == [identifier]
    assert {row.structure for row in read_template(path)} == {name}
    write_objective_set(given, tmp_path / "objectives.json")
    assert read_objective_set(tmp_path / "objectives.json") == given


def test_line_groups_are_one_to_n_over_all_structures() -> None:
    line = next(o for o in every_kind() if isinstance(o, LineObjective))
    lines = tuple(changed(line, roi_name=f"Organ_{n}", roi_number=20 + n) for n in range(3) for _ in range(2))  # type: ignore[arg-type]
    given = changed(objective_set(), prescription=prescription((1, "PTV_70", 70.0)), objectives=lines)
    groups = [node.text for node in parsed(template_xml(given)).iter("Group")]
    assert groups == [str(n) for n in range(1, 7) for _ in line.curve]


@pytest.fixture
def own_locale() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("own_locale")
def test_the_locale_changes_nothing() -> None:
    expected = template_xml(objective_set()), objective_set_to_json(objective_set())
    for name in ("C", "de_DE.UTF-8", "fr_FR.UTF-8", "de_AT.UTF-8", "nl_NL.UTF-8"):  # those that this machine has
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        assert (template_xml(objective_set()), objective_set_to_json(objective_set())) == expected


def test_months_are_english() -> None:
    def month(number: int) -> str:
        provenance = changed(objective_set().provenance, created_utc=datetime(2026, number, 9, tzinfo=UTC))  # type: ignore[arg-type]
        root = parsed(template_xml(changed(objective_set(), provenance=provenance)))
        return root.find("Preview").attrib["LastModified"]  # type: ignore[union-attr]

    months = " ".join(month(number).split()[0][:3] for number in range(1, 13))
    assert months == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
    assert month(2) == " February 09 2026 00:00:00:000"
