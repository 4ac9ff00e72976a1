"""The file of a model: small, one curve a line, and nothing in it that is not read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from bridge.rt.errors import ModelRefusal
from models.geometric.parameters import GeometricParameters
from models.kbp.fit import fit_organ
from models.kbp.parameters import Components, KbpParameters, Regression, Scaling
from models.registry import BUILT_IN_ZOO
from tests.models.kbp.plans import organ_plans

EXPECTED = GeometricParameters(
    near_weight=0.5, near_mm=15.0, far_mm=60.0, axial_stretch=1.0, axial_mm=7.0, scale=1.0, sparing={}
)


@pytest.fixture(scope="module")
def parameters() -> KbpParameters:
    fitted = fit_organ("Organ", organ_plans(40, scatter=0.05))
    assert fitted is not None
    return KbpParameters(gantry_angles_deg=(0.0, 40.0), expected_dose=EXPECTED, organs={"Organ": fitted[0]})


@pytest.fixture
def file(parameters: KbpParameters, tmp_path: Path) -> Path:
    parameters.write(tmp_path / "parameters.json")
    return tmp_path / "parameters.json"


def curves_of(parameters: KbpParameters) -> list[tuple[float, ...]]:
    regions = [region for organ in parameters.organs.values() for region in organ.regions.values()]
    components = [one for r in regions for one in (r.dvh, r.expected, r.conformal) if one is not None]
    return [*(r.unexplained for r in regions), *(curve for one in components for curve in (one.mean, *one.vectors))]


def test_what_is_written_comes_back_to_a_thousandth_of_a_gray(parameters: KbpParameters, file: Path) -> None:
    for read, kept in zip(curves_of(KbpParameters.read(file)), curves_of(parameters), strict=True):
        np.testing.assert_allclose(read, kept, atol=0.5001e-5)
    read, kept = (p.organs["Organ"].regions["in_field"] for p in (KbpParameters.read(file), parameters))
    for one, other in zip(read.scores, kept.scores, strict=True):
        assert one.features == other.features
        np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-12)


def test_every_curve_has_a_line_of_its_own(parameters: KbpParameters, file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len([line for line in lines if line.count(",") >= 99]) == len(curves_of(parameters))
    assert len(lines) < 150
    assert json.loads(file.read_text())["format"] == 1


def test_the_built_in_model_can_be_looked_at() -> None:
    text = (BUILT_IN_ZOO / "kbp-openkbp-v1" / "parameters.json").read_text()
    assert len(text.splitlines()) < 1500
    assert len(text) < 200_000


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"format": 1', '"format": 1,\n "format": 1'),
        lambda text: text.replace('"plans": 40', '"plans": "40"'),
        lambda text: text.replace('"plans": 40', '"plans": 4e1'),
        lambda text: text.replace('"scale": 1.0', '"scale": 1.00'),
        lambda text: text.replace('"mean": [0.', '"mean": [0.0000001,0.', 1),
        lambda text: text.replace('"plans": 40', '"plans": 0'),
        lambda text: text[: len(text) // 2],
        lambda text: "",
    ],
)
def test_a_file_that_is_not_written_as_it_should_be_is_refused(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text()
    after = change(before)
    assert after != before
    file.write_text(after, newline="")
    with pytest.raises(ModelRefusal) as refused:
        KbpParameters.read(file)
    assert refused.value.code == "parameters-invalid"


def test_a_feature_that_nothing_measures_is_refused_when_the_model_is_read(
    parameters: KbpParameters, file: Path
) -> None:
    used = parameters.organs["Organ"].regions["in_field"].scores[0].features[0]
    for unknown in ("expected_4", "conformal_0", "volume"):
        text = file.read_text().replace(f'"{used}"', f'"{unknown}"')
        file.with_name("other.json").write_text(text)
        with pytest.raises(ModelRefusal, match=f"there is no feature '{unknown}'"):
            KbpParameters.read(file.with_name("other.json"))


def test_numbers_that_no_training_gives_are_refused() -> None:
    flat, half = [0.1] * 100, [0.1] * 50 + [0.0] * 50
    assert len(Components(mean=flat, vectors=[flat]).vectors) == 1
    for make in (
        lambda: Components(mean=flat, vectors=[half]),
        lambda: Components(mean=flat, vectors=[flat, flat]),
        lambda: Scaling(centre=0.0, spread=1.0, low=1.0, high=0.0),
        lambda: Regression(features=("a",), coefficients=(0, 0), sigma=1, inverse_normal=((1, 0.5), (0, 1))),
        lambda: Regression(features=("a",), coefficients=(0, 0), sigma=1, inverse_normal=((1, 2), (2, 1))),
    ):
        with pytest.raises(ValidationError):
            make()
