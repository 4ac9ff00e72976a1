"""Model folders: cards that hold, and tampering that shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from bridge.rt.errors import ModelRefusal
from models.card import model_sha256, seal
from models.fdp.model import FdpModel
from models.predictor import CheckedPredictor
from models.registry import BUILT_IN_ZOO, export_model, list_models, load_model

BUILT_IN = ["fdp-hn-engine-v1", "fdp-openkbp-v1", "geometric", "kbp-hn-engine-v1", "kbp-openkbp-v1"]


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    export_model("geometric", tmp_path)
    return tmp_path


def change_card(folder: Path, **changes: object) -> None:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_the_built_in_models() -> None:
    assert [card.id for card in list_models()] == BUILT_IN


def test_an_exported_model_is_the_same_model(zoo: Path) -> None:
    assert load_model("geometric", zoo).sha256 == load_model("geometric").sha256 == model_sha256(zoo / "geometric")
    with pytest.raises(ModelRefusal) as refused:
        export_model("geometric", zoo)
    assert refused.value.code == "export-exists"


@pytest.mark.parametrize("mirror_average", [True, False])
def test_the_mirror_image_is_predicted_where_that_is_asked_for(mirror_average: bool) -> None:
    predictor = load_model("fdp-openkbp-v1", mirror_average=mirror_average)
    assert isinstance(predictor, CheckedPredictor)
    assert isinstance(predictor.model, FdpModel)
    assert predictor.model.mirror_average == mirror_average


def test_the_card_as_text_holds_what_matters() -> None:
    card = list_models()[0]
    text = card.text()
    for part in (card.id, card.intended_use, *card.limits, *(metric.command for metric in card.metrics)):
        assert part in text
    assert "NOT FOR CLINICAL USE" in text


@pytest.mark.parametrize("model_id", ["nosuch", "", "..", "../zoo/geometric", "geometric/", "GEOMETRIC", "/etc"])
def test_an_unknown_id_is_refused_with_the_known_ones(model_id: str) -> None:
    with pytest.raises(ModelRefusal, match=f"known are: {', '.join(BUILT_IN)}") as refused:
        load_model(model_id)
    assert refused.value.code == "model-unknown"


def test_a_changed_file_is_refused(zoo: Path) -> None:
    before = model_sha256(zoo / "geometric")
    path = zoo / "geometric" / "parameters.yaml"
    path.write_text(path.read_text().replace("scale: 1.", "scale: 2."))
    assert model_sha256(zoo / "geometric") != before
    with pytest.raises(ModelRefusal, match=r"parameters.yaml.*has changed") as refused:
        load_model("geometric", zoo)
    assert refused.value.code == "model-files"
    seal(zoo / "geometric")
    assert load_model("geometric", zoo).sha256 != before


def test_a_missing_file_and_a_stray_file_are_refused(zoo: Path) -> None:
    stray = zoo / "geometric" / "extra" / "weights.bin"
    stray.parent.mkdir()
    stray.write_bytes(b"x")
    with pytest.raises(ModelRefusal, match=r"extra/weights.bin.*is not listed"):
        load_model("geometric", zoo)
    shutil.rmtree(stray.parent)
    (zoo / "geometric" / "parameters.yaml").unlink()
    with pytest.raises(ModelRefusal, match=r"parameters.yaml.*is missing"):
        list_models(zoo)


def test_a_changed_card_is_another_model(zoo: Path) -> None:
    before = load_model("geometric", zoo).sha256
    change_card(zoo / "geometric", title="Another")
    assert load_model("geometric", zoo).sha256 != before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "other"}, "card-id"),
        ({"dose_unit": "cGy"}, "card-invalid"),
        ({"surprise": 1}, "card-invalid"),
        ({"limits": []}, "card-invalid"),
        ({"version": "latest"}, "card-invalid"),
        ({"files": {"../secret": "0" * 64}}, "card-invalid"),
        ({"files": {"/etc/passwd": "0" * 64}}, "card-invalid"),
        ({"files": {"parameters.yaml": "short"}}, "card-invalid"),
        ({"preferences": {"hi": [2.0, 1.0]}}, "card-invalid"),
        ({"preferences": {"hi": [1.0, float("inf")]}}, "card-invalid"),
        ({"kind": "pickle"}, "model-kind"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(zoo: Path, changes: dict[str, object], code: str) -> None:
    change_card(zoo / "geometric", **changes)
    with pytest.raises(ModelRefusal) as refused:
        load_model("geometric", zoo)
    assert refused.value.code == code


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"!!python/object/apply:os.system ['true']", b"- a list"])
def test_a_card_that_is_not_one_is_refused(zoo: Path, content: bytes) -> None:
    (zoo / "geometric" / "card.yaml").write_bytes(content)
    with pytest.raises(ModelRefusal) as refused:
        load_model("geometric", zoo)
    assert refused.value.code in ("card-unreadable", "card-invalid")


def test_parameters_that_cannot_be_used_are_refused(zoo: Path) -> None:
    path = zoo / "geometric" / "parameters.yaml"
    path.write_text(path.read_text().replace("near_mm: ", "near_mm: -"))
    seal(zoo / "geometric")
    with pytest.raises(ModelRefusal) as refused:
        load_model("geometric", zoo)
    assert refused.value.code == "parameters-invalid"


def test_a_zoo_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusal) as refused:
        list_models(tmp_path / "nosuch")
    assert refused.value.code == "zoo-missing"


def test_the_built_in_zoo_is_sealed() -> None:
    for folder in (path.parent for path in BUILT_IN_ZOO.glob("*/card.yaml")):
        listed = yaml.safe_load((folder / "card.yaml").read_text())["files"]
        assert set(listed) == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {
            "card.yaml"
        }


@pytest.mark.parametrize(
    "graph", sorted(BUILT_IN_ZOO.glob("*/*.onnx")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_shipped_graph_holds_no_source_lines_or_paths(graph: Path) -> None:
    content = graph.read_bytes()
    for trace in (b"stack_trace", b'File "/', b"site-packages"):
        assert trace not in content
