"""Fifteen ways in which an RTSTRUCT leads a DVH astray: the right answer through files, or a named finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.dicom.structure_set import read_structure_set
from bridge.rt.errors import GeometryRefusal
from tests.benchmarks.dvh_pitfalls import CASES, DISC, Case, ours, stack
from tests.benchmarks.files import write_structures


def test_there_are_fifteen() -> None:
    assert len({case.name for case in CASES}) == 15


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_right_answer_or_a_named_finding(case: Case, tmp_path: Path) -> None:
    found, expected = ours(case, tmp_path), case.expected
    assert found.refusal == expected.refusal
    if expected.finding is not None:
        assert expected.finding in found.codes
    if expected.volume_cc is not None:
        assert found.dvh is not None
        assert found.dvh.volume_cc == pytest.approx(expected.volume_cc, rel=1e-3, abs=0.0)
        assert found.dvh.coverage == pytest.approx(expected.coverage, abs=1e-3)
        assert found.dvh.is_empty == (expected.mean_gy is None)
        if expected.mean_gy is not None:
            assert found.dvh.mean_gy == pytest.approx(expected.mean_gy, abs=0.01)


@pytest.mark.parametrize("name", ["one plane more, 1 mm away", "a single plane", "hole as a keyhole"])
def test_what_is_drawn_well_has_no_finding(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    assert ours(case, tmp_path).codes == ()


def test_a_single_plane_without_any_hint_of_its_thickness_is_refused(tmp_path: Path) -> None:
    path = write_structures(tmp_path / "RS.dcm", [("Case", stack(DISC, heights_mm=[0.0]))])
    with pytest.raises(GeometryRefusal) as refused:
        read_structure_set(path)
    assert refused.value.code == "slice-thickness-unknown"
