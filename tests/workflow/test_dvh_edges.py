"""Structures at the edge of what a DVH can say, through ``fdp-bridge dvh``: a typed answer, never a silent zero."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.cli import main
from bridge.rt.grid import Grid
from tests.benchmarks.files import FRAME, DrawnItem, drawn, linear_dose, write_dose, write_structures
from tests.phantom import STRUCTURES, write_plan_for, write_small_phantom
from tests.solids import circle

HEIGHTS_MM = (-6.0, -3.0, 0.0, 3.0, 6.0, 9.0)
CENTRE_GY, GRADIENT_GY_MM = 30.0, 0.5


def cylinder(radius_mm: float, heights_mm: Sequence[float] = HEIGHTS_MM, hole_mm: float = 0.0) -> list[DrawnItem]:
    loops = [circle(radius_mm), *([circle(hole_mm)] if hole_mm else [])]
    return [drawn(loop, z) for z in heights_mm for loop in loops]


TINY_MM = sqrt(20.0 / 15.0 / pi)
POINT = DrawnItem(np.array([[0.0, 0.0, 1.0]]), "POINT")
ROIS: list[tuple[str, list[DrawnItem]]] = [
    ("Partly outside", cylinder(10.0, [z + 12.0 for z in HEIGHTS_MM])),
    ("Wholly outside", cylinder(10.0, [z + 60.0 for z in HEIGHTS_MM])),
    ("Empty", []),
    ("Point", [POINT]),
    ("Tiny", cylinder(TINY_MM)),
    ("Ring", cylinder(12.0, hole_mm=5.0)),
    ("Twin", cylinder(6.0)),
    ("Twin", cylinder(9.0)),
]
TOP_MM = 15.0


@pytest.fixture(scope="module")
def dose_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grid = Grid.axial((14, 16, 16), (3.0, 3.0, 3.0), (-22.5, -22.5, TOP_MM - 39.0), FRAME)
    dose = linear_dose(grid, {"z": GRADIENT_GY_MM}, CENTRE_GY)
    return write_dose(tmp_path_factory.mktemp("dose") / "RD.dcm", dose)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def dvh_json(folder: Path, dose: Path, structures: Path, end_caps: str = "none") -> dict[str, Any]:
    settings, out = folder / f"{end_caps}.yaml", folder / f"{end_caps}.json"
    settings.write_text(f"dvh:\n  end_caps: {end_caps}\n", encoding="utf-8")
    assert run("dvh", "--dose", dose, "--structures", structures, "--config", settings, "--json", out) == 0
    content: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory, dose_file: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("edges")
    return dvh_json(folder, dose_file, write_structures(folder / "RS.dcm", ROIS))


def rows(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in content["structures"] if row["roi_name"] == name]


def codes(content: dict[str, Any], name: str) -> set[str]:
    return {finding["code"] for finding in content["findings"] if finding["where"].get("roi") == name}


def test_every_roi_has_a_row(edges: dict[str, Any]) -> None:
    assert [row["roi_name"] for row in edges["structures"]] == [name for name, _ in ROIS]


def test_partly_outside_the_dose_grid(edges: dict[str, Any]) -> None:
    """From 6 to 21 mm, of which 9 mm have a dose."""
    (row,) = rows(edges, "Partly outside")
    assert row["status"] == "partly_outside_dose_grid"
    assert row["volume_cc"] == pytest.approx(pi * 1.5, rel=1e-3)
    assert row["coverage_fraction"] == pytest.approx(9.0 / 15.0, abs=0.005)
    assert row["volume_inside_dose_grid_cc"] == pytest.approx(pi * 0.9, rel=0.01)
    assert row["metrics"]["mean_gy"] == pytest.approx(CENTRE_GY + GRADIENT_GY_MM * 10.5, abs=0.05)
    assert codes(edges, "Partly outside") == {"dvh-coverage"}


def test_wholly_outside_the_dose_grid(edges: dict[str, Any]) -> None:
    (row,) = rows(edges, "Wholly outside")
    assert (row["status"], row["coverage_fraction"]) == ("outside_dose_grid", 0.0)
    assert row["volume_cc"] == pytest.approx(pi * 1.5, rel=1e-3)
    assert row["metrics"] is row["curve"] is row["cumulative_histogram"] is None
    assert codes(edges, "Wholly outside") == {"dvh-coverage"}


@pytest.mark.parametrize(("name", "found"), [("Empty", {"roi-empty"}), ("Point", {"roi-empty", "contour-not-closed"})])
def test_nothing_drawn(edges: dict[str, Any], name: str, found: set[str]) -> None:
    (row,) = rows(edges, name)
    assert (row["status"], row["volume_cc"]) == ("empty", 0.0)
    assert row["metrics"] is row["curve"] is row["cumulative_histogram"] is None
    assert codes(edges, name) == found


def test_two_hundredths_of_a_cc(edges: dict[str, Any]) -> None:
    (row,) = rows(edges, "Tiny")
    assert row["status"] == "complete"
    assert row["volume_cc"] == pytest.approx(0.02, rel=2e-3)
    assert row["metrics"]["mean_gy"] == pytest.approx(CENTRE_GY + GRADIENT_GY_MM * 1.5, abs=0.02)
    # it is smaller than 0.03 cc, so that its near-maximum is its minimum
    assert row["metrics"]["D0.03cc_gy"] == pytest.approx(CENTRE_GY - GRADIENT_GY_MM * 6.0, abs=0.1)


def test_a_ring_keeps_its_hole(edges: dict[str, Any]) -> None:
    (row,) = rows(edges, "Ring")
    assert row["status"] == "complete"
    assert row["volume_cc"] == pytest.approx(pi * (12.0**2 - 5.0**2) * 15.0 / 1000.0, rel=1e-3)


def test_two_structures_of_one_name_stay_two(edges: dict[str, Any]) -> None:
    small, large = rows(edges, "Twin")
    assert small["roi_number"] != large["roi_number"]
    found = small["volume_cc"], large["volume_cc"]
    assert found == pytest.approx((pi * 36.0 * 15.0 / 1000.0, pi * 81.0 * 15.0 / 1000.0), rel=1e-3)
    assert [finding["where"] for finding in edges["findings"] if finding["code"] == "roi-name-repeated"] == [
        {"roi": "Twin"}
    ]


@pytest.mark.parametrize("items", [[], [POINT], [drawn(circle(5.0), 0.0)]], ids=["empty", "point", "one plane"])
def test_a_structure_set_that_tells_no_thickness_ends_in_an_answer(
    items: list[DrawnItem], tmp_path: Path, dose_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    structures = write_structures(tmp_path / "RS.dcm", [("Only", items)])
    code = run("--json-errors", "dvh", "--dose", dose_file, "--structures", structures, "--json", tmp_path / "dvh.json")
    if not items or items == [POINT]:
        assert code == 0
        (row,) = json.loads((tmp_path / "dvh.json").read_text(encoding="utf-8"))["structures"]
        assert row["status"] == "empty"
    else:
        assert code == 3
        assert json.loads(capsys.readouterr().err)["code"] == "slice-thickness-unknown"


def test_both_end_cap_policies_are_right_on_one_structure_and_named_in_json(tmp_path: Path, dose_file: Path) -> None:
    """Along the axis of a cylinder the dose at a volume is linear in the volume."""
    structures = write_structures(tmp_path / "RS.dcm", [("Cylinder", cylinder(10.0))])
    for end_caps, low_mm, high_mm in (("none", -6.0, 9.0), ("half_slice", -7.5, 10.5)):
        (row,) = dvh_json(tmp_path, dose_file, structures, end_caps)["structures"]
        assert row["end_caps"] == end_caps
        assert row["volume_cc"] == pytest.approx(pi * 0.1 * (high_mm - low_mm), rel=1e-3)
        for name, volume in (("D95%_gy", 0.95), ("D50%_gy", 0.50), ("D2%_gy", 0.02)):
            at_mm = high_mm - volume * (high_mm - low_mm)
            assert row["metrics"][name] == pytest.approx(CENTRE_GY + GRADIENT_GY_MM * at_mm, abs=0.02)


@pytest.mark.parametrize(
    ("end_caps", "ends_mm", "words"),
    [("none", 3.0, "none (structures end at their first and last plane)"), ("half_slice", 0.0, "half a plane spacing")],
)
def test_the_policy_is_named_in_the_results_and_the_report_of_a_prediction(
    end_caps: str, ends_mm: float, words: str, tmp_path: Path
) -> None:
    """The phantom's cylinders begin and end half way between slices."""
    phantom = write_small_phantom(tmp_path / "in")
    write_plan_for(phantom, tmp_path / "in" / "RP.dcm", {2: 60.0, 3: 50.0})
    settings, out = tmp_path / "settings.yaml", tmp_path / "out"
    settings.write_text(f"dvh:\n  end_caps: {end_caps}\n", encoding="utf-8")
    assert run("predict", tmp_path / "in", "--out", out, "--config", settings) == 0
    found = json.loads((out / "dvh.json").read_text(encoding="utf-8"))["structures"]
    assert {row["end_caps"] for row in found} == {end_caps}
    volumes = {row["roi_name"]: row["volume_cc"] for row in found}
    for shape in STRUCTURES:
        a, b, half_mm = shape.semi_axes_mm
        assert volumes[shape.name] == pytest.approx(pi * a * b * (2.0 * half_mm - ends_mm) / 1000.0, rel=2e-3)
    assert words in (out / "report.html").read_text(encoding="utf-8")
